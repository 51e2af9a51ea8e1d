"""`pullproof scan`, as a program, on a real API server."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.controlplane.controlplane import ControlPlane

PULLPROOF = [sys.executable, "-c", "from webhook.cli import main; main()", "scan"]
TYPO, GOOD = "contoso.azureacr.io/shop:1", "quay.io/shop/web:1"


class Cluster:
    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace

    def apply(self, *objects: dict) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.plane.kubectl("apply", "-n", self.namespace, "-f", "-", input=json.dumps(items))

    def names(self, of: str) -> list[str]:
        selector = f"app={of}"
        listed = self.plane.kubectl("get", "pods", "-n", self.namespace, "-l", selector, "-o", "name").stdout
        return [name.removeprefix("pod/") for name in listed.split()]

    def status(self, pod: str, image: str, *, ready: bool, waiting: str = "") -> None:
        state = {"waiting": {"reason": "ErrImagePull", "message": waiting}} if waiting else {"running": {}}
        one = {"name": "app", "image": image, "imageID": "", "ready": ready, "restartCount": 0, "state": state}
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        patch = {"status": {"containerStatuses": [one], "conditions": [condition]}}
        self.plane.kubectl(
            "patch", "pod", pod, "-n", self.namespace, "--subresource=status", "--type=merge", "-p", json.dumps(patch)
        )

    def scan(self, *arguments: str, kubeconfig=None) -> subprocess.CompletedProcess:
        command = [*PULLPROOF, "-n", self.namespace, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=120, env=self.plane.environment(kubeconfig)
        )

    def found(self) -> dict:
        done = self.scan("-o", "json")
        assert done.stderr == ""
        assert done.returncode == 0
        return json.loads(done.stdout)


def deployment(name: str, image: str, replicas: int = 2) -> dict:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": image}]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def pod(name: str, image: str) -> dict:
    spec = {"containers": [{"name": "app", "image": image}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def cluster(control_plane, namespace) -> Cluster:
    made = Cluster(control_plane, namespace)
    made.apply(deployment("web", TYPO), deployment("fine", GOOD), deployment("idle", TYPO, 0), pod("lone", TYPO))
    eventually(lambda: len(made.names("web")) == 2 and len(made.names("fine")) == 2)
    return made


def row(document: dict, name: str, code: str = "PULL201") -> dict:
    (found,) = (one for one in document["findings"] if (one["object"]["name"], one["code"]) == (name, code))
    return found


def test_a_scan_tells_of_workloads_not_of_replicas(cluster):
    document = cluster.found()
    assert document["summary"]["pods"] == 5
    assert document["summary"]["workloads"] == 4
    web = row(document, "web")
    assert web["object"] == {"kind": "Deployment", "namespace": cluster.namespace, "name": "web"}
    assert (web["pods"], web["wouldBeDenied"], web["registry"]) == (2, True, "contoso.azureacr.io")
    assert web["field"] == "spec.template.spec.containers[0].image"
    assert row(document, "idle")["pods"] == 0
    assert row(document, "idle")["wouldBeDenied"]
    assert row(document, "lone")["object"]["kind"] == "Pod"
    assert not [one for one in document["findings"] if one["object"]["name"] == "fine"]
    assert document["summary"]["wouldBeDenied"] == {"workloads": 3, "pods": 3}
    assert document["notes"] == []


def test_ready_replicas_spare_a_deployments_pods_but_not_its_template(cluster):
    for name in cluster.names("web"):
        cluster.status(name, TYPO, ready=True)
    document = cluster.found()
    assert document["summary"]["wouldBeDenied"] == {"workloads": 3, "pods": 1}
    assert row(document, "web")["wouldBeDenied"]


def test_a_namespace_that_enforces_nothing_denies_nothing(cluster):
    cluster.plane.kubectl("label", "namespace", cluster.namespace, "pullproof.dev/enforce=off")
    document = cluster.found()
    assert document["summary"]["wouldBeDenied"] == {"workloads": 0, "pods": 0}
    assert document["summary"]["findings"]["certain"] == 3


def test_what_fails_now_is_told_with_the_kubelets_words(cluster):
    refused = 'failed to pull and unpack image "quay.io/shop/web:1": too many requests: 429 Too Many Requests'
    no_host = "dial tcp: lookup contoso.azureacr.io on 10.0.0.10:53: no such host"
    for name in cluster.names("fine"):
        cluster.status(name, GOOD, ready=False, waiting=refused)
    cluster.status(cluster.names("web")[0], TYPO, ready=False, waiting=no_host)
    document = cluster.found()
    assert document["summary"]["failingPods"] == 3
    limited = row(document, "fine", "PULL505")
    assert (limited["pods"], limited["failingPods"], limited["confidence"]) == (2, 2, "likely")
    assert "429 Too Many Requests" in limited["seen"]
    assert (row(document, "web")["failingPods"], row(document, "web")["seen"]) == (
        1,
        "lookup contoso.azureacr.io on 10.0.0.10:53: no such host",
    )
    assert document["findings"][0]["failingPods"]


def test_every_format(cluster):
    text = cluster.scan()
    assert text.stdout.startswith("cause ")
    assert f"Deployment {cluster.namespace}/web, container app: certain PULL201 registry-host-typo" in text.stdout
    lines = list(csv.DictReader(io.StringIO(cluster.scan("-o", "csv").stdout, newline="")))
    assert {line["workload"] for line in lines} == {"web", "idle", "lone"}
    log = json.loads(cluster.scan("-o", "sarif").stdout)
    assert {one["ruleId"] for one in log["runs"][0]["results"]} == {"PULL201"}
    cases = ET.fromstring(cluster.scan("-o", "junit", "--fail-on", "certain").stdout).findall(".//testcase")
    assert {case.get("name").partition("/")[2]: case.find("failure") is not None for case in cases} == {
        "web": True,
        "fine": False,
        "idle": True,
        "lone": True,
    }
    page = cluster.scan("-o", "html").stdout
    assert page.startswith("<!doctype html>")
    assert "contoso.azureacr.io/shop:1" in page


@pytest.mark.parametrize(("level", "code"), [("off", 0), ("certain", 1), ("advisory", 1)])
def test_exit_status(cluster, level, code):
    assert cluster.scan("--fail-on", level).returncode == code


def test_what_may_not_be_read_is_noted(cluster):
    kubectl, namespace = cluster.plane.kubectl, cluster.namespace
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods,deployments.apps", "-n", namespace)
    kubectl("create", "rolebinding", "reader", "--role=reader", "--user=scanner", "-n", namespace)
    done = cluster.scan("-o", "json", kubeconfig=cluster.plane.kubeconfig_for("scanner"))
    assert done.returncode == 0
    assert "note: pull secrets could not be read: the API server answered 403" in done.stderr
    assert "note: daemonsets could not be listed: the API server answered 403" in done.stderr
    document = json.loads(done.stdout)
    assert row(document, "web")["confidence"] == "certain"
    assert document["summary"]["findings"]["unknown"] > 0
    assert document["summary"]["wouldBeDenied"]["workloads"] == 0, "only the floor enforces in an unread namespace"


def test_without_the_right_to_list_pods_there_is_no_scan(cluster):
    done = cluster.scan(kubeconfig=cluster.plane.kubeconfig_for("nobody"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("pullproof: the API server answered 403 to GET /api/v1/namespaces/")


def test_a_bar_on_a_terminal_and_nothing_of_it_in_the_output(cluster):
    reader, writer = pty.openpty()
    command = [*PULLPROOF, "-n", cluster.namespace, "-o", "json"]
    environment = {**cluster.plane.environment(), "TERM": "xterm"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=writer, env=environment) as process:
        os.close(writer)
        output = process.stdout.read()
    shown = b""
    while True:
        try:
            part = os.read(reader, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(reader)
    assert process.returncode == 0
    assert json.loads(output)["summary"]["pods"] == 5
    assert b"judging pods" in shown
    assert "━".encode() in shown


def test_wrong_usage(control_plane):
    done = subprocess.run(
        [*PULLPROOF, "-n", "a", "-A"], capture_output=True, text=True, check=False, env=control_plane.environment()
    )
    assert done.returncode == 2
    assert "use one of them" in done.stderr
