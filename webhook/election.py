"""Which controller works: one leader by a Lease, as client-go's leaderelection does it (v0.36, leaderelection.go).

Why not the Python client's: docs/adr/0005-leader-election.md. What matters here is the end of leadership: `leads()`
turns false by this process's own clock *before* anybody else may take over, whether or not the API server answers, so
a write that asks first never overlaps a successor's. The clocks of two machines are never compared: a Lease counts as
held for `lease_seconds` after one has *seen* it change.

Must not: do the leader's work, or hold the lock while it talks to the API server.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from webhook.sources.connection import collection_path, object_path
from webhook.sources.errors import ApiError, ConflictError, NotFoundError
from webhook.sources.writing import WRITE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from webhook.sources.connection import Connection
    from webhook.sources.writing import Writer

_log = logging.getLogger(__name__)

_READ_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Terms:
    """All times of an election, in seconds.

    Leading ends `renew_seconds` after the last renewal was *sent*; what was sent just before may still arrive
    `WRITE_SECONDS` later; only `lease_seconds` after it saw that renewal may another take over. So `lease_seconds` has
    to be more than both together.
    """

    lease_seconds: float = 15.0
    renew_seconds: float = 10.0
    retry_seconds: float = 2.0

    def __post_init__(self) -> None:
        if self.lease_seconds <= self.renew_seconds + WRITE_SECONDS:
            raise ValueError("a lease must outlast its last renewal and a write that was sent then")


class Election:
    """One candidate for the Lease `namespace`/`name`. `writer` must be one that is always allowed to write.

    `identity` has to differ between all candidates there ever are: a pod's name is not enough where its container
    restarts, so pass something random too.
    """

    def __init__(
        self,
        connection: Connection,
        writer: Writer,
        namespace: str,
        name: str,
        identity: str,
        terms: Terms = Terms(),
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self.identity = identity
        self._connection = connection
        self._writer = writer
        self._namespace = namespace
        self._name = name
        self._terms = terms
        self._clock = clock
        self._wall = wall
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._leads_until = -math.inf
        self._seen: tuple[Any, ...] = ()
        self._seen_at = -math.inf
        self.looked = threading.Event()
        """Set once the API server has answered a first time."""
        self.last_error: str | None = None

    def leads(self) -> bool:
        """Whether this process may write now. Never waits."""
        return self._clock() < self._leads_until

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="election", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop leading, then give the Lease back, so that another takes over at once. The work must have ended."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        held = self.leads()
        self._leads_until = -math.inf
        if held:
            self._release()

    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            led = self.leads()
            try:
                self.campaign()
                self.last_error = None
            except ApiError as error:
                if str(error) != self.last_error:
                    _log.warning("election: %s", error)
                self.last_error = str(error)
            except Exception as error:  # noqa: BLE001 an odd Lease must not end the candidacy
                self.last_error = f"a Lease that can't be read ({type(error).__name__})"
                _log.warning("election: %s", self.last_error)
            if led != self.leads():
                _log.info("%s %s", self.identity, "leads" if self.leads() else "leads no longer")
            self._stopping.wait(self._terms.retry_seconds)

    def campaign(self) -> bool:
        """One try to take or keep the Lease; whether this process leads after it. Raises ApiError."""
        path = object_path("coordination.k8s.io", "v1", "leases", self._name, namespace=self._namespace)
        try:
            lease = self._connection.get_json(path, timeout_seconds=_READ_SECONDS)
        except NotFoundError:
            lease = {}
        self.looked.set()
        spec = lease.get("spec") or {}
        version = (lease.get("metadata") or {}).get("resourceVersion")
        # Any change at all shows that its holder lives; what the times in it say depends on the holder's clock.
        seen = (version, spec.get("holderIdentity"), spec.get("renewTime"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock()
        holder = spec.get("holderIdentity") or ""
        mine = holder == self.identity
        if holder and not mine:
            self._leads_until = -math.inf
            duration = float(spec.get("leaseDurationSeconds") or self._terms.lease_seconds)
            if self._clock() < self._seen_at + duration:
                return False
        sent = self._clock()
        try:
            if lease:
                self._writer.replace(path, {**lease, "spec": self._claim(spec, mine=mine)})
            else:
                self._writer.create(
                    collection_path("coordination.k8s.io", "v1", "leases", namespace=self._namespace), self._new()
                )
        except ConflictError:
            # Another was faster. Where it was our own Lease, what we hold still runs out by itself.
            return self.leads()
        self._leads_until = sent + self._terms.renew_seconds
        return True

    def _new(self) -> dict[str, Any]:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._claim({}, mine=False),
        }

    def _claim(self, spec: Mapping[str, Any], *, mine: bool) -> dict[str, Any]:
        now = self._wall().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        changes = int(spec.get("leaseTransitions") or 0)
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self._terms.lease_seconds),
            "acquireTime": spec.get("acquireTime") if mine and spec.get("acquireTime") else now,
            "renewTime": now,
            "leaseTransitions": changes if mine else changes + 1,
        }

    def _release(self) -> None:
        path = object_path("coordination.k8s.io", "v1", "leases", self._name, namespace=self._namespace)
        try:
            lease = self._connection.get_json(path, timeout_seconds=_READ_SECONDS)
            spec = lease.get("spec") or {}
            if spec.get("holderIdentity") == self.identity:
                self._writer.replace(path, {**lease, "spec": {**spec, "holderIdentity": "", "leaseDurationSeconds": 1}})
        except ApiError as error:
            _log.warning("the Lease is not given back, so it runs out by itself: %s", error)
