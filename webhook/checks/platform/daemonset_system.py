"""A DaemonSet makes a pod on nodes of a system that its image is not for.

What it does
------------
Finds DaemonSets whose template reaches nodes of both systems while an image is for one.

Why the pull fails
------------------
The DaemonSet controller makes a pod for every node that the template reaches and pins it there by name. On a node of
the other system the pull ends with `no match for platform in manifest`, and the controller makes the pod anew for ever.

Example
-------
    kind: DaemonSet
    spec:
      template:
        spec:
          containers:
            - image: mcr.microsoft.com/windows/nanoserver:ltsc2022

Fix
---
    nodeSelector: {kubernetes.io/os: windows}

It must stand in the template: what is injected into a pod comes too late, as its node is chosen already.

Limits
------
At most `likely`. Of a Linux image it is told only where a Windows node would take the pod now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.catalogue.image_systems import prose
from webhook.checks.base import Check
from webhook.checks.platform import _view
from webhook.model.finding import Confidence, Heals
from webhook.model.platform import LINUX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.model.finding import Finding


def _run(subject: ImageSubject) -> Iterator[Finding]:
    judged = _view.judged(subject)
    if judged is None or not judged[0].daemon:
        return
    seen, image = judged
    stray = _view.strays(seen, image)
    if stray is None or image.one is None or seen.landing.unsure is not None:
        return
    takers = seen.takers()
    reached = tuple(group for group in takers or () if group.sample.os == stray)
    evidence = [image.reason]
    least = Confidence.LIKELY
    if reached:
        evidence.append(f"{prose(stray)} nodes that take it: {_view.some_names(reached)}")
    elif image.one == LINUX:
        return
    elif takers is not None:
        least = Confidence.ADVISORY
    yield CHECK.found(
        subject,
        message=f"{image.words}, on {prose(stray)} nodes too",
        fix=_view.selector(image.one),
        confidence=seen.limited(image.confidence, least),
        evidence=tuple(evidence),
    )


CHECK = Check("PULL410", "daemonset-system", Confidence.LIKELY, Heals.OBJECT, per_image=_run, only_if=_view.judged)
