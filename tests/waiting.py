"""Waiting for what another process does.

Why: an API server, a controller or a kubelet answers in its own time; a sleep is either too short or wasted.

Must not: be a measure of time. The limit only ends a wait that would never end.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def eventually(probe: Callable[[], T], *, seconds: float = 60, interval: float = 0.05) -> T:
    """Call `probe` until it returns something true, and return that.

    After `seconds` an AssertionError shows the last value.
    """
    deadline = time.monotonic() + seconds
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"still {value!r} after {seconds:g} s")
        time.sleep(interval)
    return value
