from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.model.finding import Confidence, Finding, Heals
from webhook.model.place import Place
from webhook.report.outcome import Judged, Outcome, Problem, Remark, Subject, Told, counts
from webhook.report.text import Style, columns, problem, remark, render

PLAIN = Style(colour=False, width=80)


def told(text="image: Nginx", column=8, end=9, *, confidence=Confidence.CERTAIN, container="app", name="shop", **more):
    finding = Finding(
        code="PULL104", name="upper-case", confidence=confidence, heals=Heals.OBJECT, field="f", container=container,
        message=more.pop("message", "upper case"), fix=more.pop("fix", "use `nginx`"), **more,
    )  # fmt: skip
    return Told(finding, Place("a.yaml", 12, column, end, text), Subject("Pod", "team-a", name))


def lines(outcome, style=PLAIN):
    return "".join(render(outcome, style)).splitlines()


def test_a_finding():
    assert lines(
        Outcome((told(evidence=("seen", "read")),), judged=(Judged(Subject("Pod", "", "x"), "a.yaml", ()),))
    ) == [
        "a.yaml:12:8: certain PULL104 upper-case: upper case",
        "   |",
        "12 | image: Nginx",
        "   |        ^",
        "   = fix: use `nginx`",
        "   = because: seen",
        "   = because: read",
        "   = in: Pod team-a/shop, container app",
        "",
        "1 certain in 1 workload",
    ]


@pytest.mark.parametrize(
    ("text", "part", "caret"),
    [
        pytest.param("a: 漢字/X", "X", "        ^", id="wide"),
        pytest.param("\ta: X", "X", "       ^", id="tab"),
        pytest.param("a: e\u0301X", "X", "    ^", id="combining"),
        pytest.param("a: \u202eX", "X", "         ^", id="escaped"),
        pytest.param("a: 漢字", "漢字", "   ^^^^", id="wide-part"),
    ],
)
def test_the_caret_stands_under_the_part(text, part, caret):
    start = text.index(part)
    shown = lines(Outcome((told(text, start + 1, start + 1 + len(part)),)))
    assert shown[3].removeprefix("   | ") == caret


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    st.integers(0, 300),
    st.integers(1, 300),
    st.integers(1, 200),
)
@example("0" * 60, 60, 1, 1)
def test_a_line_never_takes_more_than_the_terminal_has(text, start, length, width):
    style = Style(colour=False, width=width)
    shown = lines(Outcome((told(text, start + 1, start + 1 + length),)), style)
    assert all(columns(line) <= style.width for line in shown[1:4])


def test_unknown_findings_stand_together():
    one = {"confidence": Confidence.UNKNOWN, "message": "not read", "fix": "", "container": None}
    assert lines(Outcome(tuple(told(name=f"p{n}", **one) for n in range(5)))) == [
        "unknown PULL104: not read",
        "  in: Pod team-a/p0, Pod team-a/p1, Pod team-a/p2 and 2 more",
        "5 unknown in 0 workloads",
    ]


def test_nothing_found():
    assert lines(Outcome()) == ["no findings in 0 workloads"]


def test_problems_and_remarks():
    assert problem(Problem("a\n.yaml", 2, 7, 3, "broken", "mend it"), PLAIN) == (
        "a\\n.yaml:7:3: unreadable: document 2: broken; mend it\n"
    )
    assert problem(Problem("a.yaml", 0, 0, 0, "gone"), PLAIN) == "a.yaml: unreadable: gone\n"
    assert remark(Remark("a.yaml", 4, "twice"), PLAIN) == "a.yaml:4: note: twice\n"
    assert remark(Remark("a.yaml", 0, "empty"), PLAIN) == "a.yaml: note: empty\n"


def test_colours_end_where_they_should():
    shown = "".join(render(Outcome((told(),)), Style(colour=True, width=80)))
    for line in shown.splitlines():
        assert line.count("\x1b[") == 2 * line.count("\x1b[0m")


def test_counts_name_every_confidence():
    assert counts([told(), told(confidence=Confidence.UNKNOWN)]) == {
        "certain": 1, "likely": 0, "advisory": 0, "unknown": 1,
    }  # fmt: skip
