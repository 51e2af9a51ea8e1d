"""Holds every check to its three files: the module, its cases, its page. Fails on a missing file and on a stray one.

A case names an image (or a whole `object`) and what is known around it; `fails` say the exact message and fix, since
every message is a product. The form is described in CONTRIBUTING.md.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from webhook.checks.index import all_checks, modules
from webhook.engine.evaluate import evaluate
from webhook.engine.wording import WARNING_LENGTH, warnings
from webhook.model.facts import Facts, Known, Unknown
from webhook.model.finding import Confidence
from webhook.model.policy import ClusterPolicy, of_labels
from webhook.model.text import printable
from webhook.model.workload import extract
from webhook.report.page import markdown

if TYPE_CHECKING:
    from webhook.checks.base import Check
    from webhook.model.finding import Finding
    from webhook.model.workload import Workload

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "tests" / "cases"
KINDS = ("passes", "fails", "unknown")


def load(code: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CASES / f"{code}.yaml").read_text(encoding="utf-8"))
    return found


def workload_of(case: dict[str, Any]) -> Workload:
    obj = case.get("object") or {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "shop", "namespace": "team-a"},
        "spec": {"containers": [{"name": "app", "image": case["image"], **case.get("containerFields", {})}]},
    }
    found = extract(obj, namespace="team-a")
    assert found is not None
    return found


def facts_of(case: dict[str, Any]) -> Facts:
    hosts, images = case.get("hosts", {}), case.get("images", {})
    labels = case.get("labels", {})
    return Facts(
        policy=of_labels(labels, ClusterPolicy()),
        namespace_labels=Unknown(case["namespaceUnknown"]) if "namespaceUnknown" in case else Known(labels),
        host_evidence=hosts.get,
        image_evidence=images.get,
    )


def found_by(check: Check, case: dict[str, Any]) -> list[Finding]:
    found = evaluate(workload_of(case), facts_of(case), all_checks())
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
