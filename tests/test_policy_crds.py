"""The CRDs on a real API server: what it takes, what it refuses and in which words; and the model that reads them.

Nothing is kept but the CRDs themselves: every policy is a dry run, since the control plane is everybody's.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.policies import install
from webhook.model import policy_spec
from webhook.model.policy_exemption import CONTROLLERS, EVERYBODY, Exemption, WorkloadRule
from webhook.model.policy_glob import MEANING, PATTERN
from webhook.model.policy_spec import (
    FIELDS,
    ClusterPullPolicySpec,
    ConfidenceRule,
    Levels,
    NodesRule,
    PullPolicySpec,
    RegistryRule,
    read_policy,
)
from webhook.model.workload import POD_SPEC_PATHS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.controlplane.controlplane import ControlPlane

BASE = Path(__file__).resolve().parents[1] / "manifests" / "base"
FILES = ("02-cluster-pull-policies.yaml", "03-pull-policies.yaml")
SOME_CONFIDENCE = {"check": "PULL304", "confidence": "certain"}
SOME_WORKLOAD = {"namespace": "shop", "kind": "Deployment", "name": "legacy"}
SOME_EXEMPTION = {
    "name": "old",
    "reason": "moves in May",
    "expires": "2027-05-31T00:00:00Z",
    "images": ["docker.io/contoso/*"],
    "runtimeClasses": ["kata"],
    "checks": ["PULL304"],
}
SHARED = {
    "templates": "deny",
    "confidence": [SOME_CONFIDENCE],
    "registries": [
        {"match": "*.azurecr.io", "credentials": "nodeIdentity", "mirrors": ["harbor.example/azure"], "os": "windows"}
    ],
    "allowedRegistries": ["*.azurecr.io", "registry.example:5000/team/*"],
}
WHOLE: dict[str, dict[str, Any]] = {
    "ClusterPullPolicy": {
        **SHARED,
        "priority": 10,
        "namespaceSelector": {
            "matchLabels": {"team": "a"},
            "matchExpressions": [{"key": "stage", "operator": "In", "values": ["live"]}],
        },
        "defaults": {"enforce": "certain", "warn": "likely", "audit": "advisory", "injectOS": "enabled"},
        "floor": {"enforce": "off", "warn": "likely", "audit": "advisory"},
        "nodes": {
            "rewrites": ["docker.io"],
            "preloaded": ["registry.k8s.io/pause"],
            "credentials": "listed",
            "credentialHosts": ["ghcr.io"],
        },
        "exemptions": [
            {
                **SOME_EXEMPTION,
                "workloads": [{"namespace": "shop", "kind": "Deployment", "name": "legacy-*"}],
                "users": ["jane"],
                "groups": ["break-glass"],
                "serviceAccounts": ["ci/deployer"],
            }
        ],
        "delegate": ["levels", "confidence", "registries", "exemptions"],
    },
    "PullPolicy": {
        **SHARED,
        "levels": {"enforce": "likely", "warn": "advisory", "audit": "advisory"},
        "exemptions": [{**SOME_EXEMPTION, "workloads": [{"kind": "Deployment", "name": "legacy"}]}],
    },
}


def crd(file: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((BASE / file).read_text(encoding="utf-8"))
    return found


def schema(file: str) -> dict[str, Any]:
    (version,) = crd(file)["spec"]["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]
    return found


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> ControlPlane:
    install(control_plane)
    return control_plane


def policy(kind: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "a"} if kind == "ClusterPullPolicy" else {"name": "a", "namespace": "default"}
    return {"apiVersion": "pullproof.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def exempt(**more: Any) -> dict[str, Any]:
    given = {"name": "x", "reason": "because", "expires": "2027-05-31T00:00:00Z", **more}
    return policy("ClusterPullPolicy", exemptions=[given])


def applied(plane: ControlPlane, obj: dict[str, Any], *more: str) -> Any:
    return plane.kubectl(
        "create", "--dry-run=server", "-o", "json", "-f", "-", *more, input=json.dumps(obj), check=False
    )


@pytest.mark.parametrize("kind", WHOLE)
def test_a_policy_that_says_everything(plane: ControlPlane, kind: str) -> None:
    done = applied(plane, policy(kind, **WHOLE[kind]), "--validate=strict")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["spec"] == WHOLE[kind]
    read = read_policy(found)
    assert read.problem is None
    policy_spec.refuse_unknown_fields(found)


def test_defaults(plane: ControlPlane) -> None:
    assert json.loads(applied(plane, policy("ClusterPullPolicy")).stdout)["spec"] == {"priority": 0}


ONE_CONTROLLER = "would exempt a built-in controller, which makes everybody's pods, and so everything"
NOBODY = "says nobody and nothing: name images, workloads, users, groups, serviceAccounts, runtimeClasses or checks"
A_CODE = "write PULL and three digits, as `pullproof explain` lists them; what is unknown (9xx) stays so"


@pytest.mark.parametrize(
    ("obj", "told"),
    [
        (
            policy("ClusterPullPolicy", defaults={"enforce": "sure"}),
            'spec.defaults.enforce: Unsupported value: "sure": supported values: "off", "certain", "likely",'
            ' "advisory"',
        ),
        (
            policy("ClusterPullPolicy", registries=[{"match": "*azurecr.io"}]),
            f'spec.registries[0].match: Invalid value: "*azurecr.io": {MEANING}',
        ),
        (
            policy("PullPolicy", allowedRegistries=["*.io"]),
            f'spec.allowedRegistries[0]: Invalid value: "*.io": {MEANING}',
        ),
        (
            policy("ClusterPullPolicy", nodes={"credentials": "listed"}),
            "spec.nodes: Invalid value: credentialHosts goes with `credentials: listed`, and with nothing else",
        ),
        (
            policy("ClusterPullPolicy", nodes={"credentials": "none", "credentialHosts": ["ghcr.io"]}),
            "spec.nodes: Invalid value: credentialHosts goes with `credentials: listed`, and with nothing else",
        ),
        (
            policy("ClusterPullPolicy", confidence=[SOME_CONFIDENCE, SOME_CONFIDENCE]),
            'spec.confidence[1]: Duplicate value: {"check":"PULL304"}',
        ),
        (
            policy("ClusterPullPolicy", confidence=[{"check": "PULL901", "confidence": "likely"}]),
            f'spec.confidence[0].check: Invalid value: "PULL901": {A_CODE}',
        ),
        (exempt(), f"spec.exemptions[0]: Invalid value: {NOBODY}"),
        (
            policy("ClusterPullPolicy", exemptions=[{"name": "x", "images": ["ghcr.io"], "reason": "y"}]),
            "spec.exemptions[0].expires: Required value",
        ),
        (exempt(users=["system:kube-controller-manager"]), f"spec.exemptions[0].users[0]: <value>: {ONE_CONTROLLER}"),
        (
            exempt(serviceAccounts=["kube-system/job-controller"]),
            f"spec.exemptions[0].serviceAccounts[0]: <value>: {ONE_CONTROLLER}",
        ),
        (exempt(users=["*"]), "spec.exemptions[0].users[0]: <value>: users are whole names, without `*`"),
        (
            exempt(serviceAccounts=["deployer"]),
            "spec.exemptions[0].serviceAccounts[0]: <value>: write a ServiceAccount as namespace/name",
        ),
        (
            exempt(groups=["system:authenticated"]),
            "spec.exemptions[0].groups[0]: <value>: the built-in controllers are in that group, so everything would be"
            " exempt",
        ),
        (
            exempt(workloads=[{"kind": "Deployment", "name": "legacy"}]),
            "spec.exemptions[0].workloads[0].namespace: Required value",
        ),
        (
            exempt(workloads=[SOME_WORKLOAD, SOME_WORKLOAD]),
            "spec.exemptions[0].workloads[1]: Duplicate value:"
            ' {"kind":"Deployment","name":"legacy","namespace":"shop"}',
        ),
        (
            exempt(images=["ghcr.io"], expires="May"),
            'spec.exemptions[0].expires: Invalid value: "May": spec.exemptions[0].expires in body must be of type'
            " date-time",
        ),
        (policy("ClusterPullPolicy", delegate=["all"]), 'spec.delegate[0]: Unsupported value: "all": <values>'),
    ],
)
def test_refused(plane: ControlPlane, obj: dict[str, Any], told: str) -> None:
    done = applied(plane, obj)
    assert done.returncode == 1
    pattern = re.escape(told).replace("<value>", r'Invalid value: "[^"]*"').replace("<values>", r"supported values: .*")
    assert re.search(pattern, done.stderr), done.stderr
    # a file that no API server has seen is refused as well
    assert read_policy(obj).problem is not None


def test_no_built_in_controller_and_no_group_of_theirs_can_be_exempt(plane: ControlPlane) -> None:
    users, groups = sorted(CONTROLLERS), sorted(EVERYBODY)
    told = applied(plane, exempt(users=users, groups=groups)).stderr
    assert set(re.findall(r"\.(users|groups)\[(\d+)\]", told)) == {
        *(("users", str(index)) for index in range(len(users))),
        *(("groups", str(index)) for index in range(len(groups))),
    }


def test_a_field_that_means_nothing_is_refused(plane: ControlPlane) -> None:
    done = applied(plane, policy("ClusterPullPolicy", flor={"enforce": "certain"}))
    assert 'unknown field "spec.flor"' in done.stderr


@pytest.fixture
def kept(plane: ControlPlane) -> Iterator[str]:
    name = "crd-test-of-merging"
    yield name
    plane.kubectl("delete", "clusterpullpolicy", name)


def test_two_teams_apply_to_one_policy(plane: ControlPlane, kept: str) -> None:
    nowhere = {"matchLabels": {"kubernetes.io/metadata.name": "crd-test-nowhere"}}
    for team, spec in (
        ("one", {"namespaceSelector": nowhere, "registries": [{"match": "ghcr.io", "credentials": "required"}]}),
        ("two", {"registries": [{"match": "quay.io", "os": "linux"}], "allowedRegistries": ["quay.io"]}),
    ):
        obj = {**policy("ClusterPullPolicy", **spec), "metadata": {"name": kept}}
        plane.kubectl("apply", "--server-side", f"--field-manager={team}", "-f", "-", input=json.dumps(obj))
    found = json.loads(plane.kubectl("get", "cpp", kept, "-o", "json").stdout)["spec"]
    assert [one["match"] for one in found["registries"]] == ["ghcr.io", "quay.io"]
    listed = plane.kubectl("get", "cpp", kept).stdout.split()
    assert listed[:5] == ["NAME", "PRIORITY", "READY", "CONFLICTS", "AGE"]


# --- the model and the schema say the same ---------------------------------------------------------------------------


def held_fields(node: dict[str, Any]) -> dict[str, Any] | None:
    """The fields of a schema as `FIELDS` has them; a list stands for its items."""
    if "items" in node:
        return held_fields(node["items"])
    properties = node.get("properties")
    return None if properties is None else {name: held_fields(value) for name, value in properties.items()}


@pytest.mark.parametrize("file", FILES)
def test_the_fields_are_those_of_the_model(file: str) -> None:
    assert held_fields(schema(file)["spec"]) == FIELDS[crd(file)["spec"]["names"]["kind"]]


def camel(name: str) -> str:
    if name == "inject_os":
        return "injectOS"
    first, *rest = name.split("_")
    return first + "".join(map(str.title, rest))


@pytest.mark.parametrize(
    ("model", "held", "own"),
    [
        (ClusterPullPolicySpec, FIELDS["ClusterPullPolicy"], set()),
        (PullPolicySpec, FIELDS["PullPolicy"], set()),
        (Levels, FIELDS["ClusterPullPolicy"]["defaults"], set()),
        (ConfidenceRule, FIELDS["ClusterPullPolicy"]["confidence"], set()),
        (RegistryRule, FIELDS["ClusterPullPolicy"]["registries"], set()),
        (NodesRule, FIELDS["ClusterPullPolicy"]["nodes"], set()),
        (Exemption, FIELDS["ClusterPullPolicy"]["exemptions"], {"source"}),
        (WorkloadRule, FIELDS["ClusterPullPolicy"]["exemptions"]["workloads"], set()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_dataclasses_have_these_fields(model: Any, held: dict[str, Any], own: set[str]) -> None:
    assert {camel(field.name) for field in fields(model)} - own == set(held)


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, value in node.get("properties", {}).items():
        yield from nodes(value, f"{path}.{name}".lstrip("."))
    if "items" in node:
        yield from nodes(node["items"], path)


@pytest.mark.parametrize("file", FILES)
def test_words_and_patterns_are_those_of_the_model(file: str) -> None:
    globs = 0
    for path, node in nodes(schema(file)["spec"]):
        last = path.rpartition(".")[2]
        if "enum" in node:
            expected = {
                "injectOS": set(policy_spec.SWITCH),
                "credentials": set(policy_spec.CREDENTIALS if "registries" in path else policy_spec.NODE_CREDENTIALS),
                "os": {"linux", "windows"},
                "templates": {"deny", "warn"} if file == FILES[0] else {"deny"},
                "delegate": set(policy_spec.DELEGATIONS),
                "operator": {"In", "NotIn", "Exists", "DoesNotExist"},
                "confidence": {"certain", "likely", "advisory"},
                "kind": {kind for _, kind in POD_SPEC_PATHS},
            }.get(last, set(policy_spec.LEVEL_WORDS))
            assert set(node["enum"]) == expected, path
        for rule in node.get("x-kubernetes-validations", ()):
            if rule["message"] == MEANING:
                globs += 1
                assert rule["rule"] == f"self.matches('{PATTERN}')"
    assert globs == (7 if file == FILES[0] else 4)


@pytest.mark.parametrize("file", FILES)
def test_every_field_is_described_and_bounded(file: str) -> None:
    for path, node in nodes({"properties": schema(file)}):
        if path.partition(".")[0] not in {"spec", "status"}:
            continue
        if node["type"] != "string" or "items" in node:
            assert node.get("description") or node["type"] in {"object", "string"}, path
        if node["type"] == "array":
            assert "x-kubernetes-list-type" in node, f"{path}: server-side apply has to know how to merge it"
        if path.startswith("spec") and node["type"] == "array":
            assert node["maxItems"] <= 256, path
