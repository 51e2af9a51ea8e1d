"""The image is for one operating system, and the pod can only land on the other.

What it does
------------
Compares what the image is built for (its index or config where known, else its name) with the nodes that
`nodeSelector`, required node affinity, a runtime class, `spec.os.name`, the pod label `kubernetes.io/os` or a node's
name leave to the pod.

Why the pull fails
------------------
A node takes from an image index only what is built for its own system: `no match for platform in manifest`. A single
manifest of the other system is pulled, and its first process can't start.

Example
-------
    nodeSelector: {kubernetes.io/os: linux}
    containers:
      - image: mcr.microsoft.com/windows/nanoserver:ltsc2022

Fix
---
    nodeSelector: {kubernetes.io/os: windows}

or an image for the system that is selected.

Limits
------
`certain` only where the image index itself was read. What a name tells is a guess, so at most `likely`. Host processes
are at most `advisory`. An image volume has no operating system.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from webhook.catalogue.image_systems import prose
from webhook.checks.base import Check
from webhook.checks.platform import _view
from webhook.model.finding import Confidence, Heals
from webhook.model.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.model.finding import Finding


def _run(subject: ImageSubject) -> Iterator[Finding]:
    judged = _view.judged(subject)
    if judged is None:
        return
    seen, image = judged
    if not seen.runs or image.systems & seen.runs:
        return
    confidence = seen.limited(image.confidence, Confidence.CERTAIN if seen.pinned is None else Confidence.LIKELY)
    moving = image.index is not None and isinstance(subject.reference, Reference) and subject.reference.digest is None
    heals = Heals.REGISTRY if moving else Heals.OBJECT
    only = " or ".join(sorted(map(prose, seen.runs)))
    if image.one is None:
        yield CHECK.found(
            subject,
            message=f"{image.words}, and the pod lands on {only}",
            fix=f"use an image that is built for {only}",
            confidence=confidence,
            heals=heals,
            evidence=(image.reason,),
        )
        return
    constraint = seen.excluder(image.one)
    mend = _view.mend(subject.workload, constraint, image.one)
    found = CHECK.found(
        subject,
        message=f"{image.words}, but {mend.why}",
        fix=mend.fix,
        confidence=confidence,
        heals=heals,
        suggestion=mend.suggestion,
        evidence=(image.reason, constraint.text),
    )
    yield replace(found, field=mend.field)


CHECK = Check("PULL401", "platform-mismatch", Confidence.CERTAIN, Heals.OBJECT, per_image=_run, only_if=_view.judged)
