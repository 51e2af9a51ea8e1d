"""The commands that are the same everywhere: pull secrets, service accounts, and looking from a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook.diagnosis.remedies.names import plain

if TYPE_CHECKING:
    from webhook.diagnosis.remedies.names import Names

# Docker Hub's key in a pull secret: what the kubelet looks up for `docker.io` (pkg/credentialprovider, 1.36)
HUB_SERVER: Final = "https://index.docker.io/v1/"


def create_secret(names: Names, *, user: str, password: str, server: str | None = None) -> str:
    """Makes or renews the pull secret; `user` and `password` are shell words."""
    where = server or (HUB_SERVER if names.diagnosis.registry == "docker.io" else names.registry)
    return (
        f"kubectl create secret docker-registry {names.secret} -n {names.namespace} --docker-server={where}"
        f" --docker-username={user} --docker-password={password} --dry-run=client -o yaml | kubectl apply -f -"
    )


def attach_secret(names: Names, secret: str | None = None) -> str:
    """Adds the secret to those of the service account.

    The patch that many guides give (`-p '{"imagePullSecrets":[…]}'`) replaces the list: it has no merge key in a
    ServiceAccount, other than in a pod (core/v1, Kubernetes 1.36), so the account would lose its other secrets.
    """
    word = plain(secret or next(iter(names.diagnosis.secrets), names.place.secret), "pull secret")
    patch = f"kubectl patch serviceaccount {names.service_account} -n {names.namespace} --type=json -p"
    added = f'[{{"op":"add","path":"/imagePullSecrets/-","value":{{"name":"{word}"}}}}]'
    first = (
        '[{"op":"test","path":"/imagePullSecrets","value":null},'
        f'{{"op":"add","path":"/imagePullSecrets","value":[{{"name":"{word}"}}]}}]'
    )
    return f"{patch} '{added}' || {patch} '{first}'"


def copy_secret(names: Names, secret: str, source: str) -> str:
    """Copies a secret from another namespace, without what belongs to the original alone."""
    return (
        f"kubectl get secret {secret} -n {source} -o yaml"
        " | sed -E '/^  (namespace|uid|resourceVersion|creationTimestamp):/d'"
        f" | kubectl apply -n {names.namespace} -f -"
    )


def show_secret(names: Names) -> str:
    """Which registries a pull secret covers; shows no password."""
    return (
        f"kubectl get secret {names.secret} -n {names.namespace} -o jsonpath='{{.data.\\.dockerconfigjson}}'"
        " | base64 -d | jq '.auths | keys'"
    )


def restart(names: Names) -> str:
    """Makes pods anew: a pod that exists never gets its service account's new pull secrets."""
    if names.place.workload:
        return f"kubectl rollout restart {names.workload} -n {names.namespace}"
    if names.place.lone:
        where = f"-n {names.namespace}"
        return f"kubectl get pod {names.pod} {where} -o yaml | kubectl replace --force {where} -f -"
    return f"kubectl delete pod {names.pod} -n {names.namespace}"


def set_image(names: Names, image: str) -> str:
    # a pod of its own can have its image changed in place
    of = f"pod/{names.pod}" if names.place.lone else names.workload
    return f"kubectl set image {of} {names.container}={image} -n {names.namespace}"


def from_node(names: Names, command: str) -> str:
    """Runs something on the node where the pull failed, with an image that the node can get."""
    return f"kubectl debug node/{names.node} -it --image=<an image the node can pull> -- {command}"
