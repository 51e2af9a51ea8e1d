"""An API server's lines played from a script, for what the real one can't be made to do: garbage, half lines, silence.

Each request takes the next answer of the script; the last one stays. Requests are kept for the test to look at.
"""

from __future__ import annotations

import http.server
import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Answer = "Callable[[Reply], None]"


@dataclass(frozen=True)
class Request:
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]

    @property
    def is_streaming_list(self) -> bool:
        return "sendInitialEvents" in self.query

    @property
    def is_watch(self) -> bool:
        return "watch" in self.query and not self.is_streaming_list


class Reply:
    """What an answer writes with."""

    def __init__(self, handler: http.server.BaseHTTPRequestHandler, request: Request, closing: threading.Event) -> None:
        self.handler = handler
        self.request = request
        self.closing = closing

    def whole(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.handler.send_response(status)
        self.handler.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.handler.send_header(name, value)
        self.handler.end_headers()
        self.handler.wfile.write(body)

    def begin(self) -> None:
        self.handler.send_response(200)
        self.handler.send_header("Transfer-Encoding", "chunked")
        self.handler.end_headers()

    def chunk(self, data: bytes) -> None:
        if not data:
            return  # would be the end
        self.handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.handler.wfile.flush()

    def end(self) -> None:
        self.handler.wfile.write(b"0\r\n\r\n")

    def hang(self) -> None:
        """Say nothing more, until the test is over."""
        self.closing.wait()
        self.handler.close_connection = True

    def cut(self) -> None:
        """Close the connection without ending the answer."""
        self.handler.close_connection = True


class ScriptedApi:
    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._script: list[Callable[[Reply], None]] = []
        self._lock = threading.Lock()
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                request = Request(url.path, dict(parse_qsl(url.query)), dict(self.headers))
                with api._lock:
                    api.requests.append(request)
                    answer = api._script.pop(0) if len(api._script) > 1 else api._script[0]
                try:
                    answer(Reply(self, request, api.closing))
                except OSError:
                    self.close_connection = True

            def log_message(self, *args: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that went away is what many of these tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def script(self, *answers: Callable[[Reply], None]) -> None:
        with self._lock:
            self._script = list(answers)

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def write_kubeconfig(self, path: Path, **user: Any) -> str:
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "here",
                    "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "team-a"}}],
                    "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
                    "users": [{"name": "u", "user": user}],
                }
            )
        )
        return str(path)


def thing(name: str, version: int | str = 1, namespace: str = "a", value: str = "") -> dict[str, Any]:
    return {
        "kind": "Thing",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": str(version)},
        "value": value,
    }


def event(kind: str, item: Mapping[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


def added(*names: str, version: int = 1) -> bytes:
    return b"".join(event("ADDED", thing(name, version)) for name in names)


def bookmark(version: int, *, end_of_list: bool = False) -> bytes:
    annotations = {"k8s.io/initial-events-end": "true"} if end_of_list else {}
    metadata = {"resourceVersion": str(version), "annotations": annotations}
    return event("BOOKMARK", {"kind": "Thing", "apiVersion": "v1", "metadata": metadata})


def status(code: int, reason: str, message: str = "", **metadata: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": metadata,
        "status": "Failure",
        "message": message or reason.lower(),
        "reason": reason,
        "code": code,
    }


def page(*names: str, version: int = 1, more: str = "") -> dict[str, Any]:
    items = []
    for name in names:
        item = thing(name, version)
        del item["kind"], item["apiVersion"]  # the API server leaves them out of a list's items
        items.append(item)
    metadata = {"resourceVersion": str(version), **({"continue": more} if more else {})}
    return {"kind": "ThingList", "apiVersion": "v1", "metadata": metadata, "items": items}


def answer(document: Any, code: int = 200, headers: Mapping[str, str] | None = None) -> Callable[[Reply], None]:
    """One whole JSON document, or bytes as they are."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return lambda reply: reply.whole(code, body, headers)


def refuse(code: int, reason: str, headers: Mapping[str, str] | None = None, **more: str) -> Callable[[Reply], None]:
    return answer(status(code, reason, **more), code, headers)


def lines(*chunks: bytes, then: str = "end") -> Callable[[Reply], None]:
    """Chunks of a stream; `then` is `end`, `hang` or `cut`."""

    def play(reply: Reply) -> None:
        reply.begin()
        for chunk in chunks:
            reply.chunk(chunk)
        getattr(reply, then)()

    return play


def streaming_list(*names: str, version: int = 10) -> Callable[[Reply], None]:
    return lines(added(*names), bookmark(version, end_of_list=True), then="hang")


def hang(reply: Reply) -> None:
    reply.hang()
