"""`check --cluster` against a real API server, and against ones that do not answer."""

from __future__ import annotations

import json
import socket

import pytest
import yaml

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "shop"},
    "spec": {"containers": [{"name": "app", "image": "registry.example.com/app:1"}]},
}
NAMESPACE_UNKNOWN = "PULL901"


def codes(done):
    return sorted({one["code"] for one in json.loads(done.stdout)["findings"]})


@pytest.fixture
def cluster(pullproof, control_plane):
    def run(*arguments, obj=POD, kubeconfig=None, **more):
        return pullproof(
            "check", "-f", "-", "--cluster", "--kubeconfig", str(kubeconfig or control_plane.kubeconfig), "-o", "json",
            *arguments, stdin=json.dumps(obj), **more,
        )  # fmt: skip

    return run


def kubeconfig_for(folder, server):
    file = folder / "kubeconfig"
    file.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "c", "cluster": {"server": server}}],
                "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team-x"}}],
                "current-context": "one",
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
        )
    )
    return file


def test_facts_come_from_the_cluster(cluster, control_plane, namespace):
    control_plane.kubectl("label", "namespace", namespace, "pullproof.dev/warn=sure")
    done = cluster("-n", namespace)
    assert (done.returncode, done.stderr) == (0, "")
    assert codes(done) == ["PULL801"]
    assert json.loads(done.stdout)["findings"][0]["object"]["namespace"] == namespace


def test_kubeconfig_from_the_environment_and_its_namespace(pullproof, control_plane):
    done = pullproof("check", "-f", "-", "--cluster", "-o", "json", "--trace", stdin=json.dumps(POD),
                     env={"KUBECONFIG": str(control_plane.kubeconfig)})  # fmt: skip
    assert done.returncode == 0
    assert json.loads(done.stdout)["workloads"][0]["namespace"] == "default"


def test_a_namespace_that_is_not_there_is_unknown_unless_the_input_makes_it(cluster):
    done = cluster("-n", "nowhere")
    assert codes(done) == [NAMESPACE_UNKNOWN]
    listed = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [POD, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "nowhere"}}],
    }
    assert codes(cluster("-n", "nowhere", obj=listed)) == []


def test_a_secret_of_the_input_counts_as_being_there(cluster, namespace):
    pod = json.loads(json.dumps(POD))
    pod["spec"]["imagePullSecrets"] = [{"name": "regcred"}]
    content = json.dumps({"auths": {"registry.example.com": {"username": "u", "password": "planted-7c1f"}}})
    secret = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "regcred"}, "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": content},
    }  # fmt: skip
    missing = cluster("-n", namespace, obj=pod)
    assert "PULL301" in codes(missing)
    done = cluster("-n", namespace, "--trace", obj={"apiVersion": "v1", "kind": "List", "items": [pod, secret]})
    assert codes(done) == []
    (credential,) = json.loads(done.stdout)["workloads"][0]["containers"][0]["credentials"]
    assert (credential["secret"], credential["key"], credential["matched"]) == ("regcred", "registry.example.com", True)
    assert "planted" not in done.stdout + done.stderr


def test_a_context_that_is_not_there(cluster, control_plane):
    done = cluster("--context", "nothing")
    assert done.returncode == 2
    assert done.stderr.startswith(f"pullproof: context nothing is not in kubeconfig {control_plane.kubeconfig}")


def test_nobody_listening_is_unknown(pullproof, tmp_path):
    file = kubeconfig_for(tmp_path, "http://127.0.0.1:1")
    arguments = ("check", "-f", "-", "--cluster", "--kubeconfig", str(file), "-o", "json", "--trace")
    done = pullproof(*arguments, stdin=json.dumps(POD))
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["workloads"][0]["namespace"] == "team-x"
    assert found["summary"]["unknown"] >= 1
    (told,) = (one for one in found["findings"] if one["code"] == NAMESPACE_UNKNOWN)
    assert "no connection to the API server: connection refused" in told["message"]
    assert pullproof(*arguments, "--fail-on-unknown", stdin=json.dumps(POD)).returncode == 1


def test_a_server_that_never_answers_is_waited_for_as_long_as_was_said(pullproof, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        file = kubeconfig_for(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
        pods = "---\n".join(
            json.dumps(POD | {"metadata": {"name": "p", "namespace": f"n{n}"}}) + "\n" for n in range(50)
        )
        done = pullproof(
            "check",
            "-f",
            "-",
            "--cluster",
            "--kubeconfig",
            str(file),
            "--request-timeout",
            "1",
            "-o",
            "json",
            stdin=pods,
        )
    assert (done.returncode, done.stderr) == (0, "")
    told = [one for one in json.loads(done.stdout)["findings"] if one["code"] == NAMESPACE_UNKNOWN]
    assert len(told) == 50
    assert "did not answer in time" in told[-1]["message"]
