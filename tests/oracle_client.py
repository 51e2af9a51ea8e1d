"""Asks the Go programs of tests/oracle: what Kubernetes' own packages answer, for the differential tests.

Must not: judge. A program that can't be built or that stops early is an error with its own words, never a skip.
"""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.gotools import build, cache_dir

if TYPE_CHECKING:
    from collections.abc import Iterable

MODULE = Path(__file__).with_name("oracle")


class OracleError(RuntimeError):
    """An oracle did not answer; the message ends with what it said on stderr."""


@cache
def program(name: str) -> Path:
    """The path of the built program `tests/oracle/<name>`. Raises tests.gotools.BuildError."""
    return build(MODULE, [f"./{name}"], cache_dir() / "oracle") / name


def ask(name: str, questions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One answer per question, in order, from `tests/oracle/<name>`. Raises OracleError."""
    lines = [json.dumps(question) for question in questions]
    done = subprocess.run(
        [program(name)],
        input="\n".join(lines).encode("ascii"),
        capture_output=True,
        check=False,
    )
    answers = done.stdout.splitlines()
    if done.returncode != 0 or len(answers) != len(lines):
        said = done.stderr.decode(errors="replace").strip()
        raise OracleError(f"{name}: {len(answers)} answers to {len(lines)} questions, exit {done.returncode}: {said}")
    return [json.loads(answer) for answer in answers]
