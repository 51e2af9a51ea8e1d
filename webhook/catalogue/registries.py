"""What the world's container registries are: packaged facts, read once, when first asked for.

The facts stand in `registries.json` beside this module: hosts, host forms, mistakes people make, retired names, and
what a pull from each needs. Where an entry differs from where it was taken from, its key `corrected` says why. A host
form is written with names for its variable labels (`{account}.dkr.ecr.{aws}.amazonaws.com`); a variable stands for any
run of characters inside one label, never across a dot.

Must not: judge a host (`typo` does), do anything but read that file, or read it at import: the command starts fast.
"""

from __future__ import annotations

import enum
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import orjson

from webhook.model.memo import remember

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DATA: Final = Path(__file__).with_name("registries.json")

T = TypeVar("T")

_VARIABLE: Final = re.compile(r"\{(\w+)\}")


class Effect(enum.Enum):
    """What became of a retired name: `WORKS` still serves, `FROZEN` serves what is there, `RESTRICTED` serves some."""

    WORKS = "works"
    FROZEN = "frozen"
    RESTRICTED = "restricted"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Label:
    """What a variable label of a host form may hold: `regex` (full match), `values` known; none is "not sourced"."""

    what: str
    regex: str | None
    values: tuple[str, ...]
    note: str | None
    source: str | None


@dataclass(frozen=True, slots=True)
class Mistake:
    """A host that people write and that is none; `match` says what `wrong` is: a host, a suffix or a pattern (glob)."""

    wrong: str
    right: str
    match: str
    kind: str
    source: tuple[str, ...]
    note: str | None


@dataclass(frozen=True, slots=True)
class Retired:
    """A host (or glob) that was a registry; `only_under` limits `replaced_by` to paths that begin so."""

    host: str
    replaced_by: str | None
    since: str | None
    effect: Effect
    detail: str | None
    only_under: str | None
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RetiredPath:
    """A repository prefix (`docker.io/bitnami`) that no longer serves as it did, on a host that lives."""

    path: str
    replaced_by: str | None
    since: str | None
    detail: str
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PathRule:
    """How many parts a path has at least, and how a reference looks (`form`); no `hosts` means all of the registry."""

    min_segments: int
    form: str
    hosts: tuple[str, ...]
    note: str | None
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Registry:
    """One registry service. Empty and None mean "not sourced", never "no".

    `hosts` are exact and lower-case, a port included where one belongs to the name; `aliases` those of them that are
    the same registry. `node_identity` maps a managed platform to how its nodes pull without a pull secret.
    `token_lifetime` is text for people. `region_to_host` maps a cloud's region to the host that serves it.
    """

    id: str
    name: str
    kind: str
    status: str
    hosts: tuple[str, ...]
    aliases: tuple[str, ...]
    forms: tuple[str, ...]
    labels: Mapping[str, Label]
    mistakes: tuple[Mistake, ...]
    retired: tuple[Retired, ...]
    retired_paths: tuple[RetiredPath, ...]
    path_rule: PathRule | None
    anonymous_pull: str | None
    anonymous_pull_basis: str | None
    node_identity: Mapping[str, str | None]
    pull_secret_username: tuple[str, ...]
    token_lifetime: str | None
    credential_expiry_hint: str | None
    help_title: str | None
    help_url: str | None
    region_to_host: Mapping[str, str]
    notes: str | None
    source: tuple[str, ...]

    @property
    def patterns(self) -> tuple[str, ...]:
        """The host forms as globs, where `*` stands for any run of characters inside one label."""
        return tuple(_VARIABLE.sub("*", form) for form in self.forms)

    @property
    def always_needs_credential(self) -> bool:
        """Whether every pull is known to need a credential; False is "not known", as an inferred "never" is."""
        return self.anonymous_pull == "never" and self.anonymous_pull_basis in {"documented", "known"}


Owned: TypeAlias = tuple[Registry, str]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The registries, and the ways to find one. A *tail* is the last two labels of a host, or its only one."""

    facts_of: str
    registries: tuple[Registry, ...]
    neighbours: Mapping[str, str]
    by_host: Mapping[str, Registry]
    forms: Mapping[str, tuple[Owned, ...]]
    mistakes: Mapping[str, tuple[Registry, Mistake]]
    mistake_suffixes: Mapping[str, tuple[Registry, Mistake]]
    mistake_globs: Mapping[str, tuple[tuple[Registry, Mistake], ...]]
    retired: Mapping[str, tuple[Registry, Retired]]
    retired_globs: Mapping[str, tuple[tuple[Registry, Retired], ...]]
    retired_paths: Mapping[str, tuple[tuple[Registry, RetiredPath], ...]]


@remember(8192)
def lookup(host: str) -> Registry | None:
    """The registry that serves `host` (with or without port, any case), or once served it; None when none is known.

    A known mistake belongs to no registry. Constant time.
    """
    name = host_name(host)
    known = catalogue()
    if registry := known.by_host.get(host.lower()) or known.by_host.get(name):
        return registry
    if mistake_of(name) is not None:
        return None
    if retired := retired_of(name):
        return retired[0]
    found = next(matches(name), None)
    return found[0] if found else None


def host_name(domain: str) -> str:
    """The host of `host[:port]`, in lower case; an IPv6 address keeps its brackets."""
    if domain.startswith("["):
        return domain.partition("]")[0].lower() + "]"
    return domain.partition(":")[0].lower()


def tail_of(host: str) -> str:
    """The last two labels of a host, or its only one."""
    return ".".join(host.rsplit(".", 2)[-2:])


def mistake_of(host: str) -> tuple[Registry, Mistake] | None:
    """The known mistake that `host` (lower-case, without port) is."""
    known = catalogue()
    if found := known.mistakes.get(host):
        return found
    tail = tail_of(host)
    if found := known.mistake_suffixes.get(tail):
        return found
    for found in known.mistake_globs.get(tail, ()):
        if compiled(found[1].wrong).fullmatch(host):
            return found
    return None


def retired_of(host: str) -> tuple[Registry, Retired] | None:
    """The retired name that `host` (lower-case, without port) is."""
    known = catalogue()
    if found := known.retired.get(host):
        return found
    for found in known.retired_globs.get(tail_of(host), ()):
        if compiled(found[1].host).fullmatch(host):
            return found
    return None


def matches(host: str) -> Iterator[tuple[Registry, str, Mapping[str, str]]]:
    """Every host form that `host` (lower-case, without port) has: registry, form, and what its variables hold."""
    forms = catalogue().forms
    tail = tail_of(host)
    for key in (tail, tail.rpartition(".")[2]):
        for registry, form in forms.get(key, ()):
            if matched := compiled(form).fullmatch(host):
                yield registry, form, matched.groupdict()


def obeys(host: str) -> bool:
    """Whether a host that has a form holds, in its variable labels, what they may hold as far as is known."""
    return any(
        all(_allowed(registry, name, value) for name, value in variables.items())
        for registry, _, variables in matches(host)
    )


def _allowed(registry: Registry, name: str, value: str) -> bool:
    label = registry.labels.get(name)
    if label is None:
        return True
    if label.values:
        return value in label.values
    return label.regex is None or re.fullmatch(label.regex, value) is not None


@functools.cache
def compiled(form: str) -> re.Pattern[str]:
    """The regular expression of a host form or of a glob of hosts. Compiled when first asked for: there are many."""
    pattern = re.escape(form).replace(r"\*", "[a-z0-9-]+")
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[a-z0-9-]+)", pattern))


def tail_of_form(form: str) -> str:
    """The tail of a host form or glob: its last two labels where both are fixed, else the last."""
    last = form.rsplit(".", 2)[-2:]
    return last[-1] if any("{" in label or "*" in label for label in last) else ".".join(last)


@functools.cache
def catalogue() -> Catalogue:
    """The packaged facts."""
    document = orjson.loads(DATA.read_bytes())
    registries = tuple(_registry(entry) for entry in document["registries"])
    by_host: dict[str, Registry] = {}
    forms: dict[str, list[Owned]] = {}
    mistakes: dict[str, tuple[Registry, Mistake]] = {}
    suffixes: dict[str, tuple[Registry, Mistake]] = {}
    mistake_globs: dict[str, list[tuple[Registry, Mistake]]] = {}
    retired: dict[str, tuple[Registry, Retired]] = {}
    retired_globs: dict[str, list[tuple[Registry, Retired]]] = {}
    retired_paths: dict[str, list[tuple[Registry, RetiredPath]]] = {}
    for registry in registries:
        by_host.update(dict.fromkeys(registry.hosts, registry))
        for form in registry.forms:
            forms.setdefault(tail_of_form(form), []).append((registry, form))
        for mistake in registry.mistakes:
            if mistake.match == "host":
                mistakes[mistake.wrong] = (registry, mistake)
            elif mistake.match == "suffix":
                suffixes[mistake.wrong] = (registry, mistake)
            else:
                mistake_globs.setdefault(tail_of_form(mistake.wrong), []).append((registry, mistake))
        for name in registry.retired:
            if "*" in name.host:
                retired_globs.setdefault(tail_of_form(name.host), []).append((registry, name))
            else:
                retired[name.host] = (registry, name)
        for path in registry.retired_paths:
            retired_paths.setdefault(path.path.partition("/")[0], []).append((registry, path))
    return Catalogue(
        facts_of=document["facts_of"],
        registries=registries,
        neighbours={entry["host"]: entry["what"] for entry in document["neighbours"]},
        by_host=by_host,
        forms=_frozen(forms),
        mistakes=mistakes,
        mistake_suffixes=suffixes,
        mistake_globs=_frozen(mistake_globs),
        retired=retired,
        retired_globs=_frozen(retired_globs),
        retired_paths=_frozen(retired_paths),
    )


def _frozen(lists: Mapping[str, list[T]]) -> dict[str, tuple[T, ...]]:
    return {key: tuple(values) for key, values in lists.items()}


def _registry(entry: Mapping[str, Any]) -> Registry:
    path_rule = entry.get("path_rules")
    help_page = entry.get("help", {})
    return Registry(
        id=entry["id"],
        name=entry["name"],
        kind=entry["kind"],
        status=entry["status"],
        hosts=tuple(entry.get("hosts", ())),
        aliases=tuple(entry.get("aliases", ())),
        forms=tuple(entry.get("forms", ())),
        labels={name: _label(rule) for name, rule in entry.get("labels", {}).items()},
        mistakes=tuple(_mistake(mistake) for mistake in entry.get("known_mistakes", ())),
        retired=tuple(_retired(name) for name in entry.get("deprecated", ())),
        retired_paths=tuple(_retired_path(path) for path in entry.get("deprecated_paths", ())),
        path_rule=_path_rule(path_rule) if path_rule else None,
        anonymous_pull=entry.get("anonymous_pull"),
        anonymous_pull_basis=entry.get("anonymous_pull_basis"),
        node_identity=entry.get("node_identity", {}),
        pull_secret_username=tuple(entry.get("pull_secret_username", ())),
        token_lifetime=entry.get("token_lifetime"),
        credential_expiry_hint=entry.get("credential_expiry_hint"),
        help_title=help_page.get("title"),
        help_url=help_page.get("url"),
        region_to_host=entry.get("region_to_host", {}),
        notes=entry.get("notes"),
        source=_texts(entry.get("source")),
    )


def _label(rule: Mapping[str, Any]) -> Label:
    return Label(
        rule["what"], rule["regex"], tuple(rule["values"] or ()), rule["note"], " ".join(_texts(rule["source"]))
    )


def _mistake(entry: Mapping[str, Any]) -> Mistake:
    return Mistake(
        entry["wrong"],
        entry["right"],
        entry["match"],
        entry["kind"],
        _texts(entry["source"]),
        entry.get("note"),
    )


def _retired(entry: Mapping[str, Any]) -> Retired:
    return Retired(
        entry["host"],
        entry["replaced_by"],
        entry["since"],
        Effect(entry["effect"]),
        entry["detail"],
        entry.get("only_under"),
        _texts(entry["source"]),
    )


def _retired_path(entry: Mapping[str, Any]) -> RetiredPath:
    return RetiredPath(entry["path"], entry["replaced_by"], entry["since"], entry["effect"], _texts(entry["source"]))


def _path_rule(entry: Mapping[str, Any]) -> PathRule:
    return PathRule(
        entry["min_segments"],
        entry["form"],
        tuple(entry.get("hosts", ())),
        entry["note"],
        _texts(entry["source"]),
    )


def _texts(value: str | list[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
