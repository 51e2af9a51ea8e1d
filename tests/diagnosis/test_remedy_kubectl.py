"""The commands that kubectl runs, run: against a real API server, by a shell, as they would be pasted.

What only vendors' tools can run (az, ibmcloud, aws, gcloud) is checked against their documentation, not here.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from webhook.diagnosis.cause import Cause, Diagnosis
from webhook.diagnosis.remedy import Place, remedies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.controlplane.controlplane import ControlPlane

# What a reader fills in: the same order as the words stand in the commands.
GIVEN = {
    "<Docker ID>": "bob",
    "<access token>": "token",
    "<user>": "bob",
    "<password>": "'p w'",
    "<API key>": "key",
    "<image>": "reg.corp/web:2",
    "<linux or windows>": "linux",
}
IMAGE = "reg.corp/shop/web:1"


class Cluster:
    """A namespace with a deployment in it, and a shell that has kubectl."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace

    def get(self, *what: str) -> dict:
        return json.loads(self.plane.kubectl("get", *what, "-n", self.namespace, "-o", "json").stdout)

    def run(self, diagnosis: Diagnosis, place: Place, *, only: str) -> list[str]:
        """Runs the remedies' commands that hold `only`; returns them."""
        ran = []
        for remedy in remedies(diagnosis, place):
            for command in remedy.commands:
                if only not in command:
                    continue
                for placeholder, word in GIVEN.items():
                    command = command.replace(placeholder, word)  # noqa: PLW2901 - as a reader would
                assert not re.search(r"<[a-z]", command), command
                environment = self.plane.environment()
                environment["PATH"] = f"{self.plane.kubectl_program.parent}:{environment['PATH']}"
                done = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", command],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, f"{command}\n{done.stderr}"
                ran.append(command)
        assert ran, f"no command holds {only}"
        return ran

    def diagnosis(self, cause: Cause, **more: object) -> Diagnosis:
        known = {
            "evidence": "e",
            "registry": "reg.corp",
            "image": IMAGE,
            "namespace": self.namespace,
            "container": "web",
        }
        return Diagnosis(cause, **{**known, **more})  # type: ignore[arg-type]


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Iterator[Cluster]:
    control_plane.kubectl("create", "deployment", "web", f"--image={IMAGE}", "-n", namespace)
    # `kubectl create deployment` names the container after the image
    return Cluster(control_plane, namespace)


PLACE = Place(secret="regcred", workload="deployment/web")


def test_a_pull_secret_is_made_and_made_again_and_attached(cluster):
    cluster.run(cluster.diagnosis(Cause.UNAUTHORIZED), PLACE, only="kubectl")
    cluster.run(cluster.diagnosis(Cause.UNAUTHORIZED), PLACE, only="create secret")  # it is there: renewed
    secret = cluster.get("secret", "regcred")
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    held = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
    assert held["auths"]["reg.corp"] == {
        "username": "bob",
        "password": "p w",
        "auth": base64.b64encode(b"bob:p w").decode(),
    }
    account = cluster.get("serviceaccount", "default")
    assert account["imagePullSecrets"] == [{"name": "regcred"}]
    annotations = cluster.get("deployment", "web")["spec"]["template"]["metadata"]["annotations"]
    assert "kubectl.kubernetes.io/restartedAt" in annotations


def test_a_second_pull_secret_does_not_push_the_first_out(cluster):
    cluster.run(cluster.diagnosis(Cause.UNAUTHORIZED), PLACE, only="patch serviceaccount")
    other = Place(secret="other", workload="deployment/web")
    cluster.run(cluster.diagnosis(Cause.UNAUTHORIZED), other, only="patch serviceaccount")
    assert {entry["name"] for entry in cluster.get("serviceaccount", "default")["imagePullSecrets"]} == {
        "regcred",
        "other",
    }


def test_docker_hub_s_secret_has_the_key_that_the_kubelet_looks_up(cluster):
    cluster.run(
        cluster.diagnosis(Cause.SECRET_MISSING, registry="docker.io", image="team/app:1", secrets=("regcred",)),
        PLACE,
        only="create secret",
    )
    held = json.loads(base64.b64decode(cluster.get("secret", "regcred")["data"][".dockerconfigjson"]))
    assert list(held["auths"]) == ["https://index.docker.io/v1/"]


def test_ibm_s_secret_is_copied_from_default_and_attached(cluster):
    kubectl = cluster.plane.kubectl
    kubectl(
        "create",
        "secret",
        "docker-registry",
        "all-icr-io",
        "-n",
        "default",
        "--docker-server=us.icr.io",
        "--docker-username=iamapikey",
        "--docker-password=k",
        check=False,
    )
    diagnosis = cluster.diagnosis(Cause.UNAUTHORIZED, registry="us.icr.io", image="us.icr.io/ns/app:1")
    cluster.run(diagnosis, PLACE, only="all-icr-io")
    assert (
        cluster.get("secret", "all-icr-io")["data"]
        == json.loads(kubectl("get", "secret", "all-icr-io", "-n", "default", "-o", "json").stdout)["data"]
    )
    assert {"name": "all-icr-io"} in cluster.get("serviceaccount", "default")["imagePullSecrets"]


def test_a_missing_secret_is_copied_from_where_it_is(cluster):
    cluster.plane.kubectl(
        "create",
        "secret",
        "docker-registry",
        "from-there",
        "-n",
        "default",
        "--docker-server=r",
        "--docker-username=u",
        "--docker-password=p",
        check=False,
    )
    diagnosis = cluster.diagnosis(Cause.SECRET_MISSING, evidence="Unable to retrieve", secrets=("from-there",))
    cluster.run(diagnosis, Place(secret_in="default", workload="deployment/web"), only="kubectl get secret")
    assert cluster.get("secret", "from-there")["type"] == "kubernetes.io/dockerconfigjson"


def test_a_pod_of_its_own_is_made_again_with_the_pull_secrets_of_now(cluster):
    cluster.plane.kubectl("run", "lone", f"--image={IMAGE}", "-n", cluster.namespace)
    before = cluster.get("pod", "lone")
    diagnosis = cluster.diagnosis(Cause.UNAUTHORIZED, pod="lone")
    cluster.run(diagnosis, Place(secret="regcred", lone=True), only="kubectl")
    after = cluster.get("pod", "lone")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert (before["spec"].get("imagePullSecrets"), after["spec"]["imagePullSecrets"]) == (None, [{"name": "regcred"}])


def test_a_pod_that_something_makes_again_is_deleted(cluster):
    cluster.plane.kubectl("run", "made", f"--image={IMAGE}", "-n", cluster.namespace)
    cluster.run(cluster.diagnosis(Cause.UNAUTHORIZED, pod="made"), Place(secret="regcred"), only="delete pod")
    assert "made" not in [one["metadata"]["name"] for one in cluster.get("pods")["items"]]


def test_the_pull_secrets_of_a_pod_are_named(cluster):
    cluster.plane.kubectl("run", "broken", f"--image={IMAGE}", "-n", cluster.namespace)
    diagnosis = cluster.diagnosis(Cause.SECRET_MISSING, evidence="illegal base64 data at input byte 0", pod="broken")
    cluster.run(diagnosis, PLACE, only="kubectl get pod ")


@pytest.fixture
def node(cluster: Cluster) -> Iterator[str]:
    """A node that no kubelet stands behind, so nothing is scheduled to it."""
    name = f"node-of-{cluster.namespace}"
    made = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"unschedulable": True},
    }
    cluster.plane.kubectl("apply", "-f", "-", input=json.dumps(made))
    full = {"status": {"conditions": [{"type": "DiskPressure", "status": "True"}]}}
    patch = ("--subresource=status", "--type=merge", "-p", json.dumps(full))
    cluster.plane.kubectl("patch", "node", name, *patch)
    yield name
    cluster.plane.kubectl("delete", "node", name)


def test_a_full_node_is_looked_at_and_drained(cluster, node):
    cluster.run(cluster.diagnosis(Cause.DISK, node=node), PLACE, only="kubectl drain")
    described = next(c for r in remedies(cluster.diagnosis(Cause.DISK, node=node), PLACE) for c in r.commands)
    assert described == f"kubectl describe node {node} | grep -A8 Conditions:"
    cluster.run(cluster.diagnosis(Cause.DISK, node=node), PLACE, only="kubectl describe node")


def test_what_a_secret_covers_is_shown_without_its_password(cluster):
    cluster.run(cluster.diagnosis(Cause.UNAUTHORIZED), PLACE, only="create secret")
    diagnosis = cluster.diagnosis(Cause.UNAUTHORIZED, registry="us.icr.io", image="us.icr.io/ns/app:1")
    shown = next(c for r in remedies(diagnosis, PLACE) for c in r.commands if "jsonpath" in c).partition(" | jq")[0]
    environment = cluster.plane.environment()
    environment["PATH"] = f"{cluster.plane.kubectl_program.parent}:{environment['PATH']}"
    done = subprocess.run(["bash", "-c", shown], env=environment, capture_output=True, text=True, check=True)
    assert list(json.loads(done.stdout)["auths"]) == ["reg.corp"]


def test_the_image_is_set(cluster):
    cluster.run(cluster.diagnosis(Cause.NOT_FOUND), PLACE, only="kubectl set image")
    (container,) = cluster.get("deployment", "web")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "reg.corp/web:2"


def test_the_pull_policy_is_set_and_nothing_else(cluster):
    diagnosis = cluster.diagnosis(Cause.NOT_FOUND, evidence="is not present with pull policy of Never")
    cluster.run(diagnosis, PLACE, only="kubectl patch")
    (container,) = cluster.get("deployment", "web")["spec"]["template"]["spec"]["containers"]
    assert (container["imagePullPolicy"], container["image"]) == ("IfNotPresent", IMAGE)


def test_the_operating_system_is_selected(cluster):
    cluster.run(cluster.diagnosis(Cause.PLATFORM), PLACE, only="kubectl patch")
    assert cluster.get("deployment", "web")["spec"]["template"]["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}


def test_the_nodes_are_listed_with_their_platforms(cluster):
    cluster.run(cluster.diagnosis(Cause.PLATFORM), PLACE, only="kubectl get nodes")


def test_pull_secrets_are_listed_everywhere(cluster):
    diagnosis = cluster.diagnosis(Cause.SECRET_MISSING, evidence="Unable to retrieve", secrets=("regcred",))
    cluster.run(diagnosis, PLACE, only="kubectl get secrets -A")
