"""The facts around a workload that stand in the input itself: its Namespace, ServiceAccount, Secrets and Nodes.

What is not in the input is Unknown with that as its reason, never "not there": it may well be in the cluster. The same
projections are used as for a live cluster, so that both know the same.

Must not: ask a cluster, or keep anything of a Secret but what `read_secret` keeps.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Final

from webhook.errors import Malformed
from webhook.model.facts import Facts, Known, SecretPlace, Unknown, list_pull_secrets
from webhook.model.node import NodeSet, read_node, read_runtime_class
from webhook.model.policy_book import PolicyBook
from webhook.model.policy_spec import API_VERSION, CLUSTER_KIND, NAMESPACED_KIND, read_policy, refuse_unknown_fields
from webhook.model.text import printable
from webhook.model.workload import namespace_labels
from webhook.sources.evidence import EvidenceIndex, Places, SecretHosts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from webhook.model.dockerconfig import PullSecret
    from webhook.model.facts import Fact, PullSecretList
    from webhook.model.node import NodeFacts, RuntimeClassScheduling
    from webhook.model.policy import ClusterPolicy
    from webhook.model.policy_spec import PolicyObject
    from webhook.model.workload import Workload

_API_VERSIONS: Final = {
    "Namespace": "v1",
    "Secret": "v1",
    "ServiceAccount": "v1",
    "Node": "v1",
    "RuntimeClass": "node.k8s.io/v1",
    CLUSTER_KIND: API_VERSION,
    NAMESPACED_KIND: API_VERSION,
}
KINDS: Final = frozenset(_API_VERSIONS)
_NEVER: Final = object()
# the whole value: `${CONFIG}`, `<path:kv/data/hub#config>`, `{{ .config }}`, `ENC[…]`
_PLACEHOLDER: Final = re.compile(r"\s*(?:\$\{[^{}]*\}|\$\w+|<[^<>]*>|\{\{-?\s*[\w.$(][^{}]*\}\}|ENC\[[^\[\]]*\])\s*")


class Given:
    """What the objects added so far say. `namespace` is that of objects that name none; `now` as in `Facts`."""

    def __init__(self, namespace: str, policy: ClusterPolicy, *, now: int = 0) -> None:
        self._namespace = namespace
        self._base = policy
        self._policies: dict[str, PolicyObject] = {}
        self._book: PolicyBook | None = None
        self._now = now
        self._labels: dict[str, Mapping[str, str]] = {}
        self._accounts: dict[tuple[str, str], tuple[str, ...]] = {}
        self._secrets: dict[tuple[str, str], PullSecret] = {}
        self._unread_secrets: dict[tuple[str, str], Unknown] = {}
        self._nodes: dict[str, NodeFacts] = {}
        self._node_set: NodeSet | None = None
        self._runtime_classes: dict[str, RuntimeClassScheduling] = {}
        self._hosts = EvidenceIndex()
        self._images = EvidenceIndex()
        self._secret_places = Places()
        self._secret_hosts = SecretHosts()

    def add(self, obj: Mapping[str, Any]) -> bool:
        """Take in one object; False where it is none that facts are read from. Raises Malformed."""
        kind = obj.get("kind")
        if not isinstance(kind, str) or obj.get("apiVersion") != _API_VERSIONS.get(kind, _NEVER):
            return False
        metadata = obj.get("metadata") or {}
        if not isinstance(metadata, dict):
            raise Malformed("metadata", "no map where one belongs")
        name, namespace = metadata.get("name"), metadata.get("namespace") or self._namespace
        if not name and metadata.get("generateName"):
            return True  # nothing can speak of it: its name is made when it is
        if not isinstance(name, str) or not isinstance(namespace, str):
            raise Malformed("metadata.name", "no string where one belongs")
        if kind == "Namespace":
            self._labels[name] = namespace_labels(obj, null_is_absent=True)
        elif kind == "Secret":
            self._add_secret(obj, namespace, name)
        elif kind == "ServiceAccount":
            self._accounts[namespace, name] = tuple(_secret_names(obj))
        elif kind in {CLUSTER_KIND, NAMESPACED_KIND}:
            self._add_policy({**obj, "metadata": {**metadata, "namespace": namespace}})
        elif kind == "RuntimeClass":
            self._runtime_classes[name] = read_runtime_class(obj)
        else:
            self._add_node(obj, name)
        return True

    def labels(self, namespace: str) -> Mapping[str, str] | None:
        """The labels of a namespace, None where the input has no such Namespace."""
        return self._labels.get(namespace)

    def policies(self) -> Mapping[str, PolicyObject]:
        """The policies of the input, each by what it is called in explanations."""
        return self._policies

    def secret(self, namespace: str, name: str) -> PullSecret | None:
        """A Secret of the input, None where there is none."""
        return self._secrets.get((namespace, name))

    def facts(self, workload: Workload) -> Facts:
        """What the input says around a workload."""
        namespace = workload.namespace
        known = self._labels.get(namespace)
        labels: Fact[Mapping[str, str]] = _absent("Namespace", namespace) if known is None else Known(known)
        return Facts(
            # what a namespace without labels has: where it is not given, the default holds
            policy=self.book().policy(namespace, known or {}),
            namespace_labels=labels,
            pull_secrets=self._pull_secrets(workload),
            nodes=self._known_nodes(),
            runtime_class=self._runtime_class(workload),
            now=self._now,
            host_evidence=lambda host: self._host_evidence(host, namespace),
            image_evidence=self._images.why,
            secret_namespaces=self._secret_places.of,
            secrets_for_host=self._secret_hosts.near,
        )

    def book(self) -> PolicyBook:
        """The policies of the input, with what holds without any."""
        if self._book is None:
            self._book = PolicyBook(self._base, self._policies.values())
        return self._book

    def _add_policy(self, obj: Mapping[str, Any]) -> None:
        refuse_unknown_fields(obj)
        policy = read_policy(obj)
        if policy.problem is not None:
            path, _, message = policy.problem.partition(": ")
            raise Malformed(path, message)
        self._policies[policy.source] = policy
        self._book = None

    def _host_evidence(self, host: str, namespace: str) -> str | None:
        on_a_node = self._hosts.why(host)
        place = None if on_a_node else self._secret_hosts.of_namespace(host, namespace)
        return on_a_node if place is None else f"pull secret {place.namespace}/{place.name}"

    def _runtime_class(self, workload: Workload) -> Fact[RuntimeClassScheduling | None]:
        name = workload.spec.get("runtimeClassName")
        if not isinstance(name, str) or not name:
            return Known(None)
        known = self._runtime_classes.get(name)
        return _absent("RuntimeClass", name) if known is None else Known(known)

    def _pull_secrets(self, workload: Workload) -> Fact[PullSecretList]:
        namespace, account = workload.namespace, workload.service_account
        names = self._accounts.get((namespace, account))
        listed: Fact[tuple[str, ...] | None] = (
            _absent("ServiceAccount", f"{namespace}/{account}") if names is None else Known(names)
        )
        return list_pull_secrets(workload, listed, lambda name: self._secret(namespace, name), stored=False)

    def _secret(self, namespace: str, name: str) -> Fact[PullSecret | None]:
        secret = self.secret(namespace, name)
        if secret is not None:
            return Known(secret)
        return self._unread_secrets.get((namespace, name)) or _absent("Secret", f"{namespace}/{name}")

    def _known_nodes(self) -> Fact[NodeSet]:
        if not self._nodes:
            return Unknown("the input has no Node")
        if self._node_set is None:
            self._node_set = NodeSet(tuple(self._nodes.values()))
        return Known(self._node_set)

    def _add_secret(self, obj: Mapping[str, Any], namespace: str, name: str) -> None:
        from webhook.model.dockerconfig import DATA_KEYS, read_secret  # noqa: PLC0415 only where there are some
        from webhook.sources.cluster import secret_hosts  # noqa: PLC0415 brings the cluster's client along

        if (why := _to_come(obj, frozenset(DATA_KEYS.values()))) is not None:
            self._unread_secrets[namespace, name] = why
            return
        secret = read_secret({**obj, "metadata": {**obj["metadata"], "namespace": namespace}})
        old, self._secrets[namespace, name] = self._secrets.get((namespace, name)), secret
        if secret.type not in DATA_KEYS:
            return
        self._secret_places.change(name, namespace, there=True)
        before, after = secret_hosts(old), secret_hosts(secret)
        self._secret_hosts.change(SecretPlace(namespace, name), before, after)

    def _add_node(self, obj: Mapping[str, Any], name: str) -> None:
        from webhook.sources.cluster import node_images  # noqa: PLC0415 as in _add_secret

        self._nodes[name] = read_node(obj)
        self._node_set = None
        images: frozenset[str] = frozenset()
        with contextlib.suppress(AttributeError, TypeError):  # a status that a person wrote
            images = node_images(obj)
        self._images.change(f"node {name}", (), images)
        self._hosts.change(f"node {name}", (), {image.partition("/")[0].partition(":")[0] for image in images})


def _absent(kind: str, name: str) -> Unknown:
    return Unknown(f"the input has no {kind} {printable(name, 127)}")


def _to_come(secret: Mapping[str, Any], keys: frozenset[str]) -> Unknown | None:
    """Why the input's Secret says nothing of the one that there will be: tools of GitOps fill it in on its way."""
    if "sops" in secret:
        return Unknown("the Secret of the input is encrypted by sops")
    for content in (secret.get("data"), secret.get("stringData")):
        for key, value in content.items() if isinstance(content, dict) else ():
            if key in keys and isinstance(value, str) and _PLACEHOLDER.fullmatch(value):
                return Unknown("the Secret of the input is to be filled in")
    return None


def _secret_names(account: Mapping[str, Any]) -> Iterator[str]:
    listed = account.get("imagePullSecrets")
    if listed is None:
        return
    if not isinstance(listed, list):
        raise Malformed("imagePullSecrets", "no list where one belongs")
    for index, one in enumerate(listed):
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str | None) or not isinstance(one, dict):
            raise Malformed(f"imagePullSecrets[{index}]", "no secret's name where one belongs")
        if name:
            yield name
