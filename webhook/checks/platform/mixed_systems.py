"""Containers of one pod are for different operating systems.

What it does
------------
Compares what the images of a pod's containers are built for, init and ephemeral containers included.

Why the pull fails
------------------
All containers of a pod share one node and its kernel, so one of the images finds no match there, wherever the pod
lands.

Example
-------
    containers:
      - image: mcr.microsoft.com/windows/servercore:ltsc2022
      - image: fluent/fluent-bit:3.1-debian

Fix
---
Use images of one system (many have a tag for the other), or give the odd one a pod of its own.

Limits
------
`certain` only where both image indexes were read; as sure as the less sure of the two otherwise. Image volumes have no
operating system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.checks.platform import _view
from webhook.model.finding import Confidence, Heals
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.checks.platform._view import View
    from webhook.model.finding import Finding
    from webhook.model.workload import Container, Workload


def _run(subject: ImageSubject) -> Iterator[Finding]:
    seen = _view.view(subject.workload, subject.facts)
    if seen is None or seen.mixed is Confidence.UNKNOWN:
        return
    odd, other = _pair(subject.workload, seen)
    if odd is not subject.container:
        return
    image, against = seen.images[odd.field], seen.images[other.field]
    yield CHECK.found(
        subject,
        message=f"{image.words}, and {printable(other.name, 30)} has {against.words}",
        fix="give it a pod of its own",
        confidence=seen.limited(seen.mixed),
        heals=Heals.OBJECT if image.index is None and against.index is None else Heals.REGISTRY,
        evidence=(image.reason, against.reason),
    )


def _pair(workload: Workload, seen: View) -> tuple[Container, Container]:
    """The surest two that share no system: first the odd one, that can't run where the pod lands, else the later."""
    told = [container for container in workload.containers if container.field in seen.images]
    for index, one in enumerate(told):
        mine = seen.images[one.field]
        for two in told[index + 1 :]:
            theirs = seen.images[two.field]
            if not mine.systems & theirs.systems and min(mine.confidence, theirs.confidence) == seen.mixed:
                runs = bool(mine.systems & seen.runs), bool(theirs.systems & seen.runs)
                return (one, two) if runs == (False, True) else (two, one)
    raise AssertionError("images are mixed only where two share no system")


CHECK = Check("PULL406", "mixed-systems", Confidence.CERTAIN, Heals.OBJECT, per_image=_run, only_if=_view.mixed)
