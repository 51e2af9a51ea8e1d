"""The ServiceAccount has the pull secret for an image, and the pod's own list hides it.

What it does
------------
Where no pull secret of the pod covers an image, looks whether one of its ServiceAccount's would.

Why the pull fails
------------------
`imagePullSecrets` of a pod replaces the ServiceAccount's list, it adds nothing to it; `imagePullSecrets: [{name: ""}]`
does so too. And a pod gets that list once, when it is made: what the ServiceAccount gets later reaches new pods only.

Example
-------
    # ServiceAccount default lists regcred, which is for us.icr.io
    spec:
      imagePullSecrets: [{name: quay}]
      containers: [{name: app, image: "us.icr.io/team/app:1"}]

Fix
---
List the ServiceAccount's secret in the pod too, or leave `imagePullSecrets` out. A pod that was made before is made
again: `kubectl rollout restart deployment/shop`.

Limits
------
Nothing is said where the ServiceAccount, or a secret of the pod, could not be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.checks.secret import _cause, _look
from webhook.model.finding import Confidence, Heals
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.model.finding import Finding


def _run(subject: ImageSubject) -> Iterator[Finding]:
    seen = _look.look(subject)
    if seen is None or _cause.cause(seen)[0] is not _cause.Cause.HIDDEN:
        return
    match = _cause.hidden_match(seen)
    if match is None:
        return
    workload = subject.workload
    name, account = _look.shown(match.secret.name), _look.shown(seen.listed.account)
    if workload.pull_secret_names is None:
        message = f"ServiceAccount {account} got pull secret {name} after this pod was made, which has none"
        fix = f"make the pod again, so that it gets {name}"
    else:
        message = (
            f"imagePullSecrets hides {name} of ServiceAccount {account}, which is for {_look.host_of(seen.reference)}"
        )
        own = any(workload.pull_secret_names)
        fix = f"add `- name: {name}` to imagePullSecrets" if own else "leave imagePullSecrets out"
    yield CHECK.found(
        subject,
        confidence=_look.confidence(subject, seen.reference, meant=True),
        message=message,
        fix=printable(fix),
        evidence=(f"pull secret {name} of ServiceAccount {account} covers the image", *_look.trace(seen)),
    )


CHECK = Check(
    "PULL306",
    "service-account-secrets-hidden",
    Confidence.LIKELY,
    Heals.OBJECT,
    per_image=_run,
    only_if=_look.relevant,
)
