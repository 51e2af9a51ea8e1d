"""The serving pair in a Secret of type kubernetes.io/tls: where it is, and how the webhook reads it.

Why by the API and not as a mounted file: a kubelet brings a changed Secret to its files after a minute or more, and a
renewal that follows an expiry can't wait for that. Why the reader looks at the pair's dates: a pair that is no longer
valid must not replace one that is, and must not be what a starting webhook becomes ready with.

Must not: write, keep a connection open between two looks (the reader is called on both sides of a fork), or let a key
into an error.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from webhook.errors import PullproofError
from webhook.sources.connection import object_path
from webhook.tls.issue import Pair, check_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from webhook.sources.connection import Connection

CERT: Final = "tls.crt"
KEY: Final = "tls.key"
CA: Final = "ca.crt"
"""The names that Kubernetes gives the parts (core/v1 SecretTypeTLS), and cert-manager the third."""

READ_SECONDS: Final = 4.0


class PairMissing(PullproofError):
    """The Secret holds no pair that can be served now."""


def secret_path(place: str) -> str:
    """The API path of `NAMESPACE/NAME`. Raises PairMissing for another shape."""
    namespace, slash, name = place.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise PairMissing(f"`{place}` names no Secret", fix="write it as NAMESPACE/NAME")
    return object_path("", "v1", "secrets", name, namespace=namespace)


def decoded(secret: Mapping[str, Any], key: str) -> bytes:
    """What a Secret holds under `key`; empty where there is nothing, or nothing that is base64."""
    value = (secret.get("data") or {}).get(key)
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except binascii.Error:
        return b""


def pair_from_secret(
    connection: Connection, place: str, *, clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
) -> Callable[[], Pair]:
    """A reader for `ServingCertificate`: the pair in the Secret `NAMESPACE/NAME` as it is at each call.

    The reader raises ApiError where the Secret can't be read, and PairMissing where what it holds is not a pair that is
    valid now and signed by its own `ca.crt`, if it has one. `connection` should be used by nothing else: its sockets
    are closed after each call.
    """
    path = secret_path(place)

    def read() -> Pair:
        try:
            secret = connection.get_json(path, timeout_seconds=READ_SECONDS)
        finally:
            connection.close()
        pair = Pair(decoded(secret, CERT), decoded(secret, KEY))
        if not pair.cert_pem or not pair.key_pem:
            raise PairMissing(f"secret {place} has no {CERT} and {KEY} yet")
        # Without an authority of its own the certificate vouches for itself: its dates and its key are still looked at.
        problems = check_pair(pair.cert_pem, pair.key_pem, decoded(secret, CA) or pair.cert_pem, (), clock())
        if problems:
            raise PairMissing(f"secret {place}: {problems[0]}")
        return pair

    return read
