"""SARIF by its own schema: sarif-2.1.0-rtm.5.json is OASIS' own, as the npm package @microsoft/jest-sarif ships it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from webhook.checks.index import modules
from webhook.model.finding import Confidence, Finding, Heals
from webhook.model.place import Place, Region
from webhook.report import sarif
from webhook.report.outcome import Ignored, Outcome, Problem, Remark, Subject, Told

SCHEMA = jsonschema.Draft4Validator(json.loads(Path(__file__).with_name("sarif-2.1.0-rtm.5.json").read_bytes()))
RULES = [sarif.rule(module.CHECK, module.__doc__ or "") for module in modules().values()]
SUBJECT = Subject("Deployment", "team-a", "shop")


def told(
    confidence=Confidence.CERTAIN,
    *,
    file="a.yaml",
    line=3,
    suggestion=None,
    quote="",
    code="PULL104",
    value=True,
    evidence=(),
):
    finding = Finding(
        code=code, name="some-name", confidence=confidence, heals=Heals.OBJECT, field="spec.containers[0].image",
        message="upper case", fix="use it", suggestion=suggestion, container="app", image="Nginx", evidence=evidence,
    )  # fmt: skip
    region = Region(line, 10, line, 15, quote) if value else None
    return Told(finding, Place(file, line, 10 if line else 0, 11 if line else 0, "  image: Nginx", region), SUBJECT)


def run_of(outcome):
    log = json.loads(sarif.render(outcome, RULES, "0.1.0"))
    errors = [error.message for error in SCHEMA.iter_errors(log)]
    assert errors == []
    (run,) = log["runs"]
    return run


def test_everything_validates_and_says_what_it_is():
    run = run_of(
        Outcome(
            told=tuple(told(confidence, evidence=("because", "of this")) for confidence in Confidence),
            ignored=(Ignored(told(), "internal mirror"),),
            problems=(Problem("b.yaml", 2, 7, 1, "broken", "mend it"), Problem("c.yaml", 0, 0, 0, "gone")),
            remarks=(Remark("d.yaml", 0, "empty"), Remark("d.yaml", 4, "twice")),
        )
    )
    results = run["results"]
    assert [(one["level"], one.get("kind")) for one in results] == [
        ("error", None), ("warning", None), ("note", None), ("none", "open"), ("error", None),
    ]  # fmt: skip
    assert results[0]["locations"][0]["physicalLocation"]["region"] == {
        "startLine": 3, "startColumn": 10, "endColumn": 11, "snippet": {"text": "N"},
    }  # fmt: skip
    assert results[0]["message"]["text"] == "upper case; use it\nbecause\nof this"
    assert results[-1]["suppressions"] == [
        {"kind": "inSource", "status": "accepted", "justification": "internal mirror"}
    ]
    assert run["tool"]["driver"]["rules"][results[0]["ruleIndex"]]["id"] == "PULL104"
    assert run["invocations"][0]["executionSuccessful"] is False
    assert [one["message"]["text"] for one in run["invocations"][0]["toolExecutionNotifications"]] == [
        "document 2: broken; mend it", "gone", "empty", "twice",
    ]  # fmt: skip


def test_nothing_found_validates():
    assert run_of(Outcome())["results"] == []


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("a.yaml", "a.yaml"),
        ("./a/b.yaml", "a/b.yaml"),
        ("/a/b.yaml", "file:///a/b.yaml"),
        ("a b%ü.yaml", "a%20b%25%C3%BC.yaml"),
        ("<stdin>", "%3Cstdin%3E"),
        ("a:b.yaml", "a%3Ab.yaml"),
        ("\udcff.yaml", "%FF.yaml"),
    ],
)
def test_files_become_uris(file, uri):
    run = run_of(Outcome(told=(told(file=file),)))
    assert run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_a_finding_without_a_line_has_no_region():
    run = run_of(Outcome(told=(told(line=0, value=False),)))
    assert "region" not in run["results"][0]["locations"][0]["physicalLocation"]


@pytest.mark.parametrize(
    ("suggestion", "quote", "text"),
    [
        ("quay.io/a:1", "", "quay.io/a:1"),
        ("quay.io/a:1", '"', '"quay.io/a:1"'),
        ("quay.io/a:1", "'", "'quay.io/a:1'"),
        ("[::1]:5000/a", "", '"[::1]:5000/a"'),
        ("nginx", "", '"nginx"'),
    ],
)
def test_a_suggestion_replaces_the_value_as_it_is_quoted(suggestion, quote, text):
    run = run_of(Outcome(told=(told(suggestion=suggestion, quote=quote),)))
    (change,) = run["results"][0]["fixes"][0]["artifactChanges"]
    assert change["replacements"] == [
        {
            "deletedRegion": {"startLine": 3, "startColumn": 10, "endLine": 3, "endColumn": 15},
            "insertedContent": {"text": text},
        }
    ]


def test_a_suggestion_for_an_alias_or_a_block_replaces_nothing():
    assert "fixes" not in run_of(Outcome(told=(told(suggestion="a:1", value=False),)))["results"][0]


def test_the_fingerprint_follows_a_finding_to_another_line():
    first, moved, other = (
        run_of(Outcome(told=(one,)))["results"][0]["partialFingerprints"]
        for one in (told(), told(line=9), told(file="b.yaml"))
    )
    assert first == moved != other
