"""The operating system through the real API server: what is injected, what is warned about, and who wins.

No Node is made here, as other tests share the control plane; where pods really land is in test_scheduler.py.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import jsonpatch
import pytest

from tests.serving import ServedWebhook
from tests.waiting import eventually
from webhook.tls.issue import issue_serving, new_authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.controlplane.controlplane import ControlPlane

WINDOWS_IMAGE = "mcr.microsoft.com/windows/nanoserver:ltsc2022"
LINUX_IMAGE = "quay.io/contoso/proxy:1-alpine"
SILENT_IMAGE = "contoso.azurecr.io/shop:1"
NOT_SELECTED = (
    "Warning: pullproof PULL402 app: a Windows image may land on Linux; "
    "add `nodeSelector: {kubernetes.io/os: windows}`\n"
)


@pytest.fixture(scope="module")
def webhook(control_plane: ControlPlane) -> Iterator[ServedWebhook]:
    with ServedWebhook(control_plane) as served:
        served.register()
        yield served
        served.unregister()


class Kubectl:
    """kubectl in one namespace; `asked` says whether pullproof is asked to inject there."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace

    def __call__(self, *args: str, manifest: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
        given = None if manifest is None else json.dumps(manifest)
        return self.plane.kubectl("-n", self.namespace, *args, input=given, check=False)

    def created(self, manifest: dict[str, Any], *args: str) -> dict[str, Any]:
        """The object as the API server made it."""
        result = self("create", *args, "-o", "json", "-f", "-", manifest=manifest)
        assert result.returncode == 0, result.stderr
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def annotations(self, name: str) -> list[dict[str, str]]:
        """The audit annotations of requests that made a pod of that name here."""
        return [
            event.get("annotations", {})
            for event in self.plane.audit_events()
            if event["verb"] == "create"
            and event["objectRef"].get("namespace") == self.namespace
            and event["objectRef"].get("name") == name
        ]


@pytest.fixture
def plain(control_plane: ControlPlane, webhook: ServedWebhook, namespace: str) -> Kubectl:
    return Kubectl(control_plane, namespace)


@pytest.fixture
def asked(plain: Kubectl) -> Kubectl:
    plain("label", "namespace", plain.namespace, "pullproof.dev/inject-os=enabled")
    eventually(lambda: selector(plain.created(pod(WINDOWS_IMAGE, name="probe"), "--dry-run=server")) is not None)
    return plain


def pod(image: str, name: str = "shop", **spec: Any) -> dict[str, Any]:
    containers = [{"name": "app", "image": image}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": containers, **spec},
    }


def selector(found: dict[str, Any]) -> dict[str, str] | None:
    chosen: dict[str, str] | None = found["spec"].get("nodeSelector")
    return chosen


class TestInjection:
    @pytest.mark.parametrize(
        ("image", "spec", "expected"),
        [
            pytest.param(WINDOWS_IMAGE, {}, {"kubernetes.io/os": "windows"}, id="windows"),
            pytest.param(LINUX_IMAGE, {}, {"kubernetes.io/os": "linux"}, id="linux"),
            pytest.param(
                LINUX_IMAGE,
                {"nodeSelector": {"a/b": "c"}},
                {"a/b": "c", "kubernetes.io/os": "linux"},
                id="beside another selector",
            ),
            pytest.param(SILENT_IMAGE, {"os": {"name": "windows"}}, {"kubernetes.io/os": "windows"}, id="os.name"),
            pytest.param(SILENT_IMAGE, {}, None, id="nothing tells it"),
            pytest.param(
                WINDOWS_IMAGE,
                {"nodeSelector": {"kubernetes.io/os": "linux"}},
                {"kubernetes.io/os": "linux"},
                id="never",
            ),
            pytest.param(WINDOWS_IMAGE, {"nodeName": "some-node"}, None, id="a node by name"),
            pytest.param(WINDOWS_IMAGE, {"os": {"name": "linux"}}, None, id="contradicted"),
        ],
    )
    def test_pods(self, asked: Kubectl, image: str, spec: dict[str, Any], expected: dict[str, str] | None) -> None:
        assert selector(asked.created(pod(image, **spec))) == expected

    def test_only_where_the_namespace_asks(self, plain: Kubectl) -> None:
        result = plain("create", "-f", "-", manifest=pod(WINDOWS_IMAGE))
        assert (result.stdout, result.stderr) == ("pod/shop created\n", NOT_SELECTED)
        assert selector(json.loads(plain("get", "pod", "shop", "-o", "json").stdout)) is None

    def test_an_injected_pod_is_not_warned_about(self, asked: Kubectl) -> None:
        # the validating side judges the final object
        assert asked("create", "-f", "-", manifest=pod(WINDOWS_IMAGE)).stderr == ""

    def test_a_dry_run_shows_it_and_changes_nothing(self, asked: Kubectl) -> None:
        shown = asked.created(pod(WINDOWS_IMAGE), "--dry-run=server")
        assert selector(shown) == {"kubernetes.io/os": "windows"}
        assert asked("get", "pods", "-o", "name").stdout == ""

    def test_a_pod_of_a_daemon_set_is_left_to_its_node(self, asked: Kubectl) -> None:
        owned = pod(WINDOWS_IMAGE)
        owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "u-1", "controller": True}
        owned["metadata"]["ownerReferences"] = [owner]
        assert selector(asked.created(owned)) is None

    def test_a_template_stays_as_it_was_and_its_pods_are_injected(self, asked: Kubectl) -> None:
        labels = {"app": "shop"}
        template = {"metadata": {"labels": labels}, "spec": pod(WINDOWS_IMAGE)["spec"]}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "shop"},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        }
        assert selector(asked.created(deployment)["spec"]["template"]) is None

        def made() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = json.loads(asked("get", "pods", "-l", "app=shop", "-o", "json").stdout)[
                "items"
            ]
            return found

        eventually(made)
        assert selector(made()[0]) == {"kubernetes.io/os": "windows"}

    def test_it_is_in_the_audit_log(self, asked: Kubectl) -> None:
        asked.created(pod(WINDOWS_IMAGE, name="audited"))
        eventually(lambda: asked.annotations("audited"))
        (found,) = asked.annotations("audited")
        assert found["mutate.pullproof.dev/inject-os"].startswith("kubernetes.io/os=windows: ")

    def test_why_not_is_there_as_well(self, asked: Kubectl) -> None:
        asked.created(pod(SILENT_IMAGE, name="silent"))
        eventually(lambda: asked.annotations("silent"))
        (found,) = asked.annotations("silent")
        assert found["mutate.pullproof.dev/inject-os"] == "left alone: nothing tells its operating system for sure"

    def test_a_webhook_that_is_down_blocks_nobody(self, webhook: ServedWebhook, asked: Kubectl) -> None:
        gone = mutating(webhook)
        gone["webhooks"][0]["clientConfig"]["url"] = "https://127.0.0.1:1/mutate"
        asked("apply", "-f", "-", manifest=gone)
        try:
            eventually(lambda: selector(asked.created(pod(WINDOWS_IMAGE), "--dry-run=server")) is None)
        finally:
            asked("apply", "-f", "-", manifest=mutating(webhook))
            eventually(lambda: selector(asked.created(pod(WINDOWS_IMAGE), "--dry-run=server")) is not None)


def mutating(webhook: ServedWebhook) -> dict[str, Any]:
    (found,) = (one for one in webhook.configurations() if one["kind"] == "MutatingWebhookConfiguration")
    return found


class TestWarnings:
    def test_a_windows_image_that_selects_linux(self, plain: Kubectl) -> None:
        result = plain("create", "-f", "-", manifest=pod(WINDOWS_IMAGE, nodeSelector={"kubernetes.io/os": "linux"}))
        assert result.stderr == (
            "Warning: pullproof PULL401 app: a Windows image, but the pod selects linux; "
            "write `kubernetes.io/os: windows`\n"
        )

    def test_what_every_kubelet_refuses_is_denied(self, plain: Kubectl) -> None:
        contradicting = pod(SILENT_IMAGE, nodeSelector={"kubernetes.io/os": "linux"}, os={"name": "windows"})
        result = plain("create", "-f", "-", manifest=contradicting)
        assert result.stderr == (
            'Error from server (Forbidden): error when creating "STDIN": admission webhook "validate.pullproof.dev" '
            "denied the request: spec.os.name windows, but the pod selects linux; "
            "write `kubernetes.io/os: windows` (PULL404 os-name-not-selected, certain)\n"
        )

    def test_a_linux_sidecar_beside_a_windows_image(self, plain: Kubectl) -> None:
        mixed = pod(WINDOWS_IMAGE)
        mixed["spec"]["containers"].append({"name": "proxy", "image": LINUX_IMAGE})
        assert plain("create", "-f", "-", manifest=mixed).stderr == (
            "Warning: pullproof PULL406 proxy: a Linux image, and app has a Windows image; give it a pod of its own\n"
        )

    def test_a_runtime_class_selects(self, control_plane: ControlPlane, plain: Kubectl) -> None:
        name = f"windows-{plain.namespace}"
        runtime_class = {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": name},
            "handler": "runhcs-wcow-process",
            "scheduling": {"nodeSelector": {"kubernetes.io/os": "windows"}},
        }
        control_plane.kubectl("create", "-f", "-", input=json.dumps(runtime_class))
        try:
            # in a pod it is merged before webhooks see it; of a Job it is read live
            job = {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": "shop"},
                "spec": {
                    "template": {"spec": pod(WINDOWS_IMAGE, runtimeClassName=name, restartPolicy="Never")["spec"]}
                },
            }
            assert plain("create", "-f", "-", manifest=job).stderr == ""
            assert plain("create", "-f", "-", manifest=pod(WINDOWS_IMAGE, runtimeClassName=name)).stderr == ""
        finally:
            control_plane.kubectl("delete", "runtimeclass", name)


class SidecarWebhook:
    """A real second mutating webhook: it puts a container of `image` in front of the others, once."""

    def __init__(self, folder: Path, image: str) -> None:
        now = dt.datetime.now(dt.UTC)
        authority = new_authority(now)
        pair = issue_serving(authority, ["localhost"], ["127.0.0.1"], now)
        (folder / "sidecar.pem").write_bytes(pair.cert_pem + pair.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "sidecar.pem")
        self._authority = authority.cert_pem
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(image))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @staticmethod
    def _handler(image: str) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
                response: dict[str, Any] = {"uid": request["uid"], "allowed": True}
                if all(one["name"] != "sidecar" for one in request["object"]["spec"]["containers"]):
                    container = {"name": "sidecar", "image": image}
                    patch = [{"op": "add", "path": "/spec/containers/0", "value": container}]
                    response["patchType"] = "JSONPatch"
                    response["patch"] = base64.b64encode(json.dumps(patch).encode()).decode()
                body = json.dumps(
                    {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
                )
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def configuration(self, namespace: str) -> dict[str, Any]:
        """Its name sorts behind pullproof's, so that pullproof has answered when it adds its container."""
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": f"sidecar-{namespace}"},
            "webhooks": [
                {
                    "name": "sidecar.example.com",
                    "clientConfig": {
                        "url": f"https://127.0.0.1:{self._server.server_port}/",
                        "caBundle": base64.b64encode(self._authority).decode(),
                    },
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "failurePolicy": "Fail",
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                    "rules": [
                        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
                    ],
                }
            ],
        }


class TestReinvocation:
    """Another webhook inserts a container at index 0 after pullproof has answered; pullproof is asked again."""

    @pytest.fixture
    def sidecar(self, request: pytest.FixtureRequest, asked: Kubectl, tmp_path: Path) -> Iterator[Kubectl]:
        with SidecarWebhook(tmp_path, request.param) as server:
            configuration = server.configuration(asked.namespace)
            asked("create", "-f", "-", manifest=configuration)
            try:
                probe = pod(SILENT_IMAGE, name="probe")
                eventually(lambda: len(asked.created(probe, "--dry-run=server")["spec"]["containers"]) == 2)
                yield asked
            finally:
                asked("delete", "mutatingwebhookconfiguration", configuration["metadata"]["name"])

    @pytest.mark.parametrize("sidecar", [WINDOWS_IMAGE], indirect=True)
    def test_what_the_inserted_container_tells_is_injected(self, sidecar: Kubectl) -> None:
        found = sidecar.created(pod(SILENT_IMAGE))
        assert [one["name"] for one in found["spec"]["containers"]] == ["sidecar", "app"]
        assert selector(found) == {"kubernetes.io/os": "windows"}

    @pytest.mark.parametrize("sidecar", [SILENT_IMAGE], indirect=True)
    def test_asked_twice_it_changes_nothing_more(self, sidecar: Kubectl, webhook: ServedWebhook) -> None:
        # without the conditions the API server asks again although the selector stands there
        always = mutating(webhook)
        del always["webhooks"][0]["matchConditions"]
        sidecar("replace", "-f", "-", manifest=always)
        try:

            def asked_twice() -> bool:
                before = answers(webhook)
                found = sidecar.created(pod(WINDOWS_IMAGE), "--dry-run=server")
                assert selector(found) == {"kubernetes.io/os": "windows"}
                assert [one["image"] for one in found["spec"]["containers"]] == [SILENT_IMAGE, WINDOWS_IMAGE]
                after = answers(webhook)
                return (after["patch"] - before["patch"], after["allow"] - before["allow"]) == (1, 1)

            eventually(asked_twice)
        finally:
            sidecar("replace", "-f", "-", manifest=mutating(webhook))

    @pytest.mark.parametrize("sidecar", [LINUX_IMAGE], indirect=True)
    def test_the_final_object_is_judged(self, sidecar: Kubectl) -> None:
        # pullproof saw a Windows pod when it was asked; with the sidecar no node can run it
        result = sidecar("create", "-f", "-", manifest=pod(WINDOWS_IMAGE))
        assert result.stderr == (
            "Warning: pullproof PULL406 sidecar: a Linux image, and app has a Windows image; give it a pod of its own\n"
        )


def answers(webhook: ServedWebhook) -> dict[str, int]:
    """How many pods /mutate has patched and allowed so far."""
    counted = {"patch": 0, "allow": 0}
    for line in webhook.get("/metrics")[1].splitlines():
        if line.startswith("pullproof_reviews_total{") and 'endpoint="mutate"' in line:
            word = line.partition('decision="')[2].partition('"')[0]
            counted[word] = counted.get(word, 0) + int(float(line.rpartition(" ")[2]))
    return counted


def test_the_platform_team_says_what_an_image_is_for_and_what_its_nodes_carry(
    control_plane: ControlPlane, asked: Kubectl
) -> None:
    arguments = ("--image-os=contoso.example/win/*=windows", "--windows-taint=os=windows:NoSchedule")
    with ServedWebhook(control_plane, arguments=arguments) as served:
        created = pod("contoso.example/win/shop:1")
        review = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "u-1",
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "operation": "CREATE",
                "namespace": asked.namespace,
                "object": created,
            },
        }
        status, text = served.request("POST", "/mutate", json.dumps(review).encode())
    assert status == 200
    response = json.loads(text)["response"]
    patched = jsonpatch.apply_patch(created, base64.b64decode(response["patch"]))
    assert patched["spec"]["nodeSelector"] == {"kubernetes.io/os": "windows"}
    assert patched["spec"]["tolerations"] == [
        {"key": "os", "operator": "Equal", "value": "windows", "effect": "NoSchedule"}
    ]
    assert response["auditAnnotations"]["inject-os"] == (
        "kubernetes.io/os=windows: policy says Windows of contoso.example/win/*"
    )


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("--image-os=contoso.example", "'contoso.example' is not GLOB=windows or GLOB=linux"),
        ("--windows-taint=os=windows", "'os=windows' is not KEY[=VALUE]:NoSchedule, as `kubectl taint` has it"),
    ],
)
def test_a_mistyped_option_is_told(argument: str, told: str) -> None:
    command = [sys.executable, "-c", "from webhook.cli import main; main()", "serve", argument]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert told in result.stderr
