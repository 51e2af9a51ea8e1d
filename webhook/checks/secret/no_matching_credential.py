r"""A private registry, and no pull secret has a credential for it.

What it does
------------
Looks for a credential in every pull secret of the workload, key by key as the kubelet does, for each image of a
registry that serves nobody without one. The evidence shows every key and why it does not match.

Why the pull fails
------------------
The kubelet finds no credential, pulls anonymously, and the registry answers 401 (`unauthorized`, or `not found` where
it hides what is private).

Example
-------
    spec:
      containers: [{name: app, image: "us.icr.io/team/app:1"}]     # and no imagePullSecrets

Fix
---
Make a pull secret in the workload's namespace, and list it in its ServiceAccount:

    kubectl create secret docker-registry us-icr-io -n shop --docker-server=us.icr.io --docker-username=iamapikey \
      --docker-password="$IBM_API_KEY" &&
      kubectl patch serviceaccount default -n shop -p '{"imagePullSecrets":[{"name":"us-icr-io"}]}'

Pods that are there keep the list they were made with. On the registry's own cloud the nodes can do without: AcrPull for
the kubelet's identity (`az aks update --attach-acr`), AmazonEC2ContainerRegistryPullOnly for the node role.

Limits
------
Says nothing of registries that may be public. Advisory where the cluster's nodes are of the registry's own cloud, or
where no node is known: their identity may be enough. What a node's own configuration or a credential plugin holds can't
be seen from the API, so it is certain only where a ClusterPullPolicy says so: `nodes: {credentials: none}`, and of the
registry `credentials: required` unless it never gives an image without. A registry that policy calls `nodeIdentity` or
`anonymous`, or whose images the nodes pull from a mirror, is not told of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.checks.secret import _cause, _commands, _look
from webhook.model.finding import Confidence, Heals
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.checks.secret._look import Look
    from webhook.model.finding import Finding

_GRANTS = {
    "azure": 'run `az aks update --resource-group "$GROUP" --name "$CLUSTER" --attach-acr {label}`',
    "aws": 'run `aws iam attach-role-policy --role-name "$NODE_ROLE"'
    " --policy-arn arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly`",
}


def _run(subject: ImageSubject) -> Iterator[Finding]:
    seen = _look.look(subject)
    if seen is None or seen.need is not _look.Need.ALWAYS or _cause.cause(seen)[0] is not _cause.Cause.NONE:
        return
    host = _look.host_of(seen.reference)
    grant = _grant(subject, seen)
    if grant is None:
        here = _commands.unlisted(subject, seen)
        message = (
            f"no credential for {host}: {_listed(seen)}"
            if here is None
            else f"pull secret {_look.shown(here)} is for {host}, but is not among the pod's"
        )
        fix = _commands.give(subject, seen)
    else:
        message = f"no pull secret for {host}, so the nodes' identity must be allowed to pull"
        fix = grant
    yield CHECK.found(
        subject,
        confidence=Confidence.CERTAIN
        if _look.is_certain(subject, seen.reference)
        else _look.confidence(subject, seen.reference, meant=False),
        message=message,
        fix=printable(fix),
        evidence=(
            _look.why_private(seen.reference, subject.facts.policy.cluster),
            *_identity(subject, seen),
            *_look.trace(seen),
        ),
    )


def _listed(seen: Look) -> str:
    names = [ref.name for ref in _look.distinct(seen.listed)]
    if not names:
        return "the pod has no pull secret"
    return f"pull secret {_look.shown(names[0])} has none" if len(names) == 1 else f"none in {len(names)} pull secrets"


def _grant(subject: ImageSubject, seen: Look) -> str | None:
    """How to let the nodes pull, where they are of the registry's own cloud."""
    cloud = _look.cloud_of(seen.reference)
    if cloud is None or _look.identity(subject, seen.reference) is not _look.Identity.NODES:
        return None
    text = _GRANTS.get(cloud, "let the nodes' identity read the repository")
    return text.format(label=seen.reference.host.partition(".")[0])


def _identity(subject: ImageSubject, seen: Look) -> Iterator[str]:
    registry = _look.registry_of(seen.reference)
    helped_by = _look.identity(subject, seen.reference)
    if registry is None or helped_by is _look.Identity.NONE:
        return
    yield "the nodes are of its cloud" if helped_by is _look.Identity.NODES else "no node is known to tell its cloud"
    words = (text for cloud, text in registry.node_identity.items() if text and cloud in _look.CLOUDS)
    yield from (f"what must be true then: {text}" for text in words)


CHECK = Check(
    "PULL304", "no-matching-credential", Confidence.CERTAIN, Heals.CLUSTER, per_image=_run, only_if=_look.relevant
)
