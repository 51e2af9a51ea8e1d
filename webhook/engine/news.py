"""What the owner of a workload should hear of a pod that a controller made for it. Pure.

Why: a warning goes to whoever asked, and of a controller's pod that is the controller. The ReplicaSet's own Event tells
of a denial, where few look; a warning is told nowhere. So both become an Event on what people know by name: the
Deployment, the CronJob, the StatefulSet.

Must not: speak of a pod that no controller made (its maker has read the answer), or of anything in a Secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from webhook.engine.decide import Mercy
from webhook.engine.wording import event_note

if TYPE_CHECKING:
    from webhook.engine.decide import Decision
    from webhook.model.finding import Finding

DENIED: Final = "PullproofDenied"
WARNED: Final = "PullproofWarned"


@dataclass(frozen=True, slots=True)
class Owner:
    """The controller in an object's ownerReferences."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class News:
    """All findings of one code about one pod; the same text about another pod of that owner is the same news."""

    namespace: str
    owner: Owner
    code: str
    reason: str
    note: str


def owner_of(obj: Mapping[str, Any]) -> Owner | None:
    """The one ownerReference with `controller: true`, or None."""
    metadata = obj.get("metadata")
    references = metadata.get("ownerReferences") if isinstance(metadata, Mapping) else None
    for one in references if isinstance(references, list) else ():
        if isinstance(one, Mapping) and one.get("controller") is True:
            texts = [one.get(key) for key in ("apiVersion", "kind", "name", "uid")]
            return Owner(*map(str, texts)) if all(texts) else None
    return None


def news_of(pod: Mapping[str, Any], namespace: str, decision: Decision) -> tuple[News, ...]:
    """One for each code that the pod was denied for, or else warned about."""
    owner = owner_of(pod)
    if owner is None:
        return ()
    reason, told = (DENIED, decision.denied) if decision.denied else (WARNED, decision.warned)
    by_code: dict[str, list[Finding]] = {}
    for finding in told:
        by_code.setdefault(finding.code, []).append(finding)
    spared = "" if decision.mercy is Mercy.NONE else decision.mercy.value
    return tuple(
        News(namespace, owner, code, reason, event_note(found, denied=reason == DENIED, spared=spared))
        for code, found in by_code.items()
    )
