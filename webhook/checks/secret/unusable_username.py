r"""The registry takes no such user name as the pull secret has for it.

What it does
------------
Compares what kind of user name a credential has with what the registry takes: `iamapikey` (or `iambearer`) at IBM,
`AWS` at Amazon ECR, `_json_key` or `oauth2accesstoken` at Google, `$oauthtoken` at NVIDIA, `org+robot` at Quay, and
finds the one's name at another.

Why the pull fails
------------------
Registries of clouds look at the user name to know what the password is. With another name a good key is refused.

Example
-------
    kubectl create secret docker-registry regcred --docker-server=us.icr.io --docker-username=me@example.com \
      --docker-password="$IBM_API_KEY"

Fix
---
Make the secret again with the user name that the registry takes:

    kubectl create secret docker-registry regcred -n shop --docker-server=us.icr.io --docker-username=iamapikey \
      --docker-password="$IBM_API_KEY" --dry-run=client -o yaml | kubectl apply -f -

`$oauthtoken` stands in single quotes, or the shell makes it empty.

Limits
------
Only the registries whose rules are documented. The name itself is not kept, only its kind.
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

_KINDS = frozenset({_flaw.Kind.USERNAME})


def _run(subject: ImageSubject) -> Iterator[Finding]:
    return _flaw.findings(CHECK, subject, _KINDS)


CHECK = Check(
    "PULL309", "user-name-cannot-work", Confidence.LIKELY, Heals.CLUSTER, per_image=_run, only_if=_look.relevant
)
