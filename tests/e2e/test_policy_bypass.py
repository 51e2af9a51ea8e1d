"""What a tenant may try to get under what the platform team fixed: each trick, tried on the real API server.

In each namespace here the platform team's floor is `certain`, so a host that is known to be a mistake is denied.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.policies import LATER, Policies, Tenant, deployment, install, pod
from tests.serving import ServedWebhook
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.controlplane.controlplane import ControlPlane

BAD = "contoso.azureacr.io/shop:1"  # certain: PULL201
GOOD = "contoso.azurecr.io/shop:1"
EXEMPT = "old.azureacr.io/shop:1"
DENIED = "denied the request"


@pytest.fixture(scope="module")
def webhook(control_plane: ControlPlane) -> Iterator[ServedWebhook]:
    install(control_plane)
    with ServedWebhook(control_plane) as served:
        served.register()
        yield served
        served.unregister()


@pytest.fixture
def policies(control_plane: ControlPlane, webhook: ServedWebhook, namespace: str) -> Iterator[Policies]:
    made = Policies(control_plane, namespace)
    yield made
    made.clear()


@pytest.fixture
def tenant(control_plane: ControlPlane, policies: Policies) -> Tenant:
    """With a floor, and with an image that is exempt, by which it is seen that the policy is in force."""
    return fixed(Tenant(control_plane, policies.namespace), policies)


def fixed(tenant: Tenant, policies: Policies, **more: Any) -> Tenant:
    """Waits until the floor and everything else of the policy is in force."""
    known = {"name": "known", "reason": "known", "expires": LATER, "images": ["old.azureacr.io"]}
    exemptions = [known, *more.pop("exemptions", [])]
    policies.cluster("fixed", floor={"enforce": "certain"}, exemptions=exemptions, **more)
    eventually(lambda: not tenant.denied(EXEMPT))
    assert tenant.denied(BAD)
    return tenant


def exemption(**more: Any) -> dict[str, Any]:
    return {"name": "legacy", "reason": "moves in May", "expires": LATER, **more}


def test_a_label_below_the_floor(tenant: Tenant) -> None:
    for value in ("off", "nonsense"):
        told = tenant("label", "--overwrite", "namespace", tenant.namespace, f"pullproof.dev/enforce={value}")
        assert told.returncode == 0
        # the webhook has seen both labels when what it warns of has gone
        tenant("label", "--overwrite", "namespace", tenant.namespace, "pullproof.dev/warn=off")
        eventually(lambda: "PULL107" not in tenant.tried("contoso.azurecr.io/shop"))
        assert tenant.denied(BAD)
        tenant("label", "namespace", tenant.namespace, "pullproof.dev/warn=advisory", "--overwrite")
        eventually(lambda: "PULL107" in tenant.tried("contoso.azurecr.io/shop"))


def test_a_policy_in_another_namespace(control_plane: ControlPlane, tenant: Tenant, policies: Policies) -> None:
    other = f"{tenant.namespace}-other"
    control_plane.kubectl("create", "namespace", other)
    try:
        policies.cluster("theirs", {"matchLabels": {"kubernetes.io/metadata.name": other}}, delegate=["levels"])
        policies.owners(namespace=other, levels={"enforce": "off"}, allowedRegistries=["contoso.azureacr.io"])
        there = Tenant(control_plane, other)
        eventually(lambda: not there.denied(BAD))
        assert tenant.denied(BAD)
    finally:
        control_plane.kubectl("delete", "namespace", other, "--wait=false")


def test_a_policy_of_the_tenants_own(tenant: Tenant, policies: Policies) -> None:
    policies.owners(
        levels={"enforce": "off"},
        confidence=[{"check": "PULL201", "confidence": "advisory"}],
        registries=[{"match": "contoso.azureacr.io", "credentials": "anonymous", "mirrors": ["contoso.azurecr.io"]}],
        exemptions=[exemption(images=["contoso.azureacr.io"])],
        allowedRegistries=["contoso.azureacr.io", "old.azureacr.io"],
    )
    eventually(lambda: "PULL802" in tenant.tried("nginx:1"))  # its stricter part is in force
    assert tenant.denied(BAD)


def test_an_exemption_by_a_name_that_the_tenant_chooses(control_plane: ControlPlane, policies: Policies) -> None:
    elsewhere = {"namespace": "kube-system", "kind": "Deployment", "name": "legacy-*"}
    here = {"namespace": policies.namespace, "kind": "Deployment", "name": "legacy"}
    tenant = fixed(
        Tenant(control_plane, policies.namespace), policies, exemptions=[exemption(workloads=[elsewhere, here])]
    )
    tried = ("create", "--dry-run=server", "-f", "-")
    assert tenant(*tried, manifest=deployment("legacy", BAD)).returncode == 0
    assert DENIED in tenant(*tried, manifest=deployment("legacy-2", BAD)).stderr
    for kind, version in (("StatefulSet", "apps/v1"), ("Job", "batch/v1"), ("Pod", "v1")):
        obj = pod(BAD) if kind == "Pod" else deployment("legacy", BAD)
        if kind == "StatefulSet":
            obj["spec"]["serviceName"] = "legacy"
        if kind == "Job":
            obj["spec"] = {"template": {"spec": {**obj["spec"]["template"]["spec"], "restartPolicy": "Never"}}}
        obj |= {"kind": kind, "apiVersion": version}
        obj["metadata"]["name"] = "legacy"
        assert DENIED in tenant(*tried, manifest=obj).stderr, kind


def test_forged_owner_references(control_plane: ControlPlane, policies: Policies) -> None:
    here = {"namespace": policies.namespace, "kind": "Deployment", "name": "legacy"}
    tenant = fixed(Tenant(control_plane, policies.namespace), policies, exemptions=[exemption(workloads=[here])])
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "legacy-abc", "uid": "1", "controller": True}
    labels = {"pod-template-hash": "abc"}
    assert tenant.denied(BAD, ownerReferences=[owner], labels=labels)
    assert tenant.denied(BAD, ownerReferences=[{**owner, "kind": "Deployment", "name": "legacy"}])
    # the pods that the controllers really make of it are let through
    assert tenant("create", "-f", "-", manifest=deployment("legacy", BAD)).returncode == 0
    eventually(lambda: "legacy-" in tenant("get", "pods", "-o", "name").stdout)


def test_a_host_that_looks_like_an_exempt_one(control_plane: ControlPlane, policies: Policies) -> None:
    allowed = ["*.azurecr.io", "*.azureacr.io", "docker.io/contoso/*"]
    tenant = fixed(Tenant(control_plane, policies.namespace), policies, allowedRegistries=allowed)
    eventually(lambda: tenant.denied("ghcr.io/org/app:1"))
    assert not tenant.denied(GOOD)
    for image in (
        "evilazurecr.io/shop:1",
        "contoso.azurecr.io.evil.example/shop:1",
        "a.b.azurecr.io/shop:1",
        "contoso.azurecr.io:8443/shop:1",
        "docker.io/contoso-evil/app:1",
        "contoso/../evil:1",
        "azurecr.io/shop:1",
    ):
        assert tenant.denied(image), image


def test_a_forged_mirror_pod(tenant: Tenant) -> None:
    forged = {"kubernetes.io/config.mirror": "forged", "kubernetes.io/config.source": "file"}
    assert tenant.denied(BAD, annotations=forged, spec={"nodeName": "some-node"})


def test_the_tenants_own_labels_and_annotations(tenant: Tenant) -> None:
    words = {"pullproof.dev/enforce": "off", "pullproof.dev/exempt": "true", "control-plane": "controller-manager"}
    assert tenant.denied(BAD, labels=words, annotations=words)


def test_ephemeral_containers(tenant: Tenant) -> None:
    made = pod(GOOD)
    assert tenant("create", "-f", "-", manifest=made).returncode == 0
    name = made["metadata"]["name"]
    assert DENIED in tenant("debug", name, f"--image={BAD}", "--attach=false", "--quiet").stderr


def test_image_volumes(tenant: Tenant) -> None:
    volume = {"name": "data", "image": {"reference": BAD, "pullPolicy": "IfNotPresent"}}
    assert tenant.denied(GOOD, spec={"volumes": [volume]})


def test_resize(tenant: Tenant) -> None:
    made = pod(GOOD)
    assert tenant("create", "-f", "-", manifest=made).returncode == 0
    name = made["metadata"]["name"]
    change = {"spec": {"containers": [{"name": "app", "image": BAD, "resources": {"requests": {"cpu": "10m"}}}]}}
    tenant("patch", "pod", name, "--subresource=resize", "-p", json.dumps(change))
    assert tenant("get", "pod", name, "-o", "jsonpath={.spec.containers[0].image}").stdout == GOOD


def test_generate_name(tenant: Tenant) -> None:
    assert tenant.denied(BAD, generateName="legacy-")


def test_an_update_in_two_steps(control_plane: ControlPlane, policies: Policies) -> None:
    only = exemption(runtimeClasses=["sandbox"])
    tenant = fixed(Tenant(control_plane, policies.namespace), policies, exemptions=[only])
    # under the exemption first, then out of it: what was excused then is no excuse now
    assert tenant("create", "-f", "-", manifest=deployment("shop", BAD, runtimeClassName="sandbox")).returncode == 0
    out_of_it = '[{"op": "remove", "path": "/spec/template/spec/runtimeClassName"}]'
    assert DENIED in tenant("patch", "deployment", "shop", "--type=json", "-p", out_of_it).stderr
    # a good image first, then another
    assert tenant("create", "-f", "-", manifest=deployment("step", GOOD)).returncode == 0
    assert DENIED in tenant("set", "image", "deployment/step", f"app={BAD}").stderr
    made = pod(GOOD)
    assert tenant("create", "-f", "-", manifest=made).returncode == 0
    assert DENIED in tenant("set", "image", f"pod/{made['metadata']['name']}", f"app={BAD}").stderr
    # a gate hides nothing
    assert tenant.denied(BAD, spec={"schedulingGates": [{"name": "example.com/wait"}]})


def test_a_stateful_set_that_runs_and_is_given_another_image(tenant: Tenant, policies: Policies) -> None:
    """Where templates are only warned about, its pods are what is judged, although its others are ready."""
    fixed(tenant, policies, templates="warn", allowedRegistries=["*.azurecr.io"])
    made = deployment("shop", GOOD)
    made["kind"] = "StatefulSet"
    made["spec"] |= {"serviceName": "shop", "replicas": 2, "podManagementPolicy": "Parallel"}
    assert tenant("create", "-f", "-", manifest=made).returncode == 0
    ready = json.dumps({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})

    def both_are_ready() -> bool:
        for name in ("shop-0", "shop-1"):
            tenant("patch", "pod", name, "--subresource=status", "--type=merge", "-p", ready)
        return tenant("get", "sts/shop", "-o", "jsonpath={.status.readyReplicas}").stdout == "2"

    eventually(both_are_ready)
    # made again as it was, it is as it was
    tenant("delete", "pod", "shop-0", "--grace-period=0", "--force")
    eventually(both_are_ready)
    changed = tenant("set", "image", "statefulset/shop", "app=ghcr.io/evil/shop:1")
    assert (changed.returncode, "PULL802" in changed.stderr) == (0, True)
    eventually(
        lambda: "PULL802" in tenant("get", "events", "--field-selector=reason=FailedCreate", "-o", "json").stdout
    )
    images = tenant("get", "pods", "-o", "jsonpath={.items[*].spec.containers[*].image}").stdout
    assert set(images.split()) == {GOOD}


def test_a_namespace_too_new_for_the_cache(control_plane: ControlPlane, tenant: Tenant, policies: Policies) -> None:
    """Many, each with its pod in the same call, and with a level of its own that is under the floor.

    A namespace that can't be read in time has the floor as well.
    """
    label = f"{tenant.namespace}-new"
    policies.cluster("new", {"matchLabels": {label: "yes"}}, floor={"enforce": "certain"})
    names = [f"{label}-{number}" for number in range(8)]
    try:
        eventually(lambda: DENIED in new(control_plane, f"{label}-first", label))
        for name in names:
            assert DENIED in new(control_plane, name, label)
    finally:
        control_plane.kubectl("delete", "namespace", f"{label}-first", *names, "--wait=false", "--ignore-not-found")


def new(plane: ControlPlane, name: str, label: str) -> str:
    """What is told of a pod in a namespace that is made in the same call."""
    labels = {label: "yes", "pullproof.dev/enforce": "off"}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    items = {"apiVersion": "v1", "kind": "List", "items": [made, pod(BAD, namespace=name)]}
    return plane.kubectl("apply", "-f", "-", input=json.dumps(items), check=False).stderr


def test_a_label_that_goes_while_the_webhook_is_down(
    control_plane: ControlPlane, webhook: ServedWebhook, namespace: str
) -> None:
    """A webhook of its own goes down; the one that starts again asks for what is true now before it is ready."""
    policies, tenant = Policies(control_plane, namespace), Tenant(control_plane, namespace)
    strict = {"matchLabels": {f"{namespace}-strict": "yes"}}
    second = ServedWebhook(control_plane)
    try:
        tenant("label", "namespace", namespace, f"{namespace}-strict=yes", "pullproof.dev/enforce=off")
        policies.cluster("strict", strict, floor={"enforce": "certain"})
        second.start()
        eventually(lambda: not allowed(second, namespace))
        second.stop()
        tenant("label", "namespace", namespace, f"{namespace}-strict-")
        second.start()
        assert allowed(second, namespace), "the label has gone, and with it the floor"
        second.stop()
        tenant("label", "namespace", namespace, f"{namespace}-strict=yes")
        second.start()
        assert not allowed(second, namespace), "ready means that labels and policies are those of now"
    finally:
        second.stop()
        policies.clear()


def allowed(webhook: ServedWebhook, namespace: str) -> bool:
    request = {
        "uid": "1",
        "operation": "CREATE",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": namespace,
        "userInfo": {"username": "jane"},
        "object": pod(BAD),
    }
    body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
    found: bool = json.loads(webhook.request("POST", "/validate", body.encode())[1])["response"]["allowed"]
    return found
