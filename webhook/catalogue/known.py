"""Verdicts on hosts that the catalogue knows: as a mistake, as retired, or by their form, whose labels may be wrong.

Must not: guess. What is said here rests on a source of the facts, which the verdict names; the one exception is a label
that is one slip from a known value, and then it is only `likely`.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final

from webhook.catalogue.registries import Effect, catalogue, matches, mistake_of, obeys, retired_of, tail_of
from webhook.catalogue.verdict import Kind, Verdict
from webhook.model.finding import Confidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from webhook.catalogue.registries import Label, Mistake, Registry

_ACCOUNT_DIGITS: Final = 12

_KIND_OF_MISTAKE: Final = {
    "website-not-registry": Kind.WEBSITE,
    "wrong-endpoint": Kind.ENDPOINT,
    "wrong-tld": Kind.SUFFIX,
    "swapped-labels": Kind.SUFFIX,
    "missing-label": Kind.SUFFIX,
    "missing-registry": Kind.SUFFIX,
    "missing-location": Kind.IMPOSSIBLE,
    "wrong-location": Kind.IMPOSSIBLE,
    "aws-style-region": Kind.IMPOSSIBLE,
}

_TOLD_OF_MISTAKE: Final = {
    "website-not-registry": "is a website, not a registry",
    "wrong-endpoint": "serves no images",
    "swapped-labels": "has two labels swapped",
    "missing-label": "lacks a label",
    "missing-location": "lacks the location",
    "missing-registry": "lacks the name of the registry",
    "wrong-location": "does not exist",
    "aws-style-region": "does not exist",
}

# What a source calls dead or closed is taken at its word; of a name whose end nobody dated it is only told.
_CONFIDENCE_OF_EFFECT: Final = {
    Effect.WORKS: Confidence.ADVISORY,
    Effect.FROZEN: Confidence.ADVISORY,
    Effect.UNKNOWN: Confidence.ADVISORY,
    Effect.RESTRICTED: Confidence.LIKELY,
    Effect.DEAD: Confidence.CERTAIN,
}

_DIRECTIONS: Final = frozenset(
    f"{first}{second}"
    for first in ("north", "south", "")
    for second in ("east", "west", "central", "")
    if first or second
)
_NUMBERED: Final = re.compile(r"(.*?)(-?)([0-9]+)")
_DASH_BEFORE_NUMBER: Final = re.compile(r"(.+)-([0-9]+)")


def of_mistake(name: str) -> Verdict | None:
    """The verdict on a host that is known to be a mistake."""
    found = mistake_of(name)
    if found is None:
        return None
    registry, mistake = found
    right = _right_of(name, mistake)
    open_ended = "<" in right
    if mistake.kind == "missing-label" and not open_ended and not obeys(right):
        return None  # the label is there, and misspelt
    kind = _KIND_OF_MISTAKE.get(mistake.kind, Kind.TYPO)
    note = (mistake.note,) if mistake.note else ()
    return Verdict(
        kind,
        Confidence.CERTAIN,
        name,
        f"`{name}` {_TOLD_OF_MISTAKE.get(mistake.kind, 'is not a registry')}",
        host=None if open_ended else right,
        fix=f"write the host as `{right}`" if open_ended else "",
        evidence=(f"known mistake for `{mistake.right}` ({registry.name})", *note, *mistake.source),
    )


def _right_of(name: str, mistake: Mistake) -> str:
    """The right host for a mistaken one; a part of it that is not known stands as `<…>`."""
    if mistake.match == "host":
        return mistake.right
    if mistake.match == "suffix":
        return f"{name.removesuffix(mistake.wrong) or '<registry>.'}{mistake.right}"
    stars = re.escape(mistake.wrong).replace(r"\*", "([a-z0-9-]+)")
    matched = re.fullmatch(stars, name)
    held = iter(matched.groups() if matched else ())
    return re.sub(r"\*", lambda _: next(held), mistake.right)


def of_retired(name: str) -> Verdict | None:
    """The verdict on a host that was a registry."""
    found = retired_of(name)
    if found is None:
        return None
    registry, retired = found
    since = f" since {retired.since}" if retired.since else ""
    told = {
        Effect.WORKS: "is retired and still serves",
        Effect.FROZEN: f"is frozen{since}",
        Effect.RESTRICTED: "serves a closed circle only",
        Effect.DEAD: f"is shut down{since}",
        Effect.UNKNOWN: f"is an old name of {registry.name}",
    }[retired.effect]
    return Verdict(
        Kind.RETIRED,
        _CONFIDENCE_OF_EFFECT[retired.effect],
        name,
        f"`{name}` {told}",
        host=retired.replaced_by,
        fix="find out where the image moved to",
        evidence=(*_texts(retired.detail), *retired.source),
    )


def of_form(name: str) -> Verdict | None:
    """The verdict on a host that has a known form: whether its variable labels can hold what they hold."""
    first: Verdict | None = None
    for registry, form, variables in matches(name):
        wrong = _of_variables(name, registry, form, variables)
        if wrong is None:
            return None
        first = first or wrong
    return first


def _of_variables(name: str, registry: Registry, form: str, variables: Mapping[str, str]) -> Verdict | None:
    for variable, value in variables.items():
        label = registry.labels.get(variable)
        if label is None or value in label.values:
            continue
        if variable == "account":
            verdict = _of_account(name, value, label)
        elif label.values:
            verdict = _of_partition(name, registry, form, label, value) or _of_value(name, variable, value, label)
        else:
            verdict = _of_name(name, registry, variable, value, label)
        if verdict is not None:
            return verdict
    return None


def _of_account(name: str, value: str, label: Label) -> Verdict | None:
    if len(value) == _ACCOUNT_DIGITS and value.isdigit():
        return None
    digits = "".join(re.findall("[0-9]", value))
    told = f"an AWS account has {_ACCOUNT_DIGITS} digits, `{value}` has {len(value)}"
    if not value.isdigit():
        told = f"`{value}` is no AWS account"
    host = _with(name, value, digits) if len(digits) == _ACCOUNT_DIGITS else _near_account(name)
    return Verdict(
        Kind.IMPOSSIBLE,
        Confidence.CERTAIN,
        value,
        told,
        host=host,
        fix="write the id of the account, 12 digits",
        evidence=_texts(label.note, label.source),
    )


def _near_account(name: str) -> str | None:
    """The one known registry of AWS itself that is one slip away: EKS keeps its add-ons in accounts of its own."""
    from webhook.catalogue import nearest  # noqa: PLC0415 - loads slowly, and wrong accounts are rare

    _, _, rest = name.partition(".")
    known = [host for host in catalogue().by_host if host.endswith(f".{rest}")]
    found = nearest.closest(name, known, edits=1)
    return found[0] if len(found) == 1 else None


def _of_partition(name: str, registry: Registry, form: str, label: Label, value: str) -> Verdict | None:
    """A region under a suffix that is not its own: each partition of AWS has one."""
    for other in registry.forms:
        for variable in re.findall(r"\{(\w+)\}", other):
            rule = registry.labels.get(variable)
            if other == form or rule is None or rule is label or rule.what != label.what or value not in rule.values:
                continue
            host = other.replace("{account}", name.partition(".")[0]).replace(f"{{{variable}}}", value)
            told = f"`{value}` is not under `{tail_of(name)}`"
            return Verdict(
                Kind.IMPOSSIBLE,
                Confidence.LIKELY,
                name,
                told,
                host=host,
                evidence=_texts(label.note, label.source),
            )
    return None


def _of_value(name: str, variable: str, value: str, label: Label) -> Verdict | None:
    """The verdict on a value that is none of those known: a new one is possible, a misspelt one is not."""
    told, evidence = f"`{value}` is no {label.what}", _texts(label.note, label.source)
    dashed = _DASH_BEFORE_NUMBER.fullmatch(value)
    if dashed and (right := dashed[1] + dashed[2]) in label.values:
        host = _with(name, value, right)
        return Verdict(Kind.IMPOSSIBLE, Confidence.CERTAIN, value, told, host=host, evidence=evidence)
    if (variable == "name" and len(value) == 1) or _may_be_new(value, label.values):
        return None
    from webhook.catalogue import nearest  # noqa: PLC0415 - loads slowly, and most values are known

    near = nearest.closest(value, label.values, edits=1)
    if near:
        others = f"as near: {', '.join(f'`{other}`' for other in near[1:4])}" if near[1:] else None
        evidence, host = (*_texts(others), *evidence), _with(name, value, near[0])
        return Verdict(Kind.IMPOSSIBLE, Confidence.LIKELY, value, told, host=host, evidence=evidence)
    # names under gcr.io are Google's own, and not all of them are known
    if variable != "name" and label.regex and not re.fullmatch(label.regex, value):
        return Verdict(
            Kind.IMPOSSIBLE,
            Confidence.LIKELY,
            value,
            told,
            fix=f"write a name that {label.what}s have, such as `{label.values[0]}`",
            evidence=evidence,
        )
    return None


def _of_name(name: str, registry: Registry, variable: str, value: str, label: Label) -> Verdict | None:
    """A name that customers choose, and that breaks the rules of the service.

    Only told of: rules of names change, and manifests are full of made-up ones.
    """
    if variable != "registry" or label.regex is None or re.fullmatch(label.regex, value):
        return None
    return Verdict(
        Kind.IMPOSSIBLE,
        Confidence.ADVISORY,
        value,
        f"`{value}` breaks the rules of a {label.what}",
        fix=f"write a name that {registry.name} allows",
        evidence=(f"host `{name}`", *_texts(label.note, label.source)),
    )


def _may_be_new(value: str, values: Iterable[str]) -> bool:
    """Whether an unknown region could be one that opened after the facts were gathered.

    It could when it is the next number of a known one (`us-east-3` after 2), or when it is made of words of known
    regions and one direction (`eu-east-1`), so that nothing in it is misspelt.
    """
    numbered = _NUMBERED.fullmatch(value)
    if numbered is None:
        return False
    base = numbered[1] + numbered[2]
    known = [other for other in map(_NUMBERED.fullmatch, values) if other]
    numbers = [int(other[3]) for other in known if other[1] + other[2] == base]
    if numbers:
        return numbered[3] == str(max(numbers) + 1)
    areas = {word for other in known for word in other[1].split("-")} - _DIRECTIONS
    *area, direction = numbered[1].split("-")
    written_alike = any(other[2] == numbered[2] for other in known)
    return written_alike and bool(area) and areas.issuperset(area) and direction in _DIRECTIONS


def of_region(name: str) -> Verdict | None:
    """A cloud's region written where that cloud has another name for the host (`us-south.icr.io` for `us.icr.io`)."""
    found = _hosts_by_region().get(name)
    if found is None:
        return None
    registry, region, host = found
    told = f"`{name}` does not exist: {region} is `{host}`"
    return Verdict(Kind.IMPOSSIBLE, Confidence.CERTAIN, name, told, host=host, evidence=registry.source)


@functools.cache
def _hosts_by_region() -> Mapping[str, tuple[Registry, str, str]]:
    return {
        f"{prefix}{region}.{tail_of(host)}": (registry, region, prefix + host)
        for registry in catalogue().registries
        for region, host in registry.region_to_host.items()
        for prefix in ("", "private.")
    }


def _with(name: str, wrong: str, right: str) -> str:
    """`name` with one of its labels, or the beginning of one, set right."""
    return re.sub(rf"(^|\.){re.escape(wrong)}(?=[.-]|$)", lambda found: found[1] + right, name, count=1)


def _texts(*texts: str | None) -> tuple[str, ...]:
    return tuple(text for text in texts if text)
