"""Where the control plane's programs come from.

Why: `KUBEBUILDER_ASSETS` first, because that is where the Kubernetes ecosystem's test tools put them; else the
versions pinned in kubernetes/go.mod and etcd/go.mod, built once and kept in the cache (tests/gotools.py).

Must not: fall back on what happens to be on PATH (a developer's kubectl of another version prints other words).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.gotools import BuildError, build, cache_dir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE = Path(__file__).parent
DEFAULT = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kubelet")
_ASSETS = ("etcd", "kube-apiserver", "kubectl")  # what kubebuilder's bundle holds; a folder without all of them is none


def programs(names: Sequence[str] = DEFAULT, *, progress: bool = True) -> Mapping[str, Path]:
    """The path of each named program, built first where it has to be.

    names: of `etcd` and what kubernetes/go.mod has as tools (`kubelet` is built only when it is asked for).
    Raises BuildError when a build fails, or when KUBEBUILDER_ASSETS holds another Kubernetes than the pinned one and
    lacks a program that must be of the same version.
    """
    found = _from_assets(names)
    missing = [name for name in names if name not in found]
    if "etcd" in missing:
        module = HERE / "etcd"
        version = required_version(module, "go.etcd.io/etcd/server/v3")
        folder = build(module, ["go.etcd.io/etcd/server/v3"], cache_dir() / f"etcd-{version}", progress=progress)
        found["etcd"] = folder / "server"
    if kubernetes := [name for name in missing if name != "etcd"]:
        module = HERE / "kubernetes"
        version = required_version(module, "k8s.io/kubernetes")
        folder = build(
            module,
            [f"k8s.io/kubernetes/cmd/{name}" for name in kubernetes],
            cache_dir() / f"kubernetes-{version}",
            ldflags=_version_flags(version),
            progress=progress,
        )
        found.update({name: folder / name for name in kubernetes})
    return found


def required_version(module: Path, path: str) -> str:
    """The version of the module `path` that the go.mod in the folder `module` requires, e.g. `v1.36.3`."""
    match = re.search(rf"^(?:require)?\s*{re.escape(path)} (v\S+)", (module / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise BuildError(f"{module / 'go.mod'} does not require {path}")
    return match[1]


def _from_assets(names: Sequence[str]) -> dict[str, Path]:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder or any(shutil.which(name, path=folder) is None for name in _ASSETS):
        return {}
    found = {name: Path(folder).absolute() / name for name in names if shutil.which(name, path=folder)}
    if lacking := [name for name in names if name in KUBERNETES and name not in found]:
        pinned = required_version(HERE / "kubernetes", "k8s.io/kubernetes")
        # a controller manager or kubelet newer than its API server is not supported, an older one fails elsewhere
        held = _version_of(Path(folder) / "kube-apiserver")
        if held.split(".")[:2] != pinned.split(".")[:2]:
            raise BuildError(
                f"KUBEBUILDER_ASSETS={folder} holds Kubernetes {held} without {', '.join(lacking)}, and {pinned} is "
                f"what can be built here: unset KUBEBUILDER_ASSETS, or put {', '.join(lacking)} {held} there"
            )
    return found


def _version_of(program: Path) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"v\d+\.\d+\.\S+", said.stdout)
    if match is None:
        raise BuildError(f"{program} --version says no version: {(said.stdout + said.stderr).strip()[-500:]}")
    return match[0]


def _version_flags(version: str) -> str:
    """What Kubernetes' own hack/lib/version.sh sets: without it the API server calls itself v0.0.0-master."""
    major, minor, _ = version.removeprefix("v").split(".", 2)
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(f"-X {package}.{name}={value}" for package in packages for name, value in values.items())
