"""Registries that misbehave, each at an address of its own: what a real registry can't be made to do on demand.

The runtime that asks them is real, and so are TCP, TLS and HTTP; only the answer is chosen. Runs in the node's network
namespace, as `python -IS faulty.py plan.json`; the plan is a list of {"address", "fault", "certificate", "key"}, the
latter two empty for plain HTTP. Must not: import anything but the standard library.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import json
import os
import socket
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
BUSY_HTML = b"<html><head><title>503</title></head><body><h1>503 Service Temporarily Unavailable</h1></body></html>"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def image(packed: bytes) -> dict[str, bytes]:
    """Path below the repository → content, of an image with that one layer; its manifest stands at `manifest`."""
    unpacked = hashlib.sha256(b"whatever").hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{unpacked}"]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest(config),
                "size": len(config),
            },
            "layers": [
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                    "digest": digest(packed),
                    "size": len(packed),
                }
            ],
        }
    ).encode()
    return {"manifest": manifest, f"blobs/{digest(config)}": config, f"blobs/{digest(packed)}": packed}


@functools.cache
def layer(fault: str) -> bytes:
    """One of its own for each fault: containerd does not fetch again what it has from another registry."""
    if fault == "large":
        return os.urandom(8_000_000)
    return gzip.compress(f"no tar at all, only text that goes on for a while: {fault} ".encode() * 400, mtime=0)


@functools.cache
def content(fault: str) -> dict[str, bytes]:
    return image(layer(fault))


def errors(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message, "detail": None}]}).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fault = ""
    address = ""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        status, headers, body = self.answer()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        host = self.headers["Host"]
        kind = {"Content-Type": "application/json"}
        bearer = {**kind, "WWW-Authenticate": f'Bearer realm="https://{host}/token",service="{host}"'}
        path = self.path.partition("?")[0]
        if path == "/token":
            if self.fault == "token-refused":
                return 401, kind, errors("UNAUTHORIZED", "authentication required")
            if self.fault == "token-forbidden":
                return 403, kind, errors("DENIED", "client with IP '203.0.113.7' is not allowed access")
            return 200, kind, b'{"token":"t","access_token":"t","expires_in":300}'
        if self.fault in {"token-refused", "token-forbidden"}:
            return 401, bearer, errors("UNAUTHORIZED", "authentication required")
        if self.fault == "scope":
            challenge = f'{bearer["WWW-Authenticate"]},error="insufficient_scope"'
            return 401, {**kind, "WWW-Authenticate": challenge}, errors("UNAUTHORIZED", "authentication required")
        if self.fault == "forbidden":
            return 403, kind, errors("DENIED", "requested access to the resource is denied")
        if self.fault == "too-many":
            return 429, kind, errors("TOOMANYREQUESTS", "You have reached your pull rate limit")
        if self.fault == "failing":
            return 500, kind, errors("UNKNOWN", "unknown error")
        if self.fault == "proxy":
            return 503, {"Content-Type": "text/html"}, BUSY_HTML
        if self.fault == "html":
            return 200, {"Content-Type": "text/html; charset=utf-8"}, BUSY_HTML
        if self.fault == "schema1":
            body = b'{"schemaVersion":1,"name":"app","tag":"1","fsLayers":[],"history":[]}'
            return 200, {"Content-Type": "application/vnd.docker.distribution.manifest.v1+prettyjws"}, body
        return self.found(path)

    def found(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if "/manifests/" in path:
            body = content(self.fault)["manifest"]
            return 200, {"Content-Type": MANIFEST, "Docker-Content-Digest": digest(body)}, body
        name = f"blobs/{path.rpartition('/')[2]}"
        body = content(self.fault).get(name)
        if body is None:
            return 404, {}, errors("BLOB_UNKNOWN", "blob unknown to registry")
        if body == layer(self.fault) and self.fault == "blob-forbidden":
            return 403, {"Content-Type": "application/json"}, errors("DENIED", "pull traffic quota exceeded")
        if body == layer(self.fault) and self.fault == "blob-missing":
            return 404, {"Content-Type": "application/json"}, errors("BLOB_UNKNOWN", "blob unknown to registry")
        if body == layer(self.fault) and self.fault == "corrupt":
            body = bytes([body[0] ^ 1]) + body[1:]
        return 200, {"Content-Type": "application/octet-stream"}, body

    def log_message(self, *_: Any) -> None:
        """Nothing: the test reads what the kubelet says."""


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A runtime that hangs up on such a registry is right."""


def serve(one: dict[str, str]) -> None:
    fault, address = one["fault"], one["address"]
    if fault in {"silent", "full"}:
        listening = socket.socket()
        listening.bind((address, 443))
        listening.listen(0)
        if fault == "full":
            # a queue that is full takes no further connection: what the network of a firewall that drops looks like
            kept = [socket.socket() for _ in range(4)]
            for each in kept:
                each.setblocking(False)
                each.connect_ex((address, 443))
        while True:
            time.sleep(3600)
    server = Server((address, 443), type("H", (Handler,), {"fault": fault}))
    if one["certificate"]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(one["certificate"], one["key"])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    threads = [threading.Thread(target=serve, args=(one,), daemon=True) for one in plan]
    for thread in threads:
        thread.start()
    for one in plan:
        while one["fault"] not in {"silent", "full"}:
            try:
                socket.create_connection((one["address"], 443), 1).close()
                break
            except OSError:
                time.sleep(0.05)
    print("ready", flush=True)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
