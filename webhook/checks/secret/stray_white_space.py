r"""The credential for an image begins or ends with white space.

What it does
------------
Finds white space around the user name or the password of an entry that covers an image; mostly a line end.

Why the pull fails
------------------
The kubelet sends the credential as it is, with the line end, and the registry knows no such password.

Example
-------
    echo "iamapikey:$IBM_API_KEY" | base64        # echo adds a line end; printf does not

Fix
---
Make the secret again; `kubectl create secret docker-registry` adds nothing:

    kubectl create secret docker-registry regcred -n shop --docker-server=us.icr.io --docker-username=iamapikey \
      --docker-password="$IBM_API_KEY" --dry-run=client -o yaml | kubectl apply -f -

Limits
------
Likely, as some registries drop white space themselves.
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

_KINDS = frozenset({_flaw.Kind.WHITE_SPACE})


def _run(subject: ImageSubject) -> Iterator[Finding]:
    return _flaw.findings(CHECK, subject, _KINDS)


CHECK = Check(
    "PULL312", "white-space-in-credential", Confidence.LIKELY, Heals.CLUSTER, per_image=_run, only_if=_look.relevant
)
