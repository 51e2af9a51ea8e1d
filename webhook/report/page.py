"""A check's documentation page, from its module's docstring: for `pullproof explain`, docs/checks/ and editors alike.

Raises ValueError for a docstring that lacks one of the headings, so that a page can't be half written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import HEADINGS

if TYPE_CHECKING:
    from webhook.checks.base import Check


def sections(code: str, docstring: str) -> tuple[str, dict[str, str]]:
    """The summary line and heading → text, in the order of `HEADINGS`."""
    lines = docstring.strip().splitlines()
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if below and set(below) == {"-"} and len(below) == len(line):
            current = found[line] = []
        elif not (line and set(line) == {"-"}):
            current.append(line)
    if tuple(found) != HEADINGS:
        raise ValueError(f"{code}: the docstring's headings are {list(found)}, not {list(HEADINGS)}")
    return lines[0], {heading: "\n".join(text).strip("\n") for heading, text in found.items()}


def markdown(check: Check, docstring: str) -> str:
    """The page as Markdown."""
    summary, parts = sections(check.code, docstring)
    body = "".join(f"\n## {heading}\n\n{text}\n" for heading, text in parts.items())
    facts = f"Confidence: at most `{check.confidence.word}`. Healed by: `{check.heals.value}`."
    return f"# {check.code} {check.name}\n\n{summary}\n\n{facts}\n{body}"


def plain(check: Check, docstring: str) -> str:
    """The page for a terminal."""
    summary, parts = sections(check.code, docstring)
    body = "".join(f"\n{heading.upper()}\n\n{text}\n" for heading, text in parts.items())
    facts = f"confidence: at most {check.confidence.word}; healed by: {check.heals.value}"
    return f"{check.code} {check.name}\n\n{summary}\n{facts}\n{body}"
