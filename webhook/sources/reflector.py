"""One list + watch over one resource, kept as small values in a cache: what is true in the cluster, a moment later.

Why not the client library's watch or informer: they keep whole objects and typed models (a Secret's content must not
stay in memory), relist in one piece, and trust a silent socket. Here each event is parsed, projected and dropped, and
every wait has a limit on our side, so a dead connection is noticed by its silence.

A watch is gone on with, from the last version seen, only after an orderly end. After anything else a new list replaces
the cache in one swap, which also drops what was deleted meanwhile. That is a list more than client-go would ask for
after a broken connection, and the reason is etcd restored from a backup: it takes our version for a future one, and
such a watch is accepted and stays silent, without any error (seen with 1.36.3).

How a fault shows: the cache keeps its last state, `last_error` says what is wrong, and `last_heard` grows old. Must not
give up, and must not call fresh what the API server has not confirmed.

Protocol: Kubernetes API concepts, "Efficient detection of changes", "Streaming lists" and "Watch bookmarks" (v1.36).
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import orjson

from webhook.sources.cache import Cache, Key
from webhook.sources.errors import (
    ApiError,
    BusyError,
    ForbiddenError,
    GarbledError,
    NotFoundError,
    RefusedError,
    TimedOutError,
    UnavailableError,
    from_status,
)
from webhook.sources.listing import list_pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from webhook.sources.connection import Connection, Stream

T = TypeVar("T")

_log = logging.getLogger(__name__)

_Event = tuple[str, dict[str, Any], dict[str, Any]]  # type, object, the object's metadata

_INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True)
class Timings:
    """All waits of a reflector, in seconds.

    A watch is asked to end after about `watch` seconds: where nothing changes, that orderly end is all one hears (an
    API server sends no bookmark while its version stands still). `grace` later the connection counts as dead. So
    whoever is not cut off hears something within 1.1 times `watch`, which has to stay below the age at which facts are
    called stale (60 s). `listing` is the longest silence of a streaming list and the longest time for a page;
    `streaming_list` bounds a whole streaming list.
    """

    watch: float = 40.0
    grace: float = 10.0
    listing: float = 30.0
    streaming_list: float = 300.0
    backoff: float = 0.5
    backoff_longest: float = 10.0
    retry_after_longest: float = 30.0
    short_watch: float = 1.0


@dataclass(frozen=True, slots=True)
class ReflectorState:
    """How one reflector is doing, for readiness, metrics and logs.

    `stale_seconds` is infinite before the first sync; `unreadable` counts objects that the projection failed on;
    `lists` and `watches` count what was begun.
    """

    name: str
    synced: bool
    objects: int
    unreadable: int
    stale_seconds: float
    last_error: str | None
    lists: int
    watches: int


class Reflector(Generic[T]):
    """Keeps `cache` equal to the collection at `path`, from `start` to `stop`.

    `project` turns one object (apiVersion and kind included) into what is kept, or None to leave it out; it must be
    pure and should not raise (an object it fails on is left out, logged by name and counted). `on_change(key, old,
    new)` is called on the reflector's thread after the cache has changed; None stands for "not there".
    `on_failure(error)` is called there each time that the API server did not do what it was asked. `page` is the size
    of a page where the API server offers no streaming list.
    """

    def __init__(
        self,
        connection: Connection,
        path: str,
        project: Callable[[dict[str, Any]], T | None],
        *,
        name: str = "",
        field_selector: str = "",
        label_selector: str = "",
        page: int = 500,
        on_change: Callable[[Key, T | None, T | None], None] | None = None,
        on_failure: Callable[[ApiError], None] | None = None,
        timings: Timings = Timings(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name or path.rsplit("/", 1)[-1]
        self.cache: Cache[T] = Cache()
        self.synced = threading.Event()
        self.last_error: str | None = None
        self.refused = False
        """Whether the API server's last word was that there is no such collection, or no right to read it."""
        self.last_heard: float | None = None
        self._connection = connection
        self._path = path
        self._project = project
        self._page = page
        self._on_change = on_change
        self._on_failure = on_failure
        self._timings = timings
        self._clock = clock
        selectors = {"fieldSelector": field_selector, "labelSelector": label_selector}
        self._selectors = {name: value for name, value in selectors.items() if value}
        self._version = ""  # watch from here; empty: list first
        self._failures = 0  # in a row, for the backoff
        self._unreadable: set[Key] = set()
        self._lists = 0
        self._watches = 0
        self._stopping = threading.Event()
        self._stream: Stream | None = None
        self._stream_lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start following, on a daemon thread. In a server that forks: after the fork."""
        if self._thread is not None:
            raise RuntimeError(f"reflector {self.name} was started before")
        self._thread = threading.Thread(target=self._run, name=f"reflector-{self.name}", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float = 2.0) -> bool:
        """End following; the cache stays as it is. Returns whether the thread has ended.

        A thread that still waits for the first byte of an answer ends at that request's own limit.
        """
        self._stopping.set()
        with self._stream_lock:
            if self._stream is not None:
                self._stream.stop()
        if self._thread is None:
            return True
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def stale_seconds(self, now: float) -> float:
        """Return for how long nothing has confirmed the cache; infinite before the first sync."""
        heard = self.last_heard
        return math.inf if heard is None else max(0.0, now - heard)

    def state(self) -> ReflectorState:
        return ReflectorState(
            name=self.name,
            synced=self.synced.is_set(),
            objects=len(self.cache),
            unreadable=len(self._unreadable),
            stale_seconds=self.stale_seconds(self._clock()),
            last_error=self.last_error,
            lists=self._lists,
            watches=self._watches,
        )

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._version:
                    self._watch()
                else:
                    self._list()
            except ApiError as error:
                if not isinstance(error, BusyError):
                    self._version = ""
                self.refused = isinstance(error, NotFoundError | ForbiddenError)
                if self._on_failure is not None:
                    self._on_failure(error)
                self._failed(str(error), error.retry_after_seconds or 0.0)
            except Exception as error:  # noqa: BLE001 the thread has to outlive any defect: a cache nobody feeds is worse
                self._version = ""
                self._failed(f"{self.name}: {_defect(error)}", 0.0)

    def _failed(self, text: str, retry_after_seconds: float) -> None:
        if self._stopping.is_set():
            return
        if text != self.last_error:
            _log.warning("%s", text)
        self.last_error = text
        longest = min(self._timings.backoff * 2**self._failures, self._timings.backoff_longest)
        self._failures = min(self._failures + 1, 32)
        # Half of it at random: the replicas were cut off in the same moment and must not come back in the same one.
        pause = longest * random.uniform(0.5, 1.0)  # noqa: S311 not for secrecy
        self._stopping.wait(max(pause, min(retry_after_seconds, self._timings.retry_after_longest)))

    def _confirmed(self) -> None:
        self.last_heard = self._clock()
        self.refused = False
        if self.last_error is not None and self._version:
            _log.info("%s: following again", self.name)
            self.last_error = None

    # list

    def _list(self) -> None:
        fresh: dict[str, dict[str, T]] = {}
        self._lists += 1
        try:
            version = self._list_streaming(fresh)
        except (RefusedError, TimedOutError):
            version = ""
        if not version and not self._stopping.is_set():  # not offered, or taken for a plain watch: small pages
            fresh.clear()
            version = self._list_paged(fresh)
        if self._stopping.is_set():
            return
        old = self.cache.replace(fresh)
        self.last_heard = self._clock()
        self._version = version
        if self._on_change is not None:
            for key, before, after in _differences(old, fresh):
                self._tell(key, before, after)
        self.synced.set()  # not before: what is built from the changes is a part of what readiness promises
        _log.info("%s: listed, %d objects", self.name, len(self.cache))

    def _list_streaming(self, fresh: dict[str, dict[str, T]]) -> str:
        """Fill `fresh` from a watch that begins with all objects; return the version, or "" if no end was marked."""
        query = {
            "sendInitialEvents": "true",
            "resourceVersionMatch": "NotOlderThan",
            "timeoutSeconds": str(math.ceil(self._timings.streaming_list)),
        }
        self._unreadable.clear()
        with self._events(query, self._timings.listing) as events:
            for kind, item, metadata in events:
                if kind == "BOOKMARK":
                    annotations = metadata.get("annotations")
                    if isinstance(annotations, dict) and annotations.get(_INITIAL_EVENTS_END) == "true":
                        # Not gone on with as the watch: its time limit is the list's, too long to notice silence by.
                        return str(metadata.get("resourceVersion") or "")
                else:
                    self._collect(fresh, kind, item, metadata)
        return ""

    def _list_paged(self, fresh: dict[str, dict[str, T]]) -> str:
        version = ""
        self._unreadable.clear()
        pages = list_pages(
            self._connection, self._path, query=self._selectors, page=self._page, timeout_seconds=self._timings.listing
        )
        for page in pages:
            if self._stopping.is_set():
                return ""
            for item in page.items:
                metadata = item.get("metadata")
                self._collect(fresh, "ADDED", item, metadata if isinstance(metadata, dict) else {})
            version = page.resource_version
        if not version:
            raise GarbledError(f"the API server's list of {self._path} has no resourceVersion")
        return version

    def _collect(
        self, fresh: dict[str, dict[str, T]], kind: str, item: dict[str, Any], metadata: dict[str, Any]
    ) -> None:
        key = _key(metadata)
        value = self._value(kind, key, item)
        if value is not None:
            old = self.cache.get(key.namespace, key.name)
            # what is unchanged is kept once, although the old list and the new one are both there for a while
            fresh.setdefault(key.namespace, {})[key.name] = value if old is None or old != value else old
        elif key.name in fresh.get(key.namespace, {}):
            del fresh[key.namespace][key.name]

    # watch

    def _watch(self) -> None:
        seconds = max(1, round(self._timings.watch * random.uniform(0.8, 1.1)))  # noqa: S311 not for secrecy
        query = {"resourceVersion": self._version, "timeoutSeconds": str(seconds)}
        began, heard = self._clock(), False
        with self._events(query, seconds + self._timings.grace) as events:
            self._watches += 1
            self._confirmed()  # a version that is too old is refused, or answered with an ERROR event at once
            for kind, item, metadata in events:
                if kind != "BOOKMARK":
                    self._apply(kind, item, metadata)
                self._version = str(metadata.get("resourceVersion") or self._version)
                self._failures, heard = 0, True
                self._confirmed()
        if self._stopping.is_set():
            return
        if not heard and self._clock() - began < min(self._timings.short_watch, seconds / 2):
            raise UnavailableError(f"GET {self._path} (watch): ended as soon as it began")
        self._failures = 0
        self._confirmed()

    def _apply(self, kind: str, item: dict[str, Any], metadata: dict[str, Any]) -> None:
        key = _key(metadata)
        value = self._value(kind, key, item)
        old = self.cache.remove(key) if value is None else self.cache.put(key, value)
        if self._on_change is not None and old != value:
            self._tell(key, old, value)

    # both

    @contextlib.contextmanager
    def _events(self, query: dict[str, str], silence: float) -> Iterator[Iterator[_Event]]:
        asked = {"watch": "true", "allowWatchBookmarks": "true", **self._selectors, **query}
        with self._connection.stream(self._path, asked, silence_seconds=silence) as stream:
            with self._stream_lock:
                self._stream = stream
                if self._stopping.is_set():
                    stream.stop()
            try:
                yield (self._event(line) for line in stream)
            finally:
                with self._stream_lock:
                    self._stream = None

    def _event(self, line: bytes) -> _Event:
        about = f"GET {self._path} (watch)"
        try:
            event = orjson.loads(line)
            kind, item = event["type"], event["object"]
            metadata = item.get("metadata", {})
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            raise GarbledError(f"{about}: a line that is no event") from None
        if kind == "ERROR":
            code = item.get("code")
            raise from_status(code if isinstance(code, int) else 0, item, about=about)
        if kind not in {"ADDED", "MODIFIED", "DELETED", "BOOKMARK"} or not isinstance(metadata, dict):
            raise GarbledError(f"{about}: a line that is no event")
        return kind, item, metadata

    def _value(self, kind: str, key: Key, item: dict[str, Any]) -> T | None:
        if kind == "DELETED":
            self._unreadable.discard(key)
            return None
        try:
            value = self._project(item)
        except Exception as error:  # noqa: BLE001 one odd object must not hide all others
            self._unreadable.add(key)
            _log.error("%s: %s left out: %s", self.name, "/".join(filter(None, key)), _defect(error))
            return None
        self._unreadable.discard(key)
        return value

    def _tell(self, key: Key, old: T | None, new: T | None) -> None:
        if self._on_change is None:
            return
        try:
            self._on_change(key, old, new)
        except Exception as error:  # noqa: BLE001 a listener's defect is not the cache's
            _log.error("%s: a listener failed: %s", self.name, _defect(error))


def _key(metadata: dict[str, Any]) -> Key:
    return Key(str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))


def _differences(
    old: Mapping[str, Mapping[str, T]], new: Mapping[str, Mapping[str, T]]
) -> Iterator[tuple[Key, T | None, T | None]]:
    """Yield what a list changed: gone, then changed or new."""
    for namespace, names in old.items():
        for name, value in names.items():
            if name not in new.get(namespace, {}):
                yield Key(namespace, name), value, None
    for namespace, names in new.items():
        for name, value in names.items():
            before = old.get(namespace, {}).get(name)
            if before != value:
                yield Key(namespace, name), before, value


def _defect(error: Exception) -> str:
    """Say which error and where, without its text: that may quote the content of a Secret."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = "" if frame is None else f" at {Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
    return f"{type(error).__name__}{where}"
