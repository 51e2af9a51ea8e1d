"""Checks 4xx and injection over the whole product, against a model that knows nothing but nodes.

The model never reasons about rules: it makes every node that could exist (and takes those that do), asks of each
whether the scheduler would bind the pod there and whether its kubelet would run it, and counts. What it says of a pod
is said by sets of nodes alone, so it shares no thought with the code it judges.
"""

from __future__ import annotations

import base64
import itertools
import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import jsonpatch

from tests.platforms import node
from webhook.admission.app import Options, create_app
from webhook.checks.index import all_checks
from webhook.engine.evaluate import evaluate
from webhook.model.facts import NOT_LOOKED, Facts, Known
from webhook.model.node import NodeSet, read_node
from webhook.model.policy import ClusterPolicy, of_labels
from webhook.model.workload import extract

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.model.facts import Fact
    from webhook.model.policy import Policy

CASES = 3_000
OS = "kubernetes.io/os"
ARCH = "kubernetes.io/arch"
BUILD = "node.kubernetes.io/windows-build"

IMAGES = {
    "windows": "mcr.microsoft.com/windows/nanoserver:ltsc2022",
    "linux": "quay.io/contoso/proxy:1-alpine",
    "": "contoso.azurecr.io/shop:1",
}
PAIRS = [
    (OS, "linux"),
    (OS, "windows"),
    (OS, "solaris"),
    ("beta.kubernetes.io/os", "windows"),
    (ARCH, "arm64"),
    (ARCH, "amd64"),
    (BUILD, "10.0.20348"),
    ("pool", "a"),
]
LINES: list[dict[str, Any]] = [
    {"key": OS, "operator": "In", "values": ["windows"]},
    {"key": OS, "operator": "In", "values": ["linux", "windows"]},
    {"key": OS, "operator": "NotIn", "values": ["windows"]},
    {"key": OS, "operator": "Exists"},
    {"key": OS, "operator": "DoesNotExist"},
    {"key": ARCH, "operator": "NotIn", "values": ["amd64"]},
    {"key": BUILD, "operator": "Exists"},
    {"key": BUILD, "operator": "DoesNotExist"},
    {"key": "pool", "operator": "In", "values": ["a", "b"]},
    {"key": "pool", "operator": "DoesNotExist"},
]
TAINTS = ["os=windows:NoSchedule", "old=true:NoExecute"]
TOLERATIONS: list[dict[str, str]] = [
    {"key": "os", "operator": "Equal", "value": "windows", "effect": "NoSchedule"},
    {"key": "old", "operator": "Exists"},
    {"operator": "Exists"},
]


def every_node() -> list[dict[str, Any]]:
    """All that could exist, as far as the rules above tell nodes apart."""
    found = []
    for system, arch, pool in itertools.product(
        ("linux", "windows"), ("amd64", "arm64", "s390x"), (None, "a", "b", "c")
    ):
        for build in ("10.0.17763", "10.0.20348") if system == "windows" else (None,):
            labels = {"beta.kubernetes.io/os": system, **({} if pool is None else {"pool": pool})}
            said: dict[str, Any] = {"os": system, "arch": arch, "labels": labels}
            found.append(node(said if build is None else {**said, "build": build}))
    return found


EVERY_NODE = every_node()


def holds(line: dict[str, Any], labels: dict[str, str]) -> bool:
    has, value = line["key"] in labels, labels.get(line["key"])
    match line["operator"]:
        case "In":
            return value in line["values"]
        case "NotIn":
            return value not in line["values"]
        case "Exists":
            return has
        case _:
            return not has


def binds(spec: dict[str, Any], one: dict[str, Any], *, taints: bool) -> bool:
    """Whether the scheduler would bind the pod there."""
    labels = one["metadata"]["labels"]
    if any(labels.get(key) != value for key, value in spec.get("nodeSelector", {}).items()):
        return False
    required = spec.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    if required and not any(
        all(holds(line, labels) for line in term["matchExpressions"]) for term in required["nodeSelectorTerms"]
    ):
        return False
    return not taints or all(
        any(
            not wanted.get("key")
            or (wanted["key"] == taint["key"] and wanted.get("value", taint["value"]) == taint["value"])
            for wanted in spec.get("tolerations", [])
        )
        for taint in one["spec"]["taints"]
    )


def system(one: dict[str, Any]) -> str:
    found: str = one["metadata"]["labels"][OS]
    return found


def expected(pod: dict[str, Any], there: list[dict[str, Any]] | None) -> set[str]:
    """The codes that the nodes themselves tell."""
    spec, image_for = pod["spec"], told_by(pod)
    bound = {system(one) for one in EVERY_NODE if binds(spec, one, taints=False)}
    taking = None if there is None else [system(one) for one in there if binds(spec, one, taints=True)]
    name, label = spec.get("os", {}).get("name"), pod["metadata"]["labels"].get(OS)
    runs = {one for one in bound if name in {None, one} and label in {None, one}}
    codes = set()
    if not bound or (there and not taking):
        codes.add("PULL407")
    if image_for and runs and image_for not in runs:
        codes.add("PULL401")
    if image_for == "windows" and runs == {"linux", "windows"}:
        codes.add("PULL402")
    if image_for == "linux" and runs == {"linux", "windows"} and "windows" in (taking or []):
        codes.add("PULL403")
    if label is not None:
        contradicts = label == "darwin" or (name is not None and label != name)
        if contradicts or (name is None and refused(label, bound, taking, image_for, there)):
            codes.add("PULL405")
    if name is not None and refused(name, bound, taking, image_for, there):
        codes.add("PULL404")
    return codes


def refused(
    word: str, bound: set[str], taking: list[str] | None, image_for: str, there: list[dict[str, Any]] | None
) -> bool:
    """Whether some kubelet that the pod may meet refuses it for that word, and this is worth telling."""
    if not bound or bound == {word}:
        return False
    if word not in bound:
        return True
    if image_for not in {"", word}:
        return False  # then the image is what is wrong
    if not there:
        return True
    return word == "windows" or any(one != word for one in taking or [])


def told_by(pod: dict[str, Any]) -> str:
    return next(name for name, image in IMAGES.items() if image == pod["spec"]["containers"][0]["image"])


def generated(rng: random.Random) -> tuple[dict[str, Any], list[dict[str, Any]] | None]:
    spec: dict[str, Any] = {"containers": [{"name": "app", "image": rng.choice(list(IMAGES.values()))}]}
    if selector := dict(rng.sample(PAIRS, rng.choice([0, 0, 1, 1, 2]))):
        spec["nodeSelector"] = selector
    if count := rng.choice([0, 0, 1, 2]):
        terms = [{"matchExpressions": rng.sample(LINES, rng.choice([1, 2]))} for _ in range(count)]
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        spec["affinity"] = {"nodeAffinity": required}
    if tolerations := rng.sample(TOLERATIONS, rng.choice([0, 0, 1, 2])):
        spec["tolerations"] = tolerations
    if name := rng.choice(["", "", "linux", "windows"]):
        spec["os"] = {"name": name}
    label = rng.choice([None, None, None, "linux", "windows", "darwin"])
    labels = {} if label is None else {OS: label}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shop", "labels": labels}, "spec": spec}
    if rng.random() < 0.3:
        return pod, rng.choice([None, []])
    there = []
    for one in rng.sample(EVERY_NODE, rng.choice([1, 2, 4])):
        taints = [
            dict(
                zip(
                    ("key", "value", "effect"),
                    (*text.partition(":")[0].split("="), text.partition(":")[2]),
                    strict=True,
                )
            )
            for text in rng.sample(TAINTS, rng.choice([0, 0, 1, 2]))
        ]
        there.append({**one, "metadata": {**one["metadata"], "name": f"n{len(there)}"}, "spec": {"taints": taints}})
    return pod, there


def facts_around(there: list[dict[str, Any]] | None) -> Facts:
    nodes = NOT_LOOKED if there is None else Known(NodeSet(tuple(map(read_node, there))))
    policy = of_labels({"pullproof.dev/inject-os": "enabled"}, ClusterPolicy())
    return Facts(policy=policy, nodes=nodes, runtime_class=Known(None), namespace_labels=Known({}))


def test_the_codes_are_those_that_the_nodes_tell() -> None:
    rng = random.Random(4)
    checks = [check for check in all_checks() if check.code.startswith("PULL40") and check.code != "PULL409"]
    counted: Counter[str] = Counter()
    for _ in range(CASES):
        pod, there = generated(rng)
        workload = extract(pod)
        assert workload is not None
        found = {finding.code for finding in evaluate(workload, facts_around(there), checks)}
        assert found == expected(pod, there), (pod, there)
        counted.update(found or {"none"})
    assert min(counted[code] for code in ("none", *(f"PULL40{number}" for number in (1, 2, 3, 4, 5, 7)))) > 30, counted


class AroundCluster:
    """A cluster of one namespace that asks for injection."""

    def not_ready(self) -> str | None:
        return None

    def facts(self, *_: Any, **__: Any) -> Facts:
        return facts_around(None)

    def policy(self, *_: Any, **__: Any) -> tuple[Fact[Mapping[str, str]], Policy]:
        return Known({}), facts_around(None).policy

    def owner_is_ready(self, *_: Any, **__: Any) -> bool | None:
        return False

    def is_earlier_revision(self, *_: Any, **__: Any) -> bool:
        return False


def test_injection_by_the_nodes() -> None:
    """Injected is where the pod could land on both systems and one is meant; then it can land on that one alone."""
    client = create_app(AroundCluster(), Options()).test_client()

    def mutated(pod: dict[str, Any]) -> dict[str, Any]:
        request = {
            "uid": "u-1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "operation": "CREATE",
            "namespace": "team-a",
            "object": pod,
        }
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        answer = client.post("/mutate", json=review).get_json()["response"]
        assert answer["allowed"]
        if "patch" not in answer:
            return pod
        assert answer["patchType"] == "JSONPatch"
        patch = json.loads(base64.b64decode(answer["patch"]))
        changed: dict[str, Any] = jsonpatch.apply_patch(pod, patch)
        return changed

    rng = random.Random(5)
    injected = 0
    for _ in range(CASES // 2):
        pod, _ = generated(rng)
        after = mutated(pod)
        before = {system(one) for one in EVERY_NODE if binds(pod["spec"], one, taints=False)}
        meant = {word for word in (told_by(pod), pod["spec"].get("os", {}).get("name", "")) if word}
        meant_by_label = pod["metadata"]["labels"].get(OS)
        wanted = len(meant) == 1 and len(before) == 2 and meant_by_label in {None, *meant}
        selects = {OS, "beta.kubernetes.io/os"} & pod["spec"].get("nodeSelector", {}).keys()
        assert (after != pod) == (wanted and not selects), pod
        assert mutated(after) == after
        if after != pod:
            injected += 1
            assert {system(one) for one in EVERY_NODE if binds(after["spec"], one, taints=False)} == meant
            del after["spec"]["nodeSelector"][OS]
            assert after["spec"].pop("nodeSelector") == pod["spec"].get("nodeSelector", {})
            assert after == {**pod, "spec": {key: value for key, value in pod["spec"].items() if key != "nodeSelector"}}
    assert injected > 100
