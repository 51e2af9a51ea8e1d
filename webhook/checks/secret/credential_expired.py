r"""The credential for an image has expired, or will soon.

What it does
------------
Reads the end of a credential where it says so itself (`exp` of a JSON web token, the `expiration` of an Amazon ECR
password), and reckons it from the Secret's last write where the user name tells how long it lives: `AWS` at Amazon ECR
12 hours, `00000000-0000-0000-0000-000000000000` at an Azure registry 3 hours, `oauth2accesstoken` at Google 1 hour.

Why the pull fails
------------------
The registry refuses the credential with 401, and the kubelet never pulls anonymously once a credential matched.

Example
-------
    kubectl create secret docker-registry regcred --docker-server=111122223333.dkr.ecr.us-east-1.amazonaws.com \
      --docker-username=AWS --docker-password="$(aws ecr get-login-password --region us-east-1)"    # yesterday

Fix
---
Renew it, and then let something renew it: a CronJob, External Secrets, or no secret at all but the nodes' own identity.

Limits
------
Likely, not certain: what a node itself has for the registry can't be seen. A credential that ends within 7 days is
advisory, and only where nothing has renewed the Secret since it was made. What a Secret's token was when it was written
nobody sees, so a token that was old then lives shorter than is said here.
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

_KINDS = frozenset({_flaw.Kind.EXPIRED, _flaw.Kind.EXPIRING})


def _run(subject: ImageSubject) -> Iterator[Finding]:
    return _flaw.findings(CHECK, subject, _KINDS)


CHECK = Check("PULL308", "credential-expired", Confidence.LIKELY, Heals.CLUSTER, per_image=_run, only_if=_look.relevant)
