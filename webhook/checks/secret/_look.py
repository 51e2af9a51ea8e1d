"""What the checks of pull secrets share: what the kubelet would find for an image, and how much that says.

A registry that gives its images to everybody needs no credential; one that never does, needs one in any case; of most
nobody can tell from outside. And a cloud's own nodes may open their own registry without any secret. These two decide
how sure a finding may be.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from webhook.catalogue.registries import host_name, lookup, retired_of
from webhook.model.facts import Known, Unknown
from webhook.model.finding import Confidence
from webhook.model.memo import remember
from webhook.model.pulltrace import rows
from webhook.model.reference import DEFAULT_DOMAIN, Reference
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.catalogue.registries import Registry
    from webhook.checks.base import ImageSubject, WorkloadSubject
    from webhook.model.dockerconfig import PullSecret
    from webhook.model.facts import PullSecretList, SecretRef
    from webhook.model.keyring import LookUp
    from webhook.model.policy import ClusterPolicy

ACR: Final = "azure-container-registry"
IBM: Final = "ibm-cloud-container-registry"
ECR: Final = frozenset({"amazon-ecr", "amazon-eks-addon-images"})
GOOGLE: Final = frozenset({"google-artifact-registry", "google-container-registry"})

_IBM_GLOBAL: Final = frozenset({"icr.io", "private.icr.io"})
_PRIVATE_BECAUSE: Final = {
    ACR: "anonymous pull is off there unless the registry's owner turned it on",
    IBM: "the namespaces of its regional hosts are private",
}
_IDENTITY_OF: Final = {
    ACR: "azure",
    **dict.fromkeys(ECR, "aws"),
    **dict.fromkeys(GOOGLE, "gce"),
    "yandex-cr": "yandex",
    "redhat-registry-io": "openshift",
    "redhat-registry-connect": "openshift",
}
CLOUDS: Final = frozenset({"azure", "aws", "gcp", "yandex", "openshift"})
"""The keys of a registry's `node_identity` that say how its own cloud's nodes pull."""
_OFFICIAL: Final = "library/"
_SHOWN_ROWS: Final = 8
_NAME: Final = 63
_HOST: Final = 60


class Need(enum.Enum):
    """Whether a pull needs a credential."""

    NEVER = "never"
    MAYBE = "maybe"
    ALWAYS = "always"


class Identity(enum.Enum):
    """Whether the nodes may pull without any pull secret, by an identity of their own."""

    NONE = "none"
    UNSEEN = "no node is known"
    NODES = "nodes of the registry's own cloud"


@dataclass(frozen=True, slots=True)
class Look:
    """What the pull secrets of a workload are for one image. `unread`: one of them could not be read."""

    reference: Reference
    listed: PullSecretList
    found: LookUp
    need: Need
    unread: bool

    @property
    def uncovered(self) -> bool:
        """Whether it is known that no pull secret covers the image."""
        return not self.found.matches and self.found.broken is None and not self.unread


def look(subject: ImageSubject) -> Look | None:
    """None where the image names nothing, or where the list of pull secrets itself is unknown."""
    reference, listed = subject.reference, subject.facts.pull_secrets
    if not isinstance(reference, Reference) or isinstance(listed, Unknown):
        return None
    return listed.value.remembered("look", subject.container.image, lambda: _look(subject, reference, listed.value))


def relevant(subject: ImageSubject) -> Look | None:
    """What the pull secrets are for an image, where anything can be said of it.

    None for the common case, a public image and no pull secret, so that no check of this folder is run for it.
    """
    reference, listed = subject.reference, subject.facts.pull_secrets
    if isinstance(listed, Known) and listed.value.is_empty and isinstance(reference, Reference):
        return look(subject) if need(reference, subject.facts.policy.cluster) is Need.ALWAYS else None
    seen = look(subject)
    if seen is None or seen.found.matches:
        return seen
    if seen.need is Need.NEVER or not seen.uncovered:
        return None
    hidden = seen.listed.hidden
    some = seen.listed.refs or (isinstance(hidden, Known) and hidden.value)
    return seen if seen.need is Need.ALWAYS or some else None


def _look(subject: ImageSubject, reference: Reference, listed: PullSecretList) -> Look:
    return Look(
        reference=reference,
        listed=listed,
        found=listed.look_up(reference.repository),
        need=need(reference, subject.facts.policy.cluster),
        unread=any(isinstance(ref.secret, Unknown) for ref in listed.refs),
    )


def need(reference: Reference, policy: ClusterPolicy) -> Need:
    """Whether a pull of that image needs a credential from a pull secret, as far as its name and policy tell.

    Never where the nodes have one, or where they pull from elsewhere: what is needed there, no name tells.
    """
    if policy.tells_of_credentials:
        repository = reference.repository
        said = policy.credentials_of(repository)
        if said is not None:
            return Need.ALWAYS if said[1] == "required" else Need.NEVER
        if policy.is_pulled_elsewhere(repository) or policy.credential_hosts.find(repository):
            return Need.NEVER
    domain = reference.domain or reference.host
    if domain == DEFAULT_DOMAIN and reference.path.startswith(_OFFICIAL):
        return Need.NEVER
    return _need(domain)


@remember(4096)
def _need(domain: str) -> Need:
    registry = lookup(domain)
    if registry is None or retired_of(host_name(domain)) is not None:  # a dead host is another check's matter
        return Need.MAYBE
    if registry.anonymous_pull == "always":
        return Need.NEVER
    if registry.always_needs_credential or registry.id == ACR:
        return Need.ALWAYS
    return Need.ALWAYS if registry.id == IBM and host_name(domain) not in _IBM_GLOBAL else Need.MAYBE


def registry_of(reference: Reference) -> Registry | None:
    """The registry that serves an image."""
    return lookup(reference.domain or reference.host)


def cloud_of(reference: Reference) -> str | None:
    """The cloud whose nodes may pull that image by themselves, as `NodeSet.clouds` names it."""
    registry = registry_of(reference)
    return _IDENTITY_OF.get(registry.id) if registry is not None else None


def identity(subject: ImageSubject, reference: Reference) -> Identity:
    """Whether the nodes may pull that image by themselves; not so where policy says that they have no credential."""
    policy = subject.facts.policy.cluster
    cloud = cloud_of(reference)
    if cloud is None or policy.node_credentials is not None or policy.credentials_of(reference.repository) is not None:
        return Identity.NONE
    nodes = subject.facts.nodes
    if isinstance(nodes, Unknown) or not len(nodes.value):
        return Identity.UNSEEN
    return Identity.NODES if cloud in nodes.value.clouds() else Identity.NONE


def confidence(subject: ImageSubject, reference: Reference, *, meant: bool) -> Confidence:
    """How sure it is that a pull without a working pull secret fails.

    `meant`: somebody gave the workload a secret for this registry, so a pull by the nodes' identity is not expected.
    """
    if subject.container.pull_policy == "Never":
        return Confidence.ADVISORY
    helped_by = identity(subject, reference)
    if helped_by is Identity.NODES or (helped_by is Identity.UNSEEN and not meant):
        return Confidence.ADVISORY
    return Confidence.LIKELY


def is_certain(subject: ImageSubject, reference: Reference) -> bool:
    """Whether a pull without any credential fails for sure: policy says that the nodes have none, and none is enough.

    Few registries are known to give nothing without one; of the others policy may say it.
    """
    policy = subject.facts.policy.cluster
    if policy.node_credentials is None or subject.container.pull_policy == "Never":
        return False
    registry = registry_of(reference)
    said = policy.credentials_of(reference.repository)
    return said is not None or (registry is not None and registry.always_needs_credential)


def worst_uncovered(subject: WorkloadSubject) -> tuple[Confidence, ImageSubject | None]:
    """How sure it is that a secret which the kubelet can't use is missed, and the first image that misses it.

    No image is named where every one has another credential or needs none.
    """
    worst, missing = Confidence.ADVISORY, None
    for image in subject.images:
        seen = look(image)
        if seen is None or seen.need is Need.NEVER or not seen.uncovered:
            continue
        sure = confidence(image, seen.reference, meant=True)
        if missing is None or sure > worst:
            worst, missing = sure, image
    return worst, missing


def is_usable(secret: PullSecret) -> bool:
    """Whether the kubelet looks into it and can read it."""
    return not secret.ignored and secret.problem is None


def distinct(listed: PullSecretList) -> Iterator[SecretRef]:
    """The pull secrets, each name once."""
    seen: set[str] = set()
    for ref in listed.refs:
        if ref.name not in seen:
            seen.add(ref.name)
            yield ref


def field_of(subject: WorkloadSubject, listed: PullSecretList, name: str) -> str:
    """The JSON path at which the workload names that pull secret, or its ServiceAccount."""
    own = subject.workload.pull_secret_names
    if listed.source == "pod" and own is not None and name in own:
        return f"{subject.workload.pod_path}.imagePullSecrets[{own.index(name)}].name"
    return f"{subject.workload.pod_path}.serviceAccountName"


def shown(name: str) -> str:
    """The name of a Secret, namespace or ServiceAccount, as any text from a manifest is shown."""
    return printable(name, _NAME)


def host_of(reference: Reference) -> str:
    """The host with its port, as it is shown."""
    return printable(reference.domain or reference.host, _HOST)


def trace(seen: Look) -> tuple[str, ...]:
    """Where the list comes from, and a line for each key: why it is used, or why not."""
    listed = seen.listed
    whose = "the pod itself" if listed.source == "pod" else f"ServiceAccount {shown(listed.account)}"
    if not listed.refs:
        return (f"{whose} names no pull secret",)
    lines = [str(row) for row in rows(listed, seen.reference.repository)]
    left = len(lines) - _SHOWN_ROWS
    more = [f"and {left} more"] if left > 0 else []
    return (f"the pull secrets are those of {whose}", *lines[:_SHOWN_ROWS], *more)


def why_private(reference: Reference, policy: ClusterPolicy) -> str:
    """Why a credential is needed, as a line of evidence."""
    said = policy.credentials_of(reference.repository)
    if said is not None and said[1] == "required":
        return f"{said[0]} says that every pull needs a pull secret"
    registry = registry_of(reference)
    if registry is None or need(reference, policy) is not Need.ALWAYS:
        return f"whether {host_of(reference)} gives this image without a credential is not known"
    return f"{registry.name}: {_PRIVATE_BECAUSE.get(registry.id, 'every pull needs a credential')}"


def uses_account(subject: ImageSubject | WorkloadSubject, listed: PullSecretList) -> bool:
    """Whether a change of the ServiceAccount's list reaches the workload, its pods once they are made again.

    A pod that the API server has holds the list that its ServiceAccount had: then the two are equal.
    """
    if listed.source == "serviceAccount":
        return True
    workload = subject.workload
    if workload.is_template:
        return False
    own = tuple(name for name in workload.pull_secret_names or () if name)
    if workload.pull_secret_names is not None and not own:
        return False  # `[{name: ""}]` is there to have none
    return workload.pull_secret_names is None or listed.account_names == Known(own)
