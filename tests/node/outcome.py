"""What a kubelet did about each image of a pod, read from the pod's status and its Events.

Two tries count, as the first alone may be an accident. Must not: interpret a message (webhook/diagnosis does), or wait.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TRIES = 2
_STATUSES = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
_PLACES = ("spec.initContainers", "spec.containers", "spec.ephemeralContainers")
_NOT_YET = {"ContainerCreating", "PodInitializing"}


class Kind(enum.StrEnum):
    """What became of an image. REJECTED: by the kubelet at admission. UNTRIED: an image before it kept the pod back."""

    PULLED = "pulled"
    PRESENT = "present"
    FAILED = "failed"
    REJECTED = "rejected"
    UNSCHEDULED = "unscheduled"
    UNTRIED = "untried"


@dataclass(frozen=True)
class Outcome:
    """Of one image; `reason` and `message` as the API shows them."""

    kind: Kind
    reason: str = ""
    message: str = ""


def outcomes(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> dict[str, Outcome] | None:
    """By container (and by volume, for images in volumes), or None as long as one is undecided."""
    status = pod["status"]
    names = list(_names(pod["spec"]))
    if status.get("phase") == "Failed" and status.get("reason"):
        rejected = Outcome(Kind.REJECTED, status["reason"], status.get("message", ""))
        return dict.fromkeys(names, rejected)
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return dict.fromkeys(names, Outcome(Kind.UNSCHEDULED, "Unschedulable", condition.get("message", "")))
    found: dict[str, Outcome] = {}
    kept_back = False
    for place, key in zip(_PLACES, _STATUSES, strict=True):
        for container in status.get(key, []):
            told = _of_container(events, f"{place}{{{container['name']}}}")
            outcome = _container(container, told, ephemeral=place == "spec.ephemeralContainers")
            if outcome is not None:
                found[container["name"]] = outcome
                kept_back |= key == "initContainerStatuses" and outcome.kind is Kind.FAILED
    if kept_back:
        return {name: found.get(name, Outcome(Kind.UNTRIED)) for name in names}
    _volumes(pod["spec"], found, events)
    return found if all(name in found for name in names) else None


def _names(spec: Mapping[str, Any]) -> Iterator[str]:
    for place in _PLACES:
        for container in spec.get(place.removeprefix("spec."), []):
            yield container["name"]
    for volume in spec.get("volumes", []):
        if "image" in volume:
            yield volume["name"]


def _container(status: Mapping[str, Any], events: Sequence[Mapping[str, Any]], *, ephemeral: bool) -> Outcome | None:
    state = status.get("state", {})
    if "running" in state or "terminated" in state:
        said = [event.get("message", "") for event in events if event.get("reason") == "Pulled"]
        present = any("already present" in text for text in said) and not any("Successfully" in text for text in said)
        return Outcome(Kind.PRESENT if present else Kind.PULLED)
    waiting = state.get("waiting", {})
    if waiting.get("reason", "") in _NOT_YET | {""}:
        return None
    # the kubelet writes no Events about ephemeral containers, so their tries can't be counted (1.36)
    if _tries(events) < TRIES and not (ephemeral and waiting["reason"] != "ErrImagePull"):
        return None
    return Outcome(Kind.FAILED, waiting["reason"], waiting.get("message", ""))


def _tries(events: Sequence[Mapping[str, Any]]) -> int:
    """How often a container did not start: `Error: ErrImagePull` and the like, but not the waits between two tries."""
    return sum(
        event.get("count") or 1
        for event in events
        if event.get("reason") == "Failed"
        and event.get("message", "").startswith("Error: ")
        and event.get("message") != "Error: ImagePullBackOff"
    )


def _of_container(events: Sequence[Mapping[str, Any]], path: str) -> list[Mapping[str, Any]]:
    return [event for event in events if event["involvedObject"].get("fieldPath") == path]


def _volumes(spec: Mapping[str, Any], found: dict[str, Outcome], events: Sequence[Mapping[str, Any]]) -> None:
    """The kubelet shows a volume's image at the container that mounts it, and pulls it before that container's own."""
    for volume in spec.get("volumes", []):
        if "image" not in volume:
            continue
        image = volume["image"]["reference"]
        for container in spec["containers"]:
            mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
            if volume["name"] not in mounts or container["name"] not in found:
                continue
            outcome = found[container["name"]]
            if outcome.kind is not Kind.FAILED:
                pulled = any(f'Successfully pulled image "{image}"' in event.get("message", "") for event in events)
                found[volume["name"]] = Outcome(Kind.PULLED if pulled else Kind.PRESENT)
            elif image in outcome.message:
                found[volume["name"]] = outcome
                found[container["name"]] = Outcome(Kind.UNTRIED)
            else:
                found[volume["name"]] = Outcome(Kind.UNTRIED)
