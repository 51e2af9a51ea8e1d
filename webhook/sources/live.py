"""One object read now, for what a cache lacks: the namespace or Secret that the same `kubectl apply` has just made.

A burst of reviews for one new namespace makes one call: whoever comes while it is under way waits for the same answer,
and whoever comes within a second after it gets that answer. The answer "there is none" is remembered as well, and so is
a failure, so that an API server that does not answer costs one wait and not one per review. Must not outlive the
second: a Secret that was made meanwhile has to be seen.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cachetools import TTLCache

from webhook.sources.errors import BusyError, GarbledError, NotFoundError, TimedOutError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from webhook.sources.connection import Connection

T = TypeVar("T")

_REMEMBERED = 1024
_UNDER_WAY = 256


def read_live(connection: Connection, path: str, timeout_seconds: float) -> dict[str, Any] | None:
    """GET the object at `path`; None where there is none. Raises ApiError for everything else."""
    try:
        return connection.get_json(path, timeout_seconds=timeout_seconds)
    except NotFoundError:
        return None


class LiveReads(Generic[T]):
    """Shared live reads of one kind of object, each kept as what `project` makes of it.

    `call_seconds` bounds a call to the API server, whoever waits for it; `remember_seconds` how long its answer serves
    others. Calls run on up to `threads` threads of their own, so a caller's deadline holds whatever the socket does.
    """

    def __init__(
        self,
        connection: Connection,
        project: Callable[[dict[str, Any]], T],
        *,
        call_seconds: float = 2.0,
        remember_seconds: float = 1.0,
        threads: int = 8,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._project = project
        self._call_seconds = call_seconds
        self._calls = ThreadPoolExecutor(threads, thread_name_prefix="live-read")
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[T | None]] = {}
        self._answered: TTLCache[str, Future[T | None]] = TTLCache(_REMEMBERED, remember_seconds, timer=clock)

    def read(self, path: str, timeout_seconds: float) -> T | None:
        """Return the object at `path`, or None where there is none. Raises ApiError, TimedOutError at the deadline."""
        future = self._future(path)
        try:
            return future.result(timeout_seconds)
        except TimeoutError:
            raise TimedOutError(f"GET {path}: no answer from the API server within {timeout_seconds:g} s") from None
        except CancelledError:
            raise _shutting_down(path) from None

    def close(self) -> None:
        """Start no further call; those under way end within `call_seconds`."""
        self._calls.shutdown(wait=False, cancel_futures=True)

    def _future(self, path: str) -> Future[T | None]:
        with self._lock:
            known = self._answered.get(path) or self._under_way.get(path)
            if known is not None:
                return known
            if len(self._under_way) >= _UNDER_WAY:
                raise BusyError(f"GET {path}: {_UNDER_WAY} live reads are waiting for the API server already")
            try:
                future = self._under_way[path] = self._calls.submit(self._call, path)
            except RuntimeError:
                raise _shutting_down(path) from None
        # Outside the lock: where the call has ended already, the callback runs at once, on this thread.
        future.add_done_callback(lambda done: self._keep(path, done))
        return future

    def _call(self, path: str) -> T | None:
        found = read_live(self._connection, path, self._call_seconds)
        if found is None:
            return None
        try:
            return self._project(found)
        except Exception as error:  # noqa: BLE001 its text may quote the content of a Secret
            raise GarbledError(f"GET {path}: an object that can't be read ({type(error).__name__})") from None

    def _keep(self, path: str, done: Future[T | None]) -> None:
        with self._lock:
            self._under_way.pop(path, None)
            if not done.cancelled():
                self._answered[path] = done


def _shutting_down(path: str) -> UnavailableError:
    return UnavailableError(f"GET {path}: pullproof is shutting down")
