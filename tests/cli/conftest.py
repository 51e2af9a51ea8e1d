"""The command as a user runs it: a process of its own, in a folder with manifests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MANIFESTS = Path(__file__).with_name("manifests")
BIN = Path(sys.executable).parent
PROGRAM = BIN / "pullproof"


def environment(**more: str) -> dict[str, str]:
    """Nothing of the developer's own settings."""
    kept = {name: os.environ[name] for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX") if name in os.environ}
    return {"PATH": f"{BIN}:{os.defpath}", "HOME": "/nonexistent", "LANG": "C.UTF-8", **kept, **more}


@pytest.fixture
def pullproof() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command: `pullproof("check", "-f", "a.yaml", cwd=…, stdin=…, env={…})`."""

    def run(
        *arguments: str,
        cwd: Path = MANIFESTS,
        stdin: str | bytes = b"",
        env: dict[str, str] | None = None,
        program: Sequence[str | Path] = (PROGRAM,),
    ) -> subprocess.CompletedProcess[str]:
        content = stdin.encode("utf-8", "surrogateescape") if isinstance(stdin, str) else stdin
        done: Any = subprocess.run(
            [*program, *arguments],
            cwd=cwd,
            input=content,
            capture_output=True,
            env=environment(**(env or {})),
            check=False,
        )
        out, err = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
        assert "Traceback" not in err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return run
