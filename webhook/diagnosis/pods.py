"""Why a pod's images don't arrive: its statuses, its Events and the engine's word, as one diagnosis per container.

The kubelet says what happened, the engine says what is wrong with the pod; where both speak of one thing the reader
gets the check's code, as at admission, with the kubelet's words as what was seen. Pure: pod, Events and facts come in.

Must not: take an engine's suspicion for a cause that the kubelet's words don't bear out, or say anything of pods that
don't wait for an image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from webhook.checks.index import all_checks
from webhook.diagnosis.cause import Cause
from webhook.diagnosis.codes import Code, code_for
from webhook.diagnosis.describe import EVENT_REASONS, read_event, with_secrets
from webhook.diagnosis.message import is_bare_back_off, read_message, read_reason
from webhook.diagnosis.remedies import kubectl
from webhook.diagnosis.remedies.names import Names, Place, filled
from webhook.diagnosis.remedy import Remedy, remedies
from webhook.engine.evaluate import evaluate
from webhook.errors import Malformed
from webhook.model import reference
from webhook.model.facts import Facts, Known
from webhook.model.finding import Confidence
from webhook.model.text import printable
from webhook.model.workload import extract

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from webhook.diagnosis.cause import Diagnosis
    from webhook.model.finding import Finding
    from webhook.model.workload import Workload

    Json = Mapping[str, Any]

_STATUSES: Final = (
    ("initContainerStatuses", "initContainers"),
    ("containerStatuses", "containers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
)
_NO_SECRET: Final = "FailedToRetrieveImagePullSecret"  # noqa: S105 - the name of a reason
_CREATING: Final = frozenset({"ContainerCreating", "PodInitializing"})
_MAX_EVENTS: Final = 1000
_MAX_NAME: Final = 253

# Which checks' findings explain a cause, by the beginning of their codes, the likelier first.
_EXPLAINED_BY: Final[Mapping[Cause, tuple[str, ...]]] = {
    Cause.INVALID_NAME: ("PULL1",),
    Cause.DNS: ("PULL2",),
    Cause.TIMEOUT: ("PULL2",),
    Cause.REFUSED: ("PULL2",),
    Cause.TLS: ("PULL2",),
    Cause.UNAUTHORIZED: ("PULL2", "PULL3"),
    Cause.FORBIDDEN: ("PULL2", "PULL3"),
    Cause.AMBIGUOUS: ("PULL2", "PULL3"),
    Cause.NOT_FOUND: ("PULL2",),
    Cause.SECRET_MISSING: ("PULL303", "PULL301", "PULL302"),
    Cause.EXPIRED: ("PULL308",),
    Cause.PLATFORM: ("PULL4",),
}
_REFUSED: Final = frozenset({Cause.UNAUTHORIZED, Cause.FORBIDDEN, Cause.AMBIGUOUS})
# What a refusal turns out to be where the engine knows the very secret.
_REFUSED_FOR: Final[Mapping[str, Cause]] = {"PULL301": Cause.SECRET_MISSING, "PULL308": Cause.EXPIRED}
_TEXT_AREAS: Final = ("PULL1", "PULL2")
_NEVER: Final = "pull policy of Never"
"""Nothing was asked of a registry then, so nothing that is wrong with the name explains it."""
_CLUSTER_AREAS: Final = ("PULL3", "PULL4")
_ADVICE: Final = "PULL107"
"""Implicit `latest` is advice, and explains no failure."""
_COMMAND: Final = re.compile(r"`((?:kubectl|az|aws|gcloud|ibmcloud|oc|pullproof) [^`]+)`")
_HASH_LABEL: Final = "pod-template-hash"
_RESTARTABLE: Final = {"StatefulSet": "statefulset", "DaemonSet": "daemonset", "Deployment": "deployment"}


@dataclass(frozen=True, slots=True)
class Owner:
    """What a pod comes from: `kind` is `Deployment`, `Pod` for one of its own."""

    kind: str
    name: str

    @property
    def short(self) -> str:
        """As kubectl takes it: `deployment/web`."""
        return f"{self.kind.lower()}/{self.name}"


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """One image that does not arrive.

    `reason` is what kubectl shows as the status (empty for text without a pod); `code` and `name` are those of the
    check that explains the failure, else of the cause; `explained` is that check's finding. `findings` are the engine's
    further ones about this container, the surest first. `remedies` begin with what is likeliest.
    """

    diagnosis: Diagnosis
    code: str
    name: str
    remedies: tuple[Remedy, ...] = ()
    reason: str = ""
    owner: Owner | None = None
    explained: Finding | None = None
    findings: tuple[Finding, ...] = ()


def diagnosed(read: Diagnosis) -> Diagnosed:
    """What is to be said of a text alone: the reading, and what the image's name shows."""
    findings = _of_name(read.image) if read.image else ()
    place = Place(workload=read.workload, service_account=read.service_account, lone=read.lone)
    return _explain(read, findings, place)


def owner_of(pod: Json) -> Owner:
    """The workload that a pod comes from, as far as the pod itself shows.

    A Deployment names its ReplicaSets `<name>-<hash>` and puts the hash into their pods' label `pod-template-hash`
    (pkg/controller/deployment/sync.go, Kubernetes 1.36), so the ReplicaSet need not be read; a CronJob its Jobs
    `<name>-<minutes since 1970>` (pkg/controller/cronjob/utils.go).
    """
    metadata = _map(pod.get("metadata"))
    found = next((one for one in _maps(metadata.get("ownerReferences")) if one.get("controller") is True), None)
    if found is None:
        return Owner("Pod", _text(metadata.get("name")) or _text(metadata.get("generateName")))
    kind, name = _text(found.get("kind")), _text(found.get("name"))
    generated = _text(_map(metadata.get("labels")).get(_HASH_LABEL))
    if kind == "ReplicaSet" and generated and name.endswith(f"-{generated}"):
        return Owner("Deployment", name.removesuffix(f"-{generated}"))
    if kind == "Job" and (scheduled := re.fullmatch(r"(.{1,52})-\d{8,11}", name)):
        return Owner("CronJob", scheduled[1])
    return Owner(kind, name)


def may_wait(pod: Json) -> bool:
    """Whether the pod may be waiting for an image, by its status alone: cheap, for each pod of a cluster."""
    status = _map(pod.get("status"))
    if _text(status.get("phase")) == "Succeeded":
        return False
    if read_reason(_text(status.get("reason")), "") is not None:
        return True
    return any(reason in _CREATING or read_reason(reason, "") is not None for _, reason, _ in _waiting(status))


def diagnose_pod(pod: Json, events: Iterable[Json] = (), facts: Facts | None = None) -> tuple[Diagnosed, ...]:
    """Why the pod's images don't arrive: one for each container, in the pod's order; none where they do.

    pod, events: the API's JSON (core/v1); of the Events only this pod's count. facts: what the cluster shows around it,
    None where no cluster is at hand. Never raises on an odd shape.
    """
    metadata, spec, status = (_map(pod.get(key)) for key in ("metadata", "spec", "status"))
    told = _events_of(pod, events)
    workload = _workload(pod)
    found = list(_read(spec, status, told))
    if not found:
        return ()
    around = facts if facts is not None else Facts()
    findings = evaluate(workload, around, all_checks()) if workload is not None and facts is not None else ()
    volumes = _volumes(spec)
    results = []
    for read, container, reason in found:
        placed = _placed(read, metadata, spec, container)
        mine = findings or (_of_name(placed.image) if placed.image else ())
        mine = tuple(one for one in mine if _is_about(one, placed, volumes))
        owner = owner_of(pod)
        place = _place(placed, spec, owner, workload, around)
        results.append(replace(_explain(placed, mine, place, around), reason=reason, owner=owner))
    return tuple(results)


# --- statuses and Events --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Told:
    """An Event about the pod; `container` is empty where it is about the pod as a whole."""

    reason: str
    message: str
    container: str


def _events_of(pod: Json, events: Iterable[Json]) -> list[_Told]:
    """The pod's own Events that can speak of images, the latest first."""
    metadata = _map(pod.get("metadata"))
    uid, name = metadata.get("uid"), metadata.get("name")
    found: list[tuple[str, _Told]] = []
    for event in events:
        about = _map(event.get("involvedObject")) or _map(event.get("regarding"))
        if about.get("kind") not in (None, "Pod") or about.get("name") not in (None, name):
            continue
        if uid and about.get("uid") not in (None, "", uid):
            continue  # an earlier pod of the same name: a StatefulSet's
        reason = _text(event.get("reason"))
        if reason not in EVENT_REASONS:
            continue
        named = re.search(r"\{([^}]{1,253})\}$", _text(about.get("fieldPath")))
        series = _map(event.get("series"))
        when = (
            _text(series.get("lastObservedTime"))
            or _text(event.get("lastTimestamp"))
            or _text(event.get("eventTime"))
            or _text(event.get("firstTimestamp"))
        )
        message = _text(event.get("message")) or _text(event.get("note"))
        found.append((when, _Told(reason, message, named[1] if named else "")))
        if len(found) >= _MAX_EVENTS:
            break
    found.sort(key=lambda one: one[0], reverse=True)
    return [told for _, told in found]


def _read(spec: Json, status: Json, told: Sequence[_Told]) -> Iterator[tuple[Diagnosis, str | None, str]]:
    """Each reading with its container (None: the pod as a whole) and the reason that kubectl shows."""
    reason = _text(status.get("reason"))
    rejected = read_reason(reason, _text(status.get("message")))
    if rejected is not None:
        yield rejected, None, reason
        return
    missing = next(
        (read for one in told if one.reason == _NO_SECRET and (read := read_reason(one.reason, one.message))), None
    )
    if _text(status.get("phase")) == "Succeeded":
        return
    images, volumes = _images(spec), _volumes(spec)
    waits = False
    creating: list[str] = []
    for container, waiting, message in _waiting(status):
        if waiting in _CREATING:
            creating.append(container)
            continue
        read = _read_container(container, {images.get(container), *volumes}, waiting, message, told)
        if read is not None:
            waits = True
            yield _with_image(with_secrets(read, missing), images.get(container), volumes), container, waiting
    if waits or not creating:
        return
    # nothing but ContainerCreating: an image volume, the sandbox's image, or a secret that the kubelet waits for
    for one in told:
        read = read_event(one.reason, one.message)
        if read is not None and one.container in ("", *creating):
            yield with_secrets(read, missing), one.container or None, "ContainerCreating"
            return
    if missing is not None:
        yield missing, None, "ContainerCreating"


def _read_container(
    container: str, images: set[str | None], reason: str, message: str, told: Sequence[_Told]
) -> Diagnosis | None:
    """The status if it says why; else the latest Event about this container and one of these images that does.

    An image volume is pulled for each container that mounts it: the container waits, the words are about the volume.
    """
    read = read_reason(reason, message)
    if read is None or read.cause is not Cause.OTHER:
        return read
    candidates = [
        found
        for one in told
        if one.container in ("", container)
        and (found := read_event(one.reason, one.message)) is not None
        # an Event about the image before an edit explains nothing now
        and (found.image is None or None in images or found.image in images)
    ]
    better = next((found for found in candidates if found.cause is not Cause.OTHER), None)
    if better is not None:
        return better
    if message and not is_bare_back_off(message):
        return read
    return candidates[0] if candidates else read


def _waiting(status: Json) -> Iterator[tuple[str, str, str]]:
    """Name, reason and message of each container that waits, init containers first."""
    for key, _ in _STATUSES:
        for one in _maps(status.get(key)):
            waiting = _map(_map(one.get("state")).get("waiting"))
            reason = _text(waiting.get("reason"))
            if reason:
                yield _text(one.get("name")), reason, _text(waiting.get("message"))


def _images(spec: Json) -> dict[str, str]:
    return {
        _text(one.get("name")): _text(one.get("image"))
        for _, key in _STATUSES
        for one in _maps(spec.get(key))
        if one.get("image")
    }


def _volumes(spec: Json) -> tuple[str, ...]:
    """The references of the pod's image volumes."""
    found = (_text(_map(one.get("image")).get("reference")) for one in _maps(spec.get("volumes")))
    return tuple(one for one in found if one)


def _with_image(read: Diagnosis, image: str | None, volumes: tuple[str, ...]) -> Diagnosis:
    """The reading with the reference as the pod has it: the container's, or that of the volume that is spoken of."""
    if not image:
        return read
    spoken = _canonical(read.image)
    if spoken is not None and spoken != _canonical(image):
        image = next((one for one in volumes if _canonical(one) == spoken), image)
    registry = read.registry or read_message(f'Failed to pull image "{image}"').registry
    return replace(read, image=printable(image, 512), registry=registry)


def _canonical(image: str | None) -> str | None:
    found = reference.match(image) if image else None
    return None if found is None else str(found)


def _placed(read: Diagnosis, metadata: Json, spec: Json, container: str | None) -> Diagnosis:
    def name(value: object) -> str | None:
        return printable(_text(value), _MAX_NAME) or None

    return replace(
        read,
        pod=name(metadata.get("name")),
        namespace=name(metadata.get("namespace")),
        node=name(spec.get("nodeName")),
        container=name(container),
    )


def _is_about(finding: Finding, read: Diagnosis, volumes: tuple[str, ...]) -> bool:
    """Whether a finding is about what is waited for: the pod as a whole, this container's image, or this volume's."""
    if finding.confidence is Confidence.UNKNOWN:
        return False
    if finding.image is None:
        return finding.container in (None, read.container)
    if printable(finding.image, 512) != read.image:
        return False
    return finding.container in (None, read.container) or read.container is None or finding.image in volumes


# --- what it means here ---------------------------------------------------------------------------------------------


def _workload(pod: Json) -> Workload | None:
    try:
        return extract(pod, group_kind=("", "Pod"), null_is_absent=True)
    except Malformed:
        return None


def _of_name(image: str) -> tuple[Finding, ...]:
    """What an image's name alone shows, by the checks that need no more."""
    pod = {"spec": {"containers": [{"name": "", "image": image}]}}
    workload = extract(pod, group_kind=("", "Pod"))
    checks = [check for check in all_checks() if check.code.startswith(_TEXT_AREAS)]
    return () if workload is None else evaluate(workload, Facts(), checks)


def _place(read: Diagnosis, spec: Json, owner: Owner, workload: Workload | None, facts: Facts) -> Place:
    nodes = facts.nodes.value if isinstance(facts.nodes, Known) else None
    here = nodes.named(read.node) if nodes is not None and read.node else None
    provider = here.provider_id if here is not None else ""
    if not provider and nodes is not None:
        provider = next((node.provider_id for node in nodes if node.provider_id), "")
    secret, secret_in = _secret(read, facts)
    kind = _RESTARTABLE.get(owner.kind)
    return Place(
        provider_id=provider or None,
        service_account=workload.service_account if workload is not None else _text(spec.get("serviceAccountName")),
        secret=secret,
        secret_in=secret_in,
        workload=f"{kind}/{owner.name}" if kind else None,
        openshift=nodes is not None and "openshift" in nodes.clouds(),
        lone=owner.kind == "Pod",
    )


def _secret(read: Diagnosis, facts: Facts) -> tuple[str | None, str | None]:
    """The pull secret to speak of, and another namespace that has it where this one does not."""
    namespace = read.namespace or ""
    if read.secrets:
        elsewhere = (one for one in facts.secret_namespaces(read.secrets[0]) if one != namespace)
        return read.secrets[0], next(elsewhere, None)
    host = (read.registry or "").partition(":")[0]
    own = facts.pull_secrets.value.refs if isinstance(facts.pull_secrets, Known) else ()
    near = facts.secrets_for_host(host, namespace) if host else ()
    best = next(iter(near), None)
    names = [ref.name for ref in own]
    if best is None or best.name in names:
        return (names[0] if names else None), None
    return best.name, best.namespace if best.namespace != namespace else None


def _explain(
    read: Diagnosis,
    findings: tuple[Finding, ...],
    place: Place,
    facts: Facts | None = None,
) -> Diagnosed:
    explained = None if _NEVER in read.evidence else _explaining(read.cause, findings)
    if explained is not None and read.cause in _REFUSED and explained.code in _REFUSED_FOR:
        missing = () if facts is None else _missing(facts)
        read = replace(read, cause=_REFUSED_FOR[explained.code], secrets=read.secrets or missing)
        if facts is not None and read.secrets:
            place = replace(place, secret=read.secrets[0], secret_in=_secret(read, facts)[1])
    code = Code(explained.code, explained.name) if explained is not None else code_for(read)
    todo = remedies(read, place)
    if explained is not None:
        if explained.code.startswith(_TEXT_AREAS) and explained.confidence is Confidence.CERTAIN:
            todo = ()  # a credential for a host that is none, or a look at its DNS, would only distract
        todo = (_of_finding(explained, read, place), *todo)
    return Diagnosed(
        diagnosis=read,
        code=code.code,
        name=code.name,
        remedies=todo,
        explained=explained,
        findings=tuple(one for one in findings if one is not explained),
    )


def _explaining(cause: Cause, findings: Sequence[Finding]) -> Finding | None:
    for area in _EXPLAINED_BY.get(cause, ()):
        for finding in findings:
            if (
                finding.code.startswith(area)
                and finding.code != _ADVICE
                # a node's identity may have made up for a credential: now that the registry refused, it has not
                and (finding.confidence >= Confidence.LIKELY or finding.code.startswith(_CLUSTER_AREAS))
            ):
                return finding
    return None


def _missing(facts: Facts) -> tuple[str, ...]:
    listed = facts.pull_secrets
    if not isinstance(listed, Known):
        return ()
    return tuple(printable(ref.name, _MAX_NAME) for ref in listed.value.refs if ref.secret == Known(None))


def _of_finding(finding: Finding, read: Diagnosis, place: Place) -> Remedy:
    """What the check has to say, with its commands on lines of their own, ready to paste."""
    commands = tuple(_COMMAND.findall(finding.fix))
    if not commands and finding.suggestion and finding.field.endswith(".image"):
        commands = (kubectl.set_image(Names(read, place), filled(finding.suggestion, "image")),)
    return Remedy(printable(f"{finding.message}: {finding.fix}" if finding.fix else finding.message), commands)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _map(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _maps(value: object) -> Iterator[Json]:
    if isinstance(value, list):
        yield from (one for one in value if isinstance(one, dict))
