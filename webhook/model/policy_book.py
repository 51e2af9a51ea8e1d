"""All policies of a cluster, made ready so that a review only looks up what holds in its namespace.

The work is done when a policy changes, not when a pod is made: policies are sorted and indexed by the labels that they
ask for, and what several namespaces share is merged once. A book never changes; a new policy makes a new book.

Two cluster policies that say different things of one setting: the higher priority holds, then the name that sorts
first, and the other one is told so in its status. What they list (rewrites, preloaded images, exemptions) adds up.

Must not: read a cluster, look at a clock, or decide about a workload.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from webhook.model.policy import (
    MODES,
    AllowList,
    Override,
    OwnerLevels,
    Sourced,
    of_labels,
    of_unread_namespace,
)
from webhook.model.policy_exemption import Exemptions
from webhook.model.policy_glob import GlobTable
from webhook.model.policy_spec import NAME_LABEL, ClusterPullPolicySpec, PullPolicySpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from webhook.model.policy import ClusterPolicy, Policy
    from webhook.model.policy_exemption import Exemption
    from webhook.model.policy_spec import PolicyObject, Requirement

_REMEMBERED: Final = 16_384


@dataclass(frozen=True, slots=True)
class Conflict:
    """`loser` says something of `setting` that does not hold, for `winner` says something else or does not allow it."""

    loser: str
    setting: str
    winner: str


@dataclass(frozen=True, slots=True)
class _Clusterwide:
    source: str
    name: str
    spec: ClusterPullPolicySpec


@dataclass(frozen=True, slots=True)
class _Owners:
    source: str
    spec: PullPolicySpec


@dataclass(frozen=True, slots=True)
class Merged:
    """What a set of policies comes to, and what of them does not hold."""

    cluster: ClusterPolicy
    conflicts: tuple[Conflict, ...] = ()


class PolicyBook:
    """`base` is what holds without any policy; objects without a spec (they say what can't be) are left out."""

    def __init__(self, base: ClusterPolicy, policies: Iterable[PolicyObject] = ()) -> None:
        self.base = base
        clusterwide: list[_Clusterwide] = []
        owners: dict[str, list[_Owners]] = {}
        for policy in policies:
            if isinstance(policy.spec, ClusterPullPolicySpec):
                clusterwide.append(_Clusterwide(policy.source, policy.name, policy.spec))
            elif isinstance(policy.spec, PullPolicySpec):
                owners.setdefault(policy.namespace, []).append(_Owners(policy.source, policy.spec))
        self._clusterwide = sorted(clusterwide, key=lambda one: (-one.spec.priority, one.name))
        self._owners = {
            namespace: tuple(sorted(found, key=lambda one: one.source)) for namespace, found in owners.items()
        }
        self._anywhere: list[int] = []  # those that no label tells of beforehand
        self._by_label: dict[tuple[str, str], list[int]] = {}
        for index, one in enumerate(self._clusterwide):
            chosen = _index_requirement(one.spec.namespace_selector)
            if chosen is None:
                self._anywhere.append(index)
            else:
                for value in chosen.values:
                    self._by_label.setdefault((chosen.key, value), []).append(index)
        self._merged: dict[tuple[tuple[int, ...], str], Merged] = {}
        self._policies: dict[str, tuple[Mapping[str, str], Policy]] = {}

    def policy(self, namespace: str, labels: Mapping[str, str]) -> Policy:
        """What holds in a namespace with those labels; as long as it is asked with the same mapping, for a look-up."""
        known = self._policies.get(namespace)
        if known is not None and known[0] is labels:
            return known[1]
        found = of_labels(labels, self.cluster_policy(namespace, labels))
        if len(self._policies) >= _REMEMBERED:
            self._policies.clear()
        self._policies[namespace] = (labels, found)
        return found

    def unread(self, namespace: str) -> Policy:
        """What holds in a namespace whose labels could not be read.

        Settings of the policies that its name alone makes sure of, and the strictest floor of all that may be for it.
        """
        by_name = {NAME_LABEL: namespace}
        sure = tuple(
            index
            for index, one in enumerate(self._clusterwide)
            if all(need.key == NAME_LABEL and need.holds(by_name) for need in one.spec.namespace_selector)
        )
        cluster = self._merge(sure, namespace).cluster
        floor = cluster.floor
        for one in self._clusterwide:
            if all(need.key != NAME_LABEL or need.holds(by_name) for need in one.spec.namespace_selector):
                said = {mode: level for mode in MODES if (level := getattr(one.spec.floor, mode)) is not None}
                floor = replace(floor, **{mode: min(getattr(floor, mode), level) for mode, level in said.items()})
        return of_unread_namespace(replace(cluster, floor=floor))

    def cluster_policy(self, namespace: str, labels: Mapping[str, str]) -> ClusterPolicy:
        """What is fixed for a namespace with those labels, labels of modes aside."""
        return self.merged(namespace, labels).cluster

    def merged(self, namespace: str, labels: Mapping[str, str]) -> Merged:
        """The same, with what does not hold."""
        return self._merge(self._selecting(namespace, labels), namespace)

    def selecting(self, namespace: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        """The policies that are for a namespace, in the order in which they count."""
        clusterwide = (self._clusterwide[index].source for index in self._selecting(namespace, labels))
        return (*clusterwide, *(one.source for one in self._owners.get(namespace, ())))

    def conflicts(self, namespaces: Iterable[tuple[str, Mapping[str, str]]]) -> dict[str, tuple[Conflict, ...]]:
        """What does not hold in these namespaces (name, labels): source of the policy → its conflicts, each once."""
        found: dict[str, dict[Conflict, None]] = {}
        done: set[int] = set()
        for name, labels in namespaces:
            merged = self.merged(name, labels)
            if id(merged) in done:
                continue
            done.add(id(merged))
            for conflict in merged.conflicts:
                found.setdefault(conflict.loser, {})[conflict] = None
        return {source: tuple(conflicts) for source, conflicts in found.items()}

    def _selecting(self, namespace: str, labels: Mapping[str, str]) -> tuple[int, ...]:
        candidates = [*self._anywhere, *self._by_label.get((NAME_LABEL, namespace), ())]
        for pair in labels.items():
            if pair[0] != NAME_LABEL:
                candidates += self._by_label.get(pair, ())
        labels = {**labels, NAME_LABEL: namespace}  # a file may leave out what the API server always sets
        return tuple(
            index
            for index in sorted(candidates)
            if all(need.holds(labels) for need in self._clusterwide[index].spec.namespace_selector)
        )

    def _merge(self, indexes: tuple[int, ...], namespace: str) -> Merged:
        key = (indexes, namespace if namespace in self._owners else "")
        known = self._merged.get(key)
        if known is None:
            if len(self._merged) >= _REMEMBERED:
                self._merged.clear()
            chosen = [self._clusterwide[index] for index in indexes]
            known = merge(self.base, chosen, self._owners.get(namespace, ()))
            self._merged[key] = known
        return known


def _index_requirement(selector: Sequence[Requirement]) -> Requirement | None:
    """The line of a selector by which to find the policy: one that asks for few values."""
    named = [need for need in selector if need.operator == "In"]
    return min(named, key=lambda need: (need.key != NAME_LABEL, len(need.values)), default=None)


@dataclass(slots=True)
class _Desk:
    """Where policies are merged: what each setting is by now, and who said so."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)

    def say(self, setting: str, value: Any, source: str) -> None:
        """The first word counts; another one that differs is a conflict."""
        if setting not in self.values:
            self.values[setting], self.sources[setting] = value, source
        elif self.values[setting] != value:
            self.conflicts.append(Conflict(source, setting, self.sources[setting]))

    def refuse(self, source: str, setting: str, why: str) -> None:
        self.conflicts.append(Conflict(source, setting, why))


def merge(base: ClusterPolicy, clusterwide: Sequence[_Clusterwide], owners: Sequence[_Owners]) -> Merged:
    """What those policies come to; `clusterwide` in the order in which they count."""
    if not clusterwide and not owners:
        return Merged(base)
    desk = _Desk()
    exemptions: list[Exemption] = []
    for policy in clusterwide:
        _say(desk, policy)
        exemptions += policy.spec.exemptions
    values, sources = desk.values, desk.sources
    delegated = frozenset(values.get("delegate", ()))
    overrides = {
        setting.removeprefix("confidence."): Override(exactly=value)
        for setting, value in values.items()
        if setting.startswith("confidence.")
    }
    allowed = []
    if "allowedRegistries" in values:
        allowed.append(_allow_list(sources["allowedRegistries"], values["allowedRegistries"]))
    owner_rules: list[Sourced] = []
    default = _with(base.default, values, "defaults")
    default = replace(default, deny_templates=values.get("templates", "deny") == "deny")
    for owner in owners:
        spec = owner.spec
        if spec.templates == "deny" and not default.deny_templates:
            default = replace(default, deny_templates=True)
            sources["templates"] = owner.source
        _add_overrides(overrides, sources, owner, weaker="confidence" in delegated)
        owner_rules += _owner_registries(desk, owner, weaker="registries" in delegated)
        if spec.allowed_registries:
            allowed.append(_allow_list(owner.source, spec.allowed_registries))
        if spec.exemptions and "exemptions" in delegated:
            exemptions += spec.exemptions
            for exemption in spec.exemptions:
                for code in sorted(CLUSTERS_OWN.intersection(exemption.checks)):
                    desk.refuse(owner.source, f"exemptions[{exemption.name}].checks[{code}]", NOT_DELEGATED)
        elif spec.exemptions:
            desk.refuse(owner.source, "exemptions", NOT_DELEGATED)
        if "levels" not in delegated:
            _tell_weaker_levels(desk, owner, default)
    # an owner's word on the same images comes first, as far as it was let in at all
    rules = [*owner_rules, *_registry_rules(clusterwide)]
    hosts, hosts_source = values.get("nodes.credentials", (None, ()))[1], sources.get("nodes.credentials", "")
    cluster = replace(
        base,
        default=default,
        floor=_with(base.floor, values, "floor"),
        overrides=overrides,
        registries=GlobTable((one.rule.match, one) for one in rules),
        rewrites=GlobTable((glob, one.source) for one in clusterwide for glob in one.spec.nodes.rewrites),
        preloaded=GlobTable((glob, one.source) for one in clusterwide for glob in one.spec.nodes.preloaded),
        node_credentials=values.get("nodes.credentials", (None, ()))[0],
        credential_hosts=GlobTable((glob, hosts_source) for glob in hosts),
        allowed=tuple(allowed),
        exemptions=Exemptions(exemptions),
        owner_levels=tuple(OwnerLevels(owner.source, owner.spec.levels) for owner in owners),
        delegated=delegated,
        sources=sources,
    )
    return Merged(cluster, tuple(desk.conflicts))


NOT_DELEGATED: Final = "no ClusterPullPolicy delegates it"


def _say(desk: _Desk, one: _Clusterwide) -> None:
    spec, source = one.spec, one.source
    for part, levels in (("defaults", spec.defaults), ("floor", spec.floor)):
        for mode in (*MODES, "inject_os"):
            if (value := getattr(levels, mode)) is not None:
                desk.say(f"{part}.{mode}", value, source)
    if spec.templates is not None:
        desk.say("templates", spec.templates, source)
    for rule in spec.confidence:
        desk.say(f"confidence.{rule.check}", rule.confidence, source)
    for registry in spec.registries:
        for name in ("credentials", "mirrors", "os"):
            if value := getattr(registry, name):
                desk.say(f"registries[{registry.match.text}].{name}", value, source)
    if spec.allowed_registries:
        desk.say("allowedRegistries", spec.allowed_registries, source)
    if spec.nodes.credentials is not None:
        desk.say("nodes.credentials", (spec.nodes.credentials, spec.nodes.credential_hosts), source)
    if spec.delegate is not None:
        desk.say("delegate", spec.delegate, source)


def _with(modes: Any, values: Mapping[str, Any], part: str) -> Any:
    said = {name: values[f"{part}.{name}"] for name in (*MODES, "inject_os") if f"{part}.{name}" in values}
    return replace(modes, **said)


def _allow_list(source: str, globs: Sequence[Any]) -> AllowList:
    return AllowList(source, GlobTable((glob, source) for glob in globs), tuple(glob.text for glob in globs))


def _registry_rules(clusterwide: Sequence[_Clusterwide]) -> Iterator[Sourced]:
    """In the order in which they count: of two for the same images the first that says something holds."""
    return (Sourced(one.source, rule) for one in clusterwide for rule in one.spec.registries)


def _add_overrides(overrides: dict[str, Override], sources: dict[str, str], owner: _Owners, *, weaker: bool) -> None:
    for rule in owner.spec.confidence:
        known = overrides.get(rule.check, Override())
        if weaker and rule.check not in CLUSTERS_OWN:
            found = Override(exactly=rule.confidence)
        else:
            found = replace(known, at_least=max(known.at_least, rule.confidence))
        if found.exactly is not known.exactly or found.at_least > max(known.exactly or 0, known.at_least):
            sources[f"confidence.{rule.check}"] = owner.source
        overrides[rule.check] = found


CLUSTERS_OWN: Final = frozenset({"PULL802"})
"""Checks of what the platform team allows: nothing in a namespace weakens them, whatever is delegated."""


def _owner_registries(desk: _Desk, owner: _Owners, *, weaker: bool) -> Iterator[Sourced]:
    """What an owner says of registries: that a pull needs a credential always holds, the rest where it is delegated."""
    for rule in owner.spec.registries:
        if weaker or (rule.credentials == "required" and not rule.mirrors and rule.os is None):
            yield Sourced(owner.source, rule, vouches=weaker)
        else:
            desk.refuse(owner.source, f"registries[{rule.match.text}]", NOT_DELEGATED)


def _tell_weaker_levels(desk: _Desk, owner: _Owners, default: Any) -> None:
    for mode in MODES:
        level = getattr(owner.spec.levels, mode)
        if level is not None and level > getattr(default, mode):
            desk.refuse(owner.source, f"levels.{mode}", NOT_DELEGATED)
