"""The image: small, as the manifests say, and able to run without a shell and without writing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import image
from tests.controlplane.processes import spawn
from tests.image import BASE, IMAGE, run
from tests.serving import ServedWebhook
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.controlplane.controlplane import ControlPlane
    from tests.image import Builder

LARGEST = 150 * 1000 * 1000


@pytest.fixture(scope="module")
def built(
    uncaptured: Callable[[], AbstractContextManager[None]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Builder]:
    with uncaptured():
        image.base()
    with image.built(tmp_path_factory.mktemp("image")) as builder:
        yield builder


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
