"""What became of every pull secret of a pod for one image: those missing and unread too, which the keyring never sees.

Why: a person who asks why a pull is refused wants one list, of everything at hand, in the order in which the kubelet
tries it. Evidence of findings, `check --trace` and `inspect` all show this list.

Must not: judge. Which of the reasons is the cause is the checks' matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from webhook.model.facts import Known, Unknown
from webhook.model.keyring import explain
from webhook.model.text import printable

if TYPE_CHECKING:
    from webhook.model.facts import PullSecretList

_NAME = 63


@dataclass(frozen=True, slots=True)
class Row:
    """One key of a secret, or a whole secret where `key` is None. `reason` reads as half a sentence."""

    secret: str
    key: str | None
    matched: bool
    reason: str

    def __str__(self) -> str:
        return f"pull secret {printable(self.secret, _NAME)}: {self.reason}"


def rows(listed: PullSecretList, repository: str) -> tuple[Row, ...]:
    """The matching keys in the kubelet's order, then the others in the order of the pod's list."""
    seen = explain(listed.known_secrets(), repository)
    found = [Row(trace.secret.name, trace.key, trace.matched, trace.reason) for trace in seen]
    for ref in listed.refs:
        if isinstance(ref.secret, Unknown):
            found.append(Row(ref.name, None, False, f"unknown, because {printable(ref.secret.reason, 200)}"))  # noqa: FBT003 - the row's columns
        elif ref.secret == Known(None):
            found.append(Row(ref.name, None, False, "there is no secret of that name in the namespace"))  # noqa: FBT003
    return tuple(found)
