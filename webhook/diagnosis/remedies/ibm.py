"""IBM Cloud Container Registry and IBM's entitled registry (`cp.icr.io`).

Source: IBM Cloud Docs, "Setting up an image
registry" (containers) and "Troubleshooting Container Registry"; ibmcloud with the plug-ins container-registry and ks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from webhook.catalogue import registries
from webhook.diagnosis.cause import Cause
from webhook.diagnosis.remedies import kubectl
from webhook.diagnosis.remedies.names import Names, filled
from webhook.diagnosis.remedies.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEFAULT_SECRET = "all-icr-io"  # noqa: S105 - the name of the secret that IBM makes in each new cluster
_NO_CREDENTIAL = (Cause.UNAUTHORIZED, Cause.AMBIGUOUS, Cause.SECRET_MISSING, Cause.EXPIRED)


def remedies(cause: Cause, names: Names) -> Iterator[Remedy]:
    retired = registries.retired_of(names.host or "")
    if retired is not None:
        yield _retired(names, retired[1].replaced_by)
        names = Names(replace(names.diagnosis, registry=retired[1].replaced_by), names.place)
    if names.host == "cp.icr.io":
        yield from _entitled(cause, names)
        return
    if cause in _NO_CREDENTIAL:
        yield from _refused(names)
    if cause in (Cause.FORBIDDEN, Cause.QUOTA):
        yield _quota(names)
    if cause in (Cause.FORBIDDEN, Cause.UNAUTHORIZED, Cause.AMBIGUOUS):
        yield Remedy(
            "the service id behind the API key needs the role Reader on Container Registry",
            (
                "ibmcloud iam service-policies <service id>",
                "ibmcloud iam service-policy-create <service id> --roles Reader --service-name container-registry",
            ),
        )
    if cause in (Cause.NOT_FOUND, Cause.AMBIGUOUS):
        yield Remedy(
            "check that the tag is there, in the region of this domain",
            (
                f"ibmcloud cr region-set {names.registry}",
                f"ibmcloud cr images --restrict {names.path}",
            ),
        )


def _retired(names: Names, replaced_by: str | None) -> Remedy:
    old = names.reference
    image = f"{replaced_by}/{old.path}:{old.effective_tag or 'latest'}" if replaced_by and old else None
    return Remedy(
        f"the domain {names.registry} is retired: use {filled(replaced_by, 'region, such as us')}",
        (kubectl.set_image(names, filled(image, "image at the new domain")),),
    )


def _refused(names: Names) -> Iterator[Remedy]:
    yield Remedy(
        f"the secret {_DEFAULT_SECRET} is made in the namespace default only: copy it to this one and add it to the"
        " service"
        " account",
        (
            kubectl.copy_secret(names, _DEFAULT_SECRET, "default"),
            kubectl.attach_secret(names, _DEFAULT_SECRET),
            kubectl.restart(names),
        ),
    )
    yield Remedy(
        f"where default has no {_DEFAULT_SECRET} either: have the cluster's pull secrets made anew",
        (f"ibmcloud ks cluster pull-secret apply --cluster {names.cluster}",),
    )
    yield Remedy(
        "with a secret of your own: it must be for this very domain (us.icr.io and de.icr.io are two), with the"
        " user name"
        " iamapikey and an API key that still exists",
        (
            kubectl.show_secret(names),
            kubectl.create_secret(names, user="iamapikey", password="<API key>"),  # noqa: S106
            kubectl.attach_secret(names),
        ),
    )


def _quota(names: Names) -> Remedy:
    return Remedy(
        "the registry's quota is used up, as a rule (it refuses layers with 403 then): free storage, raise the limit or"
        " change the plan",
        (
            f"ibmcloud cr region-set {names.registry}",
            "ibmcloud cr quota",
            "ibmcloud cr quota-set --traffic <megabytes> --storage <megabytes>",
            "ibmcloud cr plan-upgrade standard",
        ),
    )


def _entitled(cause: Cause, names: Names) -> Iterator[Remedy]:
    if cause in (*_NO_CREDENTIAL, Cause.FORBIDDEN):
        yield Remedy(
            "the entitled registry wants the user name cp and an entitlement key that covers this product (get it at"
            " https://myibm.ibm.com/products-services/containerlibrary)",
            (
                kubectl.create_secret(names, user="cp", password="<entitlement key>"),  # noqa: S106
                kubectl.attach_secret(names),
                kubectl.restart(names),
            ),
        )
