"""From manifests that were read to everything `check` has to tell: the webhook's own engine, without a webhook.

The one difference: a namespace's modes decide in the cluster what is denied; here every finding is told, and
`--fail-on` decides.

Must not: print, or look at anything but what it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from webhook.checks.index import all_checks
from webhook.checks.policy import invalid_label
from webhook.engine.decide import Circumstances, decide
from webhook.engine.evaluate import evaluate
from webhook.engine.excuse import excuse
from webhook.errors import Malformed
from webhook.model.finding import Level
from webhook.model.policy import ClusterPolicy, Modes, of_labels
from webhook.model.policy_exemption import Requester
from webhook.model.text import printable
from webhook.model.workload import POD_SPEC_PATHS, extract
from webhook.report.outcome import Ignored, Judged, Outcome, Problem, Remark, Subject, Told, TracedContainer
from webhook.report.trace import trace
from webhook.sources import given as given_facts
from webhook.sources.manifests import Note, Unreadable, Wanted, ignores, places

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from webhook.engine.excuse import Excused
    from webhook.model.facts import Facts
    from webhook.model.finding import Finding
    from webhook.model.workload import Workload
    from webhook.sources.given import Given
    from webhook.sources.manifests import Ignore, Inputs, Manifest

KINDS: Final = frozenset(kind for _, kind in POD_SPEC_PATHS) | given_facts.KINDS
"""What is worth keeping of an input."""

_ALL_TOLD: Final = Modes(enforce=Level.OFF, warn=Level.OFF, audit=Level.ADVISORY)


class FactsSource(Protocol):
    """Where the facts around a workload come from."""

    def facts(self, workload: Workload) -> Facts:
        """What is known around a workload."""


def sort_out(inputs: Inputs, given: Given, namespace: str) -> list[tuple[Manifest, Workload]]:
    """The workloads of the input; the facts in it go to `given`. What has a wrong shape is noted as unreadable."""
    found: list[tuple[Manifest, Workload]] = []
    malformed: list[tuple[Manifest, Malformed]] = []
    others: list[Manifest] = []
    for manifest in inputs.manifests:
        try:
            if given.add(manifest.obj):
                continue
            workload = extract(manifest.obj, namespace=namespace, null_is_absent=True)
        except Malformed as error:
            malformed.append((manifest, error))
        else:
            if workload is not None:
                found.append((manifest, workload))
            else:
                others.append(manifest)
    at = places([Wanted(manifest, error.path) for manifest, error in malformed])
    inputs.unreadable += [
        Unreadable(manifest.source.file, manifest.document.number, place.line, place.column, str(error), _quotes(error))
        for (manifest, error), place in zip(malformed, at, strict=True)
    ]
    at = places([Wanted(manifest, "kind") for manifest in others])
    inputs.notes += [
        Note(place.file, place.line, f"{_shown(manifest, 'apiVersion')} {manifest.kind} is not looked into")
        for manifest, place in zip(others, at, strict=True)
    ]
    return found


def _quotes(error: Malformed) -> str:
    """The fix where YAML made a number or a boolean of what was meant as a string (`image: 1.27`, `name: on`)."""
    meant = str(error).endswith(("a number where a string belongs", "a boolean where a string belongs"))
    return "write it in quotes" if meant else ""


def judge(
    inputs: Inputs,
    workloads: Sequence[tuple[Manifest, Workload]],
    given: Given,
    source: FactsSource,
    *,
    with_trace: bool = False,
) -> Outcome:
    """The findings about these workloads and about the namespaces of the input, each with its place in the text."""
    found: list[tuple[Manifest, Finding, Subject]] = []
    exempt: list[tuple[Manifest, Excused, Subject]] = []
    judged: list[Judged] = []
    for manifest in inputs.manifests:
        if manifest.kind == "Namespace":
            subject = Subject("Namespace", "", _name(manifest))
            found += [(manifest, finding, subject) for finding in _of_namespace(manifest, given)]
    for manifest, workload in workloads:
        facts = source.facts(workload)
        verdict = excuse(
            evaluate(workload, facts, all_checks()), workload, facts.policy.cluster, Requester(), now=facts.now
        )
        decision = decide(verdict.findings, workload, _ALL_TOLD, Circumstances())
        subject = Subject(workload.kind, workload.namespace, workload.name)
        labels_told = given.labels(workload.namespace) is not None  # on the Namespace itself
        found += [
            (manifest, finding, subject)
            for finding in (*decision.audited, *decision.unknown)
            if not (labels_told and finding.code == invalid_label.CHECK.code)
        ]
        exempt += [(manifest, one, subject) for one in verdict.excused]
        containers = tuple(
            TracedContainer(one.name, one.image, trace(workload, one, facts) if with_trace else {})
            for one in workload.containers
        )
        judged.append(Judged(subject, manifest.source.file, containers))
    at = places([Wanted(manifest, finding.field, finding.span) for manifest, finding, _ in found])
    told = [Told(finding, place, subject) for (_, finding, subject), place in zip(found, at, strict=True)]
    order = {text.file: index for index, text in enumerate(inputs.texts)}
    told.sort(key=lambda one: (order.get(one.place.file, 0), one.place.line, one.place.column))
    unreadable = sorted(inputs.unreadable, key=lambda one: (order.get(one.file, len(order)), one.line))
    kept, ignored, remarks = _without_ignored(inputs, told)
    ignored += _exempted(exempt)
    return Outcome(
        tuple(kept),
        tuple(ignored),
        tuple(judged),
        tuple(map(_problem, unreadable)),
        (*(Remark(note.file, note.line, note.message) for note in inputs.notes), *remarks),
    )


def _exempted(exempt: list[tuple[Manifest, Excused, Subject]]) -> list[Ignored]:
    """What policies of the input excuse, whoever asks, each with the exemption and its reason."""
    at = places([Wanted(manifest, one.finding.field, one.finding.span) for manifest, one, _ in exempt])
    return [
        Ignored(
            Told(one.finding, place, subject),
            printable(f"exempt by {one.exemption.source} {one.exemption.name}: {one.exemption.reason}"),
        )
        for (_, one, subject), place in zip(exempt, at, strict=True)
    ]


def _of_namespace(manifest: Manifest, given: Given) -> list[Finding]:
    labels = given.labels(_name(manifest))
    return [invalid_label.finding(error) for error in of_labels(labels or {}, ClusterPolicy()).label_errors]


def _name(manifest: Manifest) -> str:
    metadata = manifest.obj.get("metadata")
    name: Any = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""


def _shown(manifest: Manifest, key: str) -> str:
    return printable(str(manifest.obj.get(key)), 60)


def _problem(found: Unreadable) -> Problem:
    return Problem(found.file, found.document, found.line, found.column, found.message, found.fix)


# --- ignores --------------------------------------------------------------------------------------------------------


def _without_ignored(inputs: Inputs, told: Iterable[Told]) -> tuple[list[Told], list[Ignored], list[Remark]]:
    """What is left of the findings, what comments take back, and what is to be said about the comments."""
    all_ignores = [ignore for text in inputs.texts for ignore in ignores(text)]
    by_line: dict[tuple[str, int], list[Ignore]] = {}
    for ignore in all_ignores:
        for line in ignore.applies_to:
            by_line.setdefault((ignore.file, line), []).append(ignore)
    kept: list[Told] = []
    ignored: list[Ignored] = []
    used: dict[tuple[Ignore, str], None] = {}
    for one in told:
        names = {one.finding.code.lower(), one.finding.name.lower()}
        lines = {one.place.line, one.place.first_line}
        matching = [
            (ignore, code)
            for line in lines
            for ignore in by_line.get((one.place.file, line), ())
            for code in ignore.codes
            if code.lower() in names
        ]
        used.update(dict.fromkeys(matching))
        reason = next((ignore.reason for ignore, _ in matching if ignore.reason), None)
        if reason is None:
            kept.append(one)
        else:
            ignored.append(Ignored(one, reason))
    return kept, ignored, [remark for ignore in all_ignores for remark in _remarks(ignore, used)]


def _remarks(ignore: Ignore, used: dict[tuple[Ignore, str], None]) -> list[Remark]:
    if not ignore.codes:
        return [Remark(ignore.file, ignore.line, "the ignore names no check: `# pullproof: ignore CODE -- reason`")]
    if not ignore.reason:
        codes = printable(",".join(ignore.codes), 60)
        return [
            Remark(ignore.file, ignore.line, f"an ignore needs its reason: `# pullproof: ignore {codes} -- reason`")
        ]
    known = {text.lower() for check in all_checks() for text in (check.code, check.name)}
    return [
        Remark(
            ignore.file,
            ignore.line,
            f"the ignore of {printable(code, 60)} "
            + ("matches no finding here" if code.lower() in known else "names no check"),
        )
        for code in ignore.codes
        if (ignore, code) not in used
    ]
