from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.cli.inspect import _inspector
from webhook.report.inspection import json_line

IMAGES = [
    "nginx",
    "registry.example.com:5000/Team/app:1",
    "registry.example.com/app@sha256:abc",
    "registry.example.com/app:1@sha256:" + "0" * 64,
    "[::1]:5000/app",
    " nginx",
    "",
    "ngin\u0445:1",
    "a\x1b[31m\u202eb",
]


@pytest.mark.parametrize("output", ["txt", "json", "jsonl"])
def test_output(pullproof, golden, output):
    done = pullproof("inspect", "-o", "text" if output == "txt" else output, "--", *IMAGES)
    assert (done.returncode, done.stderr) == (0, "")
    golden(f"inspect.{output}", done.stdout)


def test_the_keys_are_a_promise(pullproof):
    (found,) = json.loads(pullproof("inspect", "-o", "json", "nginx").stdout)
    assert list(found) == [
        *("image", "valid", "error", "domain", "path", "tag", "digest", "registry", "os", "findings"),
    ]
    assert found["domain"] == "docker.io"
    assert found["path"] == "library/nginx"
    assert found["tag"] == "latest"
    assert found["digest"] is None
    assert found["error"] is None
    (invalid,) = json.loads(pullproof("inspect", "-o", "json", "Nginx:1").stdout)
    assert list(invalid) == list(found)
    assert invalid["error"] == {"message": "upper case in the path", "column": 1}
    assert list(invalid["findings"][0])[:7] == [
        *("code", "name", "confidence", "heals", "message", "fix", "suggestion"),
    ]


def test_a_tag_is_latest_only_without_a_digest(pullproof):
    (found,) = json.loads(pullproof("inspect", "-o", "json", "nginx@sha256:" + "0" * 64).stdout)
    assert (found["tag"], found["digest"]) == (None, "sha256:" + "0" * 64)


@pytest.mark.parametrize("output", ["json", "jsonl"])
def test_each_line_gives_one_result_in_order_exactly_as_given(pullproof, output):
    lines = [b"nginx", b"", b" a ", b"b\r", b"\xff\xfe", b"\x00", b"c\x0bd\xe2\x80\xa8e", b"x" * 70_000, b"last"]
    done = pullproof("inspect", "-o", output, "-", stdin=b"\n".join(lines))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    found = json.loads(done.stdout) if output == "json" else list(map(json.loads, done.stdout.splitlines()))
    assert [one["image"].encode("utf-8", "surrogateescape") for one in found] == lines


def test_no_input_gives_no_result(pullproof):
    assert pullproof("inspect", "-o", "json", "-").stdout == "[]\n"
    assert pullproof("inspect", "-o", "jsonl", "-").stdout == ""
    assert pullproof("inspect", "-o", "jsonl", "-", stdin="\n").stdout.count("\n") == 1


def test_lines_and_names_together_keep_their_order(pullproof):
    done = pullproof("inspect", "-o", "jsonl", "first:1", "-", "last:1", stdin="second:1\nthird:1\n")
    assert [json.loads(line)["image"] for line in done.stdout.splitlines()] == [
        "first:1", "second:1", "third:1", "last:1",
    ]  # fmt: skip


def test_a_line_without_end_is_unreadable(pullproof):
    done = pullproof("inspect", "-", stdin=b"nginx:1\n" + b"x" * (2 << 20))
    assert done.returncode == 2
    assert done.stderr == "pullproof: line 2 of standard input is longer than 1 MiB\n"
    assert done.stdout.startswith("nginx:1\n")


def test_no_image_at_all_is_wrong_usage(pullproof):
    done = pullproof("inspect")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "Error: Missing argument 'IMAGE...|-'."


def test_thirty_thousand_lines(pullproof):
    drawn = random.Random(4)
    hosts = ["", "quay.io/", "contoso{}.azurecr.io/", "registry{}.example.com:5000/", "quayy.io/", "Foo/", "a b/"]
    lines = [drawn.choice(hosts).format(n) + f"team{n % 97}/app{n}:{n}" for n in range(30_000)]
    done = pullproof("inspect", "-o", "jsonl", "-", stdin="\n".join(lines))
    found = [json.loads(line)["image"] for line in done.stdout.splitlines()]
    assert found == lines


@settings(max_examples=300)
@given(
    st.text(st.characters(exclude_characters="\n"), max_size=40)
    | st.binary(max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
)
def test_any_line_is_read(image):
    found = json.loads(json_line(_inspector(None)(image)))
    assert found["image"] == image
    assert found["valid"] == (found["error"] is None)
