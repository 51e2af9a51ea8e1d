"""The facts around a workload from a live cluster: watched where reviews need them always, read where rarely.

Keeps of each object only what a check reads: of a Namespace its `pullproof.dev/` labels, of a Node the images it holds.
Must not judge anything, and must not make a review wait longer than the seconds it was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from webhook.model.facts import Facts, Known, Unknown
from webhook.model.policy import PREFIX, of_labels, of_unread_namespace
from webhook.sources.connection import collection_path, object_path
from webhook.sources.errors import ApiError
from webhook.sources.evidence import EvidenceIndex
from webhook.sources.live import LiveReads, read_live
from webhook.sources.reflector import Reflector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.model.facts import Fact
    from webhook.model.policy import ClusterPolicy
    from webhook.model.workload import Workload
    from webhook.sources.cache import Key
    from webhook.sources.connection import Connection

STALE_AFTER_SECONDS: Final = 300.0

_OWNERS: Final = {
    "ReplicaSet": ("apps", "replicasets", "readyReplicas"),
    "StatefulSet": ("apps", "statefulsets", "readyReplicas"),
    "DaemonSet": ("apps", "daemonsets", "numberReady"),
    "Job": ("batch", "jobs", "ready"),
    "ReplicationController": ("", "replicationcontrollers", "readyReplicas"),
}


class LiveCluster:
    """A cluster that is watched from `start` to `stop`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._hosts = EvidenceIndex()
        self._images = EvidenceIndex()
        self._namespaces = Reflector(connection, collection_path("", "v1", "namespaces"), policy_labels)
        self._nodes = Reflector(
            connection, collection_path("", "v1", "nodes"), node_images, page=50, on_change=self._node_changed
        )
        self._reflectors: tuple[Reflector[Any], ...] = (self._namespaces, self._nodes)
        self._live_namespaces = LiveReads(connection, policy_labels)

    def start(self) -> None:
        """Begin to watch. Call it after the fork: threads don't survive one."""
        for reflector in self._reflectors:
            reflector.start()

    def stop(self) -> None:
        for reflector in self._reflectors:
            reflector.stop()
        self._live_namespaces.close()

    def not_ready(self) -> str | None:
        """What has not been listed once yet, or None."""
        waiting = [reflector for reflector in self._reflectors if not reflector.synced.is_set()]
        if not waiting:
            return None
        return "not synced yet: " + "; ".join(f"{one.name} ({one.last_error or 'listing'})" for one in waiting)

    def staleness(self) -> dict[str, tuple[float, int]]:
        """Cache name → seconds since the API server was heard, and objects held."""
        states = [reflector.state() for reflector in self._reflectors]
        return {state.name: (state.stale_seconds, state.objects) for state in states}

    def facts(self, workload: Workload, policy: ClusterPolicy, *, seconds: float) -> Facts:
        labels = self._labels(workload.namespace, seconds)
        resolved = of_labels(labels.value, policy) if isinstance(labels, Known) else of_unread_namespace(policy)
        return Facts(
            policy=resolved,
            namespace_labels=labels,
            host_evidence=self._hosts.why_host,
            image_evidence=self._images.why,
        )

    def _labels(self, namespace: str, seconds: float) -> Fact[Mapping[str, str]]:
        stale = self._namespaces.state().stale_seconds > STALE_AFTER_SECONDS
        known = self._namespaces.cache.get("", namespace)
        if known is not None and not stale:
            return Known(known)
        # too new for the cache, or the cache too old: asked live, as Pod Security Admission does
        try:
            live = self._live_namespaces.read(object_path("", "v1", "namespaces", namespace), seconds)
        except ApiError as error:
            return Unknown(str(error))
        return Unknown(f"there is no namespace {namespace}") if live is None else Known(live)

    def owner_is_ready(self, pod: Mapping[str, Any], namespace: str, *, seconds: float) -> bool | None:
        references = (pod.get("metadata") or {}).get("ownerReferences")
        for reference in references if isinstance(references, list) else ():
            if not isinstance(reference, dict) or reference.get("controller") is not True:
                continue
            owner = _OWNERS.get(str(reference.get("kind")))
            if owner is None:
                return False
            group, resource, field = owner
            try:
                path = object_path(group, "v1", resource, str(reference.get("name")), namespace=namespace)
                found = read_live(self._connection, path, seconds)
            except ApiError:
                return None
            status = (found or {}).get("status")
            ready = status.get(field) if isinstance(status, dict) else None
            return isinstance(ready, int) and ready > 0
        return False

    def is_earlier_revision(self, obj: Mapping[str, Any], workload: Workload, *, seconds: float) -> bool:
        resource = {"Deployment": "replicasets"}.get(workload.kind, "controllerrevisions")
        if workload.kind not in {"Deployment", "StatefulSet", "DaemonSet"}:
            return False
        selector = (obj.get("spec") or {}).get("selector")
        labels = selector.get("matchLabels") if isinstance(selector, dict) else None
        if not isinstance(labels, dict) or not labels:
            return False
        path = collection_path("apps", "v1", resource, namespace=workload.namespace)
        query = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items()), "limit": "100"}
        try:
            found = self._connection.get_json(path, query, timeout_seconds=seconds)
        except ApiError:
            return False
        items = found.get("items")
        uid = (obj.get("metadata") or {}).get("uid")
        return any(
            _template_spec(item) == workload.spec
            for item in (items if isinstance(items, list) else ())
            if isinstance(item, dict) and uid is not None and _owned_by(item, uid)
        )

    def _node_changed(self, key: Key, old: frozenset[str] | None, new: frozenset[str] | None) -> None:
        before, after = old or frozenset(), new or frozenset()
        source = f"node {key.name}"
        self._images.change(source, before, after)
        # counted per node: two images of one host are one voice
        self._hosts.change(source, map(_host, before), map(_host, after))


def policy_labels(namespace: Mapping[str, Any]) -> dict[str, str]:
    """The labels of a Namespace that pullproof reads."""
    labels = (namespace.get("metadata") or {}).get("labels") or {}
    return {key: value for key, value in labels.items() if key.startswith(PREFIX)}


def node_images(node: Mapping[str, Any]) -> frozenset[str]:
    """The images that a Node says it holds (`status.images`, at most 50), as written there: canonical references."""
    images = (node.get("status") or {}).get("images") or ()
    return frozenset(name for image in images for name in image.get("names") or ())


def _host(image: str) -> str:
    return image.partition("/")[0].partition(":")[0]


def _owned_by(item: Mapping[str, Any], uid: str) -> bool:
    owners = (item.get("metadata") or {}).get("ownerReferences") or ()
    return any(owner.get("uid") == uid and owner.get("controller") is True for owner in owners)


def _template_spec(revision: Mapping[str, Any]) -> Any:
    """The pod spec in a ReplicaSet or in a ControllerRevision's patch."""
    spec = (revision.get("spec") or (revision.get("data") or {}).get("spec")) or {}
    return (spec.get("template") or {}).get("spec")
