"""The host names an account or a region that can't exist.

What it does
------------
Reads the labels that have rules: an AWS account has 12 digits; regions are compared with those the vendors list (AWS,
Google, IBM, Oracle, Alibaba and others), in the way each writes them (`us-east-1` at AWS, `us-east1` at Google, `us` at
IBM), and AWS regions with the suffix of their partition (`amazonaws.com.cn` for China).

Why the pull fails
------------------
There is no such host, or one that answers for nobody.

Example
-------
    image: 1234567890123.dkr.ecr.us-east-1.amazonaws.com/shop:1
    image: us-south.icr.io/shop/app:1
    image: us-east-1-docker.pkg.dev/shop/images/app:1

Fix
---
Write the region as the finding has it; an account's id can only be looked up.

Limits
------
`certain` where a rule of the vendor is broken. A region that is one slip from a known one is `likely`. One that may
have opened since the list was made is left alone: the next number (`us-east-3` after `us-east-2`), or known words put
together anew (`eu-east-1`). A registry name that Azure would not allow is `advisory`: rules of names change.
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
    return _verdict.findings(CHECK, subject, Kind.IMPOSSIBLE)


CHECK = Check(
    "PULL205",
    "registry-impossible-account-or-region",
    Confidence.CERTAIN,
    Heals.OBJECT,
    per_image=_run,
    only_if=_verdict.verdict_on,
)
