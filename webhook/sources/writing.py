"""The few writes that pullproof makes: certificates, the caBundle, the controller's Lease, Events on workloads.

Why a module of its own: what answers reviews only reads, and import-linter holds it to that by forbidding it this
import; its Events go through a queue (webhook/sources/events.py). Must not be reached from `webhook.admission`, retry a
refusal, or say anything of what was written in an error.

Protocol: Kubernetes API concepts, "Server-side apply", "Resource versions" (v1.36).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from webhook.errors import PullproofError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from webhook.sources.connection import Connection

MANAGER: Final = "pullproof-controller"
"""The field manager of everything that is written, as `kubectl get --show-managed-fields` shows it."""

WRITE_SECONDS: Final = 4.0
"""The longest a write may take; the election counts on it (webhook/election.py)."""


class NotLeading(PullproofError):
    """The write was not sent, for this process is no longer the one that may."""


class Writer:
    """Writes through one connection, as long as `allowed` says so; safe to share between threads."""

    def __init__(
        self, connection: Connection, allowed: Callable[[], bool] = lambda: True, *, manager: str = MANAGER
    ) -> None:
        self._connection = connection
        self._allowed = allowed
        self._manager = manager

    def create(self, collection: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """POST a new object. Raises ApiError; ConflictError where there is one of that name already."""
        return self._send("POST", collection, document, "application/json", {"fieldManager": self._manager})

    def replace(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """PUT a whole object that was read before. Raises ApiError; ConflictError where it has changed since.

        `document` carries the resourceVersion it was read with, or the API server would not notice.
        """
        return self._send("PUT", path, document, "application/json", {"fieldManager": self._manager})

    def apply(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Server-side apply: become the owner of the fields in `document`, whoever was it, and touch no other."""
        query = {"fieldManager": self._manager, "force": "true"}
        return self._send("PATCH", path, document, "application/apply-patch+yaml", query)  # JSON is YAML

    def merge(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """JSON merge patch (RFC 7386): the fields in `document` are set, None removes one."""
        return self._send("PATCH", path, document, "application/merge-patch+json", {"fieldManager": self._manager})

    def _send(
        self, method: str, path: str, document: Mapping[str, Any], content_type: str, query: Mapping[str, str]
    ) -> dict[str, Any]:
        if not self._allowed():
            raise NotLeading(f"{method} {path}: not sent, another controller leads by now")
        body = orjson.dumps(document)
        exchange = self._connection._exchange  # noqa: SLF001 the one way out, kept from everybody else
        return exchange(method, path, query, body, content_type, WRITE_SECONDS)
