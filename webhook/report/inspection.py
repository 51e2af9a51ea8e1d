"""How one reference was read, for `inspect`: as a line of JSON whose keys are a promise, or for a person."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from webhook.catalogue.image_systems import prose
from webhook.model.finding import Confidence
from webhook.model.reference import InvalidReference
from webhook.model.text import printable
from webhook.report import trace
from webhook.report.text import columns

if TYPE_CHECKING:
    from webhook.catalogue.image_os import ImageOs
    from webhook.model.facts import PullSecretList
    from webhook.model.finding import Finding
    from webhook.model.reference import Reference
    from webhook.report.text import Style

_encode = json.JSONEncoder(ensure_ascii=True).encode
_LONGEST: Final = 400


@dataclass(frozen=True, slots=True)
class Inspected:
    """`image` as given; `registry` is the catalogue's id of the service, or None; `findings` the surest first.

    `pull_secrets` are those that were given to look the image up in, None where none were; `os` is the operating system
    that its name tells, None where it is no reference.
    """

    image: str
    reference: Reference | InvalidReference
    registry: str | None
    findings: tuple[Finding, ...]
    pull_secrets: PullSecretList | None = None
    os: ImageOs | None = None


def json_line(result: Inspected) -> str:
    """One line of ASCII, without its end."""
    reference = result.reference
    document: dict[str, Any] = {"image": result.image, "valid": True, "error": None}
    if isinstance(reference, InvalidReference):
        document |= {
            "valid": False,
            "error": {"message": reference.message, "column": reference.column},
            "domain": None,
            "path": None,
            "tag": None,
            "digest": None,
        }
    else:
        document |= {
            "domain": reference.domain,
            "path": reference.path,
            "tag": reference.effective_tag,
            "digest": reference.digest,
        }
    document |= {
        "registry": result.registry,
        "os": _os(result.os),
        "findings": [_finding(one) for one in result.findings],
    }
    if result.pull_secrets is not None and not isinstance(reference, InvalidReference):
        document |= trace.keys(reference, result.pull_secrets)
    return _encode(document)


def _os(told: ImageOs | None) -> dict[str, Any]:
    if told is None:
        return {"value": None, "confidence": Confidence.UNKNOWN.word, "reason": "it is no reference"}
    return {"value": told.value, "confidence": told.confidence.word, "reason": told.reason}


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "name": finding.name,
        "confidence": finding.confidence.word,
        "heals": finding.heals.value,
        "message": finding.message,
        "fix": finding.fix,
        "suggestion": finding.suggestion,
        "evidence": list(finding.evidence),
    }


def text(result: Inspected, style: Style) -> str:
    """A few lines for a person: the reference, its parts, what is wrong with it."""
    reference = result.reference
    lines = [style.bold(printable(result.image, _LONGEST) or '""')]
    if isinstance(reference, InvalidReference):
        start, end = reference.span
        before, part = printable(result.image[:start]), printable(result.image[start:end])
        if columns(before) + columns(part) <= _LONGEST:
            lines.append(" " * columns(before) + style.bad("^" * max(columns(part), 1)))
    else:
        parts = [reference.repository]
        if reference.effective_tag is not None:
            parts.append(f"tag {reference.effective_tag}")
        if reference.digest is not None:
            parts.append(f"digest {reference.digest}")
        parts.append(f"registry {result.registry}" if result.registry else "no known registry")
        lines.append("  " + ", ".join(parts))
        if result.os is not None and result.os.value is not None:
            sure = "likely" if result.os.confidence >= Confidence.LIKELY else "perhaps"
            lines.append(f"  {sure} for {prose(result.os.value)}: {printable(result.os.reason)}")
        if result.pull_secrets is not None:
            lines += [f"  {line}" for line in trace.text(reference, result.pull_secrets)]
    for finding in result.findings:
        then = f"; {printable(finding.fix)}" if finding.fix else ""
        said = f"{printable(finding.message)}{then}"
        lines.append(f"  {style.confidence(finding.confidence)} {finding.code} {finding.name}: {said}")
    return "\n".join(lines) + "\n"
