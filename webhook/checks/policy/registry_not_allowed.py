"""The image is of a registry that policy does not allow.

What it does
------------
Compares the repository of every image with `allowedRegistries` of the ClusterPullPolicy that holds for the namespace,
and of the PullPolicies in it: each of these lists has to hold the image.

Why the pull fails
------------------
It does not need to: whether the image could be pulled is no matter. The platform team said where images may come from.

Example
-------
    apiVersion: pullproof.dev/v1alpha1
    kind: ClusterPullPolicy
    metadata: {name: registries}
    spec: {allowedRegistries: ["*.azurecr.io"]}

    image: docker.io/library/nginx:1

Fix
---
Take the image from an allowed registry: copy it there, or ask the platform team for an exemption.

Limits
------
`certain` by definition: it is policy and not a guess, so an image that a node holds already is no excuse. Only what the
reference names is compared; where nodes rewrite hosts, that is still the name that people write. An image volume and an
ephemeral container count too. An invalid reference is another check's matter. Of a workload 1,000 images are looked at,
so one with more is not allowed where there is such a list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook.checks.base import Check
from webhook.model.finding import Confidence, Finding, Heals
from webhook.model.reference import Reference
from webhook.model.text import printable
from webhook.model.workload import MOST_IMAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject, WorkloadSubject
    from webhook.model.policy import AllowList

_HOST: Final = 40
_GLOB: Final = 60
_SHOWN: Final = 8


def _refusing(subject: ImageSubject) -> AllowList | None:
    """The first list that does not hold the image."""
    reference, lists = subject.reference, subject.facts.policy.cluster.allowed
    if not lists or not isinstance(reference, Reference):
        return None
    return next((one for one in lists if not one.globs.find(reference.repository)), None)


def _run(whole: WorkloadSubject) -> Iterator[Finding]:
    """All images in one go, before time can run out: what is forbidden must not pass because there is much of it."""
    for subject in whole.images:
        yield from _of_image(subject)
    if len(whole.workload.containers) > MOST_IMAGES and whole.facts.policy.cluster.allowed:
        yield Finding(
            code=CHECK.code,
            name=CHECK.name,
            confidence=CHECK.confidence,
            heals=CHECK.heals,
            field=whole.workload.pod_path,
            message=f"policy allows some registries only, and no more than {MOST_IMAGES} images are looked at",
            fix="split it",
        )


def _of_image(subject: ImageSubject) -> Iterator[Finding]:
    refusing = _refusing(subject)
    if refusing is None or not isinstance(subject.reference, Reference):
        return
    host = subject.reference.repository.partition("/")[0]
    some = any(glob.partition("/")[0] == host for glob in refusing.shown)
    what = "this repository" if some else f"`{printable(host, _HOST)}`"
    left = len(refusing.shown) - _SHOWN
    listed = ", ".join(refusing.shown[:_SHOWN]) + (f" and {left} more" if left > 0 else "")
    yield CHECK.found(
        subject,
        message=f"policy does not allow {what}",
        fix=f"take it from {refusing.shown[0]}"
        if len(refusing.shown[0]) <= _GLOB
        else "take it from an allowed registry",
        evidence=(f"{refusing.source} allows {listed}",),
    )


CHECK = Check("PULL802", "registry-not-allowed", Confidence.CERTAIN, Heals.OBJECT, per_workload=_run)
