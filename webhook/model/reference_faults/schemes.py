"""Finds what belongs to an address or a tool in front of the host: a scheme, a transport, a user name.

Must not: quote a user name, as a password may follow it.
"""

from __future__ import annotations

import re
from typing import Final

from webhook.model.reference import DIGEST, Fault
from webhook.model.reference_faults.problem import Problem, quoted

_is_digest = re.compile(DIGEST).fullmatch
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(:/+|//+|:(?=[^/]))|(//+)")
# What names a registry's image: addresses, transports of skopeo and podman, and what a pod's status puts in front of an
# image's ID. Only these count without `://`, as `name:tag` reads like them.
_PULLS: Final = frozenset({
    "containerd", "cri-o", "docker", "docker-image", "docker-pullable", "http", "https", "oci",
})  # fmt: skip
# What follows these is no registry's image.
_ELSEWHERE: Final = frozenset({
    "containers-storage", "dir", "docker-archive", "docker-daemon", "file", "ftp", "git", "gs", "oci-archive",
    "oci-layout", "s3", "ssh", "tarball",
})  # fmt: skip


def scheme(image: str) -> Problem | None:
    hit = _SCHEME.match(image)
    if hit is None:
        return None
    name, mark, slashes = hit.groups()
    rest = image[hit.end() :].rstrip("/")
    if slashes:
        mended = rest if "." in rest.partition("/")[0] else None
        return Problem(Fault.SCHEME, 0, hit.end(), f"{quoted(slashes)} stands in front", "remove it", mended)
    if not mark.startswith("://") and not (name.lower() in _PULLS and _used_as_scheme(mark, image[hit.end() :])):
        return None
    shown = quoted(hit[0])
    if _is_digest(rest):  # as a pod's status shows it
        message = f"{shown} and a digest are an image's ID"
        return Problem(Fault.SCHEME, 0, len(image), message, "write the image's name instead")
    message = f"{shown} is no part of a reference"
    if "." in name:  # `docker.io://nginx`: the host itself was taken for a scheme
        return Problem(Fault.SCHEME, 0, hit.end(), message, f"write {quoted(f'{name}/')}", f"{name}/{rest}")
    mended = None if name.lower() in _ELSEWHERE else rest
    return Problem(Fault.SCHEME, 0, hit.end(), message, f"remove {shown}", mended)


def _used_as_scheme(mark: str, rest: str) -> bool:
    """Whether a known scheme's name is used as one, though not with `://`: `http:/x`, `https//x`, `docker:org/x`."""
    if mark == ":":
        # a tag or a port may follow the colon: `docker:24`, `http:8080/x`
        return "/" in rest and not rest[0].isdigit()
    return True


def credentials(image: str) -> Problem | None:
    """`user:password@host/path`, as addresses have it."""
    at = image.find("@")
    if at < 0 or "/" in image[:at] or "/" not in image[at:] or re.match(r"sha\d", image[at + 1 :]):
        return None
    message = "a user name stands in front of the host"
    fix = "remove all up to `@`: credentials belong in a pull secret"
    return Problem(Fault.CREDENTIALS, 0, at + 1, message, fix, image[at + 1 :])
