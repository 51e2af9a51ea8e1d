"""What is injected, proven by applying it: jsonpatch is the judge of every operation."""

from __future__ import annotations

import copy
import json

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.admission.patch import Injection, LeftAlone, Operation, Told, agreed_os, inject_os, pointer
from webhook.errors import Malformed
from webhook.model.finding import Confidence
from webhook.model.landing import land
from webhook.model.node import BETA_OS_LABEL, OS_LABEL, WINDOWS_BUILD_LABEL, Taint

WINDOWS = Told("windows", Confidence.LIKELY, "nanoserver is a base of Windows images")
LINUX = Told("linux", Confidence.LIKELY, "its name says alpine")
TAINT = Taint("os", "windows", "NoSchedule")
TOLERATION = {"key": "os", "operator": "Equal", "value": "windows", "effect": "NoSchedule"}


def inject(pod, told=WINDOWS, **more):
    return inject_os(pod, told, land(pod.get("spec") or {}), **more)


def apply(pod, injection):
    return jsonpatch.apply_patch(copy.deepcopy(pod), json.loads(injection.patch()))


def affinity(*terms):
    return {
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
        }
    }


def expression(key, operator, *values):
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}


# -- what is injected


@pytest.mark.parametrize(
    ("pod", "operations"),
    [
        pytest.param(
            {"spec": {"containers": []}}, (Operation("/spec/nodeSelector", {OS_LABEL: "windows"}),), id="no selector"
        ),
        pytest.param(
            {"spec": {"nodeSelector": None}}, (Operation("/spec/nodeSelector", {OS_LABEL: "windows"}),), id="null"
        ),
        pytest.param(
            {"spec": {"nodeSelector": {}}}, (Operation("/spec/nodeSelector/kubernetes.io~1os", "windows"),), id="empty"
        ),
        pytest.param(
            {"spec": {"nodeSelector": {"pool": "a"}}},
            (Operation("/spec/nodeSelector/kubernetes.io~1os", "windows"),),
            id="another selector",
        ),
        pytest.param(
            {"spec": affinity(expression("pool", "In", "a"))},
            (Operation("/spec/nodeSelector", {OS_LABEL: "windows"}),),
            id="an affinity that says nothing of it",
        ),
        pytest.param(
            {"spec": affinity(expression(OS_LABEL, "In", "linux", "windows"))},
            (Operation("/spec/nodeSelector", {OS_LABEL: "windows"}),),
            id="an affinity that allows both",
        ),
    ],
)
def test_injected(pod, operations):
    injection = inject(pod)
    assert injection.operations == operations
    assert injection.audit == "kubernetes.io/os=windows: nanoserver is a base of Windows images"
    assert apply(pod, injection)["spec"]["nodeSelector"][OS_LABEL] == "windows"


@pytest.mark.parametrize(
    ("spec", "told", "reason"),
    [
        pytest.param(
            {"nodeSelector": {OS_LABEL: "windows"}}, WINDOWS, "its nodeSelector has kubernetes.io/os", id="has it"
        ),
        pytest.param(
            {"nodeSelector": {OS_LABEL: "linux"}}, WINDOWS, "its nodeSelector has kubernetes.io/os", id="another"
        ),
        pytest.param(
            {"nodeSelector": {BETA_OS_LABEL: "linux"}}, WINDOWS, "its nodeSelector has beta.kubernetes.io/os", id="beta"
        ),
        pytest.param(
            affinity(expression(OS_LABEL, "In", "linux")), WINDOWS, "it can't land on windows", id="otherwise"
        ),
        pytest.param(
            affinity(expression(OS_LABEL, "In", "windows")), WINDOWS, "it lands on windows only", id="affinity"
        ),
        pytest.param(
            {"nodeSelector": {WINDOWS_BUILD_LABEL: "10.0.20348"}}, WINDOWS, "it lands on windows only", id="build"
        ),
        pytest.param(
            {"nodeSelector": {WINDOWS_BUILD_LABEL: "10.0.20348"}}, LINUX, "it can't land on linux", id="build, linux"
        ),
        pytest.param({"nodeName": "n1"}, WINDOWS, "its node is chosen by name", id="nodeName"),
        pytest.param(
            affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}),
            WINDOWS,
            "its node is chosen by name",
            id="matchFields",
        ),
    ],
)
def test_left_alone(spec, told, reason):
    assert inject({"spec": spec}, told) == LeftAlone(reason)


def test_a_daemon_sets_pod_is_left_alone():
    assert inject({"spec": {}}, daemon=True) == LeftAlone("its DaemonSet chose the node")


@pytest.mark.parametrize(
    ("spec", "told", "added"),
    [
        pytest.param({}, WINDOWS, [TOLERATION], id="none yet"),
        pytest.param({"tolerations": None}, WINDOWS, [TOLERATION], id="null"),
        pytest.param(
            {"tolerations": [{"key": "a", "operator": "Exists"}]},
            WINDOWS,
            [{"key": "a", "operator": "Exists"}, TOLERATION],
            id="others",
        ),
        pytest.param(
            {"tolerations": [{"key": "os", "operator": "Exists"}]},
            WINDOWS,
            [{"key": "os", "operator": "Exists"}],
            id="already tolerated",
        ),
        pytest.param({}, LINUX, None, id="a Linux pod tolerates nothing more"),
    ],
)
def test_the_windows_taint(spec, told, added):
    pod = {"spec": spec}
    assert apply(pod, inject(pod, told, windows_taints=[TAINT, TAINT]))["spec"].get("tolerations") == added


def test_no_taint_no_toleration():
    assert "tolerations" not in apply({"spec": {}}, inject({"spec": {}}))["spec"]


@pytest.mark.parametrize("pod", [{"spec": []}, {"spec": {"nodeSelector": []}}, {"spec": {"nodeSelector": {"a": 1}}}])
def test_what_is_no_pod_is_malformed(pod):
    with pytest.raises(Malformed):
        inject_os(pod, WINDOWS, land({}))


# -- whose word counts

HINT = Told("windows", Confidence.ADVISORY, "its path says windows")


@pytest.mark.parametrize(
    ("os_name", "told", "expected"),
    [
        ("", [], LeftAlone("nothing tells its operating system for sure")),
        ("", [HINT], LeftAlone("nothing tells its operating system for sure")),
        ("", [HINT, WINDOWS], WINDOWS),
        ("", [LINUX, LINUX], LINUX),
        ("", [LINUX, WINDOWS], LeftAlone("its images and spec.os.name speak of linux and windows")),
        ("", [LINUX, HINT], LeftAlone("its images and spec.os.name speak of linux and windows")),
        ("windows", [], Told("windows", Confidence.CERTAIN, "spec.os.name says so")),
        ("windows", [WINDOWS], Told("windows", Confidence.CERTAIN, "spec.os.name says so")),
        ("windows", [LINUX], LeftAlone("its images and spec.os.name speak of linux and windows")),
    ],
)
def test_agreed_os(os_name, told, expected):
    assert agreed_os(os_name, told) == expected


# -- for any pod

KEYS = st.sampled_from([OS_LABEL, BETA_OS_LABEL, WINDOWS_BUILD_LABEL, "pool", "a/b", "a~b", "~1", ""])
VALUES = st.sampled_from(["linux", "windows", "10.0.20348", "a", ""])
EXPRESSIONS = st.one_of(
    st.builds(
        lambda key, operator, value: {"key": key, "operator": operator, "values": [value]},
        KEYS,
        st.sampled_from(["In", "NotIn"]),
        VALUES,
    ),
    st.builds(
        lambda key, operator: {"key": key, "operator": operator}, KEYS, st.sampled_from(["Exists", "DoesNotExist"])
    ),
)
TERMS = st.fixed_dictionaries(
    {},
    optional={
        "matchExpressions": st.lists(EXPRESSIONS, max_size=2),
        "matchFields": st.lists(st.just({"key": "metadata.name", "operator": "In", "values": ["n1"]}), max_size=1),
    },
)
TOLERATIONS = st.builds(
    lambda key, operator, effect: {"key": key, "operator": operator, "effect": effect},
    st.sampled_from(["os", "a"]),
    st.sampled_from(["Exists", "Equal"]),
    st.sampled_from(["", "NoSchedule"]),
)
SPECS = st.fixed_dictionaries(
    {"containers": st.just([{"name": "a", "image": "b"}])},
    optional={
        "nodeSelector": st.none() | st.dictionaries(KEYS, VALUES, max_size=3),
        "affinity": st.none() | st.lists(TERMS, max_size=2).map(lambda terms: affinity(*terms)["affinity"]),
        "tolerations": st.none() | st.lists(TOLERATIONS, max_size=2),
        "nodeName": st.sampled_from([None, "", "n1"]),
    },
)
PODS = st.fixed_dictionaries({"kind": st.just("Pod"), "metadata": st.just({"name": "x"}), "spec": SPECS})


@given(PODS, st.sampled_from([WINDOWS, LINUX]), st.sampled_from([(), (TAINT,)]), st.booleans())
def test_twice_equals_once_and_nothing_else_changes(pod, told, taints, daemon):
    before = copy.deepcopy(pod)
    injection = inject(pod, told, windows_taints=taints, daemon=daemon)
    assert pod == before
    if isinstance(injection, LeftAlone):
        assert injection.reason
        return
    after = apply(pod, injection)
    again = inject(after, told, windows_taints=taints, daemon=daemon)
    assert isinstance(again, LeftAlone)

    # what it says is all that it does
    assert after["spec"]["nodeSelector"] == (before["spec"].get("nodeSelector") or {}) | {OS_LABEL: told.os}
    own = before["spec"].get("tolerations") or []
    assert (after["spec"].get("tolerations") or [])[: len(own)] == own
    assert len(after["spec"].get("tolerations") or []) <= len(own) + len(taints)
    for key in ("nodeSelector", "tolerations"):
        after["spec"].pop(key, None)
        before["spec"].pop(key, None)
    assert after == before


@given(PODS, st.sampled_from([WINDOWS, LINUX]))
def test_an_injected_pod_lands_on_its_system_and_could_before(pod, told):
    injection = inject(pod, told)
    if isinstance(injection, Injection):
        assert told.os in land(pod["spec"]).systems
        assert land(apply(pod, injection)["spec"]).systems == {told.os}


@given(st.lists(st.text(max_size=6), min_size=1, max_size=4))
def test_pointers(parts):
    document = {}
    holder = document
    for part in parts[:-1]:
        holder = holder.setdefault(part, {})
    operation = Operation(pointer(*parts), "here").as_json()
    expected = "here"
    for part in reversed(parts):
        expected = {part: expected}
    assert jsonpatch.apply_patch(document, [operation]) == expected
