"""How findings read in `kubectl`: `Warning:` lines and the text of a denial. Pure, and tested word for word.

The API server cuts each warning at 256 characters once a request's total passes 4,096, and drops one with control
characters whole (apiserver/pkg/warning, Kubernetes 1.36). So a line has at most 120 characters, a request at most 30.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from webhook.engine.excuse import Excused
    from webhook.engine.impact import Group, Impact
    from webhook.model.finding import Finding

WARNING_LENGTH = 120
WARNING_COUNT = 30
DENIAL_LENGTH = 16_384
ANNOTATION_LENGTH = 4_096
NOTE_BYTES = 1_000  # an Event takes 1,024
_ELLIPSIS = "…"
_ENOUGH_OF_A_MESSAGE = 24
_NAMES_LENGTH = 40
_HOST_LENGTH = 48
IMPACT_GROUPS = 8


def warnings(findings: Sequence[Finding]) -> tuple[str, ...]:
    """One line per finding, the same one about several containers once; at most `WARNING_COUNT` lines."""
    merged: dict[tuple[str, str, str], dict[str, None]] = {}
    for finding in findings:
        containers = merged.setdefault((finding.code, finding.message, finding.fix), {})
        if finding.container:
            containers[finding.container] = None
    told = (_warning(code, message, fix, list(containers)) for (code, message, fix), containers in merged.items())
    lines = list(dict.fromkeys(told))  # two that differ in what was cut off are one
    if len(lines) > WARNING_COUNT:
        left = len(lines) - WARNING_COUNT + 1
        lines[WARNING_COUNT - 1 :] = [f"pullproof: and {left} more; run `pullproof check` on the manifest to see all"]
    return tuple(lines)


def _warning(code: str, message: str, fix: str, containers: list[str]) -> str:
    head = f"pullproof {code} {_names(containers)}: " if containers else f"pullproof {code}: "
    message, fix = printable(message), printable(fix)
    full = f"{head}{message}; {fix}" if fix else f"{head}{message}"
    if len(full) <= WARNING_LENGTH:
        return full
    # what to type is worth more than why: the code leads to the rest
    room = WARNING_LENGTH - len(head) - len(fix) - len("; ")
    if fix and room >= _ENOUGH_OF_A_MESSAGE:
        return f"{head}{_cut(message, room)}; {fix}"
    if fix and len(head) + len(fix) <= WARNING_LENGTH:
        return head + fix
    pointer = f"; see `pullproof explain {code}`"
    return _cut(head + message, WARNING_LENGTH - len(pointer)) + pointer


def _names(containers: list[str]) -> str:
    """As many names as leave room for what to type."""
    listed = printable(", ".join(containers))
    if len(listed) <= _NAMES_LENGTH:
        return listed
    first = printable(containers[0], _NAMES_LENGTH)
    return first if len(containers) == 1 else f"{first} and {len(containers) - 1} more"


def impact(running: Impact) -> tuple[str, ...]:
    """What a change of policy would do to what runs, grouped as Pod Security Admission does; at most 12 lines."""
    lines = []
    if running.hit:
        lines.append(f"pullproof: {running.hit} of {running.looked} pods here would be denied if made again")
    groups = running.by_weight()
    lines += map(_group, groups[:IMPACT_GROUPS])
    if (left := len(groups) - IMPACT_GROUPS) > 0:
        lines.append(_with_scan(f"pullproof: and {left} more codes and registries", running.namespace))
    if running.unknown:
        unknown = f"pullproof: {running.unknown} of {running.looked} pods could not be judged for want of facts"
        lines.append(_with_scan(unknown, running.namespace))
    if running.stopped is not None:
        of = f" of {running.there}" if running.there > running.looked else ""
        seen = f"pullproof: looked at {running.looked}{of} pods only: {printable(running.stopped)}"
        lines.append(_with_scan(seen, running.namespace))
    if running.unseen is not None:
        unseen = f"pullproof: what runs here could not be looked at: {printable(running.unseen)}"
        lines.append(_cut(unseen, WARNING_LENGTH))
    return tuple(lines)


def impact_annotation(running: Impact) -> str:
    """The same for the audit log: `2 of 340 pods; PULL201 contoso.azureacr.io 2`."""
    counts = [f"{group.code} {group.host} {group.pods}".replace("  ", " ") for group in running.by_weight()]
    head = f"{running.hit} of {running.looked} pods" if running.unseen is None else f"not looked at: {running.unseen}"
    stopped = [f"stopped: {running.stopped}"] if running.stopped is not None else []
    counts += [f"{running.unknown} unknown"] if running.unknown else []
    return _cut(printable("; ".join((head, *counts, *stopped))), ANNOTATION_LENGTH)


def _with_scan(text: str, namespace: str) -> str:
    full = f"{text}; see `pullproof scan {f'-n {printable(namespace)}' if namespace else '-A'}`"
    return full if len(full) <= WARNING_LENGTH else _cut(text, WARNING_LENGTH)


def _group(group: Group) -> str:
    """`pullproof PULL201 contoso.azureacr.io: 12 pods, shop-5b8-x2x4z and 11 more`, with as many names as fit."""
    host = f" {printable(group.host, _HOST_LENGTH)}" if group.host else ""
    head = f"pullproof {group.code}{host}: {group.pods} pod{'' if group.pods == 1 else 's'}, "
    for shown in range(len(group.examples), 1, -1):
        line = head + _examples(group, shown)
        if len(line) <= WARNING_LENGTH:
            return line
    rest = f" and {group.pods - 1} more" if group.pods > 1 else ""
    return head + printable(group.examples[0], WARNING_LENGTH - len(head) - len(rest)) + rest


def _examples(group: Group, shown: int) -> str:
    names = ", ".join(map(printable, group.examples[:shown]))
    return f"{names} and {group.pods - shown} more" if group.pods > shown else names


def denial(findings: Sequence[Finding], retry: str | None = None) -> str:
    """The message of a denial: every finding with its fix; one on one line, several on a line each.

    `retry` is the command that makes the pod's controller try again, when what the fixes say is done.
    """
    lines = [_denial_line(finding) for finding in findings]
    then = f"then run `{printable(retry)}`" if retry else ""
    if len(lines) == 1:
        return _cut(f"{lines[0]}; {then}" if then else lines[0], DENIAL_LENGTH)
    text = f"{len(lines)} findings" + "".join(f"\n- {line}" for line in lines)
    return _cut(f"{text}\n{then}" if then else text, DENIAL_LENGTH)


def _denial_line(finding: Finding) -> str:
    where = f"{finding.container}: " if finding.container else ""
    fix = f"; {finding.fix}" if finding.fix else ""
    return f"{printable(where + finding.message + fix)} ({finding.code} {finding.name}, {finding.confidence.word})"


def event_note(findings: Sequence[Finding], *, denied: bool, spared: str = "") -> str:
    """The text of an Event about a pod that a controller made; `spared` says why it was not denied."""
    head = "a pod was denied: " if denied else "a pod was admitted with a warning: "
    tail = f"; not denied: {spared}" if spared else ""
    lines = "; ".join(dict.fromkeys(map(_denial_line, findings)))
    room = NOTE_BYTES - len(head) - len(tail)
    fits = lines.encode()[:room].decode(errors="ignore")
    return head + (lines if fits == lines else fits + _ELLIPSIS) + tail


def annotation(findings: Iterable[Finding]) -> str:
    """The findings for the audit log, where space is dear: `PULL201 likely spec.containers[0].image; …`."""
    text = "; ".join(f"{finding.code} {finding.confidence.word} {finding.field}" for finding in findings)
    return _cut(printable(text), ANNOTATION_LENGTH)


def exemptions(excused: Iterable[Excused]) -> str:
    """What exemptions cover, for the audit log: `PULL201 app by ClusterPullPolicy/a old; …`."""
    return _cut(printable("; ".join(map(str, excused))), ANNOTATION_LENGTH)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + _ELLIPSIS
