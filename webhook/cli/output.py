"""What the commands share about their output: when it is coloured, and how wide a terminal is."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from webhook.report.text import Style

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

_WIDTH: Final = 160  # of lines that go to a file: enough for any manifest that people write

color_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="When to colour text. `auto`: on a terminal, unless NO_COLOR is set.",
)


def style(color: str, stream: TextIO | None = None) -> Style:
    """How to paint text for `stream`, standard output by default (https://no-color.org)."""
    stream = sys.stdout if stream is None else stream
    terminal = stream.isatty()
    wanted = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    width = shutil.get_terminal_size((_WIDTH, 24)).columns if terminal else _WIDTH
    return Style(colour=color == "always" or (color == "auto" and wanted), width=width)
