"""A real node: kubelet, containerd and runc, with real registries behind real host names.

Why: what pullproof calls certain is a promise about the machinery that pulls, so that machinery is what judges it.

    with ControlPlane() as plane, Node(registries=[Registry("contoso.azurecr.io", Access.PASSWORD)]) as node:
        node.images.push("contoso.azurecr.io/shop", "1")

containerd and the registries have a network namespace of their own with nothing but loopback: DNS, TLS and the
registry's answers are real, and no name leads to the internet. Pods have to say hostNetwork (they share it). The
kubelet stays outside, where the API server is. With `network` (network.py) it is inside too, pods get addresses, and a
cable leads to the API server and to other nodes, nowhere else. Everything lives in PID and mount namespaces (inside.py)
that the kernel clears when this process ends, however it ends.

Must not: know pullproof, or leave anything behind: state folder, processes, mounts, control groups, sysctls.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.controlplane.processes import new_state_folder, port_of, reserve_port, spawn
from tests.node import registries as registry_parts
from tests.node.images import Images
from tests.node.parts import parts
from tests.node.registries import Access, Registry

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tests.controlplane.controlplane import ControlPlane
    from tests.controlplane.processes import Process, StateFolder
    from tests.node.network import Place
    from tests.node.parts import Parts

START_SECONDS = 120
_KIND = "node"
_CGROUPS = Path("/sys/fs/cgroup")
_CGROUP_PARENT = "k8s.io"  # containerd's, where the kubelet names none
_ABANDONED_SECONDS = 600
_SYSCTLS = tuple(
    f"/proc/sys/{name}"
    for name in (
        *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"),
        *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"),
    )
)
_OWN_REGISTRY = "images.node.test"  # holds the sandbox image
_PAUSE = "pause"


class NodeError(RuntimeError):
    """A part of the node did not start, or ended. The message ends with the last lines of its log."""


class Node:
    """One node. A context manager once `plane` is given to `start`, or with `Node(plane=…)`.

    registries: which hosts exist in this node's world; every other host name does not resolve.
    mirrors: containerd's hosts.toml: host → address of the registry that is asked instead (`https://…`).
    names: further names that DNS knows, with their IPv4 address (where nothing listens: refused).
    kubelet: settings for the KubeletConfiguration that win over those here.
    arguments: further arguments of the kubelet, e.g. `--node-labels=…`.
    network: the place in a Network that `start` is called in; without it pods have no network of their own.

    While it runs: `name`, `images` (pushes into every registry), `state` (logs are `*.log` in it). Raises
    PartMissingError, BuildError or NodeError.
    """

    state: Path

    def __init__(
        self,
        *,
        plane: ControlPlane | None = None,
        name: str = "node-1",
        registries: Sequence[Registry] = (),
        mirrors: Mapping[str, str] | None = None,
        names: Mapping[str, str] | None = None,
        kubelet: Mapping[str, Any] | None = None,
        arguments: Sequence[str] = (),
        network: Place | None = None,
        progress: bool = True,
    ) -> None:
        self.name = name
        self._plane = plane
        self._registries = [*registries, Registry(_OWN_REGISTRY)]
        self._mirrors = mirrors or {}
        self._names = names or {}
        self._kubelet_settings = kubelet or {}
        self._arguments = arguments
        self._network = network
        self._progress = progress
        self._folder: StateFolder | None = None
        self._process: Process | None = None
        self._images: Images | None = None

    def __enter__(self) -> Self:
        if self._plane is None:
            raise ValueError("which control plane: Node(plane=…)")
        self.start(self._plane)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, plane: ControlPlane) -> None:
        """Start everything; on return the node is registered with `plane` and Ready."""
        built = parts(progress=self._progress)
        self._plane = plane
        try:
            self._prepare(built, plane)
            deadline = time.monotonic() + START_SECONDS
            self._process = spawn(
                "unshare",
                built.unshare,
                [
                    *("--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
                    *(sys.executable, "-IS", str(Path(__file__).with_name("inside.py")), str(self.state / "plan.json")),
                ],
                self.state / "node.log",
                env={"PATH": built.path},
            )
            self._wait_for_socket(deadline)
            self._images = Images(self.state / "registries" / "push.sock", built.pause)
            self.images.push(f"{_OWN_REGISTRY}/{_PAUSE}", "1")
            self._wait_until_ready(plane, deadline)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill the node with all its pods, and remove what it wrote. The Node object of the API stays."""
        if self._images is not None:
            self._images.close()
            self._images = None
        if self._process is not None:
            first = _children(self._process.pid)
            containers = [name for pid in first for name in _containers(pid, self.state)]
            for pid in first:  # unshare ends by itself when every process of the namespace has ended
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if first:
                self._process.popen.wait()
            self._process.stop()
            self._process = None
            _remove_cgroups(containers)
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    @property
    def images(self) -> Images:
        if self._images is None:
            raise NodeError(f"node {self.name} does not run")
        return self._images

    @property
    def pid(self) -> int:
        """The first process in the node's namespaces; all others are below it."""
        first = _children(self._process.pid) if self._process is not None else []
        if not first:
            raise NodeError(f"node {self.name} does not run")
        return first[0]

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of every log that has any, to say why something did not start."""
        logs = sorted([*self.state.glob("*.log"), *(self.state / "registries").glob("*.log")])
        read = ((log.name, log.read_text(errors="replace").splitlines()[-lines:]) for log in logs)
        return "\n".join(f"--- {name}\n" + "\n".join(line[:400] for line in text) for name, text in read if text)

    def _prepare(self, built: Parts, plane: ControlPlane) -> None:
        _remove_cgroups(())
        self._folder = new_state_folder(_KIND)
        self.state = self._folder.path
        prepared = registry_parts.prepare(self._registries, self.state / "registries", built.registry)
        for name in (
            "containerd",
            "cni",
            "cni-state",
            "certs.d",
            "kubelet",
            "kubelet-pki",
            "pods",
            "var-log",
            "plugins",
        ):
            (self.state / name).mkdir()
        plugins = [] if self._network is None else [self._network.plugin(self.state / "cni-state")]
        (self.state / "cni" / "10-pods.conflist").write_text(
            json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [*plugins, {"type": "loopback"}]})
        )
        for host, address in self._mirrors.items():
            (self.state / "certs.d" / host).mkdir()
            (self.state / "certs.d" / host / "hosts.toml").write_text(
                f'server = "https://{host}"\n[host."{address}"]\n  capabilities = ["pull", "resolve"]\n'
            )
        (self.state / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        containerd_socket = self.state / "run" / "containerd.sock"
        (self.state / "containerd.toml").write_text(_containerd_config(self.state, built, containerd_socket))
        (self.state / "kubelet.json").write_text(json.dumps(self._kubelet_config(plane, containerd_socket), indent=1))
        environment = {"PATH": built.path, "HOME": str(self.state), "SSL_CERT_FILE": str(prepared.ca_file)}
        kubelet = {
            "name": "kubelet",
            "argv": [str(built.kubelet), *self._kubelet_arguments(plane)],
            "env": environment,
            "log": str(self.state / "kubelet.log"),
            "outside": self._network is None,
        }
        containerd = {
            "name": "containerd",
            "argv": [str(built.containerd), "--config", str(self.state / "containerd.toml")],
            "env": environment,
            "log": str(self.state / "containerd.log"),
            "outside": False,
        }
        plan = {
            "mounts": [
                # overlayfs takes no upper folder on an overlay, which is what / is in a container of CI
                ["tmpfs", str(self.state / "containerd")],
                ["tmpfs", str(self.state / "run")],
                ["tmpfs", "/run"],
                ["bind", str(self.state / "var-log"), "/var/log"],
                # what the network plugins' library writes to /var/lib/cni, which this machine may not have
                *([] if self._network is None else [["overlay", str(self.state / "run"), "/var/lib"]]),
                *self._sysctls(),
                ["bind", str(self.state / "resolv.conf"), "/etc/resolv.conf"],
            ],
            "addresses": {**prepared.addresses, **self._names},
            "network": None if self._network is None else self._network.plan(self.name),
            "stages": [
                {"wait_for": [], "programs": [*prepared.programs, containerd]},
                {"wait_for": [str(containerd_socket)], "programs": [kubelet]},
            ],
        }
        (self.state / "plan.json").write_text(json.dumps(plan, indent=1))

    def _kubelet_arguments(self, plane: ControlPlane) -> list[str]:
        return [
            f"--config={self.state / 'kubelet.json'}",
            f"--kubeconfig={plane.kubeconfig_for(f'system:node:{self.name}', ['system:nodes'])}",
            f"--hostname-override={self.name}",
            f"--root-dir={self.state / 'kubelet'}",
            f"--cert-dir={self.state / 'kubelet-pki'}",
            *([] if self._network is None else [f"--node-ip={self._network.address}"]),
            *self._arguments,
        ]

    def _kubelet_config(self, plane: ControlPlane, containerd_socket: Path) -> dict[str, Any]:
        reserved = reserve_port()
        port = port_of(reserved)
        reserved.close()  # the kubelet shares a port with nobody
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": "127.0.0.1" if self._network is None else self._network.address,
            "port": port,
            "readOnlyPort": 0,
            "healthzPort": 0,
            "authentication": {
                "anonymous": {"enabled": False},
                "x509": {"clientCAFile": str(plane.state / "ca.crt")},
                "webhook": {"enabled": True},
            },
            "containerRuntimeEndpoint": f"unix://{containerd_socket}",
            "staticPodPath": "",
            "podLogsDir": str(self.state / "pods"),
            "volumePluginDir": str(self.state / "plugins"),
            "resolvConf": "",
            # a machine of CI may still have control groups of version 1, swap, and no systemd
            "failCgroupV1": False,
            "failSwapOn": False,
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            # a disk that is nearly full is the machine's matter
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
            "imageGCHighThresholdPercent": 100,
            "imageMinimumGCAge": "24h",
            "makeIPTablesUtilChains": False,  # rules of the host's network namespace outlive us
            **self._kubelet_settings,
        }

    def _sysctls(self) -> list[list[str]]:
        """The kubelet sets sysctls that are the whole machine's: it gets files with their values instead."""
        folder = self.state / "sysctls"
        folder.mkdir()
        found = []
        for path in map(Path, _SYSCTLS):
            (folder / path.name).write_text(path.read_text())
            found.append(["bind", str(folder / path.name), str(path)])
        return found

    def _wait_for_socket(self, deadline: float) -> None:
        path = self.state / "registries" / "push.sock"
        while not path.exists():
            self._check(deadline, "its registries do not answer")
            time.sleep(0.05)

    def _wait_until_ready(self, plane: ControlPlane, deadline: float) -> None:
        query = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        while plane.kubectl("get", "node", self.name, "-o", query, check=False).stdout != "True":
            self._check(deadline, "it is not Ready")
            time.sleep(0.2)

    def _check(self, deadline: float, what: str) -> None:
        assert self._process is not None
        if (code := self._process.exit_code()) is not None:
            raise NodeError(f"node {self.name} ended with {code}:\n{self.log_tail()}")
        if time.monotonic() > deadline:
            raise NodeError(f"node {self.name}: {what} after {START_SECONDS} s:\n{self.log_tail()}")


def _containerd_config(state: Path, built: Parts, socket: Path) -> str:
    return f"""version = 3
root = "{state / "containerd"}"
state = "{state / "run" / "containerd"}"
disabled_plugins = ["io.containerd.nri.v1.nri"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{_OWN_REGISTRY}/{_PAUSE}:1"
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "{state / "certs.d"}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{built.plugins}"]
    conf_dir = "{state / "cni"}"
"""


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _containers(pid: int, state: Path) -> list[str]:
    """The ids of the containers that run now, seen through the mount namespace of the node's first process."""
    tasks = Path(f"/proc/{pid}/root{state}/run/containerd/io.containerd.runtime.v2.task/k8s.io")
    with contextlib.suppress(OSError):
        return [path.name for path in tasks.iterdir()]
    return []


def _remove_cgroups(containers: Collection[str]) -> None:
    """Control groups outlive their processes. Those of `containers`, and what a killed run left empty, are removed."""
    for parent in [*_CGROUPS.glob(f"*/{_CGROUP_PARENT}"), *_CGROUPS.glob(_CGROUP_PARENT)]:
        with contextlib.suppress(OSError):
            for group in [path for path in parent.iterdir() if path.is_dir()]:
                # one that is just being made has no process yet either
                if group.name in containers or group.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
                    with contextlib.suppress(OSError):  # busy: somebody's
                        group.rmdir()
        with contextlib.suppress(OSError):
            parent.rmdir()


__all__ = ["Access", "Node", "NodeError", "Registry"]
