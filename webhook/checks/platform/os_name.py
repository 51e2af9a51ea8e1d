"""`spec.os.name` says one operating system, and nothing sends the pod there.

What it does
------------
Compares `spec.os.name` with the nodes that the selectors leave. Where it says nothing, `windowsOptions` in a security
context are taken as a hint that Windows is meant.

Why the pull fails
------------------
The scheduler does not look at `spec.os.name`. The kubelet does: on a node of the other system it rejects the pod
(`PodOSNotSupported`) before it pulls anything, and a controller makes the next one.

Example
-------
    os: {name: windows}
    nodeSelector: {kubernetes.io/os: linux}

Fix
---
    os: {name: windows}
    nodeSelector: {kubernetes.io/os: windows}

Limits
------
`certain` where the two contradict each other. Without a selector it is at most `likely`, and nothing is said of `linux`
where no Windows node would take the pod. `windowsOptions` alone are `advisory`: Linux ignores them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.checks.platform import _kubelet, _view
from webhook.model.finding import Confidence, Heals
from webhook.model.landing import SYSTEMS
from webhook.model.platform import WINDOWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import WorkloadSubject
    from webhook.model.finding import Finding


def _run(subject: WorkloadSubject) -> Iterator[Finding]:
    seen = _view.view(subject.workload, subject.facts)
    if seen is None:
        return
    wanted = seen.declared.os_name
    if not wanted and seen.declared.windows_options and not seen.images and seen.runs == set(SYSTEMS):
        yield _view.about_pod(
            CHECK,
            _view.path(subject.workload, seen.declared.windows_options),
            message="windowsOptions selects nothing",
            fix=_view.selector(WINDOWS),
            confidence=Confidence.ADVISORY,
            heals=Heals.POD_MUTATION,
        )
    if wanted not in SYSTEMS:
        return
    (other,) = set(SYSTEMS) - {wanted}
    own = _view.Mend(_view.path(subject.workload, "os.name"), "", f"write `os: {{name: {other}}}`", other)
    yield from _kubelet.findings(CHECK, subject, seen, wanted, said=f"spec.os.name {wanted}", own=own)


CHECK = Check("PULL404", "os-name-not-selected", Confidence.CERTAIN, Heals.OBJECT, per_workload=_run)
