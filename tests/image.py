"""pullproof's own image, built as a user builds it: from the hashed wheels, on a base without a package index in reach.

Why: test_image.py looks into it, and the installation test (tests/installation/) lets real nodes pull it. No registry
of base images is needed: debootstrap makes one (minbase and python3), once, into the cache.

Must not: judge the image, or need anything but root, buildah and debootstrap (where they are missing it says so).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.gotools import cache_dir

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
SUITE, PYTHON = "bookworm", "3.11"
PACKAGES = ("python3", "libfaketime")  # the second for a container whose clock is off
FAKETIME = "/usr/$LIB/faketime/libfaketime.so.1"  # as the dynamic loader writes it
BASE = "localhost/pullproof-test-base:latest"
IMAGE = "localhost/pullproof-test:latest"


def run(*command: str | Path, folder: Path | None = None, env: dict[str, str] | None = None) -> str:
    """The standard output of `command`, which has to succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True, text=True, check=False, cwd=folder, env=env, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout.strip()


class Builder:
    """buildah with its storage in a folder of its own."""

    def __init__(self, storage: Path) -> None:
        assert os.geteuid() == 0, "building an image without an engine needs root"
        for program in ("buildah", "debootstrap"):
            assert shutil.which(program), f"{program} is missing: apt-get install {program}"
        self.storage = storage
        self.env = {**os.environ, "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}

    def command(self, *arguments: str | Path) -> list[str]:
        roots = ["--root", str(self.storage / "root"), "--runroot", str(self.storage / "run")]
        return ["buildah", *roots, *(str(part) for part in arguments)]

    def __call__(self, *arguments: str | Path) -> str:
        return run(*self.command(*arguments), env=self.env)


def base() -> Path:
    """A tar of a minimal Debian with python3, kept in the cache; made in about a minute."""
    tar = cache_dir() / f"base-{'-'.join((SUITE, *PACKAGES))}.tar"
    if not tar.exists():
        tar.parent.mkdir(parents=True, exist_ok=True)
        making = tar.with_suffix(f".{os.getpid()}")
        root = making.with_suffix(".root")
        try:
            run("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, root)
            run("tar", "--numeric-owner", "-C", root, "-cf", making, ".")
            making.replace(tar)
        finally:
            shutil.rmtree(root, ignore_errors=True)
            making.unlink(missing_ok=True)
    return tar


@contextmanager
def built(folder: Path) -> Iterator[Builder]:
    """A builder that holds BASE and, made from it by `make wheels` and the Dockerfile, IMAGE."""
    builder = Builder(folder / "storage")
    context = folder / "context"
    try:
        empty = builder("from", "scratch")
        builder("add", empty, base(), "/")
        builder("commit", empty, BASE)
        builder("rm", empty)
        run("make", "wheels", f"WHEELS={context / 'wheels'}", f"WHEELS_PYTHON={PYTHON}", folder=ROOT)
        shutil.copytree(ROOT / "requirements", context / "requirements")
        shutil.copy(ROOT / "Dockerfile", context)
        shutil.copy(ROOT / ".dockerignore", context)
        builder("build", "--build-arg", f"BASE={BASE}", "-f", context / "Dockerfile", "-t", IMAGE, context)
        yield builder
    finally:
        with contextlib.suppress(AssertionError):
            builder("rm", "--all")
        shutil.rmtree(folder, ignore_errors=True)
