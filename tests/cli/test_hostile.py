"""Input that nobody means well with: an error or an answer, in bounded memory, every name in one escaped line."""

from __future__ import annotations

import json
import resource
import subprocess

import pytest

from tests.cli.conftest import PROGRAM, environment

MEMORY = 1 << 30
POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: p{}}}
spec: {{containers: [{{name: a, image: "registry.example.com/a{}:1"}}]}}
"""


def check(folder, *arguments, stdin=None):
    """Run `check` with at most a gigabyte of address space."""
    done = subprocess.run(
        [PROGRAM, "check", *arguments],
        cwd=folder,
        env=environment(),
        stdin=stdin or subprocess.DEVNULL,
        capture_output=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in err
    assert "internal error" not in err
    assert "out of memory" not in err
    assert "\x1b" not in out + err
    return done.returncode, out, err


def bomb():
    rows = ["a0: &a0 [" + ",".join(["x"] * 9) + "]"]
    rows += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    return "\n".join(rows)


def bomb_of_containers():
    rows = ["x0: &x0 {name: a, image: Nginx}", "x1: &x1 [" + ",".join(["*x0"] * 1000) + "]"]
    lists = [
        "x2: &x2 {kind: List, items: ["
        + ",".join(["{apiVersion: v1, kind: Pod, spec: {containers: *x1}}"] * 900)
        + "]}"
    ]
    return "\n".join([*rows, *lists, "kind: List", "items: [" + ",".join(["*x2"] * 100) + "]"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(bomb(), "more than 3,000,000 values, aliases expanded", id="alias-bomb"),
        pytest.param(bomb_of_containers(), "more than 3,000,000 values, aliases expanded", id="alias-bomb-of-objects"),
        pytest.param("[" * 1_000_000, "more than 200 levels deep", id="deep-yaml"),
        pytest.param('{"a":' * 1_000_000, "more than 200 levels deep", id="deep-json"),
        pytest.param("- " * 100_000, "more than 200 levels deep", id="deep-block"),
        pytest.param("? " * 100_000, "more than 200 levels deep", id="deep-keys"),
        pytest.param('{"a":[' + "[]," * 4_000_000 + "0]}", "more than 3,000,000 values", id="many-values"),
        pytest.param(bytes(range(256)) * 100, "not UTF-8 text", id="binary"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "not UTF-8 text", id="picture"),
        pytest.param(b"\0" * 1000, "a NUL byte: this is no text", id="nul"),
        pytest.param("a: \u0007", "the control character U+0007, which YAML does not allow", id="bell"),
        pytest.param("\udcff".encode("utf-8", "surrogatepass"), "not UTF-8 text", id="surrogate"),
        pytest.param('{"a": "\\ud800"', "", id="half-a-surrogate"),
        pytest.param("!!python/object/apply:os.system [id]", "", id="python-tag"),
    ],
)
def test_an_error_in_one_line(tmp_path, content, message):
    (tmp_path / "a.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
    status, out, err = check(tmp_path, "-f", "a.yaml")
    assert err.count("\n") == 1
    assert message in err
    assert err.startswith("a.yaml:")
    assert status == (0 if "note:" in err else 2)
    assert out.count("\n") == 1


def test_a_file_of_a_hundred_megabytes_is_refused_at_once(tmp_path):
    with (tmp_path / "a.yaml").open("wb") as file:
        file.truncate(100 << 20)
    status, _, err = check(tmp_path, "-f", "a.yaml")
    assert (status, err) == (2, "a.yaml: unreadable: larger than 64 MiB; split it, or name the right file\n")
    with (tmp_path / "a.yaml").open("rb") as source:
        status, _, err = check(tmp_path, "-f", "-", stdin=source)
    assert (status, err) == (2, "<stdin>: unreadable: larger than 64 MiB; split it, or name the right file\n")
    assert check(tmp_path, "-f", "/dev/zero")[0] == 2


def test_one_value_of_thirty_megabytes(tmp_path):
    (tmp_path / "a.yaml").write_text(POD.format(1, "A" * (30 << 20)))
    status, out, _ = check(tmp_path, "-f", "a.yaml")
    assert status == 1
    assert len(out) < 2000


def test_ten_thousand_documents(tmp_path):
    (tmp_path / "a.yaml").write_text("---\n".join(POD.format(n, "A" * (n % 2)) for n in range(10_000)))
    status, out, err = check(tmp_path, "-f", "a.yaml")
    assert (status, err) == (1, "")
    assert out.count("PULL104") == 5000
    assert out.endswith("5000 certain, 10000 unknown in 10,000 workloads\n")


def test_ten_thousand_objects_in_one_line(tmp_path):
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a", "image": "Nginx"}]}}
    pods = ",".join(json.dumps(pod | {"metadata": {"name": f"p{n}"}}) for n in range(10_000))
    (tmp_path / "a.json").write_text('{"apiVersion":"v1","kind":"List","items":[' + pods + "]}\n{}")
    status, out, _ = check(tmp_path, "-f", "a.json")
    assert status == 1
    assert out.count("PULL104") == 10_000


def test_names_stay_in_their_line(tmp_path):
    evil = "a\\r\\nb\\u202Ec\\e[31md\\u200b\\u2028"
    (tmp_path / "a.yaml").write_text(
        f'apiVersion: v1\nkind: Pod\nmetadata: {{name: "{evil}", namespace: "{evil}"}}\n'
        f'spec: {{containers: [{{name: "{evil}", image: "{evil}"}}], imagePullSecrets: [{{name: "{evil}"}}]}}\n'
        f'---\napiVersion: "{evil}"\nkind: Deployment\n"{evil}": 1\n"{evil}": 2\n'
        f"# pullproof: ignore \u202e\u200b -- x\n"
    )
    (tmp_path / "b\n\x1b[31m\u202e.yaml").write_text("a: [\n")
    for output in ("text", "json", "sarif", "junit"):
        status, out, err = check(tmp_path, "-f", ".", "-o", output)
        assert status == 2
        for character in "\r\u202e\u200b\u2028":
            assert character not in out + err
    status, out, err = check(tmp_path, "-f", "a.yaml")
    assert "Pod a\\r\\nb\\u202ec\\x1b[31md\\u200b\\u2028/a\\r\\nb\\u202ec" in out
    assert "a.yaml:7: note: a\\r\\nb\\u202ec\\x1b[31md\\u200b\\u2028 Deployment is not looked into" in err
    assert "the key a\\r\\nb" in err
