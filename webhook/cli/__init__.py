"""The command `pullproof` (and `kubectl pullproof`): one module per command, imported when that command runs.

Start-up time is a promise (docs/performance.md): nothing but click may be imported here.
"""

from __future__ import annotations

import importlib
import sys
from typing import Final

import click

from webhook.errors import PullproofError

COMMANDS: Final = {
    "serve": "run the admission webhook",
}
_CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Commands(click.Group):
    """Commands by name, each in the module of that name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"webhook.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings=_CONTEXT)
@click.version_option(package_name="pullproof", message="%(prog)s %(version)s")
def cli() -> None:
    """Prove, before a pod is scheduled, that its images can be pulled."""


def main() -> None:
    """The entry point: every error is one line and exit 2, and Ctrl-C is no error's business."""
    try:
        cli.main(prog_name="pullproof", standalone_mode=True)
    except PullproofError as error:
        click.echo(f"pullproof: {error}" + (f"; {error.fix}" if error.fix else ""), err=True)
        sys.exit(2)
