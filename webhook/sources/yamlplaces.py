"""From a JSON path back to the place in the text: what a finding underlines.

A second reading of one document by libyaml's events, which goes only where a wanted path leads; so the first one
(`yamltext`) need not keep a position for every value. Within a scalar, escapes, folded lines and blocks are followed
back, so that a caret stands under the very characters that are wrong.

Must not: fail. What can't be found stands at the nearest value on the way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs leave it out
from yaml.error import YAMLError
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from webhook.sources.yamltext import DEPTH_LIMIT, SPACE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webhook.sources.yamltext import Document

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a value stands: offsets `[start, end)` of the text, `value` and `style` if it is a scalar.

    `exact` is False where the path leads nowhere and this is the nearest value on the way. `named` says that an anchor,
    an alias or a tag is part of what is written, so that the text is more than this value.
    """

    start: int
    end: int
    value: str | None
    style: str | None
    exact: bool
    named: bool


# --- from a path to its place ---------------------------------------------------------------------------------------

_BRACKET: Final = re.compile(r"\.?([^.\[\]]+)|\[([^\]]*)\]")
_SURROGATES: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


def parse_field(text: str) -> Path:
    """The path that a finding's `field` writes: `spec.containers[0].image`, `metadata.labels[pullproof.dev/warn]`."""
    steps: list[str | int] = []
    for name, inner in _BRACKET.findall(text):
        steps.append(name or (int(inner) if inner.isascii() and inner.isdigit() else inner))
    return tuple(steps)


def locate(text: str, document: Document, wanted: Iterable[Path]) -> dict[Path, Spot]:
    """Where these values stand. What can't be found stands at the nearest value on the way, at worst at the start."""
    root: dict[Any, Any] = {}
    paths = list(wanted)
    for path in paths:
        node = root
        for step in path:
            node = node.setdefault(step, {})
    spots: dict[Path, Spot] = {}
    _walk(_readable(text[document.start : document.end]), document.start, root, spots)
    start = SPACE.match(text, document.start, document.end)
    nowhere = Spot(start.end() if start else document.start, document.start, None, None, exact=False, named=False)
    return {path: _nearest(path, spots, nowhere) for path in paths}


def _nearest(path: Path, spots: dict[Path, Spot], nowhere: Spot) -> Spot:
    if path in spots:
        return spots[path]
    for length in range(len(path) - 1, 0, -1):
        spot = spots.get(path[:length])
        if spot is not None:
            return Spot(spot.start, spot.end, spot.value, spot.style, exact=False, named=spot.named)
    return nowhere


def _readable(part: str) -> str:
    """JSON may write a character beyond U+FFFF as two escapes, which YAML does not know: the same length as one."""
    if "\\u" not in part:
        return part
    return _SURROGATES.sub(lambda pair: f"{pair[1]}\\U{_joined(pair[2], pair[3]):08x}  ", part)


def _joined(high: str, low: str) -> int:
    return 0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00)


@dataclass(slots=True)
class _Step:
    """A list or map on the way; `node` holds the wanted paths below it, None where nothing below is wanted."""

    node: dict[Any, Any] | None
    path: Path
    is_map: bool
    index: int = 0
    key: str | int | None = None


def _walk(part: str, offset: int, root: dict[Any, Any], spots: dict[Path, Spot]) -> None:
    parser: Any = CParser(part)
    stack: list[_Step] = []
    try:
        while True:
            event = parser.get_event()
            kind = type(event)
            if kind is ScalarEvent or kind is AliasEvent:
                if stack and stack[-1].is_map and stack[-1].key is None:
                    stack[-1].key = event.value if kind is ScalarEvent else ""
                    continue
                _entered(stack, root, event, offset, spots)
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                if len(stack) >= DEPTH_LIMIT:
                    return
                is_key = bool(stack) and stack[-1].is_map and stack[-1].key is None
                path, node = ((), None) if is_key else _entered(stack, root, event, offset, spots)
                stack.append(_Step(node, path, kind is MappingStartEvent, key=None))
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                stack.pop()
                if stack and stack[-1].is_map and stack[-1].key is None:
                    stack[-1].key = ""  # a list or map as a key: the reader refused it
                elif stack and stack[-1].is_map:
                    stack[-1].key = None
            elif kind is DocumentEndEvent or kind is StreamEndEvent:
                return
    except YAMLError:
        return  # JSON that libyaml does not take (a DEL in a string): what was found up to there has to do


def _entered(
    stack: list[_Step], root: dict[Any, Any], event: Any, offset: int, spots: dict[Path, Spot]
) -> tuple[Path, dict[Any, Any] | None]:
    """Note the place of the value that begins here, if it is on a wanted path; return its path and what is below."""
    if not stack:
        return (), root
    parent = stack[-1]
    step: str | int
    if parent.is_map:
        step = "" if parent.key is None else parent.key
        if not isinstance(event, MappingStartEvent | SequenceStartEvent):
            parent.key = None
    else:
        step = parent.index
        parent.index += 1
    node = None if parent.node is None else parent.node.get(step)
    if node is None:
        return (), None
    path = (*parent.path, step)
    scalar = isinstance(event, ScalarEvent)
    named = not scalar or event.anchor is not None or event.tag is not None
    start, end = offset + event.start_mark.index, offset + event.end_mark.index
    spots[path] = Spot(
        start, end, event.value if scalar else None, (event.style or None) if scalar else None, exact=True, named=named
    )
    return path, node


# --- within a scalar ------------------------------------------------------------------------------------------------

_ESCAPES: Final = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b",
    " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
_ESCAPE_LENGTHS: Final = {"x": 2, "u": 4, "U": 8}


def span_in_text(text: str, spot: Spot, span: tuple[int, int]) -> tuple[int, int] | None:
    """The offsets in the text of characters `span` of a scalar's value, or None where they can't be told."""
    if spot.value is None:
        return None
    places = _places(text[spot.start : spot.end], spot.value, spot.style)
    if places is None or not 0 <= span[0] < span[1] <= len(spot.value):
        return None
    first, last = places[span[0]], places[span[1] - 1]
    return spot.start + first[0], spot.start + last[1]


def _places(raw: str, value: str, style: str | None) -> list[tuple[int, int]] | None:
    """For each character of `value` where it stands in `raw`; None where the two can't be laid side by side."""
    if len(raw) > _LONGEST_SCALAR:
        return None
    at = _content_start(raw, style)
    places: list[tuple[int, int]] = []
    for character in value:
        if style == '"' and raw[at : at + 1] == "\\" and (fold := _FOLD.match(raw, at + 1)):
            at = fold.end()
        elif fold := _FOLD.match(raw, at):
            start, at = at, fold.end()
            if character in {" ", "\n"}:
                places.append((start, start + 1))
                continue
        size = 1
        written: str | None = raw[at : at + 1]
        if style == '"' and written == "\\":
            size = 2 + _ESCAPE_LENGTHS.get(raw[at + 1 : at + 2], 0)
            written = _unescaped(raw[at : at + size])
        elif style == "'" and raw.startswith("''", at):
            size = 2
        if written != character:
            return None
        places.append((at, at + size))
        at += size
    return places


_PROPERTIES: Final = re.compile(r"(?:[&!]\S*\s+)*")
_LONGEST_SCALAR: Final = 10_000
_LINE_END: Final = re.compile(r"[\r\n]")
_FOLD: Final = re.compile(r"[ \t]*(?:\r\n|\n|\r)\s*")


def _content_start(raw: str, style: str | None) -> int:
    if style in {'"', "'"}:
        return raw.find(style) + 1
    if style not in {"|", ">"}:
        properties = _PROPERTIES.match(raw)
        return properties.end() if properties else 0
    header = raw.find("\n") + 1
    space = SPACE.match(raw, header)
    return header if space is None else space.end()


def _unescaped(escape: str) -> str | None:
    kind = escape[1:2]
    if kind in _ESCAPE_LENGTHS:
        digits = escape[2:]
        try:
            return chr(int(digits, 16))
        except (ValueError, OverflowError):
            return None
    return _ESCAPES.get(kind)


def comments_at(text: str, document: Document, offsets: Iterable[int]) -> set[int]:
    """Those of these offsets of a `#` that are not within a value: the comments."""
    left = {offset for offset in offsets if document.start <= offset < document.end}
    if not left:
        return left
    parser: Any = CParser(_readable(text[document.start : document.end]))
    try:
        while True:
            event = parser.get_event()
            kind = type(event)
            if kind is DocumentEndEvent or kind is StreamEndEvent:
                return left
            if kind is ScalarEvent:
                start, end = document.start + event.start_mark.index, document.start + event.end_mark.index
                if event.style in {"|", ">"}:  # a comment may follow the sign of a block
                    line_end = _LINE_END.search(text, start, end)
                    start = line_end.start() if line_end is not None else end
                inside = {offset for offset in left if start <= offset < end}
                left -= inside
    except YAMLError:
        return set()
