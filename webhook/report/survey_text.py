"""How a scan reads in a terminal: tables over all of it, then the findings, what fails now first.

Everything that comes from the cluster passes `printable`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook.model.text import printable
from webhook.report.outcome import LEVELS
from webhook.report.survey import by_cause, by_namespace, by_registry, denied_workloads, totals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from webhook.report.survey import Line, Row, Survey
    from webhook.report.text import Style

_SHOWN_LINES: Final = 15
_SHOWN_ROWS: Final = 20
_NAME_WIDTH: Final = 44
_SHOWN_NAME: Final = 100
_DIM: Final = "\x1b[2m"
_GREEN: Final = "\x1b[32m"


def render(survey: Survey, style: Style, *, show_all: bool) -> Iterator[str]:
    """The parts in their order, each ending a line."""
    if survey.rows:
        yield _table("cause", by_cause(survey), style, show_all=show_all)
        yield _table("namespace", by_namespace(survey), style, show_all=show_all)
        yield _table("registry", by_registry(survey), style, show_all=show_all)
        yield from _rows(survey, style, show_all=show_all)
    yield _summary(survey, style)


def _table(title: str, lines: Sequence[Line], style: Style, *, show_all: bool) -> str:
    if not lines:
        return ""
    shown = lines if show_all else lines[:_SHOWN_LINES]
    heads = [*(level.word for level in LEVELS), "workloads", "pods", "failing", "denied"]
    width = min(max(len(title), *(len(printable(line.name)) for line in shown)), _NAME_WIDTH)
    text = [style.bold(f"{title:<{width}}  " + "  ".join(f"{head:>9}" for head in heads))]
    for line in shown:
        numbers = [line.counts[level.word] for level in LEVELS] + [line.workloads, line.pods, line.failing, line.denied]
        cells = [f"{number:>9,}" if number else style.paint(f"{'·':>9}", _DIM) for number in numbers]
        text.append(f"{printable(line.name, width):<{width}}  " + "  ".join(cells))
    if len(lines) > len(shown):
        text.append(style.paint(f"and {len(lines) - len(shown):,} more; --all shows them", _DIM))
    return "\n".join(text) + "\n\n"


def _rows(survey: Survey, style: Style, *, show_all: bool) -> Iterator[str]:
    rows = survey.worst_first()
    shown = rows if show_all else rows[:_SHOWN_ROWS]
    for row in shown:
        yield _row(row, style)
    if len(rows) > len(shown):
        left = f"and {len(rows) - len(shown):,} findings more"
        yield f"{left}: --all shows them here, -o html > report.html in a page\n\n"


def _row(row: Row, style: Style) -> str:
    finding = row.finding
    where = printable(str(row.subject), 2 * _SHOWN_NAME) + (
        f", container {printable(finding.container, _SHOWN_NAME)}" if finding.container else ""
    )
    head = f"{style.confidence(finding.confidence)} {style.bold(f'{finding.code} {finding.name}')}"
    lines = [f"{style.bold(where)}: {head}: {printable(finding.message)}"]
    state = _state(row)
    if finding.image:
        lines.append(f"  {style.paint('image:', _DIM)} {printable(finding.image)}")
    if finding.fix:
        lines.append(f"  {style.paint('fix:', _GREEN)}   {printable(finding.fix)}")
    if row.seen:
        lines.append(f"  {style.paint('saw:', _DIM)}   {printable(row.seen)}")
    if state:
        lines.append(f"  {style.paint('now:', _DIM)}   {state}")
    return "\n".join(lines) + "\n\n"


def _state(row: Row) -> str:
    parts = []
    if row.pods:
        parts.append(_plural(row.pods, "pod"))
    if row.failing:
        parts.append(f"{row.failing:,} waiting for the image")
    if row.would_be_denied:
        parts.append("would be denied at its next re-creation")
    return ", ".join(parts)


def _summary(survey: Survey, style: Style) -> str:
    number = totals(survey)
    found = ", ".join(f"{number[level.word]:,} {level.word}" for level in LEVELS if number[level.word])
    denied = len(denied_workloads(survey))
    of = ", ".join(
        (_plural(len(survey.workloads), "workload"), _plural(survey.pods, "pod"), _plural(survey.images, "image"))
    )
    where = f"{printable(survey.scope, _SHOWN_NAME)} of {printable(survey.server, _SHOWN_NAME)}"
    lines = [f"{style.bold(found or 'no findings')} in {of} ({where}, {survey.seconds:g} s)"]
    if survey.failing_pods:
        lines.append(
            f"{_plural(survey.failing_pods, 'pod')} waiting for an image now: `pullproof diagnose -A` says why"
        )
    if denied:
        pods = f", {_plural(survey.denied_pods, 'pod')} among them" if survey.denied_pods else ""
        lines.append(f"{_plural(denied, 'workload')} would be denied at the next re-creation{pods}")
    return "\n".join(lines) + "\n"


def _plural(number: int, word: str) -> str:
    return f"{number:,} {word}" + ("" if number == 1 else "s")
