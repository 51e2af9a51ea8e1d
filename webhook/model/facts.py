"""What is known, and what could not be looked up, when a check runs.

A check never does I/O: the caller gathers these values before. `Unknown` carries the reason, so that "could not look"
stays distinguishable from both "fine" and "broken" all the way to the report.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from webhook.model.policy import ClusterPolicy, of_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.model.policy import Policy

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Known(Generic[T_co]):
    value: T_co


@dataclass(frozen=True, slots=True)
class Unknown:
    """Could not look; `reason` completes the sentence "unknown, because …"."""

    reason: str


Fact: TypeAlias = Known[T_co] | Unknown

NOT_LOOKED = Unknown("not looked up")
Evidence: TypeAlias = Callable[[str], str | None]


def no_evidence(_text: str) -> str | None:
    """The evidence of a place that knows nothing."""
    return None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything outside the object that a verdict on one workload may rest on.

    `policy` is what holds in its namespace. `host_evidence(host)` says why this place knows a registry host (`pull
    secret regcred in team-a`), or None; `image_evidence(reference)` says which node already has an image (canonical
    form). Both answer in constant time, however many hosts and images there are; absence proves nothing.
    """

    policy: Policy = field(default_factory=lambda: of_labels({}, ClusterPolicy()))
    namespace_labels: Fact[Mapping[str, str]] = NOT_LOOKED
    host_evidence: Evidence = no_evidence
    image_evidence: Evidence = no_evidence
