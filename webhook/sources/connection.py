"""The one connection to the API server: where it is, who we are there, and raw JSON over a pool of sockets.

Why not the typed client: its models cost an object per field of every Secret and every Node, and keep what pullproof
must not keep. So the `kubernetes` library does what it is best at (kubeconfig, contexts, exec plugins, service account
files, proxies, TLS) and its urllib3 pool is used as it is; it is imported by `connect`, never before (0.5 s, 25 MB).

Must not: write anything (into a kubeconfig; to the API server only what `webhook.sources.writing` asks, which the
webhook itself never imports), follow a redirect with a credential, wait
without a limit, or let a credential into an error, a log or a `repr`. The library's own exceptions can quote a whole
user entry with its token, so their texts are never passed on.
"""

from __future__ import annotations

import http.client
import math
import os
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

import orjson
import urllib3

from webhook.model.text import printable
from webhook.sources.errors import (
    ConnectionSettingsError,
    GarbledError,
    NotFoundError,
    TimedOutError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
    from_status,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from webhook.sources.errors import ApiError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_CONNECT_SECONDS = 3.0
_CHUNK_BYTES = 1 << 16
_ERROR_BODY_BYTES = 1 << 16
# etcd takes 1.5 MiB an object and the API server 3 MiB a request; a line far beyond both is no event.
_LONGEST_LINE_BYTES = 1 << 24
# The idle connections kept: every request thread of the server may read live at once, beside one watch per resource.
_POOL_SIZE = 80
_RELOAD_EVERY_SECONDS = 10.0
_USER_AGENT = "pullproof"

# What reading from a socket raises, through urllib3 or past it: http.client lets ValueError out on a broken chunk size.
_BROKEN = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class _Settings:
    """One loading of the configuration. Its `repr` leaves out whatever may hold a credential."""

    server: str
    namespace: str
    configuration: Any = field(repr=False)
    pool: Any = field(repr=False)


def connect(kubeconfig: str | None = None, context: str | None = None) -> Connection:
    """Load the configuration by kubectl's rules; no request is made yet.

    `kubeconfig` and `context` are kubectl's flags. Without them: the files named in `$KUBECONFIG`, else
    `~/.kube/config`, else the pod's own service account. Raises ConnectionSettingsError.
    """
    files = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    found = any(Path(part).expanduser().exists() for part in files.split(os.pathsep) if part)
    if not found and not kubeconfig and not context and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return connect_in_cluster()
    if not found:
        raise ConnectionSettingsError(
            f"kubeconfig {files} does not exist", fix="name one with --kubeconfig, or set KUBECONFIG"
        )
    load = partial(_from_kubeconfig, files, context)
    return Connection(load(), load)


def connect_in_cluster(service_account: Path = SERVICE_ACCOUNT) -> Connection:
    """Load the pod's own service account; its token is read again every minute, since bound tokens rotate.

    Raises ConnectionSettingsError outside a pod.
    """
    load = partial(_from_service_account, service_account)
    return Connection(load(), load)


def _from_kubeconfig(files: str, context: str | None) -> _Settings:
    from kubernetes import config  # noqa: PLC0415 costs 0.5 s and 25 MB: only where a cluster is talked to
    from kubernetes.client import Configuration  # noqa: PLC0415

    configuration = Configuration()
    try:
        contexts, current = config.list_kube_config_contexts(config_file=files)  # type: ignore[no-untyped-call]
        by_name = {str(entry["name"]): entry for entry in contexts}
        name = context or str(current["name"])
    except Exception:  # noqa: BLE001 whatever a broken file makes the library raise; its text may quote the file
        raise _unusable(files) from None
    if name not in by_name:
        listed = ", ".join(sorted(by_name)) or "none"
        raise ConnectionSettingsError(
            f"context {name} is not in kubeconfig {files}, which has: {listed}",
            fix=f"`kubectl --kubeconfig {files} config get-contexts` lists them",
        )
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=files, context=name, client_configuration=configuration, persist_config=False
        )
        namespace = str(by_name[name]["context"].get("namespace") or "default")
    except Exception:  # noqa: BLE001 as above
        raise _unusable(files) from None
    return _settings(configuration, namespace)


def _unusable(files: str) -> ConnectionSettingsError:
    return ConnectionSettingsError(
        f"kubeconfig {files} can't be used as it is",
        fix=f"`kubectl --kubeconfig {files} get --raw /version` shows what kubectl says of it",
    )


def _from_service_account(directory: Path) -> _Settings:
    from kubernetes.client import Configuration  # noqa: PLC0415 as above
    from kubernetes.config.incluster_config import InClusterConfigLoader  # noqa: PLC0415

    configuration = Configuration()
    try:
        loader = InClusterConfigLoader(  # type: ignore[no-untyped-call]
            token_filename=str(directory / "token"), cert_filename=str(directory / "ca.crt"), environ=os.environ
        )
        loader.load_and_set(configuration)  # type: ignore[no-untyped-call]
    except Exception:  # noqa: BLE001 as above
        raise ConnectionSettingsError(
            f"no usable service account in {directory}",
            fix="outside a pod name a kubeconfig; in a pod set automountServiceAccountToken: true",
        ) from None
    try:
        namespace = (directory / "namespace").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        namespace = ""
    return _settings(configuration, namespace or "default")


def _settings(configuration: Any, namespace: str) -> _Settings:
    from kubernetes.client import ApiClient  # noqa: PLC0415 as above

    configuration.connection_pool_maxsize = _POOL_SIZE
    configuration.keep_alive = True  # the kernel probes idle sockets, as client-go has it do
    if not configuration.verify_ssl:
        # The kubeconfig says insecure-skip-tls-verify: kubectl obeys without a line per request, and so do we.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    pool = ApiClient(configuration).rest_client.pool_manager
    return _Settings(str(configuration.host).rstrip("/"), namespace, configuration, pool)


class Connection:
    """Read-only access to one API server; safe to share between threads.

    `load` is called again after a 401 or where a certificate's file is gone (at most every 10 s), so that whatever
    rotates is picked up: a token file, a client certificate, an exec plugin's answer. `namespace` is the context's, for
    commands without `-n`.
    """

    def __init__(
        self, settings: _Settings, load: Callable[[], _Settings], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._load = load
        self._clock = clock
        self._loaded_at = -math.inf
        self._lock = threading.Lock()

    @property
    def namespace(self) -> str:
        return self._settings.namespace

    @property
    def server(self) -> str:
        """Host and port, as shown to people; without user, path or query, whatever the kubeconfig says."""
        return urllib3.util.parse_url(self._settings.server).netloc or self._settings.server

    def __repr__(self) -> str:
        return f"Connection({self.server})"

    def close(self) -> None:
        """Close the idle sockets; streams under way go on until they are stopped."""
        self._settings.pool.clear()

    def get_json(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float,
        longest_bytes: float = math.inf,
    ) -> dict[str, Any]:
        """GET one document, all of it within `timeout_seconds`. Raises ApiError, of the type for what happened.

        TooLargeError where it has more than `longest_bytes`, before the rest of it is read.

        Not covered by the limit: the look-up of the API server's host name, where it has one.
        """
        return self._exchange("GET", path, query or {}, None, "", timeout_seconds, longest_bytes)

    def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | None,
        content_type: str,
        timeout_seconds: float,
        longest_bytes: float = math.inf,
    ) -> dict[str, Any]:
        about = f"{method} {path}"
        deadline = self._clock() + timeout_seconds
        timeout = urllib3.Timeout(connect=min(_CONNECT_SECONDS, timeout_seconds), read=timeout_seconds)
        response = self._open(path, query, timeout, about, method, body, content_type)
        answer = self._read(response, deadline, timeout_seconds, longest_bytes, about)
        try:
            document = orjson.loads(answer)
        except orjson.JSONDecodeError:
            raise GarbledError(f"the API server's answer to {about} is not JSON") from None
        if not isinstance(document, dict):
            raise GarbledError(f"the API server's answer to {about} is not an object")
        return document

    def stream(self, path: str, query: Mapping[str, str], *, silence_seconds: float) -> Stream:
        """Open a GET whose body is read line by line; use it as a context manager.

        `silence_seconds` is the longest wait for the next byte; TimedOutError after that. Raises as `get_json`.
        """
        about = f"GET {path} (watch)"
        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=silence_seconds)
        return Stream(self._open(path, query, timeout, about), about, silence_seconds)

    def _open(
        self,
        path: str,
        query: Mapping[str, str],
        timeout: urllib3.Timeout,
        about: str,
        method: str = "GET",
        body: bytes | None = None,
        content_type: str = "",
    ) -> urllib3.BaseHTTPResponse:
        settings = self._settings
        headers = {"Accept": "application/json", "User-Agent": _USER_AGENT, **_authorization(settings)}
        if body is not None:
            headers["Content-Type"] = content_type
        url = f"{settings.server}{path}" + (f"?{urlencode(query)}" if query else "")
        ask = partial(
            settings.pool.request, method, url, headers=headers, body=body, preload_content=False, retries=False
        )
        response: urllib3.BaseHTTPResponse
        try:
            try:
                response = ask(timeout=timeout, redirect=False)
            except urllib3.exceptions.ProtocolError:
                # A pooled socket that the API server closed just as the request went out: the next one is another.
                response = ask(timeout=timeout, redirect=False)
        except _BROKEN as error:
            if any(isinstance(cause, FileNotFoundError) for cause in _causes(error)):
                # The library writes a kubeconfig's inline certificates to temporary files, and whichever process exits
                # first removes them: a server's worker, for one.
                self._reload(settings)
            raise _broken(error, about, timeout.read_timeout) from None
        if response.status in {http.HTTPStatus.OK, http.HTTPStatus.CREATED}:
            return response
        refusal = _answered(response, about)
        if isinstance(refusal, UnauthorizedError):
            self._reload(settings)
        raise refusal

    def _read(
        self,
        response: urllib3.BaseHTTPResponse,
        deadline: float,
        timeout_seconds: float,
        longest_bytes: float,
        about: str,
    ) -> bytes:
        parts = []
        size = 0
        try:
            while part := response.read1(_CHUNK_BYTES):
                parts.append(part)
                size += len(part)
                if size > longest_bytes:
                    response.close()
                    raise TooLargeError(f"the API server's answer to {about} has more than {longest_bytes:.0f} bytes")
                # A socket's limit is per read: a server that drips would stretch it for ever.
                if self._clock() > deadline:
                    break
            else:
                response.release_conn()
                return b"".join(parts)
        except _BROKEN as error:
            response.close()
            raise _broken(error, about, timeout_seconds) from None
        response.close()
        raise TimedOutError(f"{about}: no whole answer from the API server within {timeout_seconds:g} s")

    def _reload(self, used: _Settings) -> None:
        with self._lock:
            now = self._clock()
            if self._settings is not used or now - self._loaded_at < _RELOAD_EVERY_SECONDS:
                return
            self._loaded_at = now
            try:
                self._settings = self._load()
            except ConnectionSettingsError:
                return  # the 401 is what the caller is told; the next one tries again
        used.pool.clear()


class Stream:
    """Lines of one response, as bytes without their newline. `stop` may be called from any thread."""

    def __init__(self, response: urllib3.BaseHTTPResponse, about: str, silence_seconds: float) -> None:
        self._response = response
        self._about = about
        self._silence_seconds = silence_seconds
        self._stopped = False
        self._whole = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._whole:
            self._response.release_conn()  # read to its end: the socket serves the next request
        else:
            self._response.close()

    def stop(self) -> None:
        """End the iteration now, also where it waits for a byte."""
        self._stopped = True
        try:
            self._response.shutdown()
        except (ValueError, RuntimeError, OSError):
            return  # already read to its end, or closed

    def __iter__(self) -> Iterator[bytes]:
        """Yield non-empty lines. Raises UnavailableError where the stream breaks off, TimedOutError on silence."""
        rest: list[bytes] = []
        size = 0
        while True:
            try:
                data = self._response.read1(_CHUNK_BYTES)
            except _BROKEN as error:
                if self._stopped:
                    return
                raise _broken(error, self._about, self._silence_seconds) from None
            if self._stopped:
                return
            if not data:
                if any(rest):
                    raise UnavailableError(f"{self._about} broke off in the middle of a line")
                self._whole = True
                return
            *lines, tail = data.split(b"\n")
            if lines:
                lines[0] = b"".join((*rest, lines[0]))
                rest, size = [], 0
                yield from (line for line in lines if line.strip())
            rest.append(tail)
            size += len(tail)
            if size > _LONGEST_LINE_BYTES:
                raise GarbledError(f"{self._about} sent a line of more than {_LONGEST_LINE_BYTES >> 20} MiB")


def collection_path(group: str, version: str, resource: str, *, namespace: str = "") -> str:
    """Return the path of a collection; `group` is empty for the core API, `namespace` for all of them.

    Raises NotFoundError for a namespace that can't be one: nothing of that name exists, and asked raw it would be
    another question (`..`).
    """
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    return f"{root}/namespaces/{_segment(namespace)}/{resource}" if namespace else f"{root}/{resource}"


def object_path(group: str, version: str, resource: str, name: str, *, namespace: str = "") -> str:
    """Return the path of one object. Raises NotFoundError for a name that can't be one, also an empty one."""
    return f"{collection_path(group, version, resource, namespace=namespace)}/{_segment(name)}"


def _segment(name: str) -> str:
    # apimachinery/pkg/api/validation/path/name.go (v1.36): what no name may be or contain.
    if name in {"", ".", ".."} or "/" in name or "%" in name:
        raise NotFoundError(f"{name!r} can't be the name of an object", status=404, reason="NotFound")
    return quote(name, safe="")


def _authorization(settings: _Settings) -> dict[str, str]:
    try:
        # Reads the token file again where it is time to.
        value = settings.configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    except Exception:  # noqa: BLE001 a file that is gone or empty for a moment, an exec plugin that fails
        raise UnauthorizedError("the credential for the API server can't be read again") from None
    text = str(value or "").strip()
    if not text.isascii() or not text.isprintable():
        raise UnauthorizedError(
            "the credential for the API server has a line break or another character that no header can carry",
            fix="write the token file or the kubeconfig's token again, as one line",
        )
    return {"Authorization": text} if text else {}


def _answered(response: urllib3.BaseHTTPResponse, about: str) -> ApiError:
    """Read the Status of an answer other than 200, as far as it is one, and give the socket back."""
    status: dict[str, Any] = {}
    try:
        body = response.read(_ERROR_BODY_BYTES)
        parsed = orjson.loads(body)
        status = parsed if isinstance(parsed, dict) else {}
    except _BROKEN:  # orjson's error is a ValueError
        status = {"message": response.reason or "no Status in the answer"}
    finally:
        response.close()
    header = response.headers.get("Retry-After", "")
    retry_after = float(header) if header.isdecimal() else None
    return from_status(response.status, status, about=about, retry_after_seconds=retry_after)


def _broken(error: Exception, about: str, seconds: Any) -> ApiError:
    """Say what broke, in our words: urllib3's hold object addresses, http.client's the header it refused."""
    # The order matters: urllib3's NameResolutionError is a NewConnectionError, which is a TimeoutError.
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return UnavailableError(f"{about}: the API server's host name does not resolve")
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return UnavailableError(f"{about}: no connection to the API server{_because(error)}")
    if isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError):
        if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
            return TimedOutError(f"{about}: no connection to the API server within {_CONNECT_SECONDS:g} s")
        return TimedOutError(f"{about}: nothing heard from the API server for {seconds:g} s")
    if any(isinstance(cause, FileNotFoundError) for cause in _causes(error)):
        return UnavailableError(f"{about}: a certificate that the configuration names is not there")
    if isinstance(error, urllib3.exceptions.SSLError):
        return UnavailableError(f"{about}: TLS with the API server failed{_because(error)}")
    if isinstance(error, urllib3.exceptions.ProxyError):
        return UnavailableError(f"{about}: the proxy on the way to the API server failed")
    if isinstance(error, ValueError) and not isinstance(error, urllib3.exceptions.HTTPError):
        return UnavailableError(f"{about}: the request or its answer is not HTTP")
    return UnavailableError(f"{about}: the connection to the API server broke off")


def _because(error: Exception) -> str:
    """Return the operating system's or the TLS library's own word for it, which names no credential."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and (cause.strerror or getattr(cause, "verify_message", "")):
            said = getattr(cause, "verify_message", "") or cause.strerror
            return f": {printable(str(said)).lower()}"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and what it came of: its cause, or the exception that urllib3 keeps among the arguments."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        nested = next((argument for argument in cause.args if isinstance(argument, BaseException)), None)
        cause = cause.__cause__ or nested
