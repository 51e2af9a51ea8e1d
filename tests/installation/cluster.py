"""A whole cluster to install pullproof in: a control plane, two nodes with a pod network, and its image in a registry.

Why: the installation test does what docs/operations.md tells a platform team to do, by the commands that stand there,
so what it needs is what they have: kubectl, nodes that pull, and the image pushed.

    with Cluster(folder) as cluster:
        cluster.follow("Install")

Must not: know what is tested, reach this machine's network, or leave anything behind (network.py, node.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests import image
from tests.controlplane.controlplane import ControlPlane
from tests.node.network import API_SERVER, POD_NETWORK, Network
from tests.node.node import Node, Registry
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
HOST, REPOSITORY = "registry.example.com", "registry.example.com/pullproof"
VERSIONS = ("0.1.0", "0.1.1")  # what manifests/base names, and one to upgrade to
NODES = ("node-1", "node-2")
WEBHOOKS = "app.kubernetes.io/component=webhook"
PATIENCE = 300  # seconds that a state may take to come; nothing is measured by it
_PORT = 8443
_COMMAND = re.compile(r"^(?:kubectl|pullproof|make|docker) ")


class Cluster:
    """`plane` and `nodes` while it runs; `folder` is for what is written on the way. Builds what is missing first."""

    plane: ControlPlane

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = ExitStack()
        self.nodes: dict[str, Node] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.nodes.clear()
        self._open.close()

    def _start(self) -> None:
        layout = self._folder / "layout"
        with image.built(self._folder / "image") as builder:  # before the network is left
            builder("push", image.IMAGE, f"oci:{layout}:built")
        network = self._open.enter_context(Network())
        # as in every cluster the Service is resolved to its endpoints; there is no kube-proxy here to do it
        arguments = {"kube-apiserver": ["--enable-aggregator-routing=true"]}
        self.plane = self._open.enter_context(ControlPlane(address=API_SERVER, port=443, extra_args=arguments))
        for number, name in enumerate(NODES, start=1):
            node = Node(plane=self.plane, name=name, network=network.place(number), registries=[Registry(HOST)])
            self.nodes[name] = self._open.enter_context(node)
            for version in VERSIONS:
                node.images.push_layout(REPOSITORY, version, layout)
        shutil.rmtree(layout)
        commands = self._folder / "bin"
        commands.mkdir()
        (commands / "kubectl").symlink_to(self.plane.kubectl_program)
        (commands / "pullproof").symlink_to(Path(sys.executable).with_name("pullproof"))
        self._environment = {**self.plane.environment(), "PATH": f"{commands}:{os.environ['PATH']}"}

    # What people type

    def sh(self, command: str) -> subprocess.CompletedProcess[str]:
        """`command` as it is typed in the project's folder, whatever comes of it."""
        return subprocess.run(
            ["/bin/bash", "-c", command],
            cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            timeout=900,
        )  # fmt: skip

    def does(self, command: str) -> str:
        """What a command prints that has to succeed."""
        done = self.sh(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}\n{self.state()}"
        return done.stdout

    def reads(self, *arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.plane.kubectl(*arguments, "-o", "json").stdout)
        return found

    # What there is

    def pods(self, selector: str = WEBHOOKS) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.reads("-n", "pullproof", "get", "pods", "-l", selector)["items"]
        return found

    def endpoints(self, port: int) -> list[str]:
        """The ready addresses of the Service, as far as they listen on `port`."""
        slices = self.reads("-n", "pullproof", "get", "endpointslices", "-l", "kubernetes.io/service-name=pullproof")
        return [
            endpoint["addresses"][0]
            for one in slices["items"]
            if [entry["port"] for entry in one["ports"] or ()] == [port]
            for endpoint in one["endpoints"] or ()
            if endpoint["conditions"]["ready"]
        ]

    def all_ready(self, replicas: int = 3, selector: str = WEBHOOKS) -> bool:
        """As many pods as are wanted, all Ready, and no old one that is still on its way out."""
        pods = self.pods(selector)
        return len(pods) == replicas and all(is_ready(pod) for pod in pods)

    def served(self) -> set[str]:
        """The certificates that new handshakes see, over all replicas."""
        return {ssl.get_server_certificate((pod["status"]["podIP"], _PORT), timeout=10) for pod in self.pods()}

    def certificates(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.does("pullproof certs status -o json"))
        return found

    def state(self) -> str:
        """Everything that says why pullproof does not run, for a failure's message."""
        shown = [self.sh("kubectl get nodes; kubectl -n pullproof get pods -o wide; kubectl -n pullproof get events")]
        files = [log for node in self.nodes.values() for log in (node.state / "pods").glob("pullproof_*/*/*.log")]
        tails = {log.parts[-3]: log.read_text(errors="replace").splitlines()[-8:] for log in files}
        logs = [f"--- {pod}\n" + "\n".join(tail) for pod, tail in sorted(tails.items())]
        return "\n".join([*(done.stdout[-6000:] + done.stderr for done in shown), *logs])

    # What happens to it

    def processes(self, command: str) -> dict[int, int]:
        """The processes of `pullproof <command>` on all nodes: id → parent's id."""
        parents = _parents()
        found = {}
        for node in self.nodes.values():
            for process in _below(node.pid, parents):
                with contextlib.suppress(OSError):
                    argv = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
                    if b"/opt/pullproof/bin/pullproof" in argv and command.encode() in argv:
                        found[process] = parents[process]
        return found

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Pods and the API server's address don't reach each other. Its calls come from another, and still arrive."""
        with ExitStack() as undo:
            for node in self.nodes.values():
                inside = ["nsenter", f"--net=/proc/{node.pid}/ns/net", "ip", "rule"]
                for rule in (["iif", "pods", "to", API_SERVER], ["iif", "eth0", "from", API_SERVER, "to", POD_NETWORK]):
                    subprocess.run([*inside, "add", *rule, "blackhole"], check=True)
                    undo.callback(subprocess.run, [*inside, "delete", *rule, "blackhole"], check=True)
            yield


def follow(cluster: Cluster, heading: str, instead: dict[str, Callable[[], None]] | None = None) -> list[str]:
    """Run the commands in the blocks below a heading of docs/operations.md, in order; returns them.

    instead: what is done in place of a command that begins so.
    """
    done = []
    for command in blocks(heading):
        for start, replacement in (instead or {}).items():
            if command.startswith(start):
                replacement()
                break
        else:
            cluster.does(command)
        done.append(command)
    assert done, f"docs/operations.md has no command under {heading}"
    return done


def blocks(heading: str) -> list[str]:
    """The commands that stand in indented blocks below a heading."""
    lines = section(heading).splitlines()
    return [line.strip() for line in lines if line.startswith("    ") and _COMMAND.match(line.strip())]


def section(heading: str) -> str:
    text = OPERATIONS.read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n## {heading}\n")
    assert found, f"docs/operations.md has no heading {heading}"
    return rest.partition("\n## ")[0]


def written(command: str) -> str:
    """`command`, which has to stand in docs/operations.md as it is."""
    assert f"`{command}`" in OPERATIONS.read_text(encoding="utf-8"), f"docs/operations.md does not say `{command}`"
    return command


def kill(processes: dict[int, int]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def patiently(probe: Callable[[], object]) -> None:
    eventually(probe, seconds=PATIENCE, interval=0.5)


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    gone = "deletionTimestamp" in pod["metadata"]
    return not gone and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _parents() -> dict[int, int]:
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            found[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    return found


def _below(root: int, parents: dict[int, int]) -> set[int]:
    found = {root}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}
