"""Pull secrets through the real API server: each check fires, and the command it names mends what it found.

The command is taken from the denial and run by a shell as it stands, with the control plane's kubectl. Namespaces here
enforce `likely`, so that a pod is denied for what by default only warns; templates are never denied for a Secret.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import ServedWebhook
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.controlplane.controlplane import ControlPlane

PLANTED = "planted-7f3a9c"
"""Part of every credential here; nothing that leaves the webhook may hold it."""

IBM_IMAGE = "us.icr.io/team/app:1"
LOGIN = {"username": "iamapikey", "password": f"{PLANTED}-ibm"}
# what a person has at hand for the variables that the commands name
HANDS = {
    "IBM_API_KEY": f"{PLANTED}-new",
    "ACR_USER": "pullproof",
    "ACR_PASSWORD": f"{PLANTED}-new",
    "GITHUB_USER": "me",
    "GITHUB_TOKEN": f"{PLANTED}-new",
    "DOCKER_USER": "me",
    "DOCKER_TOKEN": f"{PLANTED}-new",
}


@pytest.fixture(scope="module")
def webhook(control_plane: ControlPlane) -> Iterator[ServedWebhook]:
    with ServedWebhook(control_plane) as served:
        served.register()
        yield served
        served.unregister()


class Kubectl:
    """kubectl in one namespace, as a developer has it, and a shell that has the same kubectl."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace
        self.said: list[str] = []

    def __call__(
        self, *args: str, manifest: dict[str, Any] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        given = None if manifest is None else json.dumps(manifest)
        result = self.plane.kubectl("-n", self.namespace, *args, input=given, check=check)
        self.said.append(result.stderr)
        return result

    def create(self, pod: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        return self("create", "-f", "-", manifest=pod, check=False)

    def denied(self, pod: dict[str, Any], code: str) -> str:
        """What the API server answers, once the webhook's caches hold what the test has made."""

        def told() -> str:
            stderr = self("create", "--dry-run=server", "-f", "-", manifest=pod, check=False).stderr
            return stderr if f"({code} " in stderr else ""

        return eventually(told)

    def shell(self, command: str) -> None:
        environment = self.plane.environment() | HANDS
        environment["PATH"] = f"{self.plane.kubectl_program.parent}:{environment['PATH']}"
        done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr}"

    def secret(self, name: str, auths: dict[str, Any], **more: Any) -> None:
        self("create", "-f", "-", manifest=pull_secret(name, auths, **more))

    def account(self, *names: str) -> None:
        patch = {"imagePullSecrets": [{"name": name} for name in names]}
        self("patch", "serviceaccount", "default", "-p", json.dumps(patch))


@pytest.fixture
def kubectl(control_plane: ControlPlane, webhook: ServedWebhook, namespace: str) -> Kubectl:
    found = Kubectl(control_plane, namespace)
    found("label", "namespace", namespace, "pullproof.dev/enforce=likely", "pullproof.dev/warn=likely")
    return found


def pull_secret(
    name: str, auths: dict[str, Any], *, kind: str = "kubernetes.io/dockerconfigjson", **config: Any
) -> dict[str, Any]:
    content = json.dumps({"auths": auths, **config})
    metadata = {"name": name}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": kind,
        "stringData": {".dockerconfigjson": content},
    }


def pod_spec(image: str, *secrets: str) -> dict[str, Any]:
    listed = {"imagePullSecrets": [{"name": name} for name in secrets]} if secrets else {}
    return {"containers": [{"name": "app", "image": image}], **listed}


def pod(image: str, *secrets: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shop"}, "spec": pod_spec(image, *secrets)}


def deployment(image: str, *secrets: str) -> dict[str, Any]:
    labels = {"app": "shop"}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(image, *secrets)}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"}, "spec": spec}


def command_in(message: str) -> str:
    found = re.search(r"; run `([^`]+)`", message)
    assert found is not None, message
    return found[1]


def mended_by_command(kubectl: Kubectl, wanted: dict[str, Any], code: str) -> str:
    """The denial, after its own command has been run and the pod was then created in silence."""
    message = kubectl.denied(wanted, code)
    kubectl.shell(command_in(message))
    results: list[subprocess.CompletedProcess[str]] = []

    def created() -> bool:
        results.append(kubectl.create(wanted))
        return results[-1].returncode == 0

    eventually(created)
    assert results[-1].stderr == ""
    return message


def jwt(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none"}, claims, {"planted": PLANTED})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)


class TestEachCheckFiresAndItsCommandMends:
    def test_missing_and_copied_from_where_it_is(self, kubectl: Kubectl) -> None:
        source = Kubectl(kubectl.plane, f"{kubectl.namespace}-source")
        kubectl("create", "namespace", source.namespace)
        name = f"all-icr-io-{kubectl.namespace}"
        source.secret(name, {"us.icr.io": LOGIN})
        try:
            eventually(lambda: f"{source.namespace} has one" in kubectl.denied(pod(IBM_IMAGE, name), "PULL301"))
            message = mended_by_command(kubectl, pod(IBM_IMAGE, name), "PULL301")
        finally:
            kubectl("delete", "namespace", source.namespace, "--wait=false")
        assert (
            f"pull secret {name} does not exist in {kubectl.namespace}, {source.namespace} has one; run `kubectl get"
            in message
        )

    def test_missing_and_made(self, kubectl: Kubectl) -> None:
        message = mended_by_command(kubectl, pod("ghcr.io/contoso/shop:1", "regcred"), "PULL301")
        assert f"pull secret regcred does not exist in {kubectl.namespace}; run `kubectl create secret" in message

    def test_wrong_type(self, kubectl: Kubectl) -> None:
        kubectl.secret("regcred", {"us.icr.io": LOGIN}, kind="Opaque")
        message = mended_by_command(kubectl, pod(IBM_IMAGE, "regcred"), "PULL302")
        assert "pull secret regcred is of type Opaque, so the kubelet passes over it; run `config=$(" in message
        kind = kubectl("get", "secret", "regcred", "-o", "jsonpath={.type}").stdout
        assert kind == "kubernetes.io/dockerconfigjson"

    def test_undecodable(self, kubectl: Kubectl) -> None:
        kubectl.secret("regcred", {"us.icr.io": {"auth": f"iamapikey:{PLANTED}"}})
        message = mended_by_command(kubectl, pod(IBM_IMAGE, "regcred"), "PULL303")
        assert (
            "denied the request: pull secret regcred breaks every pull of the pod: illegal base64 data at input byte 9;"
            in message
        )
        assert "(PULL303 pull-secret-undecodable, certain)" in message

    def test_no_credential_and_none_anywhere(self, kubectl: Kubectl) -> None:
        image = "cp.icr.io/cp/app:1"
        kubectl.account("other")
        kubectl.secret("other", {"quay.io": {"username": "team+bot", "password": PLANTED}})
        message = kubectl.denied(pod(image), "PULL304")
        assert "app: no credential for cp.icr.io: pull secret other has none; run `kubectl create secret" in message
        # what was in the ServiceAccount's list stays there
        assert '{"imagePullSecrets":[{"name":"other"},{"name":"cp-icr-io"}]}' in message

    def test_no_credential_though_the_namespace_has_one(self, kubectl: Kubectl) -> None:
        kubectl.secret("regcred", {"us.icr.io": LOGIN})
        eventually(lambda: "is for us.icr.io" in kubectl.denied(pod(IBM_IMAGE), "PULL304"))
        message = mended_by_command(kubectl, pod(IBM_IMAGE), "PULL304")
        assert "app: pull secret regcred is for us.icr.io, but is not among the pod's; run `kubectl patch" in message

    def test_another_region(self, kubectl: Kubectl) -> None:
        # a region of its own: where another namespace has a secret for it, that one is offered
        kubectl.secret("regcred", {"au.icr.io": LOGIN})
        kubectl.account("regcred")
        message = kubectl.denied(pod("jp.icr.io/team/app:1"), "PULL305")
        assert "app: pull secret regcred is for au.icr.io, not for jp.icr.io; run `kubectl create secret" in message
        assert "jp-icr-io" in message

    def test_a_slip_in_the_key(self, kubectl: Kubectl) -> None:
        kubectl.secret("regcred", {"contoso.azureacr.io": {"username": "contoso", "password": PLANTED}})
        message = mended_by_command(kubectl, pod("contoso.azurecr.io/shop:1", "regcred"), "PULL305")
        assert "pull secret regcred is for contoso.azureacr.io, not for contoso.azurecr.io; run `kubectl" in message

    def test_hidden_by_the_pods_own_list(self, kubectl: Kubectl) -> None:
        kubectl.secret("regcred", {"us.icr.io": LOGIN})
        kubectl.secret("quay", {"quay.io": {"username": "team+bot", "password": PLANTED}})
        kubectl.account("regcred")
        message = kubectl.denied(pod(IBM_IMAGE, "quay"), "PULL306")
        assert "imagePullSecrets hides regcred of ServiceAccount default, which is for us.icr.io; " in message
        assert "; add `- name: regcred` to imagePullSecrets (PULL306" in message
        assert kubectl.create(pod(IBM_IMAGE, "quay", "regcred")).stderr == ""

    def test_only_an_identity_token(self, kubectl: Kubectl) -> None:
        auth = base64.b64encode(b"00000000-0000-0000-0000-000000000000:").decode()
        kubectl.secret("regcred", {"contoso.azurecr.io": {"auth": auth, "identitytoken": PLANTED}})
        message = mended_by_command(kubectl, pod("contoso.azurecr.io/shop:1", "regcred"), "PULL307")
        assert "has only the field identitytoken for contoso.azurecr.io, which the kubelet does not read;" in message

    def test_expired(self, kubectl: Kubectl) -> None:
        kubectl.secret("regcred", {"ghcr.io": {"username": "me", "password": jwt({"exp": 1_700_000_000})}})
        message = mended_by_command(kubectl, pod("ghcr.io/contoso/shop:1", "regcred"), "PULL308")
        assert "the credential for ghcr.io in pull secret regcred expired on 2023-11-14 at 22:13 UTC; run" in message

    def test_a_user_name_that_cannot_work(self, kubectl: Kubectl) -> None:
        kubectl.secret("regcred", {"us.icr.io": {"username": "me@example.com", "password": PLANTED}})
        message = mended_by_command(kubectl, pod(IBM_IMAGE, "regcred"), "PULL309")
        assert "has a user name that is an e-mail address, us.icr.io takes iamapikey; run `kubectl" in message

    def test_an_empty_password(self, kubectl: Kubectl) -> None:
        kubectl.secret("regcred", {"us.icr.io": {}})
        message = mended_by_command(kubectl, pod(IBM_IMAGE, "regcred"), "PULL310")
        assert "pull secret regcred has no password for us.icr.io; run `kubectl create secret" in message

    def test_a_bad_credential_for_a_public_image(self, kubectl: Kubectl) -> None:
        hub = {"https://index.docker.io/v1/": {"username": "me", "password": jwt({"exp": 1_700_000_000})}}
        kubectl.secret("regcred", hub)
        message = mended_by_command(kubectl, pod("nginx:1.27", "regcred"), "PULL311")
        assert "public image, but pull secret regcred matches it and has a credential that expired on 2023" in message

    def test_a_line_end_in_the_password(self, kubectl: Kubectl) -> None:
        kubectl.secret("regcred", {"us.icr.io": {"username": "iamapikey", "password": f"{PLANTED}\n"}})
        message = mended_by_command(kubectl, pod(IBM_IMAGE, "regcred"), "PULL312")
        assert "has white space around its user name or password for us.icr.io; run `kubectl create" in message


class TestTemplates:
    """A Secret can be made after the workload, so a template is never denied for one."""

    def test_a_secret_behind_its_deployment_in_one_apply(self, kubectl: Kubectl) -> None:
        items = [deployment(IBM_IMAGE, "regcred"), pull_secret("regcred", {"us.icr.io": LOGIN})]
        applied = kubectl("apply", "-f", "-", manifest={"apiVersion": "v1", "kind": "List", "items": items})
        assert applied.stdout == "deployment.apps/shop created\nsecret/regcred created\n"

    def test_a_deployment_is_warned_and_its_pods_are_denied_with_the_command_that_tries_again(
        self, kubectl: Kubectl
    ) -> None:
        kubectl.secret("regcred", {"us.icr.io": {"auth": PLANTED}})
        applied = kubectl("apply", "-f", "-", manifest=deployment(IBM_IMAGE, "regcred"))
        assert applied.stdout == "deployment.apps/shop created\n"
        assert applied.stderr.startswith(
            "Warning: pullproof PULL303: pull secret regcred breaks every pull of the pod: illegal base64"
        )
        retry = f"kubectl rollout restart deployment/shop -n {kubectl.namespace}"

        def message() -> str:
            events = json.loads(kubectl("get", "events", "-o", "json").stdout)["items"]
            return next((event["message"] for event in events if event["reason"] == "FailedCreate"), "")

        told = eventually(message)
        assert told.endswith(f"(PULL303 pull-secret-undecodable, certain); then run `{retry}`")
        kubectl.shell(command_in(told))
        again = ("create", "--dry-run=server", "-f", "-")
        eventually(lambda: kubectl(*again, manifest=pod(IBM_IMAGE, "regcred"), check=False).returncode == 0)
        kubectl.shell(retry)
        eventually(lambda: kubectl("get", "pods", "-o", "name").stdout != "")


class TestNoNoise:
    def test_a_missing_secret_beside_one_that_covers_the_image(self, kubectl: Kubectl) -> None:
        kubectl.secret("regcred", {"us.icr.io": LOGIN})
        assert kubectl.create(pod(IBM_IMAGE, "gone", "regcred")).stderr == ""

    def test_public_images_need_none(self, kubectl: Kubectl) -> None:
        assert kubectl.create(pod("nginx:1.27", "gone")).stderr == ""


def test_no_credential_leaves_the_webhook(kubectl: Kubectl, webhook: ServedWebhook) -> None:
    secrets = {
        "good": {"us.icr.io": LOGIN},
        "broken": {"us.icr.io": {"auth": f"iamapikey:{PLANTED}"}},
        "ignored": {"us.icr.io": {"identitytoken": PLANTED, "registrytoken": PLANTED}},
        "in-key": {f"https://iamapikey:{PLANTED}@us.icr.io": {}},
        "user": {"us.icr.io": {"username": PLANTED, "password": PLANTED}},
        "expired": {"us.icr.io": {"username": "iamapikey", "password": jwt({"exp": 1, "sub": PLANTED})}},
    }
    for name, auths in secrets.items():
        kubectl.secret(name, auths)
    codes = {
        "broken": "PULL303",
        "ignored": "PULL307",
        "in-key": "PULL310",
        "user": "PULL309",
        "expired": "PULL308",
    }
    for name, code in codes.items():
        kubectl.denied(pod(IBM_IMAGE, name), code)
    eventually(lambda: kubectl.create(pod(IBM_IMAGE, "good")).returncode == 0)
    annotations = [event.get("annotations", {}) for event in kubectl.plane.audit_events()]
    ours = [{key: text for key, text in found.items() if "pullproof" in key} for found in annotations]
    told = "\n".join([webhook.log, webhook.get("/metrics")[1], *kubectl.said, json.dumps(ours)])
    assert "PULL303" in told
    for shift in range(3):  # base64 of it, wherever it begins in the text
        encoded = base64.b64encode(b" " * shift + PLANTED.encode()).decode()
        assert encoded[4:16] not in told
    assert PLANTED not in told
