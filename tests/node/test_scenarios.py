"""The scenarios of `make truth` cover what they have to, and its judge tells every kind of disagreement."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.node import drawn, scenario, truthpage
from tests.node.outcome import Kind, Outcome, outcomes
from tests.node.scenario import Scenario
from tests.node.truth import PAGE, README, SEED, Image, Report, Said
from webhook.checks.index import all_checks
from webhook.model.finding import Confidence

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOT_HERE = {
    "PULL403": "needs Windows nodes",
    "PULL409": "needs Windows nodes",
}
"""Checks of these areas without a scenario, and why."""
AREAS = ("PULL1", "PULL2", "PULL3", "PULL4")
QUIRKS = (
    "a glob for one label",
    "a port that matches",
    "a path prefix that covers",
    "pong matches pongz",
    "a key with a scheme",
    "a key with /v1/",
    "Docker Hub by its index",
    "two secrets and the second is right",
    "one undecodable beside a good one",
    "an Opaque secret with the right key",
    "auths in capitals",
    "an identity token is not read",
    "an empty entry at a private registry",
    "the pod's list replaces the ServiceAccount's",
)

NO_SUCH_HOST = Outcome(
    Kind.FAILED,
    "ErrImagePull",
    'failed to pull and unpack image "quya.io/a/b:1": failed to resolve image: failed to do request: '
    'Head "https://quya.io/v2/a/b/manifests/1": dial tcp: lookup quya.io on 127.0.0.1:53: no such host',
)
PULLED = Outcome(Kind.PULLED)


def codes(given: Scenario) -> set[str]:
    return {text.split()[0] for text in given.says or ()}


def image(said: Sequence[str], outcome: Outcome, **fields: Any) -> Image:
    findings = tuple(
        Said(code, Confidence[word.upper()], "spec.containers[0].image") for code, word in map(str.split, said)
    )
    return Image(Scenario(name="one", **{"source": "host", **fields}), "app", "quya.io/a/b:1", findings, outcome)


def test_every_check_of_what_a_linux_node_pulls_has_a_scenario() -> None:
    wanted = {check.code for check in all_checks() if check.code.startswith(AREAS)}
    covered = set().union(*map(codes, scenario.load()))
    assert covered | set(NOT_HERE) >= wanted
    assert not covered & set(NOT_HERE)
    assert covered <= wanted


def test_every_scenario_says_what_is_to_come_out() -> None:
    for given in scenario.load():
        assert given.says is not None, given.name
        assert given.kubelet, given.name


def test_every_quirk_of_the_keyring_has_a_scenario() -> None:
    assert not set(QUIRKS) - {given.name for given in scenario.load()}


def test_a_seed_draws_the_same_scenarios_again() -> None:
    assert drawn.draw(7, 200) == drawn.draw(7, 200)
    assert drawn.draw(7, 200) != drawn.draw(8, 200)


def test_a_digest_is_that_of_what_was_pushed() -> None:
    given = Scenario(
        name="one",
        images=["quay.io/a/b:1@sha256:pushed", "quay.io/c:1"],
        hidden={"quay.io/a/b:1@sha256:pushed": "the password is wrong"},
    )
    digest = f"sha256:{'0' * 64}"
    found = given.with_digests({"quay.io/c:1": "sha256:1", "quay.io/a/b:1": digest})
    assert found.images == [f"quay.io/a/b:1@{digest}", "quay.io/c:1"]
    assert found.hidden_of(f"quay.io/a/b:1@{digest}") == "the password is wrong"


DISAGREEMENTS = [
    pytest.param(image(["PULL201 certain"], PULLED), "certain, and pulled: ", id="certain and pulled"),
    pytest.param(image([], NO_SUCH_HOST), "nothing said, and failed: ", id="nothing and failed"),
    pytest.param(image(["PULL107 advisory"], NO_SUCH_HOST), "advisory said, and failed: ", id="advisory and failed"),
    pytest.param(
        image([], NO_SUCH_HOST, source=scenario.DRAWN, hidden=f"{drawn.PUBLIC}; {drawn.PASSWORD_WRONG}"),
        "nothing said, and failed: ",
        id="another fault was drawn",
    ),
    pytest.param(
        image(["PULL304 likely"], NO_SUCH_HOST),
        "the diagnosis names another cause: 0 of 1 (0.0%)",
        id="another cause",
    ),
]


@pytest.mark.parametrize(("shown", "told"), DISAGREEMENTS)
def test_a_disagreement_breaks_the_run(shown: Image, told: str) -> None:
    report = Report([shown])
    report.judge()
    assert [line[: len(told)] for line in report.broken] == [told]


AGREEMENTS = [
    pytest.param(image(["PULL201 certain"], NO_SUCH_HOST), id="certain and failed"),
    pytest.param(image(["PULL201 certain"], Outcome(Kind.PRESENT)), id="certain and there before"),
    pytest.param(image(["PULL201 certain"], PULLED, against="a mirror"), id="a node that nobody told of"),
    pytest.param(image([], NO_SUCH_HOST, hidden="a host of one's own"), id="the API does not show it"),
    pytest.param(image([], NO_SUCH_HOST, source=scenario.DRAWN, hidden=drawn.HOST), id="that fault was drawn"),
    pytest.param(image(["PULL304 likely"], NO_SUCH_HOST, hidden=drawn.HOST), id="a hidden fault came first"),
    pytest.param(image(["PULL201 likely"], NO_SUCH_HOST), id="likely and failed"),
    pytest.param(image(["PULL201 likely"], PULLED), id="likely and pulled"),
]


@pytest.mark.parametrize("shown", AGREEMENTS)
def test_what_agrees_breaks_nothing(shown: Image) -> None:
    report = Report([shown])
    report.judge()
    assert report.broken == []


def test_only_the_hidden_fault_that_was_drawn_excuses_another_cause() -> None:
    report = Report([image(["PULL304 likely"], NO_SUCH_HOST, hidden=f"{drawn.PUBLIC}; {drawn.PASSWORD_WRONG}")])
    assert str(report.diagnosed()) == "0 of 1 (0.0%)"


def test_one_try_is_none() -> None:
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such host"}}
    pod = {
        "spec": {"containers": [{"name": "app", "image": "quya.io/a/b:1"}]},
        "status": {"containerStatuses": [{"name": "app", "state": waiting}]},
    }
    failed = {
        "reason": "Failed",
        "message": "Error: ErrImagePull",
        "involvedObject": {"fieldPath": "spec.containers{app}"},
    }
    assert outcomes(pod, [failed]) is None
    assert outcomes(pod, [{**failed, "count": 2}]) == {"app": Outcome(Kind.FAILED, "ErrImagePull", "no such host")}


def test_the_page_keeps_the_seeds_that_it_had(tmp_path: Path) -> None:
    page = tmp_path / "truth.md"
    for seed in (7, SEED, 3, 7):
        truthpage.write(
            page, [image(["PULL201 likely"], PULLED)], seed=seed, first=SEED, diagnosed="9 of 9", versions="kubelet v1"
        )
    text = page.read_text()
    assert re.findall(r"^## .*", text, re.MULTILINE) == [
        "## Seed 1",
        "## Seed 3",
        "## Seed 7",
        "## The written scenarios",
    ]
    assert text.count("| likely | 1 | 0 | 0 |  |") == 3


def test_the_page_on_record_has_four_seeds_and_the_readme_the_table_of_the_first() -> None:
    page = PAGE.read_text()
    seeds = re.findall(r"^## Seed (\d+)\n(.*?)^(?=## )", page, re.MULTILINE | re.DOTALL)
    assert len(seeds) >= 4
    assert int(seeds[0][0]) == SEED
    table = re.search(r"^\| pullproof said .*?\n\n", seeds[0][1], re.MULTILINE | re.DOTALL)
    assert table is not None
    assert f"<!-- make truth -->\n{table[0].strip()}\n<!-- end of make truth -->" in README.read_text()
