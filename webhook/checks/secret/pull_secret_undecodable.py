r"""A pull secret can't be decoded, so that no image of the pod is pulled.

What it does
------------
Decodes every pull secret that the workload names as the kubelet does: the JSON, and each entry's `auth`.

Why the pull fails
------------------
The kubelet reads all pull secrets of a pod before it pulls anything. If one can't be decoded, the whole look-up fails,
for every image of the pod, public ones and those that another secret covers included. `kubectl get pods` shows the bare
text of the decoder, such as `illegal base64 data at input byte 4`.

Example
-------
    {"auths": {"us.icr.io": {"auth": "iamapikey:my-key"}}}     # not in base64

Fix
---
Make the content again; `auth` is the base64 of `user:password`, and `kubectl create secret docker-registry` writes it:

    kubectl create secret docker-registry regcred -n shop --docker-server=us.icr.io --docker-username=iamapikey \
      --docker-password="$IBM_API_KEY" --dry-run=client -o yaml | kubectl apply -f -

Where other pull secrets cover every image, take it out of the list.

Limits
------
Likely where every image has imagePullPolicy Never or is on a node already. A Secret in a file that sops encrypted, or
whose content is a placeholder as a whole (`${CONFIG}`), is unknown: PULL902.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.checks.secret import _commands, _look
from webhook.model.facts import Known
from webhook.model.finding import Confidence, Finding, Heals
from webhook.model.keyring import look_up
from webhook.model.reference import Reference
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject, WorkloadSubject
    from webhook.model.dockerconfig import PullSecret
    from webhook.model.facts import PullSecretList

_PROBLEM = 100


def _run(subject: WorkloadSubject) -> Iterator[Finding]:
    known = subject.facts.pull_secrets
    if not isinstance(known, Known):
        return
    listed = known.value
    for ref in _look.distinct(listed):
        secret = ref.secret.value if isinstance(ref.secret, Known) else None
        if secret is not None and secret.problem is not None and not secret.ignored:
            yield _finding(subject, listed, secret, secret.problem)


def _finding(subject: WorkloadSubject, listed: PullSecretList, secret: PullSecret, problem: str) -> Finding:
    for_image = _missed(subject, listed)
    if for_image is None:
        fix = _commands.remove(subject, listed, secret.name)
    else:
        fix = f"run `{_commands.renew(secret, subject.workload.namespace, for_image)}`"
    pulled = [image for image in subject.images if not _may_be_there(image)]
    return Finding(
        code=CHECK.code,
        name=CHECK.name,
        confidence=CHECK.confidence if pulled else Confidence.LIKELY,
        heals=CHECK.heals,
        field=_look.field_of(subject, listed, secret.name),
        message=f"pull secret {_look.shown(secret.name)} breaks every pull of the pod: {printable(problem, _PROBLEM)}",
        fix=printable(fix),
        evidence=(
            "the kubelet decodes every pull secret of a pod before it pulls any image",
            *(() if pulled else ("every image of the pod may be on the node already",)),
        ),
    )


def _missed(subject: WorkloadSubject, listed: PullSecretList) -> Reference | None:
    """The image that needs a credential most, of those that no other pull secret covers."""
    healthy = [secret for secret in listed.known_secrets() if _look.is_usable(secret)]
    images = [
        image.reference
        for image in subject.images
        if isinstance(image.reference, Reference)
        and _look.need(image.reference, subject.facts.policy.cluster) is not _look.Need.NEVER
        and not look_up(healthy, image.reference.repository).matches
    ]
    return min(
        images,
        key=lambda reference: _look.need(reference, subject.facts.policy.cluster) is not _look.Need.ALWAYS,
        default=None,
    )


def _may_be_there(image: ImageSubject) -> bool:
    if image.container.pull_policy == "Never" or not isinstance(image.reference, Reference):
        return True
    return image.facts.image_evidence(str(image.reference)) is not None


CHECK = Check("PULL303", "pull-secret-undecodable", Confidence.CERTAIN, Heals.CLUSTER, per_workload=_run)
