"""The digest is malformed.

What it does
------------
Checks what stands behind `@`: an algorithm, a colon, and as many hexadecimal digits as that algorithm has.

Why the pull fails
------------------
A digest of the wrong form names nothing, and the kubelet refuses the whole reference (`InvalidImageName`).

Example
-------
    image: nginx@sha256:sha256:0123…        # the algorithm twice
    image: nginx@sha256:abc                 # too short
    image: nginx:sha256:0123…               # a colon for the @

Fix
---
Copy the digest from the registry: `name@sha256:` and 64 hexadecimal digits.

Limits
------
Whether an image of that digest exists only the registry knows.
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

_FAULTS = frozenset({Fault.DIGEST})


def _run(subject: ImageSubject) -> Iterator[Finding]:
    return _invalid.findings(CHECK, subject, _FAULTS)


CHECK = Check("PULL105", "malformed-digest", Confidence.CERTAIN, Heals.OBJECT, per_image=_run, only_if=_invalid.reason)
