"""What an exemption takes out of the findings, and what none ever does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from webhook.engine.excuse import excuse
from webhook.model.finding import Confidence, Finding, Heals
from webhook.model.policy import ClusterPolicy
from webhook.model.policy_book import PolicyBook
from webhook.model.policy_exemption import Requester
from webhook.model.policy_spec import read_policy
from webhook.model.workload import extract

if TYPE_CHECKING:
    from webhook.engine.excuse import Verdict

NOW = 1_800_000_000  # 2027-01-15
GHCR = "ghcr.io/org/app:1"
JANE = Requester("jane", frozenset({"break-glass"}))


def finding(code: str = "PULL201", image: str | None = GHCR, confidence: Confidence = Confidence.CERTAIN) -> Finding:
    return Finding(code, "name", confidence, Heals.OBJECT, "spec", "wrong", "mend", container="app", image=image)


def exemption(name: str = "old", expires: str = "2027-02-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    return {"name": name, "reason": "moves", "expires": expires, **more}


def policy(*exemptions: dict[str, Any], owners: tuple[dict[str, Any], ...] = ()) -> ClusterPolicy:
    objects = [
        {
            "kind": "ClusterPullPolicy",
            "metadata": {"name": "a"},
            "spec": {"exemptions": list(exemptions), "delegate": ["exemptions"]},
        },
        {"kind": "PullPolicy", "metadata": {"name": "b", "namespace": "shop"}, "spec": {"exemptions": list(owners)}},
    ]
    read = [read_policy(one) for one in objects]
    assert [one.problem for one in read] == [None, None]
    return PolicyBook(ClusterPolicy(), read).cluster_policy("shop", {})


def excused(of: ClusterPolicy, *findings: Finding) -> Verdict:
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"namespace": "shop"}, "spec": {}}
    workload = extract(pod)
    assert workload is not None
    return excuse(findings, workload, of, JANE, now=NOW)


def test_what_is_excused_is_kept_and_named() -> None:
    verdict = excused(policy(exemption(images=["ghcr.io"])), finding(), finding(image="quay.io/a:1"))
    assert [one.image for one in verdict.findings] == ["quay.io/a:1"]
    assert [str(one) for one in verdict.excused] == ["PULL201 app by ClusterPullPolicy/a old"]
    assert verdict.expired == ()


def test_an_expired_one_stops_by_itself_and_is_told() -> None:
    verdict = excused(policy(exemption(images=["ghcr.io"], expires="2027-01-01T00:00:00Z")), finding())
    assert (len(verdict.findings), verdict.excused) == (1, ())
    assert [str(one) for one in verdict.expired] == ["PULL201 app by ClusterPullPolicy/a old"]


def test_it_ends_in_that_very_second() -> None:
    assert not excused(policy(exemption(images=["ghcr.io"], expires="2027-01-15T08:00:00Z")), finding()).excused
    assert excused(policy(exemption(images=["ghcr.io"], expires="2027-01-15T08:00:01Z")), finding()).excused


def test_one_that_holds_counts_beside_one_that_has_expired() -> None:
    both = policy(exemption("a", "2027-01-01T00:00:00Z", images=["ghcr.io"]), exemption("b", groups=["break-glass"]))
    verdict = excused(both, finding())
    assert (len(verdict.excused), verdict.expired) == (1, ())


@pytest.mark.parametrize("said", [{"groups": ["break-glass"]}, {"images": ["ghcr.io"]}])
def test_what_could_not_be_looked_at_is_never_excused(said: dict[str, Any]) -> None:
    assert not excused(policy(exemption(**said)), finding("PULL901", confidence=Confidence.UNKNOWN)).excused


def test_an_image_that_is_no_reference_is_none_of_any_glob() -> None:
    assert not excused(policy(exemption(images=["ghcr.io"])), finding("PULL101", "ghcr.io//app")).excused
    assert excused(policy(exemption(groups=["break-glass"])), finding("PULL101", "ghcr.io//app")).excused


def test_those_whom_the_allow_list_binds_do_not_excuse_from_it() -> None:
    theirs = policy(owners=(exemption(images=["ghcr.io"]),))
    assert excused(theirs, finding()).excused
    assert not excused(theirs, finding("PULL802")).excused
    assert excused(policy(exemption(images=["ghcr.io"])), finding("PULL802")).excused
