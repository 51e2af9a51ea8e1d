"""The registry's host is put together wrongly: the ending, a dot, or the order of its labels.

What it does
------------
Finds the right name with the wrong ending (`azurecr.com`, `ghcr.com`), a dot that is missing
(`contosoazurecr.io`, and `quayio/org/app`, which is read as a path on Docker Hub), and labels in the wrong order
(`.ecr.dkr.` for `.dkr.ecr.`) or missing (`123456789012.ecr.us-east-1.amazonaws.com`).

Why the pull fails
------------------
No registry answers under that name. AWS names its VPC endpoints the other way round than its registry hosts, which is
where the swapped labels come from.

Example
-------
    image: contoso.azurecr.com/shop:1
    image: 123456789012.ecr.dkr.us-east-1.amazonaws.com/shop:1

Fix
---
Write the host that the finding names: `contoso.azurecr.io/shop:1`.

Limits
------
`certain` for known mistakes only, otherwise `likely`. Other endings count only where people confuse them (`com`, `io`,
`net`, `dev` and the like); a country's ending may well be another company's. Evidence for the host and private names
are treated as in PULL201; that Docker Hub is known here, or named by policy, says nothing of a host that is read as a
path on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.catalogue.verdict import Kind
from webhook.checks.base import Check
from webhook.checks.host import _verdict
from webhook.model.finding import Confidence, Heals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.model.finding import Finding


def _run(subject: ImageSubject) -> Iterator[Finding]:
    return _verdict.findings(CHECK, subject, Kind.SUFFIX)


CHECK = Check(
    "PULL202", "registry-host-suffix", Confidence.CERTAIN, Heals.OBJECT, per_image=_run, only_if=_verdict.verdict_on
)
