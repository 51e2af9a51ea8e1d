"""How `check` and `inspect` read in a terminal: like a good compiler, the place first and one thing to do last.

Everything that comes from the input passes `printable`: a name may not move the cursor, fake a line or turn the reading
direction. Colours are ANSI's sixteen, so that they follow the terminal's own palette.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from webhook.model.finding import Confidence
from webhook.model.text import printable
from webhook.report.outcome import LEVELS, counts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.model.place import Place
    from webhook.report.outcome import Outcome, Problem, Remark, Told

_RESET: Final = "\x1b[0m"
_BOLD: Final = "\x1b[1m"
_DIM: Final = "\x1b[2m"
_BLUE: Final = "\x1b[34m"
_GREEN: Final = "\x1b[32m"
_RED: Final = "\x1b[1;31m"
_COLOURS: Final = {
    Confidence.CERTAIN: _RED,
    Confidence.LIKELY: "\x1b[1;33m",
    Confidence.ADVISORY: "\x1b[1;36m",
    Confidence.UNKNOWN: "\x1b[1;35m",
}
_SHOWN_NAME: Final = 100
_SHOWN_SUBJECTS: Final = 3
_NARROWEST: Final = 40
_TAB: Final = "    "
_ELLIPSIS: Final = "…"


class Style:
    """Paints text, or leaves it as it is; `width` is how many columns a line of source may take."""

    def __init__(self, *, colour: bool, width: int) -> None:
        self._colour = colour
        self.width = max(width, _NARROWEST)

    def paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_RESET}" if self._colour and text else text

    def bold(self, text: str) -> str:
        """What the eye should find first."""
        return self.paint(text, _BOLD)

    def bad(self, text: str) -> str:
        """What is wrong for certain."""
        return self.paint(text, _RED)

    def confidence(self, confidence: Confidence) -> str:
        """The word of a confidence in its colour."""
        return self.paint(confidence.word, _COLOURS[confidence])


def render(outcome: Outcome, style: Style) -> Iterator[str]:
    """The findings in the order of the input, then what is unknown, then one line of counts; each part ends a line."""
    unknown: dict[tuple[str, str, str], list[str]] = {}
    for told in outcome.told:
        finding = told.finding
        if finding.confidence is Confidence.UNKNOWN:
            about = str(told.subject) + (f" container {finding.container}" if finding.container else "")
            subjects = unknown.setdefault((finding.code, finding.message, finding.fix), [])
            if about not in subjects:
                subjects.append(about)
        else:
            yield _finding(told, style)
    for (code, message, fix), subjects in unknown.items():
        yield _unknown(code, message, fix, subjects, style)
    yield _summary(outcome, style)


def _finding(told: Told, style: Style) -> str:
    finding, place = told.finding, told.place
    colour = _COLOURS[finding.confidence]
    at = f"{printable(place.file)}:{place.line}:{place.column}" if place.line else printable(place.file)
    where = f"{told.subject}, container {finding.container}" if finding.container else str(told.subject)
    confidence = style.confidence(finding.confidence)
    code = style.paint(f"{finding.code} {finding.name}", _BOLD)
    lines = [f"{style.paint(at + ':', _BOLD)} {confidence} {code}: {printable(finding.message)}"]
    gutter = " " * len(str(place.line))
    if place.line:
        lines += _source(place, gutter, colour, style)
    bar = style.paint(f"{gutter} =", _BLUE)
    if finding.fix:
        lines.append(f"{bar} {style.paint('fix:', _GREEN)} {printable(finding.fix)}")
    lines += [f"{bar} {style.paint('because:', _DIM)} {printable(reason)}" for reason in finding.evidence]
    lines.append(f"{bar} {style.paint('in:', _DIM)} {printable(where, 2 * _SHOWN_NAME)}")
    return "\n".join(lines) + "\n\n"


def _source(place: Place, gutter: str, colour: str, style: Style) -> list[str]:
    """The line and a caret under its wrong part. A line too long for the terminal is shown around that part."""
    line, start, end = place.text, place.column - 1, place.end_column - 1
    # a line may have megabytes: only what could be shown is looked at
    before = _shown(line[max(0, start - style.width) : start])
    part = _shown(line[start : min(end, start + style.width)])
    after = _shown(line[end : end + style.width])
    room = style.width - len(gutter) - len(" | ")
    part = _cut_end(part, room * 2 // 3)
    marked = max(columns(part), 1)  # the end of a line has a caret too
    before = _cut_start(before, max(room - marked - min(columns(after), room // 4), room // 6))
    after = _cut_end(after, room - columns(before) - columns(part))
    bar = style.paint("|", _BLUE)
    carets = " " * columns(before) + style.paint("^" * marked, colour)
    number = style.paint(str(place.line), _BLUE)
    return [f"{gutter} {bar}", f"{number} {bar} {before}{part}{after}".rstrip(), f"{gutter} {bar} {carets}"]


def _shown(text: str) -> str:
    return printable(text.replace("\t", _TAB))


def columns(text: str) -> int:
    """Columns of a terminal that a printable text takes: combining marks none, East Asian wide characters two."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _cut_end(text: str, room: int) -> str:
    if columns(text) <= room:
        return text
    taken = 0
    for index, character in enumerate(text):
        taken += _columns(character)
        if taken > room - 1:
            return text[:index] + _ELLIPSIS
    return text


def _cut_start(text: str, room: int) -> str:
    if columns(text) <= room:
        return text
    return _cut_end(text[::-1], room)[::-1]


def _unknown(code: str, message: str, fix: str, subjects: list[str], style: Style) -> str:
    shown = ", ".join(printable(subject, _SHOWN_NAME) for subject in subjects[:_SHOWN_SUBJECTS])
    more = f" and {len(subjects) - _SHOWN_SUBJECTS} more" if len(subjects) > _SHOWN_SUBJECTS else ""
    word = style.confidence(Confidence.UNKNOWN)
    then = f"; {printable(fix)}" if fix else ""
    return (
        f"{word} {style.paint(code, _BOLD)}: {printable(message)}{then}\n  {style.paint('in:', _DIM)} {shown}{more}\n"
    )


def _summary(outcome: Outcome, style: Style) -> str:
    number = counts(outcome.told)
    parts = [
        style.paint(f"{number[level.word]} {level.word}", _COLOURS[level]) for level in LEVELS if number[level.word]
    ]
    if outcome.ignored:
        parts.append(f"{len(outcome.ignored)} ignored")
    workloads = _plural(len(outcome.judged), "workload")
    files = _plural(len(outcome.problems), "problem")
    broken = f"; {style.paint(f'{files} reading the input', _RED)}" if outcome.problems else ""
    return f"{', '.join(parts) or 'no findings'} in {workloads}{broken}\n"


def _plural(number: int, word: str) -> str:
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def problem(found: Problem, style: Style) -> str:
    """One line: file, document and line of what could not be read."""
    at = printable(found.file) + (f":{found.line}" if found.line else "") + (f":{found.column}" if found.column else "")
    document = f"document {found.document}: " if found.document else ""
    fix = f"; {found.fix}" if found.fix else ""
    return (
        f"{style.paint(at + ':', _BOLD)} {style.paint('unreadable:', _RED)} {document}{printable(found.message)}{fix}\n"
    )


def remark(found: Remark, style: Style) -> str:
    """One line."""
    at = f"{printable(found.file)}:{found.line}" if found.line else printable(found.file)
    return f"{style.paint(at + ':', _BOLD)} note: {printable(found.message)}\n"
