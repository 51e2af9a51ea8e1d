"""`pullproof explain`: the page of a check, which is its module's docstring; without a code, all checks.

Of a code that only `diagnose` tells, since nothing shows it before a pull, the line that docs/diagnosis.md has.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from webhook.errors import PullproofError
from webhook.model.text import printable

if TYPE_CHECKING:
    from types import ModuleType

    from webhook.diagnosis.codes import Code

_NEAR: Final = 4


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    del ctx, param
    from webhook.checks.index import modules
    from webhook.diagnosis.codes import MEANING

    return [code for code in (*modules(), *MEANING) if code.startswith(incomplete.upper())]


@click.command()
@click.argument("code", required=False, shell_complete=_complete)
def command(code: str | None) -> None:
    """Show what a check does, why the pull fails, and what to do; without CODE, list all checks.

    \b
    Examples:
      pullproof explain PULL104
      pullproof explain upper-case-in-reference
      pullproof explain
    """
    from webhook.checks.index import modules
    from webhook.report.page import plain, sections

    if code is not None:
        told = _told_afterwards(code)
        if told is not None:
            sys.stdout.write(_line(told))
            return
        module = _find(code)
        sys.stdout.write(plain(module.CHECK, module.__doc__ or ""))
        return
    for module in modules().values():
        check = module.CHECK
        summary, _ = sections(check.code, module.__doc__ or "")
        sys.stdout.write(f"{check.code}  {check.name}\n    {summary} At most {check.confidence.word}.\n")


def _told_afterwards(text: str) -> Code | None:
    """The code or name of that, if `diagnose` alone tells it."""
    from webhook.diagnosis.codes import CODES, MEANING

    wanted = _code_of(text)
    return next((one for one in CODES.values() if one.code in MEANING and wanted in (one.code, one.name.upper())), None)


def _line(told: Code) -> str:
    from webhook.diagnosis.codes import MEANING

    return (
        f"{told.code} {told.name}\n\n{MEANING[told.code]}\n\n"
        "told by `pullproof diagnose` and `pullproof scan`: nothing shows it before a pull\n"
    )


def _code_of(text: str) -> str:
    """`504` and `pull504` are PULL504; a name stays what it is, in upper case."""
    wanted = text.strip().upper()
    return f"PULL{wanted}" if wanted.isascii() and wanted.isdigit() else wanted


def _find(text: str) -> ModuleType:
    """The check of that code or name. Raises PullproofError, which lists what is near."""
    from webhook.checks.index import modules

    wanted = _code_of(text)
    by_word = {word.upper(): module for code, module in modules().items() for word in (code, module.CHECK.name)}
    if wanted in by_word:
        return by_word[wanted]
    from difflib import get_close_matches

    near = dict.fromkeys(by_word[word].CHECK for word in get_close_matches(wanted[:80], by_word, _NEAR, 0.6))
    listed = ", ".join(f"{check.code} {check.name}" for check in near)
    raise PullproofError(
        f"no check is called {printable(text, 80)}" + (f"; near it: {listed}" if listed else ""),
        fix="`pullproof explain` lists all",
    )
