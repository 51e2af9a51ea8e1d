"""A check did not finish.

What it does
------------
Says so when a check failed by a mistake of its own, or when a review took so long that the rest was left out: an API
server waits for three seconds at the most, and an answer about what was seen is worth more than none.

Why the pull fails
------------------
Nothing is known to be wrong: this is "could not look". What the other checks found is told and enforced as ever.

Example
-------
A pod with thousands of containers: of one that has more than 1,000 images, the first 1,000 are looked at.

Fix
---
Nothing in an ordinary manifest. The evidence names the check and the place in pullproof: please report it.

Limits
------
Never denied for, nor called fine. It shows in the audit annotation `unknown` and in `pullproof_findings_total`.
"""

from __future__ import annotations

from webhook.checks.base import Check
from webhook.model.finding import Confidence, Finding, Heals


def finding(what: str, field: str, evidence: tuple[str, ...] = ()) -> Finding:
    """What is told of a check, or of everything left, that was not finished; the engine knows, no check can."""
    return Finding(
        code=CHECK.code,
        name=CHECK.name,
        confidence=CHECK.confidence,
        heals=CHECK.heals,
        field=field,
        message=what,
        fix="what the other checks found holds",
        evidence=evidence,
    )


CHECK = Check("PULL903", "not-judged", Confidence.UNKNOWN, Heals.POD_MUTATION, per_workload=lambda _subject: ())
