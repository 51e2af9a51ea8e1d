from __future__ import annotations

import pytest

from webhook.sources.cache import Cache, Key


def test_values_are_found_by_namespace_and_name():
    cache: Cache[int] = Cache()
    assert cache.put(Key("a", "x"), 1) is None
    assert cache.put(Key("a", "x"), 2) == 1
    cache.put(Key("b", "x"), 3)
    cache.put(Key("", "node"), 4)
    assert cache.get("a", "x") == 2
    assert cache.get("", "node") == 4
    assert cache.get("a", "y") is None
    assert cache.get("c", "x") is None
    assert len(cache) == 3
    assert dict(cache.all()) == {("a", "x"): 2, ("b", "x"): 3, ("", "node"): 4}


def test_what_a_reader_holds_does_not_change_under_it():
    cache: Cache[int] = Cache()
    cache.put(Key("a", "x"), 1)
    held, everything = cache.in_namespace("a"), cache.all()
    first = next(everything)
    cache.put(Key("a", "y"), 2)
    cache.remove(Key("a", "x"))
    cache.replace({})
    assert dict(held) == {"x": 1}
    assert [first, *everything] == [(Key("a", "x"), 1)]
    assert dict(cache.in_namespace("a")) == {}


def test_a_reader_can_not_change_it():
    cache: Cache[int] = Cache()
    cache.put(Key("a", "x"), 1)
    with pytest.raises(TypeError):
        cache.in_namespace("a")["x"] = 2  # type: ignore[index]


def test_removing_leaves_the_others_and_no_empty_namespace():
    cache: Cache[int] = Cache()
    for name in ("x", "y"):
        cache.put(Key("a", name), 1)
    assert cache.remove(Key("a", "none")) is None
    assert cache.remove(Key("b", "x")) is None
    assert cache.remove(Key("a", "x")) == 1
    assert dict(cache.in_namespace("a")) == {"y": 1}
    cache.remove(Key("a", "y"))
    assert cache._namespaces == {}


def test_replace_returns_what_was_there():
    cache: Cache[int] = Cache()
    cache.put(Key("a", "x"), 1)
    assert cache.replace({"b": {"y": 2}}) == {"a": {"x": 1}}
    assert dict(cache.all()) == {("b", "y"): 2}


def test_an_equal_value_copies_nothing():
    cache: Cache[str] = Cache()
    cache.put(Key("", "node"), "same")
    before = cache._namespaces
    assert cache.put(Key("", "node"), "same") == "same"
    assert cache._namespaces is before
