"""Pull secrets could not be read.

What it does
------------
Says so where a pull secret that the workload names could not be read; and, where nothing is known of its pull secrets
at all, if an image is of a registry that serves nobody without a credential.

Why the pull fails
------------------
Nothing is known to be wrong: this is "could not look". What rests on these secrets (no credential covers the image) is
not said then.

Example
-------
    pullproof serve --secrets=off
    pullproof check deployment.yaml        # no Secret among the files

Fix
---
Nothing in the manifest. Give `check` the Secrets too, or let the webhook read them.

Limits
------
One finding per workload. Images of registries that may be public are not told of. The webhook reads 32 pull secrets of
a workload, with 2,000 keys in all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.checks.secret import _look
from webhook.model.facts import Unknown
from webhook.model.finding import Confidence, Finding, Heals
from webhook.model.reference import Reference
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import WorkloadSubject

_REASON = 200


def _run(subject: WorkloadSubject) -> Iterator[Finding]:
    listed = subject.facts.pull_secrets
    if isinstance(listed, Unknown):
        if any(_needs_one(subject, image.reference) for image in subject.images):
            yield _finding(subject, "the pull secrets are", listed.reason)
        return
    unread = [(ref.name, ref.secret.reason) for ref in _look.distinct(listed.value) if isinstance(ref.secret, Unknown)]
    if not unread or not subject.images:
        return
    name, reason = unread[0]
    others = f" and {len(unread) - 1} more are" if len(unread) > 1 else " is"
    yield _finding(subject, f"pull secret {_look.shown(name)}{others}", reason)


def _needs_one(subject: WorkloadSubject, reference: object) -> bool:
    return isinstance(reference, Reference) and _look.need(reference, subject.facts.policy.cluster) is _look.Need.ALWAYS


def _finding(subject: WorkloadSubject, what: str, reason: str) -> Finding:
    return Finding(
        code=CHECK.code,
        name=CHECK.name,
        confidence=CHECK.confidence,
        heals=CHECK.heals,
        field=f"{subject.workload.pod_path}.imagePullSecrets",
        message=f"{what} unknown: {printable(reason, _REASON)}",
        fix="give pullproof the Secrets to read",
    )


CHECK = Check("PULL902", "pull-secrets-not-read", Confidence.UNKNOWN, Heals.CLUSTER, per_workload=_run)
