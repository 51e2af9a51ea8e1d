r"""A character that can't be seen, or only looks like another.

What it does
------------
Finds zero-width and non-breaking spaces, byte order marks, direction marks, and letters of other scripts or full-width
forms that look like ASCII; names the character, and offers the reference without it.

Why the pull fails
------------------
References are ASCII. The kubelet answers `InvalidImageName`, and the text looks right in every terminal.

Example
-------
    image: nginx\u200b:1.27       # a zero-width space before the colon
    image: ngin\u0445:1.27    # a Cyrillic letter that looks like x

Fix
---
Type the reference again instead of pasting it, or use the one that is offered.

Limits
------
A host in another script may be meant (an internationalised domain): write it in its `xn--` form.
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

_FAULTS = frozenset({Fault.INVISIBLE, Fault.LOOK_ALIKE})


def _run(subject: ImageSubject) -> Iterator[Finding]:
    return _invalid.findings(CHECK, subject, _FAULTS)


CHECK = Check("PULL106", "odd-character", Confidence.CERTAIN, Heals.OBJECT, per_image=_run, only_if=_invalid.reason)
