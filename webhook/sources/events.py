"""Events on the owners of pods: the one thing that the webhook writes, and never while a review waits for it.

Several replicas meet the same pods, and a controller tries again and again. So an Event's name is made of what it says:
all replicas write the same one, and who finds it there raises its count. What is the same is counted here first and
written at most once in `quiet_seconds`; writes keep a distance from each other; the queue is bounded, and what it can't
take is dropped and counted. An API server that does not answer costs Events, and nothing else.

Must not: raise into a review, make one wait, or be asked on a dry run.

Shape: k8s.io/api/events/v1 (Kubernetes 1.36), where of an Event only `series` may change after it was made.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import queue
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from webhook import metrics
from webhook.engine.news import owner_of
from webhook.sources.connection import collection_path, object_path
from webhook.sources.errors import ApiError, ConflictError, NotFoundError
from webhook.sources.live import read_live

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.engine.news import News, Owner
    from webhook.sources.connection import Connection
    from webhook.sources.writing import Writer

CONTROLLER: Final = "pullproof.dev/webhook"
_MOST_WAITING: Final = 1_000
_MOST_SERIES: Final = 2_000
_MOST_OWNERS: Final = 2_000
_TRIES: Final = 4
_READ_SECONDS: Final = 2.0
_LONGEST_OWNER_IN_A_NAME: Final = 200
_LONGEST_INSTANCE: Final = 128
_STOP_SECONDS: Final = 1.0
# What makes pods and is itself made by something that people know by name.
_BETWEEN: Final = {("apps/v1", "ReplicaSet"): ("apps", "replicasets"), ("batch/v1", "Job"): ("batch", "jobs")}

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Series:
    news: News
    unwritten: int = 0
    due: float = 0.0
    written: bool = False


class Events:
    """Takes news from any thread and writes it on one of its own, from `start` to `stop`.

    instance: this replica's name. quiet_seconds: the least time between two writes of one Event; distance_seconds:
    between any two.
    """

    def __init__(
        self,
        connection: Connection,
        writer: Writer,
        instance: str,
        *,
        quiet_seconds: float = 10.0,
        distance_seconds: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._writer = writer
        self._instance = instance[:_LONGEST_INSTANCE]
        self._quiet = quiet_seconds
        self._distance = distance_seconds
        self._clock = clock
        self._waiting: queue.Queue[News] = queue.Queue(_MOST_WAITING)
        self._series: OrderedDict[News, _Series] = OrderedDict()
        self._owners: OrderedDict[str, Owner] = OrderedDict()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._said = ""

    def tell(self, news: News) -> None:
        """Take it, or drop and count it; never waits, never raises."""
        try:
            self._waiting.put_nowait(news)
        except queue.Full:
            metrics.EVENTS.labels("dropped").inc()

    def start(self) -> None:
        """Begin to write. Call it after the fork: threads don't survive one."""
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write no more; what waits is lost."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._take()
            due = next((one for one in self._series.values() if one.unwritten and one.due <= self._clock()), None)
            if due is not None:
                self._write(due)
                self._stopping.wait(self._distance)

    def _take(self) -> None:
        """Move what waits into series; where nothing is to be written, wait for it a moment."""
        try:
            idle = not any(one.unwritten for one in self._series.values())
            news = self._waiting.get(timeout=_STOP_SECONDS if idle else self._distance)
            while True:
                self._count(news)
                news = self._waiting.get_nowait()
        except queue.Empty:
            return

    def _count(self, news: News) -> None:
        series = self._series.setdefault(news, _Series(news))
        series.unwritten += 1
        self._series.move_to_end(news)
        while len(self._series) > _MOST_SERIES:
            _, oldest = self._series.popitem(last=False)
            metrics.EVENTS.labels("dropped").inc(oldest.unwritten)

    def _write(self, series: _Series) -> None:
        count, series.unwritten = series.unwritten, 0
        series.due = self._clock() + self._quiet
        try:
            self._put(series, count)
        except ConflictError:  # others count the same just now: added to what is written next
            series.unwritten += count
        except ApiError as error:
            metrics.EVENTS.labels("failed").inc()
            trouble = f"{type(error).__name__} {error.status}"
            if trouble != self._said:  # said once, however often it is tried
                self._said = trouble
                _log.warning("an Event could not be written: %s", error)
        except Exception as error:  # noqa: BLE001 the thread has to outlive any defect; its text may hold anything
            metrics.EVENTS.labels("failed").inc()
            _log.error("an Event could not be written: %s", type(error).__name__)
        else:
            series.written = True
            self._said = ""
            metrics.EVENTS.labels("written").inc()

    def _put(self, series: _Series, count: int) -> None:
        """Make the Event, or raise the count of the one that is there. Raises ApiError."""
        news = series.news
        owner = self._top(news.namespace, news.owner)
        name = event_name(owner, news)
        path = object_path("events.k8s.io", "v1", "events", name, namespace=news.namespace)
        there = series.written
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                if there:
                    self._raise(path, count)
                else:
                    collection = collection_path("events.k8s.io", "v1", "events", namespace=news.namespace)
                    self._writer.create(collection, self._event(name, owner, news, count))
            except ConflictError:  # another replica was first: with making it, or with counting
                if last:
                    raise
                there = True
            except NotFoundError:  # Events end by themselves, after an hour by default
                if last or not there:
                    raise
                there = False
            else:
                return

    def _raise(self, path: str, count: int) -> None:
        found = self._connection.get_json(path, timeout_seconds=_READ_SECONDS)
        before = (found.get("series") or {}).get("count") or 1
        version = (found.get("metadata") or {}).get("resourceVersion")
        series = {"count": before + count, "lastObservedTime": _now()}
        self._writer.merge(path, {"metadata": {"resourceVersion": version}, "series": series})

    def _event(self, name: str, owner: Owner, news: News, count: int) -> dict[str, Any]:
        event = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": news.namespace},
            "eventTime": _now(),
            "type": "Warning",
            "reason": news.reason,
            "action": "Admission",
            "note": news.note,
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
            "regarding": {
                "apiVersion": owner.api_version,
                "kind": owner.kind,
                "namespace": news.namespace,
                "name": owner.name,
                "uid": owner.uid,
            },
        }
        return event if count == 1 else {**event, "series": {"count": count, "lastObservedTime": _now()}}

    def _top(self, namespace: str, owner: Owner) -> Owner:
        """The Deployment of a ReplicaSet, the CronJob of a Job; any other owner is one that people know."""
        between = _BETWEEN.get((owner.api_version, owner.kind))
        if between is None:
            return owner
        if (known := self._owners.get(owner.uid)) is not None:
            return known
        path = object_path(between[0], "v1", between[1], owner.name, namespace=namespace)
        found = read_live(self._connection, path, _READ_SECONDS) or {}
        is_the_one = (found.get("metadata") or {}).get("uid") == owner.uid
        top = (owner_of(found) if is_the_one else None) or owner
        self._owners[owner.uid] = top
        while len(self._owners) > _MOST_OWNERS:
            self._owners.popitem(last=False)
        return top


def event_name(owner: Owner, news: News) -> str:
    """The same for all replicas: the owner's name, and a hash of which owner it is and what is said."""
    said = f"{owner.uid} {news.code} {news.reason} {news.note}"
    return f"{owner.name[:_LONGEST_OWNER_IN_A_NAME]}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
