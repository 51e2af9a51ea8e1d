"""Which images a line of a policy means: `host[:port][/path]`, with `*` for whole parts only.

Why not shell globs: `*azurecr.io` also means `evilazurecr.io`, and `docker.io/contoso*` also `docker.io/contoso-evil`,
both of which anybody can register. So in the host a `*` stands for one whole label, never for one of the last two; in
the path for one or more whole parts. Without a path the whole host is meant. Nothing is filled in: what `nginx` means
is written `docker.io/library/nginx`. Tags and digests are not looked at.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from webhook.errors import PullproofError
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

_LABEL: Final = "[a-z0-9]([a-z0-9_-]*[a-z0-9])?"
_PART: Final = "[a-z0-9]+([._-]+[a-z0-9]+)*"
PATTERN: Final = (
    rf"^((({_LABEL}|[*])[.])*{_LABEL}[.]{_LABEL}|localhost|{_LABEL}:[0-9]+)(:[0-9]+)?"
    rf"(/({_PART}|[*])(/({_PART}|[*]))*)?$"
)
"""The same text is in the CRDs, as RE2 reads it: no look-around, no possessive repeats."""
MEANING: Final = (
    "write host[/path], where `*` stands for a whole label of the host (none of the last two) or for whole parts of the"
    " path, as in *.azurecr.io/team/*"
)
LONGEST: Final = 253
_SHOWN: Final = 60
_REMEMBERED: Final = 8192
_RUNS: Final = re.compile(r"(?:/[*])+|(?:/[^/*]+)+")
_well_formed = re.compile(PATTERN).match


class BadGlob(PullproofError):
    """The text is no glob; `str(error)` says which and how to write one."""


@dataclass(frozen=True, slots=True)
class ImageGlob:
    """One `host[:port][/path]` as it was written. Made by `read_glob`."""

    text: str

    @property
    def host(self) -> str:
        return self.text.partition("/")[0]

    @property
    def breadth(self) -> tuple[bool, int]:
        """To sort by: a host by its name before a pattern of hosts, then the longer text."""
        return ("*" in self.host, -len(self.text))

    def covers(self, repository: str) -> bool:
        """Whether an image of that repository (domain and path, normalised) is meant; case counts in the path only."""
        return _compiled(self.text)(_lower_host(repository)) is not None


def read_glob(text: str) -> ImageGlob:
    """Raises BadGlob."""
    if len(text) > LONGEST or _well_formed(text) is None:
        raise BadGlob(f"`{printable(text, _SHOWN)}` says no images: {MEANING}")
    return ImageGlob(text)


@functools.lru_cache(maxsize=4096)
def _compiled(text: str) -> Callable[[str], object]:
    """Not when it is read: of a thousand policies' globs few are ever near an image."""
    host, slash, path = text.partition("/")
    tail = _path_regex(path) if slash else "(?:/.*)?"
    return re.compile(_host_regex(host) + tail, re.DOTALL).fullmatch


def _host_regex(host: str) -> str:
    return r"\.".join("[^./:]+" if label == "*" else re.escape(label) for label in host.split("."))


def _path_regex(path: str) -> str:
    """In time that grows with the length alone, for a tenant writes both the glob and the image.

    What stands between two stars is looked for once, from the left, and never again: that is what `(?>` says. With
    `.+` for a star a few dozen of them would take hours, in which no other thread runs.
    """
    runs = _RUNS.findall(f"/{path}")
    regex = stars = ""
    for index, run in enumerate(runs, start=1):
        if run.startswith("/*"):
            stars = f"(?:/[^/]+){{{run.count('*')},}}"
        elif stars and index < len(runs):
            regex, stars = f"{regex}(?>{stars}?{re.escape(run)}(?=/))", ""
        else:
            regex, stars = f"{regex}{stars}{re.escape(run)}", ""
    return regex + stars


def _lower_host(repository: str) -> str:
    """DNS knows no case, and neither may an allow-list or an exemption."""
    host, slash, path = repository.partition("/")
    return f"{host.lower()}{slash}{path}"


class GlobTable(Generic[T]):
    """Values by glob, found in constant time by host; the most specific comes first."""

    def __init__(self, entries: Iterable[tuple[ImageGlob, T]] = ()) -> None:
        self._by_key: dict[str, list[tuple[ImageGlob, T]]] = {}
        self._found: dict[str, tuple[T, ...]] = {}
        # the one written first comes first among equals
        for glob, value in sorted(entries, key=lambda entry: entry[0].breadth):
            self._by_key.setdefault(_key(glob.host), []).append((glob, value))

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def find(self, repository: str) -> tuple[T, ...]:
        """The values of every glob that covers the repository."""
        if not self._by_key:
            return ()
        known = self._found.get(repository)
        if known is None:
            host = repository.partition("/")[0].lower()
            near = [*self._by_key.get(host, ()), *self._by_key.get(_suffix(host), ())]
            known = tuple(value for glob, value in near if glob.covers(repository))
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            if len(repository) <= LONGEST:
                self._found[repository] = known
        return known

    def first(self, repository: str) -> T | None:
        """The value of the most specific glob that covers the repository."""
        found = self.find(repository)
        return found[0] if found else None


def _key(host: str) -> str:
    return _suffix(host) if "*" in host else host


def _suffix(host: str) -> str:
    """The labels that no `*` stands for; with a star before them, so that it is no host's own key."""
    return "*." + ".".join(host.split(".")[-2:])
