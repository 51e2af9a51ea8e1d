"""What the controller's process shows while it leads, and no longer."""

from __future__ import annotations

import http.client
import threading
from typing import TYPE_CHECKING, cast

import pytest

from webhook import metrics
from webhook.controller import Controller, Duty, serve_health

if TYPE_CHECKING:
    from webhook.election import Election


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
