"""Where pull secrets of a name are: a few of any number, at the same price."""

from __future__ import annotations

from webhook.sources.evidence import Places


def places(*namespaces):
    found = Places()
    for namespace in namespaces:
        found.change("regcred", namespace, there=True)
    return found


def test_a_few_of_many_in_the_order_they_came():
    found = places(*(f"team-{number}" for number in range(2000)))
    assert found.of("regcred") == ("team-0", "team-1", "team-2", "team-3")
    assert found.of("other") == ()


def test_default_comes_first_however_late_it_came():
    assert places("a", "b", "c", "d", "default").of("regcred") == ("default", "a", "b", "c")


def test_what_is_gone_is_not_named():
    found = places("a", "b")
    found.change("regcred", "b", there=True)
    found.change("regcred", "a", there=False)
    found.change("regcred", "a", there=False)
    assert found.of("regcred") == ("b",)
    found.change("regcred", "b", there=False)
    assert found.of("regcred") == ()
    assert found._namespaces == {}
