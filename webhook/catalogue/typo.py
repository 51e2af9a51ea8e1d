"""Whether the host of a reference can be the one that was meant, and what to write where it can't.

The order decides: known mistakes, known hosts, retired ones, the forms of hosts with variable labels, and only then
nearness to a known host. What this place itself knows (a host in its pull secrets, on its nodes, declared by policy) is
evidence for a host and never a candidate for another, so the cost does not grow with the cluster.

How sure a verdict is: `certain` where a source says that the host serves no images, or where it can't exist; `likely`
for what is a slip away from a known host; `advisory` for names that are retired and still serve.

Must not: do I/O, or ask about anything but a host and a path.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from webhook.catalogue import known, paths
from webhook.catalogue.registries import catalogue, host_name, matches
from webhook.model.facts import no_evidence
from webhook.model.finding import Confidence

if TYPE_CHECKING:
    from webhook.catalogue.verdict import Verdict
    from webhook.model.facts import Evidence

_PREFIX_MIRROR: Final = "m.daocloud.io"
"""A mirror whose paths begin with the host that it mirrors."""
_REMEMBERED: Final = 8192
_LONGEST_DOMAIN: Final = 253 + len(":65535")
"""A DNS name (RFC 1035) and a port. The grammar of references bounds neither, so what is longer is not remembered."""


def assess(domain: str, path: str, host_evidence: Evidence = no_evidence) -> Verdict | None:
    """The one verdict on a repository: `domain` is `host[:port]` as in a reference, `path` what follows it.

    None where there is nothing to say. Evidence for the host takes a guess back, and makes what is `certain` `likely`;
    of a path it proves nothing: most nodes have images of docker.io, and `quayio/org/app` is still none of them.
    """
    if len(domain) > _LONGEST_DOMAIN:
        return None
    verdict = _assess(domain, path)
    if verdict is None or verdict.confidence is Confidence.ADVISORY or not is_of_host(domain, path):
        return verdict
    known_from = host_evidence(domain)
    if known_from is None:
        return verdict
    if verdict.confidence is Confidence.LIKELY:
        return None
    why = f"not certain: the host is known here from {known_from}"
    return replace(verdict, confidence=Confidence.LIKELY, evidence=(*verdict.evidence, why))


def is_of_host(domain: str, path: str) -> bool:
    """Whether a verdict is on the host, not on a path below a host that is right."""
    return _assess_host(domain) is not None and not paths.is_dependency_proxy(domain, path)


@functools.lru_cache(maxsize=_REMEMBERED)
def _assess(domain: str, path: str) -> Verdict | None:
    verdict = _assess_host(domain)
    if verdict is None or not is_of_host(domain, path):
        return paths.judge(domain, path) or _assess_mirrored(domain, path)
    if verdict.host is None:
        return verdict
    host = paths.registry_behind(verdict.host, path)
    return replace(verdict, host=host, right=paths.repository(domain, host, path))


@functools.lru_cache(maxsize=_REMEMBERED)
def _assess_host(domain: str) -> Verdict | None:
    """The verdict on a host alone; the path is still to be added to the `host` to write instead."""
    name = host_name(domain)
    if (verdict := known.of_mistake(name)) is not None:
        return verdict
    hosts = catalogue().by_host
    if name in hosts or domain.lower() in hosts:
        return None
    if (verdict := known.of_retired(name)) is not None:
        return verdict
    if next(matches(name), None) is not None:
        return known.of_form(name)
    if (verdict := known.of_region(name)) is not None:
        return verdict
    # most clusters use known hosts only, and what tells misspelt ones takes longer to load than all of the rest
    from webhook.catalogue import unknown  # noqa: PLC0415

    return unknown.judge(name, domain[len(name) + 1 :])


def _assess_mirrored(domain: str, path: str) -> Verdict | None:
    """The verdict on the host that a mirror is asked for, where the path names it."""
    first, _, rest = path.partition("/")
    if domain != _PREFIX_MIRROR or "." not in first:
        return None
    verdict = _assess_host(first)
    if verdict is None or verdict.host is None:
        return None
    right = paths.repository(first, verdict.host, rest)
    confidence = min(verdict.confidence, Confidence.LIKELY)  # what the mirror makes of that path is its own matter
    return replace(verdict, confidence=confidence, host=domain, right=right and f"{domain}/{right}")
