"""The elected process: what is written to the cluster is written here, by one leader at a time.

Why a process of its own: the webhook stays read-only and scales by replicas, while certificates need exactly one
writer with rights that the webhook must not have. A duty is a function that is called every so often while this
process leads; one that fails is told, counted and called again.

Must not: know what a duty does, or let one duty's failure keep another from its turn.
"""

from __future__ import annotations

import http.server
import logging
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from webhook import metrics
from webhook.checks.index import all_checks
from webhook.errors import PullproofError
from webhook.model.policy import ClusterPolicy
from webhook.model.policy_book import PolicyBook
from webhook.model.policy_spec import API_VERSION, GROUP, VERSION, read_policy
from webhook.model.policy_status import status_of
from webhook.sources.connection import collection_path, object_path
from webhook.sources.errors import NotFoundError
from webhook.sources.listing import list_all
from webhook.sources.policies import RESOURCES, policies_path
from webhook.sources.writing import NotLeading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from webhook.election import Election
    from webhook.model.policy_book import Conflict
    from webhook.model.policy_spec import PolicyObject
    from webhook.sources.connection import Connection
    from webhook.sources.writing import Writer

_log = logging.getLogger(__name__)

STUCK_SECONDS: Final = 120.0
"""A loop that has not come round for so long is reported as not alive; every call that a duty makes is bounded."""

_ROUND_SECONDS: Final = 0.5
_READ_SECONDS: Final = 5.0
_WRITTEN_AT_ONCE: Final = 200
_NAMESPACES_SECONDS: Final = 60
"""How long a label of a namespace may go unseen in a policy's status: there may be ten thousand namespaces to list."""


@dataclass(frozen=True, slots=True)
class Duty:
    """`run` every `seconds` while leading; it may raise anything."""

    name: str
    seconds: float
    run: Callable[[], object]


class Controller:
    """Runs the duties from `run` until `stop`; `run` blocks, and gives the leadership back at its end."""

    def __init__(
        self, election: Election, duties: Sequence[Duty], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._election = election
        self._duties = duties
        self._clock = clock
        self._stopping = threading.Event()
        self._last_round = clock()
        self._failing: dict[str, str] = {}

    def run(self) -> None:
        due = dict.fromkeys((duty.name for duty in self._duties), 0.0)
        self._election.start()
        try:
            while not self._stopping.is_set():
                self._last_round = self._clock()
                leads = self._election.leads()
                metrics.LEADING.set(leads)
                if not leads:  # what it knew is for another to tell now: left as it was, it would raise alarms one day
                    metrics.CERTIFICATE_EXPIRY.clear()
                    metrics.NAMESPACES_SKIPPED.set(0)
                for duty in self._duties:
                    if not leads:
                        due[duty.name] = 0.0  # a new leader looks at once
                    elif self._clock() >= due[duty.name] and not self._stopping.is_set():
                        self._do(duty)
                        due[duty.name] = self._clock() + duty.seconds
                self._stopping.wait(_ROUND_SECONDS)
        finally:
            metrics.LEADING.set(0)
            self._election.stop()

    def stop(self) -> None:
        """End `run` after the duty under way. Safe in a signal handler."""
        self._stopping.set()

    def not_alive(self) -> str | None:
        """What is stuck, or None."""
        if not self._election.alive():
            return "the election has ended"
        silent = self._clock() - self._last_round
        return f"no round for {silent:.0f} s" if silent > STUCK_SECONDS else None

    def not_ready(self) -> str | None:
        """What is missing for this process to be able to lead, or None."""
        if self._election.looked.is_set():
            return None
        return f"the API server has not answered yet ({self._election.last_error or 'asking'})"

    def _do(self, duty: Duty) -> None:
        try:
            duty.run()
        except NotLeading as error:
            _log.info("%s: %s", duty.name, error)
            return
        except PullproofError as error:
            trouble = f"{error}; {error.fix}" if error.fix else str(error)
        except Exception as error:  # noqa: BLE001 the loop has to outlive any defect of a duty
            trouble = _defect(error)
        else:
            metrics.DUTIES.labels(duty.name, "done").inc()
            if self._failing.pop(duty.name, None):
                _log.info("%s: works again", duty.name)
            return
        metrics.DUTIES.labels(duty.name, "failed").inc()
        if self._failing.get(duty.name) != trouble:  # said once, however often it is tried
            _log.error("%s: %s", duty.name, trouble)
        self._failing[duty.name] = trouble


def _defect(error: Exception) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = "" if frame is None else f" at {Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
    return f"{type(error).__name__}{where}"


def skipped_namespaces(selector: Mapping[str, Any], namespaces: Iterable[tuple[str, Mapping[str, str]]]) -> list[str]:
    """The namespaces, by name and labels, that a webhook's namespaceSelector leaves out; sorted.

    apimachinery/pkg/apis/meta/v1 LabelSelectorAsSelector (v0.36): a key that is missing satisfies NotIn.
    """
    return sorted(name for name, labels in namespaces if not _selects(selector, labels))


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for requirement in selector.get("matchExpressions") or ():
        key, operator = requirement.get("key"), requirement.get("operator")
        values = requirement.get("values") or ()
        holds = {
            "In": labels.get(key) in values,
            "NotIn": key not in labels or labels[key] not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }.get(operator, False)
        if not holds:
            return False
    return True


class SkippedNamespaces:
    """Tells which namespaces the API server doesn't show to the webhook, whoever wrote the selector.

    Why: some clouds rewrite it (AKS leaves out every namespace labelled `control-plane`), and whoever believes to be
    protected should know. Names go to the log, when they change; the metric counts them.
    """

    def __init__(self, connection: Connection, configuration: str) -> None:
        self._connection = connection
        self._configuration = configuration
        self._said: list[str] | None = None

    def run(self) -> None:
        """Raises ApiError."""
        resource = "validatingwebhookconfigurations"
        path = object_path("admissionregistration.k8s.io", "v1", resource, self._configuration)
        try:
            found = self._connection.get_json(path, timeout_seconds=_READ_SECONDS)
        except NotFoundError:
            found = {}
        namespaces = [
            (str(item["metadata"]["name"]), item["metadata"].get("labels") or {})
            for item in list_all(self._connection, collection_path("", "v1", "namespaces"))
        ]
        hooks = found.get("webhooks") or ()
        # seen by one of them is seen
        skipped = [name for name, _ in namespaces]
        for hook in hooks:
            left_out = set(skipped_namespaces(hook.get("namespaceSelector") or {}, namespaces))
            skipped = [name for name in skipped if name in left_out]
        metrics.NAMESPACES_SKIPPED.set(len(skipped))
        if skipped != self._said:
            self._said = skipped
            _log.info("namespaces that skip the webhook: %s", ", ".join(skipped) or "none")


class PolicyStatus:
    """Writes into each policy whether it is in force, and what of it does not hold where it meets others.

    Only what differs from what stands there is written, a bounded number at a time: the rest has its turn next.
    """

    def __init__(self, connection: Connection, writer: Writer, clock: Callable[[], float] = time.time) -> None:
        self._connection = connection
        self._writer = writer
        self._clock = clock
        self._policies: list[PolicyObject] = []
        self._worked_out = 0
        self._conflicts: Mapping[str, tuple[Conflict, ...]] = {}

    def run(self) -> None:
        """Raises ApiError, NotLeading."""
        found = [(kind, obj) for kind in RESOURCES for obj in self._listed(kind)]
        if not found:
            return
        policies = [read_policy({**obj, "kind": kind}) for kind, obj in found]
        now, codes = int(self._clock()), frozenset(check.code for check in all_checks())
        if policies != self._policies or not 0 <= now - self._worked_out < _NAMESPACES_SECONDS:
            namespaces = (
                (str(item["metadata"]["name"]), item["metadata"].get("labels") or {})
                for item in list_all(self._connection, collection_path("", "v1", "namespaces"))
            )
            self._conflicts = PolicyBook(ClusterPolicy(), policies).conflicts(namespaces)
            self._policies, self._worked_out = policies, now
        written = 0
        for (kind, obj), policy in zip(found, policies, strict=True):
            known = obj.get("status") or {}
            status = status_of(policy, self._conflicts.get(policy.source, ()), known, now=now, codes=codes)
            if status == known:
                continue
            if written == _WRITTEN_AT_ONCE:
                return
            written += 1
            path = object_path(GROUP, VERSION, RESOURCES[kind], policy.name, namespace=policy.namespace)
            metadata = {"name": policy.name, **({"namespace": policy.namespace} if policy.namespace else {})}
            document = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "status": status}
            try:
                self._writer.apply(f"{path}/status", document)
            except NotFoundError:
                continue  # deleted meanwhile

    def _listed(self, kind: str) -> list[dict[str, Any]]:
        try:
            return list(list_all(self._connection, policies_path(kind)))
        except NotFoundError:  # the CRDs are not installed, so there is nothing to say
            return []


def serve_health(host: str, port: int, controller: Controller) -> http.server.ThreadingHTTPServer:
    """/livez, /readyz and /metrics over plain http, on a thread of their own; `shutdown()` ends it. Raises OSError.

    Plain, for there is nothing secret in them and the certificates are what this process may have to mend first.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 5
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            kind = "text/plain; charset=utf-8"
            if self.path == "/metrics":
                status, body, kind = 200, generate_latest(), CONTENT_TYPE_LATEST
            elif self.path in {"/livez", "/readyz"}:
                trouble = controller.not_alive() if self.path == "/livez" else controller.not_ready()
                status, body = (200, b"ok\n") if trouble is None else (503, f"{trouble}\n".encode())
            else:
                status, body = 404, b"not found\n"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class names it so
            del format, args  # probes come every few seconds

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    server = Server((host, port), Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
