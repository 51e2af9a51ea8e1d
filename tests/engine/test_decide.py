"""The table of who is denied, warned and left alone (design.md, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from webhook.engine.decide import Circumstances, Mercy, decide
from webhook.model.finding import Confidence, Finding, Heals, Level
from webhook.model.policy import Modes
from webhook.model.workload import extract

if TYPE_CHECKING:
    from webhook.model.workload import Workload

DEFAULT = Modes(Level.CERTAIN, Level.LIKELY, Level.ADVISORY)


def finding(
    confidence: Confidence = Confidence.CERTAIN,
    heals: Heals = Heals.OBJECT,
    code: str = "PULL201",
    image: str = "a.example/app:1",
) -> Finding:
    return Finding(code, "name", confidence, heals, "spec.containers[0].image", "wrong", "mend", None, (), "app", image)


def workload(kind: str = "Pod", **spec: Any) -> Workload:
    pod_spec = {"containers": [{"name": "app", "image": "a.example/app:1"}]}
    if kind == "Pod":
        found = extract({"apiVersion": "v1", "kind": "Pod", "spec": {**pod_spec, **spec}})
    else:
        version = "batch/v1" if kind == "Job" else "apps/v1"
        found = extract({"apiVersion": version, "kind": kind, "spec": {"template": {"spec": pod_spec}, **spec}})
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("what", "findings", "subject", "at", "denied", "warned"),
    [
        ("certain on a pod", [finding()], workload(), Circumstances(), 1, 0),
        ("likely on a pod", [finding(Confidence.LIKELY)], workload(), Circumstances(), 0, 1),
        ("advisory on a pod", [finding(Confidence.ADVISORY)], workload(), Circumstances(), 0, 0),
        ("unknown on a pod", [finding(Confidence.UNKNOWN)], workload(), Circumstances(), 0, 0),
        ("certain on a template", [finding()], workload("Deployment"), Circumstances(), 1, 0),
        ("a Secret may heal it: pod", [finding(heals=Heals.CLUSTER)], workload(), Circumstances(), 1, 0),
        ("a Secret may heal it: template", [finding(heals=Heals.CLUSTER)], workload("Job"), Circumstances(), 0, 1),
        ("a push may heal it: template", [finding(heals=Heals.REGISTRY)], workload("Job"), Circumstances(), 0, 1),
        ("it was so before", [finding()], workload(), Circumstances(previous=(finding(),)), 0, 1),
        (
            "another image was so before",
            [finding()],
            workload(),
            Circumstances(previous=(finding(image="b.example/app:1"),)),
            1,
            0,
        ),
        (
            "a controller's ReplicaSet",
            [finding()],
            workload("ReplicaSet"),
            Circumstances(made_by_controller=True),
            0,
            0,
        ),
        ("a controller's Job", [finding()], workload("Job"), Circumstances(made_by_controller=True), 0, 0),
        ("a controller's pod", [finding()], workload(), Circumstances(made_by_controller=True), 1, 0),
        ("a person's ReplicaSet", [finding()], workload("ReplicaSet"), Circumstances(), 1, 0),
        ("what it was is unknown", [finding()], workload(), Circumstances(mercy=Mercy.BEFORE_UNKNOWN), 0, 1),
        (
            "what it was is unknown, but this is forbidden",
            [finding(), finding(code="PULL802")],
            workload(),
            Circumstances(mercy=Mercy.BEFORE_UNKNOWN),
            1,
            1,
        ),
        ("being deleted", [finding()], workload(), Circumstances(mercy=Mercy.DELETING), 0, 1),
        ("a mirror pod", [finding()], workload(), Circumstances(mercy=Mercy.MIRROR_POD), 0, 1),
        ("an owner that runs", [finding()], workload(), Circumstances(mercy=Mercy.OWNER_READY), 0, 1),
        (
            "a mistake in the policy is always told",
            [finding(Confidence.ADVISORY, Heals.CLUSTER, "PULL801")],
            workload(),
            Circumstances(),
            0,
            1,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_table(
    what: str, findings: list[Finding], subject: Workload, at: Circumstances, denied: int, warned: int
) -> None:
    decision = decide(tuple(findings), subject, DEFAULT, at)
    assert (len(decision.denied), len(decision.warned)) == (denied, warned), what
    assert decision.allowed == (denied == 0)


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("confidence", list(Confidence))
def test_a_level_covers_what_is_at_least_as_sure_and_never_the_unknown(level: Level, confidence: Confidence) -> None:
    rank = {Level.ADVISORY: 1, Level.LIKELY: 2, Level.CERTAIN: 3, Level.OFF: 9}[level]
    expected = confidence is not Confidence.UNKNOWN and confidence.value >= rank
    decision = decide((finding(confidence),), workload(), Modes(level, Level.OFF, Level.OFF), Circumstances())
    assert bool(decision.denied) == expected


def test_unknown_is_told_apart_and_never_counted() -> None:
    decision = decide((finding(Confidence.UNKNOWN),), workload(), DEFAULT, Circumstances())
    assert decision.word == "allow"
    assert [one.confidence for one in decision.unknown] == [Confidence.UNKNOWN]
    assert decision.audited == ()


def test_the_platform_of_a_gated_pod_is_not_decided_yet() -> None:
    gated = workload(schedulingGates=[{"name": "wait"}])
    decision = decide((finding(code="PULL401"), finding()), gated, DEFAULT, Circumstances())
    assert [one.code for one in decision.denied] == ["PULL201"]


def test_a_suspended_job_is_gated_too() -> None:
    modes = Modes(Level.CERTAIN, Level.ADVISORY, Level.ADVISORY)
    decision = decide((finding(code="PULL401"),), workload("Job", suspend=True), modes, Circumstances())
    assert decision.denied == ()
    assert [one.confidence for one in decision.warned] == [Confidence.ADVISORY]


def test_a_gate_that_is_lifted_excuses_nothing() -> None:
    at = Circumstances(previous=(finding(code="PULL401"),), was_suspended=True)
    assert [one.code for one in decide((finding(code="PULL401"),), workload(), DEFAULT, at).denied] == ["PULL401"]


def test_what_was_only_likely_before_excuses_nothing() -> None:
    at = Circumstances(previous=(finding(Confidence.LIKELY),))
    assert len(decide((finding(),), workload(), DEFAULT, at).denied) == 1


def test_thousands_of_findings_are_no_work() -> None:
    many = tuple(finding(image=f"a.example/app:{number}") for number in range(20_000))
    assert len(decide(many, workload(), DEFAULT, Circumstances()).denied) == 20_000


def test_what_is_denied_is_not_warned_about_as_well() -> None:
    decision = decide((finding(), finding(Confidence.LIKELY, code="PULL202")), workload(), DEFAULT, Circumstances())
    assert [one.code for one in decision.denied] == ["PULL201"]
    assert [one.code for one in decision.warned] == ["PULL202"]


def test_where_policy_only_warns_of_templates() -> None:
    modes = Modes(Level.CERTAIN, Level.OFF, Level.OFF, deny_templates=False)
    assert decide((finding(),), workload("Deployment"), modes, Circumstances()).denied == ()
    assert len(decide((finding(),), workload(), modes, Circumstances()).denied) == 1
