"""What each of the causes that the vendors' guides name is answered with: a test for every one of them."""

# ruff: noqa: E501 - commands are as long as they are
from __future__ import annotations

import itertools
import re
import shlex
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.diagnosis.cause import Cause, Diagnosis, Wrapper
from webhook.diagnosis.message import read_message
from webhook.diagnosis.remedies.names import Names, filled
from webhook.diagnosis.remedy import Place, remedies
from webhook.model.text import is_visible

if TYPE_CHECKING:
    from webhook.diagnosis.remedy import Remedy

AZURE_NODE = (
    "azure:///subscriptions/0000/resourceGroups/MC_rg_aks1_westeurope/providers/Microsoft.Compute/virtualMachineScaleSets/"
    "aks-pool-1-vmss/virtualMachines/0"
)
AZURE = Place(provider_id=AZURE_NODE, secret="regcred", workload="deployment/web")
IBM = Place(provider_id="ibm://account///cluster1/worker1", secret="regcred", workload="deployment/web")
AWS = Place(provider_id="aws:///eu-west-1a/i-0123", cluster="prod", workload="deployment/web")
GOOGLE = Place(provider_id="gce://proj/us-central1-a/node", cluster="prod", workload="deployment/web")


def about(cause: Cause, image: str, **more: object) -> Diagnosis:
    registry = read_message(f'Failed to pull image "{image}"').registry
    return Diagnosis(
        cause,
        "evidence",
        registry=registry,
        image=image,
        namespace="shop",
        pod="web-1",
        container="web",
        node="node-1",
        **more,
    )  # type: ignore[arg-type]


def commands(found: tuple[Remedy, ...]) -> str:
    return "\n".join(command for remedy in found for command in remedy.commands)


ACR = "myreg.azurecr.io/shop/web:1"

# The causes as the project's own list has them, each with what must be among the commands.
SEEDS = {
    "Azure: AcrPull missing, looked at": (about(Cause.UNAUTHORIZED, ACR), AZURE, "az aks check-acr --resource-group rg --name aks1 --acr myreg.azurecr.io"),
    "Azure: AcrPull missing, given": (about(Cause.UNAUTHORIZED, ACR), AZURE, "az aks update --resource-group rg --name aks1 --attach-acr myreg"),
    "Azure: service principal secret expired": (about(Cause.EXPIRED, ACR), AZURE, 'az ad app credential list --id <client id> --query "[].endDateTime" --output tsv'),
    "Azure: service principal is the wrong one": (
        about(Cause.UNAUTHORIZED, ACR), AZURE,
        "az aks update-credentials --resource-group rg --name aks1 --reset-service-principal --service-principal <client id> --client-secret <new secret>",
    ),
    "Azure: kubelet identity not on the scale set": (about(Cause.UNAUTHORIZED, ACR), AZURE, "az vmss identity show --resource-group MC_rg_aks1_westeurope --name aks-pool-1-vmss"),
    "Azure: pull secret with an invalid principal": (
        about(Cause.UNAUTHORIZED, ACR), AZURE,
        "kubectl create secret docker-registry regcred -n shop --docker-server=myreg.azurecr.io --docker-username=<service principal client id>",
    ),
    "Azure: stale admin password": (about(Cause.AMBIGUOUS, ACR), AZURE, "az acr credential show --name myreg"),
    "Azure: private endpoint's DNS link": (
        about(Cause.FORBIDDEN, ACR), AZURE,
        "az network private-dns link vnet list --resource-group <zone resource group> --zone-name privatelink.azurecr.io",
    ),
    "Azure: load balancer address not in the allowed ranges": (about(Cause.FORBIDDEN, ACR), AZURE, "az acr network-rule add --name myreg --ip-address <outbound address>"),
    "Azure: timeout, peering": (about(Cause.TIMEOUT, ACR), AZURE, "az network vnet peering list"),
    "Azure: timeout, firewall": (about(Cause.TIMEOUT, ACR), AZURE, "nc -vz -w 5 myreg.azurecr.io 443"),
    "Azure: check-health": (about(Cause.TIMEOUT, ACR), AZURE, "az acr check-health --name myreg --ignore-errors --yes"),
    "Azure: a tag that was not pushed": (about(Cause.AMBIGUOUS, ACR), AZURE, "az acr repository show-tags --name myreg --repository shop/web --output table"),
    "IBM: all-icr-io not in this namespace": (
        about(Cause.UNAUTHORIZED, "us.icr.io/ns/app:1"), IBM,
        "kubectl get secret all-icr-io -n default -o yaml | sed -E '/^  (namespace|uid|resourceVersion|creationTimestamp):/d' | kubectl apply -n shop -f -",
    ),
    "IBM: all-icr-io not on the ServiceAccount": (
        about(Cause.UNAUTHORIZED, "us.icr.io/ns/app:1"), IBM,
        'kubectl patch serviceaccount default -n shop --type=json -p \'[{"op":"add","path":"/imagePullSecrets/-","value":{"name":"all-icr-io"}}]\'',
    ),
    "IBM: the secret's domain against the image's": (about(Cause.UNAUTHORIZED, "us.icr.io/ns/app:1"), IBM, "base64 -d | jq '.auths | keys'"),
    "IBM: retired domain": (
        about(Cause.DNS, "registry.ng.bluemix.net/ns/app:1"), IBM,
        "kubectl set image deployment/web web=us.icr.io/ns/app:1 -n shop",
    ),
    "IBM: user iamapikey": (about(Cause.UNAUTHORIZED, "de.icr.io/ns/app:1"), IBM, "--docker-server=de.icr.io --docker-username=iamapikey"),
    "IBM: IAM reader policy": (
        about(Cause.UNAUTHORIZED, "de.icr.io/ns/app:1"), IBM,
        "ibmcloud iam service-policy-create <service id> --roles Reader --service-name container-registry",
    ),
    "IBM: quota": (about(Cause.QUOTA, "de.icr.io/ns/app:1"), IBM, "ibmcloud cr quota"),
    "IBM: tag not found": (about(Cause.NOT_FOUND, "de.icr.io/ns/app:1"), IBM, "ibmcloud cr images --restrict ns/app"),
    "IBM: pull secrets made anew": (about(Cause.UNAUTHORIZED, "de.icr.io/ns/app:1"), IBM, "ibmcloud ks cluster pull-secret apply --cluster cluster1"),
    "IBM: entitled registry": (about(Cause.UNAUTHORIZED, "cp.icr.io/cp/app:1"), IBM, "--docker-server=cp.icr.io --docker-username=cp "),
    "AWS: nodes' role": (
        about(Cause.UNAUTHORIZED, "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:1"), AWS,
        "aws iam attach-role-policy --role-name <node role> --policy-arn arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly",
    ),
    "AWS: another account's repository": (
        about(Cause.FORBIDDEN, "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:1"), AWS,
        "aws ecr get-repository-policy --registry-id 123456789012 --region eu-west-1 --repository-name team/app",
    ),
    "AWS: a token of 12 hours": (
        about(Cause.EXPIRED, "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:1"), AWS,
        '--docker-username=AWS --docker-password="$(aws ecr get-login-password --region eu-west-1)"',
    ),
    "AWS: endpoints": (about(Cause.TIMEOUT, "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:1"), AWS, "com.amazonaws.eu-west-1.ecr.dkr"),
    "AWS: public, limited": (about(Cause.RATE_LIMIT, "public.ecr.aws/a/b:1"), AWS, "aws ecr-public get-login-password --region us-east-1"),
    "Google: reader": (
        about(Cause.FORBIDDEN, "europe-west1-docker.pkg.dev/proj/repo/app:1"), GOOGLE,
        "gcloud artifacts repositories add-iam-policy-binding repo --project=proj --location=europe-west1 --member=serviceAccount:<node service account> --role=roles/artifactregistry.reader",
    ),
    "Google: gcr.io is a repository now": (about(Cause.FORBIDDEN, "gcr.io/proj/app:1"), GOOGLE, "add-iam-policy-binding gcr.io --project=proj --location=us "),
    "Google: key outside GKE": (about(Cause.UNAUTHORIZED, "gcr.io/proj/app:1"), Place(), "--docker-username=_json_key"),
    "Docker Hub: rate limit": (
        about(Cause.RATE_LIMIT, "nginx:1"), Place(secret="hub"),
        "kubectl create secret docker-registry hub -n shop --docker-server=https://index.docker.io/v1/ --docker-username=<Docker ID>",
    ),
    "Docker Hub: private or not there": (about(Cause.AMBIGUOUS, "team/app:1"), Place(), "https://hub.docker.com/v2/repositories/team/app/tags/1"),
    "GitHub": (about(Cause.FORBIDDEN, "ghcr.io/team/app:1"), Place(), "--docker-server=ghcr.io --docker-username=<GitHub user name>"),
    "GitLab": (about(Cause.FORBIDDEN, "registry.gitlab.com/team/app:1"), Place(), "--docker-username=<deploy token user name>"),
    "GitLab, self-hosted": (about(Cause.FORBIDDEN, "registry.gitlab.corp.example/team/app:1"), Place(), "--docker-username=<deploy token user name>"),
    "Quay": (about(Cause.AMBIGUOUS, "quay.io/team/app:1"), Place(), "https://quay.io/api/v1/repository/team/app/tag/?limit=1"),
    "Red Hat": (about(Cause.UNAUTHORIZED, "registry.redhat.io/ubi9/ubi:1"), Place(), "oc get secret pull-secret -n openshift-config"),
    "self-hosted: credential": (about(Cause.UNAUTHORIZED, "reg.corp:5000/app:1"), Place(secret="regcred"), "--docker-server=reg.corp:5000 --docker-username=<user>"),
    "self-hosted: tags": (about(Cause.NOT_FOUND, "reg.corp:5000/app:1"), Place(), "skopeo list-tags docker://reg.corp:5000/app"),
    "a pull secret in another namespace": (
        Diagnosis(Cause.SECRET_MISSING, "Unable to retrieve", registry="reg.corp", image="reg.corp/a:1", namespace="shop", secrets=("regcred",)),
        Place(secret_in="build"),
        "kubectl get secret regcred -n build -o yaml",
    ),
    "a pull secret that can't be decoded": (
        Diagnosis(Cause.SECRET_MISSING, "illegal base64 data at input byte 0", namespace="shop", pod="web-1"), Place(),
        "kubectl get pod web-1 -n shop -o jsonpath='{.spec.imagePullSecrets[*].name}'",
    ),
    "platform": (about(Cause.PLATFORM, "reg.corp/a:1", platform="windows/amd64"), AZURE, "kubectl get nodes -L kubernetes.io/os,kubernetes.io/arch"),
    "platform: selector": (about(Cause.PLATFORM, "reg.corp/a:1"), AZURE, '"nodeSelector":{"kubernetes.io/os":"<linux or windows>"}'),
    "invalid name": (about(Cause.INVALID_NAME, "A/b"), AZURE, "pullproof inspect A/b"),
    "dns": (about(Cause.DNS, "azureacr.io/a:1"), Place(), "kubectl debug node/node-1 -it --image=<an image the node can pull> -- nslookup azureacr.io"),
    "timeout": (about(Cause.TIMEOUT, "reg.corp:5000/a:1"), Place(), "nc -vz -w 5 reg.corp 5000"),
    "refused": (about(Cause.REFUSED, "reg.corp:5000/a:1"), Place(), "curl -sv https://reg.corp:5000/v2/ -o /dev/null"),
    "disk": (about(Cause.DISK, "reg.corp/a:1"), Place(), "kubectl drain node-1 --ignore-daemonsets --delete-emptydir-data"),
    "unpack": (about(Cause.UNPACK, "reg.corp/a:1"), Place(), "chroot /host crictl rmi reg.corp/a:1"),
    "media type": (about(Cause.UNSUPPORTED_MEDIA, "reg.corp/a:1"), Place(), "skopeo inspect --raw docker://reg.corp/a:1"),
    "registry error": (about(Cause.REGISTRY_ERROR, "reg.corp/a:1"), Place(), "curl -sv https://reg.corp/v2/"),
}  # fmt: skip


@pytest.mark.parametrize(("diagnosis", "place", "command"), SEEDS.values(), ids=SEEDS.keys())
def test_each_seed_s_cause_is_answered(diagnosis, place, command):
    assert command in commands(remedies(diagnosis, place))


TLS = {
    "an unknown authority": ("x509: certificate signed by unknown authority", "install -D ca.crt /etc/containerd/certs.d/reg.corp:5000/ca.crt"),
    "plain HTTP": ("http: server gave HTTP response to HTTPS client", 'server = "http://reg.corp:5000"'),
    "expired": ("x509: certificate has expired or is not yet valid", "openssl s_client -connect reg.corp:5000 -servername reg.corp"),
    "another name": ("x509: certificate is valid for a.corp, not reg.corp", "openssl s_client"),
}  # fmt: skip


@pytest.mark.parametrize(("evidence", "command"), TLS.values(), ids=TLS.keys())
def test_what_is_wrong_with_tls_decides(evidence, command):
    found = remedies(Diagnosis(Cause.TLS, evidence, registry="reg.corp:5000", image="reg.corp:5000/a:1"))
    assert command in commands(found)


def test_openshift_spreads_an_authority_itself():
    found = remedies(Diagnosis(Cause.TLS, "x509: unknown authority", registry="reg.corp:5000"), Place(openshift=True))
    assert "oc create configmap registry-ca -n openshift-config --from-file=reg.corp..5000=ca.crt" in commands(found)


def test_cri_o_s_short_names_are_written_out():
    diagnosis = Diagnosis(
        Cause.INVALID_NAME,
        "short name mode is enforcing",
        image="team/app:1",
        wrapper=Wrapper.CRIO,
        container="web",
        namespace="shop",
    )
    assert "web=docker.io/team/app:1 -n shop" in commands(remedies(diagnosis))


def test_an_image_that_must_not_be_pulled():
    diagnosis = Diagnosis(
        Cause.NOT_FOUND, 'Container image "a" is not present with pull policy of Never', image="a", container="web"
    )
    assert '"imagePullPolicy":"IfNotPresent"' in commands(remedies(diagnosis))


def test_what_the_kubelet_held_back_itself():
    found = remedies(Diagnosis(Cause.RATE_LIMIT, "pull QPS exceeded", registry="reg.corp", node="node-1"))
    assert "/api/v1/nodes/node-1/proxy/configz" in commands(found)


def test_another_cloud_s_nodes_have_no_identity_here():
    text = commands(remedies(about(Cause.UNAUTHORIZED, ACR), GOOGLE))
    assert "az aks" not in text
    assert "kubectl create secret docker-registry" in text


def test_a_group_with_underscores_is_not_guessed():
    place = Place(provider_id=AZURE_NODE.replace("MC_rg_aks1_westeurope", "MC_my_rg_aks1_westeurope"))
    assert "--resource-group <resource group> --name <cluster>" in commands(
        remedies(about(Cause.UNAUTHORIZED, ACR), place)
    )


def test_nothing_is_said_of_what_is_not_known():
    assert remedies(Diagnosis(Cause.OTHER, "?")) == ()


IMAGES = [
    None, ACR, "us.icr.io/ns/a:1", "cp.icr.io/cp/a:1", "registry.ng.bluemix.net/ns/a:1", "1.dkr.ecr.x.amazonaws.com/a",
    "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a:1", "public.ecr.aws/a/b", "gcr.io/p/a", "us-docker.pkg.dev/p/r/a", "nginx",
    "ghcr.io/a/b", "registry.gitlab.com/a/b", "quay.io/a/b", "registry.redhat.io/a/b", "reg.corp:5000/a:1",
]  # fmt: skip


@pytest.mark.parametrize(("cause", "image"), list(itertools.product(Cause, IMAGES)))
def test_every_cause_at_every_registry_has_something_to_do(cause, image):
    diagnosis = about(cause, image) if image else Diagnosis(cause, "evidence")
    for place in (Place(), AZURE, IBM, AWS, GOOGLE):
        found = remedies(diagnosis, place)
        assert bool(found) == (cause is not Cause.OTHER)
        for remedy in found:
            assert not remedy.text.endswith((".", "?"))
            assert remedy.text[:1].islower() or remedy.text.split()[0] in ("GitLab", "Docker", "Quay")
            for command in remedy.commands:
                shlex.split(command)  # quotes are balanced
                assert "None" not in command


EVIL = [
    "$(reboot)'; reboot #",
    "'; reboot; '",
    "`reboot`",
    "a b; reboot",
    '"; reboot; "',
    "-rf",
    "a\nreboot",
    "\u202ereboot",
]


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("registry", ["reg.corp", "evil", *filter(None, IMAGES)])
def test_a_name_can_t_break_out_of_a_command(evil, registry):
    image = evil if registry == "evil" else f"{registry.split('/')[0]}/a:1"
    domain = evil if registry == "evil" else registry.split("/")[0]
    place = Place(evil, evil, evil, evil, evil, evil, evil, openshift=True)
    for cause in Cause:
        diagnosis = Diagnosis(cause, evil, domain, image, evil, Wrapper.CRIO, (evil,), evil, evil, evil, evil)
        for command in commands(remedies(diagnosis, place)).splitlines():
            lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            assert "reboot" not in list(lexer)
            # within double quotes a shell still runs what stands in $(…) or backquotes
            assert not re.search(r'"[^"\']*(?:\$\(reboot|`reboot)', command)


@given(st.text())
def test_what_is_filled_in_is_one_word_and_visible(value):
    word = filled(value, "name")
    assert word == "<name>" or (shlex.split(word) == [value] and all(map(is_visible, value)))


def test_google_s_places():
    names = Names(about(Cause.FORBIDDEN, "eu.gcr.io/proj/team/app:1"), Place())
    assert (names.project, names.google_repository, names.location) == ("proj", "eu.gcr.io", "europe")
