"""A scan as a table for spreadsheets: one line for each finding of each workload, RFC 4180.

A spreadsheet runs a cell that begins with `=` as a formula, and names come from whoever wrote a manifest: such a cell
gets an apostrophe before it (OWASP, "CSV Injection").
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.report.survey import Survey

COLUMNS: Final = (
    "confidence",
    "code",
    "name",
    "namespace",
    "kind",
    "workload",
    "container",
    "image",
    "registry",
    "pods",
    "failing_pods",
    "would_be_denied",
    "message",
    "fix",
    "field",
    "seen",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def render(survey: Survey) -> Iterator[str]:
    """The lines, each with its line end; the first has the names of the columns."""
    yield _line(COLUMNS)
    for row in survey.worst_first():
        finding, subject = row.finding, row.subject
        yield _line(
            (
                finding.confidence.word,
                finding.code,
                finding.name,
                subject.namespace,
                subject.kind,
                subject.name,
                finding.container or "",
                finding.image or "",
                row.registry,
                str(row.pods),
                str(row.failing),
                "yes" if row.would_be_denied else "no",
                finding.message,
                finding.fix,
                finding.field,
                row.seen,
            )
        )


def _line(cells: tuple[str, ...]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow(map(_cell, cells))
    return written.getvalue()


def _cell(text: str) -> str:
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
