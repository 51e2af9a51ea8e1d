"""The request body, bounded: never more than the limit is held in memory.

Why a module of its own: the server refuses what is too large before the application sees it, and the application must
hold the same limit under any other WSGI server (Flask's test client), so neither may own the rule.
Must not import Flask or gunicorn, and knows nothing about AdmissionReviews.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from webhook.errors import PullproofError

if TYPE_CHECKING:
    from collections.abc import Mapping

# etcd and the API server bound a request body to 3 MiB (k8s.io/apiserver, MaxRequestBodyBytes), and a review carries
# object and oldObject: twice that and room for the envelope.
BODY_LIMIT: Final = 7 * 1024 * 1024

_MIB: Final = 1024 * 1024


class BodyTooLarge(PullproofError):
    """The body is over the limit; `status` is the HTTP status to answer."""

    status: Final = 413

    def __init__(self, limit: int) -> None:
        size = f"{limit // _MIB} MiB" if limit % _MIB == 0 else f"{limit} bytes"
        super().__init__(f"the request body is larger than {size}")
        self.limit = limit


def read_body(environ: Mapping[str, Any], limit: int = BODY_LIMIT) -> bytes:
    """The whole body of a WSGI request, at most `limit` bytes.

    Raises `BodyTooLarge`: from the declared length without reading anything, or after `limit` + 1 bytes.
    A request with neither a length nor chunks has no body (PEP 3333, RFC 9112 section 6.3).
    """
    declared = environ.get("CONTENT_LENGTH") or ""
    if declared.isdecimal():
        length = int(declared) if len(declared) < len(str(limit)) + 1 else limit + 1
        if length > limit:
            raise BodyTooLarge(limit)
        return bytes(environ["wsgi.input"].read(length))
    if not environ.get("HTTP_TRANSFER_ENCODING"):
        return b""
    body = bytes(environ["wsgi.input"].read(limit + 1))
    if len(body) > limit:
        raise BodyTooLarge(limit)
    return body
