"""The repository is written in upper case.

What it does
------------
Finds upper-case letters in the path of an image.

Why the pull fails
------------------
Paths are lower case by the grammar of `distribution/reference`; only a host and a tag may hold capitals. The kubelet
answers `InvalidImageName`.

Example
-------
    image: ghcr.io/MyOrg/App:1

Fix
---
Write the path in lower case: registries treat it so in any case, `ghcr.io/myorg/app:1`.

Limits
------
`MyOrg/app` is valid: its first part is read as a host because of the capital. That is a matter of the checks of hosts.
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

_FAULTS = frozenset({Fault.UPPER_CASE})


def _run(subject: ImageSubject) -> Iterator[Finding]:
    return _invalid.findings(CHECK, subject, _FAULTS)


CHECK = Check(
    "PULL104", "upper-case-in-reference", Confidence.CERTAIN, Heals.OBJECT, per_image=_run, only_if=_invalid.reason
)
