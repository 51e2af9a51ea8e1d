"""The group of commands: what `pullproof --help` shows, and which module answers to which name."""

from __future__ import annotations

import importlib

import click

from webhook.cli import BROKEN_PIPE, COMMANDS

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


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

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click would end with 1, which means "findings" here
            return BROKEN_PIPE

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings=_CONTEXT)
@click.version_option(package_name="pullproof", message="%(prog)s %(version)s")
def cli() -> None:
    """Prove, before a pod is scheduled, that its images can be pulled.

    \b
    Examples:
      pullproof check -f manifests/
      helm template ./chart | pullproof check -f -
      pullproof inspect nginx quay.io/org/app:1
      pullproof explain PULL101
    """
