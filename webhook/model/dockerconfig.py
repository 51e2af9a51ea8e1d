"""Reads pull secrets as the kubelet does, and keeps what a verdict needs and nothing that opens a registry.

Why: whether a secret can be decoded, which hosts it is for, and whether its user name and age can work is known before
a pod is scheduled. The same call that reads the credentials forgets them: after `read_secret`, no password, token or
`auth` is reachable from the result, its repr, or an exception (there are none).

Must not: be stricter or laxer than Kubernetes about what decodes. Judge it: that is the checks' matter.

Source: Kubernetes 1.36.3, pkg/credentialprovider/config.go and secrets/secrets.go; Go 1.26, encoding/json and
encoding/base64 for what the two decode and for their words.
"""

from __future__ import annotations

import binascii
import datetime as dt
import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from webhook.model import gojson, hostkey

if TYPE_CHECKING:
    from webhook.model.gojson import Object, Value

DOCKER_CONFIG_JSON: Final = "kubernetes.io/dockerconfigjson"
DOCKER_CFG: Final = "kubernetes.io/dockercfg"
DATA_KEYS: Final[Mapping[str, str]] = {DOCKER_CONFIG_JSON: ".dockerconfigjson", DOCKER_CFG: ".dockercfg"}
"""Secret type → the one key of `data` that the kubelet reads in a secret of that type."""


class Username(enum.Enum):
    """What a user name is, where it says which registry it is for. The name itself is not kept."""

    EMPTY = ""
    IAM_API_KEY = "iamapikey"
    IAM_BEARER = "iambearer"
    AWS = "AWS"
    JSON_KEY = "_json_key"
    JSON_KEY_BASE64 = "_json_key_base64"
    OAUTH2_ACCESS_TOKEN = "oauth2accesstoken"  # noqa: S105 - a user name, though it says token
    NULL_GUID = "00000000-0000-0000-0000-000000000000"
    IDENTITY_TOKEN = "<token>"  # noqa: S105 - what docker writes for the user where it holds an identity token
    TOKEN = "token"  # noqa: S105 - the user name of IBM's former registry tokens
    OAUTH_TOKEN = "$oauthtoken"  # noqa: S105 - NVIDIA's user name
    GUID = "a GUID"  # an Entra service principal's id
    ORG_ROBOT = "org+robot"  # quay; a GitLab deploy token is `gitlab+deploy-token-…`
    HARBOR_ROBOT = "robot$…"
    HOST_LABEL = "the host's first label"  # the admin user of an Azure container registry is named like it
    EMAIL = "an e-mail address"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class AuthEntry:
    """One host of a pull secret, without its credential.

    key: as written, but for a user, password, query or fragment in it (`***`).
    pattern: what the kubelet orders it by; None where it skips the entry, or no image can match.
    location: what it compares with an image; None where that can never match.
    stray_space: user name or password begins or ends with white space (`echo` without -n before base64).
    expires_at: seconds since 1970 from the password itself (`exp` of a JWT, `expiration` of an ECR token), else None.
    ignored_fields: credentials in the entry that the kubelet doesn't read: `identitytoken`, `registrytoken`.
    """

    key: str
    pattern: str | None
    location: hostkey.Location | None
    username: Username
    has_password: bool
    stray_space: bool
    expires_at: int | None
    ignored_fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PullSecret:
    """What is kept of a Secret. Entries of any type of secret that holds a docker config are read; see `ignored`.

    ignored: the kubelet passes it over in silence: another type, or the type's key is missing or empty.
    problem: why it can't be decoded, in Go's words where they quote nothing; None for a healthy one. If it is not
        ignored, the look-up fails for every image of the pod.
    ignored_fields: what docker knows at the top and the kubelet doesn't read: `credHelpers`, `credsStore`.
    misplaced: hosts stand where they are not read: outside `auths` in the newer type, or below `auths` in the older.
    created_at, changed_at: seconds since 1970, or None; the latter is the last write of `data` that the API server
        recorded (`managedFields`), else the former. A secret that is refreshed keeps the time it was created.
    """

    namespace: str
    name: str
    type: str
    entries: tuple[AuthEntry, ...]
    problem: str | None
    ignored: bool
    ignored_fields: tuple[str, ...]
    misplaced: bool
    created_at: int | None
    changed_at: int | None


def read_secret(obj: Mapping[str, Any]) -> PullSecret:
    """A Secret as the API server's JSON has it, `data` in base64; from a file also with `stringData`, which wins.

    Never raises, whatever `obj` holds. Data that the API server would not accept (no base64, no text) is a problem of
    the secret, although such a secret can only stand in a file.
    """
    metadata = _mapping(obj.get("metadata"))
    secret_type = _text(obj.get("type")) or "Opaque"
    data, texts = _mapping(obj.get("data")), _mapping(obj.get("stringData"))
    read_key = DATA_KEYS.get(secret_type)
    key = read_key or next((key for key in DATA_KEYS.values() if key in data or key in texts), None)
    content: bytes | None = b""
    problem = None
    if key is not None:
        content = _content(data, texts, key)
        if content is None:
            problem = f"the value of {key} is not base64"
    config = _Config((), None, (), misplaced=False)
    if content and key is not None:
        config = _read(content, older=key == DATA_KEYS[DOCKER_CFG])
        problem = config.problem
    created_at = _epoch(metadata.get("creationTimestamp"))
    return PullSecret(
        namespace=_text(metadata.get("namespace")),
        name=_text(metadata.get("name")),
        type=secret_type,
        entries=config.entries,
        problem=problem,
        ignored=read_key is None or content == b"",
        ignored_fields=config.ignored_fields,
        misplaced=config.misplaced,
        created_at=created_at,
        changed_at=_changed_at(metadata, created_at),
    )


# --- what the kubelet decodes ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Config:
    entries: tuple[AuthEntry, ...]
    problem: str | None
    ignored_fields: tuple[str, ...]
    misplaced: bool


_FIELDS: Final = ("username", "password", "email", "auth")
_UNREAD_FIELDS: Final = ("identitytoken", "registrytoken")
_UNREAD_SECTIONS: Final = {"credhelpers": "credHelpers", "credsstore": "credsStore"}
_ENTRY_TYPE: Final = "dockerConfigEntryWithAuth"
_NO_COLON: Final = "unable to parse auth field, must be formatted as base64(username:password)"


def _read(content: bytes, *, older: bool) -> _Config:
    root = gojson.read(content)
    if isinstance(root, gojson.Malformed):
        return _Config((), root.problem, (), misplaced=False)
    if older:
        return _docker_cfg(root)
    return _docker_config_json(root)


def _docker_cfg(root: Value) -> _Config:
    root = () if root is None else root
    if not isinstance(root, tuple):
        return _Config((), f"{_cannot(root)} Go value of type credentialprovider.DockerConfig", (), misplaced=False)
    entries: dict[str, AuthEntry] = {}
    problem = _add_entries(entries, root, where="")
    misplaced = problem is None and any(name == "auths" and isinstance(value, tuple) and value for name, value in root)
    return _Config(tuple(entries.values()) if problem is None else (), problem, (), misplaced=misplaced)


def _docker_config_json(root: Value) -> _Config:
    root = () if root is None else root
    if not isinstance(root, tuple):
        return _Config((), f"{_cannot(root)} Go value of type credentialprovider.DockerConfigJSON", (), misplaced=False)
    entries: dict[str, AuthEntry] = {}
    problem: str | None = None
    unread: list[str] = []
    misplaced = False
    for name, value in root:
        field = gojson.folded(name)
        if field == "auths":
            if value is None:
                entries.clear()
            elif isinstance(value, tuple):
                failed = _add_entries(entries, value, where="DockerConfigJSON.auths")
                if failed is not None:  # an entry ends the decoding at once, a wrong type elsewhere only in the end
                    return _Config((), failed, (), misplaced=False)
            else:
                problem = problem or (
                    f"{_cannot(value)} Go struct field DockerConfigJSON.auths of type credentialprovider.DockerConfig"
                )
        elif field == "httpheaders":
            problem = problem or _headers_problem(value)
        elif field in _UNREAD_SECTIONS:
            if value and _UNREAD_SECTIONS[field] not in unread:
                unread.append(_UNREAD_SECTIONS[field])
        elif isinstance(value, tuple) and any(gojson.folded(inner) in _FIELDS for inner, _ in value):
            misplaced = True
    if problem is not None:
        entries.clear()
    return _Config(tuple(entries.values()), problem, tuple(unread), misplaced=misplaced)


def _headers_problem(value: Value) -> str | None:
    """The `HttpHeaders` of docker's file are decoded too: a number among them spoils the whole secret."""
    field = "Go struct field DockerConfigJSON.HttpHeaders of type"
    if value is None:
        return None
    if not isinstance(value, tuple):
        return f"{_cannot(value)} {field} map[string]string"
    wrong = next((header for _, header in value if header is not None and not isinstance(header, str)), None)
    return None if wrong is None else f"{_cannot(wrong)} {field} string"


def _add_entries(entries: dict[str, AuthEntry], hosts: Object, *, where: str) -> str | None:
    """Put every host into `entries`, a later one in place of an earlier; the first problem ends it and is returned."""
    for key, value in hosts:
        entry = _entry(key, value, where)
        if isinstance(entry, str):
            return entry
        entries[key] = entry
    return None


def _entry(key: str, value: Value, where: str) -> AuthEntry | str:
    """The facts of one host, or why Go can't decode it."""
    if value is None:
        value = ()  # null is an entry too, an empty one
    if not isinstance(value, tuple):
        place = f"Go struct field {where}" if where else "Go value"
        return f"{_cannot(value)} {place} of type credentialprovider.{_ENTRY_TYPE}"
    fields = dict.fromkeys(_FIELDS, "")
    problem = None
    unread: list[str] = []
    for name, content in value:
        field = gojson.folded(name)
        if field in _UNREAD_FIELDS:
            if content and field not in unread:
                unread.append(field)
        elif field not in fields or content is None:
            continue
        elif isinstance(content, str):
            fields[field] = content
        else:
            problem = problem or f"{_cannot(content)} Go struct field {where or _ENTRY_TYPE}.{field} of type string"
    if problem is not None:
        return problem
    username, password = fields["username"].encode(), fields["password"].encode()
    if fields["auth"]:
        padded = fields["auth"].rstrip(_GO_SPACE).endswith("=")
        decoded = _decode_base64(fields["auth"].encode(), padded=padded)
        if isinstance(decoded, int):
            return f"illegal base64 data at input byte {decoded}"
        username, colon, password = decoded.partition(b":")
        if not colon:
            return _NO_COLON
    return _auth_entry(key, username, password, tuple(unread))


def _cannot(value: Value) -> str:
    return f"json: cannot unmarshal {gojson.kind(value)} into"


# --- base64 as Go decodes it ----------------------------------------------------------------------------------------

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]*+(={0,2})")
_NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/\r\n]")
_GO_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)


def _decode_base64(text: bytes, *, padded: bool) -> bytes | int:
    """The bytes, or the place of Go's complaint. Line ends anywhere are skipped; bits left over are not looked at."""
    packed = text.translate(None, b"\r\n")
    match = _BASE64.fullmatch(packed)
    if match is not None:
        if padded and len(packed) % 4 == 0:
            return binascii.a2b_base64(packed)
        if not padded and not match[1] and len(packed) % 4 != 1:
            return binascii.a2b_base64(packed + b"=" * (-len(packed) % 4))
    return _illegal_byte(text, padded=padded)


def _illegal_byte(text: bytes, *, padded: bool) -> int:
    """Where Go says that the illegal data is: not always where a person would point."""
    found = _NOT_BASE64.search(text)
    end = len(text) if found is None else found.start()
    in_quantum = len(text[:end].translate(None, b"\r\n")) % 4
    if found is None:
        return end - in_quantum
    if not padded or text[end : end + 1] != b"=" or in_quantum in (0, 1):
        return end
    after = _skip_line_ends(text, end + 1)
    if in_quantum == 2:  # noqa: PLR2004 - two characters take two signs of padding
        if after == len(text):
            return after
        if text[after : after + 1] != b"=":
            return after - 1
        after = _skip_line_ends(text, after + 1)
    return after


def _skip_line_ends(text: bytes, position: int) -> int:
    return len(text) - len(text[position:].lstrip(b"\r\n"))


# --- what is kept of a credential -----------------------------------------------------------------------------------

_NAMED: Final = {
    kind.value.encode(): kind
    for kind in (
        Username.EMPTY,
        Username.IAM_API_KEY,
        Username.IAM_BEARER,
        Username.AWS,
        Username.JSON_KEY,
        Username.JSON_KEY_BASE64,
        Username.OAUTH2_ACCESS_TOKEN,
        Username.NULL_GUID,
        Username.IDENTITY_TOKEN,
        Username.TOKEN,
        Username.OAUTH_TOKEN,
    )
}
_GUID: Final = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EMAIL: Final = re.compile(rb"[^@\s]++@[^@\s]++")
_ORG_ROBOT: Final = re.compile(rb"[^+@\s]++\+[^@\s]++")
_LATEST: Final = 2**53


def _auth_entry(key: str, username: bytes, password: bytes, ignored_fields: tuple[str, ...]) -> AuthEntry:
    pattern = hostkey.pattern_of(key)
    location = None if pattern is None else hostkey.locate(pattern)
    return AuthEntry(
        key=hostkey.shown(key),
        pattern=pattern,
        location=location,
        username=username_kind(username, "" if location is None else location.host),
        has_password=password != b"",
        stray_space=username != username.strip() or password != password.strip(),
        expires_at=_expiry(password),
        ignored_fields=ignored_fields,
    )


def username_kind(username: bytes, host: str) -> Username:
    """What a user name says; white space around it is `AuthEntry.stray_space`, and not looked at here."""
    username = username.strip()
    if username in _NAMED:
        return _NAMED[username]
    if _GUID.fullmatch(username):
        return Username.GUID
    label, dot, _ = host.partition(".")
    if dot and username == label.encode("ascii", "replace"):
        return Username.HOST_LABEL
    if username.startswith(b"robot$"):
        return Username.HARBOR_ROBOT
    if _ORG_ROBOT.fullmatch(username):
        return Username.ORG_ROBOT
    return Username.EMAIL if _EMAIL.fullmatch(username) else Username.OTHER


def _expiry(password: bytes) -> int | None:
    """When a password stops working, where it says so itself. Its signature is nobody's here to check."""
    parts = password.strip().split(b".")
    if not parts[0].startswith(b"eyJ"):  # base64 of `{"`
        return None
    if len(parts) == 3:  # noqa: PLR2004 - header, payload and signature of a JWT
        return _number_in(parts[1].replace(b"-", b"+").replace(b"_", b"/").rstrip(b"="), b"exp")
    return _number_in(parts[0].rstrip(b"="), b"expiration") if len(parts) == 1 else None


def _number_in(base64: bytes, name: bytes) -> int | None:
    decoded = _decode_base64(base64, padded=False)
    if isinstance(decoded, int) or b'"' + name + b'"' not in decoded:
        return None
    try:
        claims = orjson.loads(decoded)
    except orjson.JSONDecodeError:
        return None
    number = claims.get(name.decode()) if isinstance(claims, dict) else None
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= _LATEST:
        return None
    return int(number)


# --- the Secret around it -------------------------------------------------------------------------------------------


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _content(data: Mapping[str, Any], texts: Mapping[str, Any], key: str) -> bytes | None:
    """What the API server stores under `key`: b"" where it is missing or null, None where it would refuse the value."""
    if texts.get(key) is not None:
        plain = texts[key]
        return plain.encode("utf-8", "surrogatepass") if isinstance(plain, str) else None
    encoded = data.get(key)
    if encoded is None:
        return b""
    if not isinstance(encoded, str):
        return None
    decoded = _decode_base64(encoded.encode("utf-8", "surrogatepass"), padded=True)
    return None if isinstance(decoded, int) else decoded


def _changed_at(metadata: Mapping[str, Any], created_at: int | None) -> int | None:
    newest = created_at
    managers = metadata.get("managedFields")
    for manager in managers if isinstance(managers, list) else ():
        if "f:data" in _mapping(_mapping(manager).get("fieldsV1")):
            at = _epoch(manager.get("time"))
            newest = at if newest is None else max(newest, at or newest)
    return newest


def _epoch(timestamp: Any) -> int | None:
    """An RFC 3339 time of the API server (always with a zone) as seconds since 1970."""
    try:
        moment = dt.datetime.fromisoformat(_text(timestamp))
        return int(moment.timestamp()) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
