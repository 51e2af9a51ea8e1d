"""AdmissionReview v1 in and out: bytes to a checked request, a decision to bytes. Pure.

Nothing here trusts the sender: whatever is not a review is a `BadReview` with one clear line and a 4xx, never a
traceback. orjson bounds depth, refuses NaN and lone surrogates, and reads integers of any length without dying.
Source of the shape: k8s.io/api/admission/v1 (Kubernetes 1.36).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from webhook.engine.decide import Mercy
from webhook.engine.wording import annotation, denial, exemptions, impact, impact_annotation, warnings
from webhook.errors import PullproofError

if TYPE_CHECKING:
    from webhook.engine.decide import Decision

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"
OPERATIONS: Final = frozenset({"CREATE", "UPDATE", "DELETE", "CONNECT"})
_LONGEST_UID: Final = 256

Json = Mapping[str, Any]


class BadReview(PullproofError):
    """The body is no AdmissionReview v1; `status` is the HTTP status to answer."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class User:
    name: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Review:
    """One request. `obj` is None on DELETE, `old` on CREATE; `kind` is the kind the API server converted to."""

    uid: str
    operation: str
    group: str
    kind: str
    subresource: str
    namespace: str
    name: str
    user: User
    dry_run: bool
    obj: Json | None
    old: Json | None


def decode(body: bytes) -> Review:
    """The request in an AdmissionReview's JSON. Raises `BadReview` with what is wrong and where."""
    try:
        document = _loads(body)
    except orjson.JSONDecodeError as error:
        raise BadReview(f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    if not isinstance(document, dict):
        raise BadReview("the body is not an AdmissionReview: no JSON object")
    if document.get("kind") != KIND:
        raise BadReview("kind: no AdmissionReview")
    if document.get("apiVersion") != API_VERSION:
        raise BadReview(f"apiVersion: not {API_VERSION}, the one version that pullproof speaks")
    request = _map(document, "request", "", required=True)
    uid = _text(request, "uid", "request")
    if not uid or len(uid) > _LONGEST_UID:
        raise BadReview(f"request.uid: missing or longer than {_LONGEST_UID} characters")
    operation = _text(request, "operation", "request")
    if operation not in OPERATIONS:
        raise BadReview("request.operation: none of CREATE, UPDATE, DELETE, CONNECT")
    kind = _map(request, "kind", "request", required=True)
    user = _map(request, "userInfo", "request")
    groups = user.get("groups") or []
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise BadReview("request.userInfo.groups: no list of strings")
    obj = _map(request, "object", "request") if request.get("object") is not None else None
    if obj is None and operation in {"CREATE", "UPDATE"}:
        raise BadReview(f"request.object: null where a map belongs on {operation}")
    return Review(
        uid=uid,
        operation=operation,
        group=_text(kind, "group", "request.kind"),
        kind=_text(kind, "kind", "request.kind"),
        subresource=_text(request, "subResource", "request"),
        namespace=_text(request, "namespace", "request"),
        name=_text(request, "name", "request"),
        user=User(_text(user, "username", "request.userInfo"), frozenset(groups)),
        dry_run=request.get("dryRun") is True,
        obj=obj,
        old=_map(request, "oldObject", "request") if request.get("oldObject") is not None else None,
    )


def _loads(body: bytes) -> Any:
    """The JSON of a body. `managedFields` may be deeper than orjson reads, and nothing there is ever looked at.

    Go reads 10,000 levels, orjson 1,024: a pod whose field ownership is nested deeper would not be judged at all.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if _MANAGED_FIELDS.search(body) is None:
            raise
        try:
            return orjson.loads(_without_managed_fields(body))
        except orjson.JSONDecodeError:
            raise error from None


# As Go writes it, without white space. In a string the quotes would have backslashes, so this is always a key.
_MANAGED_FIELDS: Final = re.compile(rb'(?<!\\)"managedFields":\[')
_BRACKET: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[][{}]', re.DOTALL)


def _without_managed_fields(body: bytes) -> bytes:
    """The body with every `managedFields` empty; one that never ends is left as it is."""
    kept: list[bytes] = []
    position = 0
    while (found := _MANAGED_FIELDS.search(body, position)) is not None:
        depth = 1
        end = None
        for token in _BRACKET.finditer(body, found.end()):
            depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token[0], 0)
            if depth == 0:
                end = token.start()
                break
        if end is None:
            break
        kept.append(body[position : found.end()])
        position = end
    return b"".join((*kept, body[position:]))


def encode(uid: str, decision: Decision, *, retry: str | None = None) -> bytes:
    """The AdmissionReview that answers: allowed or a 403 with every denied finding, warnings, audit annotations.

    `retry` is the command with which a denial ends, see `denial`.
    """
    response: dict[str, Any] = {"uid": uid, "allowed": decision.allowed}
    if decision.denied:
        response["status"] = {
            "status": "Failure",
            "code": 403,
            "reason": "Forbidden",
            "message": denial(decision.denied, retry),
        }
    if decision.warned:
        response["warnings"] = list(warnings(decision.warned))
    annotations = {}
    if decision.running is not None:
        response["warnings"] = [*response.get("warnings", ()), *impact(decision.running)]
        annotations["running"] = impact_annotation(decision.running)
    if told := decision.audited or decision.denied:
        annotations["findings"] = annotation(told)
    if decision.unknown:
        annotations["unknown"] = annotation(decision.unknown)
    if decision.excused:
        annotations["exempt"] = exemptions(decision.excused)
    if decision.expired:
        annotations["exemption-expired"] = exemptions(decision.expired)
    if decision.mercy is not Mercy.NONE:
        annotations["not-denied"] = decision.mercy.value
    if annotations:
        response["auditAnnotations"] = {"decision": decision.word, "uid": uid, **annotations}
    return _dumps(response)


def encode_patch(uid: str, patch: bytes | None, annotations: Mapping[str, str]) -> bytes:
    """The AdmissionReview that allows, with a JSONPatch (RFC 6902 operations, not yet base64) where there is one.

    A mutating webhook never denies: the object is judged once all of them have had their say.
    """
    response: dict[str, Any] = {"uid": uid, "allowed": True}
    if patch is not None:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(patch).decode()
    if annotations:
        response["auditAnnotations"] = dict(annotations)
    return _dumps(response)


def _dumps(response: Json) -> bytes:
    return orjson.dumps({"apiVersion": API_VERSION, "kind": KIND, "response": response})


def _map(parent: Json, key: str, at: str, *, required: bool = False) -> Json:
    path = f"{at}.{key}" if at else key
    if key not in parent:
        if required:
            raise BadReview(f"{path}: missing")
        return {}
    value = parent[key]
    if not isinstance(value, dict):
        raise BadReview(f"{path}: {'null' if value is None else 'something else'} where a map belongs")
    return value


def _text(parent: Json, key: str, at: str) -> str:
    value = parent.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadReview(f"{at}.{key}: no string")
    return value
