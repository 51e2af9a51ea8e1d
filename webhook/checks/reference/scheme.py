"""A URL stands where an image reference belongs.

What it does
------------
Finds `https://`, `http://`, `docker://`, `oci://` and the like in front of an image.

Why the pull fails
------------------
A reference has no scheme: `https:` is read as a name with an empty tag, which no grammar allows. The kubelet answers
`InvalidImageName` and never pulls.

Example
-------
    image: https://myreg.azurecr.io/app:1

Fix
---
Leave the scheme out: `myreg.azurecr.io/app:1`. Whether a registry speaks plain HTTP is said in the runtime's
configuration of that host, not in the image.

Limits
------
Where the rest is no reference either, no replacement is offered.
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

_FAULTS = frozenset({Fault.SCHEME})


def _run(subject: ImageSubject) -> Iterator[Finding]:
    return _invalid.findings(CHECK, subject, _FAULTS)


CHECK = Check(
    "PULL102", "scheme-in-reference", Confidence.CERTAIN, Heals.OBJECT, per_image=_run, only_if=_invalid.reason
)
