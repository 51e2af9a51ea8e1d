"""What the controller's process shows while it leads, and no longer."""

from __future__ import annotations

import http.client
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from webhook import metrics
from webhook.controller import Controller, Duty, PolicyStatus, serve_health

if TYPE_CHECKING:
    from webhook.election import Election
    from webhook.sources.connection import Connection
    from webhook.sources.writing import Writer


class Elected:
    """Leads for one round; then another one does, and `over` is called after a round of that."""

    def __init__(self) -> None:
        self.looked = threading.Event()
        self.rounds = 0
        self.last_error = ""
        self.over = lambda: None

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def leads(self) -> bool:
        self.rounds += 1
        if self.rounds > 1:
            self.over()
        return self.rounds == 1


def certificates() -> list[object]:
    return [sample for family in metrics.CERTIFICATE_EXPIRY.collect() for sample in family.samples]


def test_who_leads_no_longer_tells_of_no_certificate() -> None:
    """A day that nobody keeps up would pass one day, and raise an alarm about a certificate that was renewed since."""
    shown = []

    def look() -> None:
        metrics.CERTIFICATE_EXPIRY.labels("serving").set(1_800_000_000)
        metrics.NAMESPACES_SKIPPED.set(5)
        shown.append(len(certificates()))

    elected = Elected()
    controller = Controller(cast("Election", elected), [Duty("certificates", 5, look)])
    elected.over = controller.stop
    controller.run()
    assert shown == [1]
    assert certificates() == []
    assert metrics.NAMESPACES_SKIPPED._value.get() == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_is_asked_for_its_health_over_either_ip(host: str) -> None:
    controller = Controller(cast("Election", Elected()), [])
    server = serve_health(host, 0, controller)
    try:
        connection = http.client.HTTPConnection(host, server.server_port, timeout=10)
        connection.request("GET", "/readyz")
        assert connection.getresponse().read() == b"the API server has not answered yet (asking)\n"
    finally:
        server.shutdown()
        server.server_close()


class Lists:
    """An API server with one policy and one namespace; `asked` are the collections that were listed."""

    def __init__(self) -> None:
        self.priority = 0
        self.asked: list[str] = []
        self.applied: list[str] = []

    def get_json(self, path: str, *_: Any, **__: Any) -> dict[str, Any]:
        self.asked.append(path.rpartition("/")[2])
        policy = {"metadata": {"name": "a"}, "spec": {"priority": self.priority}}
        items = {"clusterpullpolicies": [policy], "namespaces": [{"metadata": {"name": "shop"}}]}
        return {"metadata": {"resourceVersion": "1"}, "items": items.get(self.asked[-1], [])}

    def apply(self, path: str, document: dict[str, Any]) -> None:
        assert document["status"]["conditions"][0]["type"] == "Ready"
        self.applied.append(path)


def test_namespaces_are_not_listed_for_every_look_at_policies() -> None:
    api, now = Lists(), [1_800_000_000.0]
    status = PolicyStatus(cast("Connection", api), cast("Writer", api), lambda: now[0])

    def listed() -> int:
        api.asked.clear()
        status.run()
        return api.asked.count("namespaces")

    assert [listed(), listed()] == [1, 0]
    assert set(api.applied) == {"/apis/pullproof.dev/v1alpha1/clusterpullpolicies/a/status"}
    now[0] += 60
    assert [listed(), listed()] == [1, 0]
    api.priority = 5
    assert [listed(), listed()] == [1, 0]
