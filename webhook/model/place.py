"""Where a value stands in a file: what a finding points at, for every report alike. Pure values, no reading."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Region:
    """The text of one whole scalar; lines and columns count characters from 1, the end is excluded.

    `quote` is how it is written: `"`, `'`, or empty for a plain one. Blocks (`|`, `>`), anchored and
    aliased scalars have no region: they can't be replaced as they stand.
    """

    line: int
    column: int
    end_line: int
    end_column: int
    quote: str


@dataclass(frozen=True, slots=True)
class Place:
    """The wrong part of a file. `column` and `end_column` count characters of `text`, the whole line, from 1.

    `line` is 0 where no line is known. `value` is the region of the whole value, where it could be replaced;
    `first_line` the line on which the value begins: that of the key where a block holds it.
    """

    file: str
    line: int
    column: int
    end_column: int
    text: str
    value: Region | None = None
    first_line: int = 0
