"""YAML and JSON text to plain values, as kubectl reads them.

Why not `yaml.load`: kubectl reads YAML 1.1 its own way (`on` is a boolean, `1:30` is a string, keys become strings), a
finding needs the line and column of a value, and the text may come from anybody. So libyaml's events are read one by
one: no tree of nodes is built, no recursion happens, and depth, the number of values and what aliases expand to are
bounded. Positions are not kept (they would cost ten times the text): `yamlplaces` finds
the few that are asked for in a second reading.

Must not: open files, or judge what the values mean.

Source of the rules: sigs.k8s.io/yaml v1.6.0 with go.yaml.in/yaml/v2 (resolve.go, decode.go), which kubectl 1.36 uses;
tests/oracle/yaml asks these packages.
"""

from __future__ import annotations

import binascii
import math
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs leave it out
from yaml.error import MarkedYAMLError, YAMLError
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

from webhook.errors import PullproofError

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUE_LIMIT: Final = 3_000_000
"""Values in one text, aliases expanded."""
DEPTH_LIMIT: Final = 200
SPACE: Final = re.compile(r"\s*")
_NOTED_DUPLICATES: Final = 10


class BadText(PullproofError):
    """A text that can't be read; `offset` is where, in characters, `number` which document, from 1."""

    def __init__(self, offset: int, message: str, *, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.offset = offset
        self.number = 1


@dataclass(frozen=True, slots=True)
class Document:
    """One document: the part of the text `[start, end)` that it can be read from again, without its value.

    `number` counts the documents of the text from 1. `duplicates` are keys that stand twice in one map, with offsets:
    the last one holds.
    """

    number: int
    start: int
    end: int
    duplicates: tuple[tuple[str, int], ...] = ()


# --- documents ------------------------------------------------------------------------------------------------------

_SEPARATOR: Final = re.compile(r"(?:^|(?<=\r))---(?=\s|$)", re.MULTILINE)
_NOTHING: Final = re.compile(r"(?:[ \t]*(?:[#%][^\r\n]*)?(?:\r?\n|\r|\Z))*")
_UNPRINTABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]",
)


def documents(text: str) -> Iterator[tuple[Document, Any] | BadText]:
    """The documents of a text in order, each with its value; one that can't be read comes as its error.

    A text that starts with `{` may also be one JSON value after the other, as kubectl takes it.
    """
    wrong = _UNPRINTABLE.search(text)
    if wrong is not None:
        yield _unprintable(wrong)
        return
    budget = _Budget(VALUE_LIMIT)
    number = 0
    for start, end in _pieces(text):
        for found in _read_piece(text, start, end, budget):
            number += 1
            if isinstance(found, BadText):
                found.number = number
                yield found
                if budget.left <= 0:
                    return
            else:
                first, last, value, duplicates = found
                yield Document(number, first, last, duplicates), value


def _unprintable(wrong: re.Match[str]) -> BadText:
    code = ord(wrong[0])
    if code == 0:
        return BadText(wrong.start(), "a NUL byte: this is no text", fix="name a YAML or JSON file in UTF-8")
    return BadText(wrong.start(), f"the control character U+{code:04X}, which YAML does not allow", fix="remove it")


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """The parts between `---` lines; what is in front of the first one counts only if there is anything in it.

    At the start of a line, `---` separates wherever it stands (YAML 1.1, c-forbidden), so no parser is needed for it.
    """
    start = 0
    for match in _SEPARATOR.finditer(text):
        if match.start() > 0 and (start > 0 or not _is_nothing(text, 0, match.start())):
            yield start, match.start()
        start = match.start()
    if start > 0 or text.startswith("---") or not _is_nothing(text, 0, len(text)):
        yield start, len(text)


def _is_nothing(text: str, start: int, end: int) -> bool:
    """Whether that part holds only comments, directives and blank lines."""
    matched = _NOTHING.match(text, start, end)
    return matched is not None and matched.end() == end


_Found: TypeAlias = tuple[int, int, Any, tuple[tuple[str, int], ...]]


def _read_piece(text: str, start: int, end: int, budget: _Budget) -> Iterator[_Found | BadText]:
    first = SPACE.match(text, start, end)
    if first is not None and text.startswith("{", first.end()):
        values = _json_values(text, first.end(), end, budget)
        if values is not None:
            yield from values
            return
    try:
        yield from _yaml_documents(text, start, end, budget)
    except BadText as bad:
        yield _template(text, bad.offset) or bad


def _json_values(text: str, start: int, end: int, budget: _Budget) -> list[_Found] | None:
    """The JSON values that follow each other there, or None where it is not JSON all through."""
    import json  # noqa: PLC0415 only where there is some

    decode = json.JSONDecoder(parse_constant=_no_constant).raw_decode
    found: list[_Found] = []
    at = start
    try:
        # cheap and never too low: the decoder itself knows no limit
        budget.spend(text.count(",", start, end) + text.count("[", start, end) + text.count("{", start, end), start)
        while at < end:
            value, last = decode(text, at)
            if last > end:
                return None
            found.append((at, last, value, ()))
            space = SPACE.match(text, last, end)
            at = end if space is None else space.end()
    except (ValueError, RecursionError):
        # not JSON (perhaps YAML in braces), digits without end, or too deep: the other reader says which
        return None
    except BadText:
        return None
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


# --- events to values -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Budget:
    """How many values may still be made of one text."""

    left: int

    def spend(self, count: int, offset: int) -> None:
        self.left -= count
        if self.left <= 0:
            raise BadText(
                offset, f"more than {VALUE_LIMIT:,} values, aliases expanded", fix="split the input into smaller files"
            )


@dataclass(frozen=True, slots=True)
class _Anchored:
    """What an anchor names: the value, how many values it expands to, how deep it is."""

    value: Any
    size: int
    depth: int


_OPEN: Final = _Anchored(None, 0, 0)  # an anchor whose value is still being read
_NO_KEY: Final = object()
_MERGE: Final = object()


@dataclass(slots=True)
class _Frame:
    """A list or map that is being read."""

    value: list[Any] | dict[str, Any]
    anchor: str | None
    offset: int
    key: object = _NO_KEY
    merges: list[dict[str, Any]] = field(default_factory=list)
    size: int = 1
    depth: int = 1


def _yaml_documents(text: str, start: int, end: int, budget: _Budget) -> Iterator[_Found]:
    parser: Any = CParser(text[start:end])
    try:
        parser.get_event()  # the start of the stream
        while True:
            event = parser.get_event()
            if type(event) is StreamEndEvent:
                return
            # from the start of its line: the indentation belongs to what it means
            first = start + event.start_mark.index - event.start_mark.column
            reader = _Reader(start, budget)
            value = reader.read(parser)
            yield first, end if reader.end is None else start + reader.end, value, tuple(reader.duplicates)
    except MarkedYAMLError as error:
        raise _bad_yaml(start, error) from None
    except YAMLError:
        raise BadText(start, "this is no YAML") from None


class _Reader:
    """Builds the value of one document from its events."""

    def __init__(self, start: int, budget: _Budget) -> None:
        self.duplicates: list[tuple[str, int]] = []
        self.end: int | None = None
        self._start = start
        self._budget = budget
        self._anchors: dict[str, _Anchored] = {}

    def read(self, parser: Any) -> Any:
        """The value up to the end of the document. Raises BadText, or libyaml's errors."""
        get_event = parser.get_event
        stack: list[_Frame] = []
        while True:
            event = get_event()
            kind = type(event)
            if kind is ScalarEvent:
                value, size, depth = self._scalar(event, stack), 1, 0
                if value is _MERGE:
                    stack[-1].key = _MERGE
                    continue
                if event.anchor is not None:
                    self._anchors[event.anchor] = _Anchored(value, 1, 0)
                self._budget.spend(1, self._at(event))
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                if len(stack) >= DEPTH_LIMIT:
                    raise BadText(self._at(event), f"more than {DEPTH_LIMIT} levels deep")
                if event.anchor is not None:
                    self._anchors[event.anchor] = _OPEN
                stack.append(_Frame({} if kind is MappingStartEvent else [], event.anchor, self._at(event)))
                self._budget.spend(1, self._at(event))
                continue
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                frame = stack.pop()
                value, size, depth = frame.value, frame.size, frame.depth
                if frame.merges and isinstance(value, dict):
                    value = _merged(value, frame.merges)
                if frame.anchor is not None:
                    self._anchors[frame.anchor] = _Anchored(value, size, depth)
            elif kind is AliasEvent:
                value, size, depth = self._alias(event, len(stack))
            else:
                assert kind is DocumentEndEvent  # noqa: S101 libyaml's grammar has no other event here
                if event.explicit:
                    self.end = event.end_mark.index
                return value
            if not stack:
                continue
            self._add(stack[-1], value, size, depth, event)

    def _at(self, event: Any) -> int:
        return self._start + int(event.start_mark.index)

    def _scalar(self, event: Any, stack: list[_Frame]) -> Any:
        is_plain = not event.style and event.tag is None
        if stack and is_plain and event.value == "<<":
            frame = stack[-1]
            if isinstance(frame.value, dict) and frame.key is _NO_KEY:
                return _MERGE
        if is_plain and event.implicit[0]:
            return resolve(event.value)
        return self._tagged(event) if event.tag is not None else event.value

    def _tagged(self, event: Any) -> Any:
        tag, text = event.tag.removeprefix("tag:yaml.org,2002:"), event.value
        if tag in _TYPES:
            value = resolve(text)
            if not isinstance(value, _TYPES[tag]) or (isinstance(value, bool) and tag != "bool"):
                raise BadText(self._at(event), f"`!!{tag}` stands in front of something else")
            return value
        if tag == "binary":
            try:
                return binascii.a2b_base64(text, strict_mode=False).decode("utf-8", "replace")
            except binascii.Error:
                raise BadText(self._at(event), "`!!binary` stands in front of what is no base64") from None
        return text

    def _alias(self, event: Any, level: int) -> tuple[Any, int, int]:
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            raise BadText(self._at(event), f"the alias *{event.anchor[:40]} has no anchor before it")
        if anchored is _OPEN:
            raise BadText(self._at(event), f"the alias *{event.anchor[:40]} stands within its own anchor")
        if level + anchored.depth > DEPTH_LIMIT:
            raise BadText(self._at(event), f"more than {DEPTH_LIMIT} levels deep, aliases expanded")
        self._budget.spend(anchored.size, self._at(event))
        return anchored.value, anchored.size, anchored.depth

    def _add(self, frame: _Frame, value: Any, size: int, depth: int, event: Any) -> None:
        frame.size += size
        frame.depth = max(frame.depth, depth + 1)
        if isinstance(frame.value, list):
            frame.value.append(value)
        elif frame.key is _NO_KEY:
            frame.key = self._key(value, event)
        else:
            key, frame.key = frame.key, _NO_KEY
            if key is _MERGE:
                frame.merges.extend(self._merge_sources(value, event))
                return
            if key in frame.value and len(self.duplicates) < _NOTED_DUPLICATES:
                self.duplicates.append((str(key), self._at(event)))
            frame.value[str(key)] = value

    def _key(self, value: Any, event: Any) -> str:
        """A key as sigs.k8s.io/yaml writes it into JSON."""
        if isinstance(value, str):
            return sys.intern(value)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        raise BadText(self._at(event), f"{'null' if value is None else 'a list or map'} as a key")

    def _merge_sources(self, value: Any, event: Any) -> list[dict[str, Any]]:
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            raise BadText(self._at(event), "`<<` takes a map or a list of maps")
        return sources


def _merged(own: dict[str, Any], sources: list[dict[str, Any]]) -> dict[str, Any]:
    """What is written itself wins over what is merged in, an earlier source over a later one."""
    result: dict[str, Any] = {}
    for source in reversed(sources):
        result.update(source)
    result.update(own)
    return result


# --- scalars --------------------------------------------------------------------------------------------------------

_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "null": type(None),
    "bool": bool,
    "int": int,
    "float": (int, float),
}
_NUMBER_START: Final = frozenset("0123456789+-.")
_INTEGER: Final = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_BETWEEN_DIGITS: Final = re.compile(r"(?<=[0-9])_(?=[0-9])", re.ASCII)
_LONGEST_INTEGER: Final = 80  # more characters than 64 bits need, whatever the base
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


def resolve(text: str) -> Any:
    """What a plain scalar means to kubectl: a string, a number, a boolean or None."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START:
        return text
    plain = _BETWEEN_DIGITS.sub("", text) if text[0] == "." else text.replace("_", "")
    if plain[:3] in {"0b+", "0b-"}:
        plain = f"{plain[2]}0b{plain[3:]}"  # a quirk: the sign may stand behind the prefix
    if text[0] != "." and len(plain) <= _LONGEST_INTEGER and _INTEGER.fullmatch(plain):
        number = _integer(plain)
        if _SMALLEST <= number <= _LARGEST:
            return number
    if _FLOAT.fullmatch(plain):
        value = float(plain)
        return value if math.isfinite(value) else text
    return text


def _integer(text: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-").lower()
    if digits.startswith("0") and len(digits) > 1 and digits[1].isdigit():
        digits = f"0o{digits}"
    return sign * int(digits, 0)


# --- errors ---------------------------------------------------------------------------------------------------------

_TEMPLATE: Final = re.compile(r"\{\{|\{%")


def _bad_yaml(start: int, error: MarkedYAMLError) -> BadText:
    """The error in libyaml's own words."""
    mark = error.problem_mark or error.context_mark
    context = f" {error.context}" if error.context else ""
    return BadText(start + (int(mark.index) if mark is not None else 0), f"{error.problem or 'no YAML'}{context}")


def _template(text: str, offset: int) -> BadText | None:
    """The one cause of unreadable YAML that is common in this field: a chart that nobody rendered."""
    line_start = text.rfind("\n", 0, offset) + 1
    line_end = text.find("\n", offset)
    line = text[line_start : len(text) if line_end < 0 else line_end]
    if not _TEMPLATE.search(line):
        return None
    return BadText(
        offset, "a template that was not rendered", fix="check its output: `helm template … | pullproof check -f -`"
    )
