"""The commands that mend pull secrets. Each works when it is pasted into a POSIX shell.

What only the person has stands as a variable of the shell (`"$IBM_API_KEY"`): where it isn't set, kubectl refuses and
changes nothing. Every name is quoted, as it may come from anybody's manifest.

`kubectl create secret docker-registry` writes the one form that the kubelet reads. A list of pull secrets in a
ServiceAccount is replaced by a patch as a whole (`listType=atomic`), so the names that are there are written again.

Must not: overwrite what may serve other images, or delete a Secret before its content is at hand.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Final

from webhook.checks.secret import _look
from webhook.model.dockerconfig import DOCKER_CFG
from webhook.model.facts import Known
from webhook.model.keyring import DEFAULT_REGISTRY_KEY

if TYPE_CHECKING:
    from webhook.checks.base import ImageSubject, WorkloadSubject
    from webhook.checks.secret._look import Look
    from webhook.model.dockerconfig import PullSecret
    from webhook.model.facts import PullSecretList, SecretPlace
    from webhook.model.reference import Reference

_CONTENT: Final = """-o go-template='{{index .data ".dockerconfigjson"|base64decode}}'"""
_FROM_STDIN: Final = "--from-file=/dev/stdin"
_SECRET_NAME: Final = re.compile(r"[a-z0-9]++(?:-++[a-z0-9]++)*+(?:\.[a-z0-9]++(?:-++[a-z0-9]++)*+)*+")
_LONGEST_NAME: Final = 253
_ECR_REGION: Final = re.compile(r"\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.")

# registry → user name and password, as words of a shell; who they are, each vendor's guide says
_LOGIN: Final = {
    _look.ACR: ('"$ACR_USER"', '"$ACR_PASSWORD"'),
    _look.IBM: ("iamapikey", '"$IBM_API_KEY"'),
    "ibm-entitled-registry": ("cp", '"$ENTITLEMENT_KEY"'),
    **dict.fromkeys(_look.GOOGLE, ("_json_key", '"$(cat key.json)"')),
    "docker-hub": ('"$DOCKER_USER"', '"$DOCKER_TOKEN"'),
    "docker-hardened-images": ('"$DOCKER_USER"', '"$DOCKER_TOKEN"'),
    "github-container-registry": ('"$GITHUB_USER"', '"$GITHUB_TOKEN"'),
    "gitlab-registry": ('"$DEPLOY_TOKEN_USER"', '"$DEPLOY_TOKEN"'),
    "quay-io": ('"$QUAY_ORG+$QUAY_ROBOT"', '"$QUAY_TOKEN"'),
    "nvidia-ngc": ("'$oauthtoken'", '"$NGC_API_KEY"'),
}
_ANY_LOGIN: Final = ('"$REGISTRY_USER"', '"$REGISTRY_PASSWORD"')


def is_secret_name(name: str) -> bool:
    """Whether a Secret can have that name (a DNS-1123 subdomain)."""
    return len(name) <= _LONGEST_NAME and _SECRET_NAME.fullmatch(name) is not None


def name_for(reference: Reference) -> str:
    """A name for a new pull secret for the image's registry."""
    domain = (reference.domain or reference.host).lower()
    if region := _ECR_REGION.search(domain):
        return f"ecr-{region[1]}"
    return re.sub(r"[^a-z0-9]+", "-", domain).strip("-") or "regcred"


def create(name: str, namespace: str, reference: Reference) -> str:
    """Makes a pull secret for the image's registry."""
    registry = _look.registry_of(reference)
    kind = registry.id if registry is not None else ""
    domain = reference.domain or reference.host
    server = DEFAULT_REGISTRY_KEY if domain == "docker.io" else domain
    user, password = _LOGIN.get(kind, _ANY_LOGIN)
    if kind in _look.ECR:
        region = _ECR_REGION.search(domain)
        user, password = "AWS", '"$(aws ecr get-login-password{})"'.format(f" --region {region[1]}" if region else "")
    return (
        f"kubectl create secret docker-registry {_in(name, namespace)} --docker-server={shlex.quote(server)}"
        f" --docker-username={user} --docker-password={password}"
    )


def renew(secret: PullSecret, namespace: str, reference: Reference) -> str:
    """Writes a pull secret anew for the image's registry alone; what else was in it is gone."""
    made = create(secret.name, namespace, reference)
    if secret.type == DOCKER_CFG:  # the type can't be changed
        return f"kubectl delete secret {_in(secret.name, namespace)} && {made}"
    return f"{made} --dry-run=client -o yaml | kubectl apply -f -"


def copy(place: SecretPlace, name: str, namespace: str) -> str:
    """Copies the content alone: a whole copy would carry owners, with which it is collected as garbage."""
    return (
        f"kubectl get secret {_in(place.name, place.namespace)} {_CONTENT}"
        f" | kubectl create secret docker-registry {_in(name, namespace)} {_FROM_STDIN}"
    )


def retype(name: str, namespace: str) -> str:
    """Makes a Secret that holds `.dockerconfigjson` again with the type for it, as a type can't be changed."""
    secret = _in(name, namespace)
    return (
        f"config=$(kubectl get secret {secret} {_CONTENT}) && kubectl delete secret {secret}"
        f' && printf %s "$config" | kubectl create secret docker-registry {secret} {_FROM_STDIN}'
    )


def attach(account: str, namespace: str, names: tuple[str, ...]) -> str:
    """Makes these the pull secrets of a ServiceAccount."""
    patch = json.dumps({"imagePullSecrets": [{"name": name} for name in names]}, separators=(",", ":"))
    return f"kubectl patch serviceaccount {_in(account, namespace)} -p {shlex.quote(patch)}"


def give(subject: ImageSubject, seen: Look, *, instead_of: str | None = None, without: str | None = None) -> str:
    """What to do so that a workload gets a pull secret for an image: list one, copy one, or make one.

    `instead_of` is a name in its list that leads to nothing: what is copied or made takes it. `without` is a name that
    a new list of the ServiceAccount leaves out.
    """
    namespace = subject.workload.namespace
    here = unlisted(subject, seen)
    if here is not None:
        return _list(subject, seen.listed, here, instead_of or without, "")
    listed = {ref.name for ref in seen.listed.refs}
    places = subject.facts.secrets_for_host(seen.reference.host, namespace)
    elsewhere = next((place for place in places if place.namespace != namespace), None)
    name = instead_of or (elsewhere.name if elsewhere is not None else name_for(seen.reference))
    if name in listed and instead_of is None:
        name = f"{name}-{name_for(seen.reference)}"
    made = copy(elsewhere, name, namespace) if elsewhere is not None else create(name, namespace, seen.reference)
    return f"run `{made}`" if instead_of is not None else _list(subject, seen.listed, name, without, made)


def remove(subject: ImageSubject | WorkloadSubject, listed: PullSecretList, name: str) -> str:
    """How to take a pull secret out of the list."""
    if _look.uses_account(subject, listed) and isinstance(listed.account_names, Known):
        kept = tuple(known for known in listed.account_names.value if known != name)
        return f"run `{attach(listed.account, subject.workload.namespace, kept)}`"
    return f"take `- name: {name}` out of imagePullSecrets"


def unlisted(subject: ImageSubject, seen: Look) -> str | None:
    """A pull secret of the workload's own namespace for the image's host that the workload does not list."""
    listed = {ref.name for ref in seen.listed.refs}
    places = subject.facts.secrets_for_host(seen.reference.host, subject.workload.namespace)
    here = (place.name for place in places if place.namespace == subject.workload.namespace)
    return next((name for name in here if name not in listed), None)


def _list(subject: ImageSubject, listed: PullSecretList, name: str, without: str | None, made: str) -> str:
    if _look.uses_account(subject, listed) and isinstance(listed.account_names, Known):
        kept = tuple(known for known in listed.account_names.value if known not in (name, without))
        attached = attach(listed.account, subject.workload.namespace, (*kept, name))
        return f"run `{made} && {attached}`" if made else f"run `{attached}`"
    listing = f"`- name: {name}`"
    in_place = f"add {listing} to imagePullSecrets" if without is None else f"list {listing} in place of {without}"
    return f"run `{made}` and {in_place}" if made else in_place


def _in(name: str, namespace: str) -> str:
    return f"{shlex.quote(name)} -n {shlex.quote(namespace)}" if namespace else shlex.quote(name)
