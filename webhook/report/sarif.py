"""SARIF 2.1.0 for code hosts and editors: each finding annotates its line in the manifest.

Plain dicts, checked against OASIS' schema in the tests. Levels: certain is an error, likely a warning, advisory a
note; unknown is no failure but SARIF's kind `open` ("insufficient information to decide", 3.27.9). An ignore comment
becomes a suppression with its reason, so that it stays in sight.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from webhook.model.finding import Confidence
from webhook.model.text import printable
from webhook.report.page import markdown, sections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.checks.base import Check
    from webhook.model.finding import Finding
    from webhook.model.place import Place
    from webhook.report.outcome import Outcome, Problem, Remark, Told

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: Final = {Confidence.CERTAIN: "error", Confidence.LIKELY: "warning", Confidence.ADVISORY: "note"}
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*[./-][A-Za-z0-9./:@_-]*[A-Za-z0-9]")


def render(outcome: Outcome, rules: Sequence[Mapping[str, Any]], version: str) -> str:
    """The log of one run. `rules` are `rule(…)`s of all checks, sorted by code."""
    index = {str(one["id"]): number for number, one in enumerate(rules)}
    results = [_result(told, index) for told in outcome.surest_first()]
    for ignored in outcome.ignored:
        suppression = {"kind": "inSource", "status": "accepted", "justification": printable(ignored.reason)}
        results.append({**_result(ignored.told, index), "suppressions": [suppression]})
    notifications = [*map(_problem, outcome.problems), *map(_remark, outcome.remarks)]
    run = {
        "tool": {"driver": {"name": "pullproof", "semanticVersion": version, "version": version, "rules": list(rules)}},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {"executionSuccessful": not outcome.problems, "toolExecutionNotifications": notifications},
        ],
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def rule(check: Check, docstring: str) -> dict[str, Any]:
    """The rule of one check, with its documentation page."""
    summary, _ = sections(check.code, docstring)
    page = markdown(check, docstring)
    return {
        "id": check.code,
        "name": "".join(part.capitalize() for part in check.name.split("-")),
        "shortDescription": {"text": summary},
        "help": {"text": page, "markdown": page},
        "defaultConfiguration": {"level": _LEVELS.get(check.confidence, "none")},
        "properties": {"tags": ["kubernetes", "images"], "check": check.name},
    }


def _result(told: Told, index: Mapping[str, int]) -> dict[str, Any]:
    finding, place, subject = told.finding, told.place, told.subject
    result: dict[str, Any] = {"ruleId": finding.code}
    if finding.code in index:
        result["ruleIndex"] = index[finding.code]
    level = _LEVELS.get(finding.confidence)
    if level is None:
        result["kind"], result["level"] = "open", "none"
    else:
        result["level"] = level
    where = [subject.namespace, subject.kind, subject.name, finding.field]
    then = f"; {finding.fix}" if finding.fix else ""
    because = "".join(f"\n{reason}" for reason in map(printable, finding.evidence))
    return {
        **result,
        "message": {"text": printable(f"{finding.message}{then}") + because},
        "locations": [
            {
                "physicalLocation": _physical(place),
                "logicalLocations": [
                    {"fullyQualifiedName": printable("/".join(filter(None, where))), "kind": "resource"}
                ],
            }
        ],
        "partialFingerprints": {"pullproof/v1": _fingerprint(told)},
        "properties": {"confidence": finding.confidence.word, "heals": finding.heals.value},
        **_fixes(finding, place),
    }


def _physical(place: Place) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": _artifact(place.file)}
    if place.line:
        region = {"startLine": place.line, "startColumn": place.column, "endColumn": place.end_column}
        physical["region"] = {**region, "snippet": {"text": place.text[place.column - 1 : place.end_column - 1]}}
    return physical


def _artifact(file: str) -> dict[str, str]:
    # "surrogateescape": a file's name may be bytes that are no text
    path = quote(file.encode("utf-8", "surrogateescape"), safe="/-._~")
    return {"uri": f"file://{path}"} if path.startswith("/") else {"uri": path.removeprefix("./")}


def _fingerprint(told: Told) -> str:
    """The same for a finding that only moved to another line."""
    parts = (told.finding.code, *map(str, told.finding.identity[1:]), str(told.subject), told.place.file)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _fixes(finding: Finding, place: Place) -> dict[str, Any]:
    """What an editor may do at a click: put the suggestion in the place of the value."""
    if finding.suggestion is None or place.value is None:
        return {}
    region, text = place.value, finding.suggestion
    if region.quote == '"' or not _PLAIN.fullmatch(text):
        text = json.dumps(text, ensure_ascii=False)
    elif region.quote:
        text = f"'{text}'"
    deleted = {
        "startLine": region.line,
        "startColumn": region.column,
        "endLine": region.end_line,
        "endColumn": region.end_column,
    }
    change = {
        "artifactLocation": _artifact(place.file),
        "replacements": [{"deletedRegion": deleted, "insertedContent": {"text": text}}],
    }
    return {"fixes": [{"description": {"text": printable(finding.fix)}, "artifactChanges": [change]}]}


def _problem(problem: Problem) -> dict[str, Any]:
    document = f"document {problem.document}: " if problem.document else ""
    fix = f"; {problem.fix}" if problem.fix else ""
    return _notification("error", f"{document}{problem.message}{fix}", problem.file, problem.line)


def _remark(remark: Remark) -> dict[str, Any]:
    return _notification("note", remark.message, remark.file, remark.line)


def _notification(level: str, message: str, file: str, line: int) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": _artifact(file)}
    if line:
        physical["region"] = {"startLine": line}
    return {"level": level, "message": {"text": printable(message)}, "locations": [{"physicalLocation": physical}]}
