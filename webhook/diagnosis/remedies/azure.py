"""Azure Container Registry.

Source: Microsoft's guides "Fail to pull images from Azure Container Registry to Azure Kubernetes Service cluster" and
"Check the health of an Azure container registry" (learn.microsoft.com); az 2.60 and later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.diagnosis.cause import Cause
from webhook.diagnosis.remedies import kubectl
from webhook.diagnosis.remedies.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.diagnosis.remedies.names import Names

_TOKEN_USER = "00000000-0000-0000-0000-000000000000"  # noqa: S105 - a user name that Azure gives to every token


def remedies(cause: Cause, names: Names) -> Iterator[Remedy]:
    if cause in (Cause.UNAUTHORIZED, Cause.AMBIGUOUS):
        yield from _refused(names)
    elif cause is Cause.EXPIRED:
        yield _principal(names)
        yield _secret(names)
    elif cause is Cause.FORBIDDEN:
        yield from _forbidden(names)
    elif cause in (Cause.TIMEOUT, Cause.REFUSED):
        yield from _unreachable(names)
    elif cause is Cause.DNS:
        yield _private_dns(names)
    elif cause is Cause.SECRET_MISSING:
        yield _secret(names)
    if cause in (Cause.NOT_FOUND, Cause.AMBIGUOUS):
        yield Remedy(
            "check that the tag was pushed: the registry answers 401, too, for a repository it hides from this"
            " identity",
            (f"az acr repository show-tags --name {names.acr} --repository {names.path} --output table",),
        )


def _refused(names: Names) -> Iterator[Remedy]:
    if names.place.cloud in (None, "azure"):
        yield Remedy(
            "let the cluster's kubelet identity pull: it needs AcrPull on the registry",
            (
                (
                    f"az aks check-acr --resource-group {names.resource_group} --name {names.cluster} --acr"
                    f" {names.registry}"
                ),
                (
                    f"az aks update --resource-group {names.resource_group} --name {names.cluster} --attach-acr"
                    f" {names.acr}"
                ),
            ),
        )
        yield Remedy(
            "check that the kubelet identity is still on the nodes' scale set; an update by other tools may have"
            " removed it",
            (
                (
                    f"az aks show --resource-group {names.resource_group} --name {names.cluster}"
                    " --query identityProfile.kubeletidentity.resourceId --output tsv"
                ),
                f"az vmss identity show --resource-group {names.node_group} --name {names.scale_set}",
                (
                    f"az vmss identity assign --resource-group {names.node_group} --name {names.scale_set}"
                    " --identities <kubelet identity resource id>"
                ),
            ),
        )
        yield _principal(names)
    yield _secret(names)


def _principal(names: Names) -> Remedy:
    group, cluster = names.resource_group, names.cluster
    return Remedy(
        "on a cluster with a service principal: check whether its secret has expired or belongs to another one, and"
        " renew it",
        (
            (
                f"az aks show --resource-group {group} --name {cluster} --query servicePrincipalProfile.clientId"
                " --output tsv"
            ),
            'az ad app credential list --id <client id> --query "[].endDateTime" --output tsv',
            "az ad app credential reset --id <client id> --append --query password --output tsv",
            (
                f"az aks update-credentials --resource-group {group} --name {cluster} --reset-service-principal"
                " --service-principal <client id> --client-secret <new secret>"
            ),
        ),
    )


def _secret(names: Names) -> Remedy:
    return Remedy(
        "where a pull secret is used: renew it with a service principal or token that exists, or with the admin"
        " password as"
        " it is now (a regenerated one leaves old secrets stale)",
        (
            f"az acr credential show --name {names.acr}",
            kubectl.create_secret(names, user="<service principal client id>", password="<its secret>"),  # noqa: S106
            kubectl.attach_secret(names),
            kubectl.restart(names),
        ),
    )


def _forbidden(names: Names) -> Iterator[Remedy]:
    yield Remedy(
        "the registry does not let this network in: allow the address that the cluster goes out with",
        (
            (
                f'az acr show --name {names.acr} --query "{{public:publicNetworkAccess,'
                ' default:networkRuleSet.defaultAction, ranges:networkRuleSet.ipRules}"'
            ),
            (
                f"az aks show --resource-group {names.resource_group} --name {names.cluster}"
                ' --query "networkProfile.loadBalancerProfile.effectiveOutboundIPs[].id" --output tsv'
            ),
            "az network public-ip show --ids <outbound ip id> --query ipAddress --output tsv",
            f"az acr network-rule add --name {names.acr} --ip-address <outbound address>",
        ),
    )
    yield _private_dns(names)


def _private_dns(names: Names) -> Remedy:
    return Remedy(
        "where the registry has a private endpoint: its name must resolve to the private address, so link the zone"
        " privatelink.azurecr.io to the cluster's virtual network",
        (
            kubectl.from_node(names, f"nslookup {names.registry}"),
            (
                "az network private-dns link vnet list --resource-group <zone resource group>"
                " --zone-name privatelink.azurecr.io --output table"
            ),
            (
                "az network private-dns link vnet create --resource-group <zone resource group>"
                " --zone-name privatelink.azurecr.io --name <link> --virtual-network <virtual network id>"
                " --registration-enabled false"
            ),
        ),
    )


def _unreachable(names: Names) -> Iterator[Remedy]:
    yield Remedy(
        "nothing answers on port 443: look for missing virtual network peering, a network security group or a firewall"
        " between nodes and registry",
        (
            f"az acr check-health --name {names.acr} --ignore-errors --yes",
            kubectl.from_node(names, f"nc -vz -w 5 {names.registry} 443"),
            (
                "az network vnet peering list --resource-group <network resource group>"
                " --vnet-name <virtual network> --output table"
            ),
        ),
    )
    yield _private_dns(names)
