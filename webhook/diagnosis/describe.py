"""Reads what `kubectl describe pod` prints: for when there is a text and no cluster.

What it prints is for people, and changes between versions; so only what has stood since 1.9 is relied on: `Name:` at
the line's beginning, a container's name two spaces in, `Image:`, `Reason:`, `Message:` below it, and the events' table.
The message of a waiting container is preferred; behind a bare "Back-off pulling image" the first event that says why.

Must not: look anything up, raise on any text, or read more of it than is bounded here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from webhook.diagnosis.cause import Cause
from webhook.diagnosis.message import is_bare_back_off, read_message, read_reason
from webhook.model.text import printable

if TYPE_CHECKING:
    from webhook.diagnosis.cause import Diagnosis

MAX_TEXT: Final = 4 * 1024 * 1024
MAX_PODS: Final = 500
_MAX_LINE: Final = 16 * 1024
_MAX_EVENTS: Final = 1000  # for one pod; the API server keeps them for an hour
_MAX_CONTAINERS: Final = 200
_MAX_NAME: Final = 253

_POD: Final = re.compile(r"^Name:\s+(\S.*)$")
_TOP: Final = re.compile(r"^([A-Z][A-Za-z -]{0,40}):(?:\s+(\S.*))?$")
_CONTAINER: Final = re.compile(r"^  ([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?):\s*$")
_FIELD: Final = re.compile(r"^ {3,}([A-Z][A-Za-z ]{0,30}):(?:\s+(\S.*))?$")
_EVENT: Final = re.compile(r"^\s+(?:Normal|Warning)\s+(\S{1,100})\s+(.*)$")
# Before 1.7: FirstSeen LastSeen Count From SubObjectPath Type Reason Message, parted by tabs or spaces.
_OLD_EVENT: Final = re.compile(
    r"^\s+\S{1,30}\s+\S{1,30}\s+\d{1,9}\s+\{[^}]{1,200}\}\s.{0,200}?\b(?:Normal|Warning)\s+(\S{1,100})\s+(.*)$"
)
# Age and source stand between reason and message: `17s (x3 over 57s)   kubelet, node-1   Failed to pull…`.
_AGE_AND_FROM: Final = re.compile(r"^\S{1,30}(?: \(x\d{1,9} over \S{1,30}\))?\s+\S{1,253}(?:, \S{1,253})?\s{2,}(.*)$")
_SPEC: Final = re.compile(r"^(?:spec\.\w{1,30}\{[^}]{1,253}\}:?\s+)")
_LABEL: Final = re.compile(r"^\s*pod-template-hash=([a-z0-9]{1,63})$")
_RESTARTABLE: Final = ("StatefulSet", "DaemonSet")
_SECTIONS: Final = ("Containers", "Init Containers", "Ephemeral Containers")

# Events of the kubelet that speak of images; others (probes, volumes) say nothing about a pull.
EVENT_REASONS: Final = frozenset(
    {
        "Failed",
        "FailedSync",
        "BackOff",
        "InspectFailed",
        "ErrImageNeverPull",
        "FailedCreatePodSandBox",
        "FailedToRetrieveImagePullSecret",
        "PodOSNotSupported",
        "PodOSSelectorNodeLabelDoesNotMatch",
    }
)
_SAYS_NOTHING: Final = re.compile(r"(?i)^(?:error: )?(?:err\w{1,40}|image\w{1,40}|invalidimagename|\w{1,40}backoff)$")
_ABOUT_PULLS: Final = re.compile(r"(?i)pull|image|registry|reference|short name|illegal base64|parse auth field")


@dataclass(slots=True)
class _Container:
    name: str
    image: str | None = None
    state: str = ""
    reason: str = ""
    message: str = ""


@dataclass(slots=True)
class _Pod:
    name: str
    namespace: str | None = None
    node: str | None = None
    reason: str = ""
    message: str = ""
    service_account: str = ""
    controller: str = ""
    generated: str = ""
    containers: list[_Container] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)


def is_description(text: str) -> bool:
    """Whether the text looks like `kubectl describe pod` rather than lines of messages."""
    head = text[:MAX_TEXT]
    return bool(re.search(r"(?m)^(?:Events|Containers):", head)) or bool(
        re.search(r"(?m)^Name:\s", head) and re.search(r"(?m)^Namespace:\s", head)
    )


def read_describe(text: str) -> list[Diagnosis]:
    """What the text of `kubectl describe pod`, of one or more pods, says. Never raises.

    One result for each container that can't get its image, in the order in which they stand; none where nothing of it
    is about a pull.
    """
    return [found for pod in _pods(text[:MAX_TEXT]) for found in _read_pod(pod)]


def _pods(text: str) -> list[_Pod]:
    pods: list[_Pod] = []
    section = ""
    for raw in _unwrapped(text.splitlines()):
        line = raw[:_MAX_LINE].rstrip()
        named = _POD.match(line)
        if named is not None:
            if len(pods) >= MAX_PODS:
                break
            pods.append(_Pod(_name(named[1])))
            section = ""
            continue
        if not line.strip():
            continue
        if not pods:
            pods.append(_Pod(""))
        section = _read_line(pods[-1], section, line)
    return pods


def _unwrapped(lines: list[str]) -> list[str]:
    """The lines, those put together again that a terminal broke at its width.

    What goes on stands at a line's beginning, where kubectl writes nothing but a name and a colon. More than one line
    has to be as long as the longest, else that is no width. A blank at the break is lost when a text is copied.
    """
    width = max(map(len, lines), default=0)
    if sum(len(line) == width for line in lines) == 1:
        return lines
    whole: list[str] = []
    last = 0
    for line in lines:
        if last and last >= width - 1 and line[:1].strip() and not _TOP.match(line) and len(whole[-1]) < _MAX_LINE:
            whole[-1] += line if last == width else f" {line}"
        else:
            whole.append(line)
        last = len(line)
    return whole


def _read_line(pod: _Pod, section: str, line: str) -> str:
    """Takes what one line says into `pod`; returns the section that the next line is in."""
    top = _TOP.match(line)
    if top is not None:
        name, value = top.groups()
        _read_top(pod, name, value or "")
        return name
    if section == "Labels":
        _read_label(pod, line)
    elif section in _SECTIONS:
        _read_container_line(pod, line)
    elif section == "Events" or not pod.containers:
        _read_event(pod, line)
    return section


def _read_top(pod: _Pod, name: str, value: str) -> None:
    if name == "Namespace":
        pod.namespace = _name(value) or None
    elif name == "Node":
        node = value.partition("/")[0].strip()
        pod.node = _name(node) if node and node != "<none>" else None
    elif name == "Reason":
        pod.reason = value
    elif name == "Message":
        pod.message = value
    elif name == "Service Account":
        pod.service_account = _name(value)
    elif name == "Controlled By":
        pod.controller = value
    elif name == "Labels":
        _read_label(pod, value)


def _read_label(pod: _Pod, label: str) -> None:
    found = _LABEL.match(label)
    if found is not None:
        pod.generated = found[1]


def _workload(pod: _Pod) -> str | None:
    """What to restart or to give another image: a ReplicaSet's name is its Deployment's and a hash, see `owner_of`."""
    kind, _, name = pod.controller.partition("/")
    if kind == "ReplicaSet" and pod.generated and name.endswith(f"-{pod.generated}"):
        return f"deployment/{_name(name.removesuffix(f'-{pod.generated}'))}"
    return f"{kind.lower()}/{_name(name)}" if kind in _RESTARTABLE and name else None


def _read_container_line(pod: _Pod, line: str) -> None:
    named = _CONTAINER.match(line)
    if named is not None:
        if len(pod.containers) < _MAX_CONTAINERS:
            pod.containers.append(_Container(named[1]))
        return
    found = _FIELD.match(line)
    if found is None or not pod.containers:
        return
    container = pod.containers[-1]
    name, value = found.groups()
    if name == "Image" and container.image is None:
        container.image = value
    elif name == "Reason" and not container.reason:
        container.reason = value or ""
    elif name == "Message" and not container.message:
        container.message = value or ""
    elif name == "State":
        container.state = value or ""
    elif name == "Last State":
        container.reason = container.reason or "-"  # what follows is about an earlier run


def _read_event(pod: _Pod, line: str) -> None:
    if len(pod.events) >= _MAX_EVENTS:
        return
    found = _EVENT.match(line) or _OLD_EVENT.match(line)
    if found is not None:
        rest = found[2]
        placed = _AGE_AND_FROM.match(rest)
        pod.events.append((found[1], _SPEC.sub("", placed[1] if placed else rest)))
    elif pod.events and line.startswith(" ") and not line.lstrip().startswith("----"):
        # a message of several lines: kubectl indents what follows
        reason, message = pod.events[-1]
        if len(message) < _MAX_LINE:
            pod.events[-1] = (reason, f"{message} {line.strip()}")


def _read_pod(pod: _Pod) -> list[Diagnosis]:
    events = [(reason, message) for reason, message in pod.events if reason in EVENT_REASONS]
    missing = next((d for r, m in events if r == "FailedToRetrieveImagePullSecret" and (d := read_reason(r, m))), None)
    admission = read_reason(pod.reason, pod.message) if pod.reason else None
    if admission is not None:
        return [_placed(admission, pod, None)]
    told = [d for r, m in events if (d := read_event(r, m)) is not None]
    results: list[Diagnosis] = []
    for container in pod.containers:
        found = _read_container(container, told)
        if found is not None:
            results.append(_placed(with_secrets(found, missing), pod, container))
    if results:
        return results
    known = next((d for d in told if d.cause is not Cause.OTHER), told[0] if told else None)
    if known is not None and (not pod.containers or any(c.state in ("", "Waiting") for c in pod.containers)):
        return [_placed(with_secrets(known, missing), pod, None)]
    return [_placed(missing, pod, None)] if missing is not None else []


def read_event(reason: str, message: str) -> Diagnosis | None:
    """What an event about a pod says of a pull; None where that is nothing, or no more than that it failed."""
    if reason == "FailedToRetrieveImagePullSecret" or _SAYS_NOTHING.match(message) or is_bare_back_off(message):
        return None
    read = read_reason(reason, message)
    if read is None and _ABOUT_PULLS.search(message):
        read = read_message(message)
    return read


def _read_container(container: _Container, told: list[Diagnosis]) -> Diagnosis | None:
    read = read_reason(container.reason, container.message)
    if read is None:
        return None
    if read.cause is not Cause.OTHER:
        return read
    mine = [d for d in told if d.image is not None and d.image == container.image]
    mine = mine or [d for d in told if d.image is None]
    better = next((d for d in mine if d.cause is not Cause.OTHER), None)
    if better is not None:
        return better
    if container.message and not is_bare_back_off(container.message):
        return read
    return mine[0] if mine else read


def with_secrets(found: Diagnosis, missing: Diagnosis | None) -> Diagnosis:
    """A credential that was refused while a named pull secret is not there: that secret is the cause."""
    refused = (Cause.UNAUTHORIZED, Cause.FORBIDDEN, Cause.AMBIGUOUS)
    if missing is None:
        return found
    if found.cause in refused:
        return replace(found, cause=Cause.SECRET_MISSING, secrets=missing.secrets)
    return replace(found, secrets=missing.secrets)


def _placed(found: Diagnosis, pod: _Pod, container: _Container | None) -> Diagnosis:
    image = found.image
    if container is not None and container.image:
        image = printable(container.image, 512)
    registry = found.registry
    if registry is None and image is not None:
        registry = read_message(f'Failed to pull image "{image}"').registry
    return replace(
        found,
        image=image,
        registry=registry,
        pod=pod.name or None,
        namespace=pod.namespace,
        node=pod.node,
        container=None if container is None else container.name,
        workload=_workload(pod),
        service_account=pod.service_account or None,
        # kubectl that prints the one has printed the other since long before, where there is one
        lone=bool(pod.service_account and pod.containers) and not pod.controller,
    )


def _name(text: str) -> str:
    return printable(text.strip(), _MAX_NAME)
