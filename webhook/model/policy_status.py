"""What the status of a policy says: whether it is in force, and what of it does not hold. Pure.

The controller writes it; the webhooks do not read it. A time in it changes only with what it is the time of, so a
status that says the same as before is equal to it, and nothing is written.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from webhook.model.policy_book import NOT_DELEGATED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from webhook.model.policy_book import Conflict
    from webhook.model.policy_spec import PolicyObject

_SHOWN: Final = 8
_MOST: Final = 100


def status_of(
    policy: PolicyObject,
    conflicts: Sequence[Conflict],
    known: Mapping[str, Any],
    *,
    now: int,
    codes: Collection[str],
) -> dict[str, Any]:
    """The whole status; `known` is the present one, `now` in seconds since 1970, `codes` are those of all checks."""
    exemptions = policy.spec.exemptions if policy.spec is not None else ()
    expired = sorted(one.name for one in exemptions if one.expires <= now)
    if policy.spec is None:
        ready = ("False", "Invalid", f"{policy.problem}; what it said before stays in force where it was seen")
    else:
        named = {one.check for one in policy.spec.confidence} | {code for one in exemptions for code in one.checks}
        remarks = [
            f"{what}: {_listed(names)}"
            for what, names in (("expired exemptions", expired), ("no such check", sorted(named - set(codes))))
            if names
        ]
        ready = ("True", "InForce", "; ".join(("in force", *remarks)))
    told = [f"{one.setting}: {_because(one)}" for one in conflicts]
    differs = ("True", "Differs", f"does not hold: {_listed(told)}") if told else ("False", "None", "all of it holds")
    conditions = [
        _condition(kind, found, known, generation=policy.generation, now=now)
        for kind, found in (("Ready", ready), ("Conflicts", differs))
    ]
    return {
        "observedGeneration": policy.generation,
        "conditions": conditions,
        "conflicts": [{"setting": one.setting, "because": _because(one)} for one in conflicts[:_MOST]],
        "expiredExemptions": expired,
    }


def _because(conflict: Conflict) -> str:
    return conflict.winner if conflict.winner == NOT_DELEGATED else f"{conflict.winner} says otherwise"


def _listed(names: Sequence[str]) -> str:
    left = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {left} more" if left > 0 else "")


def _condition(
    kind: str, found: tuple[str, str, str], known: Mapping[str, Any], *, generation: int, now: int
) -> dict[str, Any]:
    """meta/v1 Condition: `lastTransitionTime` is when `status` last changed."""
    status, reason, message = found
    same = (one for one in known.get("conditions") or () if (one.get("type"), one.get("status")) == (kind, status))
    since = next((one.get("lastTransitionTime") for one in same), None)
    return {
        "type": kind,
        "status": status,
        "observedGeneration": generation,
        "lastTransitionTime": since or dt.datetime.fromtimestamp(now, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "reason": reason,
        "message": message,
    }
