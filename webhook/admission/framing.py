"""Says when a request has arrived as a whole, from bytes in whatever pieces they come. Pure.

Why: a thread is lent only to complete requests (webhook/admission/worker.py), and gunicorn's parser reads by waiting.
Here the parser runs over what has arrived, and running out means "later". It stays the one judge of what a request is;
our own code only finds the end of a body, so that the two can't be played against each other.

Must not: touch a socket, keep more than the limit, or accept what gunicorn's parser refuses.
"""

from __future__ import annotations

import io
from typing import Any, Final

from gunicorn.http import errors as http_errors
from gunicorn.http.body import LengthReader
from gunicorn.http.message import Request
from gunicorn.http.unreader import Unreader

from webhook.admission.body import BodyTooLarge

HEAD_LIMIT: Final = 64 * 1024  # bytes of request line and headers; the API server sends under 1 KiB
# Bytes around the chunks of a body: enough for `BODY_LIMIT` in chunks of 200 bytes. A chunk of one byte costs as much
# to read as one of some KiB.
CHUNKS_LIMIT: Final = 256 * 1024

# gunicorn copies the rest of what it was given once per chunk, so it is given little at a time
_PIECE: Final = 8 * 1024

_HEX: Final = b"0123456789abcdefABCDEF"


class _Incomplete(Exception):
    """The parser wants bytes that have not arrived."""


class _Arrived(Unreader):  # type: ignore[misc]
    """gunicorn's source of bytes, over what has arrived; asking for more is `_Incomplete`, not a wait."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.offer(data)

    def offer(self, data: bytes) -> None:
        """What to read next. For when all that there was before is used, or taken out with `left`."""
        self._data = data
        self._at = 0

    def chunk(self, size_hint: int | None = None) -> bytes:  # noqa: ARG002 - gunicorn's signature
        if self._at >= len(self._data):
            raise _Incomplete
        start, self._at = self._at, self._at + _PIECE
        return self._data[start : self._at]

    def left(self) -> bytearray:
        """Takes out all that the parser has not used."""
        left = bytearray(self.take_buffered())
        left += memoryview(self._data)[self._at :]
        self.offer(b"")
        return left


class Incoming:
    """The bytes of one connection, cut into requests.

    `take` what arrived, ask `complete`; when that is true `finish` gives the request, and what came after it is kept
    for the next one. `held` is how many bytes are kept.
    """

    __slots__ = (
        "_arrived",
        "_at",
        "_buffer",
        "_cfg",
        "_client",
        "_decoded",
        "_limit",
        "_number",
        "_request",
        "_trailers",
    )

    def __init__(self, cfg: Any, client: Any, limit: int) -> None:
        self._cfg = cfg
        self._client = client
        self._limit = limit
        self._number = 0
        self._buffer = bytearray()
        self._reset()

    def _reset(self) -> None:
        self._request: Any = None
        self._arrived: Any = None
        self._at = 0  # chunked only: where the next size line starts
        self._decoded = 0
        self._trailers = False

    @property
    def held(self) -> int:
        return len(self._buffer)

    @property
    def in_body(self) -> bool:
        """Whether the head has arrived."""
        return self._request is not None

    def take(self, data: bytes) -> None:
        self._buffer += data

    def expects_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body; true once per request."""
        if self._request is None or not self._request._expected_100_continue:  # noqa: SLF001 - gunicorn has no other
            return False
        self._request._expected_100_continue = False  # noqa: SLF001 - else gunicorn sends it again, into the response
        return True

    def complete(self) -> bool:
        """Whether a request has arrived as a whole.

        Raises gunicorn's `ParseException`s for what is not HTTP/1.1, and `BodyTooLarge` as soon as that is known.
        """
        if self._request is None and not self._head():
            return False
        reader = self._request.body.reader
        if isinstance(reader, LengthReader):
            if reader.length > self._limit:
                raise BodyTooLarge(self._limit)
            return bool(len(self._buffer) >= reader.length)
        return self._chunks_complete()

    def finish(self) -> Any:
        """The complete request (gunicorn's `Request`), its body in memory. Raises `ParseException`."""
        request = self._request
        reader = request.body.reader
        if isinstance(reader, LengthReader):
            with memoryview(self._buffer) as view:
                body = bytes(view[: reader.length])
            del self._buffer[: reader.length]
        else:
            self._arrived.offer(bytes(self._buffer))
            try:
                body = request.body.read(self._limit + 1)
            except (_Incomplete, http_errors.NoMoreData):
                raise http_errors.ChunkMissingTerminator(b"") from None
            self._buffer = self._arrived.left()
        request.body = io.BytesIO(body)
        self._reset()
        return request

    def _head(self) -> bool:
        if not self._buffer:
            return False
        arrived = _Arrived(bytes(self._buffer))
        try:
            request = Request(self._cfg, arrived, self._client, self._number + 1)
        except _Incomplete:
            if len(self._buffer) > HEAD_LIMIT:
                raise http_errors.LimitRequestHeaders(f"the head is larger than {HEAD_LIMIT} bytes") from None
            return False
        self._number += 1
        self._request = request
        self._arrived = arrived
        self._buffer = arrived.left()
        return True

    def _chunks_complete(self) -> bool:
        """Whether the last chunk is there, or something so broken that gunicorn's reader should say what."""
        while not self._trailers:
            if 0 < self._at <= len(self._buffer) and self._buffer[self._at - 2 : self._at] != b"\r\n":
                return True
            end = self._buffer.find(b"\r\n", self._at)
            if end < 0:
                return len(self._buffer) - self._at > HEAD_LIMIT
            digits = bytes(self._buffer[self._at : end]).split(b";", 1)[0].rstrip(b" \t")
            if not digits or digits.strip(_HEX):
                return True
            size = int(digits, 16)
            self._decoded += size
            if self._decoded > self._limit:
                raise BodyTooLarge(self._limit)
            self._at = end + 2 + (size + 2 if size else 0)
            self._trailers = size == 0
            if self._at - self._decoded > CHUNKS_LIMIT:
                raise http_errors.ParseException(f"the sizes of the chunks take more than {CHUNKS_LIMIT} bytes")
        if self._buffer[self._at : self._at + 2] == b"\r\n" or len(self._buffer) - self._at > HEAD_LIMIT:
            return True
        return self._buffer.find(b"\r\n\r\n", self._at) >= 0
