"""One copy of what many objects say alike: a thousand pull secrets for one registry, five hundred nodes with one image.

Why: JSON makes a new text of each, and a big cluster repeats itself. Must not: hold more than it was told to, or what
the caches may not keep.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Equal values as one object, among the last `most` different ones. Any thread may ask; values are hashable."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[T, T] = {}

    def of(self, value: T) -> T:
        """`value`, or the equal one that came before it."""
        if len(self._seen) >= self._most:
            self._seen.clear()  # what is met often comes back at once
        return self._seen.setdefault(value, value)
