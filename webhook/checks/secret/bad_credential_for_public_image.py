"""A credential that can't work matches a public image, which would be pulled without it.

What it does
------------
For images that a registry gives to everybody (Docker Hub's official ones, `public.ecr.aws`, `docker.elastic.co`),
finds pull secrets that match them with a credential that has expired, has white space around it, or the like.

Why the pull fails
------------------
The kubelet pulls anonymously only where no credential matches. One that matches is used, and a registry that is given a
wrong password answers 401, also for what it would give to anybody.

Example
-------
    image: nginx:1.27
    # and a pull secret for https://index.docker.io/v1/ whose token has expired

Fix
---
Renew the credential, or take the secret out of the list.

Limits
------
Whether a password was changed or revoked the registry alone knows. Nothing is said of an entry without a user name or
a password: the runtime sends nothing for it. Nor of `registry.k8s.io` and `mcr.microsoft.com`, which ask nobody who he
is, so that no credential is ever sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook.checks.base import Check
from webhook.checks.secret import _commands, _flaw, _look
from webhook.model.finding import Confidence, Heals
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.model.finding import Finding

_ASK_NOBODY: Final = frozenset({"kubernetes-registry", "microsoft-artifact-registry", "local-registries"})
"""A credential is sent only after a 401 (containerd 2.4, core/remotes/docker/authorizer.go)."""


def _run(subject: ImageSubject) -> Iterator[Finding]:
    seen = _look.look(subject)
    if seen is None or seen.need is not _look.Need.NEVER or not seen.found.matches:
        return
    found, useless = _flaw.flaws(subject, seen)
    if not useless:
        return
    flaw = found[0]
    name = flaw.match.secret.name
    registry = _look.registry_of(seen.reference)
    if registry is not None and registry.id in _ASK_NOBODY:
        return
    hub = registry is not None and registry.id == "docker-hub"  # there it may be for other images too
    fix = _flaw.renewal(subject, seen, flaw) if hub else _commands.remove(subject, seen.listed, name)
    yield CHECK.found(
        subject,
        message=f"public image, but pull secret {_look.shown(name)} matches it and has {flaw.said}",
        fix=printable(fix),
        evidence=("no anonymous pull is tried where a credential matches", *_look.trace(seen)),
    )


CHECK = Check(
    "PULL311",
    "bad-credential-for-public-image",
    Confidence.LIKELY,
    Heals.CLUSTER,
    per_image=_run,
    only_if=_look.relevant,
)
