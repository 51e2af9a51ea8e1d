"""Google Artifact Registry and what is left of Container Registry.

Source: Google Cloud documentation, "Troubleshoot image pulls" (GKE), "Deploying to Google Kubernetes Engine" and
"Configure authentication to Artifact Registry for Docker".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.diagnosis.cause import Cause
from webhook.diagnosis.remedies import kubectl
from webhook.diagnosis.remedies.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.diagnosis.remedies.names import Names


def remedies(cause: Cause, names: Names) -> Iterator[Remedy]:
    if cause in (Cause.UNAUTHORIZED, Cause.FORBIDDEN, Cause.AMBIGUOUS):
        if names.place.cloud in (None, "gcp"):
            yield Remedy(
                "let the nodes' service account read the repository (Google answers 403, too, for one that is not"
                " there)",
                (
                    (
                        f"gcloud container clusters describe {names.cluster} --location=<cluster location>"
                        " --format='value(nodeConfig.serviceAccount)'"
                    ),
                    (
                        f"gcloud artifacts repositories add-iam-policy-binding {names.google_repository}"
                        f" --project={names.project} --location={names.location}"
                        " --member=serviceAccount:<node service account> --role=roles/artifactregistry.reader"
                    ),
                ),
            )
        yield _key(names)
    if cause in (Cause.EXPIRED, Cause.SECRET_MISSING):
        yield _key(names)
    if cause in (Cause.NOT_FOUND, Cause.AMBIGUOUS, Cause.FORBIDDEN):
        yield Remedy(
            "check that the repository and the tag are there",
            (f"gcloud artifacts docker tags list {names.registry}/{names.path}",),
        )
    if cause in (Cause.TIMEOUT, Cause.DNS, Cause.REFUSED):
        yield Remedy(
            "private nodes need Private Google Access on their subnet, or Cloud NAT",
            (
                "gcloud compute networks subnets update <subnet> --region=<region> --enable-private-ip-google-access",
                kubectl.from_node(names, f"nc -vz -w 5 {names.registry} 443"),
            ),
        )


def _key(names: Names) -> Remedy:
    return Remedy(
        "outside GKE: use a pull secret with a service account's key (an access token lives an hour)",
        (
            kubectl.create_secret(names, user="_json_key", password='"$(cat <key file>)"'),  # noqa: S106
            kubectl.attach_secret(names),
            kubectl.restart(names),
        ),
    )
