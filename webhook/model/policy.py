"""Which level holds in which mode for a namespace: Pod Security Admission's way, by labels, between default and floor.

Parsing always returns a usable policy *plus* what was wrong with the labels: a mistyped label never blocks and never
weakens. It falls back to the stricter of default and floor, and the mistake becomes a finding (PULL801).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from webhook.model.finding import Confidence, Level
from webhook.model.policy_exemption import Exemptions
from webhook.model.policy_glob import GlobTable
from webhook.model.policy_spec import LEVEL_WORDS, SWITCH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.model.node import Taint
    from webhook.model.policy_spec import Levels, RegistryRule

PREFIX: Final = "pullproof.dev/"
MODES: Final = ("enforce", "warn", "audit")
INJECT_OS: Final = "inject-os"
LEVELS: Final = LEVEL_WORDS
_KEYS: Final = tuple(PREFIX + name for name in (*MODES, INJECT_OS))


@dataclass(frozen=True, slots=True)
class Modes:
    """The level of each mode: findings at it or above it are denied (enforce), warned about, or audited.

    `deny_templates`: a template may be denied too, not only the pods that are made of it.
    """

    enforce: Level
    warn: Level
    audit: Level
    inject_os: bool = False
    deny_templates: bool = True


@dataclass(frozen=True, slots=True)
class LabelError:
    """A label whose value is none of `allowed`, where `used` holds instead; or whose key is none (`used` is None)."""

    key: str
    value: str
    allowed: tuple[str, ...]
    used: str | None


@dataclass(frozen=True, slots=True)
class ImageOsRule:
    """Images of which the platform team says the operating system: `glob` is `host[/path]`.

    A `*` in the host stands for characters of one label, never for a dot, so that `*.azurecr.io` is no other domain's
    door; in the path it stands for any characters. Without a path, the whole host is meant.
    """

    glob: str
    os: str

    def covers(self, repository: str) -> bool:
        """Whether an image of that repository (domain and path, normalised) is meant."""
        host, _, path = repository.partition("/")
        host_glob, slash, path_glob = self.glob.partition("/")
        labels, globs = host.split("."), host_glob.split(".")
        return (
            len(labels) == len(globs)
            and all(map(fnmatchcase, labels, globs))
            and (not slash or fnmatchcase(path, path_glob))
        )


@dataclass(frozen=True, slots=True)
class Override:
    """How sure the findings of a check count: `exactly` so, or `at_least` so; never what could not be looked at."""

    exactly: Confidence | None = None
    at_least: Confidence = Confidence.UNKNOWN

    def of(self, confidence: Confidence) -> Confidence:
        if confidence is Confidence.UNKNOWN:
            return confidence
        return max(confidence if self.exactly is None else self.exactly, self.at_least)


@dataclass(frozen=True, slots=True)
class Sourced:
    """What one policy says of a registry; `source` names that policy.

    `vouches`: its word that the registry is there counts. A namespace's owner may ask for credentials and no more.
    """

    source: str
    rule: RegistryRule
    vouches: bool = True


@dataclass(frozen=True, slots=True)
class AllowList:
    """The registries that may be used; `source` names the policy whose list it is."""

    source: str
    globs: GlobTable[str]
    shown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OwnerLevels:
    """What a namespace's owner asks for in a PullPolicy."""

    source: str
    levels: Levels


_NO_RULES: Final[GlobTable[Sourced]] = GlobTable()
_NO_GLOBS: Final[GlobTable[str]] = GlobTable()
_NO_EXEMPTIONS: Final = Exemptions()
FLAGS: Final = "the webhook's own default"


@dataclass(frozen=True, slots=True)
class ClusterPolicy:
    """What the platform team fixed for a namespace, and what it let the namespace's owners add.

    The default levels, a floor that labels can't go under, the operating system of images (the first rule that covers
    one counts), and the taints that Windows nodes carry, which injection lets its pods tolerate. The rest comes from
    ClusterPullPolicies and PullPolicies alone: `overrides` by check, `registries`, what nodes do out of sight
    (`rewrites` and `preloaded` give the name of the policy that says so; `node_credentials` is `none`, `listed` or
    None), `allowed` (all lists have to hold the image), `exemptions`. `owner_levels` are those of PullPolicies;
    `delegated` is what these may weaken. `sources` says which policy a setting is from.
    """

    default: Modes = Modes(enforce=Level.CERTAIN, warn=Level.LIKELY, audit=Level.ADVISORY)
    floor: Modes = Modes(enforce=Level.OFF, warn=Level.OFF, audit=Level.OFF)
    image_os: tuple[ImageOsRule, ...] = ()
    windows_taints: tuple[Taint, ...] = ()
    overrides: Mapping[str, Override] = field(default_factory=dict)
    registries: GlobTable[Sourced] = _NO_RULES
    rewrites: GlobTable[str] = _NO_GLOBS
    preloaded: GlobTable[str] = _NO_GLOBS
    node_credentials: str | None = None
    credential_hosts: GlobTable[str] = _NO_GLOBS
    allowed: tuple[AllowList, ...] = ()
    exemptions: Exemptions = _NO_EXEMPTIONS
    owner_levels: tuple[OwnerLevels, ...] = ()
    delegated: frozenset[str] = frozenset()
    sources: Mapping[str, str] = field(default_factory=dict)

    def os_rule(self, repository: str) -> ImageOsRule | None:
        """What the platform team says of that repository's operating system: a policy's word before the flags'."""
        if not self.registries and not self.image_os:
            return None
        for one in self.registries.find(repository):
            if one.rule.os is not None:
                return ImageOsRule(one.rule.match.text, one.rule.os)
        return next((rule for rule in self.image_os if rule.covers(repository)), None)

    @property
    def tells_of_hosts(self) -> bool:
        """Whether there is anything to ask `vouches_for` and `vouches_for_path`."""
        return bool(self.registries or self.rewrites)

    @property
    def tells_of_credentials(self) -> bool:
        """Whether there is anything to ask the three below."""
        return bool(self.registries or self.rewrites or self.credential_hosts)

    def credentials_of(self, repository: str) -> tuple[str, str] | None:
        """Which policy says it, and `required`, `nodeIdentity` or `anonymous`; None where nobody says."""
        found = self.registries.find(repository)
        return next(((one.source, one.rule.credentials) for one in found if one.rule.credentials), None)

    def vouches_for(self, repository: str) -> str | None:
        """Which policy says that the host of this repository is there, or that nodes ask another one; or None."""
        known = next((one.source for one in self.registries.find(repository) if one.vouches), None)
        return known or self.rewrites.first(repository)

    def is_pulled_elsewhere(self, repository: str) -> bool:
        """Whether nodes pull this repository from a host that its name does not tell."""
        return bool(self.rewrites.find(repository)) or any(one.rule.mirrors for one in self.registries.find(repository))

    def vouches_for_path(self, repository: str) -> bool:
        """Whether that path is known, or asked of another host: a rule for a whole host says nothing of its paths."""
        rules = (one.rule for one in self.registries.find(repository) if one.vouches)
        return self.is_pulled_elsewhere(repository) or any("/" in rule.match.text for rule in rules)


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for one workload, which labels of its namespace say nothing valid, and what holds everywhere."""

    modes: Modes
    label_errors: tuple[LabelError, ...] = ()
    cluster: ClusterPolicy = ClusterPolicy()


@dataclass(frozen=True, slots=True)
class Held:
    """The level of one mode, and what set it."""

    level: Level
    why: str


def held_level(mode: str, labels: Mapping[str, str], cluster: ClusterPolicy) -> Held:
    """The level of `mode` in a namespace with those labels: the one place where the order of precedence stands.

    The label, else what a PullPolicy says where levels are delegated, else the default; then whatever PullPolicy is
    stricter; then the floor. A label that means nothing is no label, and nothing weaker than the default holds for it.
    """
    default: Level = getattr(cluster.default, mode)
    held = Held(default, cluster.sources.get(f"defaults.{mode}", FLAGS))
    text = labels.get(PREFIX + mode)
    owners = [
        Held(level, one.source) for one in cluster.owner_levels if (level := getattr(one.levels, mode)) is not None
    ]
    if text is not None and text in LEVELS:
        held = Held(LEVELS[text], f"label {PREFIX}{mode}")
    elif text is None and owners and "levels" in cluster.delegated:
        held = min(owners, key=lambda one: one.level)
    held = min((held, *owners), key=lambda one: one.level)
    lowest = Held(getattr(cluster.floor, mode), f"floor of {cluster.sources.get(f'floor.{mode}', FLAGS)}")
    return min((held, lowest), key=lambda one: one.level)


def of_labels(labels: Mapping[str, str], cluster: ClusterPolicy) -> Policy:
    """The policy of a namespace with those labels; labels of other prefixes are not looked at."""
    levels = {mode: held_level(mode, labels, cluster).level for mode in MODES}
    errors = [
        LabelError(PREFIX + mode, text, tuple(LEVELS), levels[mode].word)
        for mode in MODES
        if (text := labels.get(PREFIX + mode)) is not None and text not in LEVELS
    ]
    names = tuple(key.removeprefix(PREFIX) for key in _KEYS)
    strangers = (key for key in labels if key.startswith(PREFIX) and key not in _KEYS)
    errors.extend(LabelError(key, labels[key], names, None) for key in strangers)
    inject_os = cluster.default.inject_os
    text = labels.get(PREFIX + INJECT_OS)
    if text is not None and text not in SWITCH:
        errors.append(LabelError(PREFIX + INJECT_OS, text, tuple(SWITCH), "enabled" if inject_os else "disabled"))
    elif text is not None:
        inject_os = SWITCH[text]
    modes = Modes(levels["enforce"], levels["warn"], levels["audit"], inject_os, cluster.default.deny_templates)
    return Policy(modes, tuple(errors), cluster)


def of_unread_namespace(cluster: ClusterPolicy) -> Policy:
    """The policy where the namespace could not be read: only the floor enforces.

    So nobody is blocked by what pullproof could not see, and nothing that the platform team fixed is lost.
    """
    default, floor = cluster.default, cluster.floor
    modes = Modes(
        floor.enforce,
        min(default.warn, floor.warn),
        min(default.audit, floor.audit),
        deny_templates=default.deny_templates,
    )
    return Policy(modes, cluster=cluster)
