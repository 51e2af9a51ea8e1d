"""`pullproof diagnose`, as a program: on text, and on a real API server whose pods have the statuses kubelets write."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.controlplane.controlplane import ControlPlane

PULLPROOF = [sys.executable, "-c", "from webhook.cli import main; main()", "diagnose"]
KEYS = ["cause", "code", "registry", "image", "platform", "evidence", "fix"]
NO_HOST = (
    'Failed to pull image "contoso.azureacr.io/shop:1": rpc error: code = Unknown desc = failed to pull and unpack'
    ' image "contoso.azureacr.io/shop:1": failed to resolve reference "contoso.azureacr.io/shop:1": failed to do'
    ' request: Head "https://contoso.azureacr.io/v2/shop/manifests/1": dial tcp: lookup contoso.azureacr.io on'
    " 10.0.0.10:53: no such host"
)
REFUSED = (
    'Failed to pull image "us.icr.io/shop/web:1": failed to pull and unpack image "us.icr.io/shop/web:1": failed to'
    ' resolve reference "us.icr.io/shop/web:1": failed to authorize: failed to fetch anonymous token: unexpected status'
    " from GET request to https://us.icr.io/oauth/token: 401 Unauthorized"
)
DESCRIBED = """\
Name:             web-1
Namespace:        shop
Node:             node-1/10.0.0.1
Containers:
  web:
    Image:          us.icr.io/shop/web:1
    State:          Waiting
      Reason:       ImagePullBackOff
Events:
  Type     Reason   Age                  From     Message
  ----     ------   ----                 ----     -------
  Warning  Failed   2m41s (x3 over 28m)  kubelet  {why}
"""


def run(*arguments: str, given: bytes | str = b"", env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    given = given.encode() if isinstance(given, str) else given
    return subprocess.run([*PULLPROOF, *arguments], input=given, capture_output=True, check=False, timeout=60, env=env)


def jsonl(done: subprocess.CompletedProcess) -> list[dict]:
    assert done.stderr == b""
    return [json.loads(line) for line in done.stdout.splitlines()]


# --- text -----------------------------------------------------------------------------------------------------------


def test_a_description_may_be_indented_as_a_whole():
    described = DESCRIBED.format(why=REFUSED)
    indented = "".join(f"    {line}\n" for line in described.splitlines())
    assert run("-", given=indented).stdout == run("-", given=described).stdout != b""


def test_pods_of_one_workload_are_told_of_together():
    head, _, rest = DESCRIBED.format(why=REFUSED).partition("Containers:")
    pods = [
        head.replace("web-1", name) + "Controlled By:  StatefulSet/web\nContainers:" + rest
        for name in ("web-1", "web-2")
    ]
    told = run("-", given="\n".join(pods)).stdout.decode()
    assert told.splitlines()[0] == "shop/web-1, web-2, container web: unauthorized PULL501 registry-unauthorized"
    assert told.count("PULL501") == 1


def test_each_line_of_messages_gives_one_result_in_order():
    lines = [
        NO_HOST,
        "",
        "no idea \x1b[31m",
        REFUSED,
        "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
        "a\x0bb",
    ]
    done = run("-o", "jsonl", "-", given="\r\n".join(lines))
    assert done.returncode == 0
    found = jsonl(done)
    assert [one["cause"] for one in found] == ["dns", "other", "other", "unauthorized", "other", "other"]
    assert all(list(one) == KEYS for one in found)
    assert found[0] == {
        "cause": "dns",
        "code": "PULL201",
        "registry": "contoso.azureacr.io",
        "image": "contoso.azureacr.io/shop:1",
        "platform": None,
        "evidence": "lookup contoso.azureacr.io on 10.0.0.10:53: no such host",
        "fix": "`contoso.azureacr.io` is not a registry: use `contoso.azurecr.io/shop:1`\nkubectl set image"
        " deployment/<deployment> <container>=contoso.azurecr.io/shop:1 -n <namespace>",
    }
    assert found[2]["evidence"] == "no idea \\x1b[31m"
    assert found[2]["fix"] is None


def test_results_come_as_the_lines_come():
    process = subprocess.Popen([*PULLPROOF, "-", "-o", "jsonl"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        for message, cause in ((REFUSED, b"unauthorized"), (NO_HOST, b"dns")):
            process.stdin.write(f"{message}\n".encode())
            process.stdin.flush()
            assert cause in process.stdout.readline()
        process.stdin.close()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_line_without_end_and_one_of_megabytes():
    given = f"{NO_HOST}{'x' * 3_000_000}\n{REFUSED}"
    assert [one["cause"] for one in jsonl(run("-", "-o", "jsonl", given=given))] == ["dns", "unauthorized"]


def test_a_description_is_told_as_text():
    done = run("-", given=DESCRIBED.format(why=REFUSED))
    assert done.stderr == b""
    text = done.stdout.decode()
    assert text.startswith("shop/web-1, container web: unauthorized PULL501 registry-unauthorized\n")
    assert "  image:    us.icr.io/shop/web:1\n" in text
    assert "kubectl get secret all-icr-io -n default -o yaml" in text


def test_a_description_as_jsonl_gives_one_result_for_each_container():
    (found,) = jsonl(run("-", "-o", "jsonl", given=DESCRIBED.format(why=REFUSED)))
    assert (found["cause"], found["image"]) == ("unauthorized", "us.icr.io/shop/web:1")


def test_pods_and_events_as_json():
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "us.icr.io/shop/web:1"'}
    pod = {
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "1"},
        "spec": {"containers": [{"name": "web", "image": "us.icr.io/shop/web:1"}]},
        "status": {"containerStatuses": [{"name": "web", "state": {"waiting": waiting}}]},
    }
    event = {
        "kind": "Event",
        "involvedObject": {"kind": "Pod", "name": "web-1", "uid": "1", "fieldPath": "spec.containers{web}"},
        "reason": "Failed",
        "message": REFUSED,
    }
    listed = json.dumps({"kind": "List", "items": [pod, event]}, indent=1)
    done = run("-", "-o", "json", given=listed)
    (found,) = json.loads(done.stdout)
    assert (found["cause"], found["pod"], found["container"], found["reason"]) == (
        "unauthorized",
        "web-1",
        "web",
        "ImagePullBackOff",
    )


@pytest.mark.parametrize(
    ("given", "output", "said"),
    [
        ("", "text", "nothing"),
        ("", "jsonl", ""),
        ("", "json", "[]\n"),
        (DESCRIBED.format(why="Started container").replace("ImagePullBackOff", "CrashLoopBackOff"), "text", "nothing"),
    ],
)
def test_text_that_says_nothing(given, output, said):
    done = run("-", "-o", output, given=given)
    assert done.returncode == 0
    assert done.stdout.decode().startswith(said)
    assert bool(done.stdout) == bool(said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-", "-n", "shop"], "with - everything comes from standard input"),
        (["web", "-A"], "-A looks at every pod"),
        (["-w", "-o", "json"], "use -o jsonl"),
        (["service/web"], "service/web names nothing that has pods; name a pod, or one of deploy"),
        (["--kubeconfig", "/nonexistent"], "kubeconfig /nonexistent does not exist"),
    ],
)
def test_wrong_usage(arguments, said):
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert done.stdout == b""


# --- a cluster ------------------------------------------------------------------------------------------------------

AZURE = (
    "azure:///subscriptions/0000/resourceGroups/MC_shop-rg_shop-aks_westeurope/providers/Microsoft.Compute/"
    "virtualMachineScaleSets/aks-pool-1-vmss/virtualMachines/0"
)


class Cluster:
    """One namespace; what a kubelet would write into pods' statuses is written by hand."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace

    def apply(self, *objects: dict) -> None:
        self.plane.kubectl(
            "apply",
            "-n",
            self.namespace,
            "-f",
            "-",
            input=json.dumps({"kind": "List", "apiVersion": "v1", "items": objects}),
        )

    def pod(self, name: str, image: str, *, secrets: tuple[str, ...] = (), **spec) -> None:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "containers": [{"name": "web", "image": image}],
                "imagePullSecrets": [{"name": one} for one in secrets],
                **spec,
            },
        }
        self.apply(pod)

    def status(self, name: str, state: dict, image: str) -> None:
        one = {"name": "web", "image": image, "imageID": "", "ready": False, "restartCount": 0, "state": state}
        patch = {"status": {"phase": "Pending", "containerStatuses": [one]}}
        self.plane.kubectl(
            "patch", "pod", name, "-n", self.namespace, "--subresource=status", "--type=merge", "-p", json.dumps(patch)
        )

    def wait(self, name: str, image: str, reason: str, message: str) -> None:
        self.status(name, {"waiting": {"reason": reason, "message": message}}, image)

    def event(self, pod: str, reason: str, message: str) -> None:
        uid = self.plane.kubectl("get", "pod", pod, "-n", self.namespace, "-o", "jsonpath={.metadata.uid}").stdout
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{pod}.{reason.lower()}"},
            "involvedObject": {
                "kind": "Pod",
                "namespace": self.namespace,
                "name": pod,
                "uid": uid,
                "fieldPath": "spec.containers{web}",
            },
            "reason": reason,
            "message": message,
            "type": "Warning",
            "firstTimestamp": "2026-01-01T10:00:00Z",
            "lastTimestamp": "2026-01-01T10:00:00Z",
        }
        self.apply(event)

    def diagnose(self, *arguments: str, kubeconfig=None) -> subprocess.CompletedProcess:
        return run(*arguments, env=self.plane.environment(kubeconfig))

    def found(self, *arguments: str) -> list[dict]:
        done = self.diagnose("-n", self.namespace, "-o", "json", *arguments)
        assert done.stderr == b"", done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def cluster(control_plane, namespace) -> Cluster:
    return Cluster(control_plane, namespace)


ICR = "us.icr.io/shop/web:1"


def test_what_a_cluster_shows(cluster):
    cluster.pod("web-1", ICR, secrets=("regcred",))
    cluster.wait("web-1", ICR, "ImagePullBackOff", f'Back-off pulling image "{ICR}"')
    cluster.event("web-1", "Failed", REFUSED)
    cluster.pod("fine", "nginx:1.27")
    (found,) = cluster.found()
    assert (found["cause"], found["code"], found["pod"], found["namespace"]) == (
        "secret-missing",
        "PULL301",
        "web-1",
        cluster.namespace,
    )
    assert found["secrets"] == ["regcred"]
    assert found["owner"] == {"kind": "Pod", "name": "web-1"}
    assert "401 Unauthorized" in found["evidence"]
    done = cluster.diagnose("-n", cluster.namespace)
    assert done.returncode == 1
    assert done.stdout.decode().startswith(f"{cluster.namespace}/web-1, container web: secret-missing PULL301")


def test_a_deployments_pods_are_told_of_once(cluster):
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "contoso.azureacr.io/shop:1"}]},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    }
    cluster.apply(deployment)

    def pods() -> list[str]:
        return cluster.plane.kubectl("get", "pods", "-n", cluster.namespace, "-o", "name").stdout.split()

    eventually(lambda: len(pods()) == 4)
    for name in pods():
        cluster.wait(name.removeprefix("pod/"), "contoso.azureacr.io/shop:1", "ErrImagePull", NO_HOST)
    cluster.pod("other", "nginx:1.27")
    text = cluster.diagnose("deploy/web", "-n", cluster.namespace).stdout.decode()
    assert text.count("PULL201") == 1
    assert " and 1 more (deployment/web), container web: dns PULL201 registry-host-typo\n" in text
    assert f"kubectl set image deployment/web web=contoso.azurecr.io/shop:1 -n {cluster.namespace}\n" in text
    assert len(cluster.found("deploy/web")) == 4
    assert len(cluster.found(next(name for name in pods() if name != "pod/other"))) == 1


def test_nothing_waits(cluster):
    cluster.pod("fine", "nginx:1.27")
    done = cluster.diagnose("pod/fine", "-n", cluster.namespace)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == (
        f"no pod waits for an image: 1 pod of pod/fine looked at in namespace {cluster.namespace}\n"
    )


def test_a_pod_that_is_not_there(cluster):
    done = cluster.diagnose("gone", "-n", cluster.namespace)
    assert done.returncode == 2
    assert f"there is no pod of pod/gone in namespace {cluster.namespace}" in done.stderr.decode()


def test_without_the_right_to_read_more_than_pods_the_statuses_speak(cluster):
    cluster.pod("web-1", ICR)
    cluster.wait("web-1", ICR, "ErrImagePull", REFUSED)
    kubectl, namespace = cluster.plane.kubectl, cluster.namespace
    kubectl("create", "role", "pods", "--verb=get,list", "--resource=pods", "-n", namespace)
    kubectl("create", "rolebinding", "pods", "--role=pods", "--user=pod-reader", "-n", namespace)
    done = cluster.diagnose("-n", namespace, kubeconfig=cluster.plane.kubeconfig_for("pod-reader"))
    assert done.returncode == 1
    assert b"unauthorized PULL501" in done.stdout
    notes = done.stderr.decode()
    assert "note: Events could not be read: the API server answered 403" in notes
    assert "note: pull secrets could not be read: the API server answered 403" in notes


def test_every_namespace(cluster):
    cluster.pod("web-1", ICR)
    cluster.wait("web-1", ICR, "ErrImagePull", REFUSED)
    done = cluster.diagnose("-A", "-o", "jsonl")
    mine = [json.loads(line) for line in done.stdout.splitlines() if cluster.namespace.encode() in line]
    assert [(one["cause"], one["pod"]) for one in mine] == [("unauthorized", "web-1")]
    assert list(mine[0])[: len(KEYS)] == KEYS


@pytest.fixture
def watching(cluster) -> Callable[..., subprocess.Popen]:
    started = []

    def start(*arguments: str) -> subprocess.Popen:
        command = [*PULLPROOF, "-n", cluster.namespace, "--watch", *arguments]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=cluster.plane.environment()
        )
        os.set_blocking(process.stdout.fileno(), False)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_watching(cluster, watching):
    cluster.pod("web-1", ICR)
    cluster.wait("web-1", ICR, "ErrImagePull", REFUSED)
    process = watching()
    text = ""

    def says(what: str) -> bool:
        nonlocal text
        text += (process.stdout.read() or b"").decode()
        return what in text

    eventually(lambda: says("web-1, container web: unauthorized"))
    cluster.pod("web-2", "contoso.azureacr.io/shop:1")
    cluster.wait("web-2", "contoso.azureacr.io/shop:1", "ErrImagePull", NO_HOST)
    eventually(lambda: says("web-2, container web: dns PULL201"))
    # the same cause in other words is no news
    cluster.wait("web-2", "contoso.azureacr.io/shop:1", "ImagePullBackOff", f"Back-off: {NO_HOST}")
    cluster.status("web-1", {"running": {}}, ICR)
    eventually(lambda: says(f"{cluster.namespace}/web-1: no longer waits for an image"))
    assert text.count("web-2, container web") == 1
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert process.stderr.read().strip() == b""
