"""The cases of `pullproof policy test`: read from YAML, judged by the webhook's engine, compared with what is expected.

Must not: ask a cluster. What a case does not say is as in a namespace without labels and without pull secrets.
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from webhook.checks.index import all_checks
from webhook.engine.decide import Circumstances, decide
from webhook.engine.evaluate import evaluate
from webhook.engine.excuse import excuse
from webhook.errors import Malformed, PullproofError
from webhook.model.facts import Facts, Known, PullSecretList
from webhook.model.finding import Confidence
from webhook.model.policy import ClusterPolicy
from webhook.model.policy_exemption import Requester
from webhook.model.text import printable
from webhook.model.workload import extract
from webhook.sources.given import KINDS, Given
from webhook.sources.manifests import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.model.policy_book import PolicyBook

_FILE: Final = frozenset({"policies", "now", "cases"})
_CASE: Final = frozenset({"name", "namespace", "labels", "image", "object", "user", "expect"})
_EXPECT: Final = frozenset({"decision", "findings", "exempt"})
_USER: Final = frozenset({"name", "groups"})
_DECISIONS: Final = ("deny", "warn", "allow")


@dataclass(frozen=True, slots=True)
class Cases:
    book: PolicyBook
    now: int
    cases: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What a case came to; `differences` is empty where all is as expected."""

    name: str
    decision: str
    findings: tuple[str, ...]
    exempt: tuple[str, ...]
    differences: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "passed": not self.differences,
            "decision": self.decision,
            "findings": list(self.findings),
            "exempt": list(self.exempt),
            "differences": list(self.differences),
        }


def read_given(files: Sequence[str]) -> Given:
    """The policies and namespaces in these files. Raises PullproofError for what can't be read."""
    inputs = read(tuple(files), KINDS)
    for problem in inputs.unreadable:
        raise PullproofError(f"{problem.file}: {problem.message}")
    given = Given("default", ClusterPolicy())
    for manifest in inputs.manifests:
        try:
            given.add(manifest.obj)
        except Malformed as malformed:
            raise PullproofError(f"{manifest.source.file}: {malformed}") from None
    return given


def read_cases(file: str) -> Cases:
    """Raises PullproofError with what is wrong and where."""
    import yaml

    path = Path(file)
    try:
        document = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark is not None else ""
        raise PullproofError(f"{file}:{line} no YAML") from None
    if not isinstance(document, dict) or not isinstance(document.get("cases"), list):
        raise PullproofError(f"{file}: cases: a list belongs here", fix="`pullproof policy test --help` shows one")
    _known(document, _FILE, file)
    policies = document.get("policies") or []
    if not isinstance(policies, list) or not all(isinstance(one, str) for one in policies):
        raise PullproofError(f"{file}: policies: a list of files belongs here")
    given = read_given([str(path.parent / one) for one in policies])
    cases = document["cases"]
    for index, case in enumerate(cases):
        _check(case, f"{file}: cases[{index}]")
    return Cases(given.book(), _now(document.get("now"), file), tuple(cases))


def _now(given: object, file: str) -> int:
    if given is None:
        return int(time.time())
    if not isinstance(given, dt.datetime):
        raise PullproofError(f"{file}: now: write a time such as 2027-01-01T00:00:00Z")
    return int((given if given.tzinfo else given.replace(tzinfo=dt.UTC)).timestamp())


def _check(case: object, at: str) -> None:
    if not isinstance(case, dict) or not isinstance(case.get("name"), str):
        raise PullproofError(f"{at}: a case with a name belongs here")
    expect = case.get("expect")
    if not isinstance(expect, dict) or not expect:
        raise PullproofError(f"{at}: expect: says nothing")
    _known(case, _CASE, at)
    _known(expect, _EXPECT, f"{at}.expect")
    if expect.get("decision", "allow") not in _DECISIONS:
        raise PullproofError(f"{at}.expect.decision: none of {', '.join(_DECISIONS)}")
    if ("image" in case) == ("object" in case):
        raise PullproofError(f"{at}: either an image or an object belongs here")
    for key, kind in (("labels", dict), ("user", dict), ("object", dict), ("image", str), ("namespace", str)):
        if key in case and not isinstance(case[key], kind):
            raise PullproofError(f"{at}.{key}: something else belongs here")
    for key in ("findings", "exempt"):
        if not isinstance(expect.get(key, []), list):
            raise PullproofError(f"{at}.expect.{key}: a list of codes belongs here")
    user = case.get("user", {})
    _known(user, _USER, f"{at}.user")
    if not isinstance(user.get("groups", []), list):
        raise PullproofError(f"{at}.user.groups: a list of groups belongs here")
    for key, value in case.get("labels", {}).items():
        if not isinstance(value, str):  # `off` is a boolean in YAML
            raise PullproofError(f"{at}.labels: {printable(str(key), 60)}: no string", fix="write it in quotes")


def _known(held: Mapping[str, Any], known: frozenset[str], at: str) -> None:
    for key in held:
        if key not in known:
            raise PullproofError(f"{at}: {printable(str(key), 60)}: no such field")


def run_case(case: Mapping[str, Any], cases: Cases) -> Result:
    """Raises PullproofError for an object that is no workload."""
    namespace = case.get("namespace", "default")
    labels = {str(key): value for key, value in case.get("labels", {}).items()}
    containers = [{"name": "app", "image": case.get("image", "")}]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "case"}, "spec": {"containers": containers}}
    obj = case.get("object", pod)
    try:
        workload = extract(obj, namespace=namespace, null_is_absent=True)
    except Malformed as malformed:
        raise PullproofError(f"{case['name']}: {malformed}") from None
    if workload is None:
        raise PullproofError(f"{case['name']}: the object is no workload")
    policy = cases.book.policy(workload.namespace, labels)
    facts = Facts(
        policy=policy,
        namespace_labels=Known(labels),
        pull_secrets=Known(PullSecretList("pod", workload.service_account, ())),
        now=cases.now,
    )
    user = case.get("user", {})
    who = Requester(str(user.get("name", "")), frozenset(map(str, user.get("groups", ()))))
    owners = (obj.get("metadata") or {}).get("ownerReferences")
    found = evaluate(workload, facts, all_checks())
    verdict = excuse(found, workload, policy.cluster, who, now=cases.now, owners=owners)
    decision = decide(verdict.findings, workload, policy.modes, Circumstances(made_by_controller=who.is_controller))
    left = {one.code for one in verdict.findings if one.confidence is not Confidence.UNKNOWN}
    exempt = {one.finding.code for one in verdict.excused}
    expect = case["expect"]
    differences = []
    if "decision" in expect and expect["decision"] != decision.word:
        differences.append(f"decision is {decision.word}, not {expect['decision']}")
    for key, codes in (("findings", left), ("exempt", exempt)):
        wanted = set(map(str, expect.get(key, codes)))
        differences += [f"{key}: {code} is missing" for code in sorted(wanted - codes)]
        differences += [f"{key}: {code} is not expected" for code in sorted(codes - wanted)]
    return Result(case["name"], decision.word, tuple(sorted(left)), tuple(sorted(exempt)), tuple(differences))


def text(results: Sequence[Result]) -> str:
    """A line per case, and what differs below it."""
    lines = []
    for one in results:
        lines.append(f"{'failed' if one.differences else 'ok'}  {printable(one.name)}")
        lines += [f"        {difference}" for difference in one.differences]
    failed = sum(bool(one.differences) for one in results)
    lines.append(f"{len(results)} {'case' if len(results) == 1 else 'cases'}, {failed} failed")
    return "".join(f"{line}\n" for line in lines)
