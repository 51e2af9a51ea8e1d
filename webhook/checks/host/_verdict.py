"""Turns a verdict of the catalogue into a finding of the one check whose kind it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook.catalogue.typo import assess, is_of_host
from webhook.model.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.catalogue.verdict import Kind, Verdict
    from webhook.checks.base import Check, ImageSubject
    from webhook.model.finding import Finding

_ROOM_FOR_A_FIX: Final = 60
"""A longer one pushes the message out of a warning line: then the host says enough, the suggestion holds the whole."""


def verdict_on(subject: ImageSubject) -> Verdict | None:
    """The catalogue's verdict on an image's repository."""
    reference = subject.reference
    if not isinstance(reference, Reference):
        return None
    domain, path = reference.domain, reference.path
    vouched = False
    policy = subject.facts.policy.cluster
    if policy.tells_of_hosts:
        if policy.vouches_for_path(reference.repository):
            return None  # the platform team knows that path, or its nodes ask another host
        vouched = policy.vouches_for(reference.repository) is not None
    if not domain:  # a host with an underscore counts as part of the path
        domain, _, path = path.partition("/")
    if vouched and is_of_host(domain, path):
        return None
    return assess(domain, path, subject.facts.host_evidence)


def findings(check: Check, subject: ImageSubject, kind: Kind) -> Iterator[Finding]:
    """The finding of `check` about an image, if the catalogue's verdict on it is of that kind."""
    reference, verdict = subject.reference, verdict_on(subject)
    if not isinstance(reference, Reference) or verdict is None or verdict.kind is not kind:
        return
    suggestion = None if verdict.right is None else verdict.right + _version(reference)
    yield check.found(
        subject,
        message=verdict.message,
        fix=_fix(verdict, suggestion),
        confidence=verdict.confidence,
        suggestion=suggestion,
        evidence=verdict.evidence,
        span=_span(subject.container.image, verdict.wrong),
    )


def _version(reference: Reference) -> str:
    """Tag and digest as written."""
    tag = "" if reference.tag is None else f":{reference.tag}"
    return tag if reference.digest is None else f"{tag}@{reference.digest}"


def _fix(verdict: Verdict, suggestion: str | None) -> str:
    if suggestion is None:
        return verdict.fix
    whole = f"use `{suggestion}`"
    return whole if len(whole) <= _ROOM_FOR_A_FIX else f"write the host as `{verdict.host}`"


def _span(image: str, wrong: str) -> tuple[int, int] | None:
    start = image.lower().find(wrong.lower())
    return None if start < 0 else (start, start + len(wrong))
