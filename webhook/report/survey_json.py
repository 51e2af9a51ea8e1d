"""The JSON of `scan`. Its keys are a promise to scripts: they are added to, never renamed. ASCII only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from webhook.report.survey import by_cause, by_namespace, by_registry, denied_workloads, totals

if TYPE_CHECKING:
    from webhook.report.survey import Line, Row, Survey


def render(survey: Survey) -> str:
    """The whole scan as one document: summary, tables, findings (what fails now first), notes."""
    return json.dumps(document(survey), indent=2) + "\n"


def document(survey: Survey) -> dict[str, Any]:
    """The same as plain values, for the formats that hold them."""
    return {
        "cluster": {"server": survey.server, "scope": survey.scope, "at": survey.at, "seconds": survey.seconds},
        "summary": {
            "workloads": len(survey.workloads),
            "pods": survey.pods,
            "images": survey.images,
            "findings": totals(survey),
            "failingPods": survey.failing_pods,
            "wouldBeDenied": {"workloads": len(denied_workloads(survey)), "pods": survey.denied_pods},
        },
        "byCause": [_line(line) for line in by_cause(survey)],
        "byNamespace": [_line(line) for line in by_namespace(survey)],
        "byRegistry": [_line(line) for line in by_registry(survey)],
        "findings": [row_of(row) for row in survey.worst_first()],
        "notes": list(survey.notes),
    }


def row_of(row: Row) -> dict[str, Any]:
    """One finding as plain values."""
    finding = row.finding
    return {
        "code": finding.code,
        "name": finding.name,
        "confidence": finding.confidence.word,
        "heals": finding.heals.value,
        "message": finding.message,
        "field": finding.field,
        "fix": finding.fix,
        "suggestion": finding.suggestion,
        "evidence": list(finding.evidence),
        "object": {"kind": row.subject.kind, "namespace": row.subject.namespace, "name": row.subject.name},
        "container": finding.container,
        "image": finding.image,
        "registry": row.registry or None,
        "pods": row.pods,
        "failingPods": row.failing,
        "seen": row.seen or None,
        "wouldBeDenied": row.would_be_denied,
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "name": line.name,
        "findings": line.counts,
        "workloads": line.workloads,
        "pods": line.pods,
        "failingPods": line.failing,
        "workloadsThatWouldBeDenied": line.denied,
    }
