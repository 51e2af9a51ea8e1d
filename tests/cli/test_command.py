"""What holds for every command: help, interrupts, broken pipes, locales, completion, kubectl's plugin look-up."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import BIN, MANIFESTS, PROGRAM, environment
from webhook.checks.index import modules
from webhook.cli import COMMANDS


@pytest.mark.parametrize(
    "command", [[], *([name] for name in COMMANDS)], ids=lambda command: " ".join(command) or "none"
)
def test_every_command_has_help_with_an_example(pullproof, command):
    done = pullproof(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Example" in done.stdout or "\nCommands:" in done.stdout  # a group has its examples below
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


def test_version(pullproof):
    assert pullproof("--version").stdout.startswith("pullproof 0.")


def test_an_unknown_command_is_one_line(pullproof):
    done = pullproof("chek")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "Error: No such command 'chek'."


# --- explain ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["PULL104", "pull104", "104", " PULL104", "upper-case-in-reference", "Upper-Case-In-Reference"]
)
def test_explain(pullproof, text):
    done = pullproof("explain", text)
    assert done.returncode == 0
    assert done.stdout.startswith("PULL104 upper-case-in-reference\n\nThe repository is written in upper case.\n")
    for heading in ("WHAT IT DOES", "WHY THE PULL FAILS", "EXAMPLE", "FIX", "LIMITS"):
        assert f"\n{heading}\n" in done.stdout


@pytest.mark.parametrize("text", ["PULL604", "604", "registry-tls"])
def test_explain_knows_what_only_diagnose_tells(pullproof, text):
    done = pullproof("explain", text)
    assert done.stdout == (
        "PULL604 registry-tls\n\n"
        "the node does not trust the registry's certificate, or the registry speaks plain HTTP\n\n"
        "told by `pullproof diagnose` and `pullproof scan`: nothing shows it before a pull\n"
    )
    assert (done.stderr, done.returncode) == ("", 0)


def test_explain_lists_all(pullproof):
    listed = pullproof("explain").stdout.splitlines()
    assert [line.split() for line in listed[::2]] == [[code, module.CHECK.name] for code, module in modules().items()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "uper-case-in-refrence",
            "no check is called uper-case-in-refrence; near it: PULL104 upper-case-in-reference",
        ),
        ("zzz", "no check is called zzz; `pullproof explain` lists all"),
        ("a\n\x1b[31m", "no check is called a\\n\\x1b[31m; `pullproof explain` lists all"),
        ("x" * 10_000, "no check is called " + "x" * 79 + "…; `pullproof explain` lists all"),
    ],
)
def test_explain_lists_what_is_near(pullproof, text, message):
    done = pullproof("explain", text)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"pullproof: {message}")
    assert done.stderr.count("\n") == 1


# --- interrupted -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["inspect", "-"], ["check", "-f", "-"]])
def test_ctrl_c_is_clean(arguments):
    process = subprocess.Popen(
        [PROGRAM, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    if arguments[0] == "inspect":
        process.stdin.write(b"nginx:1\n" * 1000)
        process.stdin.flush()
        assert process.stdout.readline() == b"nginx:1\n"
    else:
        process.stdin.write(b"a: 1\n" * 100_000)
        process.stdin.flush()  # it has read some of it: a pipe holds 64 KiB
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert err.strip() == b""
    assert out is not None


def test_whoever_reads_may_stop_reading(tmp_path):
    lines = tmp_path / "lines"
    lines.write_bytes(b"nginx:1\n" * 100_000)
    with lines.open("rb") as source:
        process = subprocess.Popen(
            [PROGRAM, "inspect", "-"], stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        assert process.stdout.readline() == b"nginx:1\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait() == 141


@pytest.mark.parametrize(
    "env", [{"LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "ascii"}]
)
def test_a_locale_without_the_characters(pullproof, env):
    done = pullproof("inspect", "ngin\u0445:1", env=env)
    assert done.returncode == 0
    assert "PULL106" in done.stdout
    assert done.stdout.isascii()


def test_an_error_of_our_own_is_one_line_and_a_stack_trace_only_on_demand(pullproof, tmp_path):
    code = "import webhook.cli, webhook.cli.group; webhook.cli.group.cli.main = lambda **_: {}['x']; webhook.cli.main()"
    program = [sys.executable, "-c", code]
    done = pullproof(program=program, cwd=Path(__file__).parents[2])
    assert done.returncode == 2
    assert done.stderr == "pullproof: internal error (KeyError at <string>:1); PULLPROOF_TRACEBACK=1 shows where\n"
    shown = subprocess.run(
        program, env=environment(PULLPROOF_TRACEBACK="1"), capture_output=True, text=True, check=False
    )
    assert "Traceback" in shown.stderr


# --- completion ------------------------------------------------------------------------------------------------------


def complete(shell: str, *words: str) -> list[str]:
    """What completion answers for a command line whose last word is not finished."""
    env = environment(_PULLPROOF_COMPLETE=f"{shell}_complete")
    if shell == "fish":
        env |= {"COMP_WORDS": " ".join(["pullproof", *words[:-1]]), "COMP_CWORD": words[-1]}
    else:
        env |= {"COMP_WORDS": " ".join(["pullproof", *words]), "COMP_CWORD": str(len(words))}
    done = subprocess.run([PROGRAM], env=env, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(pullproof, shell):
    done = pullproof("completion", shell)
    assert done.returncode == 0
    assert f"_PULLPROOF_COMPLETE={shell}_complete" in done.stdout
    assert any("inspect" in line for line in complete(shell, "ins"))
    assert any("PULL104" in line for line in complete(shell, "explain", "pull10"))
    assert any("sarif" in line for line in complete(shell, "check", "-o", "s"))


def test_completion_works_in_bash():
    script = f"""
        source <({PROGRAM} completion bash)
        COMP_WORDS=(pullproof check --fail-on ce)
        COMP_CWORD=3
        _pullproof_completion pullproof
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], env=environment(), capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("certain\n", "")


def test_an_unknown_shell_is_wrong_usage(pullproof):
    assert pullproof("completion", "tcsh").returncode == 2


# --- kubectl ---------------------------------------------------------------------------------------------------------


def test_kubectl_finds_the_plugin(control_plane):
    kubectl = str(control_plane.kubectl_program)
    done = subprocess.run(
        [kubectl, "pullproof", "check", "-f", "shop.yaml"],
        cwd=MANIFESTS,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout.startswith("shop.yaml:16:40: certain PULL104")
    shown = subprocess.run(
        [kubectl, "pullproof", "--help"], env=environment(), capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("Usage: kubectl pullproof [OPTIONS]")
    listed = subprocess.run([kubectl, "plugin", "list"], env=environment(), capture_output=True, text=True, check=False)
    assert str(BIN / "kubectl-pullproof") in listed.stdout


# --- pre-commit ------------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def pre_commit(folder, *arguments):
    env = environment(PRE_COMMIT_HOME=str(folder / ".cache"), PATH=f"{BIN}:{os.environ['PATH']}", HOME=str(folder))
    return subprocess.run(
        [BIN / "pre-commit", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def test_the_hook_definition_is_one(tmp_path):
    done = pre_commit(tmp_path, "validate-manifest", str(ROOT / ".pre-commit-hooks.yaml"))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_hook_checks_what_is_committed(tmp_path):
    """The definition from a repository, as users name it; installing it anew is pip's matter, so that is left out."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    definition = (ROOT / ".pre-commit-hooks.yaml").read_text()
    assert "language: python\n" in definition
    (hooks / ".pre-commit-hooks.yaml").write_text(definition.replace("language: python\n", "language: system\n"))
    git(hooks, "init", "-q")
    git(hooks, "add", ".")
    git(hooks, "commit", "-qm", "hooks")
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-q")
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=hooks, check=True, capture_output=True, text=True
    ).stdout
    (work / ".pre-commit-config.yaml").write_text(
        f"repos:\n- repo: {hooks}\n  rev: {revision}  hooks:\n  - id: pullproof\n"
    )
    for name in ("shop.yaml", "clean.yaml", "list.json"):
        shutil.copy(MANIFESTS / name, work / name)
    (work / "notes.txt").write_text("image: Nginx\n")
    git(work, "add", ".")
    failed = pre_commit(work, "run", "--all-files")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "list.json:1:" in failed.stdout
    assert "shop.yaml:16:40: certain PULL104" in failed.stdout
    git(work, "rm", "-qf", "shop.yaml", "list.json")
    passed = pre_commit(work, "run", "--all-files")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "Passed" in passed.stdout
