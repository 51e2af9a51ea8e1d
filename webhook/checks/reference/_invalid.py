"""What the checks of invalid references share: the parser already knows the fault, the place and what to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook.model.reference import InvalidReference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import Check, ImageSubject
    from webhook.model.finding import Finding
    from webhook.model.reference import Fault

_WORTH_WRITING_OUT: Final = 80


def reason(subject: ImageSubject) -> InvalidReference | None:
    """Why the image's text is no reference, or None where it is one."""
    return subject.reference if isinstance(subject.reference, InvalidReference) else None


def findings(check: Check, subject: ImageSubject, faults: frozenset[Fault]) -> Iterator[Finding]:
    """The finding of `check` where the image's text is no reference because of one of `faults`."""
    invalid = reason(subject)
    if invalid is not None and invalid.fault in faults:
        suggestion = invalid.suggestion
        yield check.found(
            subject,
            message=f"{invalid.message} (character {invalid.column})",
            fix=f"use `{suggestion}`" if suggestion and len(suggestion) <= _WORTH_WRITING_OUT else invalid.fix,
            suggestion=suggestion,
            span=invalid.span,
        )
