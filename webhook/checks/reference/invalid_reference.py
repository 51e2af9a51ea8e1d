"""The text is no image reference.

What it does
------------
Reads the image as the container runtime's grammar does (`distribution/reference`, then the kubelet's `ParseImageName`)
and says at which character it stops being a reference.

Why the pull fails
------------------
The kubelet parses the reference before it asks anybody for anything. It sets the container's waiting reason to
`InvalidImageName` and never tries a pull, so no Secret, mirror or registry can help.

Example
-------
    image: myreg.azurecr.io/team app:1      # a space
    image: myreg.azurecr.io//app:1          # an empty part of the path
    image: app:release/1                    # a tag can't hold "/"

Fix
---
Write `[host[:port]/]path[:tag][@digest]`: lower-case path, a tag of at most 128 letters, digits, `_`, `.` and `-`.

Limits
------
Says nothing about whether the image exists. An image of blanks in a template (OpenShift's triggers) is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.checks.reference import _invalid
from webhook.model.finding import Confidence, Heals
from webhook.model.reference import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.model.finding import Finding

_TOLD_ELSEWHERE = frozenset(
    {Fault.SCHEME, Fault.TEMPLATE, Fault.UPPER_CASE, Fault.DIGEST, Fault.INVISIBLE, Fault.LOOK_ALIKE}
)
_FAULTS = frozenset(Fault) - _TOLD_ELSEWHERE


def _run(subject: ImageSubject) -> Iterator[Finding]:
    return _invalid.findings(CHECK, subject, _FAULTS)


CHECK = Check("PULL101", "invalid-reference", Confidence.CERTAIN, Heals.OBJECT, per_image=_run, only_if=_invalid.reason)
