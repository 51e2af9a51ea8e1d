"""Where pods land: against Kubernetes' own helpers, against every node that could exist, and by hand."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests import gotools
from webhook.errors import Malformed
from webhook.model import landing
from webhook.model.facts import Known, Unknown
from webhook.model.landing import (
    ARCHITECTURES,
    MOST_RULES,
    MOST_VALUES,
    WINDOWS_BUILDS,
    Constraint,
    Declared,
    Place,
    Refusal,
    declared,
    kubelet_refusal,
    land,
    node_platform,
    read_placement,
    refusal,
    tolerates,
)
from webhook.model.memo import LONGEST
from webhook.model.node import (
    ARCH_LABEL,
    BETA_OS_LABEL,
    OS_LABEL,
    WINDOWS_BUILD_LABEL,
    NodeSet,
    RuntimeClassScheduling,
    Taint,
    Toleration,
    read_node,
    read_runtime_class,
)
from webhook.model.platform import Platform

MODULE = Path(__file__).parents[1] / "oracle" / "landing"
REQUIRED = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"


def node(name="n1", os="linux", arch="amd64", build="", taints=(), unschedulable=False, **labels):
    """A Node as its kubelet registers it."""
    own = {
        OS_LABEL: os,
        BETA_OS_LABEL: os,
        ARCH_LABEL: arch,
        "beta.kubernetes.io/arch": arch,
        "kubernetes.io/hostname": name,
    }
    if os == "windows" and build:
        own[WINDOWS_BUILD_LABEL] = build
    return {
        "metadata": {"name": name, "labels": own | labels},
        "spec": {
            "taints": [dict(zip(("key", "value", "effect"), taint, strict=True)) for taint in taints],
            "unschedulable": unschedulable,
        },
        "status": {"nodeInfo": {"operatingSystem": os, "architecture": arch}},
    }


def affinity(*terms, **more):
    required = {
        "nodeSelectorTerms": [
            {
                "matchExpressions": [
                    {"key": key, "operator": operator, **({"values": list(values)} if values else {})}
                    for key, operator, *values in term
                ]
            }
            for term in terms
        ]
    }
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required, **more}}}


def names(*named):
    fields = [{"key": "metadata.name", "operator": "In", "values": [name]} for name in named]
    return {
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchFields": [one]} for one in fields]
                }
            }
        }
    }


# -- generated pods and nodes ---------------------------------------------------------------------------------

KEYS = {
    OS_LABEL: ["linux", "windows", "Windows", "darwin"],
    BETA_OS_LABEL: ["linux", "windows"],
    ARCH_LABEL: ["amd64", "arm64", "x86_64"],
    "beta.kubernetes.io/arch": ["amd64", "arm64"],
    WINDOWS_BUILD_LABEL: ["10.0.17763", "10.0.20348", "ltsc2022"],
    "pool": ["a", "b", "5", "7", "07", "05", "x", ""],
}
NAMES = ["n1", "n2", "n3"]
TAINTS = [
    ("os", "windows", "NoSchedule"),
    ("os", "windows", "NoExecute"),
    ("os", "windows", "PreferNoSchedule"),
    ("node.kubernetes.io/not-ready", "", "NoSchedule"),
    ("size", "5", "NoSchedule"),
]
OPERATORS = ["In", "In", "In", "NotIn", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]


def requirement(rng):
    key = rng.choice(list(KEYS))
    operator = rng.choice(OPERATORS)
    if operator in {"In", "NotIn"}:
        values = rng.sample(KEYS[key], rng.choice([1, 1, 2]))
    elif operator in {"Gt", "Lt"}:
        key = rng.choice(["pool", "pool", key])
        values = [rng.choice(["4", "5", "6", "0", "9223372036854775807"])]
    else:
        values = []
    odd = rng.random()
    if odd < 0.015:
        values = values[:-1] if values else ["a"]
    elif odd < 0.03:
        key = rng.choice(["bad key", "-a", "A/b", "a/b/c", "/a", "", "a" * 64])
    elif odd < 0.045:
        values = [*values, rng.choice(["-a", "a b", "x" * 64])]
    elif odd < 0.05:
        operator = rng.choice(["in", ""])
    return {"key": key, "operator": operator, **({"values": values} if values else {})}


def field_requirement(rng):
    operator = rng.choice(["In", "In", "NotIn"])
    values = [rng.choice(NAMES)]
    odd = rng.random()
    if odd < 0.05:
        values = rng.choice([[], NAMES[:2]])
    elif odd < 0.08:
        operator = "Exists"
    return {"key": "metadata.name" if rng.random() < 0.95 else "metadata.x", "operator": operator, "values": values}


def term(rng):
    made = {}
    if rng.random() < 0.9:
        made["matchExpressions"] = [requirement(rng) for _ in range(rng.choice([0, 1, 1, 1, 2, 3]))]
    if rng.random() < 0.2:
        made["matchFields"] = [field_requirement(rng) for _ in range(rng.choice([1, 1, 2]))]
    return made


def toleration(rng):
    made = {
        "operator": rng.choice(["", "Equal", "Exists", "Exists", "Gt", "Lt", "Odd"]),
        "key": rng.choice(["os", "size", "node.kubernetes.io/not-ready", "other"]),
        "effect": rng.choice(["", "NoSchedule", "NoExecute"]),
    }
    if made["operator"] != "Exists":
        made["value"] = rng.choice(["windows", "5", "4", "05", "-1", "6", ""])
    elif rng.random() < 0.3:
        del made["key"]
    return made


def pod_spec(rng):
    spec = {}
    if rng.random() < 0.6:
        keys = rng.sample(list(KEYS), rng.choice([1, 1, 2]))
        spec["nodeSelector"] = {key: rng.choice(KEYS[key]) for key in keys}
    if rng.random() < 0.7:
        terms = [term(rng) for _ in range(rng.choice([0, 1, 1, 1, 2, 3]))]
        spec["affinity"] = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        }
    if rng.random() < 0.5:
        spec["tolerations"] = [toleration(rng) for _ in range(rng.choice([1, 1, 2]))]
    if rng.random() < 0.1:
        spec["nodeName"] = rng.choice([*NAMES, "elsewhere"])
    return spec


def some_node(rng, name):
    os = rng.choice(["linux", "windows"])
    labels = {"pool": rng.choice(KEYS["pool"])} if rng.random() < 0.7 else {}
    made = node(
        name,
        os,
        rng.choice(["amd64", "amd64", "arm64"]),
        rng.choice(["10.0.17763", "10.0.20348", "10.0.26100"]),
        rng.sample(TAINTS, rng.choice([0, 0, 1, 2])),
        rng.random() < 0.1,
        **labels,
    )
    for key in list(made["metadata"]["labels"]):
        if rng.random() < 0.03:  # a virtual kubelet's node need not have them
            del made["metadata"]["labels"][key]
    return made


@pytest.fixture(scope="session")
def ask_kubernetes():
    folder = gotools.build(MODULE, ["."], gotools.cache_dir() / "oracle")

    def ask(questions):
        lines = "".join(json.dumps({"pod": {"spec": spec}, "nodes": nodes}) + "\n" for spec, nodes in questions)
        answered = subprocess.run([str(folder / "landing")], input=lines, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in answered.stdout.splitlines()]

    return ask


CORDON = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")


def test_generated_pods_and_nodes_agree_with_kubernetes_own_helpers(ask_kubernetes):
    rng = random.Random(1360)
    questions = [(pod_spec(rng), [some_node(rng, name) for name in NAMES]) for _ in range(10_000)]
    wrong, seen = [], Counter()
    for (spec, nodes), answer in zip(questions, ask_kubernetes(questions), strict=True):
        landing = land(spec, nodes=Known(NodeSet(tuple(map(read_node, nodes)))))
        taken = {name for group in landing.matching().value for name in group.names}
        placement = read_placement(spec)
        for one, matches, scheduler, kubelet in zip(
            nodes, answer["affinity"], answer["taints"], answer["kubelet_taints"], strict=True
        ):
            name = one["metadata"]["name"]
            bound = spec.get("nodeName")
            # plugins nodename and nodeunschedulable are one line each, in packages that drag the whole scheduler in
            cordoned = one["spec"]["unschedulable"] and not any(
                tolerates(toleration, CORDON) for toleration in placement.tolerations
            )
            expected = matches and (bound == name and kubelet if bound else scheduler and not cordoned)
            ours = refusal(placement, read_node(one)) is None
            seen[ours] += 1
            if ours != expected or (name in taken) != expected:
                wrong.append((spec, one, expected, ours, name in taken))
    print(f"\n{len(questions)} pods, {seen.total()} nodes, {len(wrong)} disagreements: {dict(seen)}")
    assert wrong == []
    assert min(seen.values()) > 3_000


# -- by the spec alone: every node that could exist -----------------------------------------------------------

POOLS = [None, "a", "b", "5", "7", "07", "05", "x", "", "6", "006", "0006", "0", "00", "other", "z"]


def brute_value_holds(one, value):
    """A selector line, written again from the API's documentation."""
    operator, values = one["operator"], one.get("values", [])
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if operator == "In":
        return value is not None and any(value == wanted for wanted in values)
    if operator == "NotIn":
        return value is None or all(value != wanted for wanted in values)
    if value is None or not value.isdigit():
        return False
    return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])


def well_formed(spec):
    """Whether the API server takes the affinity; what it refuses is the differential test's matter."""
    required = (
        spec.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", {})
    )
    for one in required.get("nodeSelectorTerms", []):
        for line in one.get("matchExpressions", []):
            wanted = {"In": {1, 2}, "NotIn": {1, 2}, "Exists": {0}, "DoesNotExist": {0}, "Gt": {1}, "Lt": {1}}
            if len(line.get("values", [])) not in wanted.get(line["operator"], ()) or line["key"] not in KEYS:
                return False
            if any(value not in KEYS[line["key"]] and not value.isdigit() for value in line.get("values", [])):
                return False
        for line in one.get("matchFields", []):
            if len(line["values"]) != 1 or line["operator"] == "Exists" or line["key"] != "metadata.name":
                return False
    return True


def brute_matches(spec, name, labels):
    if spec.get("nodeName") not in {None, name}:
        return False
    if any(labels.get(key) != value for key, value in spec.get("nodeSelector", {}).items()):
        return False
    if "affinity" not in spec:
        return True
    for one in spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]:
        expressions, fields = one.get("matchExpressions", []), one.get("matchFields", [])
        if not expressions and not fields:
            continue
        if all(brute_value_holds(line, labels.get(line["key"])) for line in expressions) and all(
            brute_value_holds(line, name) for line in fields
        ):
            return True
    return False


UNIVERSE = [
    (os, arch, build, pool, name)
    for os, arch in itertools.product(["linux", "windows"], ["386", "amd64", "arm64", "s390x"])
    for build in (["10.0.17763", "10.0.20348", "10.0.99999"] if os == "windows" else [None])
    for pool in POOLS
    for name in [*NAMES, "elsewhere", "n9"]
]


def brute_systems(spec):
    """For each kind of node that the spec lets a pod go to: (os, arch, build), by trying all nodes of the universe."""
    found = set()
    for os, arch, build, pool, name in UNIVERSE:
        if (os, arch, build) in found:
            continue
        labels = {OS_LABEL: os, BETA_OS_LABEL: os, ARCH_LABEL: arch, "beta.kubernetes.io/arch": arch}
        if build:
            labels[WINDOWS_BUILD_LABEL] = build
        if pool is not None:
            labels["pool"] = pool
        if brute_matches(spec, name, labels):
            found.add((os, arch, build))
    return found


def covers(places, os, arch, build):
    """Whether a kind of node of the universe is among ours; the build that no list knows is ours without a build."""
    known = build if build in WINDOWS_BUILDS else None
    return any(
        place.os == os
        and place.arch in {None, arch}
        and (place.windows_build == known or {one.windows_build for one in places if one.os == os} == {None})
        for place in places
    )


@pytest.fixture(scope="module")
def specs():
    rng = random.Random(1791)
    made = (pod_spec(rng) for _ in itertools.count())
    return list(itertools.islice((spec for spec in made if well_formed(spec)), 2_000))


def test_what_the_spec_allows_is_what_some_node_could_meet(specs):
    seen = Counter()
    for spec in specs:
        brute = brute_systems(spec)
        places = land(spec).places
        for os, arch, build in {one[:3] for one in UNIVERSE}:
            assert covers(places, os, arch, build) is ((os, arch, build) in brute), (spec, os, arch, build)
        seen[frozenset(os for os, _, _ in brute)] += 1
        assert land(spec).systems == {os for os, _, _ in brute}, spec
    print(f"\n{len(specs)} specs: {[(sorted(systems), count) for systems, count in seen.items()]}")
    assert len(seen) == 4  # none, linux, windows, both
    assert min(seen.values()) > 100


def test_every_excluded_system_has_a_reason(specs):
    for spec in specs:
        landing = land(spec)
        assert set(landing.excluded) == {"linux", "windows"} - landing.systems
        for reason in landing.excluded.values():
            assert reason.field.startswith(("nodeSelector", "affinity.nodeAffinity."))
            assert len(reason.text) <= 80


# A pod runs where the scheduler lets it go, the kubelet lets it in and the image is built for the OS of the node. The
# product of all that, against a model that tries every node.

IMAGE_SYSTEMS = ["linux", "windows", "both"]
OS_NAMES = [None, "linux", "windows"]
POD_LABELS = [{}, {OS_LABEL: "linux"}, {OS_LABEL: "windows"}]
SELECTORS = [
    {},
    {OS_LABEL: "linux"},
    {OS_LABEL: "windows"},
    {BETA_OS_LABEL: "windows"},
    {ARCH_LABEL: "arm64"},
    {WINDOWS_BUILD_LABEL: "10.0.20348"},
    {OS_LABEL: "linux", WINDOWS_BUILD_LABEL: "10.0.20348"},
    {"pool": "a"},
]
AFFINITIES = [
    {},
    affinity([(OS_LABEL, "In", "windows")]),
    affinity([(OS_LABEL, "NotIn", "windows")]),
    affinity([(OS_LABEL, "In", "linux")], [(WINDOWS_BUILD_LABEL, "Exists")]),
    affinity([(WINDOWS_BUILD_LABEL, "DoesNotExist")]),
    affinity([(OS_LABEL, "DoesNotExist")]),
    affinity([("pool", "NotIn", "a"), (OS_LABEL, "Exists")]),
    affinity([]),
    names("w1"),
]
TAINTED = [(), (("os", "windows", "NoSchedule"),), (("os", "windows", "NoExecute"),)]
TOLERATIONS = [
    [],
    [{"key": "os", "operator": "Equal", "value": "windows", "effect": "NoSchedule"}],
    [{"operator": "Exists"}],
]


def brute_runs(spec, pod_labels, image_systems, one):
    labels, os = one["metadata"]["labels"], one["status"]["nodeInfo"]["operatingSystem"]
    if not brute_matches(spec, one["metadata"]["name"], labels):
        return False
    for taint in one["spec"]["taints"]:
        covered = [
            toleration
            for toleration in spec.get("tolerations", [])
            if toleration.get("effect") in {None, taint["effect"]}
            and toleration.get("key") in {None, taint["key"]}
            and (toleration["operator"] == "Exists" or toleration["value"] == taint["value"])
        ]
        if not covered and taint["effect"] != "PreferNoSchedule":
            return False
    if spec.get("os", {}).get("name", os) != os or pod_labels.get(OS_LABEL, os) != os:
        return False
    return image_systems in {"both", os}


def test_the_product_of_selectors_affinities_os_names_images_and_taints():
    seen = Counter()
    for taints in TAINTED:
        raw = [
            node("l1", "linux", "amd64"),
            node("l2", "linux", "arm64", pool="a"),
            node("w1", "windows", "amd64", "10.0.20348", taints),
            node("w2", "windows", "amd64", "10.0.17763", taints),
        ]
        nodes = Known(NodeSet(tuple(map(read_node, raw))))
        for selector, required, tolerations, os_name, pod_labels, image in itertools.product(
            SELECTORS, AFFINITIES, TOLERATIONS, OS_NAMES, POD_LABELS, IMAGE_SYSTEMS
        ):
            spec = {"nodeSelector": selector, "tolerations": tolerations, **required}
            if os_name:
                spec["os"] = {"name": os_name}
            landing = land(spec, nodes=nodes)
            ours = {
                name
                for group in landing.matching().value
                if kubelet_refusal(spec, pod_labels, group.sample.os) is None and image in {"both", group.sample.os}
                for name in group.names
            }
            brute = {one["metadata"]["name"] for one in raw if brute_runs(spec, pod_labels, image, one)}
            assert ours == brute, (spec, pod_labels, image, taints)
            # by the spec alone never rules out what a node there is takes
            assert {
                one["status"]["nodeInfo"]["operatingSystem"] for one in raw if one["metadata"]["name"] in brute
            } <= (landing.systems)
            seen[bool(brute)] += 1
    print(f"\n{seen.total()} combinations: {dict(seen)}")
    assert min(seen.values()) > 1_000


# -- the cases worth reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "systems", "excluded"),
    [
        pytest.param({}, {"linux", "windows"}, {}, id="nothing said"),
        pytest.param(
            {"nodeSelector": {OS_LABEL: "windows"}},
            {"windows"},
            {"linux": Constraint("nodeSelector['kubernetes.io/os']", "nodeSelector kubernetes.io/os=windows")},
            id="selector",
        ),
        pytest.param(
            {"nodeSelector": {WINDOWS_BUILD_LABEL: "10.0.20348"}},
            {"windows"},
            {
                "linux": Constraint(
                    "nodeSelector['node.kubernetes.io/windows-build']",
                    "nodeSelector node.kubernetes.io/windows-build=10.0.20348",
                )
            },
            id="only Windows nodes have a build",
        ),
        pytest.param(
            affinity([(OS_LABEL, "NotIn", "windows")]),
            {"linux"},
            {
                "windows": Constraint(
                    "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
                    "required node affinity kubernetes.io/os NotIn [windows]",
                )
            },
            id="affinity",
        ),
        pytest.param(affinity([(OS_LABEL, "In", "windows")], [("pool", "In", "a")]), {"linux", "windows"}, {}, id="or"),
        pytest.param({"os": {"name": "windows"}}, {"linux", "windows"}, {}, id="os.name does not schedule"),
        pytest.param(
            {
                "affinity": {
                    "nodeAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {
                                "weight": 1,
                                "preference": {
                                    "matchExpressions": [{"key": OS_LABEL, "operator": "In", "values": ["linux"]}]
                                },
                            },
                        ]
                    }
                }
            },
            {"linux", "windows"},
            {},
            id="a preference rules nothing out",
        ),
        pytest.param({"nodeSelector": {ARCH_LABEL: "arm64"}}, {"linux", "windows"}, {}, id="a CPU is no system"),
    ],
)
def test_by_the_spec_alone(spec, systems, excluded):
    landing = land(spec)
    assert landing.systems == systems
    assert landing.excluded == excluded


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"nodeSelector": {OS_LABEL: "Windows"}}, "nodeSelector kubernetes.io/os=Windows"),
        ({"nodeSelector": {ARCH_LABEL: "x86_64"}}, "nodeSelector kubernetes.io/arch=x86_64"),
        ({"nodeSelector": {OS_LABEL: "linux", BETA_OS_LABEL: "windows"}}, "nodeSelector beta.kubernetes.io/os=windows"),
        (
            {"nodeSelector": {"pool": "a"}, **affinity([("pool", "NotIn", "a")])},
            "nodeSelector and required node affinity together",
        ),
        (affinity(), "required node affinity"),
    ],
)
def test_no_node_could_ever_match(spec, text):
    landing = land(spec)
    assert landing.places == frozenset()
    assert landing.excluded["linux"].text == text


def test_a_selector_that_contradicts_itself_through_two_labels():
    spec = {"nodeSelector": {ARCH_LABEL: "amd64", "beta.kubernetes.io/arch": "arm64"}}
    assert land(spec).excluded["linux"] == Constraint("nodeSelector", "nodeSelector contradicts itself")


def test_architectures():
    assert land({}).architectures is None
    assert land({"nodeSelector": {ARCH_LABEL: "arm64"}}).architectures == {"arm64"}
    assert land(affinity([(ARCH_LABEL, "NotIn", "amd64")])).architectures == set(ARCHITECTURES) - {"amd64"}
    mixed = affinity([(OS_LABEL, "In", "linux"), (ARCH_LABEL, "In", "arm64")], [(OS_LABEL, "In", "windows")])
    assert Place("linux", "arm64") in land(mixed).places
    assert Place("linux", "amd64") not in land(mixed).places
    assert Place("windows", "amd64") in land(mixed).places


def test_builds():
    one = land({"nodeSelector": {WINDOWS_BUILD_LABEL: "10.0.20348"}})
    assert one.places == {Place("windows", None, "10.0.20348")}
    newer = land({"nodeSelector": {OS_LABEL: "windows"}, **affinity([(WINDOWS_BUILD_LABEL, "NotIn", *WINDOWS_BUILDS)])})
    assert newer.places == {Place("windows", None, None)}  # a build that no list knows yet
    assert land({"nodeSelector": {WINDOWS_BUILD_LABEL: "ltsc2022"}}).places == frozenset()


def test_pins():
    assert land({}).pins is None
    assert land({"nodeName": "n1"}).pins == ("n1",)
    assert land(names("n1", "n2")).pins == ("n1", "n2")
    either = names("n1")
    terms = either["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    terms.append({"matchExpressions": [{"key": OS_LABEL, "operator": "Exists"}]})
    assert land(either).pins is None


WINDOWS_TAINT = ("os", "windows", "NoSchedule")


@pytest.mark.parametrize(
    ("spec", "raw", "expected"),
    [
        pytest.param({}, node(), None, id="taken"),
        pytest.param(
            {"nodeSelector": {OS_LABEL: "windows"}},
            node(),
            Refusal("selector", "nodeSelector kubernetes.io/os=windows"),
            id="selector",
        ),
        pytest.param(
            affinity([(OS_LABEL, "In", "windows")]),
            node(),
            Refusal("affinity", "required node affinity"),
            id="affinity",
        ),
        pytest.param({}, node(taints=[WINDOWS_TAINT]), Refusal("taint", "taint os=windows:NoSchedule"), id="taint"),
        pytest.param(
            {}, node(taints=[("os", "", "NoExecute")]), Refusal("taint", "taint os:NoExecute"), id="taint no value"
        ),
        pytest.param({}, node(taints=[("os", "windows", "PreferNoSchedule")]), None, id="a preference"),
        pytest.param({"tolerations": [{"operator": "Exists"}]}, node(taints=[WINDOWS_TAINT]), None, id="all tolerated"),
        pytest.param(
            {},
            node(taints=[("node.kubernetes.io/not-ready", "", "NoSchedule")]),
            Refusal("taint", "taint node.kubernetes.io/not-ready:NoSchedule", passing=True),
            id="not ready passes",
        ),
        pytest.param(
            {},
            node(taints=[("node.kubernetes.io/not-ready", "", "NoSchedule"), WINDOWS_TAINT]),
            Refusal("taint", "taint os=windows:NoSchedule"),
            id="a lasting taint counts more",
        ),
        pytest.param(
            {},
            node(taints=[("node.kubernetes.io/os", "windows", "NoSchedule")]),
            Refusal("taint", "taint node.kubernetes.io/os=windows:NoSchedule"),
            id="GKE's Windows taint lasts",
        ),
        pytest.param({}, node(unschedulable=True), Refusal("unschedulable", "cordoned", passing=True), id="cordoned"),
        pytest.param(
            {"nodeName": "n1"},
            node(unschedulable=True, taints=[WINDOWS_TAINT]),
            None,
            id="nodeName passes the scheduler by",
        ),
        pytest.param(
            {"nodeName": "n1"},
            node(taints=[("os", "windows", "NoExecute")]),
            Refusal("taint", "taint os=windows:NoExecute"),
            id="nodeName meets the kubelet",
        ),
        pytest.param({"nodeName": "n2"}, node(), Refusal("name", "nodeName n2"), id="another node's name"),
    ],
)
def test_refusals(spec, raw, expected):
    assert refusal(read_placement(spec), read_node(raw)) == expected


def test_nodes_that_look_alike_are_answered_for_once():
    raw = [node(f"l{number}") for number in range(500)] + [node("w1", "windows", build="10.0.20348")]
    landing = land({"nodeSelector": {OS_LABEL: "windows"}}, nodes=Known(NodeSet(tuple(map(read_node, raw)))))
    by_count = {fit.group.count: fit for fit in landing.fits.value}
    assert set(by_count) == {500, 1}
    assert by_count[500].group.names == ("l0", "l1", "l2")
    assert by_count[500].refusal == Refusal("selector", "nodeSelector kubernetes.io/os=windows")
    assert [group.names for group in landing.matching().value] == [("w1",)]


def test_a_pinned_pod_is_judged_by_its_own_node_only():
    nodes = Known(NodeSet(tuple(map(read_node, [node("l1"), node("w1", "windows")]))))
    assert [fit.group.names for fit in land(names("w1"), nodes=nodes).fits.value] == [("w1",)]
    assert land({"nodeName": "gone"}, nodes=nodes).fits == Known(())


def test_cordoned_nodes_count_where_passing_states_are_forgiven():
    nodes = Known(NodeSet((read_node(node(unschedulable=True)),)))
    assert land({}, nodes=nodes).matching() == Known(())
    assert len(land({}, nodes=nodes).matching(passing=True).value) == 1


def test_unknown_nodes_stay_unknown():
    assert land({}, nodes=Unknown("nodes could not be listed")).matching() == Unknown("nodes could not be listed")


def test_a_daemon_set_tolerates_what_its_controller_adds():
    cordoned = node(unschedulable=True, taints=[("node.kubernetes.io/not-ready", "", "NoExecute")])
    offline = node(taints=[("node.kubernetes.io/network-unavailable", "", "NoSchedule")])
    assert refusal(read_placement({}, daemon=True), read_node(cordoned)) is None
    assert refusal(read_placement({}, daemon=True), read_node(offline)) is not None
    assert refusal(read_placement({"hostNetwork": True}, daemon=True), read_node(offline)) is None


RUNTIME_CLASS = {
    "metadata": {"name": "windows-2022"},
    "handler": "runhcs-wcow-process",
    "scheduling": {
        "nodeSelector": {OS_LABEL: "windows"},
        "tolerations": [{"key": "os", "operator": "Equal", "value": "windows", "effect": "NoSchedule"}],
    },
}


def test_a_runtime_class_brings_its_selector_and_tolerations():
    merged = land(
        {"runtimeClassName": "windows-2022"},
        runtime_class=Known(read_runtime_class(RUNTIME_CLASS)),
        nodes=Known(NodeSet((read_node(node("w1", "windows", taints=[WINDOWS_TAINT])),))),
    )
    assert merged.systems == {"windows"}
    assert merged.excluded["linux"] == Constraint(
        "runtimeClassName", "runtime class nodeSelector kubernetes.io/os=windows"
    )
    assert len(merged.matching().value) == 1
    assert merged.unsure is None


def test_a_runtime_class_that_contradicts_the_pod():
    spec = {"runtimeClassName": "windows-2022", "nodeSelector": {OS_LABEL: "linux"}}
    assert land(spec, runtime_class=Known(read_runtime_class(RUNTIME_CLASS))).places == frozenset()


def test_an_unknown_runtime_class_makes_it_unsure():
    landing = land({"runtimeClassName": "kata"})
    assert landing.systems == {"linux", "windows"}
    assert landing.unsure == "runtime class kata not looked up"
    assert land({"runtimeClassName": "kata"}, runtime_class=Known(None)).unsure is None
    assert land({"runtimeClassName": "kata"}, runtime_class=Known(RuntimeClassScheduling("kata"))).unsure is None


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, Declared()),
        ({"os": {"name": "windows"}}, Declared(os_name="windows")),
        ({"os": None}, Declared()),
        (
            {"securityContext": {"windowsOptions": {"runAsUserName": "x"}}},
            Declared(windows_options="securityContext.windowsOptions"),
        ),
        (
            {"containers": [{}, {"securityContext": {"windowsOptions": {"hostProcess": True}}}]},
            Declared(
                "",
                "containers[1].securityContext.windowsOptions",
                "containers[1].securityContext.windowsOptions.hostProcess",
            ),
        ),
        ({"securityContext": {"windowsOptions": {}}}, Declared()),
    ],
)
def test_what_a_spec_declares(spec, expected):
    assert declared(spec) == expected


@pytest.mark.parametrize(
    ("spec", "labels", "os", "expected"),
    [
        ({}, {}, "linux", None),
        ({"os": {"name": "windows"}}, {}, "linux", "PodOSNotSupported"),
        ({"os": {"name": "windows"}}, {}, "windows", None),
        ({}, {OS_LABEL: "windows"}, "linux", "PodOSSelectorNodeLabelDoesNotMatch"),
        ({"os": {"name": "windows"}}, {OS_LABEL: "windows"}, "linux", "PodOSSelectorNodeLabelDoesNotMatch"),
    ],
)
def test_the_kubelet_refuses(spec, labels, os, expected):
    assert kubelet_refusal(spec, labels, os) == expected


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"nodeSelector": []}, "nodeSelector"),
        ({"nodeSelector": {"a": 1}}, "nodeSelector['a']"),
        ({"affinity": 1}, "affinity"),
        (
            {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}},
            REQUIRED,
        ),
        (
            affinity([(OS_LABEL, "In", 1)]),
            f"{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].values[0]",
        ),
        ({"tolerations": [None]}, "tolerations[0]"),
        ({"tolerations": {}}, "tolerations"),
        ({"nodeName": 1}, "nodeName"),
    ],
)
def test_what_is_no_pod_spec_is_malformed_at_its_path(spec, path):
    with pytest.raises(Malformed) as error:
        land(spec)
    assert error.value.path == path


SELECTOR = {f"k{number}": "v" for number in range(MOST_RULES - 2)}
NAMED = [f"n{number}" for number in range(MOST_VALUES)]


@pytest.mark.parametrize(
    ("spec", "one_more", "words"),
    [
        (
            {"nodeSelector": SELECTOR, "tolerations": [{"operator": "Exists"}], **affinity([("pool", "Exists")])},
            {"tolerations": [{"operator": "Exists"}] * 2},
            "more than 500 selectors, tolerations and affinity rules",
        ),
        (
            affinity([("pool", "In", *NAMED)]),
            affinity([("pool", "In", *NAMED[1:])], [("pool", "NotIn", *NAMED[:2])]),
            "more than 5000 values in its node affinity",
        ),
    ],
    ids=["rules", "values"],
)
def test_more_rules_than_can_be_judged_in_time_are_none(spec, one_more, words):
    assert land(spec).systems == {"linux", "windows"}
    with pytest.raises(Malformed, match=f"^{words}$"):
        land({**spec, **one_more})


def test_what_is_remembered_is_short():
    """A request may hold megabytes of names, and a thousand of them would be kept."""
    size = landing._by_rules.cache_info().currsize
    land({"nodeSelector": {"pool": "short"}, "nodeName": "n" * LONGEST})
    assert landing._by_rules.cache_info().currsize == size
    land({"nodeSelector": {"pool": "short"}, "nodeName": "n"})
    assert landing._by_rules.cache_info().currsize == size + 1
    nodes = NodeSet((read_node(node()),))
    assert nodes.groups(frozenset({"k" * (LONGEST + 1)})) == nodes.groups(frozenset({"k"}))
    assert list(nodes._grouped) == [frozenset({"k"})]


def test_nulls_read_as_absent():
    spec = {"nodeSelector": None, "affinity": {"nodeAffinity": None}, "tolerations": None, "nodeName": None}
    assert land(spec).systems == {"linux", "windows"}


def test_read_node():
    raw = {
        "metadata": {"name": "aks-win-1", "labels": {OS_LABEL: "windows", WINDOWS_BUILD_LABEL: "10.0.20348"}},
        "spec": {"providerID": "azure:///x", "taints": [{"key": "os", "value": "windows", "effect": "NoSchedule"}]},
        "status": {
            "nodeInfo": {
                "operatingSystem": "windows",
                "architecture": "amd64",
                "osImage": "Windows Server 2022 Datacenter",
                "kernelVersion": "10.0.20348.2227",
                "containerRuntimeVersion": "containerd://1.7.20",
            }
        },
    }
    facts = read_node(raw)
    assert (facts.name, facts.os, facts.arch, facts.windows_build) == ("aks-win-1", "windows", "amd64", "10.0.20348")
    assert facts.taints == (Taint("os", "windows", "NoSchedule"),)
    assert (facts.provider_id, facts.runtime) == ("azure:///x", "containerd://1.7.20")
    assert facts.os_image == "Windows Server 2022 Datacenter"
    assert node_platform(facts) == Platform("windows", "amd64", "", "10.0.20348")


def test_read_node_falls_back_on_what_there_is():
    kernel = read_node({"status": {"nodeInfo": {"operatingSystem": "windows", "kernelVersion": "10.0.26100.1742"}}})
    assert kernel.windows_build == "10.0.26100"
    labels = read_node({"metadata": {"labels": {BETA_OS_LABEL: "linux", "beta.kubernetes.io/arch": "arm64"}}})
    assert (labels.os, labels.arch, labels.windows_build) == ("linux", "arm64", "")


@pytest.mark.parametrize(
    ("toleration", "taint", "expected"),
    [
        (Toleration("os", "", "windows", ""), Taint("os", "windows", "NoExecute"), True),
        (Toleration("os", "Equal", "windows", "NoSchedule"), Taint("os", "windows", "NoExecute"), False),
        (Toleration("", "Exists"), Taint("os", "windows", "NoExecute"), True),
        (Toleration("os", "Exists", "", ""), Taint("arch", "arm64", "NoSchedule"), False),
        (Toleration("size", "Gt", "4", ""), Taint("size", "5", "NoSchedule"), True),
        (Toleration("size", "Lt", "4", ""), Taint("size", "5", "NoSchedule"), False),
        (Toleration("size", "Gt", "04", ""), Taint("size", "5", "NoSchedule"), False),
        (Toleration("size", "Near", "5", ""), Taint("size", "5", "NoSchedule"), False),
    ],
)
def test_tolerations(toleration, taint, expected):
    assert tolerates(toleration, taint) is expected
