"""A look at the pods that are there when somebody changes what holds for them.

Why in the webhook: whoever raises a level reads the answer in the same second, by `kubectl label`; a report that comes
later is read by somebody else. So the look is bounded three times: by pods, by seconds, and by the review's own time.

Must not: keep a pod, deny anything, or take longer than it was given: what is left out is said.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from webhook.checks.index import all_checks
from webhook.engine.evaluate import evaluate
from webhook.engine.excuse import excuse
from webhook.engine.impact import Impact, groups_of, newly_denied
from webhook.errors import Malformed, PullproofError
from webhook.model.finding import Confidence
from webhook.model.policy_exemption import Requester
from webhook.model.workload import extract
from webhook.sources.errors import ApiError, ForbiddenError, TimedOutError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from webhook.engine.impact import Change
    from webhook.model.facts import Facts
    from webhook.model.finding import Finding
    from webhook.model.policy import ClusterPolicy, Policy
    from webhook.model.workload import Workload
    from webhook.sources.listing import Page

MOST_PODS: Final = 3_000
SECONDS: Final = 1.0
# manifests/base/50-validating-webhook.yaml leaves them out, so that nothing is ever denied there
NEVER_ASKED: Final = frozenset({"kube-system", "kube-node-lease", "pullproof"})
_MIRROR_POD: Final = "kubernetes.io/config.mirror"
_A_CONTROLLER: Final = "system:kube-controller-manager"
_ENDED: Final = frozenset({"Succeeded", "Failed"})
# Each holds a page of pods, so many at once would cost the memory that reviews need.
_LOOKS: Final = threading.BoundedSemaphore(2)

_Verdict: TypeAlias = tuple[tuple[tuple[str, str], ...], bool]
"""What a pod would be denied for, and whether something could not be told."""

_NOTHING: Final[_Verdict] = ((), False)


class Listed(Protocol):
    def pods(self, namespace: str, *, seconds: Callable[[], float]) -> Iterable[Page]:
        """The namespace's pods, read live, page by page; each page within `seconds()`. Raises ApiError."""


class Pods(Listed, Protocol):
    """What a look needs of the cluster."""

    def facts(self, workload: Workload, policy: ClusterPolicy, *, seconds: float) -> Facts:
        """What is known around a workload."""


def look(
    cluster: Pods,
    changes: Iterable[Change],
    clock: Callable[[], float],
    *,
    namespace: str = "",
    base: ClusterPolicy | None = None,
    seconds: float = SECONDS,
) -> Impact:
    """What the pods of these namespaces would be denied for after the change and are not before it.

    At most `MOST_PODS` are looked at and at most `seconds` are taken, whichever comes first. Pods of one controller
    with the same images, pull secrets and ServiceAccount share their verdict. `namespace` is the one that it is about,
    where it is one. `base` is what the facts are asked with: what holds without any policy. Never raises.
    """
    until = clock() + seconds
    impact = Impact(namespace)

    def left() -> float:
        return max(until - clock(), 0.0)

    if not _LOOKS.acquire(timeout=seconds):
        impact.unseen = "others are being told already"
        return impact
    try:
        for change in changes:
            if change.namespace not in NEVER_ASKED:
                _look_at(cluster, change, impact, left, base or change.after.cluster, f"{seconds:g} s was over")
            if impact.stopped is not None:
                break
    except PullproofError as error:
        over = isinstance(error, TimedOutError)
        if isinstance(error, TooLargeError):
            impact.stopped = "the pods are too large to be looked at"
        elif impact.looked:
            impact.stopped = f"{seconds:g} s was over" if over else "the API server did not go on"
        elif isinstance(error, ForbiddenError):
            impact.unseen = "pullproof has no right to list pods"
        else:
            impact.unseen = f"no answer within {seconds:g} s" if over else str(error)
    finally:
        _LOOKS.release()
    return impact


def runs_already(
    cluster: Listed,
    pod: Mapping[str, Any],
    namespace: str,
    images: Collection[str | None],
    seconds: Callable[[], float],
) -> bool:
    """Whether a ready pod of the same controller has all of these images: only then is a pod made again.

    That its controller has ready pods says nothing of a template that was changed. Where it can't be looked up the
    answer is no: the controller asks again, and who makes a namespace's pods too large to be listed gains nothing.
    """
    controller = _controller(pod)
    if controller is None or not _LOOKS.acquire(timeout=max(seconds(), 0.0)):
        return False
    try:
        return any(
            _controller(one) == controller and _is_ready(one) and _has(one, images)
            for page in cluster.pods(namespace, seconds=seconds)
            for one in page.items
        )
    except ApiError:
        return False
    finally:
        _LOOKS.release()


def _controller(pod: Mapping[str, Any]) -> object:
    """The uid of the controller that a pod is of, or None."""
    owners = (pod.get("metadata") or {}).get("ownerReferences") or ()
    return next((owner.get("uid") for owner in owners if owner.get("controller")), None)


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any((one.get("type"), one.get("status")) == ("Ready", "True") for one in conditions)


def _has(pod: Mapping[str, Any], images: Collection[str | None]) -> bool:
    try:
        workload = extract(pod, group_kind=("", "Pod"))
    except Malformed:
        return False
    return workload is not None and {container.image for container in workload.containers}.issuperset(images)


def _look_at(
    cluster: Pods, change: Change, impact: Impact, left: Callable[[], float], base: ClusterPolicy, over: str
) -> None:
    """Count the pods of one namespace. Raises ApiError."""
    verdicts: dict[object, _Verdict] = {}
    for page in cluster.pods(change.namespace, seconds=left):
        # how many there are is known of one namespace only
        impact.there = impact.looked + len(page.items) + page.remaining if impact.namespace else 0
        for pod in page.items:
            if impact.looked >= MOST_PODS:
                impact.stopped = f"{MOST_PODS} is the limit"
            elif not left():
                impact.stopped = over
            if impact.stopped is not None:
                return
            groups, unknown = _verdict(cluster, pod, change.before, change.after, base, verdicts, left)
            name = _name(pod) if impact.namespace else f"{change.namespace}/{_name(pod)}"
            impact.add(name, groups, unknown=unknown)


def _verdict(
    cluster: Pods,
    pod: Mapping[str, Any],
    before: Policy,
    after: Policy,
    base: ClusterPolicy,
    verdicts: dict[object, _Verdict],
    left: Callable[[], float],
) -> _Verdict:
    metadata = pod.get("metadata") or {}
    ended = (pod.get("status") or {}).get("phase") in _ENDED
    if ended or metadata.get("deletionTimestamp") or _MIRROR_POD in (metadata.get("annotations") or {}):
        return _NOTHING
    try:
        workload = extract(pod, group_kind=("", "Pod"))
    except Malformed:
        return _NOTHING
    if workload is None:
        return _NOTHING
    owners = metadata.get("ownerReferences") or ()
    maker = _controller(pod) or metadata.get("uid")
    key = (maker, workload.containers, workload.service_account, workload.pull_secret_names)
    known = verdicts.get(key)
    if known is None:
        facts = cluster.facts(workload, base, seconds=left())
        known = verdicts[key] = _judged(workload, facts, before, after, owners)
    return known


def _judged(workload: Workload, facts: Facts, before: Policy, after: Policy, owners: object) -> _Verdict:
    def left(policy: Policy) -> tuple[Finding, ...]:
        """The findings that nobody is excused from; a controller will ask again for what it has made."""
        found = evaluate(workload, replace(facts, policy=policy), all_checks())
        who = Requester(_A_CONTROLLER) if owners else Requester()
        return excuse(found, workload, policy.cluster, who, now=facts.now, owners=owners).findings

    findings = left(after)
    if not findings:
        return _NOTHING
    same = before.cluster == after.cluster  # then labels alone have changed, and they change no finding
    earlier = findings if same else left(before)
    unknown = any(finding.confidence is Confidence.UNKNOWN for finding in findings)
    return groups_of(newly_denied(findings, earlier, workload, before.modes, after.modes)), unknown


def _name(pod: Mapping[str, Any]) -> str:
    return str((pod.get("metadata") or {}).get("name") or "")
