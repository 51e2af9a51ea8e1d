"""What is known of one resource right now: one small value per object, read by every request thread.

Readers never wait: each change swaps in a new mapping and no mapping is changed after readers can see it, so a reader
may keep and iterate what it got. One thread writes (the reflector's). Must not hold anything but what the projection
returned, nor decide whether it is fresh: the reflector knows that.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

T = TypeVar("T")


class Key(NamedTuple):
    """Which object; `namespace` is empty for cluster-scoped resources."""

    namespace: str
    name: str


class Cache(Generic[T]):
    """Values by namespace and name."""

    def __init__(self) -> None:
        self._namespaces: Mapping[str, Mapping[str, T]] = {}

    def get(self, namespace: str, name: str) -> T | None:
        """Return the value of one object, or None; `namespace` is empty for cluster-scoped resources."""
        names = self._namespaces.get(namespace)
        return None if names is None else names.get(name)

    def in_namespace(self, namespace: str) -> Mapping[str, T]:
        """Return name → value of one namespace as of now; later changes don't show in it."""
        return MappingProxyType(self._namespaces.get(namespace, {}))

    def all(self) -> Iterator[tuple[Key, T]]:
        """Yield every object as of now."""
        for namespace, names in self._namespaces.items():
            for name, value in names.items():
                yield Key(namespace, name), value

    def __len__(self) -> int:
        return sum(map(len, self._namespaces.values()))

    def put(self, key: Key, value: T) -> T | None:
        """Set one value; return the one before. For the one writer only."""
        names = self._namespaces.get(key.namespace, {})
        old = names.get(key.name)
        if old is None or old != value:  # a node's heartbeat changes nothing that is kept: no copy for it
            self._namespaces = {**self._namespaces, key.namespace: {**names, key.name: value}}
        return old

    def remove(self, key: Key) -> T | None:
        """Drop one value; return it. For the one writer only."""
        names = self._namespaces.get(key.namespace, {})
        old = names.get(key.name)
        if key.name in names:
            left = {name: value for name, value in names.items() if name != key.name}
            others = {namespace: kept for namespace, kept in self._namespaces.items() if namespace != key.namespace}
            self._namespaces = {**others, key.namespace: left} if left else others
        return old

    def replace(self, fresh: Mapping[str, Mapping[str, T]]) -> Mapping[str, Mapping[str, T]]:
        """Swap in everything at once, namespace → name → value; return what was there. For the one writer only.

        `fresh` belongs to the cache from now on.
        """
        old, self._namespaces = self._namespaces, fresh
        return old
