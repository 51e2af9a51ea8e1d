"""Which credentials the kubelet would try for an image, in its order, and why it passes over the others.

Why: "unauthorized" tells nobody which of a pod's pull secrets was used, or that none was. This is the kubelet's own
look-up, with what it does silently said aloud.

- All secrets of the pod are one keyring: the keys of all are sorted backwards, so the longer of two matching keys comes
  first, whichever secret holds it; under one key, the order of the pod's list counts. (Two spellings of one key in one
  secret, `https://quay.io` and `quay.io`, come in no certain order; here as written.)
- Every match is tried in turn, whatever the failure, until one pull succeeds. A pull without credentials happens only
  where nothing matches: no secret here, and then neither the node's own configuration nor a credential plugin.
- One secret that can't be decoded fails the look-up, so nothing is tried at all.
- Docker Hub's `index.docker.io` counts only where no other key matches; also for any host without dot and port
  (`localhost/app`, `REGISTRY/app`), which the kubelet takes for a Docker Hub user.

Must not: guess. A key that looks nearly right is still one that doesn't match; what to write instead is the checks'
matter, but where only a look at the key can tell, the reason says it.

Source: Kubernetes 1.36.3, pkg/credentialprovider/keyring.go and secrets/secrets.go (the look-up),
pkg/kubelet/images/image_manager.go (what is looked up), pkg/kubelet/kuberuntime/kuberuntime_image.go (`PullImage`).
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from webhook.model import hostkey
from webhook.model.dockerconfig import DATA_KEYS, DOCKER_CFG, DOCKER_CONFIG_JSON
from webhook.model.memo import remember
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from webhook.model.dockerconfig import AuthEntry, PullSecret
    from webhook.model.hostkey import Location

DEFAULT_REGISTRY_PATTERN: Final = "index.docker.io"
DEFAULT_REGISTRY_KEY: Final = "https://index.docker.io/v1/"
"""The key to write for Docker Hub."""


@dataclass(frozen=True, slots=True)
class Match:
    secret: PullSecret
    entry: AuthEntry


@dataclass(frozen=True, slots=True)
class LookUp:
    """`matches` in the order of the tries; or `error` in the kubelet's words, and the secret it comes from."""

    matches: tuple[Match, ...]
    error: str | None = None
    broken: PullSecret | None = None


class Mismatch(enum.Enum):
    """Why a key, or a whole secret, is not used for an image."""

    OTHER_HOST = "other host"
    SUBDOMAIN = "the key is for the domain above the image's host"
    GLOB_DEPTH = "the glob has another number of labels"
    CAPITALS = "differs in capital letters only"
    OTHER_PORT = "other port"
    OTHER_PATH = "other path"
    TAG_IN_KEY = "the key has a tag or digest"
    DOCKER_HUB_KEY = "not the key that Docker Hub's images are looked up by"
    SHADOWED = "Docker Hub's key counts only where no other matches"
    SCHEME = "the key keeps a scheme"
    NOT_A_HOST = "the key is not a host"
    BRACKETS = "an IPv6 address without port is read as a glob"
    MISPLACED = "hosts stand where they are not read"
    NO_HOSTS = "the secret has no hosts"
    OTHER_TYPE = "the secret is of another type"
    NO_DATA = "the secret lacks the key of its type"
    UNDECODABLE = "the secret can't be decoded"
    BLOCKED = "another secret can't be decoded"


@dataclass(frozen=True, slots=True)
class Trace:
    """What became of one key, or of a whole secret where `key` is None. `reason` reads as half a sentence."""

    secret: PullSecret
    entry: AuthEntry | None
    mismatch: Mismatch | None
    reason: str

    @property
    def key(self) -> str | None:
        return None if self.entry is None else self.entry.key

    @property
    def matched(self) -> bool:
        return self.mismatch is None


def look_up(secrets: Sequence[PullSecret], repository: str) -> LookUp:
    """What the kubelet finds in a pod's pull secrets, given in the order of the pod's list, missing ones left out.

    repository: domain and path without tag and digest (`docker.io/library/nginx`), as the reference parser gives it.
    """
    for secret in secrets:
        if secret.problem is not None and not secret.ignored:
            return LookUp((), secret.problem, secret)
    return LookUp(_matches(secrets, repository))


def explain(secrets: Sequence[PullSecret], repository: str) -> tuple[Trace, ...]:
    """One line for every key of every secret: first those that `look_up` returns, in its order, then the others."""
    found = look_up(secrets, repository)
    image = _locate(repository)
    # by identity: a secret may be listed twice, and two entries may be equal
    used = {(id(match.secret), id(match.entry)) for match in found.matches}
    first = found.matches[0].entry if found.matches else None
    matched = [Trace(match.secret, match.entry, None, _why(match.entry, image, repository)) for match in found.matches]
    would_match = {id(match.entry) for match in _matches(secrets, repository)} if found.broken is not None else set()
    others: list[Trace] = []
    for secret in secrets:
        whole = _whole_secret(secret)
        if whole is not None:
            others.append(whole)
            continue
        for entry in secret.entries:
            if id(entry) in would_match and found.broken is not None:
                name = printable(found.broken.name, 63)
                reason = f"key {_quoted(entry)} would match, but secret {name} can't be decoded, so none is used"
                others.append(Trace(secret, entry, Mismatch.BLOCKED, reason))
            elif (id(secret), id(entry)) not in used:
                others.append(Trace(secret, entry, *_why_not(secret, entry, image, repository, first)))
    return (*matched, *others)


def is_default_registry(repository: str) -> bool:
    """Whether the kubelet may use Docker Hub's credential: docker.io, or a host that has neither dot nor colon."""
    host, slash, _ = repository.partition("/")
    if not host:
        return False
    return not slash or host in ("docker.io", DEFAULT_REGISTRY_PATTERN) or not ("." in host or ":" in host)


def _matches(secrets: Sequence[PullSecret], repository: str) -> tuple[Match, ...]:
    image = _locate(repository)
    found = [] if image is None else [m for m in _candidates(secrets) if _covers(m.entry, image)]
    if not found and is_default_registry(repository):
        found = [m for m in _candidates(secrets) if m.entry.pattern == DEFAULT_REGISTRY_PATTERN]
    if len(found) > 1:
        found.sort(key=_order, reverse=True)
    return tuple(found)


def _candidates(secrets: Sequence[PullSecret]) -> Iterator[Match]:
    return (
        Match(secret, entry)
        for secret in secrets
        if not secret.ignored and secret.problem is None
        for entry in secret.entries
    )


def _covers(entry: AuthEntry, image: Location) -> bool:
    return entry.location is not None and hostkey.covers(entry.location, image)


def _order(match: Match) -> str:
    return match.entry.pattern or ""


@remember(2048)
def _locate(repository: str) -> Location | None:
    return hostkey.locate(repository)


# --- reasons --------------------------------------------------------------------------------------------------------

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+://")
_TAG: Final = re.compile(r"(?::[\w][\w.-]{0,127})?(?:@[A-Za-z0-9+._-]+:[0-9a-fA-F]+)?\Z", re.ASCII)
_DOCKER_HUB_NAMES: Final = frozenset(
    {
        "docker.com",
        "docker.io",
        "hub.docker.com",
        "index.docker.com",
        "index.docker.io",
        "registry-1.docker.io",
        "registry.docker.com",
        "registry.docker.io",
        "registry.hub.docker.com",
        "www.docker.com",
        "www.docker.io",
    },
)
_SHOWN: Final = 60  # characters of a key, host or path in a reason


def _quoted(entry: AuthEntry) -> str:
    return f"`{printable(entry.key, _SHOWN)}`"


def _host_of(location: Location) -> str:
    host = location.host if not location.port else f"{location.host}:{location.port}"
    return printable(host, _SHOWN)


def _whole_secret(secret: PullSecret) -> Trace | None:
    """The one line of a secret in which no key can be used, or None."""
    read_key = DATA_KEYS.get(secret.type)
    if read_key is None:
        reason = f"the secret is of type {printable(secret.type, _SHOWN)}, which the kubelet passes over in silence"
        return Trace(secret, None, Mismatch.OTHER_TYPE, reason)
    if secret.ignored:
        return Trace(secret, None, Mismatch.NO_DATA, f"the secret has no {read_key}, so the kubelet passes over it")
    if secret.problem is not None:
        reason = f"the secret can't be decoded ({secret.problem}), which fails every pull of the pod"
        return Trace(secret, None, Mismatch.UNDECODABLE, reason)
    if secret.entries:
        return None
    if secret.misplaced:
        return Trace(secret, None, Mismatch.MISPLACED, "the secret has its hosts beside `auths` instead of in it")
    return Trace(secret, None, Mismatch.NO_HOSTS, "the secret has no host in it")


def _why(entry: AuthEntry, image: Location | None, repository: str) -> str:
    key = _quoted(entry)
    if image is not None and _covers(entry, image):
        return f"key {key} covers {printable(repository, _SHOWN)}"
    host = repository.partition("/")[0]
    if host == "docker.io":
        return f"key {key} is Docker Hub's, and no other key matches"
    return f"key {key} is Docker Hub's, which the kubelet takes a host without dot or port for"


def _why_not(
    secret: PullSecret,
    entry: AuthEntry,
    image: Location | None,
    repository: str,
    first: AuthEntry | None,
) -> tuple[Mismatch, str]:
    key, location = _quoted(entry), entry.location
    if secret.type == DOCKER_CFG and secret.misplaced and entry.key == "auths":
        reason = f"`auths` is read as a host here: content with `auths` belongs in type {DOCKER_CONFIG_JSON}"
        return Mismatch.MISPLACED, reason
    scheme = _SCHEME.match(entry.key)
    if scheme is not None and scheme[0] not in ("https://", "http://"):
        reason = f"key {key} starts with {printable(scheme[0], _SHOWN)}, only https:// and http:// are dropped"
        return Mismatch.SCHEME, reason
    if location is None or image is None:
        return Mismatch.NOT_A_HOST, f"key {key} can't be read as a host{_blemish(entry.key)}"
    if first is not None and entry.pattern == DEFAULT_REGISTRY_PATTERN and is_default_registry(repository):
        reason = f"key {key} counts only where no other key matches, and {_quoted(first)} does"
        return Mismatch.SHADOWED, reason
    if location.host.startswith("[") and not location.port:
        reason = f"key {key} has an IPv6 address without a port, whose brackets are read as a glob"
        return Mismatch.BRACKETS, reason
    if not hostkey.host_covers(location.host, image.host):
        return _other_host(key, location, image)
    if location.port != image.port:
        mine = f"is for port {printable(location.port, 20)}" if location.port else "names no port"
        its = f"port {printable(image.port, 20)}" if image.port else "no port"
        return Mismatch.OTHER_PORT, f"key {key} {mine}, the image names {its}"
    if image.host == "docker.io" and location.path in ("/v1", "/v2"):
        return Mismatch.DOCKER_HUB_KEY, _docker_hub_key(key)
    if image.path.startswith(_TAG.sub("", location.path)):
        return Mismatch.TAG_IN_KEY, f"key {key} has a tag or digest, and images are looked up without theirs"
    reason = f"key {key} is for paths that start with {printable(location.path, _SHOWN)}"
    return Mismatch.OTHER_PATH, f"{reason}, the image is at {printable(image.path, _SHOWN)}"


def _other_host(key: str, location: Location, image: Location) -> tuple[Mismatch, str]:
    """Why the host of a key isn't the image's: the most telling of the possible reasons."""
    host, mine = _host_of(image), location.host
    if image.host == "docker.io" and mine.lower() in _DOCKER_HUB_NAMES:
        return Mismatch.DOCKER_HUB_KEY, _docker_hub_key(key)
    if hostkey.host_covers(mine.lower(), image.host.lower()):
        return Mismatch.CAPITALS, f"key {key} differs from {host} in capital letters, and they count"
    if location.is_glob:
        labels, its = mine.split("."), image.host.split(".")
        pairs = zip(reversed(labels), reversed(its), strict=False)
        if len(labels) != len(its) and all(hostkey.label_covers(label, other) for label, other in pairs):
            size = f"{len(labels)} label{'s' if len(labels) > 1 else ''}"
            return Mismatch.GLOB_DEPTH, f"glob {key} has {size}, {host} has {len(its)}: `*` never stands for a dot"
        return Mismatch.OTHER_HOST, f"glob {key} doesn't match {host}"
    if mine and image.host.endswith("." + mine):
        return Mismatch.SUBDOMAIN, f"key {key} is for that host alone, not for {host}"
    if mine == DEFAULT_REGISTRY_PATTERN:
        return Mismatch.OTHER_HOST, f"key {key} is for docker.io, not for {host}"
    return Mismatch.OTHER_HOST, f"key {key} is for another host than {host}"


def _docker_hub_key(key: str) -> str:
    return f"key {key} is not the one Docker Hub is looked up by: use `{DEFAULT_REGISTRY_KEY}`"


def _blemish(key: str) -> str:
    """What is wrong with a key that is no host, where one look at it tells."""
    if not key.isascii():
        return ": it has a character outside ASCII"
    if any(character.isspace() for character in key):
        return ": it has white space in it"
    authority = re.split(r"[/?#]", key.removeprefix("https://").removeprefix("http://"), maxsplit=1)[0]
    if "[" not in authority and re.search(r":(?!\d*\Z)", authority):
        return ": what follows its colon is no port"
    return ""
