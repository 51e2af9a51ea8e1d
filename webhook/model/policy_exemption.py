"""Who or what is excused, by whom, why, and until when.

An exemption says in one or more ways what it is for; all that it says has to hold. What a tenant can write is never
enough by itself: a workload is named together with its namespace, labels and annotations are not looked at, and an
ownerReference counts only in what a built-in controller asks for. One that would excuse the built-in controllers, and
so everything, is refused when it is read.

Must not: know what an exemption does to a finding (engine/excuse does).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from webhook.model.finding import Finding
    from webhook.model.policy_glob import ImageGlob
    from webhook.model.workload import Workload

ACCOUNT_PREFIX: Final = "system:serviceaccount:"
# kube-controller-manager's own names, with and without --use-service-account-credentials (Kubernetes 1.36)
CONTROLLERS: Final = frozenset(
    {"system:kube-controller-manager"}
    | {
        f"{ACCOUNT_PREFIX}kube-system:{name}"
        for name in (
            "cronjob-controller",
            "daemon-set-controller",
            "deployment-controller",
            "job-controller",
            "replicaset-controller",
            "replication-controller",
            "statefulset-controller",
        )
    }
)
EVERYBODY: Final = frozenset(
    {
        "system:authenticated",
        "system:unauthenticated",
        "system:serviceaccounts",
        "system:serviceaccounts:kube-system",
    }
)
"""Groups that the built-in controllers are in, or may be."""
_HASH_LABEL: Final = "pod-template-hash"
_CRON_SUFFIX: Final = re.compile(r"-[0-9]+")


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks, as the API server says."""

    name: str = ""
    groups: frozenset[str] = frozenset()

    @property
    def is_controller(self) -> bool:
        return self.name in CONTROLLERS


@dataclass(frozen=True, slots=True)
class WorkloadRule:
    """Workloads of one kind and one namespace; in `name` a `*` stands for any characters."""

    namespace: str
    kind: str
    name: str

    def covers(self, namespace: str, kind: str, name: str) -> bool:
        if namespace != self.namespace or kind != self.kind:
            return False
        return _fits(self.name, name)


def _fits(pattern: str, name: str) -> bool:
    """Whether a name is that of the pattern, where `*` stands for any characters.

    Each piece is looked for once, from the left: a regular expression with some stars takes hours, in which no other
    thread runs, and a tenant may write both of them.
    """
    first, star, rest = pattern.partition("*")
    if not star:
        return pattern == name
    *pieces, last = rest.split("*")
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for piece in pieces:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


@dataclass(frozen=True, slots=True)
class Exemption:
    """`expires` is in seconds since 1970. Empty lists say nothing; `source` is whose it is (`ClusterPullPolicy/a`)."""

    name: str
    reason: str
    expires: int
    images: tuple[ImageGlob, ...] = ()
    workloads: tuple[WorkloadRule, ...] = ()
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()
    runtime_classes: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    source: str = ""

    @property
    def asks_who(self) -> bool:
        return bool(self.users or self.groups or self.service_accounts)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as exemptions look at it: the names under which the workload goes, and who asks."""

    namespace: str
    names: tuple[tuple[str, str], ...]
    runtime_class: str
    who: Requester

    @property
    def account(self) -> str:
        """`namespace/name` of the ServiceAccount that asks, or empty."""
        if not self.who.name.startswith(ACCOUNT_PREFIX):
            return ""
        return self.who.name.removeprefix(ACCOUNT_PREFIX).replace(":", "/", 1)


def asked(workload: Workload, who: Requester, owners: object = None) -> Asked:
    """`owners` is the object's `metadata.ownerReferences`, as it stands in its JSON."""
    runtime_class = workload.spec.get("runtimeClassName")
    names = [(workload.kind, workload.name)] if workload.name else []
    if who.is_controller:
        names += _owner_names(workload, owners)
    return Asked(workload.namespace, tuple(names), runtime_class if isinstance(runtime_class, str) else "", who)


def _owner_names(workload: Workload, owners: object) -> Iterator[tuple[str, str]]:
    """The owner that a built-in controller wrote, and what that one's name says of its own owner."""
    for owner in owners if isinstance(owners, list) else ():
        if not isinstance(owner, Mapping) or owner.get("controller") is not True:
            continue
        kind, name = str(owner.get("kind")), str(owner.get("name"))
        yield kind, name
        suffix = workload.pod_labels.get(_HASH_LABEL, "")
        if kind == "ReplicaSet" and suffix and name.endswith(f"-{suffix}"):
            yield "Deployment", name.removesuffix(f"-{suffix}")
        elif kind == "Job" and (cut := name.rpartition("-"))[0] and _CRON_SUFFIX.fullmatch("-" + cut[2]):
            yield "CronJob", cut[0]


def covers(exemption: Exemption, finding: Finding, repository: str | None, request: Asked) -> bool:
    """Whether an exemption is for that finding; time is not looked at. `repository` is that of the finding's image."""
    who = request.who
    return (
        (not exemption.checks or finding.code in exemption.checks)
        and (
            not exemption.asks_who
            or who.name in exemption.users
            or not who.groups.isdisjoint(exemption.groups)
            or request.account in exemption.service_accounts
        )
        and (not exemption.runtime_classes or request.runtime_class in exemption.runtime_classes)
        and (
            not exemption.workloads
            or any(
                rule.covers(request.namespace, kind, name)
                for rule in exemption.workloads
                for kind, name in request.names
            )
        )
        and (
            not exemption.images
            or (repository is not None and any(glob.covers(repository) for glob in exemption.images))
        )
    )


class Exemptions:
    """Those of one namespace, found by what they are for, so that a thousand of others' cost nothing."""

    def __init__(self, exemptions: Iterable[Exemption] = ()) -> None:
        self.all = tuple(exemptions)
        self._by_key: dict[tuple[str, str], list[Exemption]] = {}
        for exemption in self.all:
            for key in _keys(exemption):
                self._by_key.setdefault(key, []).append(exemption)

    def __bool__(self) -> bool:
        return bool(self.all)

    def find(self, finding: Finding, repository: str | None, request: Asked) -> Iterator[Exemption]:
        """Those for that finding, expired ones too."""
        host = (repository or "").partition("/")[0].lower()
        keys = (
            ("user", request.who.name),
            *(("group", group) for group in request.who.groups),
            ("account", request.account),
            ("namespace", request.namespace),
            ("runtimeClass", request.runtime_class),
            ("host", host),
            ("suffix", _suffix(host)),
            ("check", finding.code),
        )
        seen: set[int] = set()
        for key in keys:
            for exemption in self._by_key.get(key, ()):
                if id(exemption) not in seen and covers(exemption, finding, repository, request):
                    seen.add(id(exemption))
                    yield exemption


def _keys(exemption: Exemption) -> Iterator[tuple[str, str]]:
    """Where an exemption is looked for: by the first thing it says."""
    if exemption.asks_who:
        yield from (("user", name) for name in exemption.users)
        yield from (("group", name) for name in exemption.groups)
        yield from (("account", name) for name in exemption.service_accounts)
    elif exemption.workloads:
        yield from {("namespace", rule.namespace) for rule in exemption.workloads}
    elif exemption.runtime_classes:
        yield from (("runtimeClass", name) for name in exemption.runtime_classes)
    elif exemption.images:
        for glob in exemption.images:
            yield ("suffix", _suffix(glob.host)) if "*" in glob.host else ("host", glob.host)
    else:
        yield from (("check", code) for code in exemption.checks)


def _suffix(host: str) -> str:
    return ".".join(host.split(".")[-2:])
