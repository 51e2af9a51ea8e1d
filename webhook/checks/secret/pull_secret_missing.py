"""A pull secret that the workload names does not exist.

What it does
------------
Looks up every name in `imagePullSecrets`, the pod's own or its ServiceAccount's, in the workload's namespace; where
there is none, says where one of that name, or one for the image's registry, is, and how to copy it.

Why the pull fails
------------------
The kubelet passes over a pull secret that does not exist, writes an event (`FailedToRetrieveImagePullSecret`) and tries
the pull without it. A private registry then answers 401. Secrets belong to one namespace: one of the same name in
`default` helps nobody elsewhere.

Example
-------
    # all-icr-io exists in the namespace default only
    metadata: {namespace: shop}
    spec: {imagePullSecrets: [{name: all-icr-io}]}

Fix
---
Copy the secret into the namespace, or make it there:

    kubectl get secret all-icr-io -n default -o go-template='{{index .data ".dockerconfigjson"|base64decode}}' |
      kubectl create secret docker-registry all-icr-io -n shop --from-file=/dev/stdin

Limits
------
Likely, as the Secret may be made after the workload (in the same `kubectl apply`, or by an operator). Advisory where no
image misses it: another credential covers each, or the registry needs none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.checks.secret import _commands, _look
from webhook.model.facts import Known, SecretPlace
from webhook.model.finding import Confidence, Finding, Heals
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject, WorkloadSubject
    from webhook.model.facts import PullSecretList


def _run(subject: WorkloadSubject) -> Iterator[Finding]:
    known = subject.facts.pull_secrets
    if not isinstance(known, Known) or not subject.images:
        return
    listed = known.value
    missing = [ref.name for ref in _look.distinct(listed) if ref.secret == Known(None)]
    if not missing:
        return
    sure, image = _look.worst_uncovered(subject)
    for name in missing:
        yield _finding(subject, listed, name, sure, image)


def _finding(
    subject: WorkloadSubject, listed: PullSecretList, name: str, sure: Confidence, image: ImageSubject | None
) -> Finding:
    namespace = subject.workload.namespace
    places = tuple(place for place in subject.facts.secret_namespaces(name) if place != namespace)
    place = next(iter(sorted(places[:3], key=lambda place: place != "default")), None)
    there = f" in {_look.shown(namespace)}" if namespace else ""
    where = f", {_look.shown(place)} has one" if place is not None else ""
    seen = _look.look(image) if image is not None else None
    if not _commands.is_secret_name(name):
        fix = "name a Secret that exists; a name has lower-case letters, digits, `-` and `.`"
    elif place is not None:
        fix = f"run `{_commands.copy(SecretPlace(place, name), name, namespace)}`"
    elif image is not None and seen is not None:
        fix = _commands.give(image, seen, instead_of=name)
    else:
        fix = f"make it, or {_commands.remove(subject, listed, name)}"
    return Finding(
        code=CHECK.code,
        name=CHECK.name,
        confidence=sure,
        heals=CHECK.heals,
        field=_look.field_of(subject, listed, name),
        message=f"pull secret {_look.shown(name)} does not exist{there}{where}",
        fix=printable(fix),
        evidence=()
        if seen is None
        else (_look.why_private(seen.reference, subject.facts.policy.cluster), *_look.trace(seen)),
    )


CHECK = Check("PULL301", "pull-secret-missing", Confidence.LIKELY, Heals.CLUSTER, per_workload=_run)
