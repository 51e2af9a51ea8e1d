"""The world of `make truth`: which registries there are, who may pull from them, and which hosts a mirror answers for.

Everything else does not exist in it: no other name resolves. A policy says of the namespaces that it selects what the
API does not show; it is true of this world.
"""

from __future__ import annotations

from typing import Any

from tests.node.registries import Access, Registry

ECR = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
PORT = "registry.corp.example:5000"
PUBLIC = ("public/",)

REGISTRIES = (
    Registry("contoso.azurecr.io", Access.TOKEN),
    Registry("fabrikam.azurecr.io", Access.TOKEN),
    Registry("us.icr.io", Access.TOKEN, user="iamapikey"),
    Registry("de.icr.io", Access.TOKEN, user="iamapikey"),
    Registry(ECR, Access.PASSWORD, user="AWS"),
    Registry("europe-docker.pkg.dev", Access.MIXED, user="_json_key", public=PUBLIC),
    Registry("docker.io", Access.MIXED, server="registry-1.docker.io", public=("library/", *PUBLIC)),
    Registry("quay.io", Access.MIXED, user="team+robot", public=PUBLIC),
    Registry("ghcr.io", Access.MIXED, public=PUBLIC),
    Registry("mcr.microsoft.com"),
    Registry("registry.k8s.io"),
    Registry(PORT, Access.PASSWORD),
    Registry("registry.corp.example", Access.PASSWORD),
)
SITES = (Registry("hub.docker.com", Access.WEBSITE), Registry("github.com", Access.WEBSITE))
# a host that is certainly none, as long as the webhook does not know that a node has an image from it
CANARY = "canary.azureacr.io"
MIRRORED = "mcr.microsoft.com"
MIRRORS = {
    **dict.fromkeys((CANARY, "mirrored.azureacr.io", "there.azureacr.io", "mcr.microsft.com"), f"https://{MIRRORED}"),
    "vouched.azureacr.io": f"https://{MIRRORED}",
    "gcr.mirrored.example": "https://registry.k8s.io",
}

GOVERNED = {"truth/governed": "true"}
"""The label of namespaces in which the policy holds."""
POLICY: dict[str, Any] = {
    "apiVersion": "pullproof.dev/v1alpha1",
    "kind": "ClusterPullPolicy",
    "metadata": {"name": "world"},
    "spec": {
        "namespaceSelector": {"matchLabels": GOVERNED},
        "nodes": {"credentials": "none", "rewrites": ["vouched.azureacr.io"]},
        "registries": [
            {"match": registry.host, "credentials": "required"}
            for registry in REGISTRIES
            if registry.access in {Access.PASSWORD, Access.TOKEN}
        ],
    },
}
