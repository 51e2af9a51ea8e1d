"""Policies through the real API server: what they change, for whom, and what happens where they can't be read."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.controlplane.controlplane import ControlPlane
from tests.policies import LATER, Policies, Tenant, deployment, install, pod
from tests.serving import ServedWebhook
from tests.waiting import eventually
from webhook.controller import PolicyStatus
from webhook.sources.connection import connect
from webhook.sources.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

BAD = "contoso.azureacr.io/shop:1"  # certain: PULL201
GOOD = "contoso.azurecr.io/shop:1"
OTHER = "fabrikam.azureacr.io/shop:1"


@pytest.fixture(scope="module")
def webhook(control_plane: ControlPlane) -> Iterator[ServedWebhook]:
    install(control_plane)
    with ServedWebhook(control_plane) as served:
        served.register()
        yield served
        served.unregister()


@pytest.fixture
def tenant(control_plane: ControlPlane, webhook: ServedWebhook, namespace: str) -> Tenant:
    return Tenant(control_plane, namespace)


@pytest.fixture
def policies(control_plane: ControlPlane, webhook: ServedWebhook, namespace: str) -> Iterator[Policies]:
    made = Policies(control_plane, namespace)
    yield made
    made.clear()


def exemption(name: str = "old", **more: Any) -> dict[str, Any]:
    return {"name": name, "reason": "moves in May", "expires": LATER, **more}


def test_a_change_takes_effect_in_every_replica_without_a_restart(
    control_plane: ControlPlane, webhook: ServedWebhook, tenant: Tenant, policies: Policies
) -> None:
    with ServedWebhook(control_plane) as other:
        replicas = (webhook, other)

        def allowed() -> list[bool]:
            request = {
                "uid": "1",
                "operation": "CREATE",
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "namespace": tenant.namespace,
                "userInfo": {"username": "jane"},
                "object": pod(BAD),
            }
            body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
            answers = [one.request("POST", "/validate", body.encode()) for one in replicas]
            return [json.loads(text)["response"]["allowed"] for _, text in answers]

        assert allowed() == [False, False]
        policies.cluster(defaults={"enforce": "off"})
        eventually(lambda: allowed() == [True, True])
        policies.cluster(defaults={"enforce": "certain"})
        eventually(lambda: allowed() == [False, False])
        policies.cluster(defaults={"enforce": "off"})
        eventually(lambda: allowed() == [True, True])
        policies.clear()
        eventually(lambda: allowed() == [False, False])


def test_registries_that_are_allowed(tenant: Tenant, policies: Policies) -> None:
    policies.cluster(allowedRegistries=["*.azurecr.io", "docker.io/library/*"])
    eventually(lambda: tenant.denied("ghcr.io/org/app:1"))
    told = tenant.tried("ghcr.io/org/app:1")
    assert told.endswith(
        "denied the request: app: policy does not allow `ghcr.io`; take it from *.azurecr.io"
        " (PULL802 registry-not-allowed, certain)\n"
    )
    assert not tenant.denied("nginx:1")
    made = tenant("create", "--dry-run=server", "-f", "-", manifest=deployment("shop", "ghcr.io/org/app:1"))
    assert "PULL802" in made.stderr
    assert made.returncode == 1


def test_what_ran_before_it_was_forbidden_is_made_again(tenant: Tenant, policies: Policies) -> None:
    image = "ghcr.io/org/app:1"
    made = deployment("shop", image)
    made["spec"]["replicas"] = 2
    assert tenant("create", "-f", "-", manifest=made).returncode == 0

    def pods() -> list[str]:
        return tenant("get", "pods", "-o", "name").stdout.split()

    eventually(lambda: len(pods()) == 2)
    first, second = pods()
    ready = json.dumps({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
    tenant("patch", second, "--subresource=status", "--type=merge", "-p", ready)
    eventually(lambda: tenant("get", "deployment/shop", "-o", "jsonpath={.status.readyReplicas}").stdout == "1")
    policies.cluster(allowedRegistries=["*.azurecr.io"])
    eventually(lambda: tenant.denied(image))
    tenant("delete", first, "--grace-period=0", "--force")
    eventually(lambda: len(pods()) == 2 and first not in pods())


def test_templates_only_warned(tenant: Tenant, policies: Policies) -> None:
    policies.cluster(templates="warn")

    def created() -> Any:
        return tenant("create", "--dry-run=server", "-f", "-", manifest=deployment("shop", BAD))

    eventually(lambda: created().returncode == 0)
    assert "Warning: pullproof PULL201 app" in created().stderr
    assert tenant.denied(BAD)


def test_how_sure_a_check_is(tenant: Tenant, policies: Policies) -> None:
    policies.cluster(confidence=[{"check": "PULL201", "confidence": "advisory"}])
    eventually(lambda: tenant.tried(BAD) == "")


def test_break_glass_for_kubectl_debug(tenant: Tenant, policies: Policies) -> None:
    policies.cluster(exemptions=[exemption("break-glass", groups=["break-glass"])])
    eventually(lambda: not tenant.denied(BAD, groups=["break-glass"]))
    assert tenant.denied(BAD, groups=["others"])
    assert tenant("create", "-f", "-", manifest=pod(GOOD)).returncode == 0
    name = tenant("get", "pods", "-o", "name").stdout.strip()
    debug = ("debug", name, f"--image={BAD}", "--quiet", "--attach=false")
    assert "denied the request" in tenant(*debug).stderr
    assert tenant(*debug, groups=["break-glass"]).returncode == 0
    # and what it excused is in the audit log
    expected = re.compile(rf"PULL201 debugger-\w+ by ClusterPullPolicy/{tenant.namespace}-a break-glass")
    eventually(lambda: any(expected.search(one) for one in excused(tenant)))


def excused(tenant: Tenant) -> list[str]:
    return [
        value
        for event in tenant.plane.audit_events()
        if event["objectRef"].get("namespace") == tenant.namespace
        for key, value in event.get("annotations", {}).items()
        if key.endswith("/exempt")
    ]


def test_an_exemption_that_has_expired(tenant: Tenant, policies: Policies) -> None:
    policies.cluster(exemptions=[exemption(images=["contoso.azureacr.io"])])
    eventually(lambda: not tenant.denied(BAD))
    assert tenant.denied(OTHER)
    name = policies.cluster(
        exemptions=[exemption(images=["contoso.azureacr.io"]) | {"expires": "2020-01-01T00:00:00Z"}]
    )
    eventually(lambda: tenant.denied(BAD))
    write_status(tenant.plane)
    status = policies.status(name)
    assert status["expiredExemptions"] == ["old"]
    assert [one["message"] for one in status["conditions"]] == [
        "in force; expired exemptions: old",
        "all of it holds",
    ]


def test_what_owners_may_do(tenant: Tenant, policies: Policies) -> None:
    policies.owners(allowedRegistries=["contoso.azurecr.io"], exemptions=[exemption(images=["contoso.azureacr.io"])])
    eventually(lambda: tenant.denied("nginx:1"))
    assert tenant.denied(BAD), "exemptions are not delegated"
    policies.cluster(delegate=["exemptions"])
    eventually(lambda: "PULL201" not in tenant.tried(BAD))
    assert "PULL802" in tenant.tried(BAD), "what is allowed is nobody's to excuse"


def write_status(plane: ControlPlane) -> None:
    """What the controller does every few seconds."""
    connection = connect(str(plane.kubeconfig), None)
    PolicyStatus(connection, Writer(connection)).run()


def test_two_that_differ(tenant: Tenant, policies: Policies) -> None:
    loser = policies.cluster("a", floor={"enforce": "off"}, templates="warn")
    winner = policies.cluster("z", priority=1, floor={"enforce": "likely"}, templates="warn")
    write_status(tenant.plane)
    status = policies.status(loser)
    because = f"ClusterPullPolicy/{winner} says otherwise"
    assert status["conflicts"] == [{"setting": "floor.enforce", "because": because}]
    assert [(one["type"], one["status"], one["reason"], one["message"]) for one in status["conditions"]] == [
        ("Ready", "True", "InForce", "in force"),
        ("Conflicts", "True", "Differs", f"does not hold: floor.enforce: {because}"),
    ]
    assert [one["status"] for one in policies.status(winner)["conditions"]] == ["True", "False"]
    version = tenant.plane.kubectl("get", "cpp", loser, "-o", "jsonpath={.metadata.resourceVersion}").stdout
    write_status(tenant.plane)
    same = tenant.plane.kubectl("get", "cpp", loser, "-o", "jsonpath={.metadata.resourceVersion}").stdout
    assert same == version, "nothing is written where nothing has changed"


def test_a_policy_that_no_schema_refuses_leaves_the_last_good_one_in_force(
    webhook: ServedWebhook, tenant: Tenant, policies: Policies
) -> None:
    policies.cluster(defaults={"enforce": "off"})
    eventually(lambda: not tenant.denied(BAD))
    before = invalid(webhook)
    name = policies.cluster(
        selector={"matchExpressions": [{"key": "team", "operator": "In"}]}, defaults={"enforce": "certain"}
    )
    eventually(lambda: invalid(webhook) > before)
    assert not tenant.denied(BAD)
    write_status(tenant.plane)
    ready = policies.status(name)["conditions"][0]
    assert (ready["status"], ready["reason"], ready["message"]) == (
        "False",
        "Invalid",
        "spec.namespaceSelector.matchExpressions[0]: operator In needs values; what it said before stays in"
        " force where it was seen",
    )
    assert f"ClusterPullPolicy/{name}: spec.namespaceSelector" in webhook.log
    assert "\npullproof_policies_invalid 1.0\n" in webhook.get("/metrics")[1]
    policies.cluster(defaults={"enforce": "certain"})
    eventually(lambda: "\npullproof_policies_invalid 0.0\n" in webhook.get("/metrics")[1])
    assert tenant.denied(BAD)


def invalid(webhook: ServedWebhook, reason: str = "invalid") -> float:
    found = re.search(rf'pullproof_policy_errors_total\{{reason="{reason}"\}} (\S+)', webhook.get("/metrics")[1])
    return float(found[1]) if found else 0.0


RIGHTS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NAME}
rules:
  - {apiGroups: [""], resources: [namespaces, nodes, serviceaccounts, secrets], verbs: [get, list, watch]}
"""


def test_without_the_right_to_read_policies_labels_and_flags_hold(
    control_plane: ControlPlane, webhook: ServedWebhook, namespace: str, tmp_path: Path
) -> None:
    plane = control_plane
    plane.kubectl("apply", "-f", "-", input=RIGHTS.replace("NAME", namespace))
    try:
        plane.kubectl(
            "create",
            "clusterrolebinding",
            namespace,
            f"--clusterrole={namespace}",
            f"--serviceaccount={namespace}:default",
        )
        content = yaml.safe_load(plane.kubeconfig.read_text())
        token = plane.kubectl("-n", namespace, "create", "token", "default").stdout.strip()
        content["users"][0]["user"] = {"token": token}
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(json.dumps(content))
        with ServedWebhook(plane, kubeconfig=kubeconfig) as served:  # which waits until it is ready
            assert invalid(served, "forbidden") > 0
            assert "until it can be read, the namespaces' labels and the webhook's flags hold" in served.log
    finally:
        plane.kubectl("delete", "clusterrole,clusterrolebinding", namespace, "--ignore-not-found")


def test_without_the_crds_labels_and_flags_hold_until_they_are_there(
    uncaptured: Callable[[], AbstractContextManager[None]],
) -> None:
    with uncaptured():
        made = ControlPlane()
    with made as plane, ServedWebhook(plane) as served:
        assert served.get("/readyz") == (200, "ok\n")
        assert invalid(served, "missing") > 0
        served.register()
        plane.kubectl("create", "namespace", "shop")
        tenant = Tenant(plane, "shop")
        eventually(lambda: plane.kubectl("get", "serviceaccount", "default", "-n", "shop", check=False).returncode == 0)
        assert tenant.denied(BAD)
        install(plane)
        Policies(plane, "shop").cluster(defaults={"enforce": "off"})
        eventually(lambda: not tenant.denied(BAD))
