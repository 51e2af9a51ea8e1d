"""The value that every file of remedies yields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing to do: `text` says what and why, `commands` do it, ready to paste. `<…>` is for the reader."""

    text: str
    commands: tuple[str, ...] = ()
