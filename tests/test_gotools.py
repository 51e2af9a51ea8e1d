"""Builds of Go programs: made once, found again, and failing with go's own words."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import gotools
from tests.gotools import BuildError, build, cache_dir, go_binary

GOOD = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("built") }\n'


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module example.test/hello/v2\n\ngo 1.26.0\n")
    (folder / "main.go").write_text(GOOD)
    return folder


def test_a_program_is_built_and_runs(module: Path, tmp_path: Path) -> None:
    program = build(module, ["."], tmp_path / "out") / "hello"
    assert subprocess.check_output([program], text=True) == "built\n"


def test_what_is_built_is_found_again(module: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = build(module, ["."], tmp_path / "out")
    made = (first / "hello").stat().st_mtime_ns
    capfd.readouterr()
    assert build(module, ["."], tmp_path / "out") == first
    assert (first / "hello").stat().st_mtime_ns == made
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("changed", ["go.mod", "main.go", "go.sum", "ldflags"])
def test_a_change_of_the_sources_is_another_build(module: Path, tmp_path: Path, changed: str) -> None:
    first = build(module, ["."], tmp_path / "out")
    flags = "-X main.version=2" if changed == "ldflags" else ""
    if changed != "ldflags":
        with (module / changed).open("a") as file:
            file.write("// changed\n" if changed != "go.sum" else "")
    second = build(module, ["."], tmp_path / "out", ldflags=flags)
    assert second != first
    assert (second / "hello").exists()


def test_progress_names_what_is_built(module: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build(module, ["."], tmp_path / "hello-v2")
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].startswith("building hello-v2 (hello): 0 s, ")
    assert lines[-1].startswith("built hello-v2 (hello) in ")


def test_concurrent_builds_build_once(module: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with ThreadPoolExecutor(3) as threads:
        folders = {job.result() for job in [threads.submit(build, module, ["."], tmp_path / "out") for _ in range(3)]}
    assert len(folders) == 1
    assert sum(line.startswith("built ") for line in capfd.readouterr().err.splitlines()) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == [folders.pop().name]


def test_an_error_in_the_source_is_the_message(module: Path, tmp_path: Path) -> None:
    (module / "main.go").write_text("package main\n\nfunc main() { missing() }\n")
    with pytest.raises(BuildError, match=r"(?s)go build of out \(hello\) in .* failed \(1\):.*undefined: missing"):
        build(module, ["."], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("hello")] == []


def test_an_unpinned_dependency_is_the_message(module: Path, tmp_path: Path) -> None:
    (module / "go.mod").write_text(
        "module example.test/hello\n\ngo 1.26.0\n\nrequire github.com/distribution/reference v0.6.0\n"
    )
    (module / "main.go").write_text('package main\n\nimport _ "github.com/distribution/reference"\n\nfunc main() {}\n')
    with pytest.raises(BuildError, match=r"missing go\.sum entry for module providing package"):
        build(module, ["."], tmp_path / "out")


def test_a_library_is_no_program(module: Path, tmp_path: Path) -> None:
    (module / "main.go").write_text("package hello\n")
    with pytest.raises(BuildError, match="hello"):
        build(module, ["."], tmp_path / "out")


def test_an_old_go_on_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go1.19.8\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    go = go_binary()
    assert cache_dir() in go.parents
    said = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"go version go{gotools.GO_VERSION} ")


def test_a_go_newer_than_the_pinned_one_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(BuildError, match=r"a go\.mod asks for go 99\.0, requirements-go\.txt pins"):
        go_binary("99.0")


@pytest.mark.parametrize(
    ("own", "xdg", "expected"),
    [
        ("/own", "/xdg", "/own"),
        ("", "/xdg", "/xdg/pullproof"),
        ("", "", "/home/someone/.cache/pullproof"),
    ],
)
def test_cache_folder(monkeypatch: pytest.MonkeyPatch, own: str, xdg: str, expected: str) -> None:
    monkeypatch.setenv("PULLPROOF_CACHE", own)
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_dir() == Path(expected)
