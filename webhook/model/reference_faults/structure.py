"""Finds what is wrong with the host, path or tag of a text whose characters may all stand somewhere in a reference.

It reads as `reference.match` does, from left to right, and stops at the first part that has not its form. The digest
was looked at before, and is carried along unread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from webhook.model.reference import COMPONENT, DOMAIN, MAX_PATH, MAX_TAG, TAG, Fault, match
from webhook.model.reference_faults.problem import Problem, quoted

_is_domain = re.compile(DOMAIN).fullmatch
_is_component = re.compile(COMPONENT).fullmatch
_is_tag = re.compile(TAG).fullmatch
_UPPER: Final = ("upper case in the path", "write the path in lower case")
_ADD_OR_REMOVE: Final = "write the {} after it, or remove it"
_IPV6_COLONS: Final = 7  # in an address that is not shortened with `::`


def structure(image: str) -> Problem | None:
    name, at_sign, digest = image.partition("@")
    tail = at_sign + digest
    if name.endswith(("/", ":")):
        return _no_end(name, tail)
    first, slash, rest = name.partition("/")
    if slash and _is_bare_ipv6(first):
        return Problem(Fault.HOST, 0, len(first), "an IPv6 address stands in brackets", "write it as `[address]:port`")
    if name.startswith(("/", ":")):
        return _no_start(name, tail)
    if not slash or not (re.search(r"[.:A-Z]", first) or first == "localhost"):
        return _Named("", name, tail).problem()
    if _is_domain(first):
        return _Named(first, rest, tail).problem()
    if _is_component(first):  # `my_host.example`: a host with an underscore counts as a part of the path
        return _Named("", name, tail).problem()
    return _Host(first, rest + tail).problem()


def _no_start(name: str, tail: str) -> Problem:
    if name[0] == ":":
        return Problem(Fault.PATH, 0, 1, "nothing stands in front of `:`", "write the image's name there")
    rest = name.lstrip("/")
    is_host = "." in rest.partition("/")[0] and "/" in rest
    fix = "write the registry's host there, or remove it"
    return Problem(Fault.PATH, 0, 1, "nothing stands in front of `/`", fix, rest + tail if is_host else None)


def _no_end(name: str, tail: str) -> Problem:
    at = len(name) - 1
    if name[-1] == ":":
        return Problem(Fault.TAG, at, at + 1, "nothing follows `:`", _ADD_OR_REMOVE.format("tag"))
    bare = name.rstrip("/") + tail
    reference = match(bare)
    # with a tag or digest the name was complete; without, its last part may be missing, or `host:port` stands there
    complete = reference is not None and (reference.digest or (reference.tag and not reference.tag.isdigit()))
    fix = _ADD_OR_REMOVE.format("image's name")
    return Problem(Fault.PATH, at, at + 1, "nothing follows the last `/`", fix, bare if complete else None)


def _is_bare_ipv6(first: str) -> bool:
    if re.fullmatch(r"[0-9A-Fa-f:.]+", first) is None:
        return False
    return "::" in first or first.count(":") >= _IPV6_COLONS


@dataclass(frozen=True, slots=True)
class _Host:
    """What stands in front of the first `/` and is read as `host[:port]`, though it is none; and what follows."""

    text: str
    rest: str

    def problem(self) -> Problem:
        text = self.text
        if text.startswith("["):
            return self._brackets()
        if not re.search(r"[.:]", text) and _is_component(text.lower()):
            # an upper case letter made a host of it, and it is none: `My_Org/app` was meant as a path
            upper = re.search(r"[A-Z]+", text)
            at, end = upper.span() if upper else (0, len(text))
            return Problem(Fault.UPPER_CASE, at, end, *_UPPER, f"{text.lower()}/{self.rest}")
        host, colon, port = text.partition(":")
        if host.endswith(".") and _is_domain(host[:-1]):
            at = len(host) - 1
            mended = f"{host[:-1]}{colon}{port}/{self.rest}"
            return Problem(Fault.HOST, at, at + 1, "a host ends without a dot here", "remove the `.`", mended)
        return self._labels(host) or self._port(len(host) + 1, port)

    def _labels(self, host: str) -> Problem | None:
        start = 0
        for label in host.split("."):
            end = start + len(label)
            if not label:
                at = min(start, len(host) - 1)
                return self._at(at, at + 1, "a part of the host is missing beside `.`", "write the host's whole name")
            if wrong := re.search(r"[^A-Za-z0-9-]", label):
                at = start + wrong.start()
                message = f"`{wrong[0]}` cannot stand in a host name"
                return self._at(at, at + 1, message, "write the host's name as DNS has it")
            for at in (start, end - 1):
                if host[at] == "-":
                    message = "a part of a host neither starts nor ends with `-`"
                    return self._at(at, at + 1, message, "write the host's whole name")
            start = end + 1
        return None

    def _port(self, at: int, port: str) -> Problem:
        if not port:
            return self._at(at - 1, at, "no port follows `:`", _ADD_OR_REMOVE.format("port"))
        number, second, _ = port.partition(":")
        if second:
            at += len(number)
            return self._at(at, at + 1, "a second `:`, and a host has one port", "keep one port")
        message = f"{quoted(port)} is read as a port, because a `/` follows"
        return self._at(at, at + len(port), message, "write digits for a port, no `/` in a tag")

    def _brackets(self) -> Problem:
        text = self.text
        end = text.find("]")
        if end < 0:
            return self._at(0, 1, "`[` is never closed", "write `]` after the IPv6 address")
        if wrong := re.search(r"[^0-9A-Fa-f:]", text[1:end]):
            at = 1 + wrong.start()
            message = f"`{wrong[0]}` cannot stand in an IPv6 address"
            return self._at(at, at + 1, message, "write hex digits and `:` only")
        if end == 1:
            return self._at(0, 2, "no address stands in the brackets", "write the host's IPv6 address there")
        if text[end + 1 :] == ":":
            return self._at(end + 1, end + 2, "no port follows `:`", _ADD_OR_REMOVE.format("port"))
        return self._at(end + 1, len(text), "only a port may follow `]`", "write it as `[address]:port`")

    def _at(self, start: int, end: int, message: str, fix: str) -> Problem:
        return Problem(Fault.HOST, start, end, message, fix)


@dataclass(frozen=True, slots=True)
class _Named:
    """`path[:tag]` in `text`, behind a valid `domain`, if there is one, and in front of the valid digest in `tail`."""

    domain: str
    text: str
    tail: str

    def problem(self) -> Problem | None:
        path, colon, tag = self.text.partition(":")
        problem = self._path(path, colon + tag + self.tail)
        if problem is None and colon and not _is_tag(tag):
            problem = self._tag(path, tag)
        return problem

    @property
    def _front(self) -> str:
        return f"{self.domain}/" if self.domain else ""

    def _path(self, path: str, behind: str) -> Problem | None:
        start = len(self._front)
        for component in path.split("/"):
            if not component:
                mended = re.sub(r"//+", "/", f"{self._front}{path}") + behind
                fix = "remove one `/`, or write what is missing"
                return Problem(Fault.PATH, start, start + 1, "nothing stands between two `/`", fix, mended)
            if upper := re.search(r"[A-Z]+", component):
                at, end = (start + offset for offset in upper.span())
                return Problem(Fault.UPPER_CASE, at, end, *_UPPER, self._lower(path) + behind)
            if not _is_component(component):
                at, end, message, fix = _component(component)
                return Problem(Fault.PATH, start + at, start + end, message, fix)
            start += len(component) + 1
        # as normalised: a path of one component on docker.io is `library/…`
        prefix = "library/" if self.domain in ("", "docker.io", "index.docker.io") and "/" not in path else ""
        length = len(prefix) + len(path)
        if length <= MAX_PATH:
            return None
        counted = f" with `{prefix}`" if prefix else ""
        message = f"the path{counted} has {length} characters, and {MAX_PATH} is the most"
        end = len(self._front) + len(path)
        return Problem(Fault.PATH, end - (length - MAX_PATH), end, message, "shorten the path")

    def _lower(self, path: str) -> str:
        front = self._front
        if not re.search(r"[.:]", front):
            front = front.lower()  # `MyOrg/App`: a host only by its upper case letter
        return front + path.lower()

    def _tag(self, path: str, tag: str) -> Problem:
        start = len(self._front) + len(path) + 1
        if not (wrong := re.search(r"[^A-Za-z0-9_.-]", tag)):
            if tag[0] in ".-":
                message = f"a tag does not start with `{tag[0]}`"
                return Problem(Fault.TAG, start, start + 1, message, "write a letter, digit or `_` there")
            message = f"the tag has {len(tag)} characters, and {MAX_TAG} is the most"
            return Problem(Fault.TAG, start + MAX_TAG, start + len(tag), message, "shorten the tag")
        at = start + wrong.start()
        if wrong[0] == ":":
            first, _, second = tag.partition(":")
            mended = f"{self._front}{path}:{first}{self.tail}" if first == second else None
            return Problem(Fault.TAG, at, at + 1, "a second `:`, and a reference has one tag", "keep one tag", mended)
        fix = "write the tag as it was pushed, often with `_` or `-` there"
        return Problem(Fault.TAG, at, at + 1, f"`{wrong[0]}` cannot stand in a tag", fix)


def _component(component: str) -> tuple[int, int, str, str]:
    """Start, end, message and fix for a path component in lower case that has not its form."""
    if wrong := re.search(r"[^a-z0-9._-]", component):
        at = wrong.start()
        return (at, at + 1, f"`{wrong[0]}` cannot stand in the path", "remove it")
    for at, where in ((0, "starts"), (len(component) - 1, "ends")):
        if component[at] in "._-":
            message = f"a part of the path {where} with `{component[at]}`"
            return (at, at + 1, message, "write a letter or digit there")
    runs = (run for run in re.finditer(r"[._-]{2,}", component) if not re.fullmatch(r"__|-+", run[0]))
    at, end = next((run.span() for run in runs), (0, len(component)))
    message = f"{quoted(component[at:end])} cannot stand between letters or digits"
    return (at, end, message, "write one `.`, `_`, `__` or dashes there")
