"""What an exemption took out of an answer is in the audit log, the log and the metrics."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from webhook import metrics
from webhook.admission.app import Options, create_app
from webhook.model.facts import Facts, Known
from webhook.model.policy_book import PolicyBook
from webhook.model.policy_spec import read_policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.model.facts import Fact
    from webhook.model.policy import ClusterPolicy, Policy
    from webhook.model.workload import Workload

INVALID = "a//b"
NOW = 1_800_000_000  # 2027-01-15
EXEMPTION = {"name": "break-glass", "reason": "kubectl debug", "groups": ["break-glass"]}


class OnePolicy:
    """A cluster with one policy, whose exemption ends at `expires`."""

    def __init__(self, expires: str) -> None:
        spec = {"exemptions": [{**EXEMPTION, "expires": expires}]}
        self.policy_object = read_policy({"kind": "ClusterPullPolicy", "metadata": {"name": "a"}, "spec": spec})

    def not_ready(self) -> str | None:
        return None

    def facts(self, workload: Workload, policy: ClusterPolicy, *, seconds: float) -> Facts:
        held = PolicyBook(policy, [self.policy_object]).policy(workload.namespace, {})
        return Facts(policy=held, namespace_labels=Known({}), now=NOW)

    def policy(
        self, namespace: str, policy: ClusterPolicy, *, seconds: float
    ) -> tuple[Fact[Mapping[str, str]], Policy]:
        return Known({}), PolicyBook(policy, [self.policy_object]).policy(namespace, {})

    def owner_is_ready(self, *_: Any, **__: Any) -> bool | None:
        return False


def answer(expires: str, *groups: str) -> dict[str, Any]:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {},
        "spec": {"containers": [{"name": "app", "image": INVALID}]},
    }
    request = {
        "uid": "u-1",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": "CREATE",
        "namespace": "team-a",
        "userInfo": {"username": "jane", "groups": list(groups)},
        "object": pod,
    }
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    client = create_app(OnePolicy(expires), Options()).test_client()  # type: ignore[arg-type]
    found: dict[str, Any] = client.post("/validate", json=body).get_json()["response"]
    return found


def exempt_count() -> float:
    return metrics.FINDINGS.labels("PULL101", "certain", "exempt")._value.get()


def test_exempt(caplog: pytest.LogCaptureFixture) -> None:
    before = exempt_count()
    with caplog.at_level(logging.INFO, "pullproof"):
        found = answer("2027-02-01T00:00:00Z", "break-glass")
    assert found["allowed"]
    told = "PULL101 app by ClusterPullPolicy/a break-glass"
    assert found["auditAnnotations"]["exempt"] == told
    assert "warnings" not in found
    assert exempt_count() == before + 1
    assert json.loads(caplog.records[-1].getMessage())["exempt"] == [told]


@pytest.mark.parametrize("groups", [(), ("others",)])
def test_not_for_others(groups: tuple[str, ...]) -> None:
    found = answer("2027-02-01T00:00:00Z", *groups)
    assert not found["allowed"]
    assert "exempt" not in found["auditAnnotations"]


def test_expired() -> None:
    found = answer("2027-01-01T00:00:00Z", "break-glass")
    assert not found["allowed"]
    assert found["auditAnnotations"]["exemption-expired"] == "PULL101 app by ClusterPullPolicy/a break-glass"
