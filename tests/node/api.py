"""The API server over one kept connection: hundreds of objects are made and read in seconds.

Why not kubectl: it starts anew for every call, and holds itself to fifty requests a second.

Must not: hide an answer; what is not a success is an `ApiError`, but for those that the caller expects.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tests.controlplane.controlplane import ControlPlane

_PLURALS = {
    "DaemonSet": ("/apis/apps/v1", "daemonsets"),
    "Namespace": ("/api/v1", "namespaces"),
    "Node": ("/api/v1", "nodes"),
    "Pod": ("/api/v1", "pods"),
    "Secret": ("/api/v1", "secrets"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
}


class ApiError(RuntimeError):
    """The API server refused. `status` is the HTTP status, the message its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Api:
    """Requests as the control plane's administrator. A context manager: it closes its connection."""

    def __init__(self, plane: ControlPlane) -> None:
        address = urlsplit(plane.host)
        tls = ssl.create_default_context(cadata=plane.ca_pem.decode())
        tls.load_cert_chain(plane.state / "admin.pem")
        self._connection = http.client.HTTPSConnection(
            str(address.hostname), address.port or 443, timeout=60, context=tls
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def request(self, method: str, path: str, body: Any = None, media_type: str = "application/json") -> dict[str, Any]:
        content = None if body is None else json.dumps(body)
        self._connection.request(method, path, content, {"Content-Type": media_type, "Accept": "application/json"})
        answer = self._connection.getresponse()
        read = answer.read()
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            try:
                message = json.loads(read)["message"]
            except (ValueError, KeyError):
                message = read.decode(errors="replace")
            raise ApiError(answer.status, message)
        found: dict[str, Any] = json.loads(read)
        return found

    def create(self, obj: dict[str, Any], namespace: str = "", *, query: str = "") -> dict[str, Any]:
        """Create an object of a kind that the scenarios have; `namespace` empty for those of the cluster."""
        prefix, plural = _PLURALS[obj["kind"]]
        place = f"/namespaces/{namespace}" if namespace else ""
        return self.request("POST", f"{prefix}{place}/{plural}{query}", {"apiVersion": "v1", **obj})

    def items(self, path: str) -> list[dict[str, Any]]:
        """All objects of a collection, e.g. `/api/v1/pods`."""
        found: list[dict[str, Any]] = self.request("GET", path)["items"]
        return found
