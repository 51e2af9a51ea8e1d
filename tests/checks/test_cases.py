"""Holds every check to its three files: the module, its cases, its page. Fails on a missing file and on a stray one.

A case names an image (or a whole `object`) and what is known around it; `fails` say the exact message and fix, since
every message is a product. The form is described in CONTRIBUTING.md.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests import platforms
from webhook.checks.index import all_checks, modules
from webhook.engine.evaluate import evaluate
from webhook.engine.wording import WARNING_LENGTH, warnings
from webhook.model.dockerconfig import DATA_KEYS, DOCKER_CONFIG_JSON, read_secret
from webhook.model.facts import NOT_LOOKED, Facts, Known, SecretPlace, Unknown, list_pull_secrets
from webhook.model.finding import Confidence
from webhook.model.node import NodeFacts, NodeSet, read_runtime_class
from webhook.model.policy import ClusterPolicy
from webhook.model.policy_book import PolicyBook
from webhook.model.policy_spec import read_policy
from webhook.model.text import printable
from webhook.model.workload import extract
from webhook.report.page import markdown

if TYPE_CHECKING:
    from webhook.checks.base import Check
    from webhook.model.dockerconfig import PullSecret
    from webhook.model.facts import Fact, PullSecretList
    from webhook.model.finding import Finding
    from webhook.model.policy_spec import PolicyObject
    from webhook.model.workload import Workload

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "tests" / "cases"
KINDS = ("passes", "fails", "unknown")


def load(code: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CASES / f"{code}.yaml").read_text(encoding="utf-8"))
    return found


def workload_of(case: dict[str, Any]) -> Workload:
    spec: dict[str, Any] = {}
    if "image" in case:
        spec = {"containers": [{"name": "app", "image": case["image"], **case.get("containerFields", {})}]}
    if "listed" in case:
        spec["imagePullSecrets"] = [{"name": name} for name in case["listed"]]
    obj = case.get("object") or {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "shop", "namespace": "team-a", "labels": case.get("podLabels", {})},
        "spec": {**spec, **case.get("podFields", {})},
    }
    found = extract(obj, namespace="team-a")
    assert found is not None
    return found


def secret_of(given: dict[str, Any]) -> PullSecret:
    """A Secret of a case: `auths` in its type's form, or the whole `text`; `made` and `written` are times."""
    kind = given.get("type", DOCKER_CONFIG_JSON)
    text = given.get("text", json.dumps({"auths": given.get("auths", {}), **given.get("more", {})}))
    metadata: dict[str, Any] = {"name": given["name"], "namespace": given.get("namespace", "team-a")}
    if "made" in given:
        metadata["creationTimestamp"] = given["made"].isoformat()
        written = given.get("written", given["made"]).isoformat()
        metadata["managedFields"] = [{"time": written, "fieldsV1": {"f:data": {}}}]
    key = given.get("key", DATA_KEYS.get(kind, ".dockerconfigjson"))
    return read_secret({"metadata": metadata, "type": kind, "stringData": {key: text}})


def pull_secrets_of(case: dict[str, Any]) -> Fact[PullSecretList]:
    """Known where a case says anything of secrets. The pod is a manifest, unless it is `stored`."""
    if "secretsUnknown" in case:
        return Unknown(case["secretsUnknown"])
    if not {"secrets", "accounts", "listed"} & set(case):
        return Unknown("not looked up")
    here = {one["name"]: one for one in case.get("secrets", []) if one.get("namespace", "team-a") == "team-a"}

    def secret(name: str) -> Fact[PullSecret | None]:
        if name not in here:
            return Known(None)
        return Unknown(here[name]["unread"]) if "unread" in here[name] else Known(secret_of(here[name]))

    workload = workload_of(case)
    names = case.get("accounts", {"default": []}).get(workload.service_account)
    account = Known(tuple(names) if names is not None else None)
    return list_pull_secrets(workload, account, secret, stored=case.get("stored", False))


def places_of(case: dict[str, Any], host: str) -> list[SecretPlace]:
    """Where a case has secrets for a host, the workload's own namespace first."""
    found = [secret_of(one) for one in case.get("secrets", []) if "unread" not in one]
    places = [
        SecretPlace(secret.namespace, secret.name)
        for secret in found
        if not secret.ignored and any(entry.location and entry.location.host == host for entry in secret.entries)
    ]
    return sorted(places, key=lambda place: place.namespace != "team-a")


def nodes_of(case: dict[str, Any]) -> Fact[NodeSet]:
    """The nodes of a case, whole or by their provider ids, or all that is known of them: nothing."""
    if "nodes" in case:
        return Known(platforms.node_set(case["nodes"]))
    if "providers" not in case:
        return Unknown("not looked up")
    return Known(NodeSet(tuple(NodeFacts(name=id_, labels={}, provider_id=id_) for id_ in case["providers"])))


def policy_of(spec: dict[str, Any]) -> PolicyObject:
    """A ClusterPullPolicy called `platform` with that spec; every namespace is meant."""
    found = read_policy({"kind": "ClusterPullPolicy", "metadata": {"name": "platform"}, "spec": spec})
    assert found.problem is None
    return found


def facts_of(case: dict[str, Any]) -> Facts:
    hosts, images = case.get("hosts", {}), case.get("images", {})
    labels = case.get("labels", {})
    secrets = case.get("secrets", [])
    return Facts(
        policy=PolicyBook(ClusterPolicy(), map(policy_of, case.get("policies", []))).policy("team-a", labels),
        namespace_labels=Unknown(case["namespaceUnknown"]) if "namespaceUnknown" in case else Known(labels),
        pull_secrets=pull_secrets_of(case),
        nodes=nodes_of(case),
        runtime_class=Known(read_runtime_class(case["runtimeClass"])) if "runtimeClass" in case else NOT_LOOKED,
        image_platforms=lambda image: platforms.platforms(case.get("platforms", {}).get(image)),
        now=int(case["now"].timestamp()) if "now" in case else 0,
        host_evidence=hosts.get,
        image_evidence=images.get,
        secret_namespaces=lambda name: tuple(one.get("namespace", "team-a") for one in secrets if one["name"] == name),
        secrets_for_host=lambda host, _: tuple(places_of(case, host)),
    )


def found_by(check: Check, case: dict[str, Any]) -> list[Finding]:
    out_of_time = case.get("outOfTime", False)
    found = evaluate(workload_of(case), facts_of(case), all_checks(), out_of_time=lambda: out_of_time)
    return [finding for finding in found if finding.code == check.code]


def cases(kind: str) -> list[Any]:
    return [
        pytest.param(check, case, id=f"{check.code}-{index}")
        for check in all_checks()
        if (CASES / f"{check.code}.yaml").exists()
        for index, case in enumerate(load(check.code).get(kind) or [])
    ]


def test_codes_cases_and_pages_belong_together() -> None:
    codes = set(modules())
    assert {file.stem for file in CASES.glob("*.yaml")} == codes
    assert {file.stem for file in (ROOT / "docs" / "checks").glob("PULL*.md")} == codes


@pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.code)
def test_every_check_has_cases_of_each_kind_and_a_whole_page(check: Check) -> None:
    found = load(check.code)
    assert set(found) - {"unknown_note", "fails_note"} == set(KINDS)
    assert found["passes"]
    assert found["fails"] or found["unknown"]
    assert found["unknown"] or found["unknown_note"], "say why nothing can be unknown"
    assert markdown(check, modules()[check.code].__doc__ or "").startswith(f"# {check.code} {check.name}\n")


@pytest.mark.parametrize(("check", "case"), cases("passes"))
def test_passes(check: Check, case: dict[str, Any]) -> None:
    assert found_by(check, case) == []


@pytest.mark.parametrize(("check", "case"), cases("fails"))
def test_fails(check: Check, case: dict[str, Any]) -> None:
    found = found_by(check, case)
    assert len(found) == case.get("count", 1)
    first = found[0]
    assert first.confidence.word == case["confidence"]
    assert first.message == case["message"]
    assert first.fix == case["fix"]
    assert first.suggestion == case.get("suggestion")
    assert first.field == case.get("field", first.field)
    assert list(first.evidence) == case.get("evidence", list(first.evidence))
    assert Confidence.UNKNOWN < first.confidence <= check.confidence


@pytest.mark.parametrize(("check", "case"), cases("unknown"))
def test_unknown(check: Check, case: dict[str, Any]) -> None:
    (first,) = found_by(check, case)
    assert first.confidence is Confidence.UNKNOWN
    assert first.message == case["message"]


def test_every_message_fits_a_warning_and_shows_no_control_character() -> None:
    params = itertools.chain(cases("fails"), cases("unknown"))
    for check, case in (param.values for param in params):
        for finding in found_by(check, case):
            assert printable(finding.message + finding.fix) == finding.message + finding.fix
            assert not finding.message.endswith(".")
            assert "?" not in finding.message
            assert all(len(line) <= WARNING_LENGTH for line in warnings([finding]))
