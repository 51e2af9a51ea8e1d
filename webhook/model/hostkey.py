"""Which images a key of a pull secret covers: `https://index.docker.io/v1/`, `*.azurecr.io`, `quay.io/team`.

Why: the kubelet turns keys into URLs, twice, and compares them part by part, with Go's url.Parse and filepath.Match;
what a person expects of `us.icr.io` and what happens differ in many small ways. These are those ways.

Must not: know secrets or what is in them. A key may carry a credential itself (`https://user:password@host`):
only `shown` of it is kept.

An image's repository is ASCII by its grammar, so a key with other characters in its host or path covers nothing.

Source: Kubernetes 1.36.3, pkg/credentialprovider/keyring.go (`BasicDockerKeyring.Add`, `URLsMatch`); Go 1.26, net/url
(`parse`, with urlstrictcolons as 1.26 has it), net (`SplitHostPort`), path/filepath (`Match`).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes


@dataclass(frozen=True, slots=True)
class Location:
    """A host without its port, the port or "", and a path or "".

    In a key, `*` in the host stands for any characters but a dot, and the path is compared as a plain prefix.
    """

    host: str
    port: str
    path: str

    @property
    def is_glob(self) -> bool:
        return "*" in self.host or "[" in self.host


# nearly all keys and repositories; the rest goes the long way
_PLAIN: Final = re.compile(r"([A-Za-z0-9*._-]*+)(?::([0-9]*+))?(/[A-Za-z0-9._/-]*+)?")

_HOST: Final = re.compile(r"(?:[A-Za-z0-9!\"$&'()*+,\-.:;<=>\[\]_~\u0080-\U0010ffff]|%25|%[89A-Fa-f][0-9A-Fa-f])*+")
_ZONE: Final = re.compile(r"(?:[A-Za-z0-9!\"$&'()*+,\-.:;<=>\[\]_~\u0080-\U0010ffff]|%[0-9A-Fa-f]{2})*+")
_ZONE_ESCAPE: Final = re.compile(r"%(?!25|20|[89A-Fa-f])([0-9A-Fa-f]{2})")
_USER: Final = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*+")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORT: Final = re.compile(r"(?::[0-9]*+)?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SCHEMES: Final = ("https://", "http://")


def pattern_of(key: str) -> str | None:
    """What the keyring indexes a key under: host, port and path without scheme, user, `/v1`, `/v2` and lone slash.

    None for a key that the kubelet skips (no URL) or that can cover nothing (not ASCII).
    """
    bare = next((key.removeprefix(scheme) for scheme in _SCHEMES if key.startswith(scheme)), key)
    parsed = _parsed(bare)
    if parsed is None:
        return None
    host, path = parsed
    if path.startswith(("/v1/", "/v2/")):
        path = path[3:]
    return host if path == "/" else host + path


def locate(schemeless: str) -> Location | None:
    """A pattern, or an image's repository, taken apart as for the comparison. None for what can't be compared."""
    parsed = _parsed(schemeless)
    if parsed is None:
        return None
    host, port = _split_port(parsed[0])
    return Location(host, port, parsed[1])


def covers(key: Location, image: Location) -> bool:
    """Whether a key covers an image: same port, path a prefix, and host label by label."""
    return key.port == image.port and image.path.startswith(key.path) and host_covers(key.host, image.host)


def host_covers(key: str, host: str) -> bool:
    """Whether the host of a key, which may hold globs, is this host. Capitals count."""
    if "*" not in key and "[" not in key:
        return key == host
    labels = key.split(".")
    return host.count(".") == len(labels) - 1 and all(map(label_covers, labels, host.split(".")))


def label_covers(pattern: str, label: str) -> bool:
    """filepath.Match for one label. Linear in both, as either may be anybody's."""
    if pattern.startswith("["):  # a bracket stands only where an IPv6 address begins, see `_host`
        found = _character_class(pattern)
        if found is None or not label:
            return False
        ranges, pattern = found
        if not any(low <= label[0] <= high for low, high in ranges):
            return False
        label = label[1:]
    first, *rest = pattern.split("*")
    if not rest:
        return first == label
    *middle, last = rest
    end = len(label) - len(last)
    if not label.startswith(first) or not label.endswith(last) or end < len(first):
        return False
    position = len(first)
    for part in middle:
        position = label.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True


def shown(key: str) -> str:
    """A key as written, but for what may be a credential in it: user and password, query, fragment."""
    scheme = next((scheme for scheme in _SCHEMES if key.startswith(scheme)), "")
    user, at, rest = key.removeprefix(scheme).rpartition("@")
    if "/" in user and not any(mark in user for mark in ":?#"):
        user, rest = "", user + at + rest  # an `@` in a path
    cut = next((at for at, character in enumerate(rest, 1) if character in "?#"), None)
    if cut is not None:
        rest = rest[:cut] + "***"
    return f"{scheme}***@{rest}" if user else scheme + rest


def _parsed(url: str) -> tuple[str, str] | None:
    """Host (with port) and path of a URL whose scheme is gone; None where Go's url.Parse fails or not all is ASCII."""
    plain = _PLAIN.fullmatch(url)
    if plain is not None:
        host = plain[1] if plain[2] is None else f"{plain[1]}:{plain[2]}"
        return host, plain[3] or ""
    url, _, fragment = url.partition("#")
    if _CONTROL.search(url) or _BAD_ESCAPE.search(fragment):
        return None
    authority, slash, path = url.partition("?")[0].partition("/")
    user, _, host = authority.rpartition("@")
    if _USER.fullmatch(user) is None or _BAD_ESCAPE.search(user) or _BAD_ESCAPE.search(path):
        return None
    decoded = _host(host)
    path = slash + _unescaped(path)
    return None if decoded is None or not (decoded + path).isascii() else (decoded, path)


def _host(host: str) -> str | None:
    if "[" not in host:
        name, colon, port = host.partition(":")
        if not _PORT.fullmatch(colon + port) or _HOST.fullmatch(name) is None:
            return None
        return _unescaped(host)
    address, bracket, port = host.rpartition("]")
    if not bracket or host.rindex("[") != 0 or _PORT.fullmatch(port) is None:
        return None
    address, percent, zone = address[1:].partition("%25")
    zone = percent + zone
    if _HOST.fullmatch(address) is None or _ZONE.fullmatch(zone) is None:
        return None
    if any(_HOST.fullmatch(chr(int(escape[1], 16))) is None for escape in _ZONE_ESCAPE.finditer(zone)):
        return None
    # an address may hold `%` and a zone already, where it was decoded once before
    plain = _unescaped(address) + _unescaped(zone)
    number, percent, name = plain.partition("%")
    try:
        ipaddress.IPv6Address(number)
    except ValueError:
        return None
    return None if percent and not name else f"[{plain}]{port}"


def _unescaped(text: str) -> str:
    """Percent escapes decoded. Bytes that are no UTF-8 become surrogates, so that they still count as not ASCII."""
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape") if "%" in text else text


def _split_port(host: str) -> tuple[str, str]:
    name, colon, port = host.rpartition(":")
    if not colon:
        return host, ""
    if name.startswith("["):
        inner = name[1:-1]
        if not name.endswith("]") or "]" in inner or "[" in inner:
            return host, ""
        return inner, port
    return (host, "") if "]" in name else (name, port)


def _character_class(pattern: str) -> tuple[list[tuple[str, str]], str] | None:
    """The ranges of the class that `pattern` starts with, and the rest; None for a class that Go calls malformed."""
    ranges: list[tuple[str, str]] = []
    rest = pattern[1:]
    while not (ranges and rest.startswith("]")):
        low, rest = rest[:1], rest[1:]
        if low in ("", "-", "]") or not rest:
            return None
        high = low
        if rest.startswith("-"):
            high, rest = rest[1:2], rest[2:]
            if high in ("", "-", "]") or not rest:
                return None
        ranges.append((low, high))
    return ranges, rest[1:]
