"""What a ClusterPullPolicy or a PullPolicy says, read from its JSON.

The CRDs in manifests/base are the one source of the fields; a test holds these dataclasses to them. The API server has
refused most mistakes by then; what a schema can't see (a selector that means nothing) is `Malformed` here, and so is
everything that the schema refuses, since `check` and `policy test` read files that no API server has seen.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from webhook.errors import Malformed
from webhook.model.finding import Confidence, Level
from webhook.model.node import join, read_list, read_map, read_text
from webhook.model.policy_exemption import ACCOUNT_PREFIX, CONTROLLERS, EVERYBODY, Exemption, WorkloadRule
from webhook.model.policy_glob import BadGlob, read_glob
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webhook.model.policy_glob import ImageGlob

T = TypeVar("T")
Json = Mapping[str, Any]

GROUP: Final = "pullproof.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CLUSTER_KIND: Final = "ClusterPullPolicy"
NAMESPACED_KIND: Final = "PullPolicy"
NAME_LABEL: Final = "kubernetes.io/metadata.name"
"""Set by the API server on every namespace, and nobody can change it."""

LEVEL_WORDS: Final[Mapping[str, Level]] = {level.word: level for level in reversed(Level)}
SWITCH: Final[Mapping[str, bool]] = {"enabled": True, "disabled": False}
CREDENTIALS: Final = ("required", "nodeIdentity", "anonymous")
NODE_CREDENTIALS: Final = ("none", "listed")
DELEGATIONS: Final = ("levels", "confidence", "registries", "exemptions")
_CONFIDENCES: Final[Mapping[str, Confidence]] = {
    one.word: one for one in (Confidence.CERTAIN, Confidence.LIKELY, Confidence.ADVISORY)
}
_CODE: Final = re.compile(r"PULL[0-9]{3}")
_LABEL_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist")
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of a selector; `matchLabels` reads as `In` with one value."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """apimachinery/pkg/labels Requirement.Matches (v0.36): a key that is missing satisfies NotIn."""
        if self.operator == "In":
            return labels.get(self.key) in self.values
        if self.operator == "NotIn":
            return self.key not in labels or labels[self.key] not in self.values
        return (self.key in labels) is (self.operator == "Exists")


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels as far as they are said; `inject_os` is of `defaults` alone."""

    enforce: Level | None = None
    warn: Level | None = None
    audit: Level | None = None
    inject_os: bool | None = None


@dataclass(frozen=True, slots=True)
class ConfidenceRule:
    check: str
    confidence: Confidence


@dataclass(frozen=True, slots=True)
class RegistryRule:
    """What the platform team knows of a registry, or of some of its repositories."""

    match: ImageGlob
    credentials: str | None = None
    mirrors: tuple[str, ...] = ()
    os: str | None = None


@dataclass(frozen=True, slots=True)
class NodesRule:
    """What the nodes do that the API does not show."""

    rewrites: tuple[ImageGlob, ...] = ()
    preloaded: tuple[ImageGlob, ...] = ()
    credentials: str | None = None
    credential_hosts: tuple[ImageGlob, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterPullPolicySpec:
    priority: int = 0
    namespace_selector: tuple[Requirement, ...] = ()
    defaults: Levels = Levels()
    floor: Levels = Levels()
    templates: str | None = None
    confidence: tuple[ConfidenceRule, ...] = ()
    registries: tuple[RegistryRule, ...] = ()
    allowed_registries: tuple[ImageGlob, ...] = ()
    nodes: NodesRule = NodesRule()
    exemptions: tuple[Exemption, ...] = ()
    delegate: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class PullPolicySpec:
    levels: Levels = Levels()
    templates: str | None = None
    confidence: tuple[ConfidenceRule, ...] = ()
    registries: tuple[RegistryRule, ...] = ()
    allowed_registries: tuple[ImageGlob, ...] = ()
    exemptions: tuple[Exemption, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyObject:
    """One object of either kind: `spec` is None where it says something that can't be, and `problem` says what."""

    kind: str
    namespace: str
    name: str
    generation: int
    spec: ClusterPullPolicySpec | PullPolicySpec | None
    problem: str | None = None

    @property
    def source(self) -> str:
        """As it is named in explanations: `ClusterPullPolicy/a`, `PullPolicy/shop/a`."""
        return "/".join(filter(None, (self.kind, self.namespace, self.name)))


def read_policy(obj: Json) -> PolicyObject:
    """A policy from its JSON; what is wrong in its spec is its `problem`. Raises `Malformed` for what is no policy."""
    kind = read_text(obj, "kind", "")
    if kind not in {CLUSTER_KIND, NAMESPACED_KIND}:
        raise Malformed("kind", f"none of {CLUSTER_KIND}, {NAMESPACED_KIND}")
    metadata = read_map(obj, "metadata", "")
    namespace = read_text(metadata, "namespace", "metadata") if kind == NAMESPACED_KIND else ""
    name = read_text(metadata, "name", "metadata")
    generation = metadata.get("generation")
    made = PolicyObject(kind, namespace, name, generation if isinstance(generation, int) else 0, None)
    try:
        return PolicyObject(kind, namespace, name, made.generation, read_spec(obj, source=made.source))
    except Malformed as malformed:
        return PolicyObject(kind, namespace, name, made.generation, None, str(malformed))


def read_spec(obj: Json, *, source: str = "") -> ClusterPullPolicySpec | PullPolicySpec:
    """The spec of either kind. Raises `Malformed` with the path of the first thing that can't be."""
    spec, at = read_map(obj, "spec", ""), "spec"
    clusterwide = obj.get("kind") == CLUSTER_KIND
    metadata = read_map(obj, "metadata", "")
    home = "" if clusterwide else read_text(metadata, "namespace", "metadata")
    templates = _word(spec, "templates", at, ("deny", "warn") if clusterwide else ("deny",))
    confidence = tuple(read_list(spec, "confidence", at, _confidence))
    _unique((one.check for one in confidence), join(at, "confidence"))
    registries = tuple(read_list(spec, "registries", at, _registry))
    _unique((one.match.text for one in registries), join(at, "registries"))
    exemptions = tuple(read_list(spec, "exemptions", at, lambda item, here: _exemption(item, here, home, source)))
    _unique((one.name for one in exemptions), join(at, "exemptions"))
    allowed = _globs(spec, "allowedRegistries", at)
    if not clusterwide:
        levels = _levels(read_map(spec, "levels", at), join(at, "levels"))
        return PullPolicySpec(levels, templates, confidence, registries, allowed, exemptions)
    priority = spec.get("priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise Malformed("spec.priority", "a number belongs here")
    delegate = _texts(spec, "delegate", at)
    for word in delegate:
        if word not in DELEGATIONS:
            raise Malformed("spec.delegate", f"{_shown(word)} is none of {', '.join(DELEGATIONS)}")
    return ClusterPullPolicySpec(
        priority=priority,
        namespace_selector=_selector(read_map(spec, "namespaceSelector", at), "spec.namespaceSelector"),
        defaults=_levels(read_map(spec, "defaults", at), "spec.defaults"),
        floor=_levels(read_map(spec, "floor", at), "spec.floor"),
        templates=templates,
        confidence=confidence,
        registries=registries,
        allowed_registries=allowed,
        nodes=_nodes(read_map(spec, "nodes", at), "spec.nodes"),
        exemptions=exemptions,
        delegate=delegate if "delegate" in spec else None,
    )


_LEVELS: Final = {"enforce": None, "warn": None, "audit": None}
_EXEMPTION: Final = {
    "name": None,
    "reason": None,
    "expires": None,
    "images": None,
    "runtimeClasses": None,
    "checks": None,
}
_SHARED: Final[Mapping[str, Any]] = {
    "templates": None,
    "confidence": {"check": None, "confidence": None},
    "registries": {"match": None, "credentials": None, "mirrors": None, "os": None},
    "allowedRegistries": None,
}
FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    CLUSTER_KIND: {
        **_SHARED,
        "priority": None,
        "namespaceSelector": {
            "matchLabels": None,
            "matchExpressions": {"key": None, "operator": None, "values": None},
        },
        "defaults": {**_LEVELS, "injectOS": None},
        "floor": _LEVELS,
        "nodes": {"rewrites": None, "preloaded": None, "credentials": None, "credentialHosts": None},
        "exemptions": {
            **_EXEMPTION,
            "workloads": {"namespace": None, "kind": None, "name": None},
            "users": None,
            "groups": None,
            "serviceAccounts": None,
        },
        "delegate": None,
    },
    NAMESPACED_KIND: {
        **_SHARED,
        "levels": _LEVELS,
        "exemptions": {**_EXEMPTION, "workloads": {"kind": None, "name": None}},
    },
}
"""What a spec may hold, field by field: below each, what that one (or each item of that list) may hold."""


def refuse_unknown_fields(obj: Json) -> None:
    """Raises `Malformed` for a field of the spec that means nothing: its writer would believe that it does.

    For files. The API server drops such a field with a warning, and one that a newer CRD has must not disable a policy.
    """
    _refuse(obj.get("spec"), "spec", FIELDS.get(str(obj.get("kind"))))


def _refuse(value: Any, at: str, fields: Mapping[str, Any] | None) -> None:
    if fields is None:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            _refuse(item, f"{at}[{index}]", fields)
    elif isinstance(value, Mapping):
        for key, held in value.items():
            if key not in fields:
                raise Malformed(join(at, printable(str(key), _SHOWN)), "no such field")
            _refuse(held, join(at, key), fields[key])


def _levels(holder: Json, at: str) -> Levels:
    found = {mode: _choice(holder, mode, at, LEVEL_WORDS) for mode in ("enforce", "warn", "audit")}
    return Levels(**found, inject_os=_choice(holder, "injectOS", at, SWITCH))


def _choice(holder: Json, key: str, at: str, words: Mapping[str, T]) -> T | None:
    text = _word(holder, key, at, tuple(words))
    return None if text is None else words[text]


def _word(holder: Json, key: str, at: str, words: tuple[str, ...]) -> str | None:
    if holder.get(key) is None:
        return None
    text = read_text(holder, key, at)
    if text not in words:
        raise Malformed(join(at, key), f"{_shown(text)} is none of {', '.join(words)}")
    return text


def _selector(holder: Json, at: str) -> tuple[Requirement, ...]:
    """apimachinery/pkg/apis/meta/v1 LabelSelectorAsSelector (v0.36). Raises `Malformed`."""
    labels = read_map(holder, "matchLabels", at)
    found = [_requirement(key, "In", [value], join(at, "matchLabels")) for key, value in labels.items()]

    def expression(item: Json, here: str) -> Requirement:
        values = item.get("values") or []
        return _requirement(item.get("key"), item.get("operator"), values, here)

    return (*found, *read_list(holder, "matchExpressions", at, expression))


def _requirement(key: object, operator: object, values: object, at: str) -> Requirement:
    if not isinstance(key, str) or not _is_label_key(key):
        raise Malformed(at, f"{_shown(str(key))} is no key of a label")
    if operator not in _OPERATORS:
        raise Malformed(at, f"operator {_shown(str(operator))} is none of {', '.join(_OPERATORS)}")
    if not isinstance(values, list) or not all(
        isinstance(one, str) and (not one or _LABEL_NAME.fullmatch(one)) for one in values
    ):
        raise Malformed(at, "values holds what is no value of a label")
    if (operator in {"In", "NotIn"}) is not bool(values):
        raise Malformed(at, f"operator {operator} {'takes no values' if values else 'needs values'}")
    return Requirement(key, str(operator), frozenset(values))


def _is_label_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    parts = prefix.split(".")
    return _LABEL_NAME.fullmatch(name) is not None and (
        not slash or all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", part) for part in parts)
    )


def _confidence(item: Json, at: str) -> ConfidenceRule:
    found = _choice(item, "confidence", at, _CONFIDENCES)
    if found is None:
        raise Malformed(join(at, "confidence"), "missing")
    return ConfidenceRule(_code(read_text(item, "check", at), join(at, "check")), found)


def _code(text: str, at: str) -> str:
    if not _CODE.fullmatch(text) or text.startswith("PULL9"):
        raise Malformed(at, f"{_shown(text)} is no check: write PULL and three digits; what is unknown (9xx) stays so")
    return text


def _registry(item: Json, at: str) -> RegistryRule:
    return RegistryRule(
        match=_glob(read_text(item, "match", at), join(at, "match")),
        credentials=_word(item, "credentials", at, CREDENTIALS),
        mirrors=tuple(glob.text for glob in _globs(item, "mirrors", at)),
        os=_word(item, "os", at, ("linux", "windows")),
    )


def _nodes(item: Json, at: str) -> NodesRule:
    credentials = _word(item, "credentials", at, NODE_CREDENTIALS)
    hosts = _globs(item, "credentialHosts", at)
    if (credentials == "listed") is not bool(hosts):
        raise Malformed(at, _LISTED)
    return NodesRule(_globs(item, "rewrites", at), _globs(item, "preloaded", at), credentials, hosts)


_LISTED: Final = "credentialHosts goes with `credentials: listed`, and with nothing else"
_SAYS_NOTHING: Final = (
    "says nobody and nothing: name images, workloads, users, groups, serviceAccounts, runtimeClasses or checks"
)


def _exemption(item: Json, at: str, home: str, source: str) -> Exemption:
    """`home` is the namespace of a PullPolicy, to which its exemptions are bound; empty for a cluster's."""

    def workload(rule: Json, here: str) -> WorkloadRule:
        return WorkloadRule(
            home or _required(rule, "namespace", here), _required(rule, "kind", here), _required(rule, "name", here)
        )

    found = Exemption(
        name=_required(item, "name", at),
        reason=_required(item, "reason", at),
        expires=_time(_required(item, "expires", at), join(at, "expires")),
        images=_globs(item, "images", at),
        workloads=tuple(read_list(item, "workloads", at, workload)),
        users=_texts(item, "users", at),
        groups=_texts(item, "groups", at),
        service_accounts=_texts(item, "serviceAccounts", at),
        runtime_classes=_texts(item, "runtimeClasses", at),
        checks=tuple(_code(code, join(at, "checks")) for code in _texts(item, "checks", at)),
        source=source,
    )
    _unique((f"{one.namespace}/{one.kind}/{one.name}" for one in found.workloads), join(at, "workloads"))
    if home and found.asks_who:
        raise Malformed(at, "who asks is for the platform team to say: only a ClusterPullPolicy may exempt users")
    if not (found.images or found.workloads or found.asks_who or found.runtime_classes or found.checks):
        raise Malformed(at, _SAYS_NOTHING)
    accounts = (f"{ACCOUNT_PREFIX}{name.replace('/', ':', 1)}" for name in found.service_accounts)
    for name in (*found.users, *accounts):
        if name in CONTROLLERS:
            raise Malformed(at, f"would exempt {name}, which makes everybody's pods, and so everything")
        if "*" in name:
            raise Malformed(at, f"{_shown(name)}: users and serviceAccounts are whole names, without `*`")
    for name in found.service_accounts:
        if name.count("/") != 1 or name.startswith("/") or name.endswith("/"):
            raise Malformed(join(at, "serviceAccounts"), f"write {_shown(name)} as namespace/name")
    for name in found.groups:
        if name in EVERYBODY or "*" in name:
            raise Malformed(at, f"group {_shown(name)} holds the built-in controllers, and so everything")
    return found


def _time(text: str, at: str) -> int:
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        raise Malformed(at, f"{_shown(text)} is no time: write 2027-01-31T00:00:00Z") from None
    if when.tzinfo is None:
        raise Malformed(at, f"{_shown(text)} says no time zone: write 2027-01-31T00:00:00Z")
    try:
        return int(when.astimezone(dt.UTC).timestamp())
    except OverflowError:
        raise Malformed(at, f"{_shown(text)} is no time: write 2027-01-31T00:00:00Z") from None


def _required(item: Json, key: str, at: str) -> str:
    text = read_text(item, key, at)
    if not text:
        raise Malformed(join(at, key), "missing")
    return text


def _texts(item: Json, key: str, at: str) -> tuple[str, ...]:
    value = item.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise Malformed(join(at, key), "a list of strings belongs here")
    _unique(value, join(at, key))
    return tuple(value)


def _globs(item: Json, key: str, at: str) -> tuple[ImageGlob, ...]:
    return tuple(_glob(text, f"{join(at, key)}[{index}]") for index, text in enumerate(_texts(item, key, at)))


def _glob(text: str, at: str) -> ImageGlob:
    try:
        return read_glob(text)
    except BadGlob as bad:
        raise Malformed(at, str(bad)) from None


def _unique(keys: Iterable[str], at: str) -> None:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise Malformed(at, f"{_shown(key)} is there twice")
        seen.add(key)


def _shown(text: str) -> str:
    return f"`{printable(text, _SHOWN)}`"
