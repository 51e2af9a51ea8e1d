"""The facts around a workload from a live cluster: watched where reviews need them always, read where rarely.

Keeps of each object only what a check reads: of a Namespace its labels, of a Node the images it holds.
Must not judge anything, and must not make a review wait longer than the seconds it was given.
"""

from __future__ import annotations

import enum
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from webhook.engine.impact import Change
from webhook.model.dockerconfig import DOCKER_CFG, DOCKER_CONFIG_JSON, read_secret
from webhook.model.facts import Facts, Known, SecretPlace, Unknown, list_pull_secrets
from webhook.model.node import NodeSet, read_node, read_runtime_class
from webhook.model.policy import of_labels
from webhook.model.policy_book import PolicyBook
from webhook.sources.connection import collection_path, object_path
from webhook.sources.errors import ApiError
from webhook.sources.evidence import EvidenceIndex, Places, SecretHosts
from webhook.sources.listing import list_all, list_pages
from webhook.sources.live import LiveReads, read_live
from webhook.sources.policies import PolicyWatch
from webhook.sources.reflector import Reflector
from webhook.sources.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from webhook.model.dockerconfig import AuthEntry, PullSecret
    from webhook.model.facts import Fact, PullSecretList
    from webhook.model.node import NodeFacts, RuntimeClassScheduling
    from webhook.model.policy import ClusterPolicy, Policy
    from webhook.model.policy_spec import PolicyObject
    from webhook.model.workload import Workload
    from webhook.sources.cache import Key
    from webhook.sources.connection import Connection
    from webhook.sources.listing import Page
    from webhook.sources.reflector import ReflectorState

STALE_AFTER_SECONDS: Final = 300.0
"""Past this age without a word from the API server, what a cache says is Unknown, and single objects are read live."""

_OWNERS: Final = {
    "ReplicaSet": ("apps", "replicasets", "readyReplicas"),
    "StatefulSet": ("apps", "statefulsets", "readyReplicas"),
    "DaemonSet": ("apps", "daemonsets", "numberReady"),
    "Job": ("batch", "jobs", "ready"),
    "ReplicationController": ("", "replicationcontrollers", "readyReplicas"),
}


_MOST_SECRETS: Final = 32  # that are looked at for one workload; each may cost a live read
_MOST_KEYS: Final = 2_000  # in them; each is held against each image, and a Secret has room for thirty thousand
_MOST_NAMES: Final = 1_000  # of pull secrets that are kept of a ServiceAccount
_POD_PAGE: Final = 250
_POD_PAGE_BYTES: Final = 1 << 25
_SHARED_ENTRIES: Final = 8192
_SHARED_IMAGES: Final = 32768


class SecretAccess(enum.Enum):
    """How pull secrets are read: each has its own RBAC and its price (docs/operations.md)."""

    WATCH = "watch"
    GET = "get"
    OFF = "off"


def bounded(read: Callable[[str], Fact[PullSecret | None]]) -> Callable[[str], Fact[PullSecret | None]]:
    """`read`, once for each pull secret of a workload, and no further than can be judged in time."""
    looked_up: dict[str, Fact[PullSecret | None]] = {}
    keys = 0

    def find(name: str) -> Fact[PullSecret | None]:
        nonlocal keys
        if name in looked_up:
            return looked_up[name]
        if len(looked_up) >= _MOST_SECRETS:
            return Unknown(f"more than {_MOST_SECRETS} pull secrets are listed")
        found = read(name)
        own = len(found.value.entries) if isinstance(found, Known) and found.value is not None else 0
        if keys + own > _MOST_KEYS:
            found = Unknown(f"the pull secrets have more than {_MOST_KEYS} keys")
        else:
            keys += own
        looked_up[name] = found
        return found

    return find


class LiveCluster:
    """A cluster that is watched from `start` to `stop`. `clock` gives seconds since 1970."""

    def __init__(
        self,
        connection: Connection,
        *,
        secrets: SecretAccess = SecretAccess.WATCH,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._access = secrets
        self._clock = clock
        self._hosts = EvidenceIndex()
        self._images = EvidenceIndex()
        self._secret_places = Places()
        self._secret_hosts = SecretHosts()
        self._shared_entries: Shared[AuthEntry] = Shared(_SHARED_ENTRIES)
        self._shared_images: Shared[str] = Shared(_SHARED_IMAGES)
        self._namespaces = Reflector(connection, collection_path("", "v1", "namespaces"), policy_labels)
        self._policies = PolicyWatch(connection)
        self._nodes = Reflector(
            connection, collection_path("", "v1", "nodes"), self._read_node, page=50, on_change=self._node_changed
        )
        self._node_changes = 0
        self._node_set = (-1, NodeSet(()))  # after which change it was made
        self._accounts = Reflector(connection, collection_path("", "v1", "serviceaccounts"), account_secrets)
        self._secrets = tuple(
            Reflector(
                connection,
                collection_path("", "v1", "secrets"),
                self._read_secret,
                name=f"secrets-{kind.rpartition('/')[2]}",
                field_selector=f"type={kind}",
                page=50,
                on_change=self._secret_changed,
            )
            for kind in (DOCKER_CONFIG_JSON, DOCKER_CFG)
            if secrets is SecretAccess.WATCH
        )
        self._reflectors: tuple[Reflector[Any], ...] = (
            self._namespaces,
            self._nodes,
            self._accounts,
            *self._secrets,
            *self._policies.reflectors,
        )
        self._live_namespaces = LiveReads(connection, policy_labels)
        self._live_accounts = LiveReads(connection, account_secrets)
        self._live_secrets = LiveReads(connection, kept_secret)
        self._live_runtime_classes = LiveReads(connection, read_runtime_class)

    def start(self) -> None:
        """Begin to watch. Call it after the fork: threads don't survive one."""
        for reflector in self._reflectors:
            reflector.start()

    def stop(self) -> None:
        """End the watches; the caches stay as they are."""
        for reflector in self._reflectors:
            reflector.stop()
        for reads in (self._live_namespaces, self._live_accounts, self._live_secrets, self._live_runtime_classes):
            reads.close()

    def not_ready(self) -> str | None:
        """What has not been listed once yet, or None.

        Policies that can't be read are none: not their CRD or the right to read it, but labels and flags are needed.
        """
        without = {id(reflector) for reflector in self._policies.reflectors if reflector.refused}
        waiting = [one for one in self._reflectors if not one.synced.is_set() and id(one) not in without]
        if not waiting:
            return None
        return "not synced yet: " + "; ".join(f"{one.name} ({one.last_error or 'listing'})" for one in waiting)

    def states(self) -> tuple[ReflectorState, ...]:
        """How each cache is doing; policies that were never there to be read have none."""
        return tuple(
            one.state()
            for one in self._reflectors
            if one.synced.is_set() or not one.refused or one not in self._policies.reflectors
        )

    def policies(self) -> Sequence[PolicyObject]:
        """The policies in force."""
        return self._policies.policies()

    def facts(self, workload: Workload, policy: ClusterPolicy, *, seconds: float, stored: bool = True) -> Facts:
        """What is known around a workload; what the caches lack is read live, all within `seconds`.

        `stored` is as in `list_pull_secrets`: False for a manifest that the API server has not seen.
        """
        deadline = time.monotonic() + seconds
        labels, resolved = self.policy(workload.namespace, policy, seconds=seconds)
        return Facts(
            policy=resolved,
            namespace_labels=labels,
            pull_secrets=self._pull_secrets(workload, deadline, stored=stored),
            nodes=self._known_nodes(),
            runtime_class=self._runtime_class(workload, deadline, stored=stored),
            now=int(self._clock()),
            host_evidence=lambda host: self._host_evidence(host, workload.namespace),
            image_evidence=self._images.why,
            secret_namespaces=self._secret_places.of,
            secrets_for_host=self._secret_hosts.near,
        )

    def policy(
        self, namespace: str, policy: ClusterPolicy, *, seconds: float
    ) -> tuple[Fact[Mapping[str, str]], Policy]:
        """The labels of a namespace, and what holds there."""
        labels = self._labels(namespace, seconds)
        book = self._policies.book(policy)
        return labels, book.policy(namespace, labels.value) if isinstance(labels, Known) else book.unread(namespace)

    def policy_with(self, namespace: str, labels: Mapping[str, str], policy: ClusterPolicy) -> Policy:
        return of_labels(labels, self._policies.book(policy).cluster_policy(namespace, labels))

    def policy_changes(self, written: PolicyObject, policy: ClusterPolicy, *, gone: bool) -> Iterator[Change]:
        """The namespaces that a policy is or was for, each with what holds before and after it is written or gone.

        The caches' word: who writes two policies in one moment is told of each without the other.
        """
        before = self._policies.book(policy)
        others = [one for one in self._policies.policies() if one.source != written.source]
        after = PolicyBook(policy, others if gone else [*others, written])
        for key, labels in self._namespaces.cache.all():
            if written.namespace not in {"", key.name}:
                continue  # a PullPolicy is its own namespace's matter
            if any(written.source in book.selecting(key.name, labels) for book in (before, after)):
                yield Change(key.name, before.policy(key.name, labels), after.policy(key.name, labels))

    def _host_evidence(self, host: str, namespace: str) -> str | None:
        if (on_a_node := self._hosts.why(host)) is not None:
            return on_a_node
        place = self._secret_hosts.of_namespace(host, namespace)
        return None if place is None else f"pull secret {place.namespace}/{place.name}"

    def _labels(self, namespace: str, seconds: float) -> Fact[Mapping[str, str]]:
        known = self._namespaces.cache.get("", namespace)
        if known is not None and not _is_stale(self._namespaces):
            return Known(known)
        # too new for the cache, or the cache too old: asked live, as Pod Security Admission does
        try:
            live = self._live_namespaces.read(object_path("", "v1", "namespaces", namespace), seconds)
        except ApiError as error:
            return Unknown(str(error))
        return Unknown(f"there is no namespace {namespace}") if live is None else Known(live)

    def _pull_secrets(self, workload: Workload, deadline: float, *, stored: bool) -> Fact[PullSecretList]:
        if self._access is SecretAccess.OFF:
            return Unknown("reading Secrets is turned off (--secrets=off)")
        namespace = workload.namespace
        listed = self._account(namespace, workload.service_account, deadline)
        find = bounded(lambda name: self._secret(namespace, name, deadline))
        return list_pull_secrets(workload, listed, find, stored=stored)

    def _account(self, namespace: str, name: str, deadline: float) -> Fact[tuple[str, ...] | None]:
        known = self._accounts.cache.get(namespace, name)
        if known is not None and not _is_stale(self._accounts):
            return Known(known)
        try:
            path = object_path("", "v1", "serviceaccounts", name, namespace=namespace)
            return Known(self._live_accounts.read(path, max(deadline - time.monotonic(), 0.0)))
        except ApiError as error:
            return Unknown(str(error))

    def _secret(self, namespace: str, name: str, deadline: float) -> Fact[PullSecret | None]:
        for reflector in self._secrets:
            known = reflector.cache.get(namespace, name)
            if known is not None and not _is_stale(reflector):
                return Known(known)
        # made in the same apply, or of a type that is not watched, or not there at all
        try:
            path = object_path("", "v1", "secrets", name, namespace=namespace)
            return Known(self._live_secrets.read(path, max(deadline - time.monotonic(), 0.0)))
        except ApiError as error:
            return Unknown(str(error))

    def _runtime_class(
        self, workload: Workload, deadline: float, *, stored: bool
    ) -> Fact[RuntimeClassScheduling | None]:
        """What the pods will get from their RuntimeClass; a pod that the API server has seen has got it already."""
        name = workload.spec.get("runtimeClassName")
        if not isinstance(name, str) or not name or (stored and not workload.is_template):
            return Known(None)
        # few workloads name one, so a watch would cost more than these reads
        try:
            path = object_path("node.k8s.io", "v1", "runtimeclasses", name)
            return Known(self._live_runtime_classes.read(path, max(deadline - time.monotonic(), 0.0)))
        except ApiError as error:
            return Unknown(f"could not be read: {error}")

    def _known_nodes(self) -> Fact[NodeSet]:
        if _is_stale(self._nodes):
            return Unknown("the nodes could not be watched")
        changes = self._node_changes  # read before the cache: what changes while the set is made shows in the number
        made_after, known = self._node_set
        if made_after != changes:
            known = NodeSet(tuple(node.facts for _, node in self._nodes.cache.all()))
            self._node_set = (changes, known)
        return Known(known)

    def _read_secret(self, obj: Mapping[str, Any]) -> PullSecret:
        secret = kept_secret(obj)
        return replace(secret, entries=tuple(map(self._shared_entries.of, secret.entries)))

    def _read_node(self, obj: Mapping[str, Any]) -> KeptNode:
        images = sorted(node_images(obj))
        return KeptNode(read_node(obj), tuple(map(self._shared_images.of, images)))

    def _node_changed(self, key: Key, old: KeptNode | None, new: KeptNode | None) -> None:
        if (old and old.facts) != (new and new.facts):
            self._node_changes += 1
        before, after = old.images if old else (), new.images if new else ()
        source = f"node {key.name}"
        self._images.change(source, before, after)
        # counted per node: two images of one host are one voice
        self._hosts.change(source, map(_host, before), map(_host, after))

    def _secret_changed(self, key: Key, old: PullSecret | None, new: PullSecret | None) -> None:
        self._secret_places.change(key.name, key.namespace, there=new is not None)
        before, after = secret_hosts(old), secret_hosts(new)
        self._secret_hosts.change(SecretPlace(key.namespace, key.name), before, after)

    def pods(self, namespace: str, *, seconds: Callable[[], float]) -> Iterator[Page]:
        """The pods of a namespace, read live, page by page, each within what `seconds` gives then. Raises ApiError.

        Without resourceVersion=0, with which an API server takes no notice of the limit and sends them all at once
        (seen with 1.36.3): a namespace may have more pods than this process has memory for. A pod may have a megabyte
        of annotations, so a page has a limit as well (TooLargeError).
        """
        path = collection_path("", "v1", "pods", namespace=namespace)
        return list_pages(
            self._connection,
            path,
            page=_POD_PAGE,
            timeout_seconds=seconds,
            one_snapshot=False,
            longest_bytes=_POD_PAGE_BYTES,
        )

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
        uid = (obj.get("metadata") or {}).get("uid")
        selector = label_selector((obj.get("spec") or {}).get("selector"))
        if uid is None or not selector:
            return False
        path = collection_path("apps", "v1", resource, namespace=workload.namespace)
        try:
            revisions = list_all(self._connection, path, query={"labelSelector": selector}, timeout_seconds=seconds)
            return any(_template_spec(item) == workload.spec for item in revisions if _owned_by(item, uid))
        except ApiError:
            return False


def label_selector(selector: object) -> str:
    """A LabelSelector as a query has it (`app=shop,tier in (a,b),!legacy`); empty for one that can't be read."""
    if not isinstance(selector, Mapping):
        return ""
    labels, expressions = selector.get("matchLabels") or {}, selector.get("matchExpressions") or ()
    parts = [f"{key}={value}" for key, value in labels.items()] if isinstance(labels, Mapping) else []
    for one in expressions if isinstance(expressions, list) else ():
        key, values = one.get("key"), ",".join(map(str, one.get("values") or ()))
        form = {"In": "{} in ({})", "NotIn": "{} notin ({})", "Exists": "{}", "DoesNotExist": "!{}"}
        parts.append(form.get(str(one.get("operator")), "").format(key, values))
    return ",".join(part for part in parts if part)


def policy_labels(namespace: Mapping[str, Any]) -> dict[str, str]:
    """The labels of a Namespace: pullproof's own set its modes, and policies select by any."""
    return dict((namespace.get("metadata") or {}).get("labels") or {})


@dataclass(frozen=True, slots=True)
class KeptNode:
    """What is kept of a Node: what decides where pods land, and the images it holds."""

    facts: NodeFacts
    images: tuple[str, ...]


def kept_secret(obj: Mapping[str, Any]) -> PullSecret:
    """A pull secret with as many keys as are judged and one more, which says so: any tenant can fill the cache."""
    secret = read_secret(obj)
    if len(secret.entries) <= _MOST_KEYS:
        return secret
    return replace(secret, entries=secret.entries[: _MOST_KEYS + 1])


def account_secrets(account: Mapping[str, Any]) -> tuple[str, ...]:
    """The names in a ServiceAccount's `imagePullSecrets`, in order; empty ones left out, as the kubelet does.

    Up to `_MOST_NAMES`: far more than are looked at, so none is ever taken for the last.
    """
    listed = account.get("imagePullSecrets") or ()
    return tuple(itertools.islice((name for one in listed if (name := one.get("name"))), _MOST_NAMES))


def secret_hosts(secret: PullSecret | None) -> set[str]:
    """The hosts (or globs) that a healthy pull secret speaks for."""
    if secret is None or secret.ignored or secret.problem is not None:
        return set()
    return {entry.location.host for entry in secret.entries if entry.location is not None and entry.location.host}


def node_images(node: Mapping[str, Any]) -> frozenset[str]:
    """The images that a Node says it holds (`status.images`, at most 50), as written there: canonical references."""
    images = (node.get("status") or {}).get("images") or ()
    return frozenset(name for image in images for name in image.get("names") or ())


def _host(image: str) -> str:
    return image.partition("/")[0].partition(":")[0]


def _is_stale(reflector: Reflector[Any]) -> bool:
    return reflector.stale_seconds(time.monotonic()) > STALE_AFTER_SECONDS


def _owned_by(item: Mapping[str, Any], uid: str) -> bool:
    owners = (item.get("metadata") or {}).get("ownerReferences") or ()
    return any(owner.get("uid") == uid and owner.get("controller") is True for owner in owners)


def _template_spec(revision: Mapping[str, Any]) -> Any:
    """The pod spec in a ReplicaSet or in a ControllerRevision's patch."""
    spec = (revision.get("spec") or (revision.get("data") or {}).get("spec")) or {}
    return (spec.get("template") or {}).get("spec")
