"""The programs of a node: built ones (kubelet, containerd, our pause program) and Debian's (runc, docker-registry).

Why apart: a missing part has to be told before anything starts, with what to install; a test is never skipped for it.

Must not: install anything (tests/node/packages does), or start anything.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.controlplane.programs import programs, required_version
from tests.gotools import build, cache_dir

HERE = Path(__file__).parent
PACKAGES = HERE / "packages"
# Debian's own folders: docker-registry and runc are not on every user's PATH
_FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FROM_DEBIAN = ("runc", "docker-registry", "unshare", "nsenter", "mount", "ip")
_NETWORK_PLUGINS = Path("/usr/lib/cni")


class PartMissingError(RuntimeError):
    """A part of a node is not installed, or this is not a system that can run one. The message says what to do."""


@dataclass(frozen=True)
class Parts:
    """Paths of programs; `plugins` is the folder of the network plugins, `path` a PATH that finds all of them."""

    kubelet: Path
    containerd: Path
    pause: Path
    registry: Path
    unshare: Path
    plugins: Path
    path: str


def parts(*, progress: bool = True) -> Parts:
    """Every program, built first where it has to be. Raises PartMissingError or gotools.BuildError."""
    if os.geteuid() != 0:
        raise PartMissingError("a node needs root: it mounts, and makes namespaces and control groups")
    found = {name: shutil.which(name, path=_FOLDERS) for name in _FROM_DEBIAN}
    missing = [name for name, path in found.items() if path is None]
    if not (_NETWORK_PLUGINS / "loopback").exists():
        missing.append(str(_NETWORK_PLUGINS / "loopback"))
    if missing:
        raise PartMissingError(f"missing: {', '.join(missing)}; install them with tests/node/packages (Debian)")
    module = HERE / "containerd"
    version = required_version(module, "github.com/containerd/containerd/v2")
    runtime = build(
        module,
        [f"github.com/containerd/containerd/v2/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2")],
        cache_dir() / f"containerd-{version}",
        ldflags=f"-X github.com/containerd/containerd/v2/version.Version={version}",
        progress=progress,
    )
    pause = build(HERE / "pause", ["."], cache_dir() / "pause", progress=progress)
    return Parts(
        kubelet=programs(["kubelet"], progress=progress)["kubelet"],
        containerd=runtime / "containerd",
        pause=pause / "pause",
        registry=Path(str(found["docker-registry"])),
        unshare=Path(str(found["unshare"])),
        plugins=_NETWORK_PLUGINS,
        path=f"{runtime}:{_FOLDERS}",
    )
