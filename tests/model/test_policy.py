"""Labels to levels: a usable policy always, and a mistake never weakens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.model.finding import Level
from webhook.model.policy import ClusterPolicy, ImageOsRule, LabelError, Modes, of_labels, of_unread_namespace

OFF, CERTAIN, LIKELY, ADVISORY = Level.OFF, Level.CERTAIN, Level.LIKELY, Level.ADVISORY
FLOOR = ClusterPolicy(floor=Modes(LIKELY, ADVISORY, OFF))


@pytest.mark.parametrize(
    ("labels", "cluster", "expected"),
    [
        ({}, ClusterPolicy(), Modes(CERTAIN, LIKELY, ADVISORY)),
        ({"team": "a"}, ClusterPolicy(), Modes(CERTAIN, LIKELY, ADVISORY)),
        ({"pullproof.dev/enforce": "off"}, ClusterPolicy(), Modes(OFF, LIKELY, ADVISORY)),
        ({"pullproof.dev/warn": "advisory"}, ClusterPolicy(), Modes(CERTAIN, ADVISORY, ADVISORY)),
        ({"pullproof.dev/audit": "off"}, ClusterPolicy(), Modes(CERTAIN, LIKELY, OFF)),
        ({"pullproof.dev/inject-os": "enabled"}, ClusterPolicy(), Modes(CERTAIN, LIKELY, ADVISORY, inject_os=True)),
        ({"pullproof.dev/enforce": "off"}, FLOOR, Modes(LIKELY, ADVISORY, ADVISORY)),
        ({"pullproof.dev/enforce": "advisory"}, FLOOR, Modes(ADVISORY, ADVISORY, ADVISORY)),
        ({"pullproof.dev/enforce": "sure"}, FLOOR, Modes(LIKELY, ADVISORY, ADVISORY)),
        ({"pullproof.dev/enforce": "Certain"}, ClusterPolicy(), Modes(CERTAIN, LIKELY, ADVISORY)),
        ({"pullproof.dev/enforce": ""}, ClusterPolicy(), Modes(CERTAIN, LIKELY, ADVISORY)),
    ],
)
def test_levels(labels: dict[str, str], cluster: ClusterPolicy, expected: Modes) -> None:
    assert of_labels(labels, cluster).modes == expected


def test_a_mistake_is_told_with_what_holds() -> None:
    found = of_labels({"pullproof.dev/enforce": "sure", "pullproof.dev/inject-os": "yes"}, ClusterPolicy())
    assert found.label_errors == (
        LabelError("pullproof.dev/enforce", "sure", ("off", "certain", "likely", "advisory"), "certain"),
        LabelError("pullproof.dev/inject-os", "yes", ("enabled", "disabled"), "disabled"),
    )


@pytest.mark.parametrize(
    ("glob", "repository", "covered"),
    [
        ("contoso.azurecr.io", "contoso.azurecr.io/shop", True),
        ("*.azurecr.io", "contoso.azurecr.io/shop", True),
        ("*azurecr.io", "contoso.azurecr.io/shop", False),
        ("*azurecr.io", "evilazurecr.io/shop", True),
        ("*.azurecr.io", "contoso.azurecr.io.evil.example/shop", False),
        ("contoso.azurecr.io/win/*", "contoso.azurecr.io/win/a/b", True),
        ("contoso.azurecr.io/win/*", "contoso.azurecr.io/windows", False),
        ("docker.io/contoso/*", "docker.io/contoso/app", True),
    ],
)
def test_a_glob_of_images(glob: str, repository: str, covered: bool) -> None:
    assert ImageOsRule(glob, "windows").covers(repository) is covered


def test_a_mistyped_key_is_told() -> None:
    found = of_labels({"pullproof.dev/enforced": "off", "example.com/enforced": "off"}, ClusterPolicy())
    assert found.modes == ClusterPolicy().default
    assert found.label_errors == (
        LabelError("pullproof.dev/enforced", "off", ("enforce", "warn", "audit", "inject-os"), None),
    )


def test_of_an_unread_namespace_only_the_floor_enforces() -> None:
    assert of_unread_namespace(ClusterPolicy()).modes == Modes(OFF, LIKELY, ADVISORY)
    assert of_unread_namespace(FLOOR).modes == Modes(LIKELY, ADVISORY, ADVISORY)


@given(
    st.dictionaries(
        st.sampled_from(["enforce", "warn", "audit"]).map("pullproof.dev/".__add__),
        st.text() | st.sampled_from(["off"]),
    )
)
def test_no_label_goes_below_the_floor(labels: dict[str, str]) -> None:
    modes = of_labels(labels, FLOOR).modes
    assert modes.enforce <= LIKELY
    assert modes.warn <= ADVISORY
