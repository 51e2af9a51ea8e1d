from __future__ import annotations

from typing import Any

import pytest

from webhook.engine.retry import retry_command
from webhook.model.finding import Confidence, Finding, Heals


def finding(heals: Heals) -> Finding:
    return Finding("PULL303", "pull-secret-undecodable", Confidence.CERTAIN, heals, "spec", "wrong", "mend")


def pod(kind: str, name: str, labels: Any = None, *, controller: bool = True) -> dict[str, Any]:
    owner = {"kind": kind, "name": name, "controller": controller}
    return {"metadata": {"labels": labels or {}, "ownerReferences": [owner]}}


@pytest.mark.parametrize(
    ("obj", "command"),
    [
        pytest.param(
            pod("ReplicaSet", "shop-6d4cf56db6", {"pod-template-hash": "6d4cf56db6"}),
            "kubectl rollout restart deployment/shop -n team-a",
            id="deployment",
        ),
        pytest.param(pod("StatefulSet", "db"), "kubectl rollout restart statefulset/db -n team-a", id="statefulset"),
        pytest.param(pod("DaemonSet", "log"), "kubectl rollout restart daemonset/log -n team-a", id="daemonset"),
        pytest.param(pod("ReplicaSet", "shop"), None, id="replicaset-of-nobody"),
        pytest.param(pod("Job", "migrate"), None, id="job"),
        pytest.param(pod("StatefulSet", "db", controller=False), None, id="owner-that-controls-nothing"),
        pytest.param({}, None, id="pod-of-nobody"),
        pytest.param({"metadata": {"ownerReferences": [None, 1]}}, None, id="no-owners"),
        pytest.param({"metadata": {"ownerReferences": [{"controller": True}]}}, None, id="an-owner-without-a-name"),
        pytest.param(pod("ReplicaSet", "shop-1", "x"), None, id="no-labels"),
        pytest.param(
            pod("StatefulSet", "a;b"), "kubectl rollout restart 'statefulset/a;b' -n team-a", id="a-name-is-quoted"
        ),
    ],
)
def test_the_command_for_an_owner(obj: dict[str, Any], command: str | None) -> None:
    assert retry_command(obj, "team-a", [finding(Heals.CLUSTER)]) == command


@pytest.mark.parametrize(
    "findings",
    [[], [finding(Heals.OBJECT)], [finding(Heals.CLUSTER), finding(Heals.OBJECT)]],
    ids=["none", "object", "also-object"],
)
def test_where_the_template_itself_must_change_nothing_is_restarted(findings: list[Finding]) -> None:
    assert retry_command(pod("StatefulSet", "db"), "team-a", findings) is None
