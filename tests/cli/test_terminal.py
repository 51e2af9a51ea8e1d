"""Colours and widths in a real terminal: tmux runs the command, and what stands on its screen is looked at."""

from __future__ import annotations

import re
import secrets
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import BIN, MANIFESTS, environment
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def screen(tmp_path) -> Callable[..., str]:
    """What a command leaves on a screen of so many columns, with its escape sequences."""

    def run(command: str, *, columns: int, **env: str) -> str:
        tmux = ["tmux", "-L", f"pullproof-{secrets.token_hex(4)}", "-f", "/dev/null"]  # a server of its own
        done = tmp_path / "done"
        done.unlink(missing_ok=True)
        settings = environment(TMUX_TMPDIR=str(tmp_path), TERM="xterm-256color")
        pairs = [
            part
            for name, value in {"PATH": f"{BIN}:/usr/bin:/bin", **env}.items()
            for part in ("-e", f"{name}={value}")
        ]
        line = f"cd {MANIFESTS} && {command}; echo $? > {done}; sleep 600"
        subprocess.run(
            [*tmux, "new-session", "-d", "-x", str(columns), "-y", "60", *pairs, "sh", "-c", line],
            env=settings,
            check=True,
        )
        try:
            eventually(done.exists)
            shown = subprocess.run(
                [*tmux, "capture-pane", "-p", "-e", "-J"], env=settings, capture_output=True, text=True, check=True
            )
        finally:
            subprocess.run([*tmux, "kill-server"], env=settings, check=False, capture_output=True)
        return "\n".join(line.rstrip() for line in shown.stdout.rstrip().splitlines()) + "\n"

    return run


_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def test_colours_on_a_terminal(screen, golden):
    shown = screen("pullproof check -f ignored.yaml", columns=140)
    golden("terminal.txt", _ESCAPE.sub("", shown))
    for coloured in (r"\x1b\[(?:1;)?31mcertain", r"\x1b\[32mfix:", r"\x1b\[1mPULL104"):
        assert re.search(coloured, shown), coloured


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_no_colours_where_nobody_wants_them(screen, env):
    exported = " ".join(f"{name}={value}" for name, value in env.items())
    shown = screen(f"env {exported} pullproof check -f ignored.yaml", columns=140)
    assert "PULL104" in shown
    assert "\x1b" not in shown


def test_color_always_wins_over_no_color_and_pipes_have_none(screen):
    assert "\x1b[" in screen("NO_COLOR=1 pullproof check --color always -f clean.yaml namespace.yaml", columns=140)
    assert "\x1b" not in screen("pullproof check -f namespace.yaml 2>&1 | cat", columns=140)


def test_a_narrow_terminal_shows_the_wrong_part(screen, golden):
    shown = screen("pullproof check --color never list.json", columns=60)
    golden("terminal-narrow.txt", shown)
    source = [line for line in shown.splitlines() if line.startswith("1 | ")]
    assert len(source) == 2
    assert all(len(line) <= 60 for line in source)
