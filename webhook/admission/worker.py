"""A gunicorn worker that lends a thread only to what can go on at once: never to a peer that keeps it waiting.

Why: the API server waits one to three seconds for a webhook, and any pod of the cluster can open connections to it.
gunicorn's threaded worker blocks a thread on each handshake, head and body, so as many stalled clients as there are
threads keep everyone else out. Here all sockets are non-blocking. A connection that waits for its peer waits in the
main loop's poller; threads do TLS and HTTP steps on bytes that are there, and run the application on requests that are
complete. A connection that is late with its handshake, its head, its body or with taking its response is shut down.
After an answer a thread stays with its connection for a millisecond while most threads are free: a busy API server has
the next request for it by then. Else it parks the connection itself. Both spare switches between threads, which cost
more than the judging does: without them one connection gets a fifth fewer answers.

What is gunicorn's stays gunicorn's: processes, signals, the main loop, the thread pool, the HTTP parser and WSGI. The
hooks overridden here are those of 27.0; tests/admission/test_server.py fails when a later version moves them.

Must not: wait for a socket in the main loop or in a thread; log a traceback for what a client did; know of
reviews.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import select
import selectors
import socket
import ssl
import sys
import threading
import time
from collections import deque
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gunicorn.http import errors as http_errors
from gunicorn.workers.gthread import ThreadWorker

from webhook.admission.body import BodyTooLarge
from webhook.admission.framing import Incoming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from webhook.admission.server import Serving

_RECEIVE: Final = 64 * 1024  # bytes per recv
_TURN: Final = 256 * 1024  # bytes one connection takes in before its thread goes to the next
_TURN_RECORDS: Final = 64  # the same in TLS records, which may hold one byte each
_LINGER_SECONDS: Final = 2.0  # how long a closing connection is drained, so that a reset doesn't eat its last response
_LINGER_BYTES: Final = 32 * 1024 * 1024
_STAY_MILLISECONDS: Final = 1
_STOP_SECONDS: Final = 2.0  # how long idle connections outlive the end of draining: a request may be on its way
_SMALL: Final = 64 * 1024  # bytes of a body that is not worth counting: 64 threads hold 4 MiB of such
_HELD_LIMIT: Final = 64 * 1024 * 1024  # bytes of unfinished requests; past it the oldest is shut down
_RUNNING_LIMIT: Final = 16 * 1024 * 1024  # bytes of larger bodies in the application at once; decoded JSON is tenfold
_SWEEP_SECONDS: Final = 0.25
# gunicorn tells its arbiter that it is alive, and looks whether that is, at every event; the arbiter waits for 30 s
_BEAT_SECONDS: Final = 1.0
_QUIET_SECONDS: Final = 10.0  # one log line per kind of trouble in this time

# Every other parser error is a plain 400. RFC 9112 would have 501 for an unknown transfer coding; it is the client's
# mistake all the same, and a 5xx would read as ours.
_STATUS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (BodyTooLarge, 413),
    (http_errors.LimitRequestLine, 414),
    (http_errors.ExpectationFailed, 417),
    (http_errors.LimitRequestHeaders, 431),
)
_OURS: Final = (http_errors.InvalidResponseHeader, http_errors.InvalidResponseHeaderName)


class _Phase(enum.Enum):
    """What a connection waits for; the value is the event that its being late is."""

    HANDSHAKE = "stalled-handshake"
    IDLE = "idle"
    HEAD = "stalled-head"
    BODY = "stalled-body"
    READY = "ready"
    RESPONSE = "stalled-response"
    LINGER = "lingered"


class _Next(enum.Enum):
    """What a thread wants done with the connection that it hands back."""

    READ = enum.auto()
    WRITE = enum.auto()
    AGAIN = enum.auto()
    TURN = enum.auto()  # complete, but too many large bodies are in the application
    GONE = enum.auto()


class _Connection:
    """One client. Owned by the main thread while parked and by one thread otherwise, so it needs no lock of its own."""

    __slots__ = (
        "client", "deadline", "held", "incoming", "keep", "lingered", "outbox", "parked", "peer", "phase", "received",
        "served", "server", "sock",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, client: Any, server: Any, incoming: Incoming) -> None:
        self.sock = sock
        self.client = client
        self.server = server
        self.incoming = incoming
        self.phase = _Phase.HANDSHAKE
        self.deadline = 0.0  # time.monotonic() at which the phase is late
        self.received = 0.0  # time.monotonic() of the request's first byte
        self.outbox = memoryview(b"")
        self.keep = False  # whether the connection outlives the response in the outbox
        self.served = 0
        self.held = 0  # bytes of unfinished request that the worker has counted
        self.lingered = 0
        self.parked = False
        self.peer: tuple[str, str] | None = None

    @property
    def tls(self) -> ssl.SSLSocket:
        if not isinstance(self.sock, ssl.SSLSocket):
            raise TypeError("the handshake has not begun")
        return self.sock

    @property
    def address(self) -> str:
        return str(self.client[0]) if isinstance(self.client, tuple) else str(self.client)


class _Outbox:
    """Stands in for the socket while a response is made, so that no application waits for its client.

    One TLS record for head and body instead of two comes with it.
    """

    def __init__(self, connection: _Connection) -> None:
        self.parts: list[bytes] = []
        self.received = connection.received
        self.peer = connection.peer

    def sendall(self, data: bytes) -> None:
        self.parts.append(bytes(data))

    def shutdown(self, _how: int) -> None:
        # How gunicorn gives up on a response that failed half-way. Nothing has left yet: it can still be a proper 500.
        self.parts.clear()
        raise OSError(errno.ENOTCONN, "not a socket")

    def close(self) -> None:
        """Nothing to close; gunicorn's `close_graceful` wants it."""


class _Exchange(NamedTuple):
    """What gunicorn's `handle_request` takes a connection to be."""

    sock: _Outbox
    client: Any
    server: Any


class _Quiet:
    """One line per kind of trouble and `_QUIET_SECONDS`, with the number left out: rubbish can't fill a disk."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, int]] = {}

    def __call__(self, kind: str, message: str) -> None:
        now = time.monotonic()
        with self._lock:
            last, unsaid = self._last.get(kind, (now - _QUIET_SECONDS, 0))
            if now - last < _QUIET_SECONDS:
                self._last[kind] = (last, unsaid + 1)
                return
            self._last[kind] = (now, 0)
        self._write(f"{message}; {unsaid} more since the last such line" if unsaid else message)


class StallProofWorker(ThreadWorker):  # type: ignore[misc]
    """See the module. `cfg.serving` (webhook/admission/server.py) says how."""

    wsgi: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._serving: Serving = self.cfg.serving
        self._quiet = _Quiet(self.log.warning)
        self._limit: int = self.cfg.worker_connections
        # At its limit gunicorn stops accepting, which is what an attacker wants; here room is made instead.
        self.worker_connections = sys.maxsize
        self._parking = threading.Lock()  # over what is parked and idle: only the main thread takes out, threads put in
        self._parked: dict[_Connection, None] = {}
        self._idle: dict[_Connection, None] = {}  # in the order in which they fell idle
        self._unproven: dict[_Connection, None] = {}  # no request completed yet, in the order of arrival
        self._held = 0
        self._turns: deque[_Connection] = deque()
        self._running = 0
        self._running_lock = threading.Lock()
        self._next_sweep = 0.0
        self._next_beat = 0.0
        self._beats = True
        self._drain_until: float | None = None

    # The process.

    def init_process(self) -> None:
        # The arbiter's timeout covers draining too; in the worker it is for what is in flight after that.
        self.cfg.set("graceful_timeout", self._serving.graceful_seconds)
        super().init_process()

    def load_wsgi(self) -> None:
        super().load_wsgi()
        application = self.wsgi

        def with_facts(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            outbox: _Outbox = environ["gunicorn.socket"]
            environ["pullproof.received"] = outbox.received
            if outbox.peer is not None:
                environ["SSL_CLIENT_VERIFY"], environ["SSL_CLIENT_S_DN_CN"] = outbox.peer
            answer: Iterable[bytes] = application(environ, start_response)
            return answer

        self.wsgi = with_facts

    def handle_exit(self, sig: int, frame: Any) -> None:
        if self.alive and self._drain_until is None and self._serving.drain_seconds > 0:
            self._drain_until = time.monotonic() + self._serving.drain_seconds
            self.method_queue.defer(self._tell_draining)
        else:
            super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        # Without gunicorn's shutdown of the pool, which waits for ever where the signal came in the middle of `submit`:
        # that has the pool's lock. The process ends here, and its threads with it.
        super(ThreadWorker, self).handle_quit(sig, frame)

    def _tell_draining(self) -> None:
        if self._serving.on_drain is not None:
            self._serving.on_drain()

    # The main thread.

    def accept(self, listener: Any) -> None:
        try:
            sock, client = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            # Out of descriptors or memory. gunicorn would let the worker die of it, and every connection with it.
            self._quiet("accept", f"a connection could not be accepted: {error.strerror}")
            self._make_room()
            return
        if self.nr_conns >= self._limit:
            self._make_room()
        sock.settimeout(0)
        conn = _Connection(sock, client, listener.getsockname(), Incoming(self.cfg, client, self._serving.body_limit))
        conn.deadline = time.monotonic() + self._serving.stall_seconds
        self.nr_conns += 1
        self._unproven[conn] = None
        self._park(conn, selectors.EVENT_READ)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        if len(self._parked) > len(self._idle) or self._drain_until is not None or not self.alive:
            timeout = min(timeout, _SWEEP_SECONDS)
        super().wait_for_and_dispatch_events(timeout)

    def enqueue_req(self, conn: _Connection) -> None:
        self.tpool.submit(self._lend, conn)

    def _take_back(self, conn: _Connection, following: _Next) -> None:
        if conn.served:
            self._unproven.pop(conn, None)
        self._held += conn.incoming.held - conn.held
        conn.held = conn.incoming.held
        match following:
            case _Next.READ:
                self._park(conn, selectors.EVENT_READ)
            case _Next.WRITE:
                self._park(conn, selectors.EVENT_WRITE)
            case _Next.AGAIN if conn.deadline <= time.monotonic():
                self._shut_late(conn)  # it never stops sending, so it is never parked
            case _Next.AGAIN:
                self.enqueue_req(conn)
            case _Next.TURN:
                self._turns.append(conn)
            case _Next.GONE:
                self._discard(conn)
        self._give_turn()
        if self._held > _HELD_LIMIT:
            self._make_memory()

    def notify(self) -> None:
        now = time.monotonic()
        self._beats = now >= self._next_beat
        if self._beats:
            self._next_beat = now + _BEAT_SECONDS
            super().notify()

    def is_parent_alive(self) -> bool:
        return not self._beats or bool(super().is_parent_alive())

    def murder_keepalived(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - gunicorn's signature
        if force:
            for conn in self._all_parked():
                self._drop(conn)

    def murder_pending(self) -> None:
        """Called by gunicorn's main loop after each round of events."""
        now = time.monotonic()
        if now < self._next_sweep:
            return
        self._next_sweep = now + _SWEEP_SECONDS
        if self._drain_until is not None and now >= self._drain_until:
            self.alive = False
        for conn in self._all_parked():
            if conn.deadline <= now:
                self._shut_late(conn)

    def _all_parked(self) -> list[_Connection]:
        with self._parking:
            return list(self._parked)

    def _cap_keepalive(self, deadline: float) -> None:
        with self._parking:
            for conn in self._idle:
                conn.deadline = min(conn.deadline, deadline)

    def _shut_late(self, conn: _Connection) -> None:
        if conn.phase in {_Phase.HEAD, _Phase.BODY}:
            part = "head" if conn.phase is _Phase.HEAD else "body"
            late = _response(408, f"the {part} of the request did not arrive in {self._serving.stall_seconds:g} s")
            with contextlib.suppress(OSError):  # it may be gone, and is not worth a wait
                conn.tls.send(late)
        if conn.phase not in {_Phase.IDLE, _Phase.LINGER}:
            part = conn.phase.value.partition("-")[2]
            self._note(conn, conn.phase.value, f"a connection was late with its {part} and was shut down")
        self._drop(conn)

    def _park(self, conn: _Connection, event: int) -> None:
        """From here on the connection is the main thread's, at once: its event may come before this returns."""
        with self._parking:
            if conn.phase is _Phase.IDLE and not self.alive:
                conn.deadline = min(conn.deadline, time.monotonic() + _STOP_SECONDS)
            conn.parked = True
            self.poller.register(conn.sock, event, partial(self._ready, conn))
            self._parked[conn] = None
            if conn.phase is _Phase.IDLE:
                self._idle[conn] = None

    def _unpark(self, conn: _Connection) -> None:
        with self._parking:
            self.poller.unregister(conn.sock)
            conn.parked = False
            del self._parked[conn]
            self._idle.pop(conn, None)

    def _ready(self, conn: _Connection, _sock: object) -> None:
        if not conn.parked:
            return  # dropped by an earlier event of the same round
        if conn.phase is _Phase.LINGER:
            self._linger(conn)
            return
        self._unpark(conn)
        self.enqueue_req(conn)

    def _linger(self, conn: _Connection) -> None:
        try:
            got = len(socket.socket.recv(conn.sock, _RECEIVE))
        except BlockingIOError:
            return
        except OSError:
            got = 0
        conn.lingered += got
        if got == 0 or conn.lingered > _LINGER_BYTES:
            self._drop(conn)

    def _drop(self, conn: _Connection) -> None:
        if conn.parked:
            self._unpark(conn)
        self._discard(conn)

    def _discard(self, conn: _Connection) -> None:
        self.nr_conns -= 1
        self._held -= conn.held
        self._unproven.pop(conn, None)
        conn.sock.close()

    def _make_room(self) -> None:
        """Shuts the connection whose loss costs least: the oldest that never asked anything, else the longest idle."""
        with self._parking:
            victim = next(iter(self._unproven), None) or next(iter(self._idle), None)
        if victim is not None:
            self._evict(victim, f"{self.nr_conns} connections are open")

    def _make_memory(self) -> None:
        holders = [conn for conn in self._all_parked() if conn.held > _SMALL]
        if holders:
            self._evict(min(holders, key=lambda conn: conn.received), f"{self._held} bytes of requests are held")

    def _evict(self, conn: _Connection, why: str) -> None:
        self._note(conn, "evicted", f"a connection was shut down to make room: {why}")
        if conn.parked:
            self._drop(conn)
            return
        # A thread has it. The raw shutdown (SSLSocket's own would pull the TLS state from under that thread) makes the
        # thread's next step fail, and the connection comes back as gone.
        self._unproven.pop(conn, None)
        with contextlib.suppress(OSError):
            socket.socket.shutdown(conn.sock, socket.SHUT_RDWR)

    def _give_turn(self) -> None:
        if self._turns and self._fits(self._turns[0].held):
            self.enqueue_req(self._turns.popleft())

    # The pool's threads: every step returns as soon as it would wait.

    def _lend(self, conn: _Connection) -> None:
        try:
            following = self.handle(conn)
            while following is _Next.READ and self._idles_on(conn):
                if not self._stays(conn):
                    self._park(conn, selectors.EVENT_READ)
                    return
                following = self.handle(conn)
        except Exception:
            self.log.exception("a connection was lost to a defect of the server")
            following = _Next.GONE
        self.method_queue.defer(self._take_back, conn, following)

    def _stays(self, conn: _Connection) -> bool:
        """Whether the next request comes in a moment, as it does from an API server that is busy."""
        if self.nr_conns - len(self._parked) > self.cfg.threads // 2:
            return False
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        return bool(poll.poll(_STAY_MILLISECONDS))

    def _idles_on(self, conn: _Connection) -> bool:
        """Whether the main thread has nothing to note of this connection, and nobody waits for what it leaves."""
        noted = conn.served > 1 and conn.held == 0  # as proven, and no bytes of it counted
        return noted and conn.phase is _Phase.IDLE and not self._turns

    def handle(self, conn: _Connection) -> _Next:
        try:
            if conn.phase is _Phase.HANDSHAKE:
                self._shake_hands(conn)
            if conn.phase is _Phase.RESPONSE:
                return self._flush(conn)
            if conn.phase is _Phase.READY:
                return self._answer(conn)
            return self._receive(conn)
        except ssl.SSLWantReadError:
            return _Next.READ
        except ssl.SSLWantWriteError:
            return _Next.WRITE
        except ssl.SSLError as error:
            with contextlib.suppress(OSError):
                return self._broken_tls(conn, error)
        except OSError:
            pass
        return _Next.GONE  # the peer went away

    def _shake_hands(self, conn: _Connection) -> None:
        if not isinstance(conn.sock, ssl.SSLSocket):
            context = self.cfg.ssl_context(self.cfg, None)
            conn.sock = context.wrap_socket(conn.sock, server_side=True, do_handshake_on_connect=False)
        conn.tls.do_handshake()
        if self._serving.certificate.asks_client:
            conn.peer = _peer(conn.tls)
        self._fall_idle(conn)

    def _fall_idle(self, conn: _Connection) -> None:
        # A handshaken connection that sends nothing is idle, not late: Go's client keeps connections in stock that it
        # dialled for a request which another connection then carried.
        conn.phase = _Phase.IDLE
        conn.deadline = time.monotonic() + self._serving.keepalive_seconds

    def _begin(self, conn: _Connection, phase: _Phase) -> None:
        conn.phase = phase
        conn.deadline = time.monotonic() + self._serving.stall_seconds

    def _receive(self, conn: _Connection) -> _Next:
        turn = records = 0
        while True:
            try:
                if conn.phase is not _Phase.IDLE and self._arrived(conn):
                    conn.phase = _Phase.READY
                    return self._answer(conn)
            except (http_errors.ParseException, BodyTooLarge) as error:
                return self._refuse(conn, error)
            if turn >= _TURN or records >= _TURN_RECORDS:
                return _Next.AGAIN
            data = conn.tls.recv(_RECEIVE)
            if not data:
                return _Next.GONE
            turn += len(data)
            records += 1
            conn.incoming.take(data)
            if conn.phase is _Phase.IDLE:
                conn.received = time.monotonic()
                self._begin(conn, _Phase.HEAD)

    def _arrived(self, conn: _Connection) -> bool:
        if conn.incoming.complete():
            return True
        if conn.phase is _Phase.HEAD and conn.incoming.in_body:
            self._begin(conn, _Phase.BODY)
            if conn.incoming.expects_continue():
                conn.tls.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return False

    def _answer(self, conn: _Connection) -> _Next:
        """Runs the application on a complete request; large ones only as memory allows."""
        size = conn.incoming.held
        if size > _SMALL:
            with self._running_lock:
                if not self._fits(size):
                    return _Next.TURN
                self._running += size
        try:
            request = conn.incoming.finish()
            if self._drain_until is not None:
                request.force_close()
            outbox = _Outbox(conn)
            try:
                conn.keep = self.handle_request(request, _Exchange(outbox, conn.client, conn.server))
            except Exception as error:  # noqa: BLE001 - whatever the application raises is answered and logged there
                conn.keep = False
                outbox.parts.clear()
                self.handle_error(request, outbox, conn.client, error)
        except http_errors.ParseException as error:
            return self._refuse(conn, error)
        finally:
            if size > _SMALL:
                with self._running_lock:
                    self._running -= size
        conn.served += 1
        return self._send(conn, b"".join(outbox.parts))

    def _fits(self, size: int) -> bool:
        return self._running == 0 or self._running + size <= _RUNNING_LIMIT

    def handle_error(self, req: Any, client: _Outbox, addr: Any, exc: Exception) -> None:  # noqa: ARG002 - gunicorn's signature
        """Answers what the application raised: ours, so with a traceback in the log, but for a body over the limit."""
        if isinstance(exc, BodyTooLarge):
            client.sendall(_response(413, str(exc)))
            return
        if not isinstance(exc, StopIteration):  # gunicorn has logged it
            self.log.error("the application failed on %s %s", req.method, _plain(req.path), exc_info=exc)
        client.sendall(_response(500, "pullproof failed on this request; its log says why"))

    def _refuse(self, conn: _Connection, error: Exception) -> _Next:
        """Answers what is not a request, and closes: where the next one would begin is unknown."""
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 400)
        line = _plain(error)
        self._note(conn, "too-large" if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else "bad-request", line)
        conn.keep = False
        return self._send(conn, _response(status, line))

    def _send(self, conn: _Connection, response: bytes) -> _Next:
        conn.outbox = memoryview(response)
        self._begin(conn, _Phase.RESPONSE)
        return self._flush(conn)

    def _flush(self, conn: _Connection) -> _Next:
        while conn.outbox:
            conn.outbox = conn.outbox[conn.tls.send(conn.outbox[:_RECEIVE]) :]
        if not conn.keep:
            return self._close(conn)
        self._fall_idle(conn)
        if conn.incoming.held:  # a pipelined request
            conn.received = time.monotonic()
            self._begin(conn, _Phase.HEAD)
            return _Next.AGAIN
        return _Next.AGAIN if conn.tls.pending() else _Next.READ

    def _close(self, conn: _Connection) -> _Next:
        with contextlib.suppress(OSError, ValueError):  # close_notify is a courtesy
            conn.tls.unwrap()
        socket.socket.shutdown(conn.sock, socket.SHUT_WR)
        conn.phase = _Phase.LINGER
        conn.deadline = time.monotonic() + _LINGER_SECONDS
        return _Next.READ

    def _broken_tls(self, conn: _Connection, error: ssl.SSLError) -> _Next:
        if isinstance(error, ssl.SSLEOFError) or not isinstance(conn.sock, ssl.SSLSocket):
            return _Next.GONE  # in the latter case before its ClientHello was looked at
        reason = error.reason or "no reason given"
        words = reason.replace("_", " ").lower()
        if reason == "HTTP_REQUEST":
            self._note(conn, "plain-http", "a client spoke http to the https port")
            socket.socket.send(conn.sock, _response(400, "this port speaks https only"))
        elif "_ALERT_" in reason:
            # The one worth an operator's attention: usually a caBundle that does not match the serving certificate.
            self._note(conn, "refused-certificate", f"a client ended TLS: it says {words.partition(' alert ')[2]}")
        else:
            self._note(conn, "bad-tls", f"TLS with a client failed: {words}")
        return self._close(conn)  # so that OpenSSL's alert, which says the same to the client, arrives

    def _note(self, conn: _Connection, event: str, message: str) -> None:
        """Tells the log now and then, and the caller's metrics every time."""
        self._quiet(event, f"{message} (client {conn.address})")
        if self._serving.on_event is not None:
            self._serving.on_event(event)


def _peer(sock: ssl.SSLSocket) -> tuple[str, str]:
    """Whether the client showed a certificate of the client authority, and its common name; in mod_ssl's words."""
    shown = sock.getpeercert(binary_form=False)
    if not shown:
        return "NONE", ""
    subject: Any = shown.get("subject", ())
    names = [str(value) for relative in subject for kind, value in relative if kind == "commonName"]
    return "SUCCESS", names[-1] if names else ""


def _plain(text: object, longest: int = 160) -> str:
    """What a client sent, made fit for a log and an answer: one line of printable ASCII, bounded."""
    return "".join(char if " " <= char <= "~" else ascii(char)[1:-1] for char in str(text)[:longest])


def _response(status: int, line: str) -> bytes:
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(line) + 1}\r\nConnection: close\r\n\r\n"
    )
    return f"{head}{line}\n".encode("ascii")
