"""A Linux image, and Windows nodes that would take the pod.

What it does
------------
Finds images that are for Linux in pods without a selector, in a cluster where Windows nodes carry no taint that keeps
such a pod off.

Why the pull fails
------------------
The scheduler may pick a Windows node, and there the pull ends with `no match for platform in manifest`.

Example
-------
    containers:
      - image: nginx:1.27-alpine          # and a Windows node without taints

Fix
---
    nodeSelector: {kubernetes.io/os: linux}

or a taint on the Windows nodes, such as `os=windows:NoSchedule`.

Limits
------
Tells only what the nodes that are there show. Most names of Linux images don't say so: without the registry's answer
those are not told of. Injection (`pullproof.dev/inject-os: enabled`) makes it `advisory` in templates.
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
    if seen.daemon or LINUX not in image.systems or _view.strays(seen, image) != WINDOWS:
        return
    windows = tuple(group for group in seen.takers() or () if group.sample.os == WINDOWS)
    if not windows or seen.landing.unsure is not None:
        return
    evidence = [image.reason, f"without a taint against it: {_view.some_names(windows)}"]
    least = Confidence.LIKELY
    if _view.injected(subject.workload, subject.facts, image.confidence):
        least = Confidence.ADVISORY
        evidence.append("pullproof adds the selector to its pods (inject-os)")
    yield CHECK.found(
        subject,
        message="a Linux image may land on Windows",
        fix=_view.selector(LINUX),
        confidence=seen.limited(image.confidence, least),
        evidence=tuple(evidence),
    )


CHECK = Check("PULL403", "linux-not-selected", Confidence.LIKELY, Heals.CLUSTER, per_image=_run, only_if=_view.judged)
