"""certs/make.py, run as a user runs it."""

import base64
import datetime as dt
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from webhook.tls import issue

ROOT = Path(__file__).resolve().parents[2]


def make(*arguments, status=0):
    command = [sys.executable, "-W", "error", ROOT / "certs" / "make.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == status, done.stderr
    return done


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def problems(folder, *names):
    files = contents(folder)
    now = dt.datetime.now(dt.UTC)
    return issue.check_pair(files["tls.crt"], files["tls.key"], files["ca.crt"], names, now)


def test_it_writes_a_pair_that_is_trusted_and_prints_the_bundle(tmp_path):
    folder = tmp_path / "new"
    done = make("--out", folder)
    assert sorted(contents(folder)) == ["ca.crt", "tls.crt", "tls.key"]
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        "ca.crt": 0o644,
        "tls.crt": 0o644,
        "tls.key": 0o600,
    }
    assert problems(folder, "localhost", "127.0.0.1", "::1") == ()
    assert done.stdout == f"caBundle: {base64.b64encode(contents(folder)['ca.crt']).decode()}\n"
    assert "PRIVATE" not in done.stdout + done.stderr
    assert f"wrote ca.crt, tls.crt and tls.key to {folder}\n" in done.stderr


def test_a_good_pair_is_kept_until_other_names_or_force_ask_for_another(tmp_path):
    make("--out", tmp_path, "--dns", "webhook.example.test", "--days", "2")
    first = contents(tmp_path)
    assert "kept the pair" in make("--out", tmp_path, "--dns", "webhook.example.test").stderr
    assert contents(tmp_path) == first
    make("--out", tmp_path, "--dns", "webhook.example.test", "--force")
    second = contents(tmp_path)
    assert second["tls.key"] != first["tls.key"]
    make("--out", tmp_path, "--ip", "192.0.2.7")
    assert problems(tmp_path, "192.0.2.7") == ()
    assert problems(tmp_path, "webhook.example.test") == ("the certificate does not cover webhook.example.test",)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--ip", "nowhere"], 1, "Error: not a name that a certificate can carry: "),
        (["--days", "0"], 2, "Invalid value for '--days'"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, arguments, status, words):
    done = make("--out", tmp_path, *arguments, status=status)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(tmp_path) == {}


def test_nothing_secret_can_be_committed():
    names = [f"certs/{name}" for name in ("ca.crt", "tls.crt", "tls.key", "any.pem")]
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", *names], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert ignored.stdout.split() == names
