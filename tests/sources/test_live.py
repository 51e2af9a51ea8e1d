from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.sources.scripted import answer, hang, refuse, thing
from tests.waiting import eventually
from webhook.sources.errors import BusyError, ForbiddenError, GarbledError, TimedOutError, UnavailableError
from webhook.sources.live import LiveReads, read_live

PATH = "/api/v1/namespaces/a/things/x"


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def reads(connection, now):
    opened = LiveReads(connection, lambda item: item["value"], call_seconds=1, clock=lambda: now[0])
    yield opened
    opened.close()


def test_an_object_none_and_an_error(api, connection):
    api.script(answer(thing("x")), refuse(404, "NotFound"), refuse(403, "Forbidden"), hang)
    assert read_live(connection, PATH, 5) == thing("x")
    assert read_live(connection, PATH, 5) is None
    with pytest.raises(ForbiddenError):
        read_live(connection, PATH, 5)
    with pytest.raises(TimedOutError):
        read_live(connection, PATH, 0.2)


def test_a_burst_makes_one_call(api, reads):
    released = threading.Event()

    def late(reply):
        released.wait(20)
        answer(thing("x", value="v"))(reply)

    api.script(late)
    with ThreadPoolExecutor(20) as callers:
        futures = [callers.submit(reads.read, PATH, 20) for _ in range(20)]
        eventually(lambda: len(api.requests) == 1)
        released.set()
        assert [future.result() for future in futures] == ["v"] * 20
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("played", "outcome"),
    [(answer(thing("x", value="v")), "v"), (refuse(404, "NotFound"), None)],
    ids=["found", "missing"],
)
def test_an_answer_is_remembered_for_a_second(api, reads, now, played, outcome):
    api.script(played)
    for moment, calls in ((0.0, 1), (0.9, 1), (1.1, 2)):
        now[0] = moment
        assert reads.read(PATH, 20) == outcome
        assert len(api.requests) == calls


def test_what_was_made_meanwhile_is_seen_after_a_second(api, reads, now):
    api.script(refuse(404, "NotFound"), answer(thing("x", value="v")))
    assert reads.read(PATH, 20) is None
    now[0] = 1.1
    assert reads.read(PATH, 20) == "v"


def test_a_failure_is_remembered_too(api, reads, now):
    api.script(refuse(503, "ServiceUnavailable"), answer(thing("x", value="v")))
    for _ in range(3):
        with pytest.raises(UnavailableError):
            reads.read(PATH, 20)
    assert len(api.requests) == 1
    now[0] = 1.1
    assert reads.read(PATH, 20) == "v"


def test_other_objects_have_calls_of_their_own(api, reads):
    api.script(answer(thing("x", value="v")))
    reads.read(PATH, 20)
    reads.read(PATH + "y", 20)
    assert [request.path for request in api.requests] == [PATH, PATH + "y"]


def test_a_callers_deadline_holds_and_does_not_spoil_the_call(api, reads):
    released = threading.Event()

    def late(reply):
        released.wait(20)
        answer(thing("x", value="v"))(reply)

    api.script(late)
    with pytest.raises(TimedOutError) as caught:
        reads.read(PATH, 0.05)
    assert str(caught.value) == f"GET {PATH}: no answer from the API server within 0.05 s"
    released.set()
    assert reads.read(PATH, 20) == "v"
    assert len(api.requests) == 1


def test_a_flood_of_different_objects_is_refused_beyond_a_bound(api, reads):
    api.script(hang)
    for number in range(256):
        reads._future(f"{PATH}{number}")
    with pytest.raises(BusyError):
        reads.read(PATH, 20)


def test_an_object_that_can_not_be_read_is_an_error_without_its_content(api, reads):
    api.script(answer({"planted": 1}))
    with pytest.raises(GarbledError) as caught:
        reads.read(PATH, 20)
    assert str(caught.value) == f"GET {PATH}: an object that can't be read (KeyError)"


def test_closed_reads_do_not_wait(api, connection):
    reads = LiveReads(connection, lambda item: item, threads=1, call_seconds=1)
    api.script(hang)
    outcome = []

    def wait():
        with pytest.raises(UnavailableError) as caught:
            reads.read(PATH + "waiting", 20)
        outcome.append(str(caught.value))

    reads._future(PATH)
    waiter = threading.Thread(target=wait)
    waiter.start()
    eventually(lambda: len(reads._under_way) == 2)
    reads.close()
    waiter.join()
    assert outcome == [f"GET {PATH}waiting: pullproof is shutting down"]
    with pytest.raises(UnavailableError):
        reads.read(PATH + "after", 20)
