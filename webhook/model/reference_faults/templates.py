"""Finds what a template engine, a shell or a person should have replaced.

Only what can't stand in a reference counts: `app:__TAG__` is a valid tag, and here nobody guesses.
"""

from __future__ import annotations

import re
from typing import Final

from webhook.model.reference import Fault
from webhook.model.reference_faults.problem import Problem, quoted

_GO_MISSING = re.compile(r"%![A-Za-z]\([^)]*\)*|<(?:no value|nil)>")
_MOUSTACHE = re.compile(r"\{\{.*?(?:\}\}|\Z)|\{%.*?(?:%\}|\Z)", re.DOTALL)
_MAKE = re.compile(r"\$\([^)]*\)?")
_SHELL = re.compile(r"\$\{[^}]*\}?|\$[A-Za-z_]\w*|\$[0-9]", re.ASCII)
_PLACEHOLDER = re.compile(
    r"<[^<>]*>"
    r"|\#\{[^{}]*\}\#?"
    r"|%\([^)]*\)[a-z]"
    r"|%[A-Za-z_]\w*%|%[sdvq](?!\w)"
    r"|@(?:[A-Z][A-Z0-9_]*|[a-z_]\w*\.[\w.]+)@"
    r"|__[A-Z](?:[A-Z0-9]|_(?!_))*__"
    r"|\[\[[^\]]*\]\]"
    r"|\{[^{}]*\}",
    re.ASCII,
)
_LEFT_OVER = re.compile(r"[{}]+")

_UNFILLED: Final = "{} was never filled in"
# where two find something at the same place, the first one says it better
_TEMPLATES: Final = (
    (_GO_MISSING, "{} is what a template prints for a missing value", "give the template that value"),
    (_MOUSTACHE, _UNFILLED, "render the template and apply its output"),
    (_MAKE, _UNFILLED, "write the value: Kubernetes expands no variable here"),
    (_SHELL, _UNFILLED, "set the variable and substitute it before applying"),
    (_PLACEHOLDER, _UNFILLED, "write the real value in its place"),
    (_LEFT_OVER, "{} is left over from a template", "remove it"),
)


def template(image: str) -> Problem | None:
    found = [(hit, message, fix) for pattern, message, fix in _TEMPLATES if (hit := pattern.search(image))]
    if not found:
        return None
    # of `%!s(<nil>)`, which holds `<nil>`, the leftmost is the outermost
    hit, message, fix = min(found, key=lambda one: one[0].start())
    return Problem(Fault.TEMPLATE, hit.start(), hit.end(), message.format(quoted(hit[0])), fix)
