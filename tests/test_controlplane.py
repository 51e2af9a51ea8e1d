"""The control plane that the tests and the demo stand on: real, several at once, and gone when its parent is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.controlplane import programs as programs_module
from tests.controlplane.controlplane import ControlPlane, ControlPlaneError, KubectlError
from tests.controlplane.programs import programs, required_version
from tests.gotools import BuildError
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "tests" / "controlplane" / "controlplane.py"

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers: [{name: web, image: "nginx:1.29"}]
"""


@pytest.fixture(scope="module")
def bare(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """A second plane beside the first, of the API server only."""
    with ControlPlane(controller_manager=False, scheduler=False) as plane:
        yield plane


def test_kubectl_and_server_are_of_the_pinned_version(control_plane: ControlPlane) -> None:
    version = json.loads(control_plane.kubectl("version", "-o", "json").stdout)
    pinned = required_version(programs_module.HERE / "kubernetes", "k8s.io/kubernetes")
    assert version["clientVersion"]["gitVersion"] == pinned
    assert version["serverVersion"]["gitVersion"] == pinned
    assert f"v{version['serverVersion']['major']}.{version['serverVersion']['minor']}" == pinned.rpartition(".")[0]


def test_controllers_make_pods_from_templates_as_users_of_their_own(
    control_plane: ControlPlane, namespace: str
) -> None:
    control_plane.kubectl("create", "deployment", "web", "--image=nginx:1.29", "-n", namespace)
    pods = eventually(
        lambda: json.loads(control_plane.kubectl("get", "pods", "-n", namespace, "-o", "json").stdout)["items"]
    )
    assert pods[0]["spec"]["serviceAccountName"] == "default"

    def maker() -> str:
        for event in control_plane.audit_events():
            target = event.get("objectRef", {})
            if event["verb"] == "create" and target.get("resource") == "pods" and target.get("namespace") == namespace:
                return str(event["user"]["username"])
        return ""

    assert eventually(maker) == "system:serviceaccount:kube-system:replicaset-controller"


def test_the_scheduler_assigns_pods(control_plane: ControlPlane, namespace: str) -> None:
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"node-{namespace}", "labels": {"only": namespace}},
    }
    control_plane.kubectl("create", "-f", "-", input=json.dumps(node))
    capacity = {"status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}}
    control_plane.kubectl("patch", "node", f"node-{namespace}", "--subresource=status", "-p", json.dumps(capacity))
    toleration = [{"operator": "Exists"}]
    override = {"spec": {"nodeSelector": {"only": namespace}, "tolerations": toleration}}
    control_plane.kubectl("run", "web", "--image=nginx:1.29", "-n", namespace, f"--overrides={json.dumps(override)}")
    try:
        assigned = eventually(
            lambda: (
                control_plane.kubectl("get", "pod", "web", "-n", namespace, "-o", "jsonpath={.spec.nodeName}").stdout
            )
        )
    finally:
        control_plane.kubectl("delete", "node", f"node-{namespace}")
    assert assigned == f"node-{namespace}"


def test_service_account_tokens_are_accepted(control_plane: ControlPlane, namespace: str) -> None:
    token = control_plane.kubectl("create", "token", "default", "-n", namespace).stdout.strip()
    kubeconfig = control_plane.kubeconfig_for("nobody")
    content = json.loads(kubeconfig.read_text())
    content["users"][0]["user"] = {"token": token}
    kubeconfig.write_text(json.dumps(content))
    who = control_plane.kubectl("auth", "whoami", "-o", "json", kubeconfig=kubeconfig).stdout
    assert json.loads(who)["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:default"


def test_an_ordinary_user_has_its_groups_and_no_rights(control_plane: ControlPlane) -> None:
    jane = control_plane.kubeconfig_for("jane@example.test", ["developers", "testers"])
    info = json.loads(control_plane.kubectl("auth", "whoami", "-o", "json", kubeconfig=jane).stdout)["status"][
        "userInfo"
    ]
    assert info["username"] == "jane@example.test"
    assert info["groups"] == ["developers", "testers", "system:authenticated"]
    with pytest.raises(KubectlError, match=r'User "jane@example\.test" cannot list resource "pods"'):
        control_plane.kubectl("get", "pods", kubeconfig=jane)


def test_two_planes_know_nothing_of_each_other(control_plane: ControlPlane, bare: ControlPlane) -> None:
    assert control_plane.host != bare.host
    bare.kubectl("create", "namespace", "only-here")
    control_plane.kubectl("get", "namespace", "default")
    result = control_plane.kubectl("get", "namespace", "only-here", check=False)
    assert result.returncode == 1
    assert result.stderr == 'Error from server (NotFound): namespaces "only-here" not found\n'


def test_planes_start_side_by_side(control_plane: ControlPlane) -> None:
    planes = [ControlPlane(controller_manager=False, scheduler=False) for _ in range(2)]
    # from threads that end before the planes do: children are bound to the process, not to the thread
    try:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(ControlPlane.start, planes))
        for plane in planes:
            assert plane.kubectl("get", "namespace", "default", "-o", "name").stdout == "namespace/default\n"
    finally:
        for plane in planes:
            plane.stop()
    assert [plane.state for plane in planes if plane.state.exists()] == []


def test_without_controllers_pods_can_still_be_made(bare: ControlPlane) -> None:
    assert bare.kubectl("apply", "-f", "-", input=POD).stdout == "pod/web created\n"


@pytest.mark.parametrize("grace", [0, 20], ids=["crash", "shutdown"])
def test_a_restart_of_the_api_server_keeps_what_was_written(bare: ControlPlane, grace: float) -> None:
    host = bare.host
    bare.kubectl("create", "configmap", f"before-{grace}", "--from-literal=a=b")
    bare.stop_apiserver(grace=grace)
    with pytest.raises(KubectlError, match=r"The connection to the server \S+ was refused"):
        bare.kubectl("get", "configmaps")
    bare.start_apiserver()
    assert bare.host == host
    assert bare.kubectl("get", "configmap", f"before-{grace}", "-o", "jsonpath={.data.a}").stdout == "b"


def test_controllers_outlive_a_restart_of_the_api_server(control_plane: ControlPlane) -> None:
    with ControlPlane(scheduler=False) as plane:
        before = plane.pids["kube-controller-manager"]
        plane.stop_apiserver()
        plane.start_apiserver()
        plane.kubectl("create", "namespace", "after")
        eventually(
            lambda: plane.kubectl("get", "serviceaccount", "default", "-n", "after", check=False).returncode == 0
        )
        assert plane.pids["kube-controller-manager"] == before
        assert alive(before)


def test_webhooks_annotations_would_be_in_the_audit_log(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/audit=restricted")
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", input=POD)

    def annotations() -> dict[str, str]:
        for event in control_plane.audit_events():
            if event["verb"] == "create" and event.get("objectRef", {}).get("namespace") == namespace:
                found: dict[str, str] = event.get("annotations", {})
                if "pod-security.kubernetes.io/audit-violations" in found:
                    return found
        return {}

    assert "would violate PodSecurity" in eventually(annotations)["pod-security.kubernetes.io/audit-violations"]


def test_a_part_that_does_not_start_says_why(control_plane: ControlPlane) -> None:
    plane = ControlPlane(extra_args={"kube-apiserver": ["--no-such-flag"]})
    with pytest.raises(ControlPlaneError, match=r"(?s)kube-apiserver ended with 1:.*unknown flag: --no-such-flag"):
        plane.start()
    assert not plane.state.exists()
    assert plane.pids == {}


HOLD = """
import json, signal, sys
from tests.controlplane.controlplane import ControlPlane
with ControlPlane() as plane:
    print(json.dumps({"pids": plane.pids, "state": str(plane.state)}), flush=True)
    signal.pause()
"""


def test_nothing_is_left_when_the_parent_is_killed(control_plane: ControlPlane) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        told = json.loads(parent.stdout.readline())
        assert len(told["pids"]) == 4
        assert [name for name, pid in told["pids"].items() if not alive(pid)] == []
        parent.kill()
    eventually(lambda: not any(alive(pid) for pid in told["pids"].values()), seconds=20)
    assert Path(told["state"]).exists()
    with ControlPlane(controller_manager=False, scheduler=False):
        assert not Path(told["state"]).exists()
        assert control_plane.state.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up_cleans_up_behind_itself(control_plane: ControlPlane, number: signal.Signals) -> None:
    command = [sys.executable, str(SCRIPT), "up", "--no-controllers"]
    with subprocess.Popen(command, cwd="/", stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        kubeconfig = Path(up.stdout.readline().strip().removeprefix("export KUBECONFIG="))
        kubectl = up.stdout.readline().strip().removeprefix("alias kubectl=")
        assert up.stdout.readline() == f"# logs in {kubeconfig.parent}; Ctrl-C ends it\n"
        env = {"KUBECONFIG": str(kubeconfig), "HOME": str(kubeconfig.parent)}
        got = subprocess.check_output([kubectl, "get", "namespace", "default", "-o", "name"], env=env, text=True)
        assert got == "namespace/default\n"
        children = [int(pid) for pid in Path(f"/proc/{up.pid}/task/{up.pid}/children").read_text().split()]
        up.send_signal(number)
        assert up.wait() == 130
    assert not kubeconfig.parent.exists()
    assert [pid for pid in children if alive(pid)] == []


def test_kubebuilder_assets_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, control_plane: ControlPlane
) -> None:
    built = programs()
    for name in ("etcd", "kube-apiserver", "kubectl"):
        (tmp_path / name).symlink_to(built[name])
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    found = programs()
    assert {name: found[name].parent for name in ("etcd", "kube-apiserver", "kubectl")} == dict.fromkeys(
        ("etcd", "kube-apiserver", "kubectl"), tmp_path
    )
    assert found["kube-controller-manager"] == built["kube-controller-manager"]


def test_an_incomplete_assets_folder_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, control_plane: ControlPlane
) -> None:
    (tmp_path / "kubectl").symlink_to(programs()["kubectl"])
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert tmp_path not in {path.parent for path in programs().values()}


def test_assets_of_another_version_without_controllers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("etcd", "kube-apiserver", "kubectl"):
        (tmp_path / name).write_text("#!/bin/sh\necho Kubernetes v1.30.2\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    pinned = required_version(programs_module.HERE / "kubernetes", "k8s.io/kubernetes")
    with pytest.raises(BuildError) as refused:
        programs()
    assert str(refused.value) == (
        f"KUBEBUILDER_ASSETS={tmp_path} holds Kubernetes v1.30.2 without kube-controller-manager, kube-scheduler, and "
        f"{pinned} is what can be built here: unset KUBEBUILDER_ASSETS, or put kube-controller-manager, kube-scheduler "
        "v1.30.2 there"
    )
    assert programs(["etcd", "kube-apiserver", "kubectl"])["etcd"] == tmp_path / "etcd"


def alive(pid: int) -> bool:
    """Whether a process with this id runs (a zombie does not)."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
