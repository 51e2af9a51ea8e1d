"""The policies of a live cluster: followed by the webhook, read once by commands.

What is missing here never stops anything. Without the CRDs, or without the right to read them, the namespaces' labels
and the webhook's flags hold, and log and metric say so. A policy that says what can't be is left out, and what it said
before stays in force, until the process ends: there is no place to keep it longer.

Must not: judge, or write a status (the controller does).
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from webhook import metrics
from webhook.model.policy_book import PolicyBook
from webhook.model.policy_spec import CLUSTER_KIND, GROUP, NAMESPACED_KIND, VERSION, read_policy
from webhook.sources.connection import collection_path
from webhook.sources.errors import ForbiddenError, NotFoundError
from webhook.sources.listing import list_all
from webhook.sources.reflector import Reflector, Timings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from webhook.model.policy import ClusterPolicy
    from webhook.model.policy_spec import PolicyObject
    from webhook.sources.cache import Key
    from webhook.sources.connection import Connection
    from webhook.sources.errors import ApiError

_log = logging.getLogger(__name__)

RESOURCES: Final[Mapping[str, str]] = {CLUSTER_KIND: "clusterpullpolicies", NAMESPACED_KIND: "pullpolicies"}
_HOLDS: Final = "the namespaces' labels and the webhook's flags hold"
# Policies are few and their effect is waited for: a CRD that has just been installed is noticed within two seconds.
_TIMINGS: Final = Timings(backoff=0.25, backoff_longest=1.5)


def policies_path(kind: str, namespace: str = "") -> str:
    """The path of the collection of policies of that kind."""
    return collection_path(GROUP, VERSION, RESOURCES[kind], namespace=namespace)


class PolicyWatch:
    """All policies, as they are now. `reflectors` are started and stopped by whoever owns them all."""

    def __init__(self, connection: Connection) -> None:
        self._good: dict[tuple[str, Key], PolicyObject] = {}
        self._bad: set[tuple[str, Key]] = set()
        self._state = object()  # another one after each change
        self._book: tuple[object, PolicyBook] | None = None
        self._lock = threading.Lock()
        self._said: set[str] = set()
        self.reflectors: tuple[Reflector[PolicyObject], ...] = tuple(
            Reflector(
                connection,
                policies_path(kind),
                _project(kind),
                on_change=self._change(kind),
                on_failure=self._failure(kind),
                timings=_TIMINGS,
            )
            for kind in RESOURCES
        )

    def book(self, base: ClusterPolicy) -> PolicyBook:
        """The policies, with what holds without any."""
        known = self._book
        if known is not None and known[0] is self._state and known[1].base is base:
            return known[1]
        with self._lock:
            known = self._book
            state = self._state  # before the policies: what changes meanwhile shows in it
            if known is None or known[0] is not state or known[1].base is not base:
                known = (state, PolicyBook(base, self.policies()))
                self._book = known
        return known[1]

    def policies(self) -> Sequence[PolicyObject]:
        """Those in force."""
        return list(self._good.values())

    def _change(self, kind: str) -> Callable[[Key, PolicyObject | None, PolicyObject | None], None]:
        def changed(key: Key, _old: PolicyObject | None, new: PolicyObject | None) -> None:
            self._bad.discard((kind, key))
            if new is None:
                self._good.pop((kind, key), None)
            elif new.spec is not None:
                self._good[kind, key] = new
            else:
                self._bad.add((kind, key))
                metrics.POLICY_ERRORS.labels("invalid").inc()
                before = "what it said before holds" if (kind, key) in self._good else "it is not in force"
                _log.error("%s: %s; %s", new.source, new.problem, before)
            metrics.POLICIES_INVALID.set(len(self._bad))
            self._state = object()

        return changed

    def _failure(self, kind: str) -> Callable[[ApiError], None]:
        def failed(error: ApiError) -> None:
            if isinstance(error, NotFoundError):
                reason = "missing"
            elif isinstance(error, ForbiddenError):
                reason = "forbidden"
            else:
                reason = "unavailable"
            metrics.POLICY_ERRORS.labels(reason).inc()
            if reason != "unavailable" and kind not in self._said:
                self._said.add(kind)
                _log.warning("%s: %s; until it can be read, %s", RESOURCES[kind], error, _HOLDS)

        return failed


def _project(kind: str) -> Callable[[dict[str, Any]], PolicyObject]:
    return lambda obj: read_policy({**obj, "kind": kind})


def read_policies(
    connection: Connection, *, namespaces: Sequence[str] | None = None, timeout_seconds: float
) -> Iterator[PolicyObject]:
    """Every policy of the cluster, read now; PullPolicies of these namespaces only, where any are named.

    None where the CRDs are not installed. Raises ApiError.
    """
    for kind in RESOURCES:
        places = ("",) if kind == CLUSTER_KIND or namespaces is None else namespaces
        for place in places:
            try:
                for obj in list_all(connection, policies_path(kind, place), timeout_seconds=timeout_seconds):
                    yield read_policy({**obj, "kind": kind})
            except NotFoundError:
                return
