"""The node is a real one: it pulls, it says what kubelets say, and it leaves nothing behind."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.node.registries import PASSWORD, USER
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.controlplane.controlplane import ControlPlane
    from tests.node.node import Node

ROOT = Path(__file__).resolve().parents[2]


def pod(name: str, image: str, *secrets: str, platform: str = "") -> dict[str, Any]:
    spec: dict[str, Any] = {
        "hostNetwork": True,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "app", "image": image}],
        "imagePullSecrets": [{"name": secret} for secret in secrets],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def pull_secret(name: str, host: str, password: str) -> dict[str, Any]:
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps({"auths": {host: {"auth": auth}}})},
    }


def state(plane: ControlPlane, namespace: str, name: str) -> dict[str, Any]:
    read = plane.kubectl("get", "pod", name, "-n", namespace, "-o", "json", check=False).stdout
    statuses = json.loads(read or "{}").get("status", {}).get("containerStatuses", [])
    found: dict[str, Any] = statuses[0]["state"] if statuses else {}
    return found


def apply(plane: ControlPlane, namespace: str, *objects: dict[str, Any]) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    plane.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(items))


def test_a_pod_runs_with_the_right_credential(control_plane: ControlPlane, node: Node, namespace: str) -> None:
    node.images.push("contoso.azurecr.io/shop", "1")
    apply(control_plane, namespace, pull_secret("good", "contoso.azurecr.io", PASSWORD))
    apply(control_plane, namespace, pod("shop", "contoso.azurecr.io/shop:1", "good"))
    eventually(lambda: "running" in state(control_plane, namespace, "shop"))


def test_a_mirror_makes_a_host_that_does_not_exist_work(
    control_plane: ControlPlane, node: Node, namespace: str
) -> None:
    node.images.push("quay.io/mirrored", "1")
    apply(control_plane, namespace, pod("shop", "quay.example/mirrored:1"))
    eventually(lambda: "running" in state(control_plane, namespace, "shop"))


FAILURES = [
    pytest.param("contoso.azureacr.io/shop:1", "ErrImagePull", "no such host", id="wrong host"),
    pytest.param("quay.io/nothing:1", "ErrImagePull", "quay.io/nothing:1: not found", id="wrong repository"),
    pytest.param("contoso.azurecr.io/shop:1", "ErrImagePull", "no basic auth credentials", id="no pull secret"),
    pytest.param("contoso.azurecr.io//shop:1", "InvalidImageName", "invalid reference format", id="invalid name"),
    pytest.param("quay.io/arm:1", "ErrImagePull", "no match for platform in manifest", id="no such platform"),
]


@pytest.mark.parametrize(("image", "reason", "words"), FAILURES)
def test_a_failed_pull_says_what_kubelets_say(
    control_plane: ControlPlane, node: Node, namespace: str, image: str, reason: str, words: str
) -> None:
    node.images.push("contoso.azurecr.io/shop", "1")
    node.images.push_index("quay.io/arm", "1", ["linux/arm64", "windows/amd64:10.0.20348.1"])
    apply(control_plane, namespace, pod("shop", image))
    waiting = eventually(
        lambda: (
            state(control_plane, namespace, "shop").get("waiting", {}).get("message")
            and state(control_plane, namespace, "shop")["waiting"]
        )
    )
    assert waiting["reason"] in {reason, "ImagePullBackOff"}
    assert words in waiting["message"]


def test_a_wrong_password_is_refused(control_plane: ControlPlane, node: Node, namespace: str) -> None:
    node.images.push("contoso.azurecr.io/shop", "1")
    apply(control_plane, namespace, pull_secret("stale", "contoso.azurecr.io", "incorrect"))
    apply(control_plane, namespace, pod("shop", "contoso.azurecr.io/shop:1", "stale"))
    message = eventually(lambda: state(control_plane, namespace, "shop").get("waiting", {}).get("message"))
    assert "401 Unauthorized" in message


LIVE = """
import json, time
from tests.controlplane.controlplane import ControlPlane
from tests.node.node import Node, Registry
with ControlPlane() as plane, Node(plane=plane, name="short-lived", registries=[Registry("quay.io")]) as node:
    node.images.push("quay.io/shop", "1")
    spec = {"hostNetwork": True, "containers": [{"name": "app", "image": "quay.io/shop:1"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shop"}, "spec": spec}
    plane.kubectl("apply", "-f", "-", input=json.dumps(pod))
    plane.kubectl("wait", "--for=condition=Ready", "pod/shop", "--timeout=60s")
    print(node.state, flush=True)
    time.sleep(600)
"""


def test_nothing_outlives_a_run_that_is_killed(node: Node) -> None:
    node.images.push("quay.io/built", "1")  # by now all is built: the other one starts at once
    with subprocess.Popen(
        [sys.executable, "-c", LIVE], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stdout is not None
        folder = run.stdout.readline().strip()
        assert folder
        assert _mentioning(folder)
        os.kill(run.pid, signal.SIGKILL)
    eventually(lambda: not _mentioning(folder))
    assert folder not in Path("/proc/self/mountinfo").read_text()


def _mentioning(folder: str) -> list[int]:
    """The processes with that folder in their command line or mounts: kubelet, containerd, shims and containers."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_text() + (process / "mountinfo").read_text()
        except OSError:
            continue
        if folder in text:
            found.append(int(process.name))
    return found
