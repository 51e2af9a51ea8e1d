"""What a detector hands back, and how a message quotes the text: shared by all detectors, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from webhook.model.text import printable

if TYPE_CHECKING:
    from webhook.model.reference import Fault

_SHOWN: Final = 28  # characters of the text that a message quotes at most: a warning has 120 for everything


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `start` and `end` are offsets; `mended` is the text without it, where that is certain.

    `mended` may hold further mistakes: it is looked at again.
    """

    fault: Fault
    start: int
    end: int
    message: str
    fix: str
    mended: str | None = None


def quoted(text: str) -> str:
    return f"`{printable(text, _SHOWN)}`"
