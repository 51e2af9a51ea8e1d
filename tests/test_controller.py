"""What the controller's process shows while it leads, and no longer."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

from webhook import metrics
from webhook.controller import Controller, Duty

if TYPE_CHECKING:
    from webhook.election import Election


class Elected:
    """Leads for one round; then another one does, and `over` is called after a round of that."""

    def __init__(self) -> None:
        self.looked = threading.Event()
        self.rounds = 0
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
