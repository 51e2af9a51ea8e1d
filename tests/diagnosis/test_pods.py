"""Pods as the API server has them when a kubelet could not get an image, with the Events around them."""

from __future__ import annotations

import base64
import json

import pytest

from webhook.diagnosis.cause import Cause
from webhook.diagnosis.message import read_message
from webhook.diagnosis.pods import Owner, diagnose_pod, diagnosed, may_wait, owner_of
from webhook.model.dockerconfig import read_secret
from webhook.model.facts import Facts, Known, PullSecretList, SecretPlace, SecretRef
from webhook.model.node import NodeFacts, NodeSet

IMAGE = "contoso.azurecr.io/shop:1"
REFUSED = (
    f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": failed to authorize: failed to'
    " fetch anonymous token: unexpected status from GET request to https://contoso.azurecr.io/oauth2/token: 401"
    " Unauthorized"
)
NOT_THERE = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": {IMAGE}: not found'
NO_HOST = (
    'failed to pull and unpack image "contoso.azureacr.io/shop:1": failed to resolve reference'
    ' "contoso.azureacr.io/shop:1": failed to do request: Head'
    ' "https://contoso.azureacr.io/v2/shop/manifests/1": dial tcp: lookup contoso.azureacr.io on 10.0.0.10:53: no such'
    " host"
)
BACK_OFF = f'Back-off pulling image "{IMAGE}"'
AZURE = (
    "azure:///subscriptions/0000/resourceGroups/MC_shop-rg_shop-aks_westeurope/providers/Microsoft.Compute/"
    "virtualMachineScaleSets/aks-pool-1-vmss/virtualMachines/0"
)


def pod(reason="ImagePullBackOff", message=BACK_OFF, *, image=IMAGE, **more):
    status = {
        "phase": "Pending",
        "containerStatuses": [
            {"name": "web", "image": image, "state": {"waiting": {"reason": reason, "message": message}}}
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "u1", **more.pop("metadata", {})},
        "spec": {
            "nodeName": "node-1",
            "containers": [{"name": "web", "image": image}],
            "serviceAccountName": "default",
            **more.pop("spec", {}),
        },
        "status": {**status, **more.pop("status", {})},
    }


def event(message, reason="Failed", *, at="2026-01-01T10:00:00Z", container="web", uid="u1", name="web-1"):
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": {
            "kind": "Pod",
            "name": name,
            "uid": uid,
            "fieldPath": f"spec.containers{{{container}}}" if container else "",
        },
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
    }


def failed(why, **more):
    return event(f'Failed to pull image "{IMAGE}": rpc error: code = Unknown desc = {why}', **more)


def the_one(*found):
    (only,) = diagnose_pod(*found)
    return only


# --- what the statuses and Events say -------------------------------------------------------------------------------


def test_behind_a_bare_back_off_the_latest_event_that_says_why_is_found():
    events = [
        failed(NOT_THERE, at="2026-01-01T09:00:00Z"),
        failed(REFUSED, at="2026-01-01T10:00:00Z"),
        event("Error: ErrImagePull", at="2026-01-01T10:00:01Z"),
        event(BACK_OFF, "BackOff", at="2026-01-01T11:00:00Z"),
    ]
    found = the_one(pod(), events)
    assert (found.diagnosis.cause, found.code) == (Cause.UNAUTHORIZED, "PULL501")
    assert "401 Unauthorized" in found.diagnosis.evidence
    assert (found.diagnosis.namespace, found.diagnosis.pod, found.diagnosis.container, found.diagnosis.node) == (
        "shop",
        "web-1",
        "web",
        "node-1",
    )


def test_a_status_that_says_why_needs_no_event():
    found = the_one(pod("ErrImagePull", NOT_THERE), [failed(REFUSED)])
    assert found.diagnosis.cause is Cause.NOT_FOUND


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(failed(REFUSED, uid="u0"), id="an earlier pod of the name"),
        pytest.param(failed(REFUSED, name="web-2"), id="another pod"),
        pytest.param(failed(REFUSED, container="proxy"), id="another container"),
        pytest.param(event(f'Failed to pull image "old/image": {NO_HOST}'), id="the image before an edit"),
        pytest.param(event("Readiness probe failed: 401 Unauthorized", "Unhealthy"), id="not about a pull"),
    ],
)
def test_foreign_events_explain_nothing(foreign):
    assert the_one(pod(), [foreign]).diagnosis.cause is Cause.OTHER


@pytest.mark.parametrize(
    ("reason", "message", "cause", "code"),
    [
        ("ErrImagePull", REFUSED, Cause.UNAUTHORIZED, "PULL501"),
        ("ImagePullBackOff", f"{BACK_OFF}: ErrImagePull: {REFUSED}", Cause.UNAUTHORIZED, "PULL501"),
        (
            "ErrImageNeverPull",
            f'Container image "{IMAGE}" is not present with pull policy of Never',
            Cause.NOT_FOUND,
            "PULL503",
        ),
        ("ImageInspectError", 'Failed to inspect image "x": rpc error', Cause.OTHER, "PULL690"),
        ("RegistryUnavailable", "", Cause.REGISTRY_ERROR, "PULL507"),
        ("SignatureValidationFailed", "image pull failed for x because the signature", Cause.OTHER, "PULL690"),
        ("illegal base64 data at input byte 0", "", Cause.SECRET_MISSING, "PULL303"),
    ],
)
def test_each_reason_that_a_kubelet_gives(reason, message, cause, code):
    found = the_one(pod(reason, message))
    assert (found.diagnosis.cause, found.code, found.reason) == (cause, code, reason)


def test_an_invalid_name_bears_the_code_of_the_check_that_knows_it():
    message = (
        'Failed to apply default image tag "Shop:1": couldn\'t parse image name "Shop:1": invalid reference format'
    )
    found = the_one(pod("InvalidImageName", message, image="Shop:1"))
    assert (found.diagnosis.cause, found.code) == (Cause.INVALID_NAME, "PULL104")
    assert found.explained is not None


@pytest.mark.parametrize(
    ("reason", "message", "code"),
    [
        ("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS", "PULL404"),
        (
            "PodOSSelectorNodeLabelDoesNotMatch",
            "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
            "PULL405",
        ),
    ],
)
def test_a_pod_that_its_node_rejected(reason, message, code):
    rejected = pod(status={"phase": "Failed", "reason": reason, "message": message, "containerStatuses": []})
    assert may_wait(rejected)
    found = the_one(rejected)
    assert (found.diagnosis.cause, found.code, found.reason) == (Cause.PLATFORM, code, reason)


def test_stuck_creating_for_a_pull_secret():
    message = (
        "Unable to retrieve some image pull secrets (regcred, other); attempting to pull the image may not succeed."
    )
    creating = pod("ContainerCreating", "")
    assert may_wait(creating)
    found = the_one(creating, [event(message, "FailedToRetrieveImagePullSecret", container="")])
    assert (found.diagnosis.cause, found.code) == (Cause.SECRET_MISSING, "PULL301")
    assert found.diagnosis.secrets == ("regcred", "other")
    assert diagnose_pod(creating) == ()


def test_an_image_volume_keeps_the_pod_creating():
    creating = pod("ContainerCreating", "")
    (found,) = diagnose_pod(creating, [failed(NOT_THERE, container="")])
    assert (found.diagnosis.cause, found.reason) == (Cause.NOT_FOUND, "ContainerCreating")


def test_each_container_has_its_own_diagnosis_in_the_pods_order():
    two = pod()
    two["status"]["initContainerStatuses"] = [
        {"name": "init", "state": {"waiting": {"reason": "ErrImagePull", "message": NOT_THERE}}}
    ]
    two["status"]["containerStatuses"].append({"name": "ok", "state": {"running": {}}})
    assert [one.diagnosis.container for one in diagnose_pod(two)] == ["init", "web"]


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Running", "containerStatuses": [{"name": "web", "state": {"running": {}}}]},
        {
            "phase": "Pending",
            "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
        },
        {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource", "containerStatuses": []},
        {"phase": "Succeeded"},
    ],
)
def test_what_waits_for_no_image_is_left_alone(status):
    healthy = pod(status=status)
    assert not may_wait(healthy)
    assert diagnose_pod(healthy, [event("Readiness probe failed", "Unhealthy")]) == ()


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"status": None, "spec": None, "metadata": None},
        {"status": {"containerStatuses": [None, 3, {"state": []}]}, "spec": {"containers": "x"}},
        {"status": {"containerStatuses": [{"name": 5, "state": {"waiting": {"reason": "ErrImagePull"}}}]}},
        {"metadata": {"ownerReferences": "x", "labels": []}, "status": {"reason": 3}},
    ],
)
def test_odd_shapes_raise_nothing(odd):
    may_wait(odd)
    owner_of(odd)
    diagnose_pod(odd, [{}, {"involvedObject": 3}, {"reason": "Failed", "message": 7}], Facts())


# --- whose pod it is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "labels", "owner"),
    [
        ("ReplicaSet", "web-7d4b9c", {"pod-template-hash": "7d4b9c"}, Owner("Deployment", "web")),
        ("ReplicaSet", "web-7d4b9c", {}, Owner("ReplicaSet", "web-7d4b9c")),
        ("StatefulSet", "db", {}, Owner("StatefulSet", "db")),
        ("Job", "backup-28931040", {}, Owner("CronJob", "backup")),
        ("Job", "migrate", {}, Owner("Job", "migrate")),
        ("Rollout", "web", {"pod-template-hash": "1"}, Owner("Rollout", "web")),
    ],
)
def test_owners(kind, name, labels, owner):
    metadata = {"ownerReferences": [{"kind": kind, "name": name, "controller": True}], "labels": labels}
    assert owner_of(pod(metadata=metadata)) == owner


def test_a_pod_of_its_own():
    assert owner_of(pod()) == Owner("Pod", "web-1")


# --- with the engine and the cluster's names ------------------------------------------------------------------------


def secret(name, auths, namespace="shop"):
    data = {".dockerconfigjson": base64.b64encode(json.dumps({"auths": auths}).encode()).decode()}
    return read_secret(
        {
            "metadata": {"name": name, "namespace": namespace},
            "type": "kubernetes.io/dockerconfigjson",
            "data": data,
        }
    )


def facts(*refs, elsewhere=(), provider=AZURE, near=()):
    return Facts(
        namespace_labels=Known({}),
        pull_secrets=Known(PullSecretList("pod", "default", refs, account_exists=Known(value=True))),
        nodes=Known(NodeSet((NodeFacts(name="node-1", labels={}, os="linux", arch="amd64", provider_id=provider),))),
        now=1_800_000_000,
        secret_namespaces=lambda _name: tuple(elsewhere),
        secrets_for_host=lambda _host, _namespace: tuple(near),
    )


OF_WEB = {
    "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d4b9c", "controller": True}],
    "labels": {"pod-template-hash": "7d4b9c"},
}


def commands(found):
    return [command for remedy in found.remedies for command in remedy.commands]


def test_a_typo_explains_a_host_that_does_not_resolve():
    broken = pod("ErrImagePull", NO_HOST, image="contoso.azureacr.io/shop:1", metadata=OF_WEB)
    found = the_one(broken, [], facts())
    assert (found.diagnosis.cause, found.code, found.name) == (Cause.DNS, "PULL201", "registry-host-typo")
    assert commands(found)[0] == "kubectl set image deployment/web web=contoso.azurecr.io/shop:1 -n shop"


def test_a_pod_of_its_own_gets_its_image_set_in_place():
    broken = pod("ErrImagePull", NO_HOST, image="contoso.azureacr.io/shop:1")
    assert commands(the_one(broken))[0] == "kubectl set image pod/web-1 web=contoso.azurecr.io/shop:1 -n shop"


def test_a_pod_of_its_own_is_made_again_not_only_deleted():
    text = "\n".join(commands(the_one(pod("ErrImagePull", REFUSED), [], facts())))
    assert "kubectl get pod web-1 -n shop -o yaml | kubectl replace --force -n shop -f -" in text
    assert "kubectl delete pod" not in text


def test_a_host_that_is_certainly_none_has_one_remedy():
    """Neither a look at its DNS nor a credential for it: that would only distract."""
    found = the_one(pod("ErrImagePull", NO_HOST, image="contoso.azureacr.io/shop:1"), [], facts())
    assert len(found.remedies) == 1
    assert "nslookup" not in "\n".join(commands(found))
    unknown = the_one(pod("ErrImagePull", NO_HOST.replace("azureacr.io", "example"), image="contoso.example/shop:1"))
    assert "nslookup" in "\n".join(commands(unknown))


def test_where_nothing_was_asked_of_a_registry_its_name_explains_nothing():
    message = 'Container image "contoso.azureacr.io/shop:1" is not present with pull policy of Never'
    found = the_one(pod("ErrImageNeverPull", message, image="contoso.azureacr.io/shop:1"), [], facts())
    assert (found.diagnosis.cause, found.code, found.explained) == (Cause.NOT_FOUND, "PULL503", None)
    assert '"imagePullPolicy":"IfNotPresent"' in "\n".join(commands(found))


MODEL = "contoso.azureacr.io/model:1"
MOUNTED = {
    "containers": [{"name": "web", "image": "quay.io/team/web:1"}],
    "volumes": [{"name": "model", "image": {"reference": MODEL}}],
}
NO_MODEL = NO_HOST.replace("shop", "model")


@pytest.mark.parametrize(
    ("message", "events"),
    [
        pytest.param(f'Back-off pulling image "{MODEL}": ErrImagePull: {NO_MODEL}', [], id="the status says why"),
        pytest.param(
            f'Back-off pulling image "{MODEL}"',
            [event(f'Failed to pull image "{MODEL}": rpc error: code = Unknown desc = {NO_MODEL}', container="")],
            id="an event says why",
        ),
    ],
)
def test_the_image_of_a_volume_for_which_a_container_waits(message, events):
    """As a kubelet 1.36 tells it: the container's status, in the words about the volume."""
    broken = pod("ImagePullBackOff", message, image="quay.io/team/web:1", spec=MOUNTED)
    found = the_one(broken, events, facts())
    assert (found.diagnosis.image, found.diagnosis.registry) == (MODEL, "contoso.azureacr.io")
    assert (found.diagnosis.cause, found.code) == (Cause.DNS, "PULL201")
    assert found.explained is not None
    assert found.explained.image == MODEL


def test_a_finding_about_a_volume_says_nothing_of_a_container_s_own_image():
    message = 'failed to resolve reference "quay.io/team/web:1": quay.io/team/web:1: not found'
    found = the_one(pod("ErrImagePull", message, image="quay.io/team/web:1", spec=MOUNTED), [], facts())
    assert (found.diagnosis.image, found.code) == ("quay.io/team/web:1", "PULL503")
    assert "PULL201" not in [one.code for one in found.findings]


def test_a_refusal_is_a_missing_secret_where_one_is_named_that_does_not_exist():
    broken = pod("ErrImagePull", REFUSED, spec={"imagePullSecrets": [{"name": "regcred"}]}, metadata=OF_WEB)
    found = the_one(broken, [], facts(SecretRef("regcred", Known(None)), elsewhere=("team-a",)))
    assert (found.diagnosis.cause, found.code) == (Cause.SECRET_MISSING, "PULL301")
    assert found.diagnosis.secrets == ("regcred",)
    text = "\n".join(commands(found))
    assert "kubectl get secret regcred -n team-a" in text
    assert "kubectl rollout restart deployment/web -n shop" in text
    assert "<pull secret>" not in text


def test_a_refusal_with_no_credential_for_the_host():
    broken = pod("ErrImagePull", REFUSED, spec={"imagePullSecrets": [{"name": "regcred"}]})
    ref = SecretRef("regcred", Known(secret("regcred", {"fabrikam.azurecr.io": {"username": "u", "password": "p"}})))
    found = the_one(broken, [], facts(ref))
    assert found.diagnosis.cause is Cause.UNAUTHORIZED
    assert found.code in {"PULL304", "PULL305"}
    text = "\n".join(commands(found))
    assert "az aks update --resource-group shop-rg --name shop-aks --attach-acr contoso" in text
    assert "--scale-set" not in text


def test_a_secret_for_the_host_in_another_namespace_is_named():
    broken = pod("ErrImagePull", REFUSED.replace("contoso.azurecr.io", "us.icr.io"), image="us.icr.io/shop/web:1")
    near = (SecretPlace("default", "all-icr-io"),)
    found = the_one(broken, [], facts(near=near, provider="ibm://account///cluster1/worker1"))
    assert "kubectl get secret all-icr-io -n default" in "\n".join(commands(found))


def test_what_the_engine_suspects_does_not_explain_what_the_kubelet_says():
    full = "failed to pull and unpack image: write /var/lib/containerd/x: no space left on device"
    broken = pod("ErrImagePull", full, spec={"imagePullSecrets": [{"name": "regcred"}]})
    found = the_one(broken, [], facts(SecretRef("regcred", Known(None))))
    assert (found.diagnosis.cause, found.code, found.explained) == (Cause.DISK, "PULL611", None)
    assert "PULL301" in [one.code for one in found.findings]


def test_the_text_alone_is_judged_by_the_images_name():
    assert diagnosed(read_message(NO_HOST)).code == "PULL201"
    assert diagnosed(read_message(REFUSED)).code == "PULL501"
    assert diagnosed(read_message("")).code == "PULL690"


def test_a_text_about_a_name_that_is_none_says_what_to_write():
    told = 'Failed to apply default image tag "docker.io/Library/app:1": invalid reference format'
    found = diagnosed(read_message(told))
    assert (found.code, found.diagnosis.image) == ("PULL104", "docker.io/Library/app:1")
    assert "docker.io/library/app:1" in found.remedies[0].commands[0]
