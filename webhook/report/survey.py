"""What a scan of a cluster found, as one value that every output format is made from.

A finding is told once for each workload, with the number of pods that have it: ten replicas are one thing to mend. Pure
values, the order they stand in, and the tables over them; how they look is the formats' matter.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webhook.model.place import Place
from webhook.report.outcome import LEVELS, Judged, Outcome, Told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from webhook.model.finding import Finding
    from webhook.report.outcome import Subject


@dataclass(frozen=True, slots=True)
class Row:
    """One finding about one workload.

    registry: the domain of the image, empty where the finding is about no image or one that is no reference.
    pods: those that have it now, 0 where only the template shows it; failing: those of them that wait for the image
    now, and `seen` what the kubelet said of one. denied: the pods that would be denied when they are made again;
    denied_template: the object itself would be, if it were made anew.
    """

    finding: Finding
    subject: Subject
    registry: str = ""
    pods: int = 0
    failing: int = 0
    denied: int = 0
    denied_template: bool = False
    seen: str = ""

    @property
    def would_be_denied(self) -> bool:
        return self.denied > 0 or self.denied_template


@dataclass(frozen=True, slots=True)
class Survey:
    """A whole scan. `server` and `scope` say of what, `at` when (RFC 3339); `notes` what could not be looked at."""

    rows: tuple[Row, ...]
    workloads: tuple[Subject, ...]
    pods: int
    images: int
    denied_pods: int = 0
    failing_pods: int = 0
    server: str = ""
    scope: str = "all namespaces"
    at: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def worst_first(self) -> list[Row]:
        """What fails now, then what would be denied, then the surest; unknowns come last."""
        return sorted(
            self.rows,
            key=lambda row: (
                row.failing == 0,
                not row.would_be_denied,
                -row.finding.confidence,
                -row.pods,
                row.subject.namespace,
                row.subject.name,
                row.finding.code,
            ),
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: findings by confidence (all four are there), workloads, pods, and how many fail now."""

    name: str
    counts: dict[str, int]
    workloads: int
    pods: int
    failing: int
    denied: int


@dataclass(slots=True)
class _Sum:
    """Pods are counted per workload: a pod with three findings is one pod."""

    counts: Counter[str] = field(default_factory=Counter)
    pods: Counter[Subject] = field(default_factory=Counter)
    failing: Counter[Subject] = field(default_factory=Counter)
    denied: set[Subject] = field(default_factory=set)


def by_cause(survey: Survey) -> list[Line]:
    """A line for each code, the worst first."""
    return _table(survey.rows, lambda row: f"{row.finding.code} {row.finding.name}")


def by_namespace(survey: Survey) -> list[Line]:
    return _table(survey.rows, lambda row: row.subject.namespace)


def by_registry(survey: Survey) -> list[Line]:
    """A line for each registry that a finding is about."""
    return _table((row for row in survey.rows if row.registry), lambda row: row.registry)


def _table(rows: Iterable[Row], name: Callable[[Row], str]) -> list[Line]:
    sums: dict[str, _Sum] = {}
    for row in rows:
        one = sums.setdefault(name(row), _Sum())
        one.counts[row.finding.confidence.word] += 1
        one.pods[row.subject] = max(one.pods[row.subject], row.pods)
        one.failing[row.subject] = max(one.failing[row.subject], row.failing)
        if row.would_be_denied:
            one.denied.add(row.subject)
    lines = [
        Line(
            label,
            {level.word: one.counts[level.word] for level in LEVELS},
            len(one.pods),
            one.pods.total(),
            one.failing.total(),
            len(one.denied),
        )
        for label, one in sums.items()
    ]
    return sorted(
        lines,
        key=lambda line: (-line.failing, *(-line.counts[level.word] for level in LEVELS), line.name),
    )


def totals(survey: Survey) -> dict[str, int]:
    """The number of findings of each confidence, by its word; all four are there."""
    counted = Counter(row.finding.confidence.word for row in survey.rows)
    return {level.word: counted[level.word] for level in LEVELS}


def denied_workloads(survey: Survey) -> Sequence[Subject]:
    """The workloads of which something would be denied, each once."""
    return tuple(dict.fromkeys(row.subject for row in survey.worst_first() if row.would_be_denied))


def outcome(survey: Survey) -> Outcome:
    """The same as `check` has it, for the formats that know findings and places: the place is the object's name."""
    told = [Told(row.finding, Place(_file(row.subject), 0, 0, 0, ""), row.subject) for row in survey.worst_first()]
    return Outcome(
        told=tuple(told),
        judged=tuple(Judged(subject, _file(subject), ()) for subject in survey.workloads),
    )


def _file(subject: Subject) -> str:
    """Where an object is, as formats for files want it: `namespaces/shop/deployment/web`."""
    return f"namespaces/{subject.namespace}/{subject.kind.lower()}/{subject.name}"
