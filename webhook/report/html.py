"""A scan as one HTML file that needs nothing else: no network, no other file, no server.

The page's parts stand beside this module (report.html, .css, .js); data goes in as JSON, and the script puts it into
the page as text, never as HTML, since names come from whoever wrote a manifest. A Content-Security-Policy of the page
itself lets nothing run but that script, known by its hash, and nothing be fetched at all.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import json
from importlib.resources import files
from typing import TYPE_CHECKING

from webhook.model.text import printable
from webhook.report.survey_json import document

if TYPE_CHECKING:
    from webhook.report.survey import Survey


def render(survey: Survey, version: str) -> str:
    """The page, ASCII but for the few characters of its own text."""
    template, style, script = (_part(name) for name in ("report.html", "report.css", "report.js"))
    about = f"{survey.server}, {survey.scope}, {survey.at}"
    # in one go, so that nothing in the data is taken for a mark
    values = {
        "STYLE-HASH": _hash(style),
        "SCRIPT-HASH": _hash(script),
        "STYLE": style,
        "SCRIPT": script,
        "VERSION": html.escape(version),
        "TITLE": html.escape(printable(survey.server)),
        "ABOUT": html.escape(printable(about)),
        "DATA": _json(survey),
    }
    first, *rest = template.split("@")
    # between two @ stands a mark; the template has no other
    return first + "".join(values[text] if index % 2 == 0 else text for index, text in enumerate(rest))


@functools.cache
def _part(name: str) -> str:
    return files("webhook.report").joinpath(name).read_text(encoding="utf-8")


def _json(survey: Survey) -> str:
    """JSON that can't end the element it stands in, whatever a name holds."""
    text = json.dumps(_shown(document(survey)), separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _shown(value: object) -> object:
    """The same with every text printable: a name must not turn the page's reading direction."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {key: _shown(one) for key, one in value.items()}
    if isinstance(value, list):
        return list(map(_shown, value))
    return value


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
