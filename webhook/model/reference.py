r"""Reads an image reference as the container runtimes do, because every other verdict rests on what it names.

The grammar is that of github.com/distribution/reference v0.6.0 (`ParseNormalizedNamed`), which containerd and the
kubelet (`k8s.io/kubernetes/pkg/util/parsers.ParseImageName`, 1.36.3) call; tests/oracle/reference asks these packages.

    reference  = [ domain "/" ] path [ ":" tag ] [ "@" digest ]
    domain     = ( label *( "." label ) | "[" 1*( hex | ":" ) "]" ) [ ":" 1*digit ]
    label      = alnum *( *( alnum | "-" ) alnum )                      either case
    path       = component *( "/" component )                           at most 255 characters, normalised
    component  = 1*lower *( separator 1*lower )                         lower = a-z 0-9
    separator  = "." | "_" | "__" | 1*"-"
    tag        = word *127( word | "." | "-" )                          word = a-z A-Z 0-9 _
    digest     = "sha256:" 64hex | "sha384:" 96hex | "sha512:" 128hex   hex = a-f 0-9

What stands before the first `/` is a domain only if it is `localhost`, or has a `.`, a `:` or an upper case letter;
otherwise the domain is `docker.io`. `index.docker.io` becomes `docker.io`, where a path of one component gets
`library/` in front. 64 hex digits alone are refused: they are an image's ID.

Must not: decide whether the domain is a good one (the catalogue does), fill in what is missing (`tag` stays None), or
raise anything but `InvalidReference`, whatever the text. Why a text is no reference is found out in `reference_faults`,
only when it is needed.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from webhook.errors import PullproofError

DEFAULT_DOMAIN: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
MAX_PATH: Final = 255
MAX_TAG: Final = 128
DIGEST_LENGTHS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}
"""Hex digits per digest algorithm: those of go-digest v1.0.0 that the kubelet and containerd link in."""

_LEGACY_DEFAULT_DOMAIN: Final = "index.docker.io"
_OFFICIAL: Final = "library/"

# The repeats are possessive: each stops where only something else can follow, so no text makes the match go back over
# what it read, and one of a megabyte takes as long as reading it.
LABEL: Final = r"[A-Za-z0-9]++(?:-++[A-Za-z0-9]++)*+"
HOST: Final = rf"(?:{LABEL}(?:\.{LABEL})*+|\[[a-fA-F0-9:]++\])"
DOMAIN: Final = rf"{HOST}(?::[0-9]++)?+"
COMPONENT: Final = r"[a-z0-9]++(?:(?:\.|__?|-++)[a-z0-9]++)*+"
TAG: Final = rf"[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{MAX_TAG - 1}}}+"
DIGEST: Final = "|".join(f"{algorithm}:[a-f0-9]{{{length}}}" for algorithm, length in DIGEST_LENGTHS.items())

_match_reference = re.compile(
    rf"(?:({DOMAIN})/)?({COMPONENT}(?:/{COMPONENT})*+)(?::({TAG}))?(?:@({DIGEST}))?",
).fullmatch
_match_identifier = re.compile(r"[a-f0-9]{64}").fullmatch
_IDENTIFIER_LENGTH: Final = 64
_looks_like_domain = re.compile(r"[.:A-Z]").search


@dataclass(frozen=True, slots=True)
class Reference:
    """What an image reference names: normalised `domain` and `path`; `tag` and `digest` as written, or None.

    `domain` is `host[:port]`. It is empty in one odd case, taken over from distribution/reference: a host that is none
    by its grammar and yet a fine path component (`my_host.example/app`: an underscore) counts as part of the path. The
    kubelet and containerd join the two again, and so do `repository` and `host`.
    """

    domain: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @property
    def repository(self) -> str:
        """Domain and path: what the kubelet looks up pull secrets for."""
        return f"{self.domain}/{self.path}" if self.domain else self.path

    @property
    def effective_tag(self) -> str | None:
        """The tag that is pulled: `latest` where neither tag nor digest is written, None where only a digest is."""
        if self.tag is None and self.digest is None:
            return DEFAULT_TAG
        return self.tag

    @property
    def host(self) -> str:
        """The host that a runtime asks, without port; an IPv6 address in its brackets."""
        if not self.domain:
            return self.path.partition("/")[0]
        if self.domain.startswith("["):
            return self.domain.partition("]")[0] + "]"
        return self.domain.partition(":")[0]

    @property
    def port(self) -> str | None:
        """The port as written, or None. The grammar bounds it by nothing but digits: `99999` comes through."""
        port = self.domain[len(self.host) + 1 :]
        return port or None

    @property
    def familiar(self) -> str:
        """The short form that people write: `nginx:1` for `docker.io/library/nginx:1`."""
        name = self.repository
        if self.domain == DEFAULT_DOMAIN:
            name = self.path
            if name.startswith(_OFFICIAL) and name.count("/") == 1:
                name = name.removeprefix(_OFFICIAL)
        return name + self._suffix

    def __str__(self) -> str:
        """The full form; `parse` reads an equal value from it."""
        return self.repository + self._suffix

    @property
    def _suffix(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        return tag if self.digest is None else f"{tag}@{self.digest}"


class Fault(enum.Enum):
    """What kind of mistake made a text no reference. `OTHER` is what has no kind of its own."""

    EMPTY = "empty"
    TEMPLATE = "template"
    INVISIBLE = "invisible"
    WHITESPACE = "whitespace"
    QUOTES = "quotes"
    SCHEME = "scheme"
    LOOK_ALIKE = "look-alike"
    CREDENTIALS = "credentials"
    UPPER_CASE = "upper-case"
    DIGEST = "digest"
    TAG = "tag"
    HOST = "host"
    PATH = "path"
    OTHER = "other"


class InvalidReference(PullproofError, ValueError):
    """A text that no runtime reads as a reference, and why.

    image: the text as given, with whatever it holds: pass it through `printable` before showing it.
    column, end: where the mistake stands, in characters, the first one being 1, `end` excluded.
    message: why, one clause; fix: one thing to do; both printable.
    suggestion: the whole reference that was meant, where that is certain; it is a valid one.
    """

    def __init__(
        self,
        image: str,
        *,
        fault: Fault,
        column: int,
        end: int,
        message: str,
        fix: str,
        suggestion: str | None = None,
    ) -> None:
        # the text itself stays out of the line: it may hold a password, and whoever reports it has it at hand
        super().__init__(f"invalid reference, at character {column}: {message}", fix=fix)
        self.image = image
        self.fault = fault
        self.column = column
        self.end = end
        self.message = message
        self.suggestion = suggestion

    @property
    def span(self) -> tuple[int, int]:
        """The wrong part of `image` as offsets `(start, end)` from 0, end excluded."""
        return (self.column - 1, self.end - 1)


def parse(image: str) -> Reference:
    """The reference that `image` names. Raises InvalidReference."""
    found = match(image)
    if found is None:
        # invalid references are rare, and most processes never need to explain one
        from webhook.model.reference_faults import explain  # noqa: PLC0415

        raise explain(image)
    return found


def match(image: str) -> Reference | None:
    """The reference that `image` names, or None: for those who need not know why."""
    matched = _match_reference(image)
    if matched is None:
        return None
    first, path, tag, digest = matched.groups()
    if first is None:
        # one component, or a first one that no domain looks like: `nginx`, `my_org/app`, `my_host.example/app`
        head, slash, _ = path.partition("/")
        domain = "" if slash and "." in head else DEFAULT_DOMAIN
        if not slash:
            if len(image) == _IDENTIFIER_LENGTH and _match_identifier(image):
                return None
            path = _OFFICIAL + path
    elif _looks_like_domain(first) or first == "localhost":
        domain = first
        if first in (_LEGACY_DEFAULT_DOMAIN, DEFAULT_DOMAIN):
            domain = DEFAULT_DOMAIN
            if "/" not in path:
                path = _OFFICIAL + path
    elif first.startswith("["):
        return None  # `[abc]/app`: brackets without a colon are no domain, and no path component either
    else:
        domain = DEFAULT_DOMAIN
        path = f"{first}/{path}"
    if len(path) > MAX_PATH:
        return None
    return Reference(domain, path, tag, digest)
