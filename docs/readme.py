"""Runs the README's commands as a reader would, and compares what they print with what the README shows.

A block ```sh holds commands, a line each; they must succeed. A block ```console that follows holds the output of the
command in its first line (`$ …`), to the letter. `--write` puts the real output in its place.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"^```(sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(command: str, *, show: bool) -> tuple[int, str]:
    """Exit status and standard output of one command line, shown as it comes; what goes to stderr is progress."""
    lines = []
    # under `make docs` a make of the reader's would name the directories that it enters
    env = {name: value for name, value in os.environ.items() if name not in {"MAKELEVEL", "MAKEFLAGS", "MFLAGS"}}
    with subprocess.Popen(
        ["/bin/bash", "-c", command], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 - PIPE
        for line in process.stdout:
            lines.append(line)
            if show:
                print(line, end="", flush=True)
    return process.returncode, "".join(lines)


def main() -> int:
    text = README.read_text(encoding="utf-8")
    write = "--write" in sys.argv
    failures: list[str] = []
    shown: dict[str, str] = {}
    for kind, body in BLOCK.findall(text):
        if kind == "console":
            command, _, expected = body.removeprefix("$ ").partition("\n")
            shown[command] = expected
    for kind, body in BLOCK.findall(text):
        for command in body.splitlines() if kind == "sh" else []:
            if write and command not in shown:
                continue
            print(f"\n$ {command}", flush=True)
            status, output = run(command, show=True)
            if status != 0:
                failures.append(f"`{command}` ended with status {status}")
            if command in shown:
                expected = shown.pop(command)
                text = text.replace(f"```console\n$ {command}\n{expected}```", f"```console\n$ {command}\n{output}```")
                if output != expected and not write:
                    failures.append(f"README.md shows another output of `{command}`; see `make docs`")
    for command, expected in shown.items():
        status, output = run(command, show=False)
        print(f"\n$ {command}\n{output}", flush=True)
        text = text.replace(f"```console\n$ {command}\n{expected}```", f"```console\n$ {command}\n{output}```")
        if output != expected and not write:
            failures.append(f"README.md shows another output of `{command}` (status {status}); see `make docs`")
    if write:
        README.write_text(text, encoding="utf-8")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
