"""Which build of Windows an image's tag names: a container runs only on hosts of its own build, or near ones.

The names are Microsoft's: `ltsc2022`, `1809`, `10.0.20348`. Must not: be asked about an image that is not for Windows
(1809 and 2004 are ordinary numbers elsewhere), or guess a build from a repository.
"""

from __future__ import annotations

import re
from typing import Final

_LONG_TERM: Final = {"2016": "14393", "2019": "17763", "2022": "20348", "2025": "26100"}
_RELEASES: Final = {
    "1709": "16299",
    "1803": "17134",
    "1809": "17763",
    "1903": "18362",
    "1909": "18363",
    "2004": "19041",
    "20h2": "19042",
}
_LTSC: Final = re.compile(r"ltsc(20(?:16|19|22|25))(?![0-9])")
_BUILD: Final = re.compile(r"(?<![0-9.])10\.0\.(1[4-9][0-9]{3}|2[0-9]{4})(?![0-9])")
_WORDS: Final = re.compile(r"[^a-z0-9]+")


def windows_build(tag: str) -> str | None:
    """The build that the tag of a Windows image names (`10.0.20348`); None for none, and for more than one."""
    text = tag.lower()
    if "hostprocess" in text:  # those run on any build
        return None
    found = {_LONG_TERM[year] for year in _LTSC.findall(text)} | set(_BUILD.findall(text))
    if not found:
        found = {_RELEASES[word] for word in _WORDS.split(text) if word in _RELEASES}
    return f"10.0.{found.pop()}" if len(found) == 1 else None


def long_term_name(build: str) -> str | None:
    """The name in tags of a long-term release's build: `ltsc2022`; None for any other."""
    return next((f"ltsc{year}" for year, number in _LONG_TERM.items() if build == f"10.0.{number}"), None)
