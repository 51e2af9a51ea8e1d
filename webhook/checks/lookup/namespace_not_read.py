"""The namespace's labels could not be read.

What it does
------------
Says so when neither the cache nor a live read within the deadline knew the namespace of a workload.

Why the pull fails
------------------
Nothing is known to be wrong: this is "could not look". The labels decide what is denied, so without them only what the
platform team fixed for every namespace (the floor) is enforced.

Example
-------
A namespace made a moment ago while the API server is overloaded.

Fix
---
Nothing in the manifest. A platform team sees it in `pullproof_cache_stale_seconds` and in the webhook's log.

Limits
------
Warnings go on as by default; nothing is denied for it, nor called fine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.model.facts import Unknown
from webhook.model.finding import Confidence, Finding, Heals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import WorkloadSubject


def _run(subject: WorkloadSubject) -> Iterator[Finding]:
    labels = subject.facts.namespace_labels
    if isinstance(labels, Unknown):
        yield Finding(
            code=CHECK.code,
            name=CHECK.name,
            confidence=CHECK.confidence,
            heals=CHECK.heals,
            field="metadata.namespace",
            message=f"the namespace's labels are unknown: {labels.reason}",
            fix="the cluster's floor and defaults were used",
        )


CHECK = Check("PULL901", "namespace-not-read", Confidence.UNKNOWN, Heals.CLUSTER, per_workload=_run)
