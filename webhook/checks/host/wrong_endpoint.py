"""The host is an endpoint of the registry that serves no images.

What it does
------------
Finds hosts that belong to a registry service and are not the one to pull from: Azure's data endpoints and private link
zone, the API of ECR, the blob hosts of MCR and of IBM, Huawei's API.

Why the pull fails
------------------
A data endpoint serves layers to a client that the registry sent there, and knows no manifests; an API endpoint speaks
another protocol; a private link zone is a name for DNS alone.

Example
-------
    image: contoso.privatelink.azurecr.io/shop:1
    image: contoso.westeurope.data.azurecr.io/shop:1

Fix
---
Write the login server: `contoso.azurecr.io/shop:1`. A private endpoint is reached by that same name, through DNS.

Limits
------
Whether the private endpoint works is not looked at here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.catalogue.verdict import Kind
from webhook.checks.base import Check
from webhook.checks.host import _verdict
from webhook.model.finding import Confidence, Heals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.model.finding import Finding


def _run(subject: ImageSubject) -> Iterator[Finding]:
    return _verdict.findings(CHECK, subject, Kind.ENDPOINT)


CHECK = Check(
    "PULL204", "registry-wrong-endpoint", Confidence.CERTAIN, Heals.OBJECT, per_image=_run, only_if=_verdict.verdict_on
)
