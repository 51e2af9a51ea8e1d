"""`pullproof policy` as users run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).with_name("policies")
EXPLAIN = ("policy", "explain", "-f", "policies.yaml")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("policy-explain.txt", ("-n", "shop")),
        ("policy-explain-image.txt", ("-n", "shop", "--image", "contoso.azurecr.io/beta/app")),
        ("policy-explain-refused.txt", ("-n", "other", "--image", "ghcr.io/contoso/app:1")),
        ("policy-explain.json", ("-n", "shop", "--image", "contoso.azurecr.io/beta/app", "-o", "json")),
    ],
)
def test_explain(pullproof, golden, name, arguments):
    done = pullproof(*EXPLAIN, *arguments, cwd=FOLDER)
    assert (done.returncode, done.stderr) == (0, "")
    golden(name, done.stdout)


def test_explain_what_no_policy_is_for(pullproof):
    done = pullproof("policy", "explain", "-f", "failing.yaml", cwd=FOLDER)
    assert done.stdout.splitlines()[:3] == [
        "namespace default",
        "no policy is for it: its labels and the webhook's own defaults hold",
        "levels",
    ]


def test_explain_from_a_cluster(pullproof, control_plane, namespace):
    control_plane.kubectl("label", "namespace", namespace, "pullproof.dev/enforce=likely")
    kubeconfig = ("--kubeconfig", str(control_plane.kubeconfig))
    done = pullproof("policy", "explain", "-n", namespace, *kubeconfig, "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["levels"]["enforce"] == {"level": "likely", "because": "label pullproof.dev/enforce"}
    done = pullproof("policy", "explain", "-n", f"{namespace}-not-there", *kubeconfig)
    assert (done.returncode, done.stderr) == (2, f"pullproof: there is no namespace {namespace}-not-there\n")


@pytest.mark.parametrize(
    ("file", "status", "name"),
    [("cases.yaml", 0, "policy-test.txt"), ("failing.yaml", 1, "policy-test-failing.txt")],
)
def test_cases(pullproof, golden, file, status, name):
    done = pullproof("policy", "test", file, cwd=FOLDER)
    assert (done.returncode, done.stderr) == (status, "")
    golden(name, done.stdout)


def test_cases_as_json(pullproof):
    found = json.loads(pullproof("policy", "test", "failing.yaml", "-o", "json", cwd=FOLDER).stdout)
    assert found["failed"] == 1
    assert found["cases"][0]["decision"] == "deny"
    assert found["cases"][0]["findings"] == ["PULL802"]


CASE = "cases: [{{name: a, image: b, {}, expect: {{findings: []}}}}]"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cases: {}", "cases: a list belongs here; `pullproof policy test --help` shows one"),
        ("a: [", " line 1 no YAML"),
        ("cases: [{name: a, image: b}]", " cases[0]: expect: says nothing"),
        (
            "cases: [{name: a, image: b, expect: {decision: no}}]",
            " cases[0].expect.decision: none of deny, warn, allow",
        ),
        ("cases: [{name: a, image: b, expect: {findngs: []}}]", " cases[0].expect: findngs: no such field"),
        ("cases: [{name: a, expect: {findings: []}}]", " cases[0]: either an image or an object belongs here"),
        ("policies: [none.yaml]\ncases: []", "none.yaml does not exist"),
        ("policy: [none.yaml]\ncases: []", "cases.yaml: policy: no such field"),
        (CASE.format("user: {group: [a]}"), " cases[0].user: group: no such field"),
        (CASE.format("user: {groups: a}"), " cases[0].user.groups: a list of groups belongs here"),
        (
            CASE.format("labels: {pullproof.dev/enforce: off}"),
            " cases[0].labels: pullproof.dev/enforce: no string; write it in quotes",
        ),
        (
            "cases: [{name: a, object: {apiVersion: v1, kind: Pod, spec: {containers: 5}}, expect: {findings: []}}]",
            "pullproof: a: spec.containers: a number where a list belongs",
        ),
        ("now: soon\ncases: []", " now: write a time such as 2027-01-01T00:00:00Z"),
    ],
)
def test_what_is_wrong_with_a_file(pullproof, tmp_path, text, told):
    (tmp_path / "cases.yaml").write_text(text)
    done = pullproof("policy", "test", "cases.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert told in done.stderr


def test_a_policy_that_says_what_cannot_be(pullproof, tmp_path):
    (tmp_path / "policy.yaml").write_text(
        "apiVersion: pullproof.dev/v1alpha1\nkind: ClusterPullPolicy\nmetadata: {name: a}\nspec: {flor: {}}\n"
    )
    done = pullproof("policy", "explain", "-f", "policy.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "pullproof: policy.yaml: spec.flor: no such field\n")


def test_check_knows_the_policies_of_its_input(pullproof):
    manifest = """
apiVersion: v1
kind: Pod
metadata: {name: one, namespace: shop}
spec: {containers: [{name: app, image: "ghcr.io/contoso/app:1"}, {name: beta, image: contoso.azurecr.io/beta/app}]}
"""
    done = pullproof("check", "-f", "policies.yaml", "-f", "-", "-o", "json", cwd=FOLDER, stdin=manifest)
    found = json.loads(done.stdout)
    assert [one["code"] for one in found["findings"]] == ["PULL802"]
    assert done.returncode == 1
    text = pullproof("check", "-f", "policies.yaml", "-f", "-", cwd=FOLDER, stdin=manifest).stdout
    assert "PULL107" not in text


def test_what_the_document_shows(pullproof, tmp_path):
    document = (Path(__file__).resolve().parents[2] / "docs" / "policy.md").read_text()

    def block(after):
        lines = document.partition(f"{after}\n\n")[2].split("\n\n")[0].splitlines()
        assert all(line.startswith("    ") for line in lines)
        return "".join(f"{line[4:]}\n" for line in lines)

    (tmp_path / "policies.yaml").write_text(block("## What a policy may say"))
    (tmp_path / "cases.yaml").write_text(block("A file of cases:"))
    done = pullproof("policy", "test", "cases.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, block("which prints"), "")
