"""The facts of a cluster at one moment, from paged lists: for commands that run once and end.

Why not `LiveCluster`: its watches and caches pay off over months; here everything is read once, in pages, projected as
it comes, and dropped. The projections are the same, so that a scan and the webhook know the same of an object.

What could not be read (no right, no answer) is Unknown with that as its reason, one kind of object at a time: a scan
without the right to list Secrets still judges hosts and platforms. Must not: judge, write, or keep anything of a Secret
but what `read_secret` keeps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from webhook.errors import Malformed
from webhook.model.dockerconfig import DOCKER_CFG, DOCKER_CONFIG_JSON, read_secret
from webhook.model.facts import NOT_LOOKED, Facts, Known, SecretPlace, Unknown, list_pull_secrets
from webhook.model.node import NodeSet, read_node, read_runtime_class
from webhook.model.policy_book import PolicyBook
from webhook.sources.cluster import account_secrets, node_images, policy_labels, secret_hosts
from webhook.sources.connection import collection_path, object_path
from webhook.sources.errors import ApiError, NotFoundError
from webhook.sources.evidence import EvidenceIndex, Places, SecretHosts
from webhook.sources.listing import list_all
from webhook.sources.policies import read_policies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from webhook.model.dockerconfig import PullSecret
    from webhook.model.facts import Fact, PullSecretList
    from webhook.model.node import NodeFacts, RuntimeClassScheduling
    from webhook.model.policy import ClusterPolicy
    from webhook.model.workload import Workload
    from webhook.sources.connection import Connection

T = TypeVar("T")

_LARGE_PAGE: Final = 50  # Secrets and Nodes may be large: see listing.py
_SMALL_PAGE: Final = 500


class Snapshot:
    """What was there when `read` was called.

    now: seconds since 1970. namespaces: those whose Secrets and ServiceAccounts are read, None for all of them; nodes
    are read whole in any case. timeout_seconds: per request.
    """

    def __init__(
        self,
        connection: Connection,
        policy: ClusterPolicy,
        *,
        now: int,
        namespaces: Sequence[str] | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        self._connection = connection
        self._base = policy
        self._book: Fact[PolicyBook] = NOT_LOOKED
        self._now = now
        self._namespaces = namespaces
        self._seconds = timeout_seconds
        self._labels: Fact[dict[str, Mapping[str, str]]] = NOT_LOOKED
        self._accounts: Fact[dict[tuple[str, str], tuple[str, ...]]] = NOT_LOOKED
        self._secrets: Fact[dict[tuple[str, str], PullSecret]] = NOT_LOOKED
        self._others: dict[tuple[str, str], Fact[PullSecret | None]] = {}
        self._nodes: Fact[NodeSet] = NOT_LOOKED
        self._runtime_classes: Fact[dict[str, RuntimeClassScheduling]] = NOT_LOOKED
        self._hosts = EvidenceIndex()
        self._images = EvidenceIndex()
        self._secret_places = Places()
        self._secret_hosts = SecretHosts()

    def read(self, on_kind: Callable[[str], None] = lambda _kind: None) -> None:
        """Read everything, once. Never raises; `on_kind` is told what is read next, for a progress bar."""
        on_kind("namespaces")
        self._labels = _known(self._read_labels)
        on_kind("policies")
        self._book = _known(self._read_book)
        on_kind("nodes")
        self._nodes = _known(self._read_nodes)
        on_kind("service accounts")
        self._accounts = _known(self._read_accounts)
        on_kind("pull secrets")
        self._secrets = _known(self._read_secrets)
        on_kind("runtime classes")
        self._runtime_classes = _known(self._read_runtime_classes)

    @property
    def unread(self) -> tuple[tuple[str, str], ...]:
        """What could not be read, each with why."""
        kinds: tuple[tuple[str, Fact[Any]], ...] = (
            ("namespaces", self._labels),
            ("policies", self._book),
            ("nodes", self._nodes),
            ("service accounts", self._accounts),
            ("pull secrets", self._secrets),
            ("runtime classes", self._runtime_classes),
        )
        return tuple((kind, fact.reason) for kind, fact in kinds if isinstance(fact, Unknown))

    @property
    def nodes(self) -> NodeSet:
        """The nodes; none where they could not be read."""
        return self._nodes.value if isinstance(self._nodes, Known) else NodeSet(())

    def facts(self, workload: Workload, *, stored: bool = True) -> Facts:
        """What is known around a workload that the cluster has; `stored` is as in `list_pull_secrets`."""
        labels = self._labels_of(workload.namespace)
        namespace = workload.namespace
        book = self._book.value if isinstance(self._book, Known) else PolicyBook(self._base)
        resolved = book.policy(namespace, labels.value) if isinstance(labels, Known) else book.unread(namespace)
        return Facts(
            policy=resolved,
            namespace_labels=labels,
            pull_secrets=self._pull_secrets(workload, stored=stored),
            nodes=self._nodes,
            runtime_class=self._runtime_class(workload),
            now=self._now,
            host_evidence=self._hosts.why_host,
            image_evidence=self._images.why,
            secret_namespaces=self._secret_places.of,
            secrets_for_host=self._secret_hosts.near,
        )

    def _labels_of(self, namespace: str) -> Fact[Mapping[str, str]]:
        if isinstance(self._labels, Unknown):
            return self._labels
        known = self._labels.value.get(namespace)
        return Unknown(f"there is no namespace {namespace}") if known is None else Known(known)

    def _pull_secrets(self, workload: Workload, *, stored: bool) -> Fact[PullSecretList]:
        namespace, accounts = workload.namespace, self._accounts
        if isinstance(self._secrets, Unknown):
            return self._secrets
        by_name = self._secrets.value
        account: Fact[tuple[str, ...] | None] = (
            accounts
            if isinstance(accounts, Unknown)
            else Known(accounts.value.get((namespace, workload.service_account)))
        )

        def secret(name: str) -> Fact[PullSecret | None]:
            known = by_name.get((namespace, name))
            return self._other_secret(namespace, name) if known is None else Known(known)

        return list_pull_secrets(workload, account, secret, stored=stored)

    def _other_secret(self, namespace: str, name: str) -> Fact[PullSecret | None]:
        """One that was not listed: of another type, or not there. Worth one read, once."""
        key = (namespace, name)
        if key not in self._others:
            self._others[key] = _known(lambda: self._read_secret(namespace, name))
        return self._others[key]

    def _runtime_class(self, workload: Workload) -> Fact[RuntimeClassScheduling | None]:
        name = workload.spec.get("runtimeClassName")
        # what a pod gets from its RuntimeClass it has got when it was admitted
        if not isinstance(name, str) or not name or not workload.is_template:
            return Known(None)
        if isinstance(self._runtime_classes, Unknown):
            return self._runtime_classes
        return Known(self._runtime_classes.value.get(name))

    # --- reading ----------------------------------------------------------------------------------------------------

    def _read_labels(self) -> dict[str, Mapping[str, str]]:
        if self._namespaces is None:
            listed = self._list(collection_path("", "v1", "namespaces"), page=_SMALL_PAGE)
            return {_key(obj)[1]: policy_labels(obj) for obj in listed}
        found = ((name, self._get(object_path("", "v1", "namespaces", name))) for name in self._namespaces)
        return {name: policy_labels(obj) for name, obj in found if obj is not None}

    def _read_book(self) -> PolicyBook:
        found = read_policies(self._connection, namespaces=self._namespaces, timeout_seconds=self._seconds)
        return PolicyBook(self._base, found)

    def _read_nodes(self) -> NodeSet:
        nodes: list[NodeFacts] = []
        for obj in self._list(collection_path("", "v1", "nodes"), page=_LARGE_PAGE):
            nodes.append(read_node(obj))
            images, source = node_images(obj), f"node {_key(obj)[1]}"
            self._images.change(source, (), images)
            self._hosts.change(source, (), {image.partition("/")[0].partition(":")[0] for image in images})
        return NodeSet(tuple(nodes))

    def _read_accounts(self) -> dict[tuple[str, str], tuple[str, ...]]:
        return {_key(obj): account_secrets(obj) for obj in self._list_in_scope("serviceaccounts", page=_SMALL_PAGE)}

    def _read_secrets(self) -> dict[tuple[str, str], PullSecret]:
        secrets: dict[tuple[str, str], PullSecret] = {}
        for kind in (DOCKER_CONFIG_JSON, DOCKER_CFG):
            for obj in self._list_in_scope("secrets", page=_LARGE_PAGE, query={"fieldSelector": f"type={kind}"}):
                secret = read_secret(obj)
                place = SecretPlace(secret.namespace, secret.name)
                hosts = secret_hosts(secret)
                secrets[place.namespace, place.name] = secret
                self._secret_places.change(place.name, place.namespace, there=True)
                self._hosts.change(f"pull secret {place.namespace}/{place.name}", (), hosts)
                self._secret_hosts.change(place, (), hosts)
        return secrets

    def _read_secret(self, namespace: str, name: str) -> PullSecret | None:
        obj = self._get(object_path("", "v1", "secrets", name, namespace=namespace))
        return None if obj is None else read_secret(obj)

    def _read_runtime_classes(self) -> dict[str, RuntimeClassScheduling]:
        listed = self._list(collection_path("node.k8s.io", "v1", "runtimeclasses"), page=_SMALL_PAGE)
        return {found.name: found for found in map(read_runtime_class, listed)}

    def _list_in_scope(
        self, resource: str, *, page: int, query: Mapping[str, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        for namespace in ("",) if self._namespaces is None else self._namespaces:
            yield from self._list(collection_path("", "v1", resource, namespace=namespace), page=page, query=query)

    def _list(self, path: str, *, page: int, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        return list_all(self._connection, path, query=query, page=page, timeout_seconds=self._seconds)

    def _get(self, path: str) -> dict[str, Any] | None:
        try:
            return self._connection.get_json(path, timeout_seconds=self._seconds)
        except NotFoundError:
            return None


def _known(read: Callable[[], T]) -> Fact[T]:
    """What `read` gives, or why it could not."""
    try:
        return Known(read())
    except (ApiError, Malformed) as error:
        return Unknown(str(error))


def _key(obj: Mapping[str, Any]) -> tuple[str, str]:
    metadata = obj.get("metadata") or {}
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")
