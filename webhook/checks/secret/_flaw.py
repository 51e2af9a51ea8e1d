"""Why a credential that the kubelet finds can't open the registry, as far as it shows without asking the registry.

Nothing of the credential itself is known here: only what `read_secret` kept. The kubelet tries every key that matches,
so that a flaw counts in full only where all of them have one.

Lifetimes are the vendors': Amazon ECR's passwords live 12 hours, an Entra token for Azure's registry 3, a Google access
token 1; from the last write of the Secret, since no token can be newer than that.
"""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from webhook.checks.secret import _commands, _look
from webhook.model.dockerconfig import Username
from webhook.model.finding import Confidence
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from webhook.catalogue.registries import Registry
    from webhook.checks.base import Check, ImageSubject
    from webhook.checks.secret._look import Look
    from webhook.model.finding import Finding
    from webhook.model.keyring import Match

_HOUR: Final = 3600
_SOON: Final = 7 * 24 * _HOUR


class Kind(enum.Enum):
    """What is wrong with a credential; each has a check of its own."""

    IGNORED_FIELD = "ignored field"
    NO_PASSWORD = "no password"  # noqa: S105 - a kind, no password
    USERNAME = "user name"
    WHITE_SPACE = "white space"
    EXPIRED = "expired"
    EXPIRING = "expiring"


@dataclass(frozen=True, slots=True)
class Flaw:
    """One flaw of one matching key; `said` completes "the pull secret has …"; `ends` is in seconds since 1970."""

    kind: Kind
    match: Match
    said: str
    ends: int = 0


@dataclass(frozen=True, slots=True)
class _Names:
    """The user names that a registry takes, and what to write."""

    taken: frozenset[Username]
    right: str


_FOREIGN: Final = frozenset(
    {
        Username.IAM_API_KEY,
        Username.IAM_BEARER,
        Username.AWS,
        Username.JSON_KEY,
        Username.JSON_KEY_BASE64,
        Username.OAUTH2_ACCESS_TOKEN,
        Username.NULL_GUID,
        Username.OAUTH_TOKEN,
        Username.ORG_ROBOT,
        Username.HARBOR_ROBOT,
    }
)
"""User names that say for which registry they are."""

_GOOGLE_NAMES: Final = _Names(
    frozenset(Username) - _FOREIGN - {Username.EMPTY, Username.EMAIL}
    | {Username.JSON_KEY, Username.JSON_KEY_BASE64, Username.OAUTH2_ACCESS_TOKEN},
    "_json_key",
)
# Sources: each registry's `pull_secret_username` in the catalogue, with its vendor's page.
_NAMES: Final[Mapping[str, _Names]] = {
    _look.IBM: _Names(frozenset({Username.IAM_API_KEY, Username.IAM_BEARER}), "iamapikey"),
    **dict.fromkeys((*_look.ECR, "amazon-ecr-public"), _Names(frozenset({Username.AWS}), "AWS")),
    **dict.fromkeys(_look.GOOGLE, _GOOGLE_NAMES),
    _look.ACR: _Names(
        frozenset(Username) - _FOREIGN - {Username.EMPTY, Username.EMAIL} | {Username.NULL_GUID},
        "a service principal's or token's name",
    ),
    "docker-hub": _Names(frozenset(Username) - _FOREIGN - {Username.EMPTY}, "a Docker ID"),
    "quay-io": _Names(
        frozenset(Username) - _FOREIGN - {Username.EMPTY} | {Username.ORG_ROBOT, Username.OAUTH_TOKEN}, "org+robot"
    ),
    "nvidia-ngc": _Names(frozenset({Username.OAUTH_TOKEN}), "$oauthtoken"),
}
_LIFETIMES: Final = {
    **dict.fromkeys(((kind, Username.AWS) for kind in (*_look.ECR, "amazon-ecr-public")), 12 * _HOUR),
    (_look.ACR, Username.NULL_GUID): 3 * _HOUR,
    **dict.fromkeys(((kind, Username.OAUTH2_ACCESS_TOKEN) for kind in _look.GOOGLE), _HOUR),
}


def flaw_of(match: Match, registry: Registry | None, now: int) -> Flaw | None:
    """The first flaw of a matching key, the plainest first; `now` is in seconds since 1970, 0 where no clock is."""
    entry = match.entry
    if not entry.has_password:
        if entry.ignored_fields:
            return Flaw(Kind.IGNORED_FIELD, match, f"only the field {' and '.join(entry.ignored_fields)}")
        if match.secret.ignored_fields and entry.username is Username.EMPTY:
            return Flaw(Kind.IGNORED_FIELD, match, f"only docker's {' and '.join(match.secret.ignored_fields)}")
        return Flaw(Kind.NO_PASSWORD, match, "no password")
    names = _NAMES.get(registry.id) if registry is not None else None
    if names is not None and entry.username not in names.taken:
        return Flaw(Kind.USERNAME, match, f"a user name that is {_said(entry.username)}")
    if entry.stray_space:
        return Flaw(Kind.WHITE_SPACE, match, "white space around its user name or password")
    ends = _ends_at(match, registry)
    if ends is None or now == 0:
        return None
    if ends <= now:
        return Flaw(Kind.EXPIRED, match, f"a credential that expired on {when(ends)}", ends)
    refreshed = (match.secret.changed_at or 0) > (match.secret.created_at or 0)
    if ends - now <= _SOON and not refreshed:  # who renewed it once has something that renews it
        return Flaw(Kind.EXPIRING, match, f"a credential that expires on {when(ends)}", ends)
    return None


def right_name(registry: Registry | None) -> str:
    """What the registry takes for a user name, where one is needed."""
    return _NAMES[registry.id].right if registry is not None and registry.id in _NAMES else ""


def flaws(subject: ImageSubject, seen: Look) -> tuple[tuple[Flaw, ...], bool]:
    """The flaws of the matching keys in the kubelet's order, and whether no key is left that may open the registry.

    An entry without a user name or a password is a key like any other, but the runtime sends nothing for it (containerd
    2.4: ParseAuth in internal/cri/server/images, FetchToken in core/remotes/docker/auth): that try is anonymous, and
    opens what is public.
    """
    registry = _look.registry_of(seen.reference)
    found = tuple(flaw_of(match, registry, subject.facts.now) for match in seen.found.matches)
    flawed = tuple(flaw for flaw in found if flaw is not None)
    useless = all(flaw is not None and flaw.kind is not Kind.EXPIRING for flaw in found)
    sent = (match.entry.has_password and match.entry.username is not Username.EMPTY for match in seen.found.matches)
    anonymous = not all(sent)
    opened = anonymous and seen.need is _look.Need.NEVER
    return flawed, useless and bool(found) and not seen.unread and not opened


def findings(check: Check, subject: ImageSubject, kinds: frozenset[Kind]) -> Iterator[Finding]:
    """The finding of `check` about an image that needs a credential: the first key with a flaw of one of `kinds`.

    At most advisory where another key, or the nodes' own identity, may open the registry.
    """
    seen = _look.look(subject)
    if seen is None or seen.need is _look.Need.NEVER or not seen.found.matches:
        return
    found, useless = flaws(subject, seen)
    flaw = next((one for one in found if one.kind in kinds), None)
    if flaw is None:
        return
    sure = Confidence.ADVISORY
    if useless and flaw.kind is not Kind.EXPIRING:
        sure = _look.confidence(subject, seen.reference, meant=True)
    secret = _look.shown(flaw.match.secret.name)
    yield check.found(
        subject,
        confidence=min(sure, check.confidence),
        message=_message(flaw, secret, seen),
        fix=printable(renewal(subject, seen, flaw)),
        evidence=(*_advice(seen), *_look.trace(seen)),
    )


def renewal(subject: ImageSubject, seen: Look, flaw: Flaw) -> str:
    """How to give the secret a credential that works, without taking from it what other images may need."""
    secret = flaw.match.secret
    if len(secret.entries) == 1:
        return f"run `{_commands.renew(secret, subject.workload.namespace, seen.reference)}`"
    return _commands.give(subject, seen)


def when(moment: int) -> str:
    """A time as it reads in a sentence."""
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%d at %H:%M UTC")


def _message(flaw: Flaw, secret: str, seen: Look) -> str:
    host = _look.host_of(seen.reference)
    if flaw.kind is Kind.USERNAME:
        right = right_name(_look.registry_of(seen.reference))
        return f"pull secret {secret} has {flaw.said}, {host} takes {right}"
    if flaw.kind in (Kind.EXPIRED, Kind.EXPIRING):
        verb = "expired" if flaw.kind is Kind.EXPIRED else "expires"
        return f"the credential for {host} in pull secret {secret} {verb} on {when(flaw.ends)}"
    if flaw.kind is Kind.IGNORED_FIELD:
        return f"pull secret {secret} has {flaw.said} for {host}, which the kubelet does not read"
    return f"pull secret {secret} has {flaw.said} for {host}"


def _advice(seen: Look) -> Iterator[str]:
    registry = _look.registry_of(seen.reference)
    if registry is not None and registry.credential_expiry_hint:
        yield f"{registry.name}: {registry.credential_expiry_hint}"


def _ends_at(match: Match, registry: Registry | None) -> int | None:
    if match.entry.expires_at is not None:
        return match.entry.expires_at
    lifetime = _LIFETIMES.get((registry.id if registry is not None else "", match.entry.username))
    written = match.secret.changed_at
    return written + lifetime if lifetime is not None and written is not None else None


def _said(username: Username) -> str:
    if username is Username.EMPTY:
        return "empty"
    return "of another kind" if username is Username.OTHER else username.value
