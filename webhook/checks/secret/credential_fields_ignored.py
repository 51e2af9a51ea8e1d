r"""A pull secret holds its credential in a field that the kubelet does not read.

What it does
------------
Finds entries whose only credential is an `identitytoken` or a `registrytoken`, and secrets that leave credentials to
docker's `credHelpers` or `credsStore`.

Why the pull fails
------------------
The kubelet reads `username`, `password`, `email` and `auth`, nothing else. `az acr login` writes an `identitytoken`
beside an empty password; Docker Desktop writes `credsStore` and empty entries, and the credential stays in the
keychain of the machine. The kubelet sends what is left: an empty password.

Example
-------
    {"auths": {"contoso.azurecr.io": {"auth": "MDAwMDAwMDA…Og==", "identitytoken": "…"}}}

Fix
---
Don't make a pull secret from docker's own config.json; name the credential:

    kubectl create secret docker-registry regcred -n shop --docker-server=contoso.azurecr.io \
      --docker-username="$ACR_USER" --docker-password="$ACR_PASSWORD"

Limits
------
Which hosts `credHelpers` are for is not kept, so a secret with them is told of where no key covers the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.checks.secret import _cause, _commands, _flaw, _look
from webhook.model.finding import Confidence, Heals
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.model.finding import Finding

_KINDS = frozenset({_flaw.Kind.IGNORED_FIELD})


def _run(subject: ImageSubject) -> Iterator[Finding]:
    yield from _flaw.findings(CHECK, subject, _KINDS)
    seen = _look.look(subject)
    if seen is None or _cause.cause(seen)[0] is not _cause.Cause.HELPER:
        return
    secret = _cause.helper_of(seen)
    if secret is None:
        return
    sure = _look.confidence(subject, seen.reference, meant=True)
    name, fields = _look.shown(secret.name), " and ".join(secret.ignored_fields)
    yield CHECK.found(
        subject,
        # of a registry that may be public nobody knows that the helper was for it
        confidence=sure if seen.need is _look.Need.ALWAYS else Confidence.ADVISORY,
        message=f"pull secret {name} leaves credentials to docker's {fields}, which the kubelet does not have",
        fix=printable(_commands.give(subject, seen)),
        evidence=(_look.why_private(seen.reference, subject.facts.policy.cluster), *_look.trace(seen)),
    )


CHECK = Check(
    "PULL307", "credential-fields-ignored", Confidence.LIKELY, Heals.CLUSTER, per_image=_run, only_if=_look.relevant
)
