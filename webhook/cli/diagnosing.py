"""From a live cluster to diagnoses: which pods, their Events, the facts around them; once, and again with each change.

Only pods that wait are kept, so a big cluster costs no more memory than its trouble. Must not: write anything to the
cluster, or fail because Events or facts can't be read: then that is noted, and the statuses speak alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from webhook.diagnosis.pods import diagnose_pod, may_wait, owner_of
from webhook.errors import Malformed, PullproofError
from webhook.model.policy import ClusterPolicy
from webhook.model.text import printable
from webhook.model.workload import extract
from webhook.sources.connection import collection_path
from webhook.sources.errors import ApiError, GoneError, from_status
from webhook.sources.listing import list_all, list_pages
from webhook.sources.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from webhook.diagnosis.pods import Diagnosed
    from webhook.model.facts import Facts
    from webhook.sources.connection import Connection

    Json = dict[str, Any]

_PODS_PAGE: Final = 200
_EVENTS_PAGE: Final = 500
_SINGLE_QUERIES: Final = 20  # up to so many pods' Events are asked for pod by pod
_FACTS_SECONDS: Final = 30.0  # how old facts may be while watching
_WATCH_SECONDS: Final = 240
_SILENCE_SECONDS: Final = 270.0
_PAUSE_SECONDS: Final = 2.0

# kubectl's words for the kinds that have pods → the kind. Source: `kubectl api-resources` of Kubernetes 1.36.
_KINDS: Final[Mapping[str, str]] = {
    word: kind
    for kind, words in {
        "Pod": ("pod", "pods", "po"),
        "Deployment": ("deployment", "deployments", "deploy", "deployment.apps", "deployments.apps"),
        "ReplicaSet": ("replicaset", "replicasets", "rs", "replicaset.apps", "replicasets.apps"),
        "StatefulSet": ("statefulset", "statefulsets", "sts", "statefulset.apps", "statefulsets.apps"),
        "DaemonSet": ("daemonset", "daemonsets", "ds", "daemonset.apps", "daemonsets.apps"),
        "ReplicationController": ("replicationcontroller", "replicationcontrollers", "rc"),
        "Job": ("job", "jobs", "job.batch", "jobs.batch"),
        "CronJob": ("cronjob", "cronjobs", "cj", "cronjob.batch", "cronjobs.batch"),
    }.items()
    for word in words
}


@dataclass(frozen=True, slots=True)
class Target:
    """What the user named."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


def parse_target(text: str) -> Target:
    """`web-1`, `pod/web-1`, `deploy/web`. Raises PullproofError for another kind."""
    word, slash, name = text.partition("/")
    if not slash:
        return Target("Pod", text)
    kind = _KINDS.get(word.lower())
    if kind is None or not name:
        raise PullproofError(
            f"{printable(text, 80)} names nothing that has pods",
            fix="name a pod, or one of deploy, sts, ds, job, cronjob, rs, rc with a name: `deploy/web`",
        )
    return Target(kind, name)


class Diagnosing:
    """The pods of `namespace` (None: of all), or those of `targets` in it."""

    def __init__(
        self,
        connection: Connection,
        namespace: str | None,
        targets: Sequence[Target],
        *,
        seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._namespace = namespace
        self._targets = tuple(targets)
        self._seconds = seconds
        self._clock = clock
        self._seen = 0
        self._version = ""
        self._facts: Snapshot | None = None
        self._facts_at = 0.0
        self._told: dict[tuple[str, str], set[tuple[str | None, str, str | None]]] = {}
        self.notes: list[str] = []

    def summary(self) -> str:
        """One line for when nothing waits."""
        where = "the cluster" if self._namespace is None else f"namespace {printable(self._namespace, 63)}"
        of = f" of {', '.join(map(str, self._targets))}" if self._targets else ""
        pods = "1 pod" if self._seen == 1 else f"{self._seen:,} pods"
        return f"no pod waits for an image: {pods}{of} looked at in {where}"

    def once(self) -> list[Diagnosed]:
        """Why pods wait now. Raises ApiError where pods can't be listed, PullproofError for a target that has none."""
        waiting: list[Json] = []
        hit: set[Target] = set()
        self._seen = 0
        for page in list_pages(
            self._connection, self._pods_path(), page=_PODS_PAGE, timeout_seconds=self._seconds, one_snapshot=False
        ):
            self._version = page.resource_version
            for pod in page.items:
                mine = self._matching(pod)
                if self._targets and not mine:
                    continue
                hit.update(mine)
                self._seen += 1
                if may_wait(pod):
                    (pod.get("metadata") or {}).pop("managedFields", None)
                    waiting.append(pod)
        missing = [target for target in self._targets if target not in hit]
        if missing:
            raise PullproofError(
                f"there is no pod of {', '.join(map(str, missing))} in namespace {self._namespace}",
                fix="-n names another namespace, -A looks at all",
            )
        found = self._diagnose(waiting)
        self._remember(waiting, found)
        return found

    def follow(self) -> Iterator[list[Diagnosed] | str]:
        """What changes from now on, for ever: new diagnoses, and lines for pods that no longer wait."""
        while True:
            try:
                yield from self._watch()
            except GoneError:
                found = self.once()
                if found:
                    yield found
            except ApiError as error:
                yield f"note: {error}; trying again"
                time.sleep(_PAUSE_SECONDS)

    def _watch(self) -> Iterator[list[Diagnosed] | str]:
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        with self._connection.stream(self._pods_path(), query, silence_seconds=_SILENCE_SECONDS) as stream:
            for line in stream:
                event = orjson.loads(line)
                obj = event.get("object") or {}
                if event.get("type") == "ERROR":
                    raise from_status(int(obj.get("code") or 0), obj, about=f"GET {self._pods_path()} (watch)")
                self._version = (obj.get("metadata") or {}).get("resourceVersion") or self._version
                if event.get("type") == "BOOKMARK" or (self._targets and not self._matching(obj)):
                    continue
                yield from self._changed(obj, gone=event.get("type") == "DELETED")

    def _changed(self, pod: Json, *, gone: bool) -> Iterator[list[Diagnosed] | str]:
        key = _key(pod)
        before = self._told.get(key, set())
        if gone or not may_wait(pod):
            if self._told.pop(key, None) and not gone:
                yield f"{printable(key[0], 63)}/{printable(key[1], 253)}: no longer waits for an image"
            return
        found = self._diagnose([pod])
        fresh = [one for one in found if _signature(one) not in before]
        self._told[key] = before | {_signature(one) for one in found}
        if fresh:
            yield fresh

    def _remember(self, pods: Sequence[Json], found: Sequence[Diagnosed]) -> None:
        self._told = {_key(pod): set() for pod in pods}
        for one in found:
            key = (one.diagnosis.namespace or "", one.diagnosis.pod or "")
            self._told.setdefault(key, set()).add(_signature(one))

    def _diagnose(self, pods: Sequence[Json]) -> list[Diagnosed]:
        if not pods:
            return []
        events = self._events(pods)
        facts = self._known_facts()
        found: list[Diagnosed] = []
        for pod in pods:
            about = self._around(pod, facts)
            found += diagnose_pod(pod, events.get(_key(pod), ()), about)
        return found

    def _around(self, pod: Json, facts: Snapshot) -> Facts | None:
        try:
            workload = extract(pod, group_kind=("", "Pod"))
        except Malformed:
            return None
        return None if workload is None else facts.facts(workload)

    def _known_facts(self) -> Snapshot:
        now = self._clock()
        if self._facts is None or now - self._facts_at > _FACTS_SECONDS:
            # `default` is looked at for what can be copied from it: IBM's all-icr-io is made there alone
            scope = None if self._namespace is None else list(dict.fromkeys((self._namespace, "default")))
            fresh = Snapshot(
                self._connection, ClusterPolicy(), now=int(now), namespaces=scope, timeout_seconds=self._seconds
            )
            fresh.read()
            if self._facts is None:
                self.notes += [f"{kind} could not be read: {why}" for kind, why in fresh.unread]
            self._facts, self._facts_at = fresh, now
        return self._facts

    def _events(self, pods: Sequence[Json]) -> dict[tuple[str, str], list[Json]]:
        """The Events of those pods; none, with a note, where they can't be read."""
        found: dict[tuple[str, str], list[Json]] = {_key(pod): [] for pod in pods}
        try:
            if len(pods) <= _SINGLE_QUERIES:
                for namespace, name in found:
                    selector = f"involvedObject.kind=Pod,involvedObject.name={name}"
                    found[namespace, name] = list(self._list_events(namespace, selector))
                return found
            for event in self._list_events(self._namespace or "", "involvedObject.kind=Pod"):
                about = event.get("involvedObject") or {}
                mine = found.get((str(about.get("namespace")), str(about.get("name"))))
                if mine is not None:
                    mine.append(event)
        except ApiError as error:
            note = f"Events could not be read: {error}"
            if note not in self.notes:
                self.notes.append(note)
        return found

    def _list_events(self, namespace: str, selector: str) -> Iterator[Json]:
        path = collection_path("", "v1", "events", namespace=namespace)
        return list_all(
            self._connection,
            path,
            query={"fieldSelector": selector},
            page=_EVENTS_PAGE,
            timeout_seconds=self._seconds,
        )

    def _pods_path(self) -> str:
        return collection_path("", "v1", "pods", namespace=self._namespace or "")

    def _matching(self, pod: Json) -> set[Target]:
        if not self._targets:
            return set()
        metadata = pod.get("metadata") or {}
        owner = owner_of(pod)
        is_of = {Target("Pod", str(metadata.get("name"))), Target(owner.kind, owner.name)}
        is_of |= {
            Target(str(one.get("kind")), str(one.get("name")))
            for one in metadata.get("ownerReferences") or ()
            if one.get("controller") is True
        }
        return is_of & set(self._targets)


def _key(pod: Json) -> tuple[str, str]:
    metadata = pod.get("metadata") or {}
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


def _signature(one: Diagnosed) -> tuple[str | None, str, str | None]:
    """What makes a diagnosis news: its words change with every try (durations, request ids), its cause does not."""
    return one.diagnosis.container, f"{one.code} {one.diagnosis.cause}", one.diagnosis.image
