"""What a run of `pullproof check` has to tell, as one value that every output format is made from.

Pure values and the order they stand in; how they look is the formats' matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from webhook.model.finding import Confidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from webhook.model.finding import Finding
    from webhook.model.place import Place


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that findings are about."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        name = self.name or "(no name)"
        return f"{self.kind} {self.namespace}/{name}" if self.namespace else f"{self.kind} {name}"


@dataclass(frozen=True, slots=True)
class Told:
    """One finding, where it is and in what."""

    finding: Finding
    place: Place
    subject: Subject


@dataclass(frozen=True, slots=True)
class Ignored:
    """A finding that a comment in the file takes back, with the comment's reason."""

    told: Told
    reason: str


@dataclass(frozen=True, slots=True)
class TracedContainer:
    """One image of a workload; `more` holds further keys of its entry in the JSON trace."""

    name: str
    image: str
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judged:
    """One workload that was looked at, with or without findings."""

    subject: Subject
    file: str
    containers: tuple[TracedContainer, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """Input that could not be read. `document` and `line` count from 1, 0 where none is known."""

    file: str
    document: int
    line: int
    column: int
    message: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something worth telling beside the findings; `line` is 0 where none is known."""

    file: str
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """All of it. `told` and `judged` are in the order of the input, unknown findings among the first."""

    told: tuple[Told, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    judged: tuple[Judged, ...] = ()
    problems: tuple[Problem, ...] = ()
    remarks: tuple[Remark, ...] = ()

    def surest_first(self) -> list[Told]:
        """The findings by confidence, the surest first, otherwise in the order of the input."""
        return sorted(self.told, key=lambda told: -told.finding.confidence)


LEVELS = (Confidence.CERTAIN, Confidence.LIKELY, Confidence.ADVISORY, Confidence.UNKNOWN)


def counts(told: Iterable[Told]) -> dict[str, int]:
    """The number of findings of each confidence, by its word; all four are there."""
    found = {confidence.word: 0 for confidence in LEVELS}
    for one in told:
        found[one.finding.confidence.word] += 1
    return found
