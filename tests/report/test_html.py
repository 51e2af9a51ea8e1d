"""The page of a scan, in a real Chromium: mouse, keyboard, dark mode, hostile names, and thousands of findings."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.report.chromium import Browser
from tests.waiting import eventually
from webhook.model.finding import Confidence, Finding, Heals
from webhook.report import html
from webhook.report.outcome import Subject
from webhook.report.survey import Row, Survey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def row(number: int = 0, confidence: Confidence = Confidence.LIKELY, **more) -> Row:
    image = more.pop("image", f"contoso.azurecr.io/team-{number % 7}/service-{number}:1")
    finding = Finding(
        code=more.pop("code", "PULL304"),
        name=more.pop("name", "no-matching-credential"),
        confidence=confidence,
        heals=Heals.CLUSTER,
        field="spec.template.spec.containers[0].image",
        message=more.pop("message", f"no credential for `contoso.azurecr.io`, number {number}"),
        fix=more.pop("fix", f"run `kubectl create secret docker-registry regcred-{number}`"),
        evidence=("the registry needs one", f"pull secret regcred-{number}: for another host"),
        container="app",
        image=image,
    )
    subject = more.pop("subject", Subject("Deployment", f"team-{number % 7}", f"service-{number}"))
    return Row(finding, subject, registry="contoso.azurecr.io", **{"pods": 3, **more})


ROWS = (
    row(1, failing=2, seen="unexpected status: 401 Unauthorized"),
    row(2, Confidence.CERTAIN, code="PULL201", name="registry-host-typo", denied=3),
    row(3, Confidence.ADVISORY, code="PULL107", name="implicit-latest"),
    row(4, Confidence.UNKNOWN, code="PULL902", name="pull-secrets-not-read"),
    row(5),
)


def survey(*rows: Row, notes: tuple[str, ...] = ()) -> Survey:
    return Survey(
        rows=rows,
        workloads=tuple(dict.fromkeys(one.subject for one in rows)),
        pods=30,
        images=9,
        denied_pods=3,
        failing_pods=2,
        server="api.example:6443",
        at="2026-01-01T10:00:00Z",
        notes=notes,
    )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    chromium.problems()
    chromium.requests()
    chromium.scheme("light")
    yield chromium
    assert chromium.problems() == []
    assert all(address.startswith(("file:", "data:")) for address in chromium.requests())


@pytest.fixture
def show(browser: Browser, tmp_path: Path):
    def opened(content: Survey) -> Browser:
        file = tmp_path / "report.html"
        file.write_text(html.render(content, "1.2.3"), encoding="utf-8")
        browser.open(file)
        return browser

    return opened


def texts(browser: Browser, selector: str) -> list[str]:
    return browser.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((one) => one.innerText.trim())")


def codes(browser: Browser) -> list[str]:
    # textContent: the text of what is out of sight is not laid out
    script = "[...document.querySelectorAll('#findings .what')].map((one) => one.textContent)"
    return [re.search(r"PULL\d{3}", text)[0] for text in browser.run(script)]


def count(browser: Browser) -> str:
    return browser.run("document.getElementById('count').value")


def focused(browser: Browser) -> int | None:
    return browser.run("[...document.querySelectorAll('#findings .head')].indexOf(document.activeElement)")


def test_what_fails_stands_first_and_the_summary_counts(show):
    page = show(survey(*ROWS))
    assert codes(page) == ["PULL304", "PULL201", "PULL304", "PULL107", "PULL902"]
    assert count(page) == "5 findings"
    cards = dict(reversed(text.split("\n", 1)) for text in texts(page, ".card"))
    assert (cards["certain"], cards["likely"], cards["pods failing now"], cards["pods"]) == ("1", "2", "2", "30")
    assert texts(page, "#about") == ["api.example:6443, all namespaces, 2026-01-01T10:00:00Z"]


def test_a_click_opens_a_finding_with_its_trace_and_fix(show):
    page = show(survey(*ROWS))
    page.click("#findings .head")
    (body,) = texts(page, "#findings .body")
    for part in (
        "kubectl create secret docker-registry regcred-1",
        "unexpected status: 401 Unauthorized",
        "pull secret regcred-1: for another host",
        "spec.template.spec.containers[0].image",
        "3 pods, 2 waiting for the image",
    ):
        assert part in body
    assert page.run("document.querySelector('#findings .head').getAttribute('aria-expanded')") == "true"
    page.click("#findings .head")
    assert texts(page, "#findings .body") == []


@pytest.mark.parametrize(
    ("selector", "left"),
    [
        ('[data-filter=\'["level","certain"]\']', ["PULL201"]),
        ("#chips [data-filter='[\"failing\",true]']", ["PULL304"]),
        ("#chips [data-filter='[\"denied\",true]']", ["PULL201"]),
        ('.table [data-filter=\'["code","PULL107"]\']', ["PULL107"]),
        ('.table [data-filter=\'["namespace","team-5"]\']', ["PULL304"]),
    ],
)
def test_filters_by_the_mouse(show, selector, left):
    page = show(survey(*ROWS))
    page.click(selector)
    assert codes(page) == left
    assert count(page) == f"{len(left)} of 5 findings"
    assert page.run(f"document.querySelector({json.dumps(selector)}).getAttribute('aria-pressed')") == "true"
    page.click("#clear")
    assert len(codes(page)) == 5


def test_all_of_it_by_the_keyboard(show):
    page = show(survey(*ROWS))
    page.press("/")
    page.write("service-5 credential")
    assert count(page) == "1 of 5 findings"
    page.press("Enter")
    assert focused(page) == 0
    page.press("Enter")
    assert "regcred-5" in texts(page, "#findings .body")[0]
    page.press("x")
    assert count(page) == "5 findings"
    for key, expected in (("j", 0), ("j", 1), ("ArrowDown", 2), ("k", 1), ("ArrowUp", 0), ("k", 0)):
        page.press(key)
        assert focused(page) == expected
    page.press("2")
    page.press("4")
    assert codes(page) == ["PULL304", "PULL304", "PULL902"]
    page.press("f")
    assert codes(page) == ["PULL304"]
    page.press("?")
    assert page.run("document.getElementById('help').open")
    page.press("Escape")
    assert not page.run("document.getElementById('help').open")


def test_every_control_can_be_reached_by_the_tabulator(show):
    page = show(survey(*ROWS))
    seen = set()
    for _ in range(60):
        page.press("Tab")
        seen.add(page.run("document.activeElement.id || document.activeElement.className"))
    assert {"theme", "keys", "search", "namespace", "registry", "code", "clear", "head"} <= seen


def brightness(browser: Browser, selector: str, what: str) -> float:
    colour = browser.run(f"getComputedStyle(document.querySelector({json.dumps(selector)})).{what}")
    red, green, blue = (int(part) for part in re.findall(r"\d+", colour)[:3])
    channels = [
        value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4
        for value in (red / 255, green / 255, blue / 255)
    ]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


def contrast(browser: Browser, selector: str, ground: str) -> float:
    """WCAG 2.2: 4.5 and more is readable text (AA)."""
    pair = sorted((brightness(browser, selector, "color"), brightness(browser, ground, "backgroundColor")))
    return (pair[1] + 0.05) / (pair[0] + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_are_readable(show, scheme):
    page = show(survey(*ROWS))
    page.scheme(scheme)
    assert (brightness(page, "body", "backgroundColor") < 0.2) is (scheme == "dark")
    page.click("#findings .head")
    for word in ("certain", "likely", "advisory", "unknown"):
        assert contrast(page, f".word.{word}", "#findings > li") >= 4.5, word
    for selector in (".where", ".state", ".fix", ".body dd", ".body dt"):
        assert contrast(page, selector, "#findings > li") >= 4.5, selector
    for selector in ("#about", "footer"):
        assert contrast(page, selector, "body") >= 4.5, selector
    page.press("t")
    assert (brightness(page, "body", "backgroundColor") < 0.2) is (scheme == "light")


def test_a_narrow_window_has_nothing_beside_it(show):
    page = show(survey(*ROWS, notes=("x" * 400,)))
    page.command("Emulation.setDeviceMetricsOverride", width=360, height=700, deviceScaleFactor=1, mobile=True)
    try:
        page.settle()
        page.click("#findings .head")
        assert page.run("document.documentElement.scrollWidth") <= 360
    finally:
        page.command("Emulation.clearDeviceMetricsOverride")


HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>@DATA@`x` \u202e\x1b[31m&amp;"


def test_names_stay_text(show):
    subject = Subject("Deployment", HOSTILE, HOSTILE)
    page = show(
        survey(row(1, subject=subject, image=HOSTILE, message=HOSTILE, fix=HOSTILE, seen=HOSTILE), notes=(HOSTILE,))
    )
    page.click("#findings .head")
    assert page.run("window.hacked") is None
    assert page.run("document.images.length") == 0
    assert "</script><script>window.hacked=1</script>" in texts(page, "#findings .where")[0]
    assert "\\u202e\\x1b[31m&amp;" in texts(page, "#notes")[0]


def test_a_script_that_is_not_ours_does_not_run(show):
    page = show(survey(*ROWS))
    page.do("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hacked=1'}))")
    page.settle()
    assert page.run("window.hacked") is None
    (problem,) = page.problems()
    assert "Content Security Policy" in problem


def test_nothing_found(show):
    page = show(survey())
    assert texts(page, "#findings") == ["no findings"]
    assert texts(page, ".table") == []


def test_thousands_of_findings_are_drawn_as_they_are_looked_at(show):
    """What makes a page of 5,000 findings answer at once: only what is near the window is ever drawn."""
    rows = [row(number, list(Confidence)[number % 4], code=f"PULL{300 + number % 12}") for number in range(5_000)]
    page = show(survey(*rows))
    assert count(page) == "5,000 findings"
    assert page.run("document.querySelectorAll('*').length") < 4_000
    page.press("/")
    page.write("service-4999")
    assert count(page) == "1 of 5,000 findings"
    page.press("Enter")
    page.press("x")
    before = len(codes(page))
    page.do("window.scrollTo(0, document.body.scrollHeight)")
    eventually(lambda: len(codes(page)) > before)
    page.write("j" * (before + 2))
    assert focused(page) == before + 1
    page.do("for (let i = 0; i < 1000 && !document.getElementById('more').hidden; i++) drawMore()")
    assert len(codes(page)) == 5_000


def test_the_page_is_one_file_that_names_no_other():
    page = html.render(survey(*ROWS), "1.2.3")
    assert re.findall(r"(?:src|href|action)=[\"']?([^\"' >]+)", page) == ["data:,", "#findings"]
    assert "@import" not in page
    assert "url(" not in page
    assert not re.search(r"@[A-Z-]+@", page)
