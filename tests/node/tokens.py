"""The token service of the registries that have one: Docker Hub, Quay, Azure and most of those that users know.

Why: what a kubelet is told by such a registry differs from a plain password challenge (a wrong credential breaks a
public image, a private repository is hidden behind `insufficient_scope`), and docker-registry brings no such service.
It speaks the token protocol of the distribution project (docs/spec/auth/token.md), the GET form of it.

It is the website of the hosts that are no registry too: every other path is a page that is not found.

Run in the node's network namespace as `python tokens.py settings.json`. Must not: be a registry's judge of anything but
user, password, and whether a repository is public.
"""

from __future__ import annotations

import base64
import http.server
import json
import secrets
import ssl
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ISSUER = "node.test"
_SECONDS = 300


class Handler(http.server.BaseHTTPRequestHandler):
    """`GET /oauth2/token?service=…&scope=repository:name:pull`; the service is the registry's host."""

    protocol_version = "HTTP/1.1"
    services: dict[str, dict[str, Any]]
    key: ec.EllipticCurvePrivateKey
    certificate: str

    def do_POST(self) -> None:
        """The OAuth form of the protocol, which registries need not have: containerd then asks by GET."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(http.HTTPStatus.NOT_FOUND, {})

    def do_HEAD(self) -> None:
        self._page()

    def do_GET(self) -> None:
        if urlsplit(self.path).path != "/oauth2/token":
            self._page()
            return
        query = parse_qs(urlsplit(self.path).query)
        name = query.get("service", [""])[0]
        service = self.services[name]
        given = self._credential()
        if given is not None and given != (service["user"], service["password"]):
            self._answer(http.HTTPStatus.UNAUTHORIZED, {"details": "incorrect username or password"})
            return
        if given is None and not service["anonymous"]:
            self._answer(http.HTTPStatus.UNAUTHORIZED, {"errors": [{"code": "UNAUTHORIZED"}]})
            return
        granted = []
        for scope in query.get("scope", []):
            kind, repository, _actions = scope.split(":", 2)
            if given is not None or repository.startswith(tuple(service["public"])):
                granted.append({"type": kind, "name": repository, "actions": ["pull"]})
        self._answer(http.HTTPStatus.OK, {"token": self._token(name, granted), "expires_in": _SECONDS})

    def _page(self) -> None:
        body = b"<!doctype html><title>404</title><p>This is not the page you are looking for.\n"
        self.send_response(http.HTTPStatus.NOT_FOUND)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass

    def _credential(self) -> tuple[str, str] | None:
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        user, _, password = base64.b64decode(value).decode(errors="replace").partition(":")
        return user, password

    def _token(self, service: str, granted: list[dict[str, Any]]) -> str:
        now = int(time.time())
        head = {"typ": "JWT", "alg": "ES256", "x5c": [self.certificate]}
        claims = {
            "iss": ISSUER,
            "sub": "",
            "aud": service,
            "exp": now + _SECONDS,
            "nbf": now - 60,
            "iat": now,
            "jti": secrets.token_hex(8),
            "access": granted,
        }
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def _answer(self, status: http.HTTPStatus, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text())
    Handler.services = settings["services"]
    key = serialization.load_pem_private_key(Path(settings["key"]).read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    Handler.key = key
    certificate = x509.load_pem_x509_certificate(Path(settings["certificate"]).read_bytes())
    Handler.certificate = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
    server = http.server.ThreadingHTTPServer((settings["address"], 443), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings["certificate"], settings["key"])
    # the handshake belongs to the connection's own thread, not to the one that accepts
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
