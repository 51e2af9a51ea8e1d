"""Remembers what a function of one text gave, for texts of a length that people write.

A request can hold megabytes of image names, and a cache that is bounded in entries alone would keep thousands of them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LONGEST: Final = 512


def remember(entries: int) -> Callable[[Callable[[str], T]], Callable[[str], T]]:
    """A decorator: up to `entries` results are kept, none for a text of more than `LONGEST` characters."""

    def decorate(function: Callable[[str], T]) -> Callable[[str], T]:
        cached = functools.lru_cache(maxsize=entries)(function)

        @functools.wraps(function)
        def call(text: str) -> T:
            return cached(text) if len(text) <= LONGEST else function(text)

        return call

    return decorate
