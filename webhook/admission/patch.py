"""The one thing pullproof writes into a pod: which operating system its node must have. Pure.

A pod whose images are for Windows and that selects nothing lands anywhere. Where the system is known and nothing says
otherwise, `kubernetes.io/os` is added to the nodeSelector, and where policy names the taint of the Windows nodes, its
toleration. Must not: overwrite or remove anything, touch a pod whose node is already chosen, or be applied twice to any
effect. Operations are written by hand, as RFC 6902 has them: generating them from a difference is known to go wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from webhook.model.finding import Confidence
from webhook.model.landing import tolerates
from webhook.model.node import BETA_OS_LABEL, OS_LABEL, read_map, read_strings, read_text, read_tolerations
from webhook.model.platform import WINDOWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.model.landing import Landing
    from webhook.model.node import Taint

AUDIT_KEY: Final = "inject-os"


@dataclass(frozen=True, slots=True)
class Told:
    """The operating system that something tells for one container, or for the pod, and why ("…, because `reason`")."""

    os: str
    confidence: Confidence
    reason: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One `add` of RFC 6902; `path` is a JSON pointer with its parts escaped."""

    path: str
    value: Any

    def as_json(self) -> dict[str, Any]:
        return {"op": "add", "path": self.path, "value": self.value}


@dataclass(frozen=True, slots=True)
class Injection:
    """What is added to a pod; `audit` is the value of its audit annotation."""

    os: str
    operations: tuple[Operation, ...]
    audit: str

    def patch(self) -> bytes:
        """The JSONPatch of an admission response, not yet base64."""
        return orjson.dumps([operation.as_json() for operation in self.operations])


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """Nothing is added; `reason` completes the sentence "left alone, because …"."""

    reason: str


def agreed_os(os_name: str, told: Sequence[Told]) -> Told | LeftAlone:
    """The system of a pod: what `spec.os.name` says, else what every image that says anything says.

    All containers of a pod share one kernel, so a single unmistakable image settles it; a mere hint settles nothing,
    but contradicts.
    """
    systems = {one.os for one in told} | ({os_name} if os_name else set())
    if len(systems) > 1:
        return LeftAlone(f"its images and spec.os.name speak of {' and '.join(sorted(systems))}")
    if os_name:
        return Told(os_name, Confidence.CERTAIN, "spec.os.name says so")
    surest = max(told, key=lambda one: one.confidence, default=None)
    if surest is None or surest.confidence < Confidence.LIKELY:
        return LeftAlone("nothing tells its operating system for sure")
    return surest


def inject_os(
    pod: Mapping[str, Any],
    told: Told,
    landing: Landing,
    *,
    daemon: bool = False,
    windows_taints: Sequence[Taint] = (),
) -> Injection | LeftAlone:
    """What to add to a pod that is being created, so that it lands on nodes of its operating system.

    `landing` is that of the same pod. `daemon`: a DaemonSet made it; its node was chosen from the template, so a
    selector could only keep it from that node. `windows_taints`: what a Windows pod is made to tolerate, by policy.
    Raises `Malformed` for what is no pod.
    """
    spec = read_map(pod, "spec", "")
    selector = read_strings(spec, "nodeSelector", "spec")
    if daemon:
        return LeftAlone("its DaemonSet chose the node")
    if landing.pins is not None or read_text(spec, "nodeName", "spec"):
        return LeftAlone("its node is chosen by name")
    for key in (OS_LABEL, BETA_OS_LABEL):
        if key in selector:
            return LeftAlone(f"its nodeSelector has {key}")
    if told.os not in landing.systems:
        return LeftAlone(f"it can't land on {told.os}")
    if landing.systems == {told.os}:
        return LeftAlone(f"it lands on {told.os} only")
    operations = [_selector(spec, told.os)]
    if told.os == WINDOWS:
        operations += _tolerations(spec, windows_taints)
    return Injection(told.os, tuple(operations), f"{OS_LABEL}={told.os}: {told.reason}")


def _selector(spec: Mapping[str, Any], os: str) -> Operation:
    if spec.get("nodeSelector") is None:
        return Operation(pointer("spec", "nodeSelector"), {OS_LABEL: os})
    return Operation(pointer("spec", "nodeSelector", OS_LABEL), os)


def _tolerations(spec: Mapping[str, Any], taints: Sequence[Taint]) -> list[Operation]:
    own = read_tolerations(spec, "spec")
    missing = [
        {"key": taint.key, "operator": "Equal", "value": taint.value, "effect": taint.effect}
        for taint in dict.fromkeys(taints)
        if not any(tolerates(toleration, taint) for toleration in own)
    ]
    if not missing:
        return []
    if spec.get("tolerations") is None:
        return [Operation(pointer("spec", "tolerations"), missing)]
    return [Operation(pointer("spec", "tolerations", "-"), toleration) for toleration in missing]


def pointer(*parts: str) -> str:
    """A JSON pointer (RFC 6901): `~` and `/` inside a part are escaped, in that order."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
