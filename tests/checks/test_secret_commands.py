"""The commands of the checks of pull secrets: whole shell commands, whatever anybody calls a Secret."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from webhook.checks.secret import _commands
from webhook.model.facts import SecretPlace
from webhook.model.node import NodeFacts, NodeSet
from webhook.model.reference import parse

CASES = Path(__file__).resolve().parents[1] / "cases"
HOSTILE = "x'; touch pwned; echo $(id) `id` \"#"


def fixes() -> list[Any]:
    return [
        pytest.param(command, id=f"{file.stem}-{index}")
        for file in sorted(CASES.glob("PULL3*.yaml"))
        for index, case in enumerate(yaml.safe_load(file.read_text())["fails"])
        for command in re.findall(r"run `([^`]+)`", case["fix"])
    ]


@pytest.mark.parametrize("command", fixes())
def test_every_command_of_the_cases_is_one_for_a_posix_shell(command: str) -> None:
    done = subprocess.run(["sh", "-n", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert shlex.split(command)


@pytest.mark.parametrize(
    "command",
    [
        _commands.create(HOSTILE, HOSTILE, parse("quay.io/team/app")),
        _commands.copy(SecretPlace(HOSTILE, HOSTILE), HOSTILE, HOSTILE),
        _commands.retype(HOSTILE, HOSTILE),
        _commands.attach(HOSTILE, HOSTILE, (HOSTILE,)),
    ],
    ids=["create", "copy", "retype", "attach"],
)
def test_a_hostile_name_is_one_word_of_the_shell(command: str, tmp_path: Path) -> None:
    # every program is replaced by a function that shows its words
    script = f'kubectl() {{ for word in "$@"; do printf "<%s>" "$word"; done; }}\n{command}'
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"<{HOSTILE}><-n><{HOSTILE}>" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("regcred", True),
        ("all-icr-io", True),
        ("a.b-c.d", True),
        ("", False),
        ("Reg", False),
        ("-a", False),
        ("a-", False),
        ("a..b", False),
        ("a" * 254, False),
    ],
)
def test_what_a_secret_can_be_called(name: str, fits: bool) -> None:
    assert _commands.is_secret_name(name) is fits


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("us.icr.io/a/b", "us-icr-io"),
        ("registry.contoso.com:5000/a", "registry-contoso-com-5000"),
        ("111122223333.dkr.ecr.eu-west-1.amazonaws.com/a", "ecr-eu-west-1"),
        ("[::1]:5000/a", "1-5000"),
        ("nginx", "docker-io"),
    ],
)
def test_a_new_secret_is_called_by_its_registry(image: str, name: str) -> None:
    assert _commands.name_for(parse(image)) == name
    assert _commands.is_secret_name(name)


def test_the_clouds_of_nodes() -> None:
    nodes = (
        NodeFacts(name="a", labels={}, provider_id="azure:///subscriptions/0/vm"),
        NodeFacts(name="b", labels={}, provider_id="", os_image="Red Hat Enterprise Linux CoreOS 418.94"),
        NodeFacts(name="c", labels={}),
    )
    assert NodeSet(nodes).clouds() == {"azure", "openshift"}
    assert NodeSet(()).clouds() == frozenset()
