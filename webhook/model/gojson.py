r"""Reads JSON as Go's encoding/json does, for content whose fate Go's decoder decides on the node.

Why: a pull secret that Python would refuse may be fine for the kubelet, and the reverse. Here a field may come twice
(both count), nesting may be 10,000 deep, a broken UTF-8 byte or a lone surrogate becomes U+FFFD, and NaN, a byte order
mark or a trailing comma is an error.

Must not: raise. The text holds credentials, and an exception would carry it away (`JSONDecodeError.doc`, tracebacks).

Source: Go 1.26, encoding/json: scanner.go (grammar, depth), decode.go (`unquoteBytes`, field names), fold.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

MAX_DEPTH: Final = 10_000

# Numbers are only told apart from other kinds; their values mean nothing in a pull secret.
NUMBER: Final = 0

Object: TypeAlias = "tuple[tuple[str, Value], ...]"
"""The members in the order they are written, repeated names included."""

Value: TypeAlias = "bool | int | str | list[Value] | Object | None"


@dataclass(frozen=True, slots=True)
class Malformed:
    """No JSON by Go's rules; `problem` says where, and quotes nothing of the text."""

    problem: str


_SPACE: Final = re.compile(r"[ \t\r\n]*+")
_TOKEN: Final = re.compile(
    r'(?P<string>"([^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+)")'
    r"|(?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)"
    r"|(?P<literal>true|false|null)"
    r"|[{}\[\]:,]",
)
_VALUES: Final = frozenset({"string", "number", "literal", "{", "["})
# the grammar: what is expected → which tokens it may be
_ALLOWED: Final = {
    "value": _VALUES,
    "value or end": _VALUES | {"]"},
    "name": frozenset({"string"}),
    "name or end": frozenset({"string", "}"}),
    "colon": frozenset({":"}),
    "after member": frozenset({",", "}"}),
    "after element": frozenset({",", "]"}),
}
_PASSED: Final = {("colon", ":"): "value", ("after member", ","): "name", ("after element", ","): "value"}
_LITERALS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_ESCAPED: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LONE: Final = re.compile("[\ud800-\udfff]")
_KINDS: Final = {bool: "bool", int: "number", str: "string", list: "array", tuple: "object"}


def kind(value: Value) -> str:
    """The word that Go's messages use for a value that is not null: bool, number, string, array or object."""
    return _KINDS[type(value)]


def folded(name: str) -> str:
    """A field name as Go compares it (`AUTHS` is `auths`); exact for names of the letters a to z.

    Besides the capitals, U+017F folds to s and U+212A to k.
    """
    return name.lower() if name.isascii() else name.replace("\u017f", "s").replace("\u212a", "k").lower()


def read(data: bytes) -> Value | Malformed:
    """The one value in `data`; `NUMBER` stands for every number."""
    text = data.decode("utf-8", "surrogateescape")
    if not text.isascii():
        text = _LONE.sub("\ufffd", text)  # one for each byte that is no UTF-8
    items: list[Any] = []  # of the array or object that is open: values, or pairs of name and value
    name = ""
    in_object = False
    outer: list[tuple[list[Any], str, bool]] = []
    expected = "value"
    position = 0
    while True:
        position = _skip_space(text, position)
        token = _TOKEN.match(text, position)
        mark = "" if token is None else token.lastgroup or token[0]
        if token is None or mark not in _ALLOWED[expected]:
            return _malformed(text, position)
        position = token.end()
        if (expected, mark) in _PASSED:
            expected = _PASSED[expected, mark]
            continue
        if expected in ("name", "name or end") and mark == "string":
            name = _unquoted(token[2])
            expected = "colon"
            continue
        if mark in ("{", "["):
            if len(outer) == MAX_DEPTH:
                return Malformed("invalid JSON: nested too deep")
            outer.append((items, name, in_object))
            items, in_object = [], mark == "{"
            expected = "name or end" if in_object else "value or end"
            continue
        value = _scalar(mark, token)
        if mark in ("}", "]"):
            value = tuple(items) if in_object else items
            items, name, in_object = outer.pop()
        if not outer:
            position = _skip_space(text, position)
            return value if position == len(text) else _malformed(text, position)
        items.append((name, value) if in_object else value)
        expected = "after member" if in_object else "after element"


def _scalar(mark: str, token: re.Match[str]) -> Value:
    if mark == "string":
        return _unquoted(token[2])
    return _LITERALS[token[0]] if mark == "literal" else NUMBER


def _skip_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found is not None else position


def _malformed(text: str, position: int) -> Malformed:
    if position == len(text):
        return Malformed("unexpected end of JSON input")
    return Malformed(f"invalid JSON at character {position + 1}")


def _unquoted(body: str) -> str:
    if "\\" not in body:
        return body
    plain = _ESCAPE.sub(_unescaped, body)
    if _LONE.search(plain) is None:
        return plain
    # two escapes may make one character; what stays alone is replaced
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _unescaped(escape: re.Match[str]) -> str:
    digits, letter = escape.groups()
    return chr(int(digits, 16)) if digits is not None else _ESCAPED.get(letter, letter)
