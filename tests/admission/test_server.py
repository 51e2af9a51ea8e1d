"""The server against clients that stall, lie and leave: real gunicorn in a process of its own, real TLS.

Run as a program this file is that server: `python test_server.py '<serve's arguments as JSON>'`.
"""

import contextlib
import datetime as dt
import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from webhook.admission import server
from webhook.admission.body import BODY_LIMIT, BodyTooLarge, read_body
from webhook.admission.framing import CHUNKS_LIMIT
from webhook.admission.worker import StallProofWorker
from webhook.tls import issue

ROOT = Path(__file__).resolve().parents[2]
NOW = dt.datetime.now(dt.UTC)
# gunicorn forgets to close a socket where it takes over an inherited one.
WARNINGS = ("-W", "error", "-W", "ignore:unclosed:ResourceWarning")
PATIENCE = 30.0  # a bound for what must happen, not a measurement


# The server process.


def application(counts):
    def answer(start_response, status, body, *headers):
        start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *headers])
        return [body]

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        query = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
        match path:
            case "/echo":
                try:
                    body = read_body(environ)
                except BodyTooLarge as error:
                    return answer(start_response, "413 Too Large", str(error).encode())
                return answer(start_response, "200 OK", f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode())
            case "/crowd":
                counts["now"] += 1
                counts["crowd"] = max(counts["crowd"], counts["now"])
                time.sleep(0.2)
                counts["now"] -= 1
                return answer(start_response, "200 OK", str(len(read_body(environ))).encode())
            case "/slow":
                time.sleep(float(query["seconds"]))
            case "/large":
                return answer(start_response, "200 OK", b"x" * int(query["bytes"]))
            case "/fail":
                raise OSError("the application's own trouble")
            case "/fail-late":
                write = start_response("200 OK", [("Content-Type", "text/plain")])
                write(b"half an answer")
                raise ValueError("too late")
            case "/facts":
                facts = {
                    "pid": os.getpid(),
                    "parent": os.getppid(),
                    "threads": threading.active_count(),
                    "counts": counts,
                    "waited": time.monotonic() - environ["pullproof.received"],
                    "environ": {key: value for key, value in environ.items() if isinstance(value, str)},
                }
                return answer(start_response, "200 OK", json.dumps(facts).encode())
        return answer(start_response, "200 OK", b"ok")

    return app


def main(arguments):
    options = json.loads(arguments)
    folder = Path(options.pop("folder"))
    client_ca = folder / "client-ca.crt"
    certificate = server.ServingCertificate(
        server.pair_from_files(folder / "tls.crt", folder / "tls.key"),
        client_ca=client_ca.read_bytes() if client_ca.exists() else None,
    )
    counts = Counter()
    broken = options.pop("no_application", False)

    def make_application():
        if broken:
            raise ValueError("the application could not start")
        return application(counts)

    server.serve(
        make_application,
        certificate=certificate,
        on_event=lambda event: counts.update([event]),
        on_certificate=lambda trouble: counts.update(["bad-certificate" if trouble else "good-certificate"]),
        on_drain=lambda: counts.update(["drain"]),
        after_fork=lambda: counts.update(["after-fork"]),
        **options,
    )
    (folder / "returned").write_text(str(os.getpid()))


# The tests' side.


@dataclass
class Running:
    folder: Path
    port: int
    authority: issue.Pair
    process: subprocess.Popen
    opened: list = field(default_factory=list)

    def plain(self):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        self.opened.append(sock)
        return sock

    def context(self):
        context = ssl.create_default_context(cadata=self.authority.cert_pem.decode())
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def tls(self, context=None):
        sock = (context or self.context()).wrap_socket(self.plain(), server_hostname="localhost")
        self.opened.append(sock)
        return sock

    def connection(self):
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=PATIENCE, context=self.context())
        connection.sock = self.tls()
        return connection

    def get(self, path="/livez"):
        connection = self.connection()
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def facts(self):
        return json.loads(self.get("/facts")[1])

    def log(self):
        return (self.folder / "log").read_text()


def install(folder, authority, **options):
    pair = issue.issue_serving(authority, ["localhost"], ["127.0.0.1"], NOW, **options)
    (folder / "tls.crt").write_bytes(pair.cert_pem)
    (folder / "tls.key").write_bytes(pair.key_pem)
    return x509.load_pem_x509_certificate(pair.cert_pem).serial_number


@contextlib.contextmanager
def running(folder, *, prepare=None, **options):
    """A server on a port of the system's choice. The listening socket is inherited, so no port is guessed at."""
    authority = issue.new_authority(NOW)
    install(folder, authority)
    if prepare is not None:
        prepare(folder)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        port = listener.getsockname()[1]
        arguments = {"folder": str(folder), "bind": f"fd://{listener.fileno()}", "reload_seconds": 0.1, **options}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *WARNINGS, __file__, json.dumps(arguments)],
                pass_fds=[listener.fileno()],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
    run = Running(folder, port, authority, process)
    try:
        assert run.get() == (200, b"ok")
        yield run
    finally:
        for sock in run.opened:
            sock.close()
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A server with short patience, for all tests that leave it as it was."""
    with running(tmp_path_factory.mktemp("server"), stall_seconds=1, threads=4) as run:
        pid = run.facts()["pid"]
        yield run
        assert run.facts()["pid"] == pid, "the worker died of what a client did"
        assert "Traceback" not in run.log()


def until(condition):
    """Waits for what must become true."""
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)
    return value


def received(sock):
    """All that comes until the server closes."""
    sock.settimeout(PATIENCE)
    parts = []
    with contextlib.suppress(ConnectionResetError, BrokenPipeError, ssl.SSLError):
        while data := sock.recv(65536):
            parts.append(data)
    return b"".join(parts)


def waits_for_us(sock):
    """Whether the server has neither closed the connection nor said anything."""
    sock.settimeout(0)
    try:
        sock.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        pass
    return False


def exchange(sock, request):
    with contextlib.suppress(ConnectionResetError, BrokenPipeError, ssl.SSLError):
        sock.sendall(request)
    return received(sock)


def hello():
    """A real ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


HEAD = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4096\r\n\r\n"


def stall_before_hello(run):
    return run.plain()


def stall_in_handshake(run):
    sock = run.plain()
    sock.sendall(hello()[:100])
    return sock


def stall_in_head(run):
    sock = run.tls()
    sock.sendall(HEAD[:20])
    return sock


def stall_in_body(run):
    sock = run.tls()
    sock.sendall(HEAD + b"x" * 1000)
    return sock


def dribble(run):
    sock = run.tls()
    sock.sendall(HEAD)
    return sock


STALLS = [stall_before_hello, stall_in_handshake, stall_in_head, stall_in_body, dribble]


@contextlib.contextmanager
def dribbling(socks):
    """One byte per second to each, for as long as the server takes it."""
    stop = threading.Event()

    def run():
        while not stop.wait(1):
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.send(b"x")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_four_times_threads_stalled_clients_keep_nobody_waiting(tmp_path):
    # They get patience enough to be there all the time: it is not their being shut down that helps the others.
    with running(tmp_path, stall_seconds=PATIENCE) as run:
        stalled = [STALLS[number % len(STALLS)](run) for number in range(4 * 64)]
        with dribbling(stalled[4 :: len(STALLS)]):
            waits = []
            for _ in range(7):
                start = time.monotonic()
                assert run.get() == (200, b"ok")
                waits.append(time.monotonic() - start)
            open_still = [sock for sock in stalled if waits_for_us(sock)]
        median = statistics.median(waits)
        print(
            f"{len(stalled)} stalled, {len(open_still)} of them still open; a healthy request: {median * 1000:.1f} ms"
        )
        assert open_still == stalled
        assert median <= 0.5  # the bar that the project set itself


@pytest.mark.parametrize("stall", STALLS, ids=lambda stall: stall.__name__)
def test_a_late_client_is_shut_down(shared, stall):
    sock = stall(shared)
    with dribbling([sock] if stall is dribble else []):
        answer = received(sock)
    if stall in {stall_before_hello, stall_in_handshake}:
        assert answer == b""
    else:
        part = b"head" if stall is stall_in_head else b"body"
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert answer.endswith(b"\r\n\r\nthe " + part + b" of the request did not arrive in 1 s\n")


def in_one_byte_records(run, size):
    """A connection, and a whole request for it with a TLS record for each byte of the body: 22 bytes on the wire."""
    sock, incoming, outgoing = run.plain(), ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = run.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    shaken = False
    while not shaken:
        try:
            tls.do_handshake()
            shaken = True
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65536))
    sock.sendall(outgoing.read())
    sock.recv(65536)  # the session ticket: whatever comes after it is the answer
    tls.write(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)
    for _ in range(size):
        tls.write(b"x")
    return sock, outgoing.read()


@contextlib.contextmanager
def sending(sock, data):
    def run():
        with contextlib.suppress(OSError):
            sock.sendall(data)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the server has shut it down
            sock.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_client_that_sends_a_byte_per_record_keeps_nobody_waiting(tmp_path):
    with running(tmp_path, stall_seconds=PATIENCE, threads=1) as run:
        sock, data = in_one_byte_records(run, 200_000)
        sock.sendall(data[:500_000])
        with sending(sock, data[500_000:]):
            assert run.get() == (200, b"ok")
            assert waits_for_us(sock)  # its own turn is not over


def test_a_late_client_that_never_stops_sending_is_shut_down(shared):
    """There is always something to read from it, so its connection never waits in the poller."""
    before = shared.facts()["counts"].get("stalled-body", 0)
    sock, data = in_one_byte_records(shared, 600_000)
    with sending(sock, data):
        until(lambda: shared.facts()["counts"].get("stalled-body", 0) > before)


def test_a_client_that_takes_no_response_is_shut_down_and_holds_no_thread(shared):
    greedy = []
    for _ in range(8):  # twice the threads
        sock = shared.tls()
        sock.sendall(b"GET /large?bytes=50000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        greedy.append(sock)
    assert shared.get() == (200, b"ok")
    until(lambda: shared.facts()["counts"].get("stalled-response", 0) >= 8)
    for sock in greedy:
        assert len(received(sock)) < 50_000_000


def test_a_connection_outlives_the_stall_time_when_idle(shared):
    used, unused = shared.connection(), shared.connection()
    used.request("GET", "/livez")
    assert used.getresponse().read() == b"ok"
    time.sleep(3)
    for connection in (used, unused):
        connection.request("GET", "/livez")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"ok")
        connection.close()


def test_an_idle_connection_ends_with_the_keepalive_time(tmp_path):
    with running(tmp_path, keepalive_seconds=1) as run:
        assert received(run.tls()) == b""


def test_requests_in_one_segment_are_answered_in_order(shared):
    sock = shared.tls()
    one = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
    last = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = exchange(sock, one % (3, b"abc") + one % (4, b"defg") + last)
    bodies = [part.rpartition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [
        b"3 " + hashlib.sha256(b"abc").hexdigest().encode(),
        b"4 " + hashlib.sha256(b"defg").hexdigest().encode(),
        b"ok",
    ]


def chunked(pieces):
    yield b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    for piece in pieces:
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("size", "how"),
    [(0, "declared"), (100_000, "declared"), (BODY_LIMIT, "declared"), (0, "chunked"), (BODY_LIMIT, "chunked")],
)
def test_a_body_up_to_the_limit_arrives_whole(shared, size, how):
    body = os.urandom(size)
    connection = shared.connection()
    if how == "declared":
        connection.request("POST", "/echo", body)
    else:
        for part in chunked(body[at : at + 65536] for at in range(0, size, 65536)):
            connection.send(part)
        connection._HTTPConnection__state = "Request-sent"
        connection._method = "POST"
    response = connection.getresponse()
    assert (response.status, response.read().decode()) == (200, f"{size} {hashlib.sha256(body).hexdigest()}")
    connection.request("GET", "/livez")
    assert connection.getresponse().read() == b"ok"


TOO_LARGE = b"\r\n\r\nthe request body is larger than 7 MiB\n"


def test_a_declared_body_over_the_limit_is_refused_before_it_is_sent(shared):
    for extra in (b"", b"Expect: 100-continue\r\n"):
        head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: %d\r\n\r\n" % (extra, BODY_LIMIT + 1)
        answer = exchange(shared.tls(), head)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert answer.endswith(TOO_LARGE)


def test_a_client_that_sends_on_after_the_refusal_still_reads_it(shared):
    head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (2 * BODY_LIMIT)
    assert exchange(shared.tls(), head + b"x" * (2 * BODY_LIMIT)).endswith(TOO_LARGE)


def peak_memory(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


MOSTLY_SIZES = b"\r\n\r\nthe sizes of the chunks take more than 262144 bytes\n"


@pytest.mark.parametrize(
    ("piece", "least", "line"),
    [(b"x" * 65536, BODY_LIMIT, TOO_LARGE), (b"x", CHUNKS_LIMIT, MOSTLY_SIZES)],
    ids=["large chunks", "one-byte chunks"],
)
def test_a_chunked_body_over_a_limit_is_refused_while_it_comes_and_memory_stays_flat(shared, piece, least, line):
    pid = shared.facts()["pid"]
    before = peak_memory(pid)
    sock = shared.tls()
    sent, answer = 0, b""
    block = (b"%x\r\n%b\r\n" % (len(piece), piece)) * max(1, 65536 // (len(piece) + 5))
    with contextlib.suppress(OSError):
        sock.sendall(next(chunked([])))
        while sent < 10 * BODY_LIMIT and not answer:
            sock.sendall(block)
            sent += len(block)
            sock.settimeout(0)
            with contextlib.suppress(ssl.SSLWantReadError):
                answer = sock.recv(65536)
            sock.settimeout(PATIENCE)
    answer += received(sock)
    assert answer.endswith(line)
    assert least < sent < 10 * BODY_LIMIT
    assert peak_memory(pid) - before < 8 * BODY_LIMIT


def test_large_bodies_take_turns_and_are_all_answered(tmp_path):
    with running(tmp_path) as run:
        answers = []

        def post():
            connection = run.connection()
            connection.request("POST", "/crowd", b"x" * BODY_LIMIT)
            answers.append(connection.getresponse().read())

        clients = [threading.Thread(target=post) for _ in range(7)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(PATIENCE)
        assert answers == [str(BODY_LIMIT).encode()] * 7
        assert run.facts()["counts"]["crowd"] <= 2


def test_unfinished_bodies_are_shut_down_before_they_fill_the_memory(tmp_path):
    with running(tmp_path, stall_seconds=PATIENCE) as run:
        pid = run.facts()["pid"]
        before = peak_memory(pid)
        head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % BODY_LIMIT
        for _ in range(20):
            run.tls().sendall(head + b"x" * (BODY_LIMIT - 1))
        until(lambda: run.facts()["counts"].get("evicted", 0) >= 10)
        assert peak_memory(pid) - before < 20 * BODY_LIMIT


def test_a_client_that_asks_is_told_to_go_on(shared):
    sock = shared.tls()
    sock.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    sock.settimeout(PATIENCE)
    assert sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    sock.sendall(b"hi")
    answer = sock.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"100 Continue" not in answer


RUBBISH = {
    "not HTTP": (b"hello\r\n\r\n", 400),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare line feeds in the head": (b"GET / HTTP/1.1\r\nHost: a\n\n", 400),
    "length and chunks": (
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
    ),
    "two lengths": (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400),
    "length with a sign": (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd", 400),
    "length of 5000 digits": (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    "length as a superscript": (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: \xb2\r\n\r\nab", 400),
    "chunked twice": (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "unknown coding": (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "chunks in HTTP/1.0": (b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "space before the colon": (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\nabcd", 400),
    "folded header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
    "NUL in a header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "chunk size is no number": (
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n", 400,
    ),
    "chunk longer than it says": (
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n", 400,
    ),
    "length in a trailer": (
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 4\r\n\r\n", 400,
    ),
    "future version": (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "unknown expectation": (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n", 417),
    "long request line": (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "long header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 10_000 + b"\r\n\r\n", 431),
    "many headers": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 100 + b"\r\n", 431),
    "a head without end": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 20_000, 431),
}  # fmt: skip


@pytest.mark.parametrize(("request_bytes", "status"), RUBBISH.values(), ids=RUBBISH.keys())
def test_what_is_no_request_is_refused_with_one_clear_line(shared, request_bytes, status):
    answer = exchange(shared.tls(), request_bytes)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"Connection: close" in head
    assert answer.count(b"HTTP/1.1 ") == 1 + body.count(b"HTTP/1.1 ")
    assert body.endswith(b"\n")
    assert body.count(b"\n") == 1
    assert all(32 <= byte < 127 for byte in body[:-1])


def test_http_on_the_https_port_is_told_so(shared):
    answer = exchange(shared.plain(), b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\nthis port speaks https only\n")


@pytest.mark.parametrize(
    "garbage", [os.urandom(4096), b"\x16\x03\x01\xff\xff" + os.urandom(600), b"\0" * 100_000, b"SSH-2.0-x\r\n"]
)
def test_garbage_on_the_port_is_shut_out(shared, garbage):
    answer = exchange(shared.plain(), garbage)
    assert b"HTTP" not in answer
    assert shared.get() == (200, b"ok")


def test_old_protocols_and_weak_ciphers_are_refused(shared):
    for setting in ("version", "cipher"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=shared.authority.cert_pem.decode())
        if setting == "version":
            context.set_ciphers("ALL:@SECLEVEL=0")
            # Asking for it is deprecated, rightly; that is what is tested.
            with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
                context.minimum_version = ssl.TLSVersion.TLSv1_1
            with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
                context.maximum_version = ssl.TLSVersion.TLSv1_1
        else:
            context.set_ciphers("ECDHE-ECDSA-AES256-SHA")
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            shared.tls(context)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_speak_http_1_1(shared, version):
    context = shared.context()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    sock = shared.tls(context)
    assert sock.selected_alpn_protocol() == "http/1.1"
    sock.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert received(sock).endswith(b"\r\n\r\nok")


@pytest.mark.parametrize("path", ["/fail", "/fail-late"])
def test_an_application_that_fails_is_a_500_and_a_traceback_in_the_log(tmp_path, path):
    with running(tmp_path) as run:
        assert run.get(path) == (500, b"pullproof failed on this request; its log says why\n")
        assert run.get() == (200, b"ok")
        assert run.log().count("Traceback") == 1


def test_clients_that_left_before_their_hello_was_read_leave_no_line(tmp_path):
    with running(tmp_path, threads=4) as run:
        for _ in range(100):
            with socket.create_connection(("127.0.0.1", run.port)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing is a reset
                sock.sendall(hello())
        assert run.get() == (200, b"ok")
        assert run.log() == ""


def test_clients_leave_no_traceback_and_few_lines(shared):
    for _ in range(20):
        exchange(shared.plain(), b"\0" * 100)
        exchange(shared.tls(), b"rubbish\r\n\r\n")
    stranger = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        shared.tls(stranger)
    counts = until(lambda: (now := shared.facts()["counts"]).get("refused-certificate") and now)
    assert counts["bad-tls"] >= 20
    assert counts["bad-request"] >= 20
    log = shared.log()
    assert "Traceback" not in log
    assert "a client ended TLS: it says unknown ca (client 127.0.0.1)" in log
    assert len(log.splitlines()) < 60


def asking_all_the_time(connection, stop, answered):
    """The next request as soon as the last is answered, so that a thread that stays for it always gets it."""
    while not stop.is_set():
        connection.request("GET", "/livez")
        assert connection.getresponse().read() == b"ok"
        answered[connection] += 1


@pytest.mark.parametrize("threads", [1, 2])  # few, or this test's own clients are too slow for them
def test_connections_that_never_rest_keep_nobody_else_out(tmp_path, threads):
    with running(tmp_path, stall_seconds=5, threads=threads) as run:
        stop, answered = threading.Event(), Counter()
        connections = [run.connection() for _ in range(threads)]
        askers = [
            threading.Thread(target=asking_all_the_time, args=(connection, stop, answered))
            for connection in connections
        ]
        for asker in askers:
            asker.start()
        try:
            until(lambda: len(answered) == threads and min(answered.values()) > 20)
            before = answered.total()
            for _ in range(10):
                assert run.get() == (200, b"ok")
            meanwhile = answered.total() - before
        finally:
            stop.set()
            for asker in askers:
                asker.join()
        print(f"{meanwhile} answers for those that never rest while ten others had theirs")
        assert meanwhile < 10 * 200
        assert "Traceback" not in run.log()


def test_pauses_of_any_length_between_requests_are_all_alike(shared):
    """Around a millisecond a thread gives up staying; a request must not fall between that and its being parked."""
    connection = shared.connection()
    for number in range(600):
        connection.request("GET", "/livez")
        assert connection.getresponse().read() == b"ok"
        time.sleep((number % 60) / 20_000)
    connection.close()


def test_the_oldest_silent_connections_make_room_at_the_limit(tmp_path):
    with running(tmp_path, connections=50) as run:
        kept = run.connection()
        kept.request("GET", "/livez")
        assert kept.getresponse().read() == b"ok"
        silent = [run.plain() for _ in range(100)]
        assert run.get() == (200, b"ok")
        until(lambda: received(silent[0]) == b"")
        kept.request("GET", "/facts")
        counts = json.loads(kept.getresponse().read())["counts"]
        assert counts["evicted"] >= 50


def test_a_killed_worker_is_replaced(tmp_path):
    with running(tmp_path) as run:
        facts = run.facts()
        assert facts["parent"] == run.process.pid
        assert facts["counts"]["after-fork"] == 1
        os.kill(facts["pid"], signal.SIGKILL)

        def replaced():
            with contextlib.suppress(OSError, http.client.HTTPException):
                return run.facts()

        again = until(replaced)
        assert again["pid"] != facts["pid"]
        assert again["counts"]["after-fork"] == 1


def serial_shown(sock):
    return x509.load_der_x509_certificate(sock.getpeercert(binary_form=True)).serial_number


def test_a_new_pair_serves_new_handshakes_and_a_broken_one_is_left_alone(tmp_path):
    with running(tmp_path) as run:
        old = run.connection()
        first = serial_shown(old.sock)
        second = install(tmp_path, run.authority)
        until(lambda: serial_shown(run.tls()) == second)
        old.request("GET", "/livez")
        assert old.getresponse().read() == b"ok"
        assert serial_shown(old.sock) == first

        good_key = (tmp_path / "tls.key").read_bytes()
        (tmp_path / "tls.key").write_bytes(issue.new_authority(NOW).key_pem)
        until(lambda: run.facts()["counts"].get("bad-certificate", 0) >= 3)
        assert serial_shown(run.tls()) == second
        (tmp_path / "tls.key").write_bytes(good_key)
        third = install(tmp_path, run.authority)
        until(lambda: serial_shown(run.tls()) == third)
        assert run.log().count(
            "the serving certificate can't be used: the private key does not belong to the certificate; "
            "the one before stays in use"
        ) == 1  # fmt: skip


def test_an_application_that_can_not_start_ends_the_server(tmp_path):
    install(tmp_path, issue.new_authority(NOW))
    arguments = {"folder": str(tmp_path), "bind": "127.0.0.1:0", "no_application": True}
    command = [sys.executable, *WARNINGS, __file__, json.dumps(arguments)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 3
    assert "the application could not start" in done.stderr
    assert not (tmp_path / "returned").exists()


def test_what_is_in_flight_is_finished_on_sigterm(tmp_path):
    with running(tmp_path, drain_seconds=1) as run:
        kept, slow = run.connection(), run.connection()
        kept.request("GET", "/facts")
        assert "drain" not in json.loads(kept.getresponse().read())["counts"]
        slow.request("GET", "/slow?seconds=2.5")
        run.process.terminate()

        def draining():
            kept.request("GET", "/facts")
            response = kept.getresponse()
            return "drain" in json.loads(response.read())["counts"] and response

        # While it drains it answers old connections and new ones, and sends both away.
        response = until(draining)
        assert response.headers["Connection"] == "close"
        connection = run.connection()
        connection.request("GET", "/livez")
        assert connection.getresponse().headers["Connection"] == "close"
        response = slow.getresponse()
        assert (response.status, response.read()) == (200, b"ok")
        assert run.process.wait(PATIENCE) == 0
        # `serve` came back once, in the process that called it.
        assert (tmp_path / "returned").read_text() == str(run.process.pid)
        assert "Traceback" not in run.log()


def test_ctrl_c_in_the_middle_of_handing_a_connection_to_a_thread_ends_the_worker():
    worker = object.__new__(StallProofWorker)
    worker.cfg = SimpleNamespace(worker_int=lambda _worker: None)
    with ThreadPoolExecutor(1) as worker.tpool, worker.tpool._shutdown_lock, pytest.raises(SystemExit):
        worker.handle_quit(signal.SIGINT, None)


def client_identity(authority, name):
    """What an API server shows when its AdmissionConfiguration names a client certificate for webhooks."""
    issuer = x509.load_pem_x509_certificate(authority.cert_pem)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder(issuer.subject, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - dt.timedelta(hours=1))
        .not_valid_after(NOW + dt.timedelta(hours=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(serialization.load_pem_private_key(authority.key_pem, None), hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + private


def test_a_client_certificate_is_asked_for_and_never_demanded(tmp_path):
    clients = issue.new_authority(NOW)
    with running(tmp_path, prepare=lambda folder: (folder / "client-ca.crt").write_bytes(clients.cert_pem)) as run:

        def facts(identity=None):
            context = run.context()
            if identity is not None:
                (tmp_path / "client.pem").write_bytes(identity)
                context.load_cert_chain(tmp_path / "client.pem")
            connection = http.client.HTTPSConnection("localhost", run.port, timeout=PATIENCE)
            connection.sock = run.tls(context)
            connection.request("GET", "/facts", headers={"Ssl-Client-Verify": "forged"})
            environ = json.loads(connection.getresponse().read())["environ"]
            return environ["SSL_CLIENT_VERIFY"], environ["SSL_CLIENT_S_DN_CN"]

        assert facts() == ("NONE", "")
        assert facts(client_identity(clients, "kube-apiserver")) == ("SUCCESS", "kube-apiserver")
        with pytest.raises(ssl.SSLError, match="unknown ca"):
            facts(client_identity(issue.new_authority(NOW), "kube-apiserver"))


def test_a_request_says_when_it_began(shared):
    sock = shared.tls()
    request = b"GET /facts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    sock.sendall(request[:10])
    time.sleep(0.3)
    facts = json.loads(exchange(sock, request[10:]).rpartition(b"\r\n\r\n")[2])
    assert facts["waited"] > 0.2
    assert facts["environ"]["wsgi.url_scheme"] == "https"


# Without a process.


def pair(**changes):
    made = issue.issue_serving(issue.new_authority(NOW), ["localhost"], [], NOW)
    return server.FilePair(changes.get("cert", made.cert_pem), changes.get("key", made.key_pem))


BROKEN = {
    "no PEM": (lambda: pair(cert=b"rubbish", key=b"rubbish"), "no PEM certificate and key were found"),
    "no key": (lambda: pair(key=b""), "no PEM certificate and key were found"),
    "another's key": (
        lambda: pair(key=issue.new_authority(NOW).key_pem),
        "the private key does not belong to the certificate",
    ),
}


@pytest.mark.parametrize(("made", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_pair_says_what_is_broken_and_changes_nothing(made, words):
    pairs = [pair()]
    certificate = server.ServingCertificate(lambda: pairs[-1])
    assert certificate.reload() is True
    context = certificate.context
    assert certificate.reload() is False
    pairs.append(made())
    with pytest.raises(server.CertificateUnusable) as raised:
        certificate.reload()
    assert str(raised.value) == f"the serving certificate can't be used: {words}"
    assert certificate.context is context
    pairs.append(pair())
    assert certificate.reload() is True
    assert certificate.context is not context


def test_an_unreadable_pair_is_an_error_and_no_pair_is_served(tmp_path):
    certificate = server.ServingCertificate(server.pair_from_files(tmp_path / "tls.crt", tmp_path / "tls.key"))
    with pytest.raises(server.CertificateUnusable, match=r"can't be read: .*tls\.crt"):
        server.serve(lambda: None, bind="127.0.0.1:0", certificate=certificate)
    with pytest.raises(server.CertificateUnusable, match="no serving certificate has been loaded"):
        _ = certificate.context


def test_a_pair_never_shows_its_key():
    made = pair()
    assert "PRIVATE" not in repr(made)
    assert repr(made).startswith("FilePair(")


def test_importing_the_server_imports_no_gunicorn():
    code = "import sys, webhook.admission.server; sys.exit('gunicorn' in sys.modules or 'cryptography' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


if __name__ == "__main__":
    main(sys.argv[1])
