"""Runs the checks over one workload. Pure: the facts are there before, the policy comes after.

What holds for every check alike stands here rather than in each: blank images of templates are left alone, one broken
check can't hide the others' word, and what is out of sight lowers `certain` to `likely`.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from webhook.checks.base import ImageSubject, WorkloadSubject
from webhook.model.finding import Confidence
from webhook.model.reference import InvalidReference, Reference, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from webhook.checks.base import Check
    from webhook.model.facts import Facts
    from webhook.model.finding import Finding
    from webhook.model.workload import Workload

_INVALID_REFERENCE_AREA = "PULL1"
_LONGEST_REMEMBERED = 512


def read_reference(image: str) -> Reference | InvalidReference:
    """The reference, or why it is none, as a value."""
    # what nobody would write is not remembered: a request can hold megabytes of it
    return _remembered(image) if len(image) <= _LONGEST_REMEMBERED else _read(image)


def _read(image: str) -> Reference | InvalidReference:
    try:
        return parse(image)
    except InvalidReference as invalid:
        return invalid.with_traceback(None)


_remembered = functools.lru_cache(maxsize=16_384)(_read)


def subjects(workload: Workload, facts: Facts) -> tuple[ImageSubject, ...]:
    """The images of a workload that can be judged.

    An image of a template that is blank is a placeholder that something fills in later (OpenShift's image triggers
    write `" "`), so it is left out.
    """
    return tuple(
        ImageSubject(workload, container, read_reference(container.image), facts)
        for container in workload.containers
        if container.image.strip() or not workload.is_template
    )


def evaluate(workload: Workload, facts: Facts, checks: Sequence[Check]) -> tuple[Finding, ...]:
    """What the checks say about a workload: the surest first, then by container, then by code."""
    images = subjects(workload, facts)
    order = {subject.container.field: index for index, subject in enumerate(images)}
    found = [finding for check in checks for finding in _run(check, workload, images, facts)]
    return tuple(
        sorted(found, key=lambda finding: (-finding.confidence, order.get(finding.field, len(order)), finding.code))
    )


def _run(check: Check, workload: Workload, images: tuple[ImageSubject, ...], facts: Facts) -> Iterator[Finding]:
    if check.per_image is not None:
        for subject in images:
            for finding in check.per_image(subject):
                yield _lowered(finding, subject)
    elif check.per_workload is not None:
        yield from check.per_workload(WorkloadSubject(workload, images, facts))


def _lowered(finding: Finding, subject: ImageSubject) -> Finding:
    """`certain` becomes `likely` where the kubelet may not pull at all; a reference it can't read stays as it is."""
    if finding.confidence is not Confidence.CERTAIN or finding.code.startswith(_INVALID_REFERENCE_AREA):
        return finding
    if subject.container.pull_policy == "Never":
        why = "imagePullPolicy is Never: a node that holds the image does not pull it"
    elif isinstance(subject.reference, Reference) and (at := subject.facts.image_evidence(str(subject.reference))):
        why = f"the image is present on {at}"
    else:
        return finding
    return replace(finding, confidence=Confidence.LIKELY, evidence=(*finding.evidence, why))
