"""Which registry hosts and images this cluster already uses, counted, so that a look-up costs the same for any number.

Evidence only ever speaks for a host: that a host is missing here proves nothing. What nodes hold counts everywhere; a
pull secret counts in its own namespace alone, or one tenant's secret would speak for everybody's typos. Globs count
where a whole label is `*`, as in `*.azurecr.io`; rarer forms (`reg*.example`) are not looked up.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from webhook.model.facts import SecretPlace

_MOST_LABELS: Final = 8
_NEAR_SECRETS: Final = 3
_SPELT_OUT: Final = 2  # labels at the end of a glob that no `*` may stand for, where it is to speak for a host
_NEAR_NAMESPACES: Final = 4  # one of them may be the asker's own


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
        """One source that names `host`, or a glob that covers it and says more than a suffix like `*.io`; or None."""
        texts = (host, *filter(_speaks_for_a_host, _globs(host)))
        return next((found for text in texts if (found := self._example.get(text)) is not None), None)


class Places:
    """Name of a pull secret → the namespaces that have one of that name. One thread per secret type writes."""

    def __init__(self) -> None:
        self._namespaces: dict[str, dict[str, None]] = {}
        self._lock = threading.Lock()

    def change(self, name: str, namespace: str, *, there: bool) -> None:
        """A pull secret of that name is, or no longer is, in the namespace."""
        with self._lock:
            if there:
                self._namespaces.setdefault(name, {})[namespace] = None
            elif name in self._namespaces:
                self._namespaces[name].pop(namespace, None)
                if not self._namespaces[name]:
                    del self._namespaces[name]

    def of(self, name: str) -> tuple[str, ...]:
        """A few of the namespaces that have a pull secret of that name: `default` if it has, then as they came."""
        with self._lock:
            known = self._namespaces.get(name, {})
            ahead = ("default",) if "default" in known else ()
            others = (namespace for namespace in known if namespace not in ahead)
            return tuple(itertools.islice(itertools.chain(ahead, others), _NEAR_NAMESPACES))


class SecretHosts:
    """Host of a pull secret → the secrets for it, by namespace. One thread per secret type writes."""

    def __init__(self) -> None:
        self._places: dict[str, dict[str, tuple[SecretPlace, ...]]] = {}
        self._lock = threading.Lock()

    def change(self, place: SecretPlace, old: Iterable[str], new: Iterable[str]) -> None:
        """The secret at `place` was for the hosts `old` until now, and is for `new` from now on."""
        before, after = set(old), set(new)
        with self._lock:
            for host in after - before:
                namespaces = self._places.setdefault(host, {})
                known = namespaces.get(place.namespace, ())
                if place not in known:
                    namespaces[place.namespace] = (*known, place)
            for host in before - after:
                namespaces = self._places.get(host, {})
                left = tuple(other for other in namespaces.get(place.namespace, ()) if other != place)
                if left:
                    namespaces[place.namespace] = left
                else:
                    namespaces.pop(place.namespace, None)
                if not namespaces:
                    self._places.pop(host, None)

    def of_namespace(self, host: str, namespace: str) -> SecretPlace | None:
        """A secret of that namespace that is for `host`, or for a glob that says more than a suffix like `*.io`."""
        with self._lock:
            for text in (host, *filter(_speaks_for_a_host, _globs(host))):
                if places := self._places.get(text, {}).get(namespace):
                    return places[0]
        return None

    def near(self, host: str, namespace: str) -> tuple[SecretPlace, ...]:
        """A few secrets for `host` or a glob that covers it: those of `namespace`, then one of each of some others."""
        found: list[SecretPlace] = []
        with self._lock:
            namespaces = [known for text in (host, *_globs(host)) if (known := self._places.get(text)) is not None]
            for known in namespaces:
                found += known.get(namespace, ())[:_NEAR_SECRETS]
            for known in namespaces:
                # `default` first: IBM's all-icr-io is there, and a namespace of one's own has a name that says less
                ahead = ("default",) if "default" in known else ()
                names = itertools.chain(ahead, (name for name in known if name not in ahead))
                others = (known[name][0] for name in names if name != namespace)
                found += itertools.islice(others, max(_NEAR_SECRETS - len(found), 0))
        return tuple(found[:_NEAR_SECRETS])


def _speaks_for_a_host(glob: str) -> bool:
    return "*" not in glob.split(".")[-_SPELT_OUT:]


def _globs(host: str) -> Iterator[str]:
    labels = host.split(".")
    if len(labels) > _MOST_LABELS:
        return
    for stars in itertools.product((False, True), repeat=len(labels)):
        if any(stars):
            yield ".".join("*" if star else label for star, label in zip(stars, labels, strict=True))
