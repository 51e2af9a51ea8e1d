"""Which build of Windows a tag names, by tags that Microsoft publishes."""

from __future__ import annotations

import pytest

from webhook.catalogue.windows_build import long_term_name, windows_build


@pytest.mark.parametrize(
    ("tag", "build"),
    [
        ("ltsc2022", "10.0.20348"),
        ("4.8-windowsservercore-ltsc2019", "10.0.17763"),
        ("8.0-nanoserver-ltsc2025", "10.0.26100"),
        ("windowsservercore-ltsc2016", "10.0.14393"),
        ("8.0.11-nanoserver-1809-amd64", "10.0.17763"),
        ("nanoserver-20H2", "10.0.19042"),
        ("10.0.17763.5329", "10.0.17763"),
        ("10.0.20348.2227-amd64", "10.0.20348"),
        # says nothing
        ("4.8", None),
        ("windowsservercore", None),
        ("2022-01-17", None),
        ("18090", None),
        ("1.10.0.20348", None),
        ("ltsc20222", None),
        # says two things
        ("ltsc2019-ltsc2022", None),
        ("1803-1809", None),
        # one build by two names
        ("ltsc2019-10.0.17763.1", "10.0.17763"),
        # runs on any build
        ("v1.2-hostprocess-ltsc2019", None),
    ],
)
def test_builds(tag: str, build: str | None) -> None:
    assert windows_build(tag) == build


def test_long_term_names() -> None:
    assert long_term_name("10.0.20348") == "ltsc2022"
    assert long_term_name("10.0.25398") is None
