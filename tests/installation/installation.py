"""pullproof installed as docs/operations.md says, in a real cluster with two nodes, and what then happens to clusters.

Run by `make test-install` (alone: it takes some minutes, and `make test` has enough of those). Every command that
stands in a block of that page is run from the page, in its order. Real are: control plane, kubelets, containerd, the
pod network, the registry, the image and the manifests. Not here: kube-proxy (pods reach the API server at its Service's
address all the same), and a way to pull a base image (tests/image.py builds the Dockerfile on one of its own).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import image
from tests.controlplane.programs import programs
from tests.installation.cluster import (
    NODES,
    REPOSITORY,
    WEBHOOKS,
    Cluster,
    blocks,
    follow,
    is_ready,
    kill,
    patiently,
    section,
    written,
)
from tests.load import BAD, Load
from tests.node.parts import parts
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

FAIL = "kubectl apply -k tests/installation/rotation"  # the overlay enforce, with shorter waits
FEWEST = 300  # calls during each event; together they are far more than two thousand
CONTROLLERS = "app.kubernetes.io/component=controller"
LATE = "let by when time was up"
MISTYPED = "kubectl create --dry-run=server -f samples/mistyped-pod.yaml"
CLOCKS = ["+10m", "-10m"]


@pytest.fixture(scope="module")
def say(uncaptured: Callable[[], AbstractContextManager[None]]) -> Callable[[str], None]:
    """Every number is printed, whether a test fails or not."""

    def say(text: str) -> None:
        with uncaptured():
            print(f"\n    {text}", flush=True)

    return say


@pytest.fixture(scope="module")
def cluster(
    uncaptured: Callable[[], AbstractContextManager[None]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    with uncaptured():
        programs()
        parts()
        image.base()
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


class Watch:
    """A load over an event: it goes on until enough was called, also on what the event left.

    On a machine that is starved, judging may take longer than it is given, and is cut short: that is in the audit log
    (PULL903), and counted by itself.
    """

    def __init__(self, cluster: Cluster, say: Callable[[str], None], event: str) -> None:
        self._load, self._say, self._event = Load(cluster.plane), say, event
        self._plane = cluster.plane
        self._before = len(list(cluster.plane.audit_events()))

    def __enter__(self) -> Load:
        return self._load.__enter__()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            enough = max(FEWEST, self._load.total + 100)
            patiently(lambda: self._load.total >= enough)
        self._load.__exit__()
        answers = self._load.answers
        if answers["unjudged"]:
            with contextlib.suppress(AssertionError):  # an event is written just after its answer
                eventually(lambda: self._late() == answers["unjudged"], seconds=10)
            answers[LATE] = min(self._late(), answers["unjudged"])
            answers["unjudged"] -= answers[LATE]
        self._load.answers = +answers
        self._say(f"{self._event}: {self._load}")

    def _late(self) -> int:
        """How many that should have been denied were let by because time was up."""
        events = itertools.islice(self._plane.audit_events(), self._before, None)
        return sum(
            "PULL903" in str(event.get("annotations")) and BAD in str(event.get("requestObject")) for event in events
        )


# Install


def test_it_is_installed_as_the_page_says(cluster: Cluster, say: Callable[[str], None]) -> None:
    def is_refused() -> None:
        done = cluster.sh(MISTYPED)
        assert done.returncode == 1, done.stdout
        assert 'admission webhook "validate.pullproof.dev" denied the request' in done.stderr
        assert "PULL201" in done.stderr
        assert "use `contoso.azurecr.io/shop:1.4.2`" in done.stderr

    def nothing() -> None:
        """The image is built on another base, and pushed, before (cluster.py)."""

    done = follow(cluster, "Install", {"make image": nothing, "docker push": nothing, MISTYPED: is_refused})
    assert MISTYPED in done
    cluster.does("kubectl create namespace shop")
    patiently(cluster.all_ready)
    patiently(lambda: cluster.all_ready(2, CONTROLLERS))
    where = sorted(pod["spec"]["nodeName"] for pod in cluster.pods())
    say(f"3 replicas on {', '.join(where)}, pulled by the nodes' containerd")
    assert set(where) == set(NODES)
    assert {pod["status"]["containerStatuses"][0]["image"] for pod in cluster.pods()} == {f"{REPOSITORY}:0.1.0"}
    for command in ("pullproof certs status", "kubectl apply -k manifests/"):
        assert command in done


def test_warnings_reach_kubectl(cluster: Cluster) -> None:
    patiently(lambda: cluster.sh("kubectl -n shop get serviceaccount default").returncode == 0)
    warned = cluster.sh("kubectl -n shop create deployment shop --image=contoso.azurecr.io/shop:1 --dry-run=server")
    assert warned.returncode == 0
    assert warned.stderr.startswith("Warning: ")
    assert "PULL304 shop: no credential for contoso.azurecr.io" in warned.stderr
    assert "deployment.apps/shop created (server dry run)" in warned.stdout


def test_the_first_weeks_nobody_is_stopped(cluster: Cluster) -> None:
    cluster.does(written("kubectl apply -k manifests/overlays/warn-only"))
    cluster.does("kubectl -n pullproof rollout status deployment/pullproof")
    patiently(cluster.all_ready)
    done = cluster.sh(MISTYPED)
    assert done.returncode == 0
    assert "Warning: " in done.stderr
    assert "PULL201" in done.stderr


# Of what is in the manifests beside, only what another port and fewer rights change


def test_with_least_privilege_it_is_ready_and_denies(cluster: Cluster) -> None:
    cluster.does("kubectl apply -k manifests/overlays/least-privilege")
    cluster.does("kubectl -n pullproof rollout status deployment/pullproof")
    patiently(cluster.all_ready)
    refused = cluster.sh(MISTYPED)
    assert "use `contoso.azurecr.io/shop:1.4.2`" in refused.stderr


def test_on_its_nodes_network_it_is_ready_and_denies(cluster: Cluster) -> None:
    cluster.does("kubectl apply -k manifests/overlays/host-network")
    patiently(lambda: len(on_host(cluster)) == len(NODES) == len(cluster.endpoints(9443)))
    refused = cluster.sh(MISTYPED)
    assert "use `contoso.azurecr.io/shop:1.4.2`" in refused.stderr
    cluster.does(written("kubectl apply -k manifests/"))
    cluster.does("kubectl -n pullproof rollout status deployment/pullproof")
    patiently(cluster.all_ready)


def on_host(cluster: Cluster) -> set[str]:
    """The nodes with a replica on their own network; a port is one pod's, so the third waits for a third node."""
    return {pod["spec"]["nodeName"] for pod in cluster.pods() if pod["spec"].get("hostNetwork") and is_ready(pod)}


# Under load, with failurePolicy Fail: no call fails


def no_call_failed(load: Load) -> None:
    assert set(load.answers) <= {"admitted", "denied", LATE}, load.answers
    assert load.answers["denied"] > 0
    assert load.total >= FEWEST


@pytest.fixture(scope="module")
def failing_closed(cluster: Cluster) -> Cluster:
    cluster.does(FAIL)
    for name in ("pullproof", "pullproof-controller"):
        cluster.does(f"kubectl -n pullproof rollout status deployment/{name}")
    patiently(cluster.all_ready)
    found = cluster.reads("get", "validatingwebhookconfiguration", "pullproof")
    assert [webhook["failurePolicy"] for webhook in found["webhooks"]] == ["Fail"]
    patiently(lambda: cluster.sh(MISTYPED).returncode == 1)
    return cluster


def upgrade(cluster: Cluster) -> None:
    assert "`kubectl apply -k` with the new image" in section("Upgrade")
    cluster.does("kubectl apply -k tests/installation/upgrade")
    cluster.does("kubectl -n pullproof rollout status deployment/pullproof")
    patiently(cluster.all_ready)
    assert {pod["spec"]["containers"][0]["image"] for pod in cluster.pods()} == {f"{REPOSITORY}:0.1.1"}


def way_back(cluster: Cluster) -> None:
    cluster.does(FAIL)
    cluster.does("kubectl -n pullproof rollout status deployment/pullproof")
    patiently(cluster.all_ready)
    assert {pod["spec"]["containers"][0]["image"] for pod in cluster.pods()} == {f"{REPOSITORY}:0.1.0"}


def drain(cluster: Cluster) -> None:
    cluster.does(f"kubectl drain {NODES[0]} --delete-emptydir-data --timeout=300s")
    patiently(cluster.all_ready)
    assert {pod["spec"]["nodeName"] for pod in cluster.pods()} == {NODES[1]}
    cluster.does(f"kubectl uncordon {NODES[0]}")


def leaf_rotation(cluster: Cluster) -> None:
    before = cluster.served()
    cluster.does(written("pullproof certs renew"))
    patiently(lambda: not cluster.served() & before)


def authority_rotation(cluster: Cluster) -> None:
    before = cluster.served()
    cluster.does("pullproof certs renew --authority")
    patiently(lambda: cluster.certificates()["rotation"] == "an old authority leaves")
    patiently(lambda: cluster.certificates()["rotation"] == "steady")
    assert cluster.certificates()["authoritiesTrusted"] == 1
    assert not cluster.served() & before


EVENTS = [upgrade, way_back, drain, leaf_rotation, authority_rotation]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_no_call_fails_during(
    event: Callable[[Cluster], None], failing_closed: Cluster, say: Callable[[str], None]
) -> None:
    with Watch(failing_closed, say, event.__name__) as load:
        event(failing_closed)
    no_call_failed(load)


def test_no_call_fails_while_the_webhook_is_cut_off_from_the_api_server(
    failing_closed: Cluster, say: Callable[[str], None]
) -> None:
    event = "webhook and controller cut off from the API server"
    with Watch(failing_closed, say, event) as load, failing_closed.cut_off():
        failing_closed.does("kubectl label namespace shop pullproof.dev/enforce=off")
        before = load.answers["denied"]
        patiently(lambda: load.answers["denied"] >= before + FEWEST / 3)  # it judges by what it knew
    try:
        patiently(lambda: failing_closed.sh(in_shop(MISTYPED)).returncode == 0)  # and catches up
    finally:
        failing_closed.does("kubectl label namespace shop pullproof.dev/enforce-")
    patiently(lambda: failing_closed.sh(in_shop(MISTYPED)).returncode == 1)
    assert set(load.answers) <= {"admitted", "denied", "unjudged", LATE}, load.answers


def in_shop(command: str) -> str:
    return command.replace("kubectl ", "kubectl -n shop ", 1)


def test_no_call_fails_when_the_api_server_has_been_away(failing_closed: Cluster, say: Callable[[str], None]) -> None:
    failing_closed.plane.stop_apiserver()
    failing_closed.plane.start_apiserver()
    with Watch(failing_closed, say, "after a crash of the API server") as load:
        pass
    no_call_failed(load)


@pytest.mark.parametrize("clock", CLOCKS)
def test_no_call_fails_when_the_controllers_clock_is_off(
    clock: str, failing_closed: Cluster, say: Callable[[str], None]
) -> None:
    """A certificate made by a clock that is fast or slow, for a webhook and an API server whose clocks are right.

    By a library in the test's base image that a process is started with. The webhook's clock can't be moved so, since
    Python's sleep fails under it; but all it does with a clock is to hold it against the certificate's.
    """
    with Watch(failing_closed, say, f"the controller's clock at {clock}, and a new certificate by it") as load:
        settings = f"FAKETIME={clock} FAKETIME_DONT_FAKE_MONOTONIC=1 'LD_PRELOAD={image.FAKETIME}'"
        failing_closed.does(f"kubectl -n pullproof set env deployment/pullproof-controller {settings}")
        failing_closed.does("kubectl -n pullproof rollout status deployment/pullproof-controller")
        patiently(lambda: failing_closed.all_ready(2, CONTROLLERS))
        patiently(lambda: off_by(failing_closed) == clock)
        leaf_rotation(failing_closed)
    no_call_failed(load)
    assert off_by(failing_closed) == clock


def off_by(cluster: Cluster) -> str:
    """How far the leader's clock is off, by what it wrote into its Lease."""
    lease = cluster.reads("-n", "pullproof", "get", "lease", "pullproof-controller")
    now = subprocess.run(["date", "-u", "+%s"], capture_output=True, text=True, check=True).stdout
    stamp = subprocess.run(
        ["date", "-u", "-d", lease["spec"]["renewTime"], "+%s"], capture_output=True, text=True, check=True
    ).stdout
    return f"{round((int(stamp) - int(now)) / 60):+d}m"


# What dies comes back


def test_a_killed_worker_comes_back_by_itself(failing_closed: Cluster, say: Callable[[str], None]) -> None:
    way_back(failing_closed)
    serving = failing_closed.processes("serve")
    workers = {worker: parent for worker, parent in serving.items() if parent in serving}
    assert len(workers) == 3
    assert len(serving) == 6
    worker, arbiter = next(iter(workers.items()))
    with Watch(failing_closed, say, "a worker killed, failures count") as load:
        patiently(lambda: load.total >= FEWEST / 3)
        kill({worker: arbiter})
        eventually(lambda: worker not in failing_closed.processes("serve"))
        eventually(lambda: arbiter in failing_closed.processes("serve").values())
        patiently(failing_closed.all_ready)
    failed = [answer for answer in load.answers if answer not in {"admitted", "denied", LATE}]
    assert all("failed calling webhook" in answer for answer in failed), failed
    with Watch(failing_closed, say, "after it came back") as load:
        pass
    no_call_failed(load)


def test_all_pods_deleted_at_once_come_back_although_failures_count(failing_closed: Cluster) -> None:
    before = {pod["metadata"]["uid"] for pod in failing_closed.pods()}
    failing_closed.does("kubectl -n pullproof delete pods --all --force --grace-period=0")
    patiently(lambda: failing_closed.all_ready() and not before & {p["metadata"]["uid"] for p in failing_closed.pods()})
    patiently(lambda: failing_closed.sh(MISTYPED).returncode == 1)


def test_when_all_are_killed_the_cluster_goes_on_where_failures_are_ignored(
    cluster: Cluster, say: Callable[[str], None]
) -> None:
    cluster.does(written("kubectl apply -k manifests/"))
    cluster.does("kubectl -n pullproof rollout status deployment/pullproof-controller")
    patiently(cluster.all_ready)
    restarts = sum_of_restarts(cluster)
    with Watch(cluster, say, "all processes killed, failures ignored") as load:
        kill({**cluster.processes("serve"), **cluster.processes("controller")})
        patiently(lambda: load.answers["unjudged"] > 0)
        patiently(lambda: sum_of_restarts(cluster) >= restarts + 3 and cluster.all_ready())
    assert set(load.answers) <= {"admitted", "denied", "unjudged", LATE}, load.answers
    patiently(lambda: cluster.sh(MISTYPED).returncode == 1)


def sum_of_restarts(cluster: Cluster) -> int:
    statuses: list[dict[str, Any]] = [one for pod in cluster.pods() for one in pod["status"]["containerStatuses"]]
    return sum(status["restartCount"] for status in statuses)


# The ways out


def test_the_emergency_exit_frees_a_cluster_and_there_is_a_way_back(cluster: Cluster) -> None:
    cluster.does(FAIL)
    cluster.does("kubectl -n pullproof scale deployment pullproof --replicas=0")
    cluster.does(f"kubectl -n pullproof delete pods -l {WEBHOOKS} --force --grace-period=0 --ignore-not-found")
    patiently(lambda: 'failed calling webhook "validate.pullproof.dev"' in cluster.sh(MISTYPED).stderr)
    (command,) = follow(cluster, "Emergency exit")
    assert "delete" in command
    patiently(lambda: cluster.sh(MISTYPED).returncode == 0)
    cluster.does(written("kubectl apply -k manifests/"))
    cluster.does("kubectl -n pullproof rollout status deployment/pullproof")
    patiently(lambda: cluster.sh(MISTYPED).returncode == 1)
    softer = written("kubectl label namespace shop pullproof.dev/enforce=off --overwrite")
    cluster.does(softer)
    patiently(lambda: cluster.sh(in_shop(MISTYPED)).returncode == 0)


def test_nothing_of_it_is_left_when_it_was_uninstalled(cluster: Cluster) -> None:
    follow(cluster, "Uninstall")
    kinds = cluster.does("kubectl api-resources --verbs=list -o name").split()
    left = cluster.does(
        f"kubectl get {','.join(kinds)} -A -l app.kubernetes.io/name=pullproof -o name --ignore-not-found"
    )
    assert left == ""
    assert cluster.sh("kubectl get namespace pullproof").returncode == 1
    assert cluster.sh(MISTYPED).returncode == 0


def test_no_other_command_stands_in_a_block_on_the_way() -> None:
    """The blocks of the other three were run from the page."""
    assert blocks("Upgrade") == []


def test_nothing_of_the_cluster_is_left_on_this_machine(cluster: Cluster) -> None:
    folders = [str(cluster.plane.state), *(str(node.state) for node in cluster.nodes.values())]
    cluster.close()
    eventually(lambda: not [folder for folder in folders if mentioned(folder)])
    assert not [folder for folder in folders if Path(folder).exists()]
    links = json.loads(subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True).stdout)
    assert not [link["ifname"] for link in links if link["ifname"].startswith(("to-node", "nodes", "pods"))]


def mentioned(folder: str) -> list[int]:
    """The processes with that folder in their command line or mounts."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_text() + (process / "mountinfo").read_text()
        except OSError:
            continue
        if folder in text:
            found.append(int(process.name))
    return found
