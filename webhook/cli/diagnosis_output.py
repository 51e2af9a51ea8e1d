"""How a diagnosis reads: for people, as JSON, and as one JSON object a line.

Keys are a promise to scripts: added to, never renamed. Whatever comes from a cluster or a message passes `printable`
before a terminal sees it; JSON is ASCII.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from webhook.diagnosis.pods import Diagnosed
    from webhook.report.text import Style

_SHOWN_PODS: Final = 3
_MAX_NAME: Final = 253
_COLUMN: Final = 9
_DIM: Final = "\x1b[2m"
_GREEN: Final = "\x1b[32m"


def line(found: Diagnosed) -> dict[str, Any]:
    """What one message says: the keys of `pullproof diagnose - -o jsonl`. `fix` is what is likeliest to help."""
    read = found.diagnosis
    return {
        "cause": read.cause.value,
        "code": found.code,
        "registry": read.registry,
        "image": read.image,
        "platform": read.platform,
        "evidence": read.evidence,
        "fix": _fix(found),
    }


def record(found: Diagnosed) -> dict[str, Any]:
    """What is known of one container of a pod: `line`'s keys and more."""
    read = found.diagnosis
    return {
        **line(found),
        "name": found.name,
        "namespace": read.namespace,
        "pod": read.pod,
        "container": read.container,
        "node": read.node,
        "reason": found.reason or None,
        "owner": None if found.owner is None else {"kind": found.owner.kind, "name": found.owner.name},
        "secrets": list(read.secrets),
        "remedies": [{"text": one.text, "commands": list(one.commands)} for one in found.remedies],
        "findings": [
            {
                "code": one.code,
                "name": one.name,
                "confidence": one.confidence.word,
                "message": one.message,
                "fix": one.fix,
                "evidence": list(one.evidence),
            }
            for one in (*((found.explained,) if found.explained else ()), *found.findings)
        ],
    }


def _fix(found: Diagnosed) -> str | None:
    if not found.remedies:
        return None
    first = found.remedies[0]
    return "\n".join((first.text, *first.commands))


def json_line(content: dict[str, Any]) -> str:
    return json.dumps(content) + "\n"


def json_list(found: Iterable[Diagnosed]) -> str:
    return json.dumps([record(one) for one in found], indent=2) + "\n"


def text(found: Sequence[Diagnosed], style: Style) -> Iterator[str]:
    """One part for each cause of each workload: its pods say the same, so they are told of together."""
    groups: dict[object, list[Diagnosed]] = {}
    for one in found:
        read = one.diagnosis
        whose = one.owner or read.workload or read.pod
        of = (read.namespace, whose, read.container, one.code, read.cause, read.image, read.platform)
        groups.setdefault(of, []).append(one)
    for members in groups.values():
        yield _group(members, style)


def _group(members: Sequence[Diagnosed], style: Style) -> str:
    found = members[0]
    read = found.diagnosis
    pods = [printable(one.diagnosis.pod, _MAX_NAME) for one in members if one.diagnosis.pod]
    names = ", ".join(pods[:_SHOWN_PODS])
    more = f" and {len(pods) - _SHOWN_PODS} more" if len(pods) > _SHOWN_PODS else ""
    where = f"{printable(read.namespace, _MAX_NAME)}/{names}{more}" if read.namespace else names + more
    if found.owner is not None and found.owner.kind != "Pod":
        where += f" ({printable(found.owner.short, _MAX_NAME)})"
    if read.container:
        where += f", container {printable(read.container, _MAX_NAME)}"
    head = f"{style.bad(read.cause.value)} {style.bold(f'{found.code} {found.name}')}"
    lines = [f"{style.bold(where)}: {head}" if where else head]

    def row(word: str, value: str | None) -> None:
        if value:
            lines.append(f"  {style.paint(f'{word}:', _DIM)}{' ' * (_COLUMN - len(word))}{printable(value)}")

    row("image", read.image)
    row("platform", read.platform)
    row("status", found.reason)
    row("saw", read.evidence)
    if found.explained is not None:
        for reason in found.explained.evidence:
            row("because", reason)
    for other in found.findings:
        row("also", f"{other.confidence.word} {other.code}: {other.message}; {other.fix}")
    for number, remedy in enumerate(found.remedies, 1):
        lines.append(f"  {style.paint(f'{number}.', _GREEN)} {printable(remedy.text)}")
        lines += [f"       {printable(command)}" for command in remedy.commands]
    if not found.remedies:
        lines.append("  not known to pullproof: read it in full with `kubectl describe pod`")
    return "\n".join(lines) + "\n\n"
