"""Which registry hosts and images this cluster already uses, counted, so that a look-up costs the same for any number.

Evidence only ever speaks for a host: that a host is missing here proves nothing. Globs of pull secrets count where a
whole label is `*`, as in `*.azurecr.io`; rarer forms (`reg*.example`) are not looked up.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST_LABELS: Final = 8


class EvidenceIndex:
    """Text → how many sources name it, and one of them. One thread per source kind writes, any thread reads."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._example: dict[str, str] = {}
        self._lock = threading.Lock()

    def change(self, source: str, old: Iterable[str], new: Iterable[str]) -> None:
        """`source` (`node worker-1`) named `old` until now, and names `new` from now on."""
        before, after = set(old), set(new)
        with self._lock:
            for text in after - before:
                self._counts[text] += 1
                self._example.setdefault(text, source)
            for text in before - after:
                self._counts[text] -= 1
                if self._counts[text] <= 0:
                    del self._counts[text]
                    self._example.pop(text, None)

    def why(self, text: str) -> str | None:
        """One source that names `text`, or None."""
        return self._example.get(text)

    def why_host(self, host: str) -> str | None:
        """One source that names `host` or a glob that covers it, or None."""
        if (found := self._example.get(host)) is not None:
            return found
        return next((found for glob in _globs(host) if (found := self._example.get(glob)) is not None), None)


class Places:
    """Name of a pull secret → the namespaces that have one of that name. One thread per secret type writes."""

    def __init__(self) -> None:
        self._namespaces: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def change(self, name: str, namespace: str, *, there: bool) -> None:
        """A pull secret of that name is, or no longer is, in the namespace."""
        with self._lock:
            known = self._namespaces.get(name, ())
            if there and namespace not in known:
                self._namespaces[name] = (*known, namespace)
            elif not there and namespace in known:
                left = tuple(other for other in known if other != namespace)
                if left:
                    self._namespaces[name] = left
                else:
                    del self._namespaces[name]

    def of(self, name: str) -> tuple[str, ...]:
        """The namespaces that have a pull secret of that name, in the order they came."""
        return self._namespaces.get(name, ())


def _globs(host: str) -> Iterator[str]:
    labels = host.split(".")
    if len(labels) > _MOST_LABELS:
        return
    for stars in itertools.product((False, True), repeat=len(labels)):
        if any(stars):
            yield ".".join("*" if star else label for star, label in zip(stars, labels, strict=True))
