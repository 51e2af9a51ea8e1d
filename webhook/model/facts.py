"""What is known, and what could not be looked up, when a check runs.

A check never does I/O: the caller gathers these values before. `Unknown` carries the reason, so that "could not look"
stays distinguishable from both "fine" and "broken" all the way to the report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

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


def no_host_evidence(_host: str) -> str | None:
    """The `host_evidence` of a place that knows no hosts."""
    return None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything outside the object that a verdict on one workload may rest on.

    `host_evidence(host)` says why this place knows a registry host (`pull secret regcred in team-a`), or None; it must
    answer in constant time, however many hosts there are.
    """

    namespace_labels: Fact[Mapping[str, str]] = NOT_LOOKED
    host_evidence: Callable[[str], str | None] = field(default=no_host_evidence)
