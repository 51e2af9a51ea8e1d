"""Which known registry hosts stand near an unknown one: the candidates of a misspelling, best first.

Two hosts are near when one slip of the fingers leads from one to the other: a letter too many, one missing, one wrong,
two swapped (optimal string alignment, from rapidfuzz); or when they differ in the ending, in the order of their labels,
or in letters that look alike. Hosts with variable labels (`myreg.azurecr.io`) are compared in their fixed labels only,
and the variable ones are kept as written.

Must not: decide whether nearness is a mistake (`typo` does), know the hosts of a cluster (they are evidence, never
candidates), or be imported before it is needed: rapidfuzz takes longer to load than all the facts.
"""

from __future__ import annotations

import enum
import functools
import itertools
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rapidfuzz import process
from rapidfuzz.distance import OSA

from webhook.catalogue.registries import catalogue, matches, obeys, tail_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from webhook.catalogue.registries import Registry

MAX_EDITS: Final = 2
LONGEST_HOST: Final = 253
"""Characters of a DNS name (RFC 1035); a longer one is no host, and nothing is near it."""

# An unknown ending that people confuse with another. Country endings are left out, save io and co: there, another
# company may well have the name.
_ENDINGS: Final = frozenset({"app", "cloud", "co", "com", "dev", "io", "net", "org", "sh"})

# Hosts that no correction leads to: what runs on a node (`typo`'s own matter), and names so short or so plain that
# others have theirs beside them.
_NO_GOAL_KINDS: Final = frozenset({"local"})
_ONLY_EDITED_KINDS: Final = frozenset({"local", "placeholder"})
_NO_GOAL: Final = frozenset({"b.gcr.io", "registry.io"})

# A reserved ending whose neighbours are real ones: `.best` and `.rest` stand beside `.test`.
_NO_GOAL_FORMS: Final = frozenset({"{name}.test"})

_PAIRS: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"))
_SINGLES: Final = str.maketrans("01i3458", "olleasb")

_ROWS: Final = ("1234567890-", "qwertyuiop", "asdfghjkl", "zxcvbnm.")


class How(enum.IntEnum):
    """In what way two hosts are near; of two ways with equally many edits, the lower one explains better."""

    LOOK_ALIKE = 1
    DOT = 2
    EDIT = 3
    LABELS = 4
    ENDING = 5


@dataclass(frozen=True, slots=True)
class Near:
    """`host` is a known host, `edits` slips away from the one asked for; `weight` says how odd the slip would be.

    `varied`: it has variable labels, so that it is one of many, where an exact host is the only one.
    """

    host: str
    registry: Registry
    how: How
    edits: int
    weight: float
    varied: bool = False


@dataclass(frozen=True, slots=True)
class _Part:
    """One label of a host form: fixed `text`, or a variable with fixed text after it."""

    text: str
    variable: str | None

    def holds(self, label: str) -> bool:
        if self.variable is None:
            return label == self.text
        return label.endswith(self.text) and len(label) > len(self.text) and "." not in label


@dataclass(frozen=True, slots=True)
class _Form:
    registry: Registry
    parts: tuple[_Part, ...]


def nearest(host: str) -> tuple[Near, ...]:
    """The known hosts near `host` (lower-case, without port, not itself known), best first; each host once."""
    if len(host) > LONGEST_HOST:
        return ()
    best: dict[str, Near] = {}
    for found in itertools.chain(
        _look_alikes(host),
        _edited(host),
        _edited_forms(host),
        _dotted(host),
        _reordered(host),
        _other_ending(host),
    ):
        other = best.get(found.host)
        if other is None or _rank(found) < _rank(other):
            best[found.host] = found
    return tuple(sorted(best.values(), key=_rank))


def distance(left: str, right: str) -> int:
    """How many slips lead from one text to the other, at most `MAX_EDITS` + 1."""
    return OSA.distance(left, right, score_cutoff=MAX_EDITS)


def closest(text: str, values: Iterable[str], *, edits: int) -> list[str]:
    """The values at most `edits` away from `text`, nearest and likeliest slip first."""
    found = process.extract(text, tuple(values), scorer=OSA.distance, score_cutoff=edits, limit=None)
    return [value for value, _, _ in sorted(found, key=lambda hit: (hit[1], weight(text, hit[0]), hit[0]))]


def skeleton(text: str) -> str:
    """`text` with every letter that looks like another replaced by it; look-alikes have the same one."""
    for pair, single in _PAIRS:
        text = text.replace(pair, single)
    return text.translate(_SINGLES)


def weight(typed: str, meant: str) -> float:
    """How odd the slip from `meant` to `typed` is: below 1 for the common ones, 1 for any other and for two slips."""
    start = len(_common_prefix(typed, meant))
    rest, aim = typed[start:], meant[start:]
    if len(rest) == len(aim) + 1 and rest[1:] == aim:
        around = typed[max(start - 1, 0) : start] + typed[start + 1 : start + 2]
        if rest[0] in around:
            return 0.6
        return 0.8 if any(rest[0] in _neighbours(letter) for letter in around) else 1.0
    if len(aim) == len(rest) + 1 and aim[1:] == rest:
        return 0.6 if aim[0] in meant[max(start - 1, 0) : start] + meant[start + 1 : start + 2] else 0.7
    if len(rest) == len(aim) > 1 and rest[2:] == aim[2:] and rest[0] == aim[1] and rest[1] == aim[0]:
        return 0.7
    if len(rest) == len(aim) >= 1 and rest[1:] == aim[1:]:
        if skeleton(rest[0]) == skeleton(aim[0]):
            return 0.7
        return 0.8 if rest[0] in _neighbours(aim[0]) else 1.0
    return 1.0


def _rank(near: Near) -> tuple[float, ...]:
    return (near.edits, near.varied, near.weight, near.how, len(near.host))


def _common_prefix(left: str, right: str) -> str:
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return left[:index]
    return min(left, right, key=len)


@functools.cache
def _neighbours(letter: str) -> frozenset[str]:
    """The keys around a key of a QWERTY keyboard; its rows are shifted, so that each key touches two of the next."""
    found: set[str] = set()
    for row, keys in enumerate(_ROWS):
        at = keys.find(letter)
        if at < 0:
            continue
        for other, places in ((row, (at - 1, at + 1)), (row - 1, (at, at + 1)), (row + 1, (at - 1, at))):
            if 0 <= other < len(_ROWS):
                found.update(_ROWS[other][place] for place in places if 0 <= place < len(_ROWS[other]))
    return frozenset(found)


@functools.cache
def _goals() -> Mapping[str, Registry]:
    """The exact hosts that a correction may lead to. Those of a form with variables are left to the forms."""
    known = catalogue()
    goals = {host: registry for host, (registry, _) in known.retired.items()}
    for host, registry in known.by_host.items():
        # the accounts of EKS add-ons are instances of ECR's own form
        if registry.kind in _NO_GOAL_KINDS or host in _NO_GOAL or registry.id == "amazon-eks-addon-images":
            continue
        goals.setdefault(host, registry)
    return goals


@functools.cache
def _goal_hosts() -> tuple[str, ...]:
    return tuple(_goals())


@functools.cache
def _goals_by_skeleton() -> Mapping[str, str]:
    return {skeleton(host): host for host in _goals()}


@functools.cache
def _goals_by_labels() -> Mapping[tuple[str, ...], str]:
    return {tuple(sorted(host.split("."))): host for host in _goals() if host.count(".") >= 2}  # noqa: PLR2004 - three labels


@functools.cache
def _goals_by_stem() -> Mapping[str, tuple[str, ...]]:
    """A host without its ending → the hosts."""
    found: dict[str, list[str]] = {}
    for host in _goals():
        stem, _, ending = host.rpartition(".")
        if ending in _ENDINGS:
            found.setdefault(stem, []).append(host)
    return {stem: tuple(hosts) for stem, hosts in found.items()}


@functools.cache
def _forms() -> Mapping[int, tuple[_Form, ...]]:
    """Number of labels → the host forms of that many, as parts."""
    found: dict[int, list[_Form]] = {}
    for owned in catalogue().forms.values():
        for registry, form in owned:
            if registry.kind in _NO_GOAL_KINDS or form in _NO_GOAL_FORMS:
                continue
            parts = tuple(_part(label) for label in form.split("."))
            found.setdefault(len(parts), []).append(_Form(registry, parts))
    return {count: tuple(forms) for count, forms in found.items()}


def _part(label: str) -> _Part:
    variable = re.match(r"\{(\w+)\}", label)
    return _Part(label[variable.end() :], variable[1]) if variable else _Part(label, None)


def _look_alikes(host: str) -> Iterator[Near]:
    meant = _goals_by_skeleton().get(skeleton(host))
    if meant is not None and meant != host:
        yield Near(meant, _goals()[meant], How.LOOK_ALIKE, 1, 0.5)


def _edited(host: str) -> Iterator[Near]:
    for meant, edits, _ in process.extract(
        host, _goal_hosts(), scorer=OSA.distance, score_cutoff=MAX_EDITS, limit=None
    ):
        yield Near(meant, _goals()[meant], How.EDIT, int(edits), weight(host, meant))


def _edited_forms(host: str) -> Iterator[Near]:
    """Slips inside one label of a host form; a letter of it may have become a dot (`azu.ecr.io`)."""
    labels = host.split(".")
    yield from _slips(host, labels)
    for at in range(len(labels) - 1):
        yield from _slips(host, [*labels[:at], f"{labels[at]}.{labels[at + 1]}", *labels[at + 2 :]])


def _slips(host: str, labels: list[str]) -> Iterator[Near]:
    for form in _forms().get(len(labels), ()):
        wrong = 0
        for label, part in zip(labels, form.parts, strict=True):
            wrong += not part.holds(label)
            if wrong > 1:
                break
        if wrong != 1:
            continue
        for meant in _filled(labels, form):
            edits = distance(host, meant)
            if skeleton(host) == skeleton(meant):
                yield _near_form(host, meant, form.registry, How.LOOK_ALIKE, 1)
            elif edits <= MAX_EDITS:
                yield _near_form(host, meant, form.registry, How.EDIT, edits)


def _filled(labels: list[str], form: _Form) -> Iterator[str]:
    """The form with its one wrong label set right and the others as written, in every way they may be read."""
    choices = [
        (label,) if part.holds(label) else tuple(_readings(label, part, form.registry))
        for label, part in zip(labels, form.parts, strict=True)
    ]
    for chosen in itertools.product(*choices):
        yield ".".join(chosen)


def _readings(label: str, part: _Part, registry: Registry) -> Iterator[str]:
    """What a wrong label may have been meant to be, `part` being its place in a form."""
    if part.variable is None:
        yield part.text
    elif part.text:
        for end in range(len(label) - len(part.text) - 1, len(label) - len(part.text) + 2):
            if end > 0 and "." not in label[:end]:
                yield label[:end] + part.text
    elif (rule := registry.labels.get(part.variable)) is not None:
        yield from closest(label, rule.values, edits=1)


def _dotted(host: str) -> Iterator[Near]:
    """A dot too many, missing, or in the wrong place: the host with one dot moved, taken out, or put in, has a form."""
    for variant in _with_other_dots(host):
        if tail_of(variant) in catalogue().forms:
            for registry, _, _ in matches(variant):
                # two labels run together must be one that the service has
                joined = len(variant) < len(host) and not obeys(variant)
                if registry.kind not in _ONLY_EDITED_KINDS and not joined:
                    yield _near_form(host, variant, registry, How.DOT, 1)
                    break


def _with_other_dots(host: str) -> Iterator[str]:
    for at, letter in enumerate(host):
        before, after = host[:at], host[at + 1 :]
        if letter == ".":
            yield before + after
            if after[1:]:
                yield before + after[0] + "." + after[1:]
            if before[1:]:
                yield before[:-1] + "." + before[-1] + after
        elif before and after and before[-1] != "." and after[0] != ".":
            yield before + "." + after
        if before and before[-1] != "." and letter != ".":
            yield before + "." + host[at:]


def _reordered(host: str) -> Iterator[Near]:
    labels = host.split(".")
    meant = _goals_by_labels().get(tuple(sorted(labels)))
    if meant is not None and meant != host:
        yield Near(meant, _goals()[meant], How.LABELS, 1, 1.0)
    for form in _forms().get(len(labels), ()):
        fixed = [part.text for part in form.parts if part.variable is None]
        if len(fixed) < 3 or any(label not in labels for label in fixed):  # noqa: PLR2004 - fewer are no hint
            continue
        rest = list((Counter(labels) - Counter(fixed)).elements())
        if len(rest) + len(fixed) != len(labels):
            continue
        for order in itertools.permutations(rest):
            left = iter(order)
            filled = ".".join(part.text if part.variable is None else next(left) for part in form.parts)
            if filled != host and obeys(filled):
                yield Near(filled, form.registry, How.LABELS, 1, 1.0)
                break


def _other_ending(host: str) -> Iterator[Near]:
    stem, _, ending = host.rpartition(".")
    if ending not in _ENDINGS:
        return
    for meant in _goals_by_stem().get(stem, ()):
        if (registry := _goals()[meant]).kind not in _ONLY_EDITED_KINDS:
            yield Near(meant, registry, How.ENDING, 1, 1.0)
    for other in _ENDINGS - {ending}:
        variant = f"{stem}.{other}"
        if tail_of(variant) in catalogue().forms:
            for registry, _, _ in matches(variant):
                if registry.kind not in _ONLY_EDITED_KINDS:
                    yield _near_form(host, variant, registry, How.ENDING, 1)
                    break


def _near_form(host: str, meant: str, registry: Registry, how: How, edits: int) -> Near:
    odd = weight(host, meant)
    if how is How.DOT and len(meant) == len(host) and meant.count(".") == host.count("."):
        odd = 1.1  # a dot swapped with its neighbour gives a letter of a fixed label to a variable one, or takes one
    return Near(meant, registry, how, edits, odd if obeys(meant) else odd + 0.5, varied=True)
