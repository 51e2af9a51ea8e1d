"""What is known, and what could not be looked up, when a check runs.

A check never does I/O: the caller gathers these values before. `Unknown` carries the reason, so that "could not look"
stays distinguishable from both "fine" and "broken" all the way to the report.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar

from webhook.model.keyring import look_up
from webhook.model.policy import ClusterPolicy, of_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from webhook.model.dockerconfig import PullSecret
    from webhook.model.keyring import LookUp
    from webhook.model.node import NodeSet, RuntimeClassScheduling
    from webhook.model.platform import ImagePlatforms
    from webhook.model.policy import Policy
    from webhook.model.workload import Workload

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Known(Generic[T_co]):
    value: T_co


@dataclass(frozen=True, slots=True)
class Unknown:
    """Could not look; `reason` completes the sentence "unknown, because …"."""

    reason: str


Fact: TypeAlias = Known[T_co] | Unknown

_REMEMBERED = 256  # images of one list: a workload has few, `inspect` may read millions
NOT_LOOKED = Unknown("not looked up")
Evidence: TypeAlias = Callable[[str], str | None]


def no_evidence(_text: str) -> str | None:
    """The evidence of a place that knows nothing."""
    return None


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A pull secret by name; `Known(None)` means that the namespace has none of that name."""

    name: str
    secret: Fact[PullSecret | None]


_NONE_HIDDEN: Final[Fact[tuple[SecretRef, ...]]] = Known(())


@dataclass(frozen=True, slots=True)
class PullSecretList:
    """The pull secrets that the kubelet will use for a pod, in its order, and where that list comes from.

    Each name stands once, as what is listed again adds nothing.

    `source`: the pod's own `imagePullSecrets`, which *replaces* the ServiceAccount's (also `[{name: ""}]` does), or the
    ServiceAccount's. `account` is the ServiceAccount's name, `account_names` are those in its list; `hidden` holds its
    secrets that the pod's own list replaces, and `Known(())` otherwise. `account_exists` is Unknown where it was not
    looked up.
    """

    source: Literal["pod", "serviceAccount"]
    account: str
    refs: tuple[SecretRef, ...]
    hidden: Fact[tuple[SecretRef, ...]] = _NONE_HIDDEN
    account_exists: Fact[bool] = NOT_LOOKED
    account_names: Fact[tuple[str, ...]] = NOT_LOOKED
    _remembered: dict[tuple[str, str], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def is_empty(self) -> bool:
        """Whether no pull secret is listed, and none is hidden by an own list."""
        return not self.refs and self.hidden == _NONE_HIDDEN

    def known_secrets(self) -> tuple[PullSecret, ...]:
        """Those that exist, in order."""
        return tuple(ref.secret.value for ref in self.refs if isinstance(ref.secret, Known) and ref.secret.value)

    def look_up(self, repository: str) -> LookUp:
        """What the kubelet finds in those that exist."""
        return self.remembered("found", repository, lambda: look_up(self.known_secrets(), repository))

    def remembered(self, what: str, of: str, make: Callable[[], T]) -> T:
        """What `make` makes of this list and `of`, made once: every check of pull secrets asks the same."""
        key = (what, of)
        found: T | None = self._remembered.get(key)
        if found is None:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            found = self._remembered[key] = make()
        return found


def list_pull_secrets(
    workload: Workload,
    account: Fact[tuple[str, ...] | None],
    secret: Callable[[str], Fact[PullSecret | None]],
    *,
    stored: bool,
) -> Fact[PullSecretList]:
    """The pull secrets of a workload: its own list if it has one, else its ServiceAccount's.

    account: the names in the ServiceAccount's list, in order; None where there is no such ServiceAccount.
    secret: looks up one Secret of the workload's namespace by name.
    stored: the API server has it, or is about to. Into such a Pod admission has merged the ServiceAccount's list
        already (plugin/pkg/admission/serviceaccount, Kubernetes 1.36), so that no list means no pull secret, whatever
        the ServiceAccount has got since.
    """

    def refs(names: Iterable[str]) -> tuple[SecretRef, ...]:
        return tuple(SecretRef(name, secret(name)) for name in dict.fromkeys(names) if name)

    own = workload.pull_secret_names
    if own is None and stored and not workload.is_template:
        own = ()
    name = workload.service_account
    if isinstance(account, Unknown):
        return account if own is None else Known(PullSecretList("pod", name, refs(own), account, account, account))
    exists, names = Known(account.value is not None), account.value or ()
    if own is None:
        return Known(
            PullSecretList("serviceAccount", name, refs(names), account_exists=exists, account_names=Known(names))
        )
    # by name only: what an own list hides matters where a name in it is none of the pod's
    shown = frozenset(own)
    hidden = refs(listed for listed in names if listed not in shown)
    return Known(PullSecretList("pod", name, refs(own), Known(hidden), exists, Known(names)))


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """Where a pull secret is."""

    namespace: str
    name: str


def nowhere(_name: str) -> tuple[str, ...]:
    """The `secret_namespaces` of a place that knows no Secrets."""
    return ()


def no_secret_for(_host: str, _namespace: str) -> tuple[SecretPlace, ...]:
    """The `secrets_for_host` of a place that knows no Secrets."""
    return ()


def platforms_not_looked_up(_image: str) -> Fact[ImagePlatforms]:
    """The `image_platforms` of a place that asks no registry."""
    return NOT_LOOKED


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything outside the object that a verdict on one workload may rest on.

    `policy` is what holds in its namespace; `now` is in seconds since 1970, 0 where no clock was given.
    `host_evidence(host)` says why this place knows a registry host (`pull secret team-a/regcred`), or None;
    `image_evidence(reference)` says which node already has an image (canonical form, with tag or digest);
    `secret_namespaces(name)` names a few namespaces that have a pull secret of that name, `default` first;
    `secrets_for_host(host, namespace)` names a few pull secrets for a host, those of the namespace first. All answer in
    constant time, however many hosts, images and secrets there are; absence proves nothing.
    """

    policy: Policy = field(default_factory=lambda: of_labels({}, ClusterPolicy()))
    namespace_labels: Fact[Mapping[str, str]] = NOT_LOOKED
    pull_secrets: Fact[PullSecretList] = NOT_LOOKED
    nodes: Fact[NodeSet] = NOT_LOOKED
    runtime_class: Fact[RuntimeClassScheduling | None] = NOT_LOOKED
    now: int = 0
    host_evidence: Evidence = no_evidence
    image_evidence: Evidence = no_evidence
    secret_namespaces: Callable[[str], tuple[str, ...]] = nowhere
    secrets_for_host: Callable[[str, str], tuple[SecretPlace, ...]] = no_secret_for
    image_platforms: Callable[[str], Fact[ImagePlatforms]] = platforms_not_looked_up
