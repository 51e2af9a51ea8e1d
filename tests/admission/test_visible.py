"""The log's lines, and metrics whose number nobody who writes objects can raise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import REGISTRY

from tests.admission.test_app import KnownCluster, post, review
from webhook.admission.app import Options, create_app

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from webhook.engine.news import News

CONTROLLER = {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": []}
FEW = {"endpoint", "operation", "kind", "decision", "status", "code", "confidence", "mode", "event", "cache", "le"} | {
    "certificate", "duty", "outcome", "reason"
}  # fmt: skip


def still() -> float:
    """A clock that stands: on a loaded machine nothing runs out of time (PULL903)."""
    return 0.0


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return create_app(KnownCluster(), Options(), clock=still).test_client()


def series() -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in REGISTRY.collect()
        if family.name.startswith("pullproof_")
        for sample in family.samples
    }


def odd(number: int) -> dict[str, Any]:
    """A review that is odd in everything that its sender chooses."""
    body = review(
        f"a//b{number}",
        uid=f"u-{number}",
        kind={"group": f"g{number}.example", "version": "v1", "kind": f"Kind{number}"},
        namespace=f"n{number}",
        name=f"p{number}",
        subResource=f"s{number}",
        userInfo={"username": f"user-{number}", "groups": [f"g{number}"]},
    )
    body["request"]["object"]["kind"] = f"Other{number}"
    return body


def test_no_sender_can_raise_the_number_of_series(client: FlaskClient) -> None:
    for path in ("/validate", "/mutate"):
        post(client, odd(0), path)
        post(client, review("a//b0"), path)
    for operation in ("CREATE", "UPDATE", "DELETE", "CONNECT"):
        post(client, {**odd(0), "request": {**odd(0)["request"], "operation": operation}})
    client.post("/validate0")
    before = series()
    for number in range(1, 60):
        for path in ("/validate", "/mutate"):
            post(client, odd(number), path)
            post(client, review(f"a//b{number}", namespace=f"n{number}", name=f"p{number}"), path)
        post(client, {**odd(number), "request": {**odd(number)["request"], "operation": f"OP{number}"}})
        client.post(f"/validate{number}")
    new = {one for one in series() - before if dict(one[1]).get("status") != "400"}  # the first refused operation
    assert new == set()


def test_labels_are_few_and_none_names_an_object_or_a_person() -> None:
    assert {label for _, labels in series() for label, _ in labels} <= FEW


def test_kinds_that_are_not_known_are_other(client: FlaskClient) -> None:
    labels = {"endpoint": "validate", "operation": "CREATE", "kind": "other", "decision": "allow"}
    before = REGISTRY.get_sample_value("pullproof_reviews_total", labels) or 0
    post(client, odd(1))
    assert REGISTRY.get_sample_value("pullproof_reviews_total", labels) == before + 1


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(record.message) for record in caplog.records]


def test_a_line_says_what_was_decided_and_never_who_asked(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pullproof")
    post(client, review("a//b", namespace="team\n", userInfo={"username": "jane", "groups": ["staff"]}))
    (line,) = lines(caplog)
    assert line.pop("milliseconds") >= 0
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "msg": "review",
        "uid": "u-1",
        "endpoint": "validate",
        "decision": "deny",
        "operation": "CREATE",
        "kind": "Pod",
        "namespace": "team\\n",
        "name": "",
        "dryRun": False,
        "byController": False,
        "findings": ["PULL101"],
        "unknown": line["unknown"],
        "exempt": [],
        "notDenied": None,
        "running": None,
        "injected": None,
    }
    assert "jane" not in caplog.text
    assert "staff" not in caplog.text


def test_a_review_that_found_nothing_is_a_line_only_where_all_are_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "pullproof")
    deletion = review(operation="DELETE", object=None)
    post(create_app(KnownCluster(), Options(), clock=still).test_client(), deletion)
    assert lines(caplog) == []
    post(create_app(KnownCluster(), Options(log_all=True), clock=still).test_client(), deletion)
    (line,) = lines(caplog)
    assert (line["decision"], line["operation"]) == ("allow", "DELETE")


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"userInfo": CONTROLLER}, 1),
        ({"userInfo": CONTROLLER, "dryRun": True}, 0),
        ({"userInfo": {"username": "jane", "groups": []}}, 0),
    ],
    ids=["a controller", "dry run", "by hand"],
)
def test_owners_are_told_of_what_controllers_make(request_: dict[str, Any], told: int) -> None:
    heard: list[News] = []
    client = create_app(KnownCluster(), Options(tell_owner=heard.append), clock=still).test_client()
    body = review("a//b", **request_)
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-5b8", "uid": "u-1", "controller": True}
    body["request"]["object"]["metadata"] = {"ownerReferences": [owner]}
    post(client, body)
    assert [news.code for news in heard] == ["PULL101"] * told
