"""Events against the real API server; what no real one does at the wished moment is scripted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client import REGISTRY

from tests.waiting import eventually
from webhook.engine.news import News, Owner
from webhook.sources.connection import connect
from webhook.sources.events import Events
from webhook.sources.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.controlplane.controlplane import ControlPlane

NOTE = "a pod was denied: app: wrong; mend (PULL201 name, certain)"


def news(namespace: str, note: str = NOTE, uid: str = "u-1") -> News:
    owner = Owner("apps/v1", "StatefulSet", "data", uid)
    return News(namespace, owner, "PULL201", "PullproofDenied", note)


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("pullproof_events_total", {"outcome": outcome}) or 0.0


@pytest.fixture
def replica(control_plane: ControlPlane) -> Iterator[Callable[[str], Events]]:
    made: list[Events] = []

    def start(name: str) -> Events:
        connection = connect(str(control_plane.kubeconfig))
        events = Events(connection, Writer(connection), name, quiet_seconds=0, distance_seconds=0.01)
        events.start()
        made.append(events)
        return events

    yield start
    for events in made:
        events.stop()


def stored(plane: ControlPlane, namespace: str) -> list[dict[str, Any]]:
    listed = json.loads(plane.kubectl("-n", namespace, "get", "events.v1.events.k8s.io", "-o", "json").stdout)
    found: list[dict[str, Any]] = listed["items"]
    return found


def count(event: dict[str, Any]) -> int:
    return int(event.get("series", {"count": 1})["count"])


def test_replicas_share_one_event_and_lose_no_count(
    control_plane: ControlPlane, namespace: str, replica: Callable[[str], Events]
) -> None:
    replicas = [replica("one"), replica("two"), replica("three")]
    for _ in range(10):
        for events in replicas:
            events.tell(news(namespace))
    (event,) = eventually(lambda: [one for one in stored(control_plane, namespace) if count(one) == 30])
    assert event["note"] == NOTE
    assert event["regarding"] == {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "name": "data",
        "namespace": namespace,
        "uid": "u-1",
    }


def test_another_text_and_another_owner_are_other_news(
    control_plane: ControlPlane, namespace: str, replica: Callable[[str], Events]
) -> None:
    events = replica("one")
    for one in (news(namespace), news(namespace, note="something else"), news(namespace, uid="u-2")):
        events.tell(one)
    found = eventually(lambda: len(listed := stored(control_plane, namespace)) == 3 and listed)
    assert [count(one) for one in found] == [1, 1, 1]


def test_an_event_that_has_ended_is_made_again(
    control_plane: ControlPlane, namespace: str, replica: Callable[[str], Events]
) -> None:
    events = replica("one")
    events.tell(news(namespace))
    (event,) = eventually(lambda: stored(control_plane, namespace))
    control_plane.kubectl("-n", namespace, "delete", "event", event["metadata"]["name"])
    events.tell(news(namespace))
    (again,) = eventually(lambda: stored(control_plane, namespace))
    assert again["metadata"]["uid"] != event["metadata"]["uid"]


def test_what_the_queue_can_t_take_is_dropped_and_counted(connection: Any) -> None:
    events = Events(connection, Writer(connection), "one")  # never started: nobody takes anything out
    before = counted("dropped")
    for _ in range(1_005):
        events.tell(news("shop"))
    assert counted("dropped") - before == 5


def test_a_missing_right_is_said_once_and_the_next_is_tried(
    control_plane: ControlPlane, namespace: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    content = yaml.safe_load(control_plane.kubeconfig.read_text())
    token = control_plane.kubectl("-n", namespace, "create", "token", "default").stdout.strip()
    content["users"][0]["user"] = {"token": token}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(content))
    connection = connect(str(kubeconfig))
    events = Events(connection, Writer(connection), "one", quiet_seconds=0, distance_seconds=0)
    before = counted("failed")
    events.start()
    try:
        for uid in ("u-1", "u-2"):
            events.tell(news(namespace, uid=uid))
        eventually(lambda: counted("failed") - before == 2)
        control_plane.kubectl(
            "-n",
            namespace,
            "create",
            "rolebinding",
            "x",
            "--clusterrole=admin",
            f"--serviceaccount={namespace}:default",
        )

        def written() -> bool:
            events.tell(news(namespace, uid="u-3"))
            return bool(stored(control_plane, namespace))

        eventually(written)
    finally:
        events.stop()
    assert caplog.text.count("an Event could not be written: the API server answered 403") == 1
