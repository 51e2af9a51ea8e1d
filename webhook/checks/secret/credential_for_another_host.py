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
_USELESS = frozenset(
    {
        Mismatch.CAPITALS,
        Mismatch.DOCKER_HUB_KEY,
        Mismatch.TAG_IN_KEY,
        Mismatch.BRACKETS,
        Mismatch.SCHEME,
        Mismatch.NOT_A_HOST,
        Mismatch.MISPLACED,
    }
)


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
    rewritten = _covers_nothing(near, seen) and (len(secret.entries) == 1 or not near.trace.key)
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
        evidence=(_look.why_private(seen.reference, subject.facts.policy.cluster), *_look.trace(seen)),
    )


def _covers_nothing(near: _near.Near, seen: Look) -> bool:
    """Whether the key is good for no image at all, so that its secret can be written anew.

    Two hosts of one's own that differ by a digit, or two ports, may both be there: only a slip beside a known registry
    is surely one.
    """
    if near.how is _near.How.SLIP:
        return _look.registry_of(seen.reference) is not None
    return near.trace.mismatch in _USELESS


def _message(near: _near.Near, seen: Look) -> str:
    name = _look.shown(near.trace.secret.name)
    if near.how in (_near.How.SAME_REGISTRY, _near.How.SLIP):
        key = printable(near.trace.key or "", _KEY)
        return f"pull secret {name} is for {key}, not for {_look.host_of(seen.reference)}"
    return f"pull secret {name}: {printable(near.trace.reason, _REASON)}"


CHECK = Check(
    "PULL305", "credential-for-another-host", Confidence.LIKELY, Heals.CLUSTER, per_image=_run, only_if=_look.relevant
)
