"""A scan in every format that is made from one."""

from __future__ import annotations

import csv
import io
import json

import pytest

from webhook.model.finding import Confidence, Finding, Heals, Level
from webhook.report import csv_, junit, sarif, survey_json, survey_text
from webhook.report.outcome import Subject
from webhook.report.survey import Row, Survey, by_cause, by_namespace, by_registry, denied_workloads, outcome, totals
from webhook.report.text import Style


def finding(code="PULL304", confidence=Confidence.LIKELY, **more) -> Finding:
    values = {
        "name": "no-matching-credential",
        "heals": Heals.CLUSTER,
        "field": "spec.containers[0].image",
        "message": "no credential for reg.example",
        "fix": "run `kubectl create secret`",
        "container": "app",
        "image": "reg.example/shop:1",
    }
    return Finding(code=code, confidence=confidence, **{**values, **more})


WEB, DB, BARE = Subject("Deployment", "shop", "web"), Subject("StatefulSet", "shop", "db"), Subject("Pod", "lab", "try")
TYPO = finding("PULL201", Confidence.CERTAIN, name="registry-host-typo", image="myreg.azureacr.io/web:1")
ADVICE = finding("PULL107", Confidence.ADVISORY, name="implicit-latest")
UNKNOWN = finding("PULL902", Confidence.UNKNOWN, name="pull-secrets-not-read", image=None, container=None)
ROWS = (
    Row(UNKNOWN, DB, pods=1),
    Row(ADVICE, WEB, "reg.example", pods=5),
    Row(finding(), WEB, "reg.example", pods=5, failing=2, seen="401 Unauthorized"),
    Row(finding(), BARE, "reg.example", pods=1),
    Row(TYPO, DB, "myreg.azureacr.io", pods=3, denied=3),
    Row(finding("PULL101", Confidence.CERTAIN, name="invalid-reference"), WEB, denied_template=True),
)
SURVEY = Survey(ROWS, (WEB, DB, BARE), pods=9, images=4, denied_pods=3, failing_pods=2, server="api:6443", seconds=1.5)


def test_what_fails_comes_first_then_what_would_be_denied_then_the_surest():
    order = [(row.finding.code, row.subject.name) for row in SURVEY.worst_first()]
    assert order == [
        ("PULL304", "web"),
        ("PULL201", "db"),
        ("PULL101", "web"),
        ("PULL304", "try"),
        ("PULL107", "web"),
        ("PULL902", "db"),
    ]


def test_a_pod_with_several_findings_is_one_pod():
    (shop, lab) = by_namespace(SURVEY)
    assert (shop.name, shop.workloads, shop.pods, shop.failing, shop.denied) == ("shop", 2, 8, 2, 2)
    assert shop.counts == {"certain": 2, "likely": 1, "advisory": 1, "unknown": 1}
    assert (lab.name, lab.workloads, lab.pods, lab.failing, lab.denied) == ("lab", 1, 1, 0, 0)


def test_tables_by_cause_and_registry():
    assert [line.name for line in by_cause(SURVEY)] == [
        "PULL304 no-matching-credential",
        "PULL101 invalid-reference",
        "PULL201 registry-host-typo",
        "PULL107 implicit-latest",
        "PULL902 pull-secrets-not-read",
    ]
    assert [(line.name, line.pods) for line in by_registry(SURVEY)] == [("reg.example", 6), ("myreg.azureacr.io", 3)]
    assert totals(SURVEY) == {"certain": 2, "likely": 2, "advisory": 1, "unknown": 1}
    assert denied_workloads(SURVEY) == (DB, WEB)


def test_json():
    document = json.loads(survey_json.render(SURVEY))
    assert list(document) == ["cluster", "summary", "byCause", "byNamespace", "byRegistry", "findings", "notes"]
    assert document["summary"] == {
        "workloads": 3,
        "pods": 9,
        "images": 4,
        "findings": {"certain": 2, "likely": 2, "advisory": 1, "unknown": 1},
        "failingPods": 2,
        "wouldBeDenied": {"workloads": 2, "pods": 3},
    }
    first = document["findings"][0]
    assert first["object"] == {"kind": "Deployment", "namespace": "shop", "name": "web"}
    assert (first["pods"], first["failingPods"], first["seen"], first["wouldBeDenied"]) == (
        5,
        2,
        "401 Unauthorized",
        False,
    )


def test_csv():
    text = "".join(csv_.render(SURVEY))
    assert text.count("\r\n") == len(ROWS) + 1
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    assert tuple(lines[0]) == csv_.COLUMNS
    assert (lines[1]["code"], lines[1]["workload"], lines[1]["would_be_denied"]) == ("PULL201", "db", "yes")


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_cell_is_a_formula(start):
    subject = Subject("Pod", "lab", f'{start}HYPERLINK("x","y"),\n"')
    text = "".join(csv_.render(Survey((Row(finding(), subject),), (subject,), 1, 1)))
    (line,) = csv.DictReader(io.StringIO(text, newline=""))
    assert line["workload"] == f'\'{start}HYPERLINK("x","y"),\\n"'


def test_text():
    text = "".join(survey_text.render(SURVEY, Style(colour=False, width=120), show_all=False))
    head, *lines = text.splitlines()
    assert head.split() == [
        "cause",
        "certain",
        "likely",
        "advisory",
        "unknown",
        "workloads",
        "pods",
        "failing",
        "denied",
    ]
    assert lines[0].split() == ["PULL304", "no-matching-credential", "·", "2", "·", "·", "2", "6", "2", "·"]
    assert (
        "Deployment shop/web, container app: likely PULL304 no-matching-credential: no credential for reg.example\n"
        "  image: reg.example/shop:1\n"
        "  fix:   run `kubectl create secret`\n"
        "  saw:   401 Unauthorized\n"
        "  now:   5 pods, 2 waiting for the image\n"
    ) in text
    assert text.endswith(
        "2 certain, 2 likely, 1 advisory, 1 unknown in 3 workloads, 9 pods, 4 images"
        " (all namespaces of api:6443, 1.5 s)\n"
        "2 pods waiting for an image now: `pullproof diagnose -A` says why\n"
        "2 workloads would be denied at the next re-creation, 3 pods among them\n"
    )


def test_text_of_many_findings_stops_and_says_so():
    rows = tuple(Row(finding(), Subject("Pod", f"ns-{number}", "x"), "reg.example", pods=1) for number in range(30))
    many = Survey(rows, tuple(row.subject for row in rows), 30, 1)
    style = Style(colour=False, width=120)
    short = "".join(survey_text.render(many, style, show_all=False))
    assert "and 10 findings more: --all shows them here" in short
    assert "and 15 more; --all shows them\n" in short
    assert short.count("container app") == 20
    assert "".join(survey_text.render(many, style, show_all=True)).count("container app") == 30


def test_text_of_nothing():
    text = "".join(
        survey_text.render(Survey((), (WEB,), 1, 1, server="api"), Style(colour=False, width=80), show_all=False)
    )
    assert text == "no findings in 1 workload, 1 pod, 1 image (all namespaces of api, 0 s)\n"


def test_nothing_in_a_terminal_but_text():
    subject = Subject("Pod", "lab", "a\x1b[31m\u202e")
    row = Row(finding(image="\x1b]0;x\x07", fix="\x1b", message="\x9b"), subject, "\x1b", seen="\x1b[2J")
    survey = Survey((row,), (subject,), 1, 1, server="\x1b")
    text = "".join(survey_text.render(survey, Style(colour=False, width=80), show_all=True))
    assert all(character.isprintable() or character == "\n" for character in text)


def test_sarif_and_junit_name_the_object_where_check_names_a_file():
    log = json.loads(sarif.render(outcome(SURVEY), [], "1.2.3"))
    results = log["runs"][0]["results"]
    assert len(results) == len(ROWS)
    assert results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "namespaces/shop/statefulset/db"
    text = junit.render(outcome(SURVEY), Level.LIKELY, fail_on_unknown=False)
    assert 'name="Deployment shop/web"' in text
    assert text.count("<testcase") == 3
