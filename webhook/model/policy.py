"""Which level holds in which mode for a namespace: Pod Security Admission's way, by labels.

Parsing always returns a usable policy *plus* what was wrong with the labels: a mistyped label never blocks and never
weakens. It falls back to the stricter of default and floor, and the mistake becomes a finding (PULL801).
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from webhook.model.finding import Level

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.model.node import Taint

PREFIX: Final = "pullproof.dev/"
MODES: Final = ("enforce", "warn", "audit")
INJECT_OS: Final = "inject-os"
LEVELS: Final[Mapping[str, Level]] = {level.word: level for level in reversed(Level)}
_KEYS: Final = tuple(PREFIX + name for name in (*MODES, INJECT_OS))
SWITCH: Final[Mapping[str, bool]] = {"enabled": True, "disabled": False}


@dataclass(frozen=True, slots=True)
class Modes:
    """The level of each mode: findings at it or above it are denied (enforce), warned about, or audited."""

    enforce: Level
    warn: Level
    audit: Level
    inject_os: bool = False


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
class ClusterPolicy:
    """What the platform team fixed for every namespace.

    The default levels, a floor that labels can't go under, the operating system of images (the first rule that covers
    one counts), and the taints that Windows nodes carry, which injection lets its pods tolerate.
    """

    default: Modes = Modes(enforce=Level.CERTAIN, warn=Level.LIKELY, audit=Level.ADVISORY)
    floor: Modes = Modes(enforce=Level.OFF, warn=Level.OFF, audit=Level.OFF)
    image_os: tuple[ImageOsRule, ...] = ()
    windows_taints: tuple[Taint, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for one workload, which labels of its namespace say nothing valid, and what holds everywhere."""

    modes: Modes
    label_errors: tuple[LabelError, ...] = ()
    cluster: ClusterPolicy = ClusterPolicy()


def of_labels(labels: Mapping[str, str], cluster: ClusterPolicy) -> Policy:
    """The policy of a namespace with those labels; labels of other prefixes are not looked at."""
    levels: dict[str, Level] = {}
    errors: list[LabelError] = []
    for mode in MODES:
        lowest: Level = getattr(cluster.floor, mode)
        fallback: Level = min(getattr(cluster.default, mode), lowest)
        text = labels.get(PREFIX + mode)
        levels[mode] = fallback if text is None or text not in LEVELS else min(LEVELS[text], lowest)
        if text is not None and text not in LEVELS:
            errors.append(LabelError(PREFIX + mode, text, tuple(LEVELS), fallback.word))
    names = tuple(key.removeprefix(PREFIX) for key in _KEYS)
    strangers = (key for key in labels if key.startswith(PREFIX) and key not in _KEYS)
    errors.extend(LabelError(key, labels[key], names, None) for key in strangers)
    inject_os = cluster.default.inject_os
    text = labels.get(PREFIX + INJECT_OS)
    if text is not None and text not in SWITCH:
        errors.append(LabelError(PREFIX + INJECT_OS, text, tuple(SWITCH), "enabled" if inject_os else "disabled"))
    elif text is not None:
        inject_os = SWITCH[text]
    return Policy(Modes(levels["enforce"], levels["warn"], levels["audit"], inject_os), tuple(errors), cluster)


def of_unread_namespace(cluster: ClusterPolicy) -> Policy:
    """The policy where the namespace could not be read: only the floor enforces.

    So nobody is blocked by what pullproof could not see, and nothing that the platform team fixed is lost.
    """
    default, floor = cluster.default, cluster.floor
    return Policy(Modes(floor.enforce, min(default.warn, floor.warn), min(default.audit, floor.audit)), cluster=cluster)
