"""The path is too short for that registry.

What it does
------------
Counts the parts of the path where a registry asks for a number of them: an owner and an image on ghcr.io, an
organization and a repository on quay.io, a project, a repository and an image on Artifact Registry.

Why the pull fails
------------------
Nothing can be stored under such a path. Many registries say `unauthorized` or `denied` there rather than `not found`,
which sends people after their pull secrets.

Example
-------
    image: ghcr.io/app:1
    image: europe-west1-docker.pkg.dev/my-project/app:1

Fix
---
Write the missing part, in the form that the finding shows.

Limits
------
`likely` where the registry is a service for anybody, `advisory` for a project's or vendor's own host, of which only the
images seen there are known. Evidence for the host changes nothing: it is the path that is wrong.
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
    return _verdict.findings(CHECK, subject, Kind.SHORT_PATH)


CHECK = Check(
    "PULL207", "registry-path-too-short", Confidence.LIKELY, Heals.OBJECT, per_image=_run, only_if=_verdict.verdict_on
)
