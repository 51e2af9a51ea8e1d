"""The JSON of `check` and `inspect`. Its keys are a promise to scripts: they are added to, never renamed.

ASCII only, so that no name in a manifest can do anything to a terminal or be lost by a reader of another encoding.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from webhook.report.outcome import counts

if TYPE_CHECKING:
    from webhook.report.outcome import Judged, Outcome, Told


def render(outcome: Outcome, *, trace: bool) -> str:
    """The findings, the surest first, and their counts; with `trace` every workload that was looked at."""
    document: dict[str, Any] = {
        "findings": [_finding(told) for told in outcome.surest_first()],
        "summary": counts(outcome.told),
    }
    if trace:
        document["workloads"] = [_workload(judged) for judged in outcome.judged]
    return json.dumps(document, indent=2) + "\n"


def _finding(told: Told) -> dict[str, Any]:
    finding, place, subject = told.finding, told.place, told.subject
    return {
        "code": finding.code,
        "name": finding.name,
        "confidence": finding.confidence.word,
        "heals": finding.heals.value,
        "message": finding.message,
        "field": finding.field,
        "fix": finding.fix,
        "suggestion": finding.suggestion,
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "object": {"kind": subject.kind, "namespace": subject.namespace, "name": subject.name},
        "container": finding.container,
        "image": finding.image,
    }


def _workload(judged: Judged) -> dict[str, Any]:
    return {
        "kind": judged.subject.kind,
        "namespace": judged.subject.namespace,
        "name": judged.subject.name,
        "containers": [
            {"name": container.name, "image": container.image, **container.more} for container in judged.containers
        ],
    }
