"""The host, or the path on it, was retired.

What it does
------------
Knows the registries that were shut down, frozen, restricted or renamed, and what took their place.

Why the pull fails
------------------
Where the registry is gone, nothing answers. Where it is frozen (`k8s.gcr.io`), newer versions never arrive. Where it
still serves (`registry.ng.bluemix.net`), it works until the day it does not, and pull secrets for the new name don't
serve it.

Example
-------
    image: registry.ng.bluemix.net/shop/app:1
    image: docker.bintray.io/jfrog/artifactory-pro:6.0.0

Fix
---
Write the replacement that the finding names, after looking whether the image moved there.

Limits
------
`certain` only where a source says that the host is dead; `likely` where it serves a closed circle; `advisory` where it
still serves. gcr.io is not retired: Artifact Registry serves that name. Bitnami's withdrawn tags are advisory, since
`latest` stays.
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
    return _verdict.findings(CHECK, subject, Kind.RETIRED)


CHECK = Check(
    "PULL206", "registry-retired", Confidence.CERTAIN, Heals.OBJECT, per_image=_run, only_if=_verdict.verdict_on
)
