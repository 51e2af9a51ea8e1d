"""From a live cluster to a survey: each workload and pod through the engine, a page at a time.

Only what was found is kept, one row for each finding of each workload, so that memory grows with the trouble and not
with the cluster. Must not: write to the cluster, or fail because one kind of object can't be listed: that is noted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from webhook.checks.index import all_checks
from webhook.diagnosis.pods import diagnose_pod, may_wait, owner_of
from webhook.engine.decide import Circumstances, decide
from webhook.engine.evaluate import evaluate, read_reference
from webhook.engine.excuse import excuse
from webhook.errors import Malformed
from webhook.model.finding import Confidence, Finding, Heals
from webhook.model.policy_exemption import Requester
from webhook.model.reference import Reference
from webhook.model.workload import extract
from webhook.report.outcome import Subject
from webhook.report.survey import Row, Survey
from webhook.sources.connection import collection_path
from webhook.sources.errors import ApiError
from webhook.sources.listing import list_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from webhook.diagnosis.pods import Diagnosed
    from webhook.model.facts import Facts
    from webhook.model.workload import Workload
    from webhook.sources.connection import Connection
    from webhook.sources.snapshot import Snapshot

    Json = dict[str, Any]

_PAGE: Final = 100  # of pods: a page of 500 is 10 MB of JSON, and five times that once it is parsed
_TEMPLATES: Final = (
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
    ("batch", "cronjobs"),
    ("apps", "replicasets"),
    ("batch", "jobs"),
    ("", "replicationcontrollers"),
)
# What the webhook's own manifests leave out (manifests/50-validating-webhook.yaml): nothing there is ever denied.
_NEVER_DENIED: Final = frozenset({"kube-system", "kube-node-lease", "pullproof"})
# Owners whose readiness spares a pod the denial, as at admission (sources/cluster.py).
_A_CONTROLLER: Final = Requester("system:kube-controller-manager")
_CONTROLLERS: Final = frozenset({"ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController"})

_Key = tuple[Subject, str, str | None, str | None, str]


@dataclass(slots=True)
class _Sum:
    """A row that is being counted."""

    finding: Finding
    subject: Subject
    pods: int = 0
    failing: int = 0
    denied: int = 0
    denied_template: bool = False
    seen: str = ""


@dataclass(slots=True)
class _Held:
    """A pod that would be denied unless its owner turns out to be well: its pods may come on a later page."""

    owner_uid: str
    sums: list[_Sum] = field(default_factory=list)


class Scanning:
    """One scan of `namespace` (None: of all). `on_step` and `on_pods` (how many of how many) are for a progress bar."""

    def __init__(
        self,
        connection: Connection,
        snapshot: Snapshot,
        namespace: str | None,
        *,
        seconds: float,
        on_step: Callable[[str], None] = lambda _step: None,
        on_pods: Callable[[int, int], None] = lambda _done, _of: None,
    ) -> None:
        self._connection = connection
        self._snapshot = snapshot
        self._namespace = namespace
        self._seconds = seconds
        self._on_step = on_step
        self._on_pods = on_pods
        self._sums: dict[_Key, _Sum] = {}
        self._workloads: dict[Subject, None] = {}
        self._images: set[str] = set()
        self._ready_owners: set[str] = set()
        self._held: list[_Held] = []
        self._shared: dict[Finding, Finding] = {}
        self._pods = self._failing_pods = self._denied_pods = 0
        self._notes: list[str] = []

    def run(self, *, at: str) -> Survey:
        """Read and judge everything; `at` is the time, for the report. Raises ApiError where pods can't be listed."""
        began = time.monotonic()
        self._snapshot.read(self._on_step)
        self._notes += [f"{kind} could not be read: {why}" for kind, why in self._snapshot.unread]
        for group, resource in _TEMPLATES:
            self._on_step(resource)
            try:
                for obj in self._list(group, resource):
                    self._template(obj)
            except ApiError as error:
                self._notes.append(f"{resource} could not be listed: {error}")
        self._on_step("pods")
        there = self._count_pods()
        for obj in self._list("", "pods"):
            if self._pods % _PAGE == 0:
                self._on_pods(self._pods, there)
            self._pod(obj)
        self._settle()
        return Survey(
            rows=tuple(map(_row, self._sums.values())),
            workloads=tuple(self._workloads),
            pods=self._pods,
            images=len(self._images),
            denied_pods=self._denied_pods,
            failing_pods=self._failing_pods,
            server=self._connection.server,
            scope="all namespaces" if self._namespace is None else f"namespace {self._namespace}",
            at=at,
            seconds=round(time.monotonic() - began, 1),
            notes=tuple(self._notes),
        )

    def _list(self, group: str, resource: str) -> Iterator[Json]:
        path = collection_path(group, "v1", resource, namespace=self._namespace or "")
        return list_all(self._connection, path, page=_PAGE, timeout_seconds=self._seconds)

    def _count_pods(self) -> int:
        """How many there are, for the bar: a list of one tells how many remain (meta/v1 ListMeta)."""
        path = collection_path("", "v1", "pods", namespace=self._namespace or "")
        first = self._connection.get_json(path, {"limit": "1"}, timeout_seconds=self._seconds)
        remaining = (first.get("metadata") or {}).get("remainingItemCount")
        return len(first.get("items") or ()) + (remaining if isinstance(remaining, int) else 0)

    def _template(self, obj: Json) -> None:
        if _controller(obj) is not None:
            return  # a Deployment's ReplicaSet, a CronJob's Job: their owner is judged
        workload = self._extract(obj)
        if workload is None:
            return
        subject = Subject(workload.kind, workload.namespace, workload.name)
        self._workloads[subject] = None
        facts, findings = self._judge(workload)
        left = excuse(findings, workload, facts.policy.cluster, Requester(), now=facts.now).findings
        decision = decide(left, workload, facts.policy.modes, Circumstances())
        for finding in findings:
            one = self._sum(subject, finding)
            if finding in decision.denied and workload.namespace not in _NEVER_DENIED:
                one.denied_template = True

    def _pod(self, obj: Json) -> None:
        self._pods += 1
        status = obj.get("status") or {}
        controller = _controller(obj)
        if controller is not None and _is_ready(status):
            self._ready_owners.add(str(controller.get("uid")))
        if status.get("phase") == "Succeeded" or (obj.get("metadata") or {}).get("deletionTimestamp"):
            return
        workload = self._extract(obj)
        if workload is None:
            return
        owner = owner_of(obj)
        subject = Subject(owner.kind, workload.namespace, owner.name)
        self._workloads[subject] = None
        facts, findings = self._judge(workload)
        sums = {finding: self._sum(subject, finding) for finding in findings}
        for one in sums.values():
            one.pods += 1
        if may_wait(obj):
            self._count_failing(diagnose_pod(obj, (), facts), subject, sums)
        if workload.namespace in _NEVER_DENIED:
            return
        by_controller = controller is not None and controller.get("kind") in _CONTROLLERS
        # who made it is not known any more; what an owner that a controller wrote says, is
        who, owners = (_A_CONTROLLER, [controller]) if by_controller else (Requester(), None)
        left = excuse(findings, workload, facts.policy.cluster, who, now=facts.now, owners=owners).findings
        denied = decide(left, workload, facts.policy.modes, Circumstances()).denied
        if not denied or (
            by_controller and all(finding.image and facts.image_evidence(finding.image) for finding in denied)
        ):
            return
        uid = str(controller.get("uid")) if controller is not None and by_controller else ""
        self._held.append(_Held(uid, [sums[finding] for finding in denied]))

    def _count_failing(self, found: Sequence[Diagnosed], subject: Subject, sums: dict[Finding, _Sum]) -> None:
        self._failing_pods += bool(found)
        for one in found:
            known = sums.get(one.explained) if one.explained is not None else None
            if known is None:
                known = self._sum(subject, _observed(one))
                known.pods += 1
            known.failing += 1
            known.seen = known.seen or one.diagnosis.evidence

    def _settle(self) -> None:
        for held in self._held:
            if held.owner_uid and held.owner_uid in self._ready_owners:
                continue
            self._denied_pods += 1
            for one in held.sums:
                one.denied += 1

    def _extract(self, obj: Json) -> Workload | None:
        try:
            workload = extract(obj)
        except Malformed as malformed:
            name = (obj.get("metadata") or {}).get("name")
            self._notes.append(f"{obj.get('kind')} {name} could not be judged: {malformed}")
            return None
        if workload is not None:
            self._images.update(container.image for container in workload.containers)
        return workload

    def _judge(self, workload: Workload) -> tuple[Facts, tuple[Finding, ...]]:
        facts = self._snapshot.facts(workload)
        return facts, evaluate(workload, facts, all_checks())

    def _sum(self, subject: Subject, finding: Finding) -> _Sum:
        key = (subject, finding.code, finding.container, finding.image, finding.message)
        known = self._sums.get(key)
        if known is None:
            # replicas of many workloads share their findings' texts
            known = self._sums[key] = _Sum(self._shared.setdefault(finding, finding), subject)
        elif finding.confidence > known.finding.confidence:
            known.finding = replace(known.finding, confidence=finding.confidence)
        return known


def _row(one: _Sum) -> Row:
    image = one.finding.image
    reference = read_reference(image) if image else None
    return Row(
        one.finding,
        one.subject,
        registry=(reference.domain or "docker.io") if isinstance(reference, Reference) else "",
        pods=one.pods,
        failing=one.failing,
        denied=one.denied,
        denied_template=one.denied_template,
        seen=one.seen,
    )


def _observed(found: Diagnosed) -> Finding:
    """What no check foresaw and the kubelet says: `likely`, as a registry or a way to it may come back."""
    read = found.diagnosis
    first = found.remedies[0] if found.remedies else None
    return Finding(
        code=found.code,
        name=found.name,
        confidence=Confidence.LIKELY,
        heals=Heals.REGISTRY,
        field="status",
        message=f"the image does not arrive: {read.cause.value}",
        fix="" if first is None else first.text,
        evidence=() if first is None else first.commands,
        container=read.container,
        image=read.image,
    )


def _controller(obj: Json) -> Json | None:
    references = (obj.get("metadata") or {}).get("ownerReferences")
    return next((one for one in references or () if one.get("controller") is True), None)


def _is_ready(status: Json) -> bool:
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in status.get("conditions") or ())
