"""The contract of a check: a code, a name, and a pure function from a subject to findings.

A check module holds exactly one `CHECK = Check(…)` and a docstring with the five headings of `HEADINGS`; that docstring
is its documentation page and what `pullproof explain` prints. A check never does I/O, never looks at a clock and never
asks about policy: it says how sure it is, and the engine decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from webhook.model.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from webhook.model.facts import Facts
    from webhook.model.finding import Confidence, Heals
    from webhook.model.reference import InvalidReference, Reference
    from webhook.model.workload import Container, Workload

HEADINGS: Final = ("What it does", "Why the pull fails", "Example", "Fix", "Limits")


@dataclass(frozen=True, slots=True)
class ImageSubject:
    """One image of one workload; `reference` is what its text says, or why it says nothing."""

    workload: Workload
    container: Container
    reference: Reference | InvalidReference
    facts: Facts


@dataclass(frozen=True, slots=True)
class WorkloadSubject:
    """A whole workload, for what no single image shows."""

    workload: Workload
    images: tuple[ImageSubject, ...]
    facts: Facts


@dataclass(frozen=True, slots=True, eq=False)  # one of a kind: compared by identity
class Check:
    """One check. Exactly one of `per_image` and `per_workload` is set; `confidence` is the highest it may yield.

    `only_if` spares work: where it gives None for an image, `per_image` would find nothing there. It is asked once for
    all checks that name the same function, so a clean image costs a question per area and not one per check.
    """

    code: str
    name: str
    confidence: Confidence
    heals: Heals
    per_image: Callable[[ImageSubject], Iterable[Finding]] | None = None
    per_workload: Callable[[WorkloadSubject], Iterable[Finding]] | None = None
    only_if: Callable[[ImageSubject], object] | None = None

    def __post_init__(self) -> None:
        if (self.per_image is None) == (self.per_workload is None):
            raise TypeError(f"{self.code} needs either per_image or per_workload")

    def found(
        self,
        subject: ImageSubject,
        *,
        message: str,
        fix: str,
        confidence: Confidence | None = None,
        heals: Heals | None = None,
        suggestion: str | None = None,
        evidence: tuple[str, ...] = (),
        span: tuple[int, int] | None = None,
    ) -> Finding:
        """A finding of this check about that image."""
        return Finding(
            code=self.code,
            name=self.name,
            confidence=self.confidence if confidence is None else confidence,
            heals=self.heals if heals is None else heals,
            field=subject.container.field,
            message=message,
            fix=fix,
            suggestion=suggestion,
            evidence=evidence,
            container=subject.container.name or None,
            image=subject.container.image,
            span=span,
        )
