"""Runs a WSGI application under gunicorn with TLS, the way an admission webhook has to be run.

Why: one worker process (one cache, one set of watches), many threads, connections that outlast the API server's idle
ones, certificates that change under load, and clients that stall or send rubbish without anyone else noticing. gunicorn
has settings for half of that; the other half is webhook/admission/worker.py.

Importing this module is cheap: gunicorn is imported by `serve`. Must not: know what is served, or make certificates.
"""

from __future__ import annotations

import contextlib
import os
import resource
import ssl
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from webhook.admission.body import BODY_LIMIT
from webhook.errors import PullproofError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

# TLS 1.2 with forward secrecy and authenticated encryption only (what Go's client offers first); 1.3 has nothing else.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
_MEMORY_DIRECTORY: Final = "/dev/shm"  # noqa: S108 - gunicorn's heartbeat file: on a disk it can block the worker
_SPARE_FILES: Final = 128  # descriptors for all that is not a client: watches, logs, modules
_FEWEST_CONNECTIONS: Final = 64

_WORDS: Final = {
    "KEY_VALUES_MISMATCH": "the private key does not belong to the certificate",
    "BAD_BASE64_DECODE": "the PEM block is damaged",
    "EE_KEY_TOO_SMALL": "the key is too small",
    "CA_MD_TOO_WEAK": "the signature is too weak",
}


class CertificateUnusable(PullproofError):
    """The certificate pair can't be served; the one before, where there is one, still is."""


class CertificatePair(Protocol):
    """PEM: the chain, leaf first, and its key unencrypted. `webhook.tls.issue.Pair` is one."""

    @property
    def cert_pem(self) -> bytes: ...

    @property
    def key_pem(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class FilePair:
    """A pair as read from files; its text never shows the key."""

    cert_pem: bytes
    key_pem: bytes

    def __repr__(self) -> str:
        return f"FilePair({len(self.cert_pem)} bytes of certificate)"


def pair_from_files(certfile: str | Path, keyfile: str | Path) -> Callable[[], CertificatePair]:
    """A reader for `ServingCertificate`: the files as they are at each call. Reading may raise OSError."""
    return lambda: FilePair(Path(certfile).read_bytes(), Path(keyfile).read_bytes())


class ServingCertificate:
    """The one TLS context that all handshakes use, rebuilt only when the pair changes. Thread-safe.

    `read` gives the pair as it should be now (files, a Secret), or raises. It is called before the fork and after it,
    so it must not hold connections open. `client_ca`, PEM, asks clients for a certificate of that authority without
    insisting on it (probes have none); the application finds the outcome in `SSL_CLIENT_VERIFY` (SUCCESS or NONE) and
    `SSL_CLIENT_S_DN_CN`.
    """

    def __init__(self, read: Callable[[], CertificatePair], *, client_ca: bytes | None = None) -> None:
        self._read = read
        self._client_ca = client_ca
        self._lock = threading.Lock()
        self._loaded: tuple[bytes, bytes] | None = None
        self._context: ssl.SSLContext | None = None

    @property
    def asks_client(self) -> bool:
        return self._client_ca is not None

    @property
    def context(self) -> ssl.SSLContext:
        """The current context. Raises `CertificateUnusable` before the first successful `reload`."""
        context = self._context
        if context is None:
            raise CertificateUnusable("no serving certificate has been loaded")
        return context

    def reload(self) -> bool:
        """Reads the pair again; whether it changed. New handshakes use the new pair, open connections go on.

        Raises `CertificateUnusable` when the pair can't be read or served; then nothing has changed.
        """
        with self._lock:
            try:
                pair = self._read()
            except (
                Exception
            ) as error:  # an unforeseen one must not end the watch, or the certificate expires in silence
                raise CertificateUnusable(f"the serving certificate can't be read: {error}") from error
            loaded = (pair.cert_pem, pair.key_pem)
            if loaded == self._loaded:
                return False
            self._context = _context(pair, self._client_ca)
            self._loaded = loaded
            return True


@dataclass(frozen=True, slots=True)
class Serving:
    """What the worker needs to know; see `serve`."""

    certificate: ServingCertificate
    stall_seconds: float
    keepalive_seconds: float
    drain_seconds: float
    graceful_seconds: int
    body_limit: int
    on_drain: Callable[[], None] | None
    on_event: Callable[[str], None] | None


def serve(
    app_factory: Callable[[], Application],
    *,
    bind: str,
    certificate: ServingCertificate,
    threads: int = 64,
    connections: int = 2000,
    stall_seconds: float = 3.0,
    keepalive_seconds: float = 120.0,
    drain_seconds: float = 0.0,
    graceful_seconds: int = 10,
    body_limit: int = BODY_LIMIT,
    reload_seconds: float = 10.0,
    after_fork: Callable[[], None] | None = None,
    on_drain: Callable[[], None] | None = None,
    on_event: Callable[[str], None] | None = None,
    on_certificate: Callable[[CertificateUnusable | None], None] | None = None,
    log_level: str = "warning",
) -> None:
    """Serves until SIGTERM or SIGINT. Blocks; raises `CertificateUnusable` at once when there is no pair to serve.

    `app_factory` and then `after_fork` run in the worker process, again in each one that replaces a dead worker:
    threads and connections belong there. `bind` is `host:port`, `[v6]:port` or `fd://N`. A client gets `stall_seconds`
    for its handshake, then for each request's head from its first byte, its body, and for taking the response; an idle
    connection lives `keepalive_seconds` (API servers keep theirs for 90). Over `connections` the oldest that never
    asked anything goes. On SIGTERM the worker calls `on_drain` (turn readiness off), goes on accepting and answering
    with `Connection: close` for `drain_seconds`, then finishes what is in flight within `graceful_seconds`.

    The certificate is looked at every `reload_seconds` (0: never; call `certificate.reload` in the worker); the outcome
    of each look goes to `on_certificate`, None being good. `on_event` counts what clients did, from any thread:
    stalled-handshake, stalled-head, stalled-body, stalled-response, bad-tls, refused-certificate, plain-http,
    bad-request, too-large, evicted.

    Each request's environ has `pullproof.received`, the `time.monotonic()` of its first byte, and a complete body in
    memory of at most `body_limit` bytes. Raises SystemExit with gunicorn's status when the worker can't start.
    """
    from gunicorn.app.base import BaseApplication  # noqa: PLC0415 - see the module
    from gunicorn.config import Config  # noqa: PLC0415

    from webhook.admission.worker import StallProofWorker  # noqa: PLC0415

    certificate.reload()
    serving = Serving(
        certificate=certificate,
        stall_seconds=stall_seconds,
        keepalive_seconds=keepalive_seconds,
        drain_seconds=drain_seconds,
        graceful_seconds=graceful_seconds,
        body_limit=body_limit,
        on_drain=on_drain,
        on_event=on_event,
    )

    class _Config(Config):  # type: ignore[misc]
        # The certificate comes from memory, and gunicorn would conclude from the missing files that this is http.
        is_ssl = True

    class _Server(BaseApplication):  # type: ignore[misc]
        def load_default_config(self) -> None:
            self.cfg = _Config(self.usage, prog=self.prog)
            self.cfg.serving = serving

        def load_config(self) -> None:
            for name, value in settings.items():
                self.cfg.set(name, value)

        def load(self) -> Application:
            return app_factory()

    def started(worker: Any) -> None:
        watch = _CertificateWatch(certificate, reload_seconds, on_certificate, worker.log.warning)
        watch.look()  # the arbiter's pair may be as old as the arbiter
        if reload_seconds > 0:
            threading.Thread(target=watch.run, name="certificate", daemon=True).start()
        if after_fork is not None:
            after_fork()

    settings: dict[str, Any] = {
        "bind": bind,
        "worker_class": StallProofWorker,
        "workers": 1,
        "threads": threads,
        "worker_connections": _affordable(connections),
        "keepalive": max(1, round(keepalive_seconds)),
        "graceful_timeout": round(drain_seconds) + graceful_seconds + 1,
        "max_requests": 0,  # its restarts reset connections
        "control_socket_disable": True,
        "worker_tmp_dir": _MEMORY_DIRECTORY if os.access(_MEMORY_DIRECTORY, os.W_OK) else None,
        "ssl_context": lambda _config, _default: certificate.context,
        "http_parser": "python",  # webhook/admission/framing.py relies on how it reads
        "limit_request_fields": 64,
        "post_worker_init": started,
        "accesslog": None,
        "errorlog": "-",
        "loglevel": log_level,
    }
    arbiter = os.getpid()
    try:
        _Server().run()
    except SystemExit as stop:
        if os.getpid() != arbiter:
            # The worker is a fork in the middle of this call: the caller's own clean-up is not for it to run.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(stop.code if isinstance(stop.code, int) else int(stop.code is not None))
        if stop.code:
            raise


class _CertificateWatch:
    """Looks at the certificate now and then, and says each trouble once."""

    def __init__(
        self,
        certificate: ServingCertificate,
        seconds: float,
        tell: Callable[[CertificateUnusable | None], None] | None,
        log: Callable[[str], None],
    ) -> None:
        self._certificate = certificate
        self._seconds = seconds
        self._tell = tell
        self._log = log
        self._said = ""

    def run(self) -> None:
        while True:
            time.sleep(self._seconds)
            self.look()

    def look(self) -> None:
        try:
            self._certificate.reload()
        except CertificateUnusable as error:
            if str(error) != self._said:
                self._said = str(error)
                self._log(f"{error}; the one before stays in use")
            trouble: CertificateUnusable | None = error
        else:
            self._said = ""
            trouble = None
        if self._tell is not None:
            self._tell(trouble)


def _context(pair: CertificatePair, client_ca: bytes | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    # API servers resume no sessions. Yet one ticket stays: it carries the acknowledgement without which a client that
    # leaves Nagle's algorithm on waits 40 ms before it sends its first request.
    context.num_tickets = 1
    context.set_alpn_protocols(["http/1.1"])
    try:
        with _readable(pair.cert_pem + b"\n" + pair.key_pem) as path:
            # A password that opens nothing: without one OpenSSL would ask the terminal.
            context.load_cert_chain(path, password="")
        if client_ca is not None:
            context.load_verify_locations(cadata=client_ca.decode("ascii"))
            context.verify_mode = ssl.CERT_OPTIONAL
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or ""
        # OpenSSL names no reason when it finds no PEM block at all.
        words = _WORDS.get(reason) or reason.replace("_", " ").lower() or "no PEM certificate and key were found"
        raise CertificateUnusable(f"the serving certificate can't be used: {words}") from error
    return context


@contextlib.contextmanager
def _readable(content: bytes) -> Iterator[str]:
    """A path for `ssl`, which reads keys from files only: in memory where the system can, so no key touches a disk."""
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("pullproof"), "wb") as memory:  # noqa: PTH123 - a descriptor, not a path
            memory.write(content)
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name


def _affordable(connections: int) -> int:
    """As many connections as there may be descriptors for, having raised that bound as needed and allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(_FEWEST_CONNECTIONS, allowed - _SPARE_FILES)
