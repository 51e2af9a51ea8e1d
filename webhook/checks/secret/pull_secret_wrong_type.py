"""A pull secret is of a type that the kubelet does not read.

What it does
------------
Looks at the type of every pull secret that the workload names: only `kubernetes.io/dockerconfigjson` and
`kubernetes.io/dockercfg` are read, each with the one key of its type.

Why the pull fails
------------------
`kubectl create secret generic` makes a Secret of type Opaque. The kubelet passes over it in silence, even if it holds
the right key, and pulls as though it were not there.

Example
-------
    kubectl create secret generic regcred --from-file=.dockerconfigjson=config.json

Fix
---
The type of a Secret can't be changed, so it is made again:

    config=$(kubectl get secret regcred -n shop -o go-template='{{index .data ".dockerconfigjson"|base64decode}}') &&
      kubectl delete secret regcred -n shop &&
      printf %s "$config" | kubectl create secret docker-registry regcred -n shop --from-file=/dev/stdin

Limits
------
A Secret without a docker config in it may serve something else: it is left alone, and another one is made. Advisory
where no image misses it: another credential covers each, or the registry needs none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.checks.secret import _commands, _look
from webhook.model.dockerconfig import DATA_KEYS
from webhook.model.facts import Known
from webhook.model.finding import Confidence, Finding, Heals
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject, WorkloadSubject
    from webhook.model.dockerconfig import PullSecret
    from webhook.model.facts import PullSecretList

_TYPE = 40


def _run(subject: WorkloadSubject) -> Iterator[Finding]:
    known = subject.facts.pull_secrets
    if not isinstance(known, Known) or not subject.images:
        return
    listed = known.value
    found = [
        ref.secret.value
        for ref in _look.distinct(listed)
        if isinstance(ref.secret, Known) and ref.secret.value is not None and ref.secret.value.ignored
    ]
    if not found:
        return
    sure, image = _look.worst_uncovered(subject)
    for secret in found:
        yield _finding(subject, listed, secret, sure, image)


def _finding(
    subject: WorkloadSubject, listed: PullSecretList, secret: PullSecret, sure: Confidence, image: ImageSubject | None
) -> Finding:
    name = _look.shown(secret.name)
    key = DATA_KEYS.get(secret.type)
    said = f"is of type {printable(secret.type, _TYPE)}" if key is None else f"has no {key}"
    seen = _look.look(image) if image is not None else None
    if secret.entries and key is None:
        fix = f"run `{_commands.retype(secret.name, subject.workload.namespace)}`"
    elif image is not None and seen is not None:
        fix = _commands.give(image, seen, without=secret.name)
    else:
        fix = _commands.remove(subject, listed, secret.name)
    return Finding(
        code=CHECK.code,
        name=CHECK.name,
        confidence=sure,
        heals=CHECK.heals,
        field=_look.field_of(subject, listed, secret.name),
        message=f"pull secret {name} {said}, so the kubelet passes over it",
        fix=printable(fix),
        evidence=()
        if seen is None
        else (_look.why_private(seen.reference, subject.facts.policy.cluster), *_look.trace(seen)),
    )


CHECK = Check("PULL302", "pull-secret-wrong-type", Confidence.LIKELY, Heals.CLUSTER, per_workload=_run)
