"""Keeps the serving certificate valid and trusted: the authority, the pair in its Secret, the caBundle, for ever.

`plan` says what the next step is, from what is stored and the time alone; `Rotation.run` looks, takes that step, and is
called again some seconds later. Nothing is remembered between two looks that a crash may not lose: a step that was
half done is seen as what it left behind.

A new authority comes by overlap, so that every handshake in between succeeds: `next` joins the caBundle; once every
webhook configuration has held both for `overlap_seconds` it becomes the authority and signs the serving certificate;
once that has been served for `retire_seconds` the `old` one leaves the caBundle. The waits are measured by the process
that takes the step, from when it saw the state itself: a new leader waits anew, and no clocks are compared.

Of the webhook configurations only the caBundle is ours, set by server-side apply of that field alone, so a GitOps tool
or a cloud that owns the rest keeps it. Whoever overwrites it is corrected, ever more slowly when it goes on.

Must not: run without being the leader (the Writer asks), give the authority's key to the webhook (two Secrets), or let
a key into a log.
"""

from __future__ import annotations

import base64
import datetime as dt
import enum
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from webhook import metrics
from webhook.sources.connection import collection_path, object_path
from webhook.sources.errors import ApiError, NotFoundError
from webhook.sources.writing import MANAGER
from webhook.tls.issue import (
    CannotIssue,
    Pair,
    authority_problems,
    check_pair,
    expiry,
    issue_serving,
    new_authority,
    renew_at,
)
from webhook.tls.secret import CA, CERT, KEY, READ_SECONDS, decoded, secret_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from webhook.sources.connection import Connection
    from webhook.sources.writing import Writer

_log = logging.getLogger(__name__)

RENEW: Final = "pullproof.dev/renew"
"""The annotation on the authority's Secret that asks for a renewal: `serving` or `authority`."""

CONFIGURATIONS: Final = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")

_AUTHORITY_KEY: Final = "ca.key"
_OLD: Final = "old.crt"
_NEXT: Final = "next.crt"
_NEXT_KEY: Final = "next.key"
_LABELS: Final = {"app.kubernetes.io/name": "pullproof"}
_CALM_SECONDS: Final = 600.0  # left alone for so long, an overwritten caBundle is put right at once again


class Step(enum.Enum):
    """What to do next; the value says it in the log."""

    NOTHING = "nothing"
    NEW_AUTHORITY = "a new authority, in use at once"
    NEXT_AUTHORITY = "a new authority, trusted beside the present one"
    PROMOTE = "the new authority signs from now on"
    DROP_OLD = "the old authority is no longer trusted"
    NEW_SERVING = "a new serving certificate"


@dataclass(frozen=True, slots=True)
class Stored:
    """What the two Secrets hold: pairs as far as there are both parts, `old_pem` and `serving_ca` certificates or b"".

    `serving_ca` is the bundle that stands beside the pair; `asked` is `serving`, `authority` or "".
    """

    authority: Pair | None = None
    next: Pair | None = None
    old_pem: bytes = b""
    serving: Pair | None = None
    serving_ca: bytes = b""
    asked: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are, the names to cover, and the waits (seconds) of an authority's overlap."""

    serving_place: str
    authority_place: str
    configuration: str
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...] = ()
    overlap_seconds: float = 60.0
    retire_seconds: float = 3600.0
    repair_seconds: float = 5.0
    repair_longest_seconds: float = 300.0
    serving_lifetime: dt.timedelta = dt.timedelta(days=90)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.dns_names, *self.ip_addresses)


def bundle(stored: Stored) -> bytes:
    """The caBundle, PEM: the authority, then the next one, then the old ones; each once, and only what is one.

    Where the authority's Secret is lost, the certificates that stand beside the serving pair go on being trusted.
    """
    parts = [pair.cert_pem for pair in (stored.authority, stored.next) if pair is not None]
    parts.append(stored.old_pem)
    if stored.authority is None:
        parts.append(stored.serving_ca)
    found = [certificate for part in parts for certificate in _certificates(part)]
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in dict.fromkeys(found))


def plan(stored: Stored, names: Sequence[str], now: dt.datetime, *, trusted: float, settings: Settings) -> Step:
    """The next step. `trusted`: for how many seconds `bundle(stored)` and the pair have stood as they are, everywhere.

    `trusted` is negative while the caBundle is not everywhere.
    """
    able = stored.authority is not None and not authority_problems(stored.authority, now)
    serving_works = _works(stored.serving, bundle(stored), names, now)
    next_able = stored.next is not None and not authority_problems(stored.next, now)
    if not able:
        if next_able:
            ready = trusted >= settings.overlap_seconds or not serving_works
            return Step.PROMOTE if ready else Step.NOTHING
        # No overlap can save what doesn't work now; what does must not break.
        return Step.NEXT_AUTHORITY if serving_works else Step.NEW_AUTHORITY
    assert stored.authority is not None  # noqa: S101 for the type checker: `able` says so
    if not _works(stored.serving, stored.authority.cert_pem, names, now):
        return Step.NEW_SERVING
    assert stored.serving is not None  # noqa: S101 as above
    if now >= renew_at(stored.serving.cert_pem) or stored.asked == "serving":
        return Step.NEW_SERVING
    if stored.next is not None and next_able:
        return Step.PROMOTE if trusted >= settings.overlap_seconds else Step.NOTHING
    if stored.old_pem:
        return Step.DROP_OLD if trusted >= settings.retire_seconds else Step.NOTHING
    if stored.next is not None or stored.asked == "authority" or now >= renew_at(stored.authority.cert_pem):
        return Step.NEXT_AUTHORITY
    return Step.NOTHING


def _works(pair: Pair | None, ca_pem: bytes, names: Sequence[str], now: dt.datetime) -> bool:
    return pair is not None and not check_pair(pair.cert_pem, pair.key_pem, ca_pem, names, now)


def _certificates(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []


@dataclass(slots=True)
class _Overwritten:
    """How often somebody has taken the caBundle of one configuration away, and when it may be put back."""

    times: int = 0
    last: float = 0.0
    not_before: float = 0.0


class Rotation:
    """The leader's work on certificates. `run` is one look and at most one step; call it every few seconds."""

    def __init__(
        self,
        connection: Connection,
        writer: Writer,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._connection = connection
        self._writer = writer
        self._settings = settings
        self._clock = clock
        self._wall = wall
        self._authority_path = secret_path(settings.authority_place)
        self._serving_path = secret_path(settings.serving_place)
        self._standing: tuple[bytes, bytes] | None = None
        self._standing_since = 0.0
        self._set: dict[str, bytes] = {}  # the caBundle that this process last set or saw, by configuration
        self._overwritten: dict[str, _Overwritten] = {}

    def run(self) -> Step:
        """Look, put the caBundle right, take the next step. Raises ApiError, CannotIssue, NotLeading."""
        for _ in range(len(Step)):  # an installation takes three steps, and nobody should wait for the next look
            step = self._look_and_step()
            if step is Step.NOTHING:
                break
        return step

    def _look_and_step(self) -> Step:
        authority, serving = self._read(self._authority_path), self._read(self._serving_path)
        stored = read_stored(authority, serving)
        wanted = bundle(stored)
        trouble: ApiError | None = None
        try:
            everywhere = bool(wanted) and self._spread(wanted)
        except ApiError as error:
            everywhere, trouble = False, error
        now = self._wall()
        trusted = self._trusted(stored, wanted) if everywhere else self._not_trusted()
        step = plan(stored, self._settings.names, now, trusted=trusted, settings=self._settings)
        if step is not Step.NOTHING:
            self._take(step, stored, authority, serving, now)
            _log.info("certificates: %s", step.value)
        elif serving and wanted and decoded(serving, CA) != wanted:
            self._write_serving(serving, stored.serving, wanted)
        self._show(stored)
        if trouble is not None and step is Step.NOTHING:
            raise trouble
        return step

    def _read(self, path: str) -> dict[str, Any]:
        try:
            return self._connection.get_json(path, timeout_seconds=READ_SECONDS)
        except NotFoundError:
            return {}

    def _trusted(self, stored: Stored, wanted: bytes) -> float:
        standing = (wanted, stored.serving.cert_pem if stored.serving else b"")
        if standing != self._standing:
            self._standing, self._standing_since = standing, self._clock()
        return self._clock() - self._standing_since

    def _not_trusted(self) -> float:
        self._standing = None
        return -1.0

    def _take(
        self, step: Step, stored: Stored, authority: dict[str, Any], serving: dict[str, Any], now: dt.datetime
    ) -> None:
        if step is Step.NEW_SERVING:
            if stored.authority is None:
                raise CannotIssue("there is no authority")
            pair = issue_serving(
                stored.authority,
                self._settings.dns_names,
                self._settings.ip_addresses,
                now,
                self._settings.serving_lifetime,
            )
            self._write_serving(serving, pair, bundle(stored))
            metrics.CERTIFICATE_RENEWALS.labels("serving").inc()
            if stored.asked == "serving":
                self._write_authority(authority, {})
            return
        if step is Step.NEW_AUTHORITY:
            self._write_authority(authority, _authority_data(new_authority(now), None, b""))
        elif step is Step.NEXT_AUTHORITY:
            old = stored.old_pem if stored.authority else stored.serving_ca
            self._write_authority(authority, _authority_data(stored.authority, new_authority(now), old))
        elif step is Step.PROMOTE:
            old = (stored.authority.cert_pem if stored.authority else b"") + stored.old_pem
            self._write_authority(authority, _authority_data(stored.next, None, old))
        else:
            self._write_authority(authority, _authority_data(stored.authority, None, b""))
        if step in {Step.NEW_AUTHORITY, Step.NEXT_AUTHORITY}:
            metrics.CERTIFICATE_RENEWALS.labels("authority").inc()

    def _write_serving(self, found: dict[str, Any], pair: Pair | None, ca_pem: bytes) -> None:
        if pair is not None:
            self._write(
                self._settings.serving_place,
                found,
                {CERT: pair.cert_pem, KEY: pair.key_pem, CA: ca_pem},
                kind="kubernetes.io/tls",
            )

    def _write_authority(self, found: dict[str, Any], data: Mapping[str, bytes | None]) -> None:
        self._write(self._settings.authority_place, found, data, kind="Opaque")

    def _write(self, place: str, found: dict[str, Any], data: Mapping[str, bytes | None], *, kind: str) -> None:
        """Create the Secret, or replace the one that was read; None removes a key.

        A 409 says that somebody else was at it, and ends the step. A request for a renewal is answered by any write.
        """
        namespace, _, name = place.partition("/")
        coded = {key: base64.b64encode(value).decode("ascii") for key, value in data.items() if value}
        if not found:
            document = {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": kind,
                "metadata": {"name": name, "namespace": namespace, "labels": _LABELS},
                "data": coded,
            }
            self._writer.create(collection_path("", "v1", "secrets", namespace=namespace), document)
            return
        metadata = dict(found["metadata"])
        annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != RENEW}
        metadata["annotations"] = annotations
        kept = {key: value for key, value in (found.get("data") or {}).items() if key not in data}
        self._writer.replace(secret_path(place), {**found, "metadata": metadata, "data": {**kept, **coded}})

    def _spread(self, wanted: bytes) -> bool:
        """Set the caBundle wherever it is not `wanted`; whether it stood everywhere before."""
        right = True
        for resource in CONFIGURATIONS:
            path = object_path("admissionregistration.k8s.io", "v1", resource, self._settings.configuration)
            found = self._read(path)
            wrong = [hook["name"] for hook in _hooks(found) if _ca_bundle(hook) != wanted]
            if not wrong:
                if found:
                    self._set[resource] = wanted
                continue
            right = False
            if self._set.get(resource) == wanted and not self._may_repair(resource, found):
                continue
            self._writer.apply(path, _only_the_bundle(found, wanted))
            self._set[resource] = wanted
        return right

    def _may_repair(self, resource: str, found: Mapping[str, Any]) -> bool:
        """Whether it is time to put an overwritten caBundle back: at once, then ever more slowly while it goes on."""
        known = self._overwritten.setdefault(resource, _Overwritten())
        now = self._clock()
        if now < known.not_before:
            return False
        known.times = known.times + 1 if now - known.last < _CALM_SECONDS else 1
        known.last = now
        pause = self._settings.repair_seconds * 2 ** min(known.times - 1, 20)
        known.not_before = now + min(pause, self._settings.repair_longest_seconds)
        metrics.CA_BUNDLE_REPAIRS.inc()
        _log.warning(
            "%s/%s: the caBundle was overwritten by %s; it is set again",
            resource,
            self._settings.configuration,
            _owners(found),
        )
        return True

    def _show(self, stored: Stored) -> None:
        for name, pair in (("authority", stored.authority), ("serving", stored.serving)):
            found = _certificates(pair.cert_pem) if pair is not None else []
            metrics.CERTIFICATE_EXPIRY.labels(name).set(found[0].not_valid_after_utc.timestamp() if found else 0)


def read_stored(authority: Mapping[str, Any], serving: Mapping[str, Any]) -> Stored:
    """What two Secrets hold; `{}` for one that is not there."""
    annotations = (authority.get("metadata") or {}).get("annotations") or {}
    return Stored(
        authority=_pair(authority, CA, _AUTHORITY_KEY),
        next=_pair(authority, _NEXT, _NEXT_KEY),
        old_pem=decoded(authority, _OLD),
        serving=_pair(serving, CERT, KEY),
        serving_ca=decoded(serving, CA),
        asked=str(annotations.get(RENEW) or ""),
    )


@dataclass(frozen=True, slots=True)
class Status:
    """What `pullproof certs status` shows; times are UTC, `problems` in words, empty is good."""

    serving_expires: dt.datetime | None
    serving_renewed: dt.datetime | None
    authority_expires: dt.datetime | None
    trusted: int
    phase: str
    problems: tuple[str, ...]


def read_status(
    connection: Connection, serving_place: str, authority_place: str, configuration: str, names: Sequence[str],
    now: dt.datetime,
) -> Status:  # fmt: skip
    """Look at the Secrets and the webhook configurations, as a person may who can read them. Raises ApiError."""

    def read(path: str) -> dict[str, Any]:
        try:
            return connection.get_json(path, timeout_seconds=READ_SECONDS)
        except NotFoundError:
            return {}

    stored = read_stored(read(secret_path(authority_place)), read(secret_path(serving_place)))
    problems: list[str] = []
    serving = authority = None
    trusted = decoded_ca = stored.serving_ca
    if stored.serving is None:
        problems.append(f"secret {serving_place} holds no serving certificate")
    elif _certificates(stored.serving.cert_pem):
        serving = stored.serving.cert_pem
        problems += check_pair(serving, stored.serving.key_pem, decoded_ca, names, now)
    else:
        problems.append("the certificate is not PEM")
    if stored.authority is not None:
        problems += authority_problems(stored.authority, now)
        if _certificates(stored.authority.cert_pem):
            authority = stored.authority.cert_pem
        trusted = bundle(stored)
    registered = False
    for resource in CONFIGURATIONS:
        found = read(object_path("admissionregistration.k8s.io", "v1", resource, configuration))
        registered = registered or bool(found)
        problems += [
            f"{resource}/{configuration}: the caBundle of {hook['name']} does not trust the serving certificate"
            for hook in _hooks(found)
            if stored.serving is not None and not _works(stored.serving, _ca_bundle(hook), names, now)
        ]
    if not registered:
        problems.append(f"there is no webhook configuration {configuration}")
    phase = "steady"
    if stored.next is not None:
        phase = "a new authority joins"
    elif stored.old_pem:
        phase = "an old authority leaves"
    return Status(
        serving_expires=expiry(serving) if serving else None,
        serving_renewed=renew_at(serving) if serving else None,
        authority_expires=expiry(authority) if authority else None,
        trusted=len(_certificates(trusted)),
        phase=phase,
        problems=tuple(problems),
    )


def _pair(secret: Mapping[str, Any], cert: str, key: str) -> Pair | None:
    pair = Pair(decoded(secret, cert), decoded(secret, key))
    return pair if pair.cert_pem and pair.key_pem else None


def _authority_data(authority: Pair | None, following: Pair | None, old_pem: bytes) -> dict[str, bytes | None]:
    return {
        CA: authority.cert_pem if authority else None,
        _AUTHORITY_KEY: authority.key_pem if authority else None,
        _NEXT: following.cert_pem if following else None,
        _NEXT_KEY: following.key_pem if following else None,
        _OLD: old_pem or None,
    }


def _hooks(configuration: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [hook for hook in configuration.get("webhooks") or () if isinstance(hook, dict) and hook.get("name")]


def _ca_bundle(hook: Mapping[str, Any]) -> bytes:
    return decoded({"data": hook.get("clientConfig") or {}}, "caBundle")


def _only_the_bundle(configuration: Mapping[str, Any], ca_pem: bytes) -> dict[str, Any]:
    """The smallest document that says whose caBundle is what: names are the keys of the list, the rest stays out."""
    coded = base64.b64encode(ca_pem).decode("ascii")
    return {
        "apiVersion": configuration["apiVersion"],
        "kind": configuration["kind"],
        "metadata": {"name": configuration["metadata"]["name"]},
        "webhooks": [
            {"name": hook["name"], "clientConfig": {"caBundle": coded}} for hook in _hooks(configuration)
        ],
    }  # fmt: skip


def _owners(configuration: Mapping[str, Any]) -> str:
    """Who else owns a caBundle now, by managedFields."""
    owners = {
        str(entry.get("manager"))
        for entry in (configuration.get("metadata") or {}).get("managedFields") or ()
        if "f:caBundle" in str(entry.get("fieldsV1")) and entry.get("manager") != MANAGER
    }
    return ", ".join(sorted(owners)) or "nobody that is recorded"
