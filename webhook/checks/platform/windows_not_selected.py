"""A Windows image, and nothing keeps the pod off Linux nodes.

What it does
------------
Finds images that are for Windows in pods that neither `nodeSelector` nor required node affinity sends to Windows nodes.

Why the pull fails
------------------
The scheduler knows nothing of images. It picks any node, most often a Linux one, and there the pull ends with
`no match for platform in manifest`.

Example
-------
    containers:
      - image: mcr.microsoft.com/dotnet/framework/aspnet:4.8-windowsservercore-ltsc2022

Fix
---
    nodeSelector: {kubernetes.io/os: windows}

pullproof adds it to pods itself in namespaces labelled `pullproof.dev/inject-os: enabled`.

Limits
------
At most `likely`: it may land well by luck. `advisory` where taints keep it off every Linux node there is, where
injection is on, and for host processes. DaemonSets have a check of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.checks.platform import _view
from webhook.model.finding import Confidence, Heals
from webhook.model.platform import LINUX, WINDOWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.model.finding import Finding


def _run(subject: ImageSubject) -> Iterator[Finding]:
    judged = _view.judged(subject)
    if judged is None:
        return
    seen, image = judged
    if seen.daemon or WINDOWS not in image.systems or _view.strays(seen, image) != LINUX:
        return
    if seen.landing.unsure is not None:
        yield CHECK.found(
            subject,
            message=f"a Windows image may land on Linux: {seen.landing.unsure}",
            fix="",
            confidence=Confidence.UNKNOWN,
        )
        return
    evidence = [image.reason]
    least = Confidence.LIKELY
    takers = seen.takers()
    if takers and all(group.sample.os != LINUX for group in takers):
        least = Confidence.ADVISORY
        evidence.append(f"only {_view.some_names(takers)} would take it now")
    if _view.injected(subject.workload, subject.facts, image.confidence):
        least = Confidence.ADVISORY
        evidence.append("pullproof adds the selector to its pods (inject-os)")
    yield CHECK.found(
        subject,
        message="a Windows image may land on Linux",
        fix=_view.selector(WINDOWS),
        confidence=seen.limited(image.confidence, least),
        evidence=tuple(evidence),
    )


CHECK = Check(
    "PULL402", "windows-not-selected", Confidence.LIKELY, Heals.POD_MUTATION, per_image=_run, only_if=_view.judged
)
