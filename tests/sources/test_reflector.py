"""The reflector against scripted answers: what a real API server can't be made to say at the right moment."""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time

import pytest

from tests.sources.conftest import IMPATIENT, QUICK
from tests.sources.scripted import (
    added,
    answer,
    bookmark,
    event,
    hang,
    lines,
    page,
    refuse,
    status,
    streaming_list,
    thing,
)
from tests.waiting import eventually
from webhook.sources.cache import Key
from webhook.sources.reflector import Reflector

SLOW_BACKOFF = dataclasses.replace(QUICK, backoff=60, backoff_longest=60)


def held(reflector):
    return {f"{key.namespace}/{key.name}": value for key, value in reflector.cache.all()}


def kinds(api):
    return ["list" if r.is_streaming_list else "watch" if r.is_watch else "page" for r in api.requests]


# listing


def test_a_streaming_list_then_a_watch_from_its_version(api, follow):
    api.script(streaming_list("x", "y", version=10), lines(then="hang"))
    reflector = follow(field_selector="type=t", label_selector="a=b")
    assert reflector.synced.wait(30)
    eventually(lambda: len(api.requests) == 2)
    assert held(reflector) == {"a/x": "", "a/y": ""}
    selectors = {"fieldSelector": "type=t", "labelSelector": "a=b", "watch": "true", "allowWatchBookmarks": "true"}
    assert api.requests[0].query == {
        **selectors,
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "timeoutSeconds": "30",
    }
    assert api.requests[1].query == {**selectors, "resourceVersion": "10", "timeoutSeconds": "1"}


def test_nothing_shows_before_the_list_is_whole(api, follow):
    finish = threading.Event()

    def slowly(reply):
        reply.begin()
        reply.chunk(added("x"))
        finish.wait(20)
        reply.chunk(event("DELETED", thing("x", 2)) + added("y") + bookmark(9, end_of_list=True))
        reply.hang()

    api.script(slowly, lines(then="hang"))
    reflector = follow()
    eventually(lambda: api.requests)
    assert not reflector.synced.is_set()
    assert reflector.stale_seconds(time.monotonic()) == math.inf
    assert held(reflector) == {}
    finish.set()
    assert reflector.synced.wait(30)
    assert held(reflector) == {"a/y": ""}


@pytest.mark.parametrize("code", [400, 422])
def test_where_streaming_is_not_offered_small_pages_are_read(api, follow, code):
    api.script(
        refuse(code, "Invalid"),
        answer(page("x", more="t", version=7)),
        answer(page("y", version=7)),
        lines(then="hang"),
    )
    reflector = follow(page=50, project=lambda item: item["kind"])
    assert reflector.synced.wait(30)
    eventually(lambda: len(api.requests) == 4)
    assert held(reflector) == {"a/x": "Thing", "a/y": "Thing"}
    assert api.requests[1].query == {"limit": "50"}
    assert api.requests[2].query == {"limit": "50", "continue": "t"}
    assert api.requests[3].query["resourceVersion"] == "7"


@pytest.mark.parametrize(
    "old_server",
    [lines(added("x"), then="end"), lines(added("x"), bookmark(3), then="hang")],
    ids=["ended unmarked", "silent"],
)
def test_an_api_server_that_takes_it_for_a_plain_watch_is_read_in_pages(api, follow, old_server):
    api.script(old_server, answer(page("y", version=7)), lines(then="hang"))
    reflector = follow(timings=IMPATIENT)
    assert reflector.synced.wait(30)
    assert held(reflector) == {"a/y": ""}


def test_a_snapshot_that_expires_between_pages_starts_the_list_again(api, follow):
    unoffered = refuse(422, "Invalid")
    expired = refuse(410, "Expired", **{"continue": "inconsistent"})
    api.script(unoffered, answer(page("x", more="t")), expired, unoffered, answer(page("y")), lines(then="hang"))
    reflector = follow()
    assert reflector.synced.wait(30)
    assert held(reflector) == {"a/y": ""}


def test_a_slow_page_is_given_up_and_asked_again(api, follow):
    unoffered = refuse(422, "Invalid")
    api.script(unoffered, hang, unoffered, answer(page("x", version=7)), lines(then="hang"))
    reflector = follow(timings=IMPATIENT)
    eventually(lambda: reflector.last_error)
    assert reflector.last_error == "GET /api/v1/things: nothing heard from the API server for 1 s"
    assert reflector.synced.wait(30)
    assert held(reflector) == {"a/x": ""}


def test_a_list_without_a_version_is_not_trusted(api, follow):
    nameless = {**page("x"), "metadata": {}}
    unoffered = refuse(422, "Invalid")
    api.script(unoffered, answer(nameless), unoffered, answer(page("y", version=7)), lines(then="hang"))
    reflector = follow()
    eventually(lambda: reflector.last_error)
    assert reflector.last_error == "the API server's list of /api/v1/things has no resourceVersion"
    assert reflector.synced.wait(30)
    assert held(reflector) == {"a/y": ""}


# watching


def test_changes_are_followed_and_told(api, follow):
    told = []
    api.script(
        streaming_list("x", version=10),
        lines(
            event("ADDED", thing("y", 11, value="1")),
            event("MODIFIED", thing("y", 12, value="2")) + event("MODIFIED", thing("y", 13, value="2")),
            event("DELETED", thing("x", 14)),
            then="hang",
        ),
    )
    reflector = follow(on_change=lambda key, old, new: told.append((key.name, old, new)))
    eventually(lambda: held(reflector) == {"a/y": "2"})
    eventually(lambda: told == [("x", None, ""), ("y", None, "1"), ("y", "1", "2"), ("x", "", None)])


def test_a_watch_that_ends_goes_on_from_the_last_bookmark(api, follow):
    api.script(streaming_list(version=10), lines(bookmark(15)), lines(added("x", version=16)), lines(then="hang"))
    follow()
    eventually(lambda: len(api.requests) == 4)
    assert [request.query.get("resourceVersion") for request in api.requests] == [None, "10", "15", "16"]


def test_a_silent_connection_is_left_and_its_error_shown_until_the_next_watch_stands(api, follow):
    api.script(streaming_list("x", version=10), lines(then="hang"), streaming_list("y", version=11), lines(then="hang"))
    reflector = follow(timings=dataclasses.replace(IMPATIENT, backoff=0.5, backoff_longest=0.5))
    eventually(lambda: reflector.last_error)
    assert reflector.last_error == "GET /api/v1/things (watch): nothing heard from the API server for 2 s"
    assert held(reflector) == {"a/x": ""}
    eventually(lambda: reflector.last_error is None)
    assert held(reflector) == {"a/y": ""}


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(refuse(410, "Expired"), id="410"),
        pytest.param(lines(event("ERROR", status(410, "Expired")), then="hang"), id="410 as event"),
        pytest.param(lines(event("ERROR", status(500, "InternalError")), then="hang"), id="500 as event"),
        pytest.param(lines(event("ERROR", {}), then="hang"), id="an error that says nothing"),
        pytest.param(lines(b"\x00\xff garbage\n", then="hang"), id="garbage"),
        pytest.param(lines(b"null\n", then="hang"), id="null"),
        pytest.param(lines(b'{"type": "ADDED", "object": null}\n', then="hang"), id="null object"),
        pytest.param(lines(b'{"type": "ADDED", "object": {"metadata": []}}\n', then="hang"), id="no metadata"),
        pytest.param(lines(event("NEWS", thing("x")), then="hang"), id="unknown type"),
        pytest.param(lines(b'{"type": "ADDED", "obj', then="cut"), id="a broken connection"),
        pytest.param(refuse(504, "Timeout", message="Too large resource version: 10, current: 3"), id="504"),
        pytest.param(refuse(503, "ServiceUnavailable"), id="503"),
        pytest.param(refuse(401, "Unauthorized"), id="401"),
        pytest.param(refuse(403, "Forbidden"), id="403"),
        pytest.param(refuse(400, "BadRequest"), id="400"),
        pytest.param(refuse(404, "NotFound"), id="404"),
    ],
)
def test_whatever_puts_the_state_in_doubt_lists_again(api, follow, trouble):
    told = []
    api.script(streaming_list("x", "y", version=10), trouble, streaming_list("y", version=20), lines(then="hang"))
    reflector = follow(on_change=lambda key, old, new: told.append((key.name, old, new)))
    eventually(lambda: kinds(api) == ["list", "watch", "list", "watch"])
    assert held(reflector) == {"a/y": ""}
    assert told[-1] == ("x", "", None)
    assert api.requests[3].query["resourceVersion"] == "20"


def test_being_asked_to_wait_costs_no_list(api, follow):
    busy = refuse(429, "TooManyRequests")
    api.script(streaming_list("x", version=10), busy, busy, lines(added("y", version=11), then="hang"))
    reflector = follow()
    eventually(lambda: held(reflector) == {"a/x": "", "a/y": ""})
    assert kinds(api) == ["list", "watch", "watch", "watch"]
    assert api.requests[3].query["resourceVersion"] == "10"


def test_a_cache_grows_old_while_the_api_server_refuses(api, follow):
    now = [100.0]
    api.script(streaming_list("x", version=10), refuse(403, "Forbidden", message="things is forbidden"))
    reflector = follow(clock=lambda: now[0])
    eventually(lambda: reflector.last_error)
    now[0] = 190.0
    eventually(lambda: len(api.requests) > 4)
    state = reflector.state()
    assert (state.name, state.synced, state.objects, state.stale_seconds) == ("things", True, 1, 90.0)
    assert state.last_error == "the API server answered 403 to GET /api/v1/things (watch): things is forbidden"


def test_every_line_and_every_orderly_end_counts_as_heard(api, follow):
    now, go = [100.0], threading.Semaphore(0)

    def stepwise(reply):
        reply.begin()
        go.acquire(timeout=20)
        reply.chunk(bookmark(11))
        go.acquire(timeout=20)
        reply.end()

    api.script(streaming_list("x", version=10), stepwise, lines(then="hang"))
    reflector = follow(clock=lambda: now[0])
    eventually(lambda: len(api.requests) == 2)
    for moment in (110.0, 120.0):
        now[0] = moment
        go.release()
        eventually(lambda moment=moment: reflector.last_heard == moment)
        assert reflector.stale_seconds(moment + 3) == 3


# waiting


def test_retry_after_is_waited_for(api, follow):
    api.script(streaming_list(version=10), refuse(429, "TooManyRequests", {"Retry-After": "9"}), lines(then="hang"))
    reflector = follow(timings=dataclasses.replace(QUICK, retry_after_longest=0.7))
    waits = []
    wait = reflector._stopping.wait
    reflector._stopping.wait = lambda seconds: waits.append(seconds) or wait(seconds)
    eventually(lambda: len(api.requests) == 3)
    assert waits == [0.7]


def test_pauses_grow_vary_and_are_bounded(api, connection):
    reflector = Reflector(connection, "/api/v1/things", str)
    waits = []
    reflector._stopping.wait = waits.append
    for _ in range(2000):
        reflector._failed("x", 0)
    assert all(0.25 <= wait <= 0.5 for wait in waits[:1])
    assert all(2**n / 4 <= waits[n] <= 2**n / 2 for n in range(5))
    assert all(5 <= wait <= 10 for wait in waits[5:])
    assert len(set(waits)) > 1000


def test_an_api_server_that_ends_every_watch_at_once_is_not_hammered(api, follow):
    api.script(streaming_list(version=10), lines())
    reflector = follow(timings=SLOW_BACKOFF)
    eventually(lambda: reflector.last_error)
    assert reflector.last_error == "GET /api/v1/things (watch): ended as soon as it began"
    assert len(api.requests) == 2


def test_a_list_that_is_too_old_again_and_again_is_not_hammered(api, follow):
    expired = lines(event("ERROR", status(410, "Expired")))
    api.script(*[streaming_list(version=10), expired] * 6, streaming_list(version=10), lines(then="hang"))
    reflector = follow()
    failures = set()
    eventually(lambda: failures.add(reflector._failures) or len(api.requests) == 14)
    assert max(failures) == 6


# projection, listeners, life


def test_an_object_that_can_not_be_read_hides_no_other_and_nothing_of_it_is_told(api, follow, caplog):
    caplog.set_level(logging.DEBUG, logger="webhook")

    def project(item):
        if item["value"] == "planted":
            raise ValueError(item["value"])
        return item["value"]

    seen = threading.Event()

    def watch(reply):
        reply.begin()
        reply.chunk(event("MODIFIED", thing("y", 11, value="planted")))
        seen.wait(20)
        reply.chunk(event("MODIFIED", thing("x", 12, value="good")) + event("DELETED", thing("y", 13)))
        reply.hang()

    api.script(
        lines(event("ADDED", thing("x", value="planted")) + added("y") + bookmark(10, end_of_list=True), then="hang"),
        watch,
    )
    reflector = follow(project=project)
    eventually(lambda: reflector.state().unreadable == 2)
    assert held(reflector) == {}
    seen.set()
    eventually(lambda: held(reflector) == {"a/x": "good"})
    eventually(lambda: reflector.state().unreadable == 0)
    assert "things: a/x left out: ValueError at test_reflector.py:" in caplog.text
    assert "planted" not in caplog.text


def test_what_the_projection_does_not_want_is_not_kept(api, follow):
    api.script(
        lines(added("x", "y") + bookmark(10, end_of_list=True), then="hang"),
        lines(event("MODIFIED", thing("x", 11, value="done")), then="hang"),
    )
    reflector = follow(project=lambda item: None if item["value"] == "done" else item["metadata"]["name"])
    eventually(lambda: held(reflector) == {"a/y": "y"})
    assert reflector.state().unreadable == 0


def test_ready_means_that_the_listener_has_heard_of_the_first_list(api, follow):
    heard, go_on = [], threading.Event()

    def listen(key, old, new):
        heard.append(key.name)
        go_on.wait(20)

    api.script(streaming_list("x", "y", version=10), lines(then="hang"))
    reflector = follow(on_change=listen)
    eventually(lambda: heard)
    assert not reflector.synced.is_set()
    go_on.set()
    assert reflector.synced.wait(30)
    assert heard == ["x", "y"]


def test_a_list_anew_keeps_the_one_copy_of_what_is_unchanged(api, follow):
    api.script(
        streaming_list("x", "y", version=10),
        refuse(410, "Expired"),
        lines(added("x") + event("ADDED", thing("y", 12, value="new")) + bookmark(12, end_of_list=True), then="hang"),
        lines(then="hang"),
    )
    reflector = follow(project=lambda item: (item["metadata"]["name"], item["value"]))
    assert reflector.synced.wait(30)
    before = held(reflector)
    eventually(lambda: held(reflector)["a/y"] == ("y", "new"))
    assert held(reflector)["a/x"] is before["a/x"]


def test_a_listener_that_fails_stops_nothing(api, follow, caplog):
    def listen(key, old, new):
        raise RuntimeError("planted")

    api.script(streaming_list("x", version=10), lines(added("y", version=11), then="hang"))
    reflector = follow(on_change=listen)
    eventually(lambda: held(reflector) == {"a/x": "", "a/y": ""})
    eventually(lambda: caplog.text.count("a listener failed: RuntimeError at test_reflector.py:") == 2)
    assert "planted" not in caplog.text


def test_a_defect_of_ours_does_not_end_the_thread(api, follow, monkeypatch):
    broken = [True]
    replace = Reflector._list_streaming

    def once(self, fresh):
        if broken.pop() if broken else False:
            raise RuntimeError("planted")
        return replace(self, fresh)

    monkeypatch.setattr(Reflector, "_list_streaming", once)
    api.script(streaming_list("x", version=10), lines(then="hang"))
    reflector = follow(timings=dataclasses.replace(QUICK, backoff=0.5))
    eventually(lambda: reflector.last_error)
    assert reflector.last_error.startswith("things: RuntimeError at test_reflector.py:")
    assert reflector.synced.wait(30)
    assert held(reflector) == {"a/x": ""}


def test_stop_ends_a_watch_that_waits(api, follow):
    api.script(streaming_list("x", version=10), lines(then="hang"))
    reflector = follow(timings=dataclasses.replace(QUICK, watch=3000))
    eventually(lambda: reflector.state().watches)
    assert reflector.stop(20)
    assert held(reflector) == {"a/x": ""}
    assert reflector.last_error is None


def test_stop_ends_a_list_and_keeps_what_was_there(api, follow):
    api.script(
        streaming_list("x", version=10),
        refuse(410, "Expired"),
        lines(added("y"), then="hang"),
    )
    reflector = follow()
    eventually(lambda: len(api.requests) == 3 and reflector._stream is not None)
    assert reflector.stop(20)
    assert held(reflector) == {"a/x": ""}
    assert len(api.requests) == 3


def test_stop_ends_a_pause(api, follow):
    api.script(refuse(503, "ServiceUnavailable"))
    reflector = follow(timings=SLOW_BACKOFF)
    eventually(lambda: reflector.last_error)
    assert reflector.stop(20)


def test_stop_without_start_and_a_second_start(connection):
    reflector = Reflector(connection, "/api/v1/things", str)
    assert reflector.stop()
    reflector.start()
    with pytest.raises(RuntimeError, match="reflector things was started before"):
        reflector.start()
    assert reflector.stop()


def test_nothing_runs_before_start(api, connection):
    Reflector(connection, "/api/v1/things", str)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reflector")]
    assert api.requests == []


def test_objects_without_a_namespace_are_kept_under_the_empty_one(api, follow):
    node = thing("n1")
    del node["metadata"]["namespace"]
    api.script(lines(event("ADDED", node) + bookmark(10, end_of_list=True), then="hang"), lines(then="hang"))
    reflector = follow()
    assert reflector.synced.wait(30)
    assert dict(reflector.cache.all()) == {Key("", "n1"): ""}
