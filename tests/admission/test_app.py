"""The app on any input: an AdmissionReview is answered, everything else gets a 4xx with one clear line.

The cluster here is a value: the real one is in tests/e2e/, and what no real one sends can only be made up.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.admission.app import Options, create_app
from webhook.model.facts import Facts, Known
from webhook.model.policy import of_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from flask.testing import FlaskClient

    from webhook.engine.impact import Change
    from webhook.model.facts import Fact
    from webhook.model.policy import ClusterPolicy, Policy
    from webhook.model.policy_spec import PolicyObject
    from webhook.model.workload import Workload
    from webhook.sources.listing import Page

LIMIT = 7 * 1024 * 1024


class KnownCluster:
    def not_ready(self) -> str | None:
        return None

    def facts(self, workload: Workload, policy: ClusterPolicy, *, seconds: float) -> Facts:
        return Facts(policy=of_labels({}, policy), namespace_labels=Known({}))

    def policy(
        self, namespace: str, policy: ClusterPolicy, *, seconds: float
    ) -> tuple[Fact[Mapping[str, str]], Policy]:
        return Known({}), of_labels({}, policy)

    def policy_changes(self, written: PolicyObject, policy: ClusterPolicy, *, gone: bool) -> Iterator[Change]:
        return iter(())

    def pods(self, namespace: str, *, seconds: Callable[[], float]) -> Iterator[Page]:
        return iter(())

    def policy_with(self, namespace: str, labels: Mapping[str, str], policy: ClusterPolicy) -> Policy:
        return of_labels(labels, policy)

    def owner_is_ready(self, pod: Mapping[str, Any], namespace: str, *, seconds: float) -> bool | None:
        return False

    def is_earlier_revision(self, obj: Mapping[str, Any], workload: Workload, *, seconds: float) -> bool:
        return False


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return create_app(KnownCluster(), Options()).test_client()


def review(image: str = "a//b", **request: Any) -> dict[str, Any]:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": [{"name": "app", "image": image}]}}
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "operation": "CREATE",
            "namespace": "team-a",
            "userInfo": {"username": "jane", "groups": ["system:authenticated"]},
            "object": pod,
            **request,
        },
    }


def post(client: FlaskClient, body: bytes | dict[str, Any], path: str = "/validate") -> tuple[int, str]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post(path, data=data, content_type="application/json")
    return answer.status_code, answer.get_data(as_text=True)


def test_a_denial_has_code_reason_uid_and_every_finding(client: FlaskClient) -> None:
    status, text = post(client, review())
    assert status == 200
    assert json.loads(text) == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {
            "uid": "u-1",
            "allowed": False,
            "status": {
                "status": "Failure",
                "code": 403,
                "reason": "Forbidden",
                "message": "app: nothing stands between two `/` (character 3); use `a/b` "
                "(PULL101 invalid-reference, certain)",
            },
            "auditAnnotations": {
                "decision": "deny",
                "uid": "u-1",
                "findings": "PULL101 certain spec.containers[0].image",
            },
        },
    }


def test_managed_fields_deeper_than_the_parser_reads_are_no_way_around(client: FlaskClient) -> None:
    body = review()
    body["request"]["object"]["metadata"]["managedFields"] = [{"fieldsV1": "DEEP"}]
    deep = '{"f:q":' * 9_000 + '{"a":"]"}' + "}" * 9_000
    raw = json.dumps(body, separators=(",", ":")).replace('"DEEP"', deep).encode()
    assert json.loads(post(client, raw)[1])["response"]["allowed"] is False


def test_an_allowed_one_says_nothing_more(client: FlaskClient) -> None:
    status, text = post(client, review("quay.io/a/b:1"))
    assert (status, json.loads(text)["response"]) == (200, {"uid": "u-1", "allowed": True})


@pytest.mark.parametrize("operation", ["DELETE", "CONNECT"])
def test_deletion_is_never_denied(client: FlaskClient, operation: str) -> None:
    status, text = post(client, review(operation=operation, object=None, oldObject=review()["request"]["object"]))
    assert (status, json.loads(text)["response"]["allowed"]) == (200, True)


@pytest.mark.parametrize("subresource", ["status", "binding", "eviction", "exec"])
def test_other_subresources_are_left_alone(client: FlaskClient, subresource: str) -> None:
    assert json.loads(post(client, review(subResource=subresource))[1])["response"]["allowed"]


def test_an_object_being_deleted_is_never_denied(client: FlaskClient) -> None:
    body = review(operation="UPDATE", oldObject={"metadata": {}, "spec": {"containers": []}})
    body["request"]["object"]["metadata"] = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    response = json.loads(post(client, body)[1])["response"]
    assert response["allowed"]
    assert response["auditAnnotations"]["not-denied"] == "the object is being deleted"


@pytest.mark.parametrize(
    ("groups", "allowed"), [(["system:nodes"], True), (["system:authenticated"], False)], ids=["node", "anybody"]
)
def test_a_mirror_pod_needs_the_annotation_and_a_node(client: FlaskClient, groups: list[str], allowed: bool) -> None:
    body = review(userInfo={"username": "system:node:a", "groups": groups})
    body["request"]["object"]["metadata"] = {"annotations": {"kubernetes.io/config.mirror": "x"}}
    assert json.loads(post(client, body)[1])["response"]["allowed"] is allowed


def changed(**request: Any) -> dict[str, Any]:
    return review(**request)


def without(key: str) -> dict[str, Any]:
    body = review()
    del body["request"][key]
    return body


def with_spec(spec: Any) -> dict[str, Any]:
    body = review()
    body["request"]["object"]["spec"] = spec
    return body


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        (b"", 400, "the body is not JSON: Input is a zero-length, empty document at line 1 column 1"),
        (b"hello", 400, "the body is not JSON: unexpected character, expected a JSON value at line 1 column 1"),
        (b"[" * 100_000, 400, "the body is not JSON: depth limit exceeded at line 1 column 1026"),
        (b'{"a":NaN}', 400, "the body is not JSON: unexpected character, expected a JSON value at line 1 column 6"),
        (b'"\\ud800"', 400, "the body is not JSON: no low surrogate in string at line 1 column 2"),
        (b"[]", 400, "the body is not an AdmissionReview: no JSON object"),
        (b"{}", 400, "kind: no AdmissionReview"),
        ({**review(), "kind": "Pod"}, 400, "kind: no AdmissionReview"),
        (
            {**review(), "apiVersion": "admission.k8s.io/v1beta1"},
            400,
            "apiVersion: not admission.k8s.io/v1, the one version that pullproof speaks",
        ),
        ({**review(), "request": None}, 400, "request: null where a map belongs"),
        ({**review(), "request": []}, 400, "request: something else where a map belongs"),
        (without("uid"), 400, "request.uid: missing or longer than 256 characters"),
        (changed(uid=""), 400, "request.uid: missing or longer than 256 characters"),
        (changed(uid=7), 400, "request.uid: no string"),
        (without("kind"), 400, "request.kind: missing"),
        (changed(kind=None), 400, "request.kind: null where a map belongs"),
        (changed(operation="PATCH"), 400, "request.operation: none of CREATE, UPDATE, DELETE, CONNECT"),
        (changed(object=None), 400, "request.object: null where a map belongs on CREATE"),
        (changed(object=[]), 400, "request.object: something else where a map belongs"),
        (changed(userInfo={"groups": "a"}), 400, "request.userInfo.groups: no list of strings"),
        (with_spec(None), 400, "request.object.spec: null where a map belongs"),
        (with_spec({"containers": None}), 400, "request.object.spec.containers: null where a list belongs"),
        (with_spec({"containers": [None]}), 400, "request.object.spec.containers[0]: null where a map belongs"),
        (b" " * (LIMIT + 1), 413, "the request body is larger than 7 MiB"),
    ],
    ids=lambda value: repr(value)[:40] if not isinstance(value, dict) else "",
)
def test_what_is_no_review_gets_one_clear_line(
    client: FlaskClient, body: bytes | dict[str, Any], status: int, line: str
) -> None:
    assert post(client, body) == (status, f"{line}\n")


def test_seven_mebibytes_are_read(client: FlaskClient) -> None:
    body = json.dumps(review()).encode()
    assert post(client, body + b" " * (LIMIT - len(body)))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "line"),
    [
        ("GET", "/livez", 200, "ok"),
        ("GET", "/readyz", 200, "ok"),
        ("GET", "/validate", 405, "method not allowed"),
        ("GET", "/nothing", 404, "not found"),
    ],
)
def test_other_routes(client: FlaskClient, method: str, path: str, status: int, line: str) -> None:
    answer = client.open(path, method=method)
    assert (answer.status_code, answer.get_data(as_text=True)) == (status, f"{line}\n")


def test_another_content_type_is_refused(client: FlaskClient) -> None:
    answer = client.post("/validate", data=b"{}", content_type="text/plain")
    assert (answer.status_code, answer.get_data(as_text=True)) == (415, "the content type is not application/json\n")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["uid", "kind", "operation", "namespace", "name", "userInfo", "object", "oldObject", "dryRun", "subResource"]


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3), st.sampled_from(["/validate", "/mutate"]))
def test_no_request_reaches_the_worker_as_an_exception(client: FlaskClient, fields: dict[str, Any], path: str) -> None:
    status, text = post(client, review(**fields), path)
    assert status in {200, 400}
    assert "Traceback" not in text


@settings(max_examples=300)
@given(JSON)
def test_nor_does_any_object(client: FlaskClient, spec: Any) -> None:
    body = with_spec(spec)
    body["request"]["oldObject"] = {"spec": spec, "metadata": spec}
    body["request"]["operation"] = "UPDATE"
    assert post(client, body)[0] in {200, 400}
