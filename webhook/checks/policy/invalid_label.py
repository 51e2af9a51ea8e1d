"""A `pullproof.dev/` label of the namespace has a value that means nothing.

What it does
------------
Reads the labels that set the modes (`pullproof.dev/enforce`, `warn`, `audit`: off, certain, likely or advisory) and
`pullproof.dev/inject-os` (enabled or disabled), and tells of any other value and of any other name below
`pullproof.dev/`: on the write of the namespace, and on each workload there.

Why the pull fails
------------------
It does not: a mistyped label never blocks. But somebody meant to set a policy, and another one holds.

Example
-------
    kubectl label namespace shop pullproof.dev/enforce=sure

Fix
---
Set one of the values that the message lists.

Limits
------
The stricter of the cluster's default and floor holds until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.model.finding import Confidence, Finding, Heals
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import WorkloadSubject
    from webhook.model.policy import LabelError


def finding(error: LabelError) -> Finding:
    """What is told of one mistyped label, on the namespace and on its workloads alike."""
    return Finding(
        code=CHECK.code,
        name=CHECK.name,
        confidence=CHECK.confidence,
        heals=CHECK.heals,
        field=f"metadata.labels[{error.key}]",
        message=f"label {printable(error.key, 40)} is none of pullproof's"
        if error.used is None
        else f"label {error.key}={printable(error.value, 24)} means nothing, {error.used} holds",
        fix=f"use {'|'.join(error.allowed)}",
    )


def _run(subject: WorkloadSubject) -> Iterator[Finding]:
    for error in subject.facts.policy.label_errors:
        yield finding(error)


CHECK = Check("PULL801", "invalid-policy-label", Confidence.ADVISORY, Heals.CLUSTER, per_workload=_run)
