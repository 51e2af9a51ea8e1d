"""The Flask app: bytes in, bytes out, and the one place that gathers facts for a review.

Thin on purpose: decoding, judging and wording are pure functions elsewhere. Every route answers in bounded time and no
input reaches the worker as an exception: a request that is no review gets a 4xx with one clear line.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson
from flask import Flask, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.exceptions import HTTPException

from webhook import metrics
from webhook.admission.body import BODY_LIMIT, BodyTooLarge, read_body
from webhook.admission.patch import AUDIT_KEY, LeftAlone, Told, agreed_os, inject_os
from webhook.admission.review import BadReview, decode, encode, encode_patch
from webhook.admission.running import look, runs_already
from webhook.catalogue.image_systems import image_systems
from webhook.checks.index import all_checks
from webhook.checks.lookup import not_judged
from webhook.checks.policy import invalid_label
from webhook.engine.decide import Circumstances, Decision, Mercy, decide
from webhook.engine.evaluate import evaluate, image_key, read_reference
from webhook.engine.excuse import excuse
from webhook.engine.impact import Change
from webhook.engine.news import news_of
from webhook.engine.retry import retry_command
from webhook.engine.wording import impact_annotation
from webhook.errors import Malformed
from webhook.model.landing import declared, land
from webhook.model.node import OS_LABEL
from webhook.model.policy import ClusterPolicy
from webhook.model.policy_book import CLUSTERS_OWN
from webhook.model.policy_exemption import CONTROLLERS, Requester
from webhook.model.policy_spec import CLUSTER_KIND, GROUP, NAMESPACED_KIND, read_policy
from webhook.model.reference import Reference
from webhook.model.text import printable
from webhook.model.workload import POD_SPEC_PATHS, extract, namespace_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flask import Request

    from webhook.admission.patch import Injection
    from webhook.admission.review import Review
    from webhook.engine.excuse import Verdict
    from webhook.engine.news import News
    from webhook.model.facts import Fact, Facts
    from webhook.model.finding import Finding
    from webhook.model.policy import Policy
    from webhook.model.policy_spec import PolicyObject
    from webhook.model.workload import Workload
    from webhook.sources.listing import Page

MIRROR_POD: Final = "kubernetes.io/config.mirror"
NODES_GROUP: Final = "system:nodes"
JUDGED_SUBRESOURCES: Final = frozenset({"", "ephemeralcontainers", "resize"})
# Judging an object, and judging what it was before, may take this long each; the API server waits for three in all.
JUDGING_SECONDS: Final = 0.6
_LONGEST_NAME: Final = 253
_JSON: Final = "application/json"
_ALLOWED: Final = Decision((), (), ())
_KINDS: Final = frozenset(kind for _, kind in POD_SPEC_PATHS) | {"Namespace", CLUSTER_KIND, NAMESPACED_KIND}

_log = logging.getLogger("pullproof")


class Cluster(Protocol):
    """What a review needs of the cluster; `seconds` bounds every live read."""

    def not_ready(self) -> str | None:
        """Why the facts can't be trusted yet, or None."""

    def facts(self, workload: Workload, policy: ClusterPolicy, *, seconds: float) -> Facts:
        """What is known around a workload."""

    def policy(
        self, namespace: str, policy: ClusterPolicy, *, seconds: float
    ) -> tuple[Fact[Mapping[str, str]], Policy]:
        """The labels of a namespace, and what holds there."""

    def policy_changes(self, written: PolicyObject, policy: ClusterPolicy, *, gone: bool) -> Iterable[Change]:
        """The namespaces that a policy is or was for, each with what holds before and after it is written or gone."""

    def pods(self, namespace: str, *, seconds: Callable[[], float]) -> Iterable[Page]:
        """The namespace's pods, read live, page by page; each page within `seconds()`. Raises ApiError."""

    def policy_with(self, namespace: str, labels: Mapping[str, str], policy: ClusterPolicy) -> Policy:
        """What would hold in a namespace if these were its labels."""

    def owner_is_ready(self, pod: Mapping[str, Any], namespace: str, *, seconds: float) -> bool | None:
        """Whether the pod's controller has ready replicas; None where that could not be looked up."""

    def is_earlier_revision(self, obj: Mapping[str, Any], workload: Workload, *, seconds: float) -> bool:
        """Whether the template is that of one of the workload's own earlier revisions."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the platform team sets.

    `policy` holds for every namespace; `seconds` bounds the live reads of one review; `draining` says that the server
    is about to stop, so that nobody sends it anything new. `tell_owner` takes what the owner of a controller's pod
    should hear, and neither waits nor raises. `log_all`: a line also for reviews that found nothing.
    """

    policy: ClusterPolicy = field(default_factory=ClusterPolicy)
    seconds: float = 1.0
    draining: Callable[[], bool] = bool
    tell_owner: Callable[[News], None] | None = None
    log_all: bool = False


def create_app(cluster: Cluster, options: Options, *, clock: Callable[[], float] = time.monotonic) -> Flask:
    """The WSGI app. No I/O happens before the first request."""
    app = Flask("pullproof", static_folder=None)
    log_all = options.log_all

    @app.post("/validate")
    def validate() -> Response:
        return _answer("validate", lambda review: _judged(review, cluster, options, clock), clock, log_all=log_all)

    @app.post("/mutate")
    def mutate() -> Response:
        return _answer("mutate", lambda review: _mutate(review, cluster, options), clock, log_all=log_all)

    @app.get("/livez")
    def livez() -> Response:
        return _line(200, "ok")

    @app.get("/readyz")
    def readyz() -> Response:
        reason = "stopping" if options.draining() else cluster.not_ready()
        return _line(200, "ok") if reason is None else _line(503, reason)

    @app.get("/metrics")
    def show_metrics() -> Response:
        return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        metrics.REFUSED.labels(str(error.code)).inc()
        return _line(error.code or 500, (error.name or "error").lower())

    @app.errorhandler(Exception)
    def fail(error: Exception) -> Response:
        # The type and the place are enough to find it; the text of an unforeseen exception may hold anything.
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        place = f"{at.tb_frame.f_code.co_filename}:{at.tb_lineno}" if at is not None else "unknown place"
        _log.error("%s", orjson.dumps({"level": "error", "error": type(error).__name__, "at": place}).decode())
        metrics.REFUSED.labels("500").inc()
        return _line(500, "internal error, told in the webhook's log")

    return app


@dataclass(frozen=True, slots=True)
class _Answer:
    """The bytes of an answer, and what log and metrics tell of it; `decision` is None where nothing was judged."""

    body: bytes
    word: str
    decision: Decision | None = None
    injected: str | None = None


def _judged(review: Review, cluster: Cluster, options: Options, clock: Callable[[], float]) -> _Answer:
    decision = _validate(review, cluster, options, clock)
    is_pod = (review.group, review.kind) == ("", "Pod")
    if is_pod and (decision.denied or decision.warned) and options.tell_owner is not None:
        _tell_owner(review, decision, options.tell_owner)
    retry = retry_command(review.obj or {}, review.namespace, decision.denied) if is_pod else None
    return _Answer(encode(review.uid, decision, retry=retry), decision.word, decision)


def _tell_owner(review: Review, decision: Decision, tell: Callable[[News], None]) -> None:
    """Of a pod that a built-in controller makes; who makes one by hand reads the answer. Nothing on a dry run."""
    made = review.operation == "CREATE" and review.user.name in CONTROLLERS and not review.dry_run
    for news in news_of(review.obj or {}, review.namespace, decision) if made else ():
        tell(news)


def _answer(
    endpoint: str, judge: Callable[[Review], _Answer], clock: Callable[[], float], *, log_all: bool
) -> Response:
    try:
        body = _body(request)
        started = clock()
        review = decode(body)
        answer = judge(review)
    except (BodyTooLarge, BadReview) as refusal:
        metrics.REFUSED.labels(str(refusal.status)).inc()
        return _line(refusal.status, str(refusal))
    except Malformed as malformed:
        metrics.REFUSED.labels("400").inc()
        return _line(400, f"request.object.{malformed}")
    took = clock() - started
    kind = review.kind if review.kind in _KINDS else "other"
    _reviews(endpoint, review.operation, kind, answer.word).inc()
    _seconds(endpoint).observe(took)
    if (decision := answer.decision) is not None:
        for mode, findings in (
            ("deny", decision.denied),
            ("warn", decision.warned),
            ("audit", decision.audited),
            ("unknown", decision.unknown),
            ("exempt", tuple(one.finding for one in decision.excused)),
        ):
            for finding in findings:
                metrics.FINDINGS.labels(finding.code, finding.confidence.word, mode).inc()
    _tell(review, answer, endpoint, took, all_of_them=log_all)
    return Response(answer.body, content_type=_JSON)


# The few series there are, found again without building their key of labels each time.
_reviews = functools.cache(metrics.REVIEWS.labels)
_seconds = functools.cache(metrics.SECONDS.labels)


def _body(incoming: Request) -> bytes:
    # as the API server sends it; anything else is worth a parser's time
    if incoming.environ.get("CONTENT_TYPE") != _JSON and incoming.mimetype != _JSON:
        raise BadReview("the content type is not application/json", status=415)
    return read_body(incoming.environ, BODY_LIMIT)


def _validate(review: Review, cluster: Cluster, options: Options, clock: Callable[[], float]) -> Decision:
    if review.group == GROUP:
        return _policy(review, cluster, options.policy, clock)
    if review.operation not in {"CREATE", "UPDATE"} or review.obj is None:
        return _ALLOWED
    if (review.group, review.kind) == ("", "Namespace"):
        return _namespace(review, review.obj, cluster, options.policy, clock)
    if review.subresource not in JUDGED_SUBRESOURCES:
        return _ALLOWED
    deadline = clock() + options.seconds
    group_kind = (review.group, review.kind)
    workload = extract(review.obj, group_kind=group_kind, namespace=review.namespace)
    if workload is None:
        return _ALLOWED
    facts = cluster.facts(workload, options.policy, seconds=options.seconds)
    findings = _evaluate(workload, facts, clock)
    who = Requester(review.user.name, review.user.groups)
    verdict = _excuse(findings, workload, facts, who, review.obj)
    findings = verdict.findings
    at = Circumstances(made_by_controller=who.is_controller, mercy=_mercy(review, review.obj))
    if review.old:
        before = _read_old(review.old, group_kind, review.namespace)
        # what was excused then and is no more, is a new case
        previous = _excuse(_evaluate(before, facts, clock), before, facts, who, review.old).findings
        at = replace(at, previous=previous, was_suspended=before.suspended)
        if at.mercy is Mercy.NONE and any(finding.code == not_judged.CHECK.code for finding in previous):
            at = replace(at, mercy=Mercy.BEFORE_UNKNOWN)
    modes = facts.policy.modes
    decision = decide(findings, workload, modes, at)
    if not decision.denied:
        return _with_excused(decision, verdict)
    # Denials are rare: only now is it worth a live look at what would make this one an outage.
    if at.mercy is Mercy.NONE:
        mercy = _looked_up_mercy(review, review.obj, workload, facts, decision, cluster, lambda: deadline - clock())
        decision = decide(findings, workload, modes, replace(at, mercy=mercy))
    return _with_excused(decision, verdict)


def _excuse(
    findings: tuple[Finding, ...], workload: Workload, facts: Facts, who: Requester, obj: Mapping[str, Any]
) -> Verdict:
    owners = obj.get("metadata", {}).get("ownerReferences")  # its shape was checked when the workload was extracted
    return excuse(findings, workload, facts.policy.cluster, who, now=facts.now, owners=owners)


def _with_excused(decision: Decision, verdict: Verdict) -> Decision:
    if not verdict.excused and not verdict.expired:
        return decision
    return replace(decision, excused=verdict.excused, expired=verdict.expired)


def _evaluate(workload: Workload, facts: Facts, clock: Callable[[], float]) -> tuple[Finding, ...]:
    until = clock() + JUDGING_SECONDS
    return evaluate(workload, facts, all_checks(), out_of_time=lambda: clock() > until)


def _read_old(old: Mapping[str, Any], group_kind: tuple[str, str], namespace: str) -> Workload:
    try:
        before = extract(old, group_kind=group_kind, namespace=namespace)
    except Malformed as malformed:
        raise BadReview(f"request.oldObject.{malformed}") from None
    assert before is not None  # noqa: S101 - the new object of that kind is a workload
    return before


def _mutate(review: Review, cluster: Cluster, options: Options) -> _Answer:
    """The selector for the images' operating system, in pods that are being created and where the policy asks for it.

    Templates would drift from what people keep in git, and a pod that exists takes no selector any more.
    """
    nothing = _Answer(encode_patch(review.uid, None, {}), "allow")
    created = (review.operation, review.group, review.kind, review.subresource) == ("CREATE", "", "Pod", "")
    if not created or review.obj is None:
        return nothing
    workload = extract(review.obj, group_kind=("", "Pod"), namespace=review.namespace)
    if workload is None:
        return nothing
    _, policy = cluster.policy(review.namespace, options.policy, seconds=options.seconds)
    if not policy.modes.inject_os:
        return nothing
    facts = cluster.facts(workload, options.policy, seconds=options.seconds)
    injection = _injection(review.obj, workload, facts)
    if isinstance(injection, LeftAlone):
        # why not is worth an audit annotation, as the namespace asked for it
        return _Answer(encode_patch(review.uid, None, {AUDIT_KEY: f"left alone: {injection.reason}"}), "allow")
    audit = printable(injection.audit)
    return _Answer(encode_patch(review.uid, injection.patch(), {AUDIT_KEY: audit}), "patch", injected=audit)


def _injection(pod: Mapping[str, Any], workload: Workload, facts: Facts) -> Injection | LeftAlone:
    told = [
        Told(image.one, image.confidence, image.reason)
        for container in workload.containers
        if container.role != "volume"
        and (image := image_systems(container.image, facts.image_platforms, facts.policy.cluster.os_rule)) is not None
        and image.one is not None
    ]
    agreed = agreed_os(declared(workload.spec).os_name, told)
    if isinstance(agreed, LeftAlone):
        return agreed
    if workload.pod_labels.get(OS_LABEL, agreed.os) != agreed.os:
        return LeftAlone(f"its label {OS_LABEL} says otherwise")
    try:
        landing = land(workload.spec, runtime_class=facts.runtime_class)
    except Malformed as malformed:
        return LeftAlone(f"where it can land is unknown: {malformed}")
    taints = facts.policy.cluster.windows_taints
    return inject_os(pod, agreed, landing, daemon=_is_of_a_daemon_set(pod), windows_taints=taints)


def _is_of_a_daemon_set(pod: Mapping[str, Any]) -> bool:
    owners = pod.get("metadata", {}).get("ownerReferences")
    return any(
        isinstance(owner, Mapping) and owner.get("kind") == "DaemonSet" and owner.get("controller") is True
        for owner in (owners if isinstance(owners, list) else ())
    )


def _mercy(review: Review, obj: Mapping[str, Any]) -> Mercy:
    metadata = obj.get("metadata", {})  # its shape was checked when the workload was extracted
    if metadata.get("deletionTimestamp") is not None:
        return Mercy.DELETING
    if review.kind == "Pod" and MIRROR_POD in metadata.get("annotations", {}) and NODES_GROUP in review.user.groups:
        return Mercy.MIRROR_POD
    return Mercy.NONE


def _looked_up_mercy(
    review: Review,
    obj: Mapping[str, Any],
    workload: Workload,
    facts: Facts,
    decision: Decision,
    cluster: Cluster,
    left: Callable[[], float],
) -> Mercy:
    seconds = max(left(), 0.05)
    if workload.is_template:
        earlier = review.operation == "UPDATE" and cluster.is_earlier_revision(obj, workload, seconds=seconds)
        return Mercy.EARLIER_REVISION if earlier else Mercy.NONE
    if review.user.name not in CONTROLLERS:
        return Mercy.NONE
    forbidden = {finding.image for finding in decision.denied if finding.code in CLUSTERS_OWN}
    if not forbidden and all(_is_present(finding.image, facts) for finding in decision.denied):
        return Mercy.IMAGE_PRESENT
    ready = cluster.owner_is_ready(obj, review.namespace, seconds=seconds)
    if forbidden:
        # who may change a StatefulSet would otherwise exchange, pod by pod, the image that is allowed for any other
        ready = bool(ready) and runs_already(cluster, obj, review.namespace, forbidden, left)
    if ready is None:
        return Mercy.OWNER_UNKNOWN
    return Mercy.OWNER_READY if ready else Mercy.NONE


def _is_present(image: str | None, facts: Facts) -> bool:
    reference = read_reference(image or "")
    return isinstance(reference, Reference) and facts.image_evidence(image_key(reference)) is not None


def _namespace(
    review: Review, obj: Mapping[str, Any], cluster: Cluster, policy: ClusterPolicy, clock: Callable[[], float]
) -> Decision:
    """A namespace is never denied; whoever writes its labels is told what they do.

    A label that means nothing is one thing, and a stricter level the other: which of the pods that are there it would
    deny when they are made again.
    """
    after = cluster.policy_with(review.name, namespace_labels(obj), policy)
    told = tuple(invalid_label.finding(error) for error in after.label_errors)
    decision = Decision((), told, told)
    if review.operation != "UPDATE" or not review.old or obj.get("metadata", {}).get("deletionTimestamp") is not None:
        return decision
    try:
        before = cluster.policy_with(review.name, namespace_labels(review.old), policy)
    except Malformed as malformed:
        raise BadReview(f"request.oldObject.{malformed}") from None
    stricter = after.modes.enforce < before.modes.enforce  # the smaller, the stricter
    if not stricter and after.cluster == before.cluster:
        return decision
    return replace(
        decision, running=look(cluster, [Change(review.name, before, after)], clock, namespace=review.name, base=policy)
    )


def _policy(review: Review, cluster: Cluster, policy: ClusterPolicy, clock: Callable[[], float]) -> Decision:
    """A policy is never denied here: what it would deny of the pods that are there is told to whoever writes it."""
    written = review.obj if review.operation != "DELETE" else review.old
    if review.kind not in {CLUSTER_KIND, NAMESPACED_KIND} or review.subresource or written is None:
        return _ALLOWED
    try:
        found = read_policy({**written, "kind": review.kind})
    except Malformed:
        return _ALLOWED
    if found.spec is None:  # it is not taken; its status says why
        return _ALLOWED
    changes = cluster.policy_changes(found, policy, gone=review.operation == "DELETE")
    namespace = review.namespace if review.kind == NAMESPACED_KIND else ""
    return replace(_ALLOWED, running=look(cluster, changes, clock, namespace=namespace, base=policy))


def _tell(review: Review, answer: _Answer, endpoint: str, took: float, *, all_of_them: bool) -> None:
    """One JSON line per decision or injection; one that found nothing is not worth it, unless all are asked for.

    No user's name: the audit log has it, under the same uid.
    """
    decision = answer.decision or _ALLOWED
    told = (*decision.denied, *decision.warned)
    if not all_of_them and not (
        told or decision.unknown or decision.excused or decision.running or answer.injected is not None
    ):
        return
    line = {
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
        "level": "info",
        "msg": "review",
        "uid": review.uid,
        "endpoint": endpoint,
        "decision": answer.word,
        "operation": review.operation,
        "kind": printable(review.kind, _LONGEST_NAME),
        "namespace": printable(review.namespace, _LONGEST_NAME),
        "name": printable(review.name, _LONGEST_NAME),
        "dryRun": review.dry_run,
        "byController": review.user.name in CONTROLLERS,
        "findings": sorted({finding.code for finding in told}),
        "unknown": sorted({finding.code for finding in decision.unknown}),
        "exempt": [printable(str(one), _LONGEST_NAME) for one in decision.excused],
        "notDenied": decision.mercy.value if decision.mercy is not Mercy.NONE else None,
        "running": None if decision.running is None else impact_annotation(decision.running),
        "injected": answer.injected,
        "milliseconds": round(took * 1000, 3),
    }
    _log.info("%s", orjson.dumps(line).decode())


def _line(status: int, text: str) -> Response:
    return Response(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")
