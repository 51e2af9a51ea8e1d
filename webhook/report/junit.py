"""JUnit XML, which every CI server draws: one test case per workload, one suite per file.

A finding at or above the level that fails the run is a failure of its workload, a weaker one is output, an unknown one
marks the case as skipped (unless unknowns fail the run), and input that can't be read is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from webhook.model.finding import Confidence
from webhook.model.text import printable

if TYPE_CHECKING:
    from junitparser.junitparser import FinalResult

    from webhook.model.finding import Level
    from webhook.report.outcome import Outcome, Told


def render(outcome: Outcome, fail_on: Level, *, fail_on_unknown: bool) -> str:
    """The XML document."""
    by_workload: dict[tuple[str, str], list[Told]] = {}
    for told in outcome.told:
        by_workload.setdefault((told.place.file, str(told.subject)), []).append(told)
    suites: dict[str, list[TestCase]] = {}
    for judged in outcome.judged:
        found = by_workload.pop((judged.file, str(judged.subject)), [])
        case = _case(judged.file, str(judged.subject), found, fail_on, fail_on_unknown=fail_on_unknown)
        suites.setdefault(judged.file, []).append(case)
    for (file, subject), found in by_workload.items():  # a Namespace is no workload, and its labels may be wrong
        case = _case(file, subject, found, fail_on, fail_on_unknown=fail_on_unknown)
        suites.setdefault(file, []).append(case)
    for problem in outcome.problems:
        case = TestCase(printable(f"document {problem.document}") if problem.document else "input")
        case.classname = printable(problem.file)
        at = f"line {problem.line}: " if problem.line else ""
        case.result = [Error(printable(f"{at}{problem.message}"), "unreadable")]
        suites.setdefault(problem.file, []).append(case)
    document = JUnitXml("pullproof")
    for file, cases in suites.items():
        suite = TestSuite(printable(file))
        # all at once, and no `add_testsuite`: each time they go through everything that is there
        suite.add_testcases(cases)
        document.append(suite)  # type: ignore[no-untyped-call]
    document.update_statistics()  # type: ignore[no-untyped-call]
    text: str = document.tostring().decode("utf-8")  # type: ignore[no-untyped-call]
    return text if text.endswith("\n") else text + "\n"


def _case(file: str, subject: str, found: list[Told], fail_on: Level, *, fail_on_unknown: bool) -> TestCase:
    case = TestCase(printable(subject))
    case.classname = printable(file)
    results: list[FinalResult] = []
    output: list[str] = []
    for told in found:
        finding = told.finding
        unknown = finding.confidence is Confidence.UNKNOWN
        if fail_on.covers(finding.confidence) or (unknown and fail_on_unknown):
            failure = Failure(_line(told), f"{finding.code} {finding.name}")
            failure.text = "\n".join(map(printable, (f"fix: {finding.fix}", *finding.evidence)))
            results.append(failure)
        else:
            output.append(_line(told))
    if not results and any(told.finding.confidence is Confidence.UNKNOWN for told in found):
        reasons = dict.fromkeys(_line(told) for told in found if told.finding.confidence is Confidence.UNKNOWN)
        results.append(Skipped("; ".join(reasons), "unknown"))
    case.result = results
    if output:
        case.system_out = "\n".join(output)
    return case


def _line(told: Told) -> str:
    finding, place = told.finding, told.place
    at = f"{place.file}:{place.line}:{place.column}: " if place.line else ""
    container = f"{finding.container}: " if finding.container else ""
    return printable(f"{at}{container}{finding.confidence.word} {finding.code}: {finding.message}")
