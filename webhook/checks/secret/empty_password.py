r"""The credential for an image has no password.

What it does
------------
Finds entries of pull secrets that cover an image and hold no password: `{}`, or a user name alone.

Why the pull fails
------------------
An empty entry matches as a full one does, and the kubelet looks no further. For `{}`, and for a user name without a
password, the runtime sends nothing, and a private registry refuses that.

Example
-------
    {"auths": {"us.icr.io": {}}}

Fix
---
Make the secret from the credential itself, not from docker's config.json:

    kubectl create secret docker-registry regcred -n shop --docker-server=us.icr.io --docker-username=iamapikey \
      --docker-password="$IBM_API_KEY" --dry-run=client -o yaml | kubectl apply -f -

Limits
------
At most advisory where another key covers the image too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.checks.secret import _flaw, _look
from webhook.model.finding import Confidence, Heals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.model.finding import Finding

_KINDS = frozenset({_flaw.Kind.NO_PASSWORD})


def _run(subject: ImageSubject) -> Iterator[Finding]:
    return _flaw.findings(CHECK, subject, _KINDS)


CHECK = Check("PULL310", "empty-password", Confidence.LIKELY, Heals.CLUSTER, per_image=_run, only_if=_look.relevant)
