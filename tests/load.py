"""A steady load on an API server, every answer counted by what it was.

Why: "no call fails" is a promise about what happens while replicas, nodes and certificates change, so something has to
call all the while. Dry runs are asked of the webhooks like everything else, and leave nothing behind.

Must not: measure time; on a slow machine the load is thinner, and the same is counted.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from tests.controlplane.controlplane import ControlPlane

RATE = 50  # calls a second
GOOD, BAD, FIX = "contoso.azurecr.io/shop:1", "contoso.azurecr.io//shop:1", "use `contoso.azurecr.io/shop:1`"


class Load:
    """RATE dry-run pod creations a second in the namespace `shop`, half of them to be denied.

    `answers`: `admitted` and `denied` are right; `unjudged` is one that should have been denied and was admitted; all
    else is an error in its own words.
    """

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(10)]
        self._started = 0.0
        self.answers: Counter[str] = Counter()
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self._started

    def __str__(self) -> str:
        answers = ", ".join(f"{count} {answer}" for answer, count in sorted(self.answers.items()))
        return f"{self.total} calls in {self.seconds:.0f} s ({self.total / max(self.seconds, 1):.0f}/s): {answers}"

    @property
    def total(self) -> int:
        return sum(self.answers.values())

    def connect(self) -> http.client.HTTPSConnection:
        host, _, port = self._plane.host.removeprefix("https://").rpartition(":")
        return http.client.HTTPSConnection(host, int(port), context=self._plane._tls, timeout=60)

    def ask(self, connection: http.client.HTTPSConnection, *, good: bool) -> str:
        """One call, and what its answer was."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "probe-", "namespace": "shop"},
            "spec": {"containers": [{"name": "app", "image": GOOD if good else BAD}]},
        }
        connection.request(
            "POST", "/api/v1/namespaces/shop/pods?dryRun=All", json.dumps(pod), {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        text = response.read().decode()
        if response.status == http.HTTPStatus.CREATED:
            return "admitted" if good else "unjudged"
        if not good and response.status == http.HTTPStatus.FORBIDDEN and FIX in text:
            return "denied"
        return f"{response.status} {json.loads(text).get('message', text)[:300]}"

    def _run(self, number: int) -> None:
        pause = len(self._threads) / RATE
        connection = self.connect()
        due = time.monotonic() + pause * number / len(self._threads)
        asked = 0
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + pause, time.monotonic())
            asked += 1
            answer = self.ask(connection, good=asked % 2 == 0)
            with self._lock:
                self.answers[answer] += 1
        connection.close()
