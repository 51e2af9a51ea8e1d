"""`inspect IMAGE --secrets FILE`: the trace for a person and for scripts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from webhook.cli.inspect import command
from webhook.errors import PullproofError

if TYPE_CHECKING:
    from pathlib import Path

PLANTED = "planted-2e8d"


def secrets(folder: Path, **keys: str) -> str:
    file = folder / "secrets.yaml"
    documents = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {
                ".dockerconfigjson": json.dumps({"auths": {key: {"username": "iamapikey", "password": PLANTED}}})
            },
        }
        for name, key in keys.items()
    ]
    file.write_text("\n---\n".join(map(json.dumps, documents)))
    return str(file)


def test_a_person_sees_why_each_is_used_or_not(tmp_path: Path) -> None:
    file = secrets(tmp_path, german="de.icr.io", american="us.icr.io")
    result = CliRunner().invoke(command, ["us.icr.io/team/app:1", "--secrets", file], catch_exceptions=False)
    assert result.output == (
        "us.icr.io/team/app:1\n"
        "  us.icr.io/team/app, tag 1, registry ibm-cloud-container-registry\n"
        "  1. american: key `us.icr.io` covers us.icr.io/team/app\n"
        "  - german: key `de.icr.io` is for another host than us.icr.io\n"
    )


def test_the_near_miss_is_a_finding(tmp_path: Path) -> None:
    file = secrets(tmp_path, german="de.icr.io")
    result = CliRunner().invoke(command, ["us.icr.io/team/app:1", "--secrets", file], catch_exceptions=False)
    assert (
        "likely PULL305 credential-for-another-host: pull secret german is for de.icr.io, not for us.icr.io; "
        in result.output
    )
    assert PLANTED not in result.output


def test_scripts_get_the_keys_of_check_trace(tmp_path: Path) -> None:
    file = secrets(tmp_path, american="us.icr.io")
    result = CliRunner().invoke(command, ["-o", "jsonl", "us.icr.io/app:1", "--secrets", file], catch_exceptions=False)
    found = json.loads(result.output)
    assert found["keyring_error"] is None
    reason = "key `us.icr.io` covers us.icr.io/app"
    assert found["credentials"] == [{"secret": "american", "key": "us.icr.io", "matched": True, "reason": reason}]


def test_without_secrets_nothing_is_said_of_them() -> None:
    result = CliRunner().invoke(command, ["-o", "jsonl", "us.icr.io/team/app:1"], catch_exceptions=False)
    assert "credentials" not in json.loads(result.output)


def test_a_file_without_any_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text("apiVersion: v1\nkind: Pod\n")
    with pytest.raises(PullproofError, match="no Secret in "):
        CliRunner().invoke(command, ["nginx", "--secrets", str(file)], catch_exceptions=False)
