"""A network of its own for a whole cluster: the API server at its Service's address, nodes on a bridge, pods routed.

Why: what is installed in a cluster finds the API server at 10.0.0.1:443 and is found by it at its pods' addresses. All
of that needs addresses, links and routes; made in a network namespace, they touch nothing of this machine, several
clusters can run beside each other, and the kernel clears them when the last process of theirs ends, however it ends.

    with Network() as network, ControlPlane(address=API_SERVER, port=443) as plane:
        with Node(plane=plane, network=network.place(1)):

A network namespace is a thread's: whoever is in it, and what it starts (processes, threads), sees only that network.
There is no kube-proxy: the API server dials endpoints itself (`--enable-aggregator-routing`), pods need one Service.

Must not: lead to the internet, or know Kubernetes' objects.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

API_SERVER = "10.0.0.1"
"""The first address of the control plane's Service range: that of the Service `kubernetes`."""

POD_NETWORK = "10.244.0.0/16"

_CLONE_NEWNET = 0x40000000
_BRIDGE = "nodes"
_GATEWAY = "10.200.0.1"


@dataclass(frozen=True)
class Place:
    """Where a node and its pods are, by the node's number (from 1)."""

    number: int

    @property
    def address(self) -> str:
        return f"10.200.0.{10 + self.number}"

    @property
    def pods(self) -> str:
        return f"10.244.{self.number}.0/24"

    def plan(self, name: str) -> dict[str, str]:
        """What inside.py is told."""
        link = f"to-{name}"[:15]
        return {
            "link": link, "bridge": _BRIDGE, "address": self.address, "gateway": _GATEWAY, "pods": self.pods,
        }  # fmt: skip

    def plugin(self, folder: Path) -> dict[str, Any]:
        """The CNI plugin that gives pods their addresses; `folder` keeps who has which."""
        return {
            "type": "bridge",
            "bridge": "pods",
            "isGateway": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": self.pods}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": str(folder),
            },
        }


class Network:
    """The calling thread leaves this machine's network on entering, and returns on leaving. Needs root, iproute2."""

    _outside: int

    def __enter__(self) -> Self:
        self._outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _call("unshare", _CLONE_NEWNET)
        try:
            for command in (
                "link set lo up",
                f"address add {API_SERVER}/32 dev lo",
                f"link add {_BRIDGE} type bridge",
                f"address add {_GATEWAY}/24 dev {_BRIDGE}",
                f"link set {_BRIDGE} up",
            ):
                subprocess.run(["ip", *command.split()], check=True)
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")  # from node to node
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        _call("setns", self._outside, _CLONE_NEWNET)
        os.close(self._outside)

    def place(self, number: int) -> Place:
        return Place(number)


def _call(name: str, *arguments: int) -> None:
    function: Callable[..., int] = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())} (a network needs root)")
