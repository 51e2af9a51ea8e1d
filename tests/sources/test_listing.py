from __future__ import annotations

import pytest

from tests.sources.scripted import answer, page, refuse
from webhook.sources.errors import BusyError, GarbledError, GoneError
from webhook.sources.listing import list_all, list_pages

PATH = "/api/v1/things"


def names(items):
    return [item["metadata"]["name"] for item in items]


def test_all_pages_are_asked_for_with_the_same_selectors(api, connection):
    api.script(answer(page("x", "y", more="t1")), answer(page("z", more="t2")), answer(page()))
    found = list(list_all(connection, PATH, query={"fieldSelector": "type=t"}, page=2))
    assert names(found) == ["x", "y", "z"]
    assert [request.query for request in api.requests] == [
        {"fieldSelector": "type=t", "limit": "2"},
        {"fieldSelector": "type=t", "limit": "2", "continue": "t1"},
        {"fieldSelector": "type=t", "limit": "2", "continue": "t2"},
    ]


def test_items_get_the_kind_that_a_list_leaves_out(api, connection):
    api.script(answer(page("x")))
    (found,) = list_all(connection, PATH)
    assert (found["apiVersion"], found["kind"]) == ("v1", "Thing")


def test_null_for_no_items(api, connection):
    api.script(answer({**page(), "items": None}))
    assert list(list_all(connection, PATH)) == []


def test_a_snapshot_that_is_gone_is_gone_on_with_from_a_newer_one(api, connection):
    expired = refuse(410, "Expired", **{"continue": "newer"})
    api.script(answer(page("x", more="t1")), expired, answer(page("y")))
    assert names(list_all(connection, PATH)) == ["x", "y"]
    assert [request.query.get("continue") for request in api.requests] == [None, "t1", "newer"]


def test_where_one_snapshot_is_asked_it_is_an_error(api, connection):
    expired = refuse(410, "Expired", **{"continue": "newer"})
    api.script(answer(page("x", more="t1")), expired)
    with pytest.raises(GoneError):
        list(list_pages(connection, PATH, page=1))


@pytest.mark.parametrize("more", [{}, {"continue": "t1"}])
def test_a_410_that_leads_nowhere_ends(api, connection, more):
    api.script(answer(page("x", more="t1")), refuse(410, "Expired", **more))
    with pytest.raises(GoneError):
        list(list_all(connection, PATH))


def test_other_errors_come_through(api, connection):
    api.script(answer(page("x", more="t1")), refuse(429, "TooManyRequests"))
    with pytest.raises(BusyError):
        list(list_all(connection, PATH))


@pytest.mark.parametrize("document", [{}, {"metadata": {}, "items": "x"}, {"metadata": None, "items": []}])
def test_what_is_no_list_is_said(api, connection, document):
    api.script(answer(document))
    with pytest.raises(GarbledError) as caught:
        list(list_all(connection, PATH))
    assert str(caught.value) == "the API server's answer to GET /api/v1/things is not a list"


def test_a_page_is_dropped_before_the_next_is_asked_for(api, connection):
    api.script(answer(page("x", more="t1")), answer(page("y")))
    pages = list_pages(connection, PATH, page=1)
    first = next(pages)
    assert len(first.items) == 1
    next(pages)
    assert first.items == []
