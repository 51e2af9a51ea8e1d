"""The pod label `kubernetes.io/os` says what the node is not.

What it does
------------
Compares the label `kubernetes.io/os` of the pod (not its selector) with the nodes that the selectors leave.

Why the pull fails
------------------
The kubelet compares this label with the node's own and rejects the pod where they differ
(`PodOSSelectorNodeLabelDoesNotMatch`). The scheduler does not look at it.

Example
-------
    metadata:
      labels: {kubernetes.io/os: windows}
    spec:
      nodeSelector: {kubernetes.io/os: linux}

Fix
---
Remove the label: it selects nothing. What selects a node is

    nodeSelector: {kubernetes.io/os: windows}

Limits
------
`certain` where the label is no operating system, or contradicts the selectors or `spec.os.name`; at most `likely` where
nothing selects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.checks.platform import _kubelet, _view
from webhook.model.finding import Confidence, Heals
from webhook.model.landing import SYSTEMS
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import WorkloadSubject
    from webhook.model.finding import Finding

_WHAT = "pod label kubernetes.io/os"
_FIX = "remove the label"


def _run(subject: WorkloadSubject) -> Iterator[Finding]:
    seen = _view.view(subject.workload, subject.facts)
    if seen is None or seen.label is None:
        return
    field = _view.label_path(subject.workload)
    name = seen.declared.os_name
    if seen.label in SYSTEMS and name in {"", seen.label}:
        if not name:  # else the check of spec.os.name tells it
            own = _view.Mend(field, "", _FIX)
            yield from _kubelet.findings(CHECK, subject, seen, seen.label, said=f"{_WHAT}={seen.label}", own=own)
        return
    shown = printable(seen.label, 40)
    why = f"but spec.os.name is {name}" if seen.label in SYSTEMS else "which no node is"
    yield _view.about_pod(
        CHECK, field, message=f"{_WHAT}={shown}, {why}", fix=_FIX, confidence=seen.limited(Confidence.CERTAIN)
    )


CHECK = Check("PULL405", "pod-os-label", Confidence.CERTAIN, Heals.OBJECT, per_workload=_run)
