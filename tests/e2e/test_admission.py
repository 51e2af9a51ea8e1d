"""What people see of the webhook through the real API server and the real kubectl, word for word.

Every test makes its own namespace, so that each sees only its own labels and objects.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import ServedWebhook
from tests.waiting import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.controlplane.controlplane import ControlPlane

BAD = "contoso.azurecr.io//shop:1"
GOOD = "contoso.azurecr.io/shop:1"
OTHER_BAD = "contoso.azurecr.io//shop:2"
DENIED = (
    'admission webhook "validate.pullproof.dev" denied the request: app: nothing stands between two `/` '
    "(character 20); use `contoso.azurecr.io/shop:1` (PULL101 invalid-reference, certain)"
)
WARNED = (
    "Warning: pullproof PULL101 app: nothing stands between two `/` (character 20); use `contoso.azurecr.io/shop:1`\n"
)


@pytest.fixture(scope="module")
def webhook(control_plane: ControlPlane) -> Iterator[ServedWebhook]:
    with ServedWebhook(control_plane) as served:
        served.register()
        yield served
        served.unregister()


class Kubectl:
    """kubectl in one namespace, as a developer has it."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace

    def __call__(
        self, *args: str, manifest: dict[str, Any] | None = None, check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        given = None if manifest is None else json.dumps(manifest)
        return self.plane.kubectl("-n", self.namespace, *args, input=given, check=check)

    def apply(self, manifest: dict[str, Any], *args: str) -> subprocess.CompletedProcess[str]:
        return self("apply", *args, "-f", "-", manifest=manifest)

    def label(self, *labels: str) -> subprocess.CompletedProcess[str]:
        return self("label", "namespace", self.namespace, "--overwrite", *labels)


@pytest.fixture
def kubectl(control_plane: ControlPlane, webhook: ServedWebhook, namespace: str) -> Kubectl:
    return Kubectl(control_plane, namespace)


def pod_spec(image: str, **more: Any) -> dict[str, Any]:
    return {"containers": [{"name": "app", "image": image}], **more}


def pod(image: str, name: str = "shop", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec(image, **more)}


def template(image: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": "shop"}}, "spec": pod_spec(image, **more)}


def workload(kind: str, image: str) -> dict[str, Any]:
    selector = {"matchLabels": {"app": "shop"}}
    job = {"template": template(image, restartPolicy="Never")}
    version, spec = {
        "Deployment": ("apps/v1", {"selector": selector, "template": template(image)}),
        "ReplicaSet": ("apps/v1", {"selector": selector, "template": template(image)}),
        "StatefulSet": ("apps/v1", {"selector": selector, "serviceName": "shop", "template": template(image)}),
        "DaemonSet": ("apps/v1", {"selector": selector, "template": template(image)}),
        "Job": ("batch/v1", job),
        "CronJob": ("batch/v1", {"schedule": "0 3 * * *", "jobTemplate": {"spec": job}}),
        "ReplicationController": ("v1", {"selector": {"app": "shop"}, "template": template(image)}),
        "PodTemplate": ("v1", {}),
    }[kind]
    found: dict[str, Any] = {"apiVersion": version, "kind": kind, "metadata": {"name": "shop"}, "spec": spec}
    if kind == "PodTemplate":
        del found["spec"]
        found["template"] = template(image)
    return found


KINDS = [
    "Deployment",
    "ReplicaSet",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "ReplicationController",
    "PodTemplate",
]


def test_a_pod_is_denied_with_the_fix_and_nothing_else(kubectl: Kubectl) -> None:
    result = kubectl.apply(pod(BAD))
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == f'Error from server (Forbidden): error when creating "STDIN": {DENIED}\n'
    assert kubectl("get", "pods", "-o", "name").stdout == ""


def test_a_good_pod_is_created_in_silence(kubectl: Kubectl) -> None:
    result = kubectl.apply(pod(GOOD))
    assert (result.returncode, result.stdout, result.stderr) == (0, "pod/shop created\n", "")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_with_a_template_is_denied(kubectl: Kubectl, kind: str) -> None:
    result = kubectl.apply(workload(kind, BAD))
    assert result.stderr == f'Error from server (Forbidden): error when creating "STDIN": {DENIED}\n'


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_with_a_good_image_is_created_in_silence(kubectl: Kubectl, kind: str) -> None:
    result = kubectl.apply(workload(kind, GOOD))
    assert (result.returncode, result.stderr) == (0, "")


def test_a_blank_image_in_a_template_is_left_alone(kubectl: Kubectl) -> None:
    assert kubectl.apply(workload("Deployment", " ")).stderr == ""


def test_all_findings_are_told_each_with_its_fix(kubectl: Kubectl) -> None:
    found = pod(BAD)
    found["spec"]["initContainers"] = [
        {"name": "proxy", "image": "https://quay.io/proxy:1", "restartPolicy": "Always"},
        {"name": "migrate", "image": "quay.io/Migrate:1"},
    ]
    result = kubectl.apply(found)
    assert result.stderr.splitlines() == [
        'Error from server (Forbidden): error when creating "STDIN": admission webhook "validate.pullproof.dev" denied'
        " the request: 3 findings",
        "- proxy: `https://` is no part of a reference (character 1); use `quay.io/proxy:1` "
        "(PULL102 scheme-in-reference, certain)",
        "- migrate: upper case in the path (character 9); use `quay.io/migrate:1` "
        "(PULL104 upper-case-in-reference, certain)",
        "- app: nothing stands between two `/` (character 20); use `contoso.azurecr.io/shop:1` "
        "(PULL101 invalid-reference, certain)",
    ]


def test_an_image_volume_is_judged(kubectl: Kubectl) -> None:
    volume = {"name": "model", "image": {"reference": "quay.io/Models:1", "pullPolicy": "IfNotPresent"}}
    result = kubectl.apply(pod(GOOD, volumes=[volume]))
    assert "denied the request: model: upper case in the path (character 9); use `quay.io/models:1`" in result.stderr


def test_an_ephemeral_container_is_judged(kubectl: Kubectl) -> None:
    # `kubectl debug` checks the grammar itself, so it takes a reference that only a registry could refuse
    kubectl.apply(pod(GOOD))
    bad = kubectl("debug", "shop", "--image=contoso.azureacr.io/debug:1", "--container=look", "--profile=general")
    assert bad.returncode == 1
    assert "denied the request: look: " in bad.stderr
    assert "use `contoso.azurecr.io/debug:1` (PULL201 registry-host-typo, certain)" in bad.stderr
    good = kubectl("debug", "shop", "--image=quay.io/debug:1", "--container=look", "--profile=general")
    assert good.returncode == 0, good.stderr


def test_dry_run_is_denied_as_the_real_one(kubectl: Kubectl) -> None:
    assert DENIED in kubectl.apply(pod(BAD), "--dry-run=server").stderr


class TestModes:
    def test_enforce_off_warns_and_admits(self, kubectl: Kubectl) -> None:
        kubectl.label("pullproof.dev/enforce=off")
        result = eventually_without_denial(kubectl, pod(BAD))
        assert result.stdout == "pod/shop created\n"
        assert result.stderr == WARNED

    def test_warn_advisory_tells_of_what_will_bite(self, kubectl: Kubectl) -> None:
        kubectl.label("pullproof.dev/warn=advisory")
        latest = "Warning: pullproof PULL107 app: no tag, so `latest` is pulled; write a version or a digest\n"

        def told() -> bool:
            return kubectl.apply(pod("quay.io/contoso/shop"), "--dry-run=server").stderr == latest

        eventually(told)

    def test_enforce_advisory_denies_it(self, kubectl: Kubectl) -> None:
        kubectl.label("pullproof.dev/enforce=advisory")

        def denied() -> bool:
            tried = kubectl.apply(pod("quay.io/contoso/shop"), "--dry-run=server")
            return "no tag, so `latest` is pulled; write a version or a digest (PULL107 implicit-latest" in tried.stderr

        eventually(denied)

    def test_audit_is_in_the_audit_log_and_only_there(self, kubectl: Kubectl) -> None:
        assert kubectl.apply(pod("quay.io/contoso/shop", name="audited")).stderr == ""

        def annotations() -> dict[str, str]:
            return next(
                (
                    event["annotations"]
                    for event in kubectl.plane.audit_events()
                    if event["verb"] in {"create", "patch"}
                    and event["objectRef"].get("namespace") == kubectl.namespace
                    and event["objectRef"].get("resource") == "pods"
                    and "validate.pullproof.dev/findings" in event.get("annotations", {})
                ),
                {},
            )

        eventually(lambda: bool(annotations()))
        found = annotations()
        assert found["validate.pullproof.dev/decision"] == "allow"
        assert found["validate.pullproof.dev/findings"] == "PULL107 advisory spec.containers[0].image"

    def test_an_invalid_label_warns_on_the_namespace_and_on_workloads_and_never_weakens(self, kubectl: Kubectl) -> None:
        told = (
            "Warning: pullproof PULL801: label pullproof.dev/enforce=sure means nothing, certain holds; "
            "use off|certain|likely|advisory\n"
        )
        assert kubectl.label("pullproof.dev/enforce=sure").stderr == told
        eventually(lambda: kubectl.apply(pod(GOOD), "--dry-run=server").stderr == told)
        denied = kubectl.apply(pod(BAD))
        assert denied.stderr.startswith(told)
        assert DENIED in denied.stderr


class TestUpdates:
    """An update is denied only for what the object did not have before."""

    @pytest.fixture
    def broken(self, kubectl: Kubectl) -> Kubectl:
        kubectl.label("pullproof.dev/enforce=off")
        eventually_without_denial(kubectl, workload("Deployment", BAD))
        kubectl.label("pullproof.dev/enforce=certain")
        eventually(lambda: DENIED in kubectl.apply(pod(BAD), "--dry-run=server").stderr)
        return kubectl

    def test_no_change(self, broken: Kubectl) -> None:
        assert broken.apply(workload("Deployment", BAD)).stdout == "deployment.apps/shop unchanged\n"

    def test_scale(self, broken: Kubectl) -> None:
        result = broken("scale", "deployment/shop", "--replicas=3")
        assert (result.stdout, result.stderr) == ("deployment.apps/shop scaled\n", "")

    def test_label_and_finalizer(self, broken: Kubectl) -> None:
        assert broken("label", "deployment/shop", "team=a").returncode == 0
        for finalizers in ('["example.com/hold"]', "[]"):
            patch = f'{{"metadata":{{"finalizers":{finalizers}}}}}'
            assert broken("patch", "deployment/shop", "--type=merge", "-p", patch).returncode == 0

    def test_another_field_warns_and_passes(self, broken: Kubectl) -> None:
        result = broken("set", "env", "deployment/shop", "A=1")
        assert (result.returncode, result.stderr) == (0, WARNED)

    def test_another_bad_image_is_denied(self, broken: Kubectl) -> None:
        result = broken("set", "image", "deployment/shop", f"app={OTHER_BAD}")
        assert result.returncode == 1
        assert "use `contoso.azurecr.io/shop:2` (PULL101 invalid-reference, certain)" in result.stderr

    def test_deletion_is_never_denied(self, broken: Kubectl) -> None:
        assert broken("delete", "deployment/shop", "--wait=false").returncode == 0

    @pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
    def test_rollout_undo_warns_and_passes(self, kubectl: Kubectl, kind: str) -> None:
        kubectl.label("pullproof.dev/enforce=off")
        eventually_without_denial(kubectl, workload(kind, BAD))
        rolled = f"{kind.lower()}/shop"
        revisions = "replicasets" if kind == "Deployment" else "controllerrevisions"
        eventually(lambda: kubectl("get", revisions, "-o", "name").stdout.count("\n") == 1)
        kubectl("set", "image", rolled, f"app={GOOD}", check=True)
        eventually(lambda: kubectl("get", revisions, "-o", "name").stdout.count("\n") == 2)
        kubectl.label("pullproof.dev/enforce=certain")
        eventually(lambda: DENIED in kubectl.apply(pod(BAD), "--dry-run=server").stderr)
        never_run = kubectl("set", "image", rolled, f"app={OTHER_BAD}")
        assert never_run.returncode == 1
        undone = kubectl("rollout", "undo", rolled)
        assert undone.returncode == 0
        assert undone.stderr.endswith(WARNED)  # behind a line of kubectl's own about its annotation


class TestControllers:
    """What built-in controllers make: templates pass in silence, pods are judged, and an outage is never made."""

    def test_a_replicaset_of_the_deployment_controller_passes_and_its_pods_are_denied(self, kubectl: Kubectl) -> None:
        kubectl.label("pullproof.dev/enforce=off")
        eventually_without_denial(kubectl, {**workload("Deployment", BAD)})
        kubectl.label("pullproof.dev/enforce=certain")
        eventually(lambda: DENIED in kubectl.apply(pod(BAD, name="probe"), "--dry-run=server").stderr)
        before = kubectl("get", "pods", "-o", "name").stdout
        kubectl("rollout", "restart", "deployment/shop", check=True)

        def told() -> bool:
            return DENIED in kubectl(
                "get", "events", "--field-selector=reason=FailedCreate", "-o", "json"
            ).stdout.replace('\\"', '"')

        eventually(told)
        assert kubectl("get", "replicasets", "-o", "name").stdout.count("\n") == 2
        assert kubectl("get", "pods", "-o", "name").stdout == before

    def test_a_pod_made_again_for_an_owner_that_runs_is_warned_not_denied(self, kubectl: Kubectl) -> None:
        kubectl.label("pullproof.dev/enforce=off")
        replicas = workload("ReplicaSet", BAD)
        replicas["spec"]["replicas"] = 2
        eventually_without_denial(kubectl, replicas)
        eventually(lambda: kubectl("get", "pods", "-o", "name").stdout.count("\n") == 2)
        first, second = kubectl("get", "pods", "-o", "name").stdout.split()
        ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
        for name in (first, second):
            kubectl("patch", name, "--subresource=status", "--type=merge", "-p", json.dumps(ready), check=True)
        eventually(lambda: kubectl("get", "rs/shop", "-o", "jsonpath={.status.readyReplicas}").stdout == "2")
        kubectl.label("pullproof.dev/enforce=certain")
        eventually(lambda: DENIED in kubectl.apply(pod(BAD, name="probe"), "--dry-run=server").stderr)
        kubectl("delete", first, "--grace-period=0", "--force", check=True)

        def made_again() -> bool:
            names = kubectl("get", "pods", "-o", "name").stdout.split()
            return len(names) == 2 and first not in names

        eventually(made_again)
        annotations = [
            event.get("annotations", {}).get("validate.pullproof.dev/not-denied")
            for event in kubectl.plane.audit_events()
        ]
        assert (
            "its owner has ready replicas: a pod made again must not turn a cached image into an outage" in annotations
        )


class TestOutages:
    def test_a_webhook_that_has_not_synced_is_not_ready_and_blocks_nobody(
        self, control_plane: ControlPlane, namespace: str
    ) -> None:
        powerless = control_plane.kubeconfig_for("powerless")
        served = ServedWebhook(control_plane, kubeconfig=powerless)
        try:
            served.start(wait=False)
            eventually(lambda: served.get("/readyz")[0] == 503)
            status, text = served.get("/readyz")
            assert status == 503
            assert text.startswith("not synced yet: ")
            assert served.get("/livez") == (200, "ok\n")
        finally:
            served.stop()

    def test_a_webhook_that_is_down_blocks_nobody(self, control_plane: ControlPlane, kubectl: Kubectl) -> None:
        configuration = control_plane.kubectl("get", "validatingwebhookconfiguration", "pullproof", "-o", "json")
        gone = json.loads(configuration.stdout)
        gone["webhooks"][0]["clientConfig"]["url"] = "https://127.0.0.1:1/validate"
        control_plane.kubectl("replace", "-f", "-", input=json.dumps(gone))
        try:
            eventually(lambda: kubectl.apply(pod(BAD), "--dry-run=server").returncode == 0)
        finally:
            back = json.loads(configuration.stdout)
            del back["metadata"]["resourceVersion"]
            control_plane.kubectl("replace", "-f", "-", input=json.dumps(back))
            eventually(lambda: DENIED in kubectl.apply(pod(BAD), "--dry-run=server").stderr)


def eventually_without_denial(kubectl: Kubectl, manifest: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Apply as soon as the label has reached the webhook's cache: what was denied before, was not created."""
    results: list[subprocess.CompletedProcess[str]] = []

    def applied() -> bool:
        results.append(kubectl.apply(manifest))
        return results[-1].returncode == 0

    eventually(applied)
    return results[-1]
