"""Docker Hub, GitHub, GitLab, Quay, Red Hat: what their own documentation says of credentials and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook.diagnosis.cause import Cause
from webhook.diagnosis.remedies import kubectl
from webhook.diagnosis.remedies.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.diagnosis.remedies.names import Names

_CREDENTIAL: Final = (Cause.UNAUTHORIZED, Cause.FORBIDDEN, Cause.AMBIGUOUS, Cause.EXPIRED, Cause.SECRET_MISSING)


def docker_hub(cause: Cause, names: Names) -> Iterator[Remedy]:
    """Source: docs.docker.com, "Docker Hub pull usage and limits" and "Personal access tokens"."""
    if cause is Cause.RATE_LIMIT:
        yield Remedy(
            "pulls without a credential are counted by address, and nodes often share one: pull with an account, or"
            " from a"
            " mirror of your own",
            (
                _secret(names, "<Docker ID>", "<access token>"),
                kubectl.attach_secret(names),
                (
                    'TOKEN=$(curl -s "https://auth.docker.io/token?service=registry.docker.io'
                    '&scope=repository:ratelimitpreview/test:pull" | jq -r .token)'
                ),
                (
                    'curl -sI -H "Authorization: Bearer $TOKEN"'
                    " https://registry-1.docker.io/v2/ratelimitpreview/test/manifests/latest | grep -i ratelimit"
                ),
            ),
        )
    if cause in _CREDENTIAL:
        yield Remedy(
            "Docker Hub answers the same for a private repository and for one that is not there: check the name,"
            " and give"
            " the pod a pull secret for https://index.docker.io/v1/ if it is private",
            (
                (
                    "curl -s -o /dev/null -w '%{http_code}\\n'"
                    f" https://hub.docker.com/v2/repositories/{names.path}/tags/{names.tag}"
                ),
                _secret(names, "<Docker ID>", "<access token>"),
                kubectl.attach_secret(names),
                kubectl.restart(names),
            ),
        )
    if cause is Cause.NOT_FOUND:
        yield Remedy(
            "look which tags there are",
            (
                (
                    f"curl -s 'https://hub.docker.com/v2/repositories/{names.plain_path}/tags?page_size=25'"
                    " | jq -r '.results[].name'"
                ),
            ),
        )


def github(cause: Cause, names: Names) -> Iterator[Remedy]:
    """Source: docs.github.com, "Working with the Container registry"."""
    if cause in _CREDENTIAL:
        yield Remedy(
            "the package is private or not there: make it public in its settings, or use a pull secret with a personal"
            " access token (classic) that has read:packages and, in an organisation with single sign-on, is authorised"
            " for it",
            (
                _secret(names, "<GitHub user name>", "<token>"),
                kubectl.attach_secret(names),
                kubectl.restart(names),
            ),
        )


def gitlab(cause: Cause, names: Names) -> Iterator[Remedy]:
    """Source: docs.gitlab.com, "Deploy tokens" and "Container registry visibility permissions"."""
    if cause in _CREDENTIAL:
        yield Remedy(
            "GitLab answers 'access forbidden' for a private project and for one that is not there: use a pull"
            " secret with"
            " a deploy token that has read_registry and has not expired",
            (
                _secret(names, "<deploy token user name>", "<deploy token>"),
                kubectl.attach_secret(names),
                kubectl.restart(names),
            ),
        )


def quay(cause: Cause, names: Names) -> Iterator[Remedy]:
    """Source: docs.projectquay.io, "Robot accounts" and the tag API."""
    if cause in _CREDENTIAL:
        yield Remedy(
            "Quay answers 'unauthorized' for a private repository and for one that is not there: check the name,"
            " and use a"
            " pull secret with a robot account that may read it",
            (
                (
                    "curl -s -o /dev/null -w '%{http_code}\\n'"
                    f" https://{names.registry}/api/v1/repository/{names.path}/tag/?limit=1"
                ),
                _secret(names, "'<organisation>+<robot>'", "<robot token>"),
                kubectl.attach_secret(names),
                kubectl.restart(names),
            ),
        )
    if cause is Cause.NOT_FOUND:
        yield Remedy(
            "look which tags there are (Quay may have let one expire)",
            (f"curl -s https://{names.registry}/api/v1/repository/{names.path}/tag/ | jq -r '.tags[].name'",),
        )


def red_hat(cause: Cause, names: Names) -> Iterator[Remedy]:
    """Source: access.redhat.com/RegistryAuthentication."""
    if cause in _CREDENTIAL:
        yield Remedy(
            "registry.redhat.io always wants a credential: use a registry service account"
            " (access.redhat.com/terms-based-"
            "registry); on OpenShift the cluster's own pull secret covers it",
            (
                _secret(names, "'<number>|<service account>'", "<token>"),
                kubectl.attach_secret(names),
                (
                    "oc get secret pull-secret -n openshift-config -o jsonpath='{.data.\\.dockerconfigjson}'"
                    " | base64 -d | jq '.auths | keys'"
                ),
            ),
        )


def _secret(names: Names, user: str, password: str) -> str:
    return kubectl.create_secret(names, user=user, password=password)
