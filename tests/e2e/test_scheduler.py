"""The real kube-scheduler, over Windows, Linux and arm64 nodes, agrees with pullproof case by case.

The Nodes are objects without a kubelet: the scheduler asks for no more. Every combination is applied in one go, through
the webhook as users run it; then what pullproof said (its audit annotations) is held against where each pod went:
told "no node takes it", it stays Pending, and only then; injected, it lands on its system.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.controlplane.controlplane import ControlPlane
from tests.controlplane.programs import programs
from tests.platforms import node
from tests.serving import ServedWebhook
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

SEED = 20348
GENERATED = 300
NAMESPACE = "team-a"
RUNTIME_CLASS = "windows-2019"

NODES = [
    {"name": "linux-amd64", "labels": {"pool": "a"}},
    {"name": "linux-arm64", "arch": "arm64", "labels": {"pool": "5"}},
    {"name": "linux-system", "labels": {"pool": "system"}, "taints": ["dedicated=system:NoSchedule"]},
    {"name": "windows-2019", "os": "windows", "build": "10.0.17763", "taints": ["old=true:NoExecute"]},
    {"name": "windows-2022", "os": "windows", "build": "10.0.20348", "taints": ["os=windows:NoSchedule"]},
    # nothing keeps Linux pods off this one
    {"name": "windows-2025", "os": "windows", "build": "10.0.26100", "labels": {"pool": "b"}},
]
SYSTEM_OF = {one["name"]: one.get("os", "linux") for one in NODES}

IMAGES = {
    "windows": "mcr.microsoft.com/windows/nanoserver:ltsc2022",
    "linux": "quay.io/contoso/proxy:1-alpine",
    None: "contoso.azurecr.io/shop:1",
}
SELECTORS: list[dict[str, str]] = [
    {},
    {},
    {"kubernetes.io/os": "linux"},
    {"kubernetes.io/os": "windows"},
    {"kubernetes.io/os": "Windows"},
    {"beta.kubernetes.io/os": "windows"},
    {"kubernetes.io/arch": "arm64"},
    {"kubernetes.io/arch": "x86_64"},
    {"kubernetes.io/os": "windows", "kubernetes.io/arch": "arm64"},
    {"node.kubernetes.io/windows-build": "10.0.17763"},
    {"node.kubernetes.io/windows-build": "10.0.20348"},
    {"pool": "a"},
    {"pool": "b"},
    {"pool": "system"},
    {"pool": "gpu"},
]
TERMS: list[list[dict[str, Any]]] = [
    [],
    [],
    [],
    [{"key": "kubernetes.io/os", "operator": "In", "values": ["windows"]}],
    [{"key": "kubernetes.io/os", "operator": "NotIn", "values": ["windows"]}],
    [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux", "windows"]}],
    [{"key": "node.kubernetes.io/windows-build", "operator": "Exists"}],
    [{"key": "node.kubernetes.io/windows-build", "operator": "DoesNotExist"}],
    [{"key": "pool", "operator": "Gt", "values": ["4"]}],
    [{"key": "pool", "operator": "Lt", "values": ["4"]}],
    [{"key": "pool", "operator": "NotIn", "values": ["a", "b"]}],
]
TOLERATIONS: list[list[dict[str, str]]] = [
    [],
    [],
    [{"key": "os", "operator": "Equal", "value": "windows", "effect": "NoSchedule"}],
    [{"key": "old", "operator": "Exists"}],
    [{"operator": "Exists"}],
]


@dataclass(frozen=True, slots=True)
class Case:
    """One pod, what its image is for, and what became of it."""

    name: str
    image: str | None
    spec: dict[str, Any] = field(default_factory=dict)

    def manifest(self) -> dict[str, Any]:
        containers = [{"name": "app", "image": IMAGES[self.image]}]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": {"containers": containers, **self.spec},
        }


def cases() -> list[Case]:
    """Some that must be among them, and as many more by chance, always the same."""
    chosen: list[tuple[str | None, dict[str, Any]]] = [
        (image, {"nodeSelector": selector} if selector else {})
        for image, selector in itertools.product(IMAGES, SELECTORS[1:])
    ]
    chosen += [(image, {"runtimeClassName": RUNTIME_CLASS}) for image in IMAGES]
    chosen += [(None, {"os": {"name": name}}) for name in ("linux", "windows")]
    rng = random.Random(SEED)
    for _ in range(GENERATED):
        spec: dict[str, Any] = {}
        if selector := rng.choice(SELECTORS):
            spec["nodeSelector"] = selector
        if terms := [term for term in rng.choices(TERMS, k=rng.choice([1, 1, 2])) if term]:
            required = {"nodeSelectorTerms": [{"matchExpressions": term} for term in terms]}
            spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
        if tolerations := rng.choice(TOLERATIONS):
            spec["tolerations"] = tolerations
        if name := rng.choice(["", "", "", "linux", "windows"]):
            spec["os"] = {"name": name}
        chosen.append((rng.choice(list(IMAGES)), spec))
    return [Case(f"case-{index:03}", image, spec) for index, (image, spec) in enumerate(chosen)]


CASES = cases()


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a pod went (None: nowhere), and what pullproof had said: codes with their confidence, what it injected."""

    node: str | None
    codes: dict[str, str]
    injected: str | None


@pytest.fixture(scope="module")
def plane(uncaptured: Callable[[], AbstractContextManager[None]]) -> Iterator[ControlPlane]:
    """Its own, as Nodes would be evidence in other tests. Nobody is there to take the taint off a Node that is new."""
    with uncaptured():
        programs()
    arguments = ["--disable-admission-plugins=ServiceAccount,TaintNodesByCondition"]
    with ControlPlane(controller_manager=False, extra_args={"kube-apiserver": arguments}) as started:
        yield started


@pytest.fixture(scope="module")
def outcomes(plane: ControlPlane) -> dict[str, Outcome]:
    """Every case applied once, through pullproof, and scheduled or refused by the scheduler."""
    runtime_class = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": RUNTIME_CLASS},
        "handler": "runhcs-wcow-process",
        "scheduling": {
            "nodeSelector": {"node.kubernetes.io/windows-build": "10.0.17763"},
            "tolerations": [{"key": "old", "operator": "Exists"}],
        },
    }
    labels = {"pullproof.dev/inject-os": "enabled", "pullproof.dev/enforce": "off", "pullproof.dev/warn": "off"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    create(plane, [namespace, runtime_class, *map(registered, NODES)])
    with ServedWebhook(plane) as webhook:
        webhook.register()
        create(plane, [case.manifest() for case in CASES])
        webhook.unregister()

    def settled() -> dict[str, str | None] | None:
        found = json.loads(plane.kubectl("get", "pods", "-n", NAMESPACE, "-o", "json").stdout)["items"]
        went = {one["metadata"]["name"]: one["spec"].get("nodeName") for one in found if is_decided(one)}
        return went if len(went) == len(CASES) else None

    went = eventually(settled, interval=0.5)
    said = annotations(plane)
    return {
        case.name: Outcome(
            went[case.name],
            codes(said[case.name].get("validate.pullproof.dev/findings", "")),
            injected(said[case.name].get("mutate.pullproof.dev/inject-os", "")),
        )
        for case in CASES
    }


def registered(said: dict[str, Any]) -> dict[str, Any]:
    """A Node as its kubelet keeps it: ready, with room for every pod."""
    found = node(said)
    found["metadata"]["labels"]["beta.kubernetes.io/os"] = found["metadata"]["labels"]["kubernetes.io/os"]
    for key in ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion"):
        found["status"]["nodeInfo"][key] = "as seen"
    found["status"]["nodeInfo"] |= {"kubeletVersion": "v1.36.3", "kubeProxyVersion": ""}
    found["status"]["allocatable"] = found["status"]["capacity"] = {"cpu": "64", "memory": "64Gi", "pods": "1000"}
    found["status"]["conditions"] = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
    return found


def create(plane: ControlPlane, items: list[dict[str, Any]]) -> None:
    plane.kubectl("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def is_decided(pod: dict[str, Any]) -> bool:
    """Bound to a node, or told by the scheduler that there is none."""
    conditions = pod.get("status", {}).get("conditions", [])
    return "nodeName" in pod["spec"] or any(
        one["type"] == "PodScheduled" and one["status"] == "False" and one["reason"] == "Unschedulable"
        for one in conditions
    )


def annotations(plane: ControlPlane) -> dict[str, dict[str, str]]:
    """Pod → the audit annotations of its creation, once all of them are written."""

    def written() -> dict[str, dict[str, str]] | None:
        found = {
            event["objectRef"]["name"]: event.get("annotations", {})
            for event in plane.audit_events()
            if event["verb"] == "create"
            and event["objectRef"].get("namespace") == NAMESPACE
            and event["objectRef"].get("resource") == "pods"
            and "subresource" not in event["objectRef"]
            and "name" in event["objectRef"]
        }
        return found if len(found) == len(CASES) else None

    return eventually(written, interval=0.5)


def codes(text: str) -> dict[str, str]:
    return {parts[0]: parts[1] for one in text.split("; ") if len(parts := one.split(" ", 2)) > 1}


def injected(text: str) -> str | None:
    return text.partition("=")[2].partition(":")[0] if text.startswith("kubernetes.io/os=") else None


def test_pending_exactly_where_no_node_takes_it(outcomes: dict[str, Outcome]) -> None:
    disagreements = [
        (case, outcomes[case.name])
        for case in CASES
        if ("PULL407" in outcomes[case.name].codes) != (outcomes[case.name].node is None)
    ]
    assert disagreements == []
    told = Counter("PULL407" in outcome.codes for outcome in outcomes.values())
    assert min(told[True], told[False]) > 40  # it says both, often enough to mean something


def test_an_injected_pod_lands_on_its_system(outcomes: dict[str, Outcome]) -> None:
    landed = [
        (outcome.injected, SYSTEM_OF[outcome.node])
        for outcome in outcomes.values()
        if outcome.injected is not None and outcome.node is not None
    ]
    assert all(wanted == found for wanted, found in landed)
    counted = Counter(landed)
    assert counted["windows", "windows"] > 5
    assert counted["linux", "linux"] > 5


def test_no_word_means_the_right_system(outcomes: dict[str, Outcome]) -> None:
    """Where pullproof knows the image's system and finds nothing wrong with the platform, the pod lands on it."""
    fine = [
        (case.image, SYSTEM_OF[outcome.node])
        for case in CASES
        if case.image is not None
        and (outcome := outcomes[case.name]).node is not None
        and not any(code.startswith("PULL4") and code != "PULL409" for code in outcome.codes)
    ]
    assert all(wanted == found for wanted, found in fine)
    assert len(fine) > 30


def test_a_mismatch_lands_on_the_wrong_system_or_nowhere(outcomes: dict[str, Outcome]) -> None:
    told = [
        (case.image, outcome.node)
        for case in CASES
        if "PULL401" in (outcome := outcomes[case.name]).codes
        # the scheduler does not look at spec.os.name, the kubelet does
        and case.spec.get("os", {}).get("name") in {None, case.image}
    ]
    assert all(where is None or SYSTEM_OF[where] != image for image, where in told)
    assert len(told) > 10


def test_what_a_kubelet_would_refuse_lands_on_the_other_system(outcomes: dict[str, Outcome]) -> None:
    told = [case for case in CASES if outcomes[case.name].codes.get("PULL404") == "certain"]
    for case in told:
        where = outcomes[case.name].node
        assert where is None or SYSTEM_OF[where] != case.spec["os"]["name"]
    assert len(told) > 3
