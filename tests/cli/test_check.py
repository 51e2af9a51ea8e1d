from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import MANIFESTS, PROGRAM, environment

GOLDEN = {
    "shop.txt": (1, ["-f", "shop.yaml"]),
    "shop-colours.txt": (1, ["-f", "shop.yaml", "--color", "always"]),
    "shop.json": (1, ["-f", "shop.yaml", "-o", "json"]),
    "shop-trace.json": (1, ["-f", "shop.yaml", "-o", "json", "--trace"]),
    "shop.xml": (1, ["-f", "shop.yaml", "-f", "namespace.yaml", "-o", "junit"]),
    "namespace.txt": (0, ["-f", "namespace.yaml"]),
    "namespace-n.txt": (1, ["-f", "namespace.yaml", "-n", "team-a", "--fail-on", "advisory"]),
    "ignored.txt": (1, ["-f", "ignored.yaml"]),
    "ignored.sarif": (1, ["-f", "ignored.yaml", "-o", "sarif"]),
    "broken.txt": (2, ["-f", "broken.yaml"]),
    "broken.json": (2, ["-f", "broken.yaml", "-o", "json"]),
    "broken.sarif": (2, ["-f", "broken.yaml", "-o", "sarif"]),
    "broken.xml": (2, ["-f", "broken.yaml", "-o", "junit"]),
    "list.txt": (1, ["list.json"]),
    "list.json": (1, ["list.json", "-o", "json"]),
    "list.sarif": (1, ["list.json", "-o", "sarif"]),
    "clean.txt": (0, ["-f", "clean.yaml"]),
    "clean.json": (0, ["-f", "clean.yaml", "-o", "json"]),
    "clean.xml": (0, ["-f", "clean.yaml", "-o", "junit"]),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_output(pullproof, golden, name):
    status, arguments = GOLDEN[name]
    done = pullproof("check", *arguments)
    out = done.stdout
    if name.endswith(".sarif"):
        # the rules are the checks' pages, which have tests of their own
        log = json.loads(out)
        driver = log["runs"][0]["tool"]["driver"]
        for key in ("rules", "version", "semanticVersion"):
            assert driver.pop(key)
        for result in log["runs"][0]["results"]:
            assert result.pop("ruleIndex") >= 0
        out = json.dumps(log, indent=2) + "\n"
    golden(name, out + (f"--- stderr\n{done.stderr}" if done.stderr else ""))
    assert done.returncode == status


def test_no_golden_file_is_left_over():
    golden = Path(__file__).with_name("golden")
    others = {"inspect.txt", "inspect.json", "inspect.jsonl", "terminal.txt", "terminal-narrow.txt"}
    found = {file.name for file in golden.iterdir() if not file.name.startswith("policy-")}  # test_policy.py has those
    assert found == GOLDEN.keys() | others


def keys(value):
    return list(value)


def test_the_keys_of_the_json_are_a_promise(pullproof):
    found = json.loads(pullproof("check", "-f", "shop.yaml", "-o", "json", "--trace").stdout)
    assert keys(found) == ["findings", "summary", "workloads"]
    assert keys(found["summary"]) == ["certain", "likely", "advisory", "unknown"]
    first = found["findings"][0]
    assert keys(first) == [
        *("code", "name", "confidence", "heals", "message", "field", "fix", "suggestion"),
        *("file", "line", "column", "object", "container", "image"),
    ]
    assert keys(first["object"]) == ["kind", "namespace", "name"]
    order = ["certain", "likely", "advisory", "unknown"]
    assert sorted(found["findings"], key=lambda one: order.index(one["confidence"])) == found["findings"]
    shop = found["workloads"][0]
    assert keys(shop) == ["kind", "namespace", "name", "containers"]
    assert [one["name"] for one in shop["containers"]] == ["migrate", "app", "helper", "good", "assets"]
    assert {"name", "image"} <= shop["containers"][0].keys()
    assert [one["name"] for one in found["workloads"][2]["containers"]] == ["app", "shell"]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["clean.yaml"], 0),
        (["clean.yaml", "--fail-on-unknown"], 0),
        (["namespace.yaml"], 0),
        (["namespace.yaml", "--fail-on", "advisory"], 1),
        (["namespace.yaml", "--fail-on-unknown"], 1),
        (["shop.yaml", "--fail-on", "certain"], 1),
        (["clean.yaml", "broken.yaml"], 2),
        (["clean.yaml", "nothing.yaml"], 2),
        (["values.txt"], 2),
        ([], 2),
        (["clean.yaml", "-o", "xml"], 2),
        (["clean.yaml", "--trace"], 2),
        (["clean.yaml", "--kubeconfig", "x"], 2),
        (["clean.yaml", "--cluster", "--kubeconfig", "/nonexistent/kubeconfig"], 2),
    ],
)
def test_exit_status(pullproof, arguments, status):
    done = pullproof("check", *arguments)
    assert done.returncode == status
    assert (status == 2) == bool(done.stderr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Error: name a file, a folder or a glob, or - for standard input"),
        (["nothing.yaml"], "pullproof: nothing.yaml does not exist"),
        (["*.nothing"], "pullproof: no file matches *.nothing"),
        (["a", "--trace"], "Error: --trace needs -o json"),
        (["a", "--context", "x"], "Error: --kubeconfig and --context need --cluster"),
    ],
)
def test_usage_errors_say_what_to_do(pullproof, arguments, message):
    assert pullproof("check", *arguments).stderr.splitlines()[-1] == message


def test_files_folders_globs_and_standard_input_are_one_input(pullproof, tmp_path):
    shutil.copytree(MANIFESTS, tmp_path / "all")
    (tmp_path / "all" / "broken.yaml").unlink()
    by_folder = pullproof("check", "-f", "all", "-o", "json", cwd=tmp_path)
    by_glob = pullproof("check", "-f", "all/*.yaml", "all/list.json", "-o", "json", cwd=tmp_path)
    assert json.loads(by_folder.stdout)["summary"] == json.loads(by_glob.stdout)["summary"]
    text = (MANIFESTS / "shop.yaml").read_text()
    by_file = json.loads(pullproof("check", "-f", "shop.yaml", "-o", "json").stdout)
    by_pipe = json.loads(pullproof("check", "-f", "-", "-o", "json", stdin=text).stdout)
    assert {one.pop("file") for one in by_pipe["findings"]} == {"<stdin>"}
    assert {one.pop("file") for one in by_file["findings"]} == {"shop.yaml"}
    assert by_pipe == by_file


def test_helm_and_kustomize_output(pullproof):
    """Helm writes comments between `---` lines and empty documents; kustomize no `---` at the end."""
    rendered = "---\n# Source: chart/templates/a.yaml\n---\n# Source: chart/templates/b.yaml\n" + POD + "---\n"
    done = pullproof("check", "-f", "-", stdin=rendered)
    assert done.returncode == 1
    assert done.stdout.startswith("<stdin>:8:61: certain PULL104")


POD = """\
apiVersion: v1
kind: Pod
metadata: {name: shop}
spec: {containers: [{name: app, image: registry.example.com/App:1}]}
"""


@pytest.mark.parametrize(
    ("kind", "document", "said"),
    [
        pytest.param("Secret", "data: [1]", None, id="a-secret-of-odd-shape"),
        pytest.param("ServiceAccount", "automountServiceAccountToken: false", None, id="no-pull-secrets"),
        pytest.param("ServiceAccount", "imagePullSecrets: {a: b}", "imagePullSecrets: ", id="no-list"),
        pytest.param("ServiceAccount", "imagePullSecrets: [a]", "imagePullSecrets[0]: ", id="no-map"),
        pytest.param("Namespace", "x: y", None, id="no-labels"),
        pytest.param("Node", "status: {images: [a]}", None, id="a-node-of-odd-shape"),
        pytest.param("Node", "spec: {taints: a}", "spec.taints: ", id="a-node-of-wrong-shape"),
    ],
)
def test_facts_of_any_shape_are_taken_or_told(pullproof, kind, document, said):
    text = f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: a}}\n{document}\n---\n{POD}"
    done = pullproof("check", "-f", "-", stdin=text)
    assert done.returncode == (2 if said else 1)
    if said:
        assert f"unreadable: document 1: {said}" in done.stderr


def test_facts_of_the_input_are_known(pullproof):
    text = POD.replace("App:1", "app:1")
    before = json.loads(pullproof("check", "-f", "-", "-o", "json", stdin=text).stdout)
    assert [one["message"] for one in before["findings"] if one["code"] == "PULL901"] == [
        "the namespace's labels are unknown: the input has no Namespace default"
    ]
    text += "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n"
    after = json.loads(pullproof("check", "-f", "-", "-o", "json", stdin=text).stdout)
    assert [one for one in after["findings"] if one["code"] == "PULL901"] == []


def test_a_suspended_job_and_an_image_that_is_filled_in_later(pullproof):
    text = """\
apiVersion: apps.example.com/v1
kind: Deployment
metadata: {name: other}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: openshift}
spec: {template: {spec: {containers: [{name: app, image: " "}]}}}
"""
    done = pullproof("check", "-f", "-", stdin=text)
    assert done.returncode == 0
    assert done.stderr == "<stdin>:2: note: apps.example.com/v1 Deployment is not looked into\n"


def test_output_that_goes_nowhere(pullproof):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [PROGRAM, "check", "shop.yaml"],
            cwd=MANIFESTS, env=environment(), stdout=full, stderr=subprocess.PIPE, check=False, text=True,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "pullproof: no space left on device\n")
