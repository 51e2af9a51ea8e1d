"""The image, built as a user builds it: from the hashed wheels, on a base without a package index in reach.

No registry of base images is needed: debootstrap makes one (minbase and python3), once, into the cache. Needs root,
buildah and debootstrap (`apt-get install buildah debootstrap`); where they are missing this fails and says so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.controlplane.processes import spawn
from tests.gotools import cache_dir
from tests.serving import ServedWebhook
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.controlplane.controlplane import ControlPlane

ROOT = Path(__file__).resolve().parents[1]
SUITE, PYTHON = "bookworm", "3.11"
LARGEST = 150 * 1000 * 1000
BASE = "localhost/pullproof-test-base:latest"
IMAGE = "localhost/pullproof-test:latest"


def run(*command: str | Path, folder: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True, text=True, check=False, cwd=folder, env=env, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout.strip()


class Builder:
    """buildah with its storage in a folder of the test's own."""

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


@pytest.fixture(scope="module")
def base(uncaptured: Callable[[], AbstractContextManager[None]]) -> Path:
    """A tar of a minimal Debian with python3, kept in the cache."""
    tar = cache_dir() / f"base-{SUITE}.tar"
    if not tar.exists():
        tar.parent.mkdir(parents=True, exist_ok=True)
        making = tar.with_suffix(f".{os.getpid()}")
        with uncaptured():
            run("debootstrap", "--variant=minbase", "--include=python3", SUITE, making.with_suffix(".root"))
        run("tar", "--numeric-owner", "-C", making.with_suffix(".root"), "-cf", making, ".")
        shutil.rmtree(making.with_suffix(".root"))
        making.replace(tar)
    return tar


@pytest.fixture(scope="module")
def built(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    builder = Builder(tmp_path_factory.mktemp("storage"))
    context = tmp_path_factory.mktemp("context")
    try:
        empty = builder("from", "scratch")
        builder("add", empty, base, "/")
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
        shutil.rmtree(builder.storage, ignore_errors=True)


@pytest.fixture(scope="module")
def container(built: Builder) -> Iterator[str]:
    name = built("from", "--pull-never", IMAGE)
    yield name
    built("rm", name)


def test_it_is_small_on_top_of_its_base(built: Builder, container: str) -> None:
    base = built("from", "--pull-never", BASE)
    try:
        size = measured(Path(built("mount", container))) - measured(Path(built("mount", base)))
    finally:
        built("umount", base)
        built("umount", container)
        built("rm", base)
    print(f"the image adds {size / 1e6:.0f} MB to its base")
    assert size <= LARGEST


def measured(folder: Path) -> int:
    return int(run("du", "-sb", folder).split()[0])


def test_it_is_what_the_manifests_say(built: Builder) -> None:
    text = built("inspect", "--type", "image", "--format", "{{.OCIv1.Config}}", IMAGE)
    assert "65532:65532" in text
    assert "[/opt/pullproof/bin/pullproof]" in text


def test_it_runs_without_a_shell_and_without_writing(
    built: Builder, container: str, control_plane: ControlPlane
) -> None:
    folder = Path(built("mount", container))
    try:
        for shell in ("sh", "dash", "bash"):
            for place in ("bin", "usr/bin"):
                (folder / place / shell).unlink(missing_ok=True)
        assert sorted(path.name for path in (folder / "opt/pullproof/bin").iterdir()) == [
            "kubectl-pullproof",
            "pullproof",
        ]
        assert not list((folder / "opt/pullproof").rglob("pip-*"))
        writable = [
            path
            for path in (folder / "opt/pullproof").rglob("*")
            if not path.is_symlink() and (path.stat().st_uid == 65532 or path.stat().st_mode & 0o002)
        ]
        assert writable == []
    finally:
        built("umount", container)
    assert "PULL201" in built("run", "--user", "65532:65532", container, "--", "/opt/pullproof/bin/pullproof",
                              "inspect", "contoso.azureacr.io/shop:1")  # fmt: skip
    serve_from_it(built, container, control_plane)


def serve_from_it(built: Builder, container: str, plane: ControlPlane) -> None:
    """`pullproof serve` in the container, on this machine's network, with the real API server."""
    outside = ServedWebhook(plane)  # its pair, its port and its way of asking; not its process
    for path in outside.folder.iterdir():
        path.chmod(0o644)  # the container's user is another
    outside.folder.chmod(0o755)
    kubeconfig = outside.folder / "kubeconfig"
    kubeconfig.write_bytes(plane.kubeconfig.read_bytes())
    kubeconfig.chmod(0o644)
    command = built.command(
        "run", "--user", "65532:65532", "--volume", f"{outside.folder}:/etc/pullproof:ro", container, "--",
        "/opt/pullproof/bin/pullproof", "serve", f"--bind=127.0.0.1:{outside.port}",
        "--tls-cert=/etc/pullproof/tls.crt", "--tls-key=/etc/pullproof/tls.key",
        "--kubeconfig=/etc/pullproof/kubeconfig",
    )  # fmt: skip
    process = spawn("buildah", Path(shutil.which("buildah") or ""), command[1:], outside.folder / "log", env=built.env)
    try:
        eventually(lambda: outside.get("/readyz")[0] == 200 or process.exit_code() is not None)
        assert process.exit_code() is None, process.log_tail()
        assert "pullproof_cache_objects" in outside.get("/metrics")[1]
    finally:
        process.stop(grace=20)
    eventually(lambda: outside.get("/livez")[0] == 0)
