"""What a message is about: the image, its registry, the platform that was looked for, and who wrapped the words.

Must not judge: a cause is `message`'s matter. A name is taken only where the words around it say that it is an image,
and only if it is a reference that a runtime would read; of what no runtime reads, the host may still be told, and what
the kubelet quotes stands beside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from webhook.diagnosis.cause import Wrapper
from webhook.model import reference
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_NAME: Final = 512
_HUB_ENDPOINTS: Final = ("registry-1.docker.io", "index.docker.io", "auth.docker.io")
_MAX_NAMES: Final = 40

# The reference as the pod has it, in the kubelet's own words (pkg/kubelet/images, Kubernetes 1.9 to 1.36), docker's.
_OUTER: Final = (
    re.compile(r"(?i)(?:(?:failed to )?pull image|(?:failed )?pulling image|pullimage) \"([^\"\s]{1,512})\""),
    re.compile(r"(?i)container image \"([^\"\s]{1,512})\" is not present"),
    re.compile(r"(?i)(?:inspect image|apply default image tag|parse image (?:reference|name)) \"([^\"\s]{1,512})\""),
    re.compile(r"(?i)image pull failed for ([^\s\"]{1,512}) because"),
)
# The reference that the runtime asked for, in the words of containerd, CRI-O (containers/image) and docker.
_INNER: Final = (
    re.compile(r"docker://([^\s\"]{1,512})"),
    re.compile(
        r"(?i)(?:resolve ref(?:erence)?|(?:unpack|resolve|sandbox) image)"
        r"(?: \"| (?=[^\s\"]{1,255}[/:]))([^\"\s]{1,512})"
    ),
    re.compile(r"(?i)reading manifest \S{1,200} in ([^\s\"]{1,512})"),
    re.compile(r"(?i)(?:failed to )?pull(?:ing)? image:? \[?([\w.-]{1,255}[/:][^\s\"\]]{1,512})"),
    re.compile(r"(?i)pull access denied for ([^\s,\"]{1,512})"),
    re.compile(r"(?i)manifest for ([^\s,\"]{1,512}) not found"),
    re.compile(r"(?i)short name mode is enforcing, but image name ([^\s,\"]{1,512}) returns"),
    re.compile(r"(?i)\bimage=\"([^\"\s]{1,512})\""),
    re.compile(r"(?i)failed to solve: ([\w.-]{1,255}/[^\s\"]{1,400}):\s"),
    re.compile(r"(?i)(?:unpacking|pulling) image \"?([\w.-]{1,255}/[^\s\"]{1,400}):\s"),
    re.compile(r"(?<![\w./])((?:[\w-]{1,63}\.){1,6}[a-z]{2,24}(?::\d{1,5})?/[^\s\"]{1,400}): not found"),
    re.compile(r"(?i)registry: ((?:[\w-]{1,63}\.){1,6}[a-z]{2,24}(?::\d{1,5})?/[^\s\"]{1,400}):\s"),
    re.compile(r"(?i)occurred: ((?:[\w-]{1,63}\.){1,6}[a-z]{2,24}(?::\d{1,5})?/[^\s\"]{1,400}):\s"),
)
# What stands before a name, which may itself be cut or blotted out: `registry.example.com/...`.
_HOST: Final = re.compile(
    r"((?:localhost|(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z0-9-]{1,63}|[A-Za-z0-9-]{1,63}(?=:))(?::\d{1,5})?)/"
)
_URL_HOST: Final = re.compile(
    r"https?://([A-Za-z0-9][A-Za-z0-9.-]{0,254}(?::\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?)/v[012]/"
)
_PINGED: Final = re.compile(
    r"(?i)(?:pinging (?:container |docker )?registry|error pinging|pulling from host) ([a-z0-9.-]{1,255}(?::\d{1,5})?)"
)
_LOOKED_UP: Final = re.compile(r"(?i)\blookup ([a-z0-9.-]{1,255})(?: on |:)")

_PLATFORM: Final = (
    # containers/image: `architecture arm64, variant "v8", OS linux`, quoted or not
    re.compile(
        r"(?i)architecture \"?([\w.-]{1,20})\"?(?: ?, ?variant \"?([\w.-]{0,20})\"?)?(?: ?, ?os \"?([\w.-]{1,20})\"?)?"
    ),
    # docker, podman: `no matching manifest for linux/arm64/v8 in the manifest list entries`
    re.compile(r"(?i)\bfor ((?:linux|windows|darwin|freebsd)(?:/[\w.-]{1,20}){1,2}(?: \d{1,5}(?:\.\d{1,6}){1,3})?)"),
    re.compile(r"(?i)\bplatform [('\"]?((?:linux|windows|darwin|freebsd)(?:/[\w.-]{1,20}){1,2})"),
    re.compile(r"(?i)image operating system \"?([a-z]{1,20})\"? cannot be used"),
)
_SECRET_LIST: Final = re.compile(r"(?i)image pull secrets? \(([^()]{1,2000})\)")
_SECRET: Final = re.compile(
    r"(?i)(?:pull ?secret|secrets?) \"?([a-z0-9][a-z0-9./-]{0,252})\"?(?: for | not found| does not exist)"
)

_WRAPPERS: Final = (
    (
        Wrapper.CONTAINERD,
        re.compile(
            r"(?i)failed to pull and unpack image|http\w{0,4}readseeker|failed to resolve ref|snapshotter"
            r"|failed commit on ref"
        ),
    ),
    (
        Wrapper.CRIO,
        re.compile(
            r"(?i)initializing source|pinging (?:container|docker) registry|reading manifest \S{1,200} in"
            r"|choosing image instance|short name mode|copying system image|mirrors also failed|source image rejected"
        ),
    ),
    (
        Wrapper.DOCKER,
        re.compile(r"(?i)error response from daemon|pull access denied for|failed to register layer|api error \(\d"),
    ),
    (
        Wrapper.KUBELET,
        re.compile(
            r"(?i)image pull secrets?|pull secret |couldn't parse image|default image tag|pull policy of never"
            r"|pull qps exceeded|back-off pulling|illegal base64 data|failed to admit pod|failed to pull image"
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What was read of it. `names` are the references as they stand in the text, to be blanked before judging it.

    `image` is a reference; `quoted` what the kubelet quotes as one, whatever it is.
    """

    image: str | None
    quoted: str | None
    registry: str | None
    names: tuple[str, ...]


def subject(text: str) -> Subject:
    """What `text` (one line, quotes unescaped) is about."""
    outer = list(_names(_OUTER, text))
    inner = list(_names(_INNER, text))
    image = next((name for name in outer + inner if reference.match(name) is not None), None)
    parsed = next((found for found in map(reference.match, inner + outer) if found is not None and found.domain), None)
    # the pod's own host first: what the runtime asked may be a mirror of it
    domain = _host(outer) or (parsed.domain if parsed else _host(inner))
    domain = domain or _first((_URL_HOST, _PINGED, _LOOKED_UP), text)
    if domain in _HUB_ENDPOINTS:
        domain = reference.DEFAULT_DOMAIN
    names = sorted(dict.fromkeys(outer + inner), key=len, reverse=True)
    return Subject(
        image=None if image is None else printable(image, MAX_NAME),
        quoted=None if (quoted := _first(_OUTER, text)) is None else printable(quoted, MAX_NAME),
        registry=None if domain is None else printable(domain.lower(), MAX_NAME),
        names=tuple(names),
    )


def platform(text: str) -> str | None:
    """The platform that was looked for and is not there: `linux/arm64/v8`, `windows/amd64 10.0.17763`, `windows`."""
    found = _PLATFORM[0].search(text)
    if found is not None:
        architecture, variant, system = found.groups()
        return printable("/".join(part.lower() for part in (system or "linux", architecture, variant) if part), 80)
    for pattern in _PLATFORM[1:]:
        found = pattern.search(text)
        if found is not None:
            return printable(found[1].lower().rstrip(".,"), 80)
    return None


def missing_secrets(text: str) -> tuple[str, ...]:
    """The pull secrets that the kubelet could not read, by name."""
    found = _SECRET_LIST.search(text)
    if found is not None:
        names = (name.strip(" <>\"'") for name in found[1].split(","))
        return tuple(printable(name, 253) for name in names if name)[:_MAX_NAMES]
    found = _SECRET.search(text)
    return () if found is None else (printable(found[1].rpartition("/")[2], 253),)


def wrapper(text: str) -> Wrapper:
    """Whose words surround the cause."""
    return next((name for name, pattern in _WRAPPERS if pattern.search(text)), Wrapper.NONE)


def _names(patterns: tuple[re.Pattern[str], ...], text: str) -> Iterator[str]:
    for pattern in patterns:
        for count, found in enumerate(pattern.finditer(text)):
            if count >= _MAX_NAMES:
                break
            name = found[1].rstrip(":,;.)]'\"")
            if name:
                yield name


def _host(names: list[str]) -> str | None:
    return next((found[1] for found in map(_HOST.match, names) if found is not None), None)


def _first(patterns: tuple[re.Pattern[str], ...], text: str) -> str | None:
    for pattern in patterns:
        found = pattern.search(text)
        if found is not None:
            return found[1]
    return None
