"""What an image's name says of its operating system: a guess, and often a good one.

Windows images are told by the bases that their tags name (`nanoserver-ltsc2022`), by publishers, and by the word
windows where it stands alone; Linux ones by their distribution. Look-alikes abound (`dockurr/windows` is a Linux image;
`windup`, `summerwind`), so only whole words count, and a contradiction counts as silence. The lists: image_os.json.
Must not: say more than `likely`, look at anything but the name, or tell an image that is built for both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import orjson

from webhook.model.finding import Confidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.model.reference import Reference

DATA: Final = Path(__file__).with_name("image_os.json")

System: TypeAlias = Literal["windows", "linux"]


@dataclass(frozen=True, slots=True)
class ImageOs:
    """The system an image's name tells, or None. `reason` completes the sentence "…, because …".

    `confidence` is LIKELY where the name is unmistakable (injection rests on that alone), ADVISORY where it is a hint,
    UNKNOWN where it says nothing.
    """

    value: System | None
    confidence: Confidence
    reason: str


_SILENT: Final = ImageOs(None, Confidence.UNKNOWN, "its name says nothing of an operating system")
_BOTH: Final = ImageOs(None, Confidence.UNKNOWN, "it is built for both Windows and Linux")
_CONTRADICTS: Final = ImageOs(None, Confidence.UNKNOWN, "its name speaks of both Windows and Linux")

# The base images of Windows, in whatever words surround them (`windowsservercore1809`, `nanoserver`).
_WINDOWS_BASE: Final = re.compile(r"nanoserver|servercore")
_LTSC: Final = re.compile(r"(?<![a-z0-9])(?:win|windows|server)*(ltsc20(?:16|19|22|25))(?![0-9])")
# Its releases, right after its name (`windows-1809-amd64`, `win2019`); 10 and 11 are also what a virtual machine runs.
_RELEASE: Final = re.compile(
    r"(?<![a-z0-9])win(?:dows)?-?(?:server)?-?(?:1709|1803|1809|1903|1909|2004|20h2|20(?:16|19|22|25))(?![0-9])"
)
# Windows names its builds 10.0.14393, 10.0.17763.5329; other software's versions rarely look so.
_BUILD: Final = re.compile(r"(?<![0-9.])10\.0\.(?:14393|1[6-9][0-9]{3}|2[0-6][0-9]{3})(?![0-9])")
# A version, and the release it was built on (`v20.10.14-1809`); 2004 is Ubuntu's too.
_TRAILING_RELEASE: Final = re.compile(r"v?[0-9]+\.[0-9].*-(1709|1803|1809|1903|1909)")
_HOST_PROCESS: Final = "hostprocess"

_WINDOWS_WORD: Final = re.compile(r"windows(?:amd64|x64|64)?(?:10|11|[0-9]{4})?(?:fs|amd64)?")
_WIN_WORD: Final = re.compile(r"win(?:amd64|x64|32|64)?(?:10|11|[0-9]{4})?")
_SEPARATORS: Final = re.compile(r"[^a-z0-9]+")
# What stands beside windows in a tag when it names the image's platform, not what the image makes.
_PLATFORM_WORDS: Final = frozenset({"amd64", "x64", "hp", "hpc"})


def image_os(reference: Reference) -> ImageOs:
    """What the name of an image says of its operating system."""
    lists = _lists()
    path, tag = reference.path.lower(), (reference.tag or "").lower()
    if told := _by_base(path, tag):
        return told
    repository = f"{reference.domain.lower()}/{path}"
    if lists.both.why(repository):
        return _BOTH
    if why := lists.linux.why(repository):
        return ImageOs("linux", Confidence.LIKELY, why)
    name = _Name(_words(path), _words(path.rpartition("/")[2]), _words(tag))
    # `webhook` by itself is a test image of Kubernetes' Windows tests, `k8s-gmsa-webhook` manages Windows from Linux
    managing = len(name.last) > 1 and name.path & lists.managing
    if (why := lists.windows.why(repository)) and not managing:
        return ImageOs("windows", Confidence.LIKELY, why)
    if reference.domain == "docker.io" and path == "microsoft/aspnet":
        return _microsoft_aspnet(tag)
    told = _by_words(name, lists)
    if told is _SILENT and (found := _TRAILING_RELEASE.fullmatch(tag)):
        return ImageOs("windows", Confidence.ADVISORY, f"its tag ends with {found[1]}, a release of Windows")
    return told


def _by_base(path: str, tag: str) -> ImageOs | None:
    """What no Linux image bears: then neither its publisher nor any other word matters."""
    for text in (tag, path):
        if found := _WINDOWS_BASE.search(text):
            return ImageOs("windows", Confidence.LIKELY, f"{found[0]} is a base of Windows images")
        if found := _LTSC.search(text):
            return ImageOs("windows", Confidence.LIKELY, f"{found[1]} is a release of Windows Server")
    if found := _RELEASE.search(tag):
        return ImageOs("windows", Confidence.LIKELY, f"its tag says {found[0]}")
    if found := _BUILD.search(tag):
        return ImageOs("windows", Confidence.LIKELY, f"{found[0]} is a build of Windows")
    if _HOST_PROCESS in tag:
        return ImageOs("windows", Confidence.LIKELY, "only Windows has host process containers")
    return None


def _microsoft_aspnet(tag: str) -> ImageOs:
    """The images of ASP.NET 5's betas (1.0.0-…) were Linux; what came later under that name is the .NET Framework's."""
    if tag.startswith("1."):
        return ImageOs("linux", Confidence.ADVISORY, "microsoft/aspnet:1 was built on Mono")
    return ImageOs("windows", Confidence.LIKELY, "it holds the .NET Framework, which only Windows has")


@dataclass(frozen=True, slots=True)
class _Name:
    """The words of a path, of its last part, and of a tag, in lower case."""

    path: frozenset[str]
    last: frozenset[str]
    tag: frozenset[str]


def _by_words(name: _Name, lists: _Lists) -> ImageOs:
    making = bool(name.path & lists.making)
    in_tag = _first(name.tag, _WINDOWS_WORD)
    short_in_tag = _first(name.tag, _WIN_WORD)
    in_path = _first(name.path, _WINDOWS_WORD)
    if linux := _first_listed(name.tag, lists.linux_tag_words) or _first_listed(name.last, lists.linux_words):
        if in_tag or short_in_tag or in_path:
            return _CONTRADICTS
        return ImageOs("linux", Confidence.LIKELY, f"its name says {linux}")
    if in_tag and name.tag & _PLATFORM_WORDS:
        return ImageOs("windows", Confidence.LIKELY, f"its tag says {in_tag}")
    if making or name.tag & lists.managing:
        return _SILENT
    if in_tag:
        return ImageOs("windows", Confidence.LIKELY, f"its tag says {in_tag}")
    if short_in_tag:
        return ImageOs("windows", Confidence.ADVISORY, f"its tag says {short_in_tag}")
    if name.path & lists.managing:
        return _SILENT
    if found := in_path or _first(name.last, _WIN_WORD):
        return ImageOs("windows", Confidence.ADVISORY, f"its path says {found}")
    return _SILENT


def _first(words: frozenset[str], pattern: re.Pattern[str]) -> str | None:
    return next((word for word in sorted(words) if pattern.fullmatch(word)), None)


def _first_listed(words: frozenset[str], listed: frozenset[str]) -> str | None:
    return next((word for word in sorted(words) if word in listed or word.rstrip("0123456789") in listed), None)


def _words(text: str) -> frozenset[str]:
    return frozenset(_SEPARATORS.split(text)) - {""}


@dataclass(frozen=True, slots=True)
class _Repositories:
    """Repositories with what is said of them: whole ones, everything below one, and what may stand in any registry."""

    exact: Mapping[str, str]
    below: Mapping[str, str]
    anywhere: tuple[tuple[str, str], ...]

    def why(self, repository: str) -> str | None:
        found = self.exact.get(repository)
        if found is not None:
            return found
        end = repository.find("/")
        while end >= 0:
            found = self.below.get(repository[: end + 1])
            if found is not None:
                return found
            end = repository.find("/", end + 1)
        return next((why for part, why in self.anywhere if part in f"{repository}/"), None)


@dataclass(frozen=True, slots=True)
class _Lists:
    windows: _Repositories
    linux: _Repositories
    both: _Repositories
    linux_words: frozenset[str]
    linux_tag_words: frozenset[str]
    managing: frozenset[str]
    making: frozenset[str]


@cache
def _lists() -> _Lists:
    raw = orjson.loads(DATA.read_bytes())
    return _Lists(
        windows=_repositories(raw["windows"]),
        linux=_repositories(raw["linux"]),
        both=_repositories([{"why": "both", "repositories": raw["both"]["repositories"]}]),
        linux_words=frozenset(raw["linux_words"]["words"]),
        linux_tag_words=frozenset(raw["linux_words"]["words"] + raw["linux_tag_words"]["words"]),
        managing=frozenset(raw["managing_words"]["words"]),
        making=frozenset(raw["making_words"]["words"]),
    )


def _repositories(groups: list[dict[str, Any]]) -> _Repositories:
    exact: dict[str, str] = {}
    below: dict[str, str] = {}
    anywhere: list[tuple[str, str]] = []
    for group in groups:
        why = group["why"]
        for name in group["repositories"]:
            if name.startswith("*/"):
                anywhere.append((f"{name[1:].rstrip('/')}/", why))
            elif name.endswith("/"):
                below[name] = why
            else:
                exact[name] = why
    return _Repositories(exact, below, tuple(anywhere))
