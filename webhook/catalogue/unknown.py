"""Verdicts on hosts that the catalogue does not know: whether one is a slip away from one that it does.

Nothing is said of what only its owner can know: addresses, hosts with a port of their own, names without a dot, names
under private endings. This module loads slowly (rapidfuzz), so it is imported when the first unknown host turns up.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from typing import TYPE_CHECKING, Final

from webhook.catalogue import nearest
from webhook.catalogue.nearest import How
from webhook.catalogue.registries import catalogue, compiled, lookup, retired_of
from webhook.catalogue.verdict import Kind, Verdict
from webhook.model.finding import Confidence

if TYPE_CHECKING:
    from webhook.catalogue.nearest import Near

_HTTPS_PORT: Final = "443"
_LONG_HOST: Final = 32
"""From this length on, a message names only the labels that differ."""
_PROVEN_LABEL: Final = 7
"""A label of so many letters is no chance neighbour of another when two of them differ."""
_PROVEN_BESIDE_ANOTHER: Final = 6
"""The same where one letter of it differs, and one of another label."""
_A_NAME: Final = 2
"""Labels that a message keeps at least: a domain."""

# Endings that name nothing in public DNS: RFC 2606, RFC 6762, RFC 7686, RFC 8375, ICANN's `.internal`, Kubernetes' own,
# and those that offices use. A registry there is somebody's own.
_PRIVATE_ENDINGS: Final = frozenset(
    (
        *(
            "arpa",
            "consul",
            "corp",
            "example",
            "home",
            "internal",
            "intra",
            "intranet",
            "invalid",
            "lab",
            "lan",
            "local",
        ),
        *("localdomain", "localhost", "onion", "private", "svc", "test"),
    ),
)
_OPENSHIFT_REGISTRY: Final = "image-registry.openshift-image-registry.svc"


def judge(name: str, port: str) -> Verdict | None:
    """The verdict on a host (lower-case, without port) that is no known one; `port` as written, or empty."""
    if name.startswith("[") or _is_neighbour(name):
        return None
    if (verdict := _near_own(name, _OPENSHIFT_REGISTRY)) is not None:
        return verdict
    ending = name.rpartition(".")[2]
    if ending.isdigit():
        return _of_number(name)
    if "." not in name:
        return _near_own(name, "localhost")
    if ending in _PRIVATE_ENDINGS or port not in {"", _HTTPS_PORT}:
        return None
    if "xn--" in name:
        return _of_international(name)
    found = nearest.nearest(name)
    return _of_near(name, found) if found else _near_own(name, "127.0.0.1")


def _is_neighbour(name: str) -> bool:
    """Whether it is a real host that only stands near a known one."""
    neighbours = catalogue().neighbours
    return name in neighbours or any(compiled(other).fullmatch(name) for other in neighbours if "*" in other)


def _of_number(name: str) -> Verdict | None:
    """A host whose last label is a number: an address, or nothing, as no public ending is a number."""
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        near = _near_own(name, "127.0.0.1")
        return Verdict(
            Kind.TYPO,
            Confidence.LIKELY,
            name,
            f"`{name}` is no IPv4 address",
            host=near.host if near else None,
            fix="write four numbers from 0 to 255",
        )
    return None


def _near_own(name: str, meant: str) -> Verdict | None:
    """The verdict on a name near one that nodes or clusters themselves have."""
    if nearest.distance(name, meant) != 1:
        return None
    told = f"`{name}` looks misspelt"
    return Verdict(Kind.TYPO, Confidence.LIKELY, name, told, host=meant, evidence=(f"one edit from `{meant}`",))


def _of_near(name: str, found: tuple[Near, ...]) -> Verdict | None:
    best = found[0]
    if best.edits > 1 and not _is_clear(name, best.host):
        return None
    wrong, meant = _difference(name, best.host)
    kind, told = Kind.TYPO, f"`{wrong}` looks misspelt"
    if best.how is How.LOOK_ALIKE:
        kind, told = Kind.LOOK_ALIKE, f"`{wrong}` imitates `{meant}`"
    elif best.how is How.LABELS:
        kind, told = Kind.SUFFIX, f"the labels of `{wrong}` are in the wrong order"
    elif best.how is How.ENDING:
        kind, told = Kind.SUFFIX, f"`{wrong}` has the wrong ending"
    elif best.how is How.DOT and best.host.count(".") > name.count("."):
        kind, told = Kind.SUFFIX, f"`{wrong}` lacks a dot"
    evidence = [f"{'one edit' if best.edits == 1 else 'two edits'} from `{best.host}` ({best.registry.name})"]
    if best.how in {How.LABELS, How.ENDING}:
        evidence = [f"near `{best.host}` ({best.registry.name})"]
    as_near = [f"`{near.host}`" for near in found[1:4] if near.edits == best.edits]
    if as_near:
        evidence.append(f"as near: {', '.join(as_near)}")
    host = best.host
    if (retired := retired_of(host)) and retired[1].replaced_by:
        evidence.append(f"`{host}` itself is retired")
        host = retired[1].replaced_by
    return Verdict(kind, Confidence.LIKELY, wrong, told, host=host, evidence=tuple(evidence))


def _is_clear(name: str, meant: str) -> bool:
    """Whether two edits can only be a slip: a private host is soon two edits from a short name."""
    labels, others = name.split("."), meant.split(".")
    if len(labels) != len(others):
        return False
    wrong = [(one, other) for one, other in zip(labels, others, strict=True) if one != other]
    if len(wrong) == 1:
        return len(wrong[0][1]) >= _PROVEN_LABEL
    return max(len(other) for _, other in wrong) >= _PROVEN_BESIDE_ANOTHER


def _of_international(name: str) -> Verdict | None:
    """A name in other letters (written as punycode) that reads like a known host."""
    import idna  # noqa: PLC0415 - such names are rare, and these tables load slowly
    from confusable_homoglyphs import confusables  # noqa: PLC0415 - the same

    try:
        shown = idna.decode(name)
    except (idna.IDNAError, UnicodeError):
        return None
    read = ""
    for letter in shown:
        plain = unicodedata.normalize("NFKD", letter)[0]
        if not plain.isascii():
            alike = confusables.is_confusable(letter, greedy=False, preferred_aliases=["latin"]) or []
            latin = [other["c"] for found in alike for other in found["homoglyphs"]]
            plain = next((other for other in latin if other.isascii() and other.isalpha()), "")
        read += plain.lower()
    known = lookup(read)
    meant = read if known else next((near.host for near in nearest.nearest(read) if near.how is How.LOOK_ALIKE), None)
    if meant is None:
        return None
    told = f"`{name}` imitates `{meant}`"
    return Verdict(Kind.LOOK_ALIKE, Confidence.LIKELY, name, told, host=meant, evidence=(f"it reads `{shown}`",))


def _difference(name: str, meant: str) -> tuple[str, str]:
    """Two hosts as a message shows them: whole when short, otherwise from the first label that differs to the last."""
    if len(name) <= _LONG_HOST:
        return name, meant
    left, right = name.split("."), meant.split(".")
    while min(len(left), len(right)) > _A_NAME and left[0] == right[0]:
        left, right = left[1:], right[1:]
    while min(len(left), len(right)) > _A_NAME and left[-1] == right[-1]:
        left, right = left[:-1], right[:-1]
    return ".".join(left), ".".join(right)
