"""No tag, or `latest`: what runs changes without anybody changing it.

What it does
------------
Tells of images that name neither a tag nor a digest, or the tag `latest`.

Why the pull fails
------------------
It need not. It works until the tag moves: then nodes run different images under one name, a rollback rolls nothing
back, and because `latest` means `imagePullPolicy: Always`, every start of a container needs the registry.

Example
-------
    image: myreg.azurecr.io/app
    image: myreg.azurecr.io/app:latest

Fix
---
Write the version, or the digest: `myreg.azurecr.io/app:1.4.2`, `myreg.azurecr.io/app@sha256:…`.

Limits
------
Advisory, always. A reference with a digest is never told of: the digest decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.model.finding import Confidence, Heals
from webhook.model.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.model.finding import Finding

_LATEST = "latest"


def _run(subject: ImageSubject) -> Iterator[Finding]:
    reference = subject.reference
    if not isinstance(reference, Reference) or reference.digest is not None or reference.tag not in {None, _LATEST}:
        return
    told = "no tag, so `latest` is pulled" if reference.tag is None else "the tag `latest` moves"
    yield CHECK.found(subject, message=told, fix="write a version or a digest")


CHECK = Check("PULL107", "implicit-latest", Confidence.ADVISORY, Heals.OBJECT, per_image=_run)
