"""Rolling update, drain, and rotation of both certificates under a steady load: with failurePolicy Fail, no call fails.

The API server, its way from Service to endpoint and the manifests (overlay `enforce`) are real. The replicas are
processes on addresses of this machine, and this file does what kubelet and endpoint controller would: it takes a
replica out of the Service a moment *after* telling it to stop, as happens in a cluster. Needs root, for addresses that
are not loopback's: an EndpointSlice may not name those.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.controlplane.controlplane import ControlPlane
from tests.controlplane.processes import spawn
from tests.load import Load
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.controlplane.processes import Process

ROOT = Path(__file__).resolve().parents[2]
PULLPROOF = Path(sys.executable).parent / "pullproof"
PORT = 8443
DRAIN = 5


class Cluster:
    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.folder = folder
        self.subnet = f"10.213.{secrets.randbelow(250)}"
        self.replicas: dict[str, Process] = {}
        self.controller: Process | None = None
        self._next = 0
        plane.kubectl("apply", "-k", str(ROOT / "manifests" / "overlays" / "enforce"))
        plane.kubectl("create", "namespace", "shop")
        eventually(lambda: plane.kubectl("-n", "shop", "get", "sa", "default", check=False).returncode == 0)

    def start_controller(self) -> None:
        self.controller = spawn(
            "pullproof",
            PULLPROOF,
            [
                "controller", "--namespace=pullproof", f"--bind={self.subnet}.250:8080",
                f"--kubeconfig={self.plane.kubeconfig}", "--overlap-seconds=5", "--retire-seconds=15",
            ],
            self.folder / "controller.log",
        )  # fmt: skip

    def start_replica(self) -> str:
        """Start one more; it is ready on return, and nobody is sent to it yet."""
        self._next += 1
        address = f"{self.subnet}.{self._next}"
        ip("add", address)
        self.replicas[address] = spawn(
            "pullproof",
            PULLPROOF,
            [
                "serve", f"--bind={address}:{PORT}", "--tls-secret=pullproof/pullproof-tls",
                f"--drain-seconds={DRAIN}", f"--kubeconfig={self.plane.kubeconfig}",
            ],
            self.folder / f"{address}.log",
        )  # fmt: skip
        eventually(lambda: ready(address))
        return address

    def publish(self, *addresses: str) -> None:
        """Make these the Service's endpoints."""
        document = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "pullproof-processes",
                "namespace": "pullproof",
                "labels": {"kubernetes.io/service-name": "pullproof"},
            },
            "addressType": "IPv4",
            "ports": [{"name": "https", "port": PORT, "protocol": "TCP"}],
            "endpoints": [{"addresses": [one], "conditions": {"ready": True}} for one in addresses],
        }
        self.plane.kubectl("apply", "-f", "-", input=json.dumps(document))

    def take_out(self, address: str) -> None:
        """What happens to a pod that is deleted: told to stop, then, later, no longer an endpoint."""
        process = self.replicas.pop(address)
        process.popen.send_signal(signal.SIGTERM)
        time.sleep(1)
        self.publish(*self.replicas)
        process.popen.wait(60)
        assert process.exit_code() == 0
        ip("del", address)

    def certs(self, *arguments: str) -> str:
        command = [PULLPROOF, "certs", *arguments, f"--kubeconfig={self.plane.kubeconfig}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.certs("status", "-o", "json"))
        return found

    def close(self) -> None:
        for process in [*self.replicas.values(), *([self.controller] if self.controller else [])]:
            process.stop()
        for address in [*self.replicas, f"{self.subnet}.250"]:
            ip("del", address)


def ip(verb: str, address: str) -> None:
    done = subprocess.run(
        ["ip", "address", verb, f"{address}/32", "dev", "lo"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"ip address {verb} {address}: {done.stderr} (needs root and iproute2)"


def ready(address: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(address, PORT, context=context, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    assert os.geteuid() == 0, "addresses for the replicas need root"
    # as in a real cluster the Service is resolved to its endpoints; there is no kube-proxy here to do it
    with ControlPlane(scheduler=False, extra_args={"kube-apiserver": ["--enable-aggregator-routing=true"]}) as plane:
        made = Cluster(plane, tmp_path_factory.mktemp("cluster"))
        try:
            ip("add", f"{made.subnet}.250")
            made.start_controller()
            made.publish(*[made.start_replica() for _ in range(3)])
            load = Load(plane)
            connection = load.connect()
            eventually(lambda: load.ask(connection, good=False) == "denied")
            connection.close()
            yield made
        finally:
            made.close()


def rolling_update(cluster: Cluster) -> None:
    for old in list(cluster.replicas):
        cluster.start_replica()
        cluster.publish(*cluster.replicas)
        cluster.take_out(old)


def drain(cluster: Cluster) -> None:
    cluster.take_out(next(iter(cluster.replicas)))
    cluster.start_replica()
    cluster.publish(*cluster.replicas)


def leaf_rotation(cluster: Cluster) -> None:
    before = served(cluster)
    cluster.certs("renew")
    eventually(lambda: not served(cluster) & before)


def authority_rotation(cluster: Cluster) -> None:
    before = served(cluster)
    cluster.certs("renew", "--authority")
    eventually(lambda: cluster.status()["rotation"] == "an old authority leaves")
    eventually(lambda: cluster.status()["rotation"] == "steady")
    assert cluster.status()["authoritiesTrusted"] == 1
    assert not served(cluster) & before


def served(cluster: Cluster) -> set[str]:
    """The certificates that new handshakes see, over all replicas."""
    return {ssl.get_server_certificate((address, PORT), timeout=10) for address in cluster.replicas}


@pytest.mark.parametrize("event", [rolling_update, drain, leaf_rotation, authority_rotation])
def test_no_call_fails_during(event: Callable[[Cluster], None], cluster: Cluster) -> None:
    with Load(cluster.plane) as load:
        event(cluster)
        over = load.total
        # on the connections that were open before as on new ones, and never fewer than a quarter of two thousand
        eventually(lambda: load.total >= max(500, over + 100), seconds=600)
    print(f"{event.__name__}: {load}")
    assert set(load.answers) == {"admitted", "denied"}, load.answers


def test_a_killed_worker_comes_back_by_itself(cluster: Cluster) -> None:
    address, arbiter = next(iter(cluster.replicas.items()))
    children = Path(f"/proc/{arbiter.pid}/task/{arbiter.pid}/children")
    (worker,) = children.read_text().split()
    os.kill(int(worker), signal.SIGKILL)
    eventually(lambda: worker not in children.read_text().split() and ready(address))
    with Load(cluster.plane) as load:
        eventually(lambda: load.total >= 200, seconds=600)
    assert set(load.answers) == {"admitted", "denied"}, load.answers


def test_when_all_are_gone_the_cluster_goes_on_where_failures_are_ignored(cluster: Cluster) -> None:
    for address, process in cluster.replicas.items():
        process.stop()
        ip("del", address)
    cluster.replicas.clear()
    load = Load(cluster.plane)
    connection = load.connect()
    eventually(lambda: "failed calling webhook" in load.ask(connection, good=True))
    # pullproof's own namespace is never asked about: its pods come back by themselves
    own = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "own", "namespace": "pullproof"},
        "spec": json.loads(
            cluster.plane.kubectl("-n", "pullproof", "get", "deployment", "pullproof", "-o", "json").stdout
        )["spec"]["template"]["spec"],
    }
    made = cluster.plane.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(own))
    assert made.stdout == "pod/own created (server dry run)\n"
    cluster.plane.kubectl("apply", "-k", str(ROOT / "manifests"))  # failurePolicy Ignore
    eventually(lambda: load.ask(connection, good=True) == "admitted")
    eventually(lambda: load.ask(connection, good=False) == "unjudged")
    # the emergency exit, then back: the controller sets the caBundle again
    cluster.plane.kubectl("delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "pullproof")
    eventually(lambda: load.ask(connection, good=True) == "admitted")
    cluster.plane.kubectl("apply", "-k", str(ROOT / "manifests" / "overlays" / "enforce"))
    cluster.publish(*[cluster.start_replica() for _ in range(3)])
    eventually(lambda: load.ask(connection, good=False) == "denied")
    connection.close()
