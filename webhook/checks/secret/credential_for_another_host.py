r"""A pull secret has a credential for a host that is nearly the image's.

What it does
------------
Where no key of the pull secrets covers an image, finds the one that was meant to: another region or name of the same
registry (`de.icr.io` for `us.icr.io`, `registry.ng.bluemix.net`, another Azure registry), another port, capitals, a
slip of the pen, a name of Docker Hub's that it is not looked up by, a path or a glob that is too narrow.

Why the pull fails
------------------
The kubelet compares keys with the image part by part and knows no near misses. `de.icr.io` says nothing about
`us.icr.io`, even if one API key opens both.

Example
-------
    image: us.icr.io/team/app:1
    # and the secret was made with --docker-server=de.icr.io

Fix
---
Make a pull secret for the host as the image writes it:

    kubectl create secret docker-registry us-icr-io -n shop --docker-server=us.icr.io --docker-username=iamapikey \
      --docker-password="$IBM_API_KEY"

For Docker Hub the key is `https://index.docker.io/v1/`.

Limits
------
At most advisory where the image may be public and the key may be meant for others: another region, a narrower path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.checks.secret import _cause, _commands, _look, _near
from webhook.model.finding import Confidence, Heals
from webhook.model.keyring import Mismatch
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.checks.secret._look import Look
    from webhook.model.finding import Finding

_REASON = 160
_KEY = 60


def _run(subject: ImageSubject) -> Iterator[Finding]:
    seen = _look.look(subject)
    if seen is None:
        return
    cause, near = _cause.cause(seen)
    if cause is not _cause.Cause.NEAR or near is None:
        return
    sure = _look.confidence(subject, seen.reference, meant=True)
    if seen.need is _look.Need.MAYBE and near.how not in (_near.How.SPELLING, _near.How.SLIP):
        sure = Confidence.ADVISORY
    secret = near.trace.secret
    one_key = len(secret.entries) == 1 or near.trace.mismatch is Mismatch.MISPLACED
    rewritten = one_key and (near.how <= _near.How.SLIP or near.trace.mismatch is Mismatch.MISPLACED)
    fix = (
        f"run `{_commands.renew(secret, subject.workload.namespace, seen.reference)}`"
        if rewritten
        else _commands.give(subject, seen)
    )
    yield CHECK.found(
        subject,
        confidence=sure,
        message=_message(near, seen),
        fix=printable(fix),
        evidence=(_look.why_private(seen.reference), *_look.trace(seen)),
    )


def _message(near: _near.Near, seen: Look) -> str:
    name = _look.shown(near.trace.secret.name)
    if near.how in (_near.How.SAME_REGISTRY, _near.How.SLIP):
        key = printable(near.trace.key or "", _KEY)
        return f"pull secret {name} is for {key}, not for {_look.host_of(seen.reference)}"
    return f"pull secret {name}: {printable(near.trace.reason, _REASON)}"


CHECK = Check("PULL305", "credential-for-another-host", Confidence.LIKELY, Heals.CLUSTER, per_image=_run)
