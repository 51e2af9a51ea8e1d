"""Where pull secrets for a host are: the own namespace first, few of many, gone when they are gone."""

from __future__ import annotations

import pytest

from webhook.model.facts import SecretPlace
from webhook.sources.evidence import SecretHosts


def index(*places: tuple[str, str, str]) -> SecretHosts:
    found = SecretHosts()
    for namespace, name, host in places:
        found.change(SecretPlace(namespace, name), (), [host])
    return found


def named(found: tuple[SecretPlace, ...]) -> list[str]:
    return [f"{place.namespace}/{place.name}" for place in found]


@pytest.mark.parametrize(
    ("places", "host", "expected"),
    [
        pytest.param([], "us.icr.io", [], id="nothing"),
        pytest.param([("a", "x", "de.icr.io")], "us.icr.io", [], id="another host"),
        pytest.param(
            [("b", "x", "us.icr.io"), ("default", "y", "us.icr.io"), ("a", "z", "us.icr.io")],
            "us.icr.io",
            ["a/z", "default/y", "b/x"],
            id="own namespace, then default",
        ),
        pytest.param([("a", "x", "*.azurecr.io")], "contoso.azurecr.io", ["a/x"], id="a glob"),
        pytest.param(
            [("b", "glob", "*.azurecr.io"), ("a", "own", "contoso.azurecr.io")],
            "contoso.azurecr.io",
            ["a/own", "b/glob"],
            id="both",
        ),
    ],
)
def test_which_are_near(places: list[tuple[str, str, str]], host: str, expected: list[str]) -> None:
    assert named(index(*places).near(host, "a")) == expected


def test_of_thousands_a_few_are_told() -> None:
    many = index(*((f"team-{number}", "regcred", "us.icr.io") for number in range(2000)))
    assert len(many.near("us.icr.io", "a")) == 3
    assert named(many.near("us.icr.io", "team-1999"))[0] == "team-1999/regcred"


def test_a_secret_that_changes_or_goes_is_forgotten() -> None:
    found = index(("a", "x", "us.icr.io"), ("a", "y", "us.icr.io"))
    found.change(SecretPlace("a", "x"), ["us.icr.io"], ["de.icr.io"])
    assert named(found.near("us.icr.io", "a")) == ["a/y"]
    assert named(found.near("de.icr.io", "a")) == ["a/x"]
    found.change(SecretPlace("a", "x"), ["de.icr.io"], ())
    found.change(SecretPlace("a", "y"), ["us.icr.io"], ())
    assert found.near("us.icr.io", "a") == found.near("de.icr.io", "a") == ()
    found.change(SecretPlace("a", "y"), ["us.icr.io"], ())
    assert found.near("us.icr.io", "a") == ()
