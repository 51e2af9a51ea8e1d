"""Which key of a pull secret was meant for an image that none covers: another region's, another spelling, a slip.

A key that says nothing about the image (another registry altogether) is none.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from webhook.catalogue.registries import lookup
from webhook.checks.secret import _look
from webhook.model.keyring import Mismatch, explain

if TYPE_CHECKING:
    from webhook.checks.secret._look import Look
    from webhook.model.keyring import Trace

_SLIPS: Final = 2
_SHORTEST: Final = 6


class How(enum.IntEnum):
    """How a key is near; the smaller, the more telling."""

    SPELLING = 0
    SLIP = 1
    SAME_REGISTRY = 2
    NARROWER = 3


@dataclass(frozen=True, slots=True)
class Near:
    how: How
    trace: Trace


_SPELLINGS: Final = frozenset(
    {
        Mismatch.CAPITALS,
        Mismatch.OTHER_PORT,
        Mismatch.TAG_IN_KEY,
        Mismatch.DOCKER_HUB_KEY,
        Mismatch.BRACKETS,
        Mismatch.SUBDOMAIN,
    }
)
_UNREADABLE: Final = frozenset({Mismatch.SCHEME, Mismatch.NOT_A_HOST})
_NARROWER: Final = frozenset({Mismatch.GLOB_DEPTH, Mismatch.OTHER_PATH, Mismatch.MISPLACED})


def nearest(seen: Look) -> Near | None:
    """The most telling of the keys that don't cover the image, the first of several."""
    found = (_near(trace, seen) for trace in explain(seen.listed.known_secrets(), seen.reference.repository))
    return min((near for near in found if near is not None), key=lambda near: near.how, default=None)


def _near(trace: Trace, seen: Look) -> Near | None:
    host = seen.reference.host
    if trace.mismatch in _NARROWER:
        return Near(How.NARROWER, trace)
    if trace.entry is None:
        return None
    if trace.mismatch in _UNREADABLE:
        return Near(How.SPELLING, trace) if host in trace.entry.key else None
    location = trace.entry.location
    if trace.mismatch not in {*_SPELLINGS, Mismatch.OTHER_HOST} or location is None or location.is_glob:
        return None
    registry = _look.registry_of(seen.reference)
    if registry is not None and location.host.lower() != host.lower() and registry.id != "docker-hub":
        its = lookup(location.host)
        if its is not None and its.id == registry.id:
            return Near(How.SAME_REGISTRY, trace)
    if trace.mismatch in _SPELLINGS:
        return Near(How.SPELLING, trace)
    if lookup(location.host) is not None or min(len(location.host), len(host)) < _SHORTEST:
        return None  # cp.icr.io and us.icr.io are two slips apart, and both are meant
    # loads slowly (rapidfuzz), and most clusters never need it
    from webhook.catalogue.nearest import distance  # noqa: PLC0415

    return Near(How.SLIP, trace) if distance(location.host, host) <= _SLIPS else None
