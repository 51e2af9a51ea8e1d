"""`pullproof completion`: the script that makes a shell complete commands, options, files and codes."""

from __future__ import annotations

import sys

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      source <(pullproof completion bash)                 in ~/.bashrc
      source <(pullproof completion zsh)                  in ~/.zshrc, after compinit
      pullproof completion fish > ~/.config/fish/completions/pullproof.fish
    """
    from webhook.cli.group import cli

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 click has all three
    sys.stdout.write(kind(cli, {}, "pullproof", "_PULLPROOF_COMPLETE").source())
