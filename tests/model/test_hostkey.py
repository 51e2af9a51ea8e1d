from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.model.hostkey import Location, covers, label_covers, locate, pattern_of, shown


@pytest.mark.parametrize(
    ("key", "pattern"),
    [
        pytest.param("us.icr.io", "us.icr.io", id="host"),
        pytest.param("us.icr.io/", "us.icr.io", id="lone-slash"),
        pytest.param("us.icr.io//", "us.icr.io//", id="two-slashes"),
        pytest.param("us.icr.io:443/ns", "us.icr.io:443/ns", id="port-and-path"),
        pytest.param("reg:", "reg:", id="colon-without-port"),
        pytest.param("https://quay.io/team", "quay.io/team", id="https"),
        pytest.param("http://quay.io", "quay.io", id="http"),
        pytest.param("HTTPS://quay.io", "HTTPS://quay.io", id="capital-scheme-is-a-host"),
        pytest.param("https://index.docker.io/v1/", "index.docker.io", id="v1"),
        pytest.param("index.docker.io/v2/", "index.docker.io", id="v2"),
        pytest.param("index.docker.io/v1", "index.docker.io/v1", id="v1-without-slash"),
        pytest.param("index.docker.io/v1/library", "index.docker.io/library", id="v1-before-a-path"),
        pytest.param("index.docker.io/v2/v1/x", "index.docker.io/v1/x", id="dropped-once"),
        pytest.param("user:password@quay.io", "quay.io", id="user-is-dropped"),
        pytest.param("quay.io?x=1/2", "quay.io", id="query-is-dropped"),
        pytest.param("quay.io#x", "quay.io", id="fragment-is-dropped"),
        pytest.param("quay.io/a%2Fb", "quay.io/a/b", id="path-is-unescaped"),
        pytest.param("[::1]:5000", "[::1]:5000", id="ipv6"),
        pytest.param("[fe80::1%25eth0]", "[fe80::1%eth0]", id="ipv6-zone"),
        pytest.param("", "", id="empty"),
        pytest.param(" quay.io", None, id="space"),
        pytest.param("quay.io\n", None, id="line-end"),
        pytest.param("quay.io:https", None, id="port-is-a-word"),
        pytest.param("a:1:2", None, id="two-ports"),
        pytest.param("::1", None, id="ipv6-without-brackets"),
        pytest.param("[1.2.3.4]", None, id="ipv4-in-brackets"),
        pytest.param("[::1", None, id="open-bracket"),
        pytest.param("a[b]", None, id="bracket-in-the-middle"),
        pytest.param("quay.io/%zz", None, id="wrong-escape-in-path"),
        pytest.param("quay.io#%zz", None, id="wrong-escape-in-fragment"),
        pytest.param("quay%2eio", None, id="escaped-ascii-in-host"),
        pytest.param("b\u00fccher.example", None, id="not-ascii"),
        pytest.param("b%C3%BCcher.example", None, id="not-ascii-once-unescaped"),
    ],
)
def test_pattern(key, pattern):
    assert pattern_of(key) == pattern


@pytest.mark.parametrize(
    ("pattern", "location"),
    [
        pytest.param("us.icr.io/ns", Location("us.icr.io", "", "/ns"), id="host-and-path"),
        pytest.param("reg:5000", Location("reg", "5000", ""), id="port"),
        pytest.param("reg:", Location("reg", "", ""), id="colon-without-port"),
        pytest.param("[::1]:5000/x", Location("::1", "5000", "/x"), id="ipv6-with-port-loses-brackets"),
        pytest.param("[::1]/x", Location("[::1]", "", "/x"), id="ipv6-without-port-keeps-them"),
        pytest.param("[fe80::1%eth0]", None, id="zone-can-not-be-read-twice"),
        pytest.param("HTTPS://quay.io", Location("HTTPS", "", "//quay.io"), id="capital-scheme"),
    ],
)
def test_location(pattern, location):
    assert locate(pattern) == location


@pytest.mark.parametrize(
    ("pattern", "label", "expected"),
    [
        ("abc", "abc", True),
        ("abc", "ABC", False),
        ("*", "", True),
        ("*", "abc", True),
        ("a*", "abc", True),
        ("*c", "abc", True),
        ("a*c", "abc", True),
        ("a*c", "ac", True),
        ("a*a", "a", False),
        ("a**c", "abc", True),
        ("*b*", "abc", True),
        ("*bc*c", "abc", False),
        ("*b*d", "abc", False),
        ("[::a]", "a", True),
        ("[::a]", "b", False),
        ("[::a]", "[::a]", False),
        ("[::a]", "", False),
        ("[a-c]*", "bx", True),
        ("[a-c]", "d", False),
        ("[a", "a", False),
        ("[a-", "a", False),
        ("[a-]", "a", False),
        ("[]a]", "]", False),
    ],
)
def test_label(pattern, label, expected):
    assert label_covers(pattern, label) is expected


def test_a_glob_made_to_be_slow_is_not():
    # a matcher that tries every way to share out the stars would not come back from this
    assert not label_covers("*a" * 5000 + "b", "a" * 10_000)
    assert label_covers("*a" * 5000, "a" * 10_000)


@pytest.mark.parametrize(
    ("key", "image", "expected"),
    [
        pytest.param("us.icr.io", "us.icr.io/ns/app", True, id="host"),
        pytest.param("us.icr.io", "us.icr.io:443/ns/app", False, id="port-of-the-image"),
        pytest.param("us.icr.io/ns", "us.icr.io/nspace/app", True, id="path-is-a-plain-prefix"),
        pytest.param("us.icr.io/ns/", "us.icr.io/nspace/app", False, id="path-with-slash"),
        pytest.param("*.icr.io", "us.icr.io/ns/app", True, id="glob"),
        pytest.param("*.io", "us.icr.io/ns/app", False, id="glob-of-fewer-labels"),
        pytest.param("*.*.*.io", "us.icr.io/ns/app", False, id="glob-of-more-labels"),
        pytest.param("[::1]:5000", "[::1]:5000/app", True, id="ipv6-with-port"),
        pytest.param("[::1]", "[::1]/app", False, id="ipv6-without-port"),
        pytest.param("[::A]", "A/app", True, id="ipv6-is-a-character-class"),
    ],
)
def test_covers(key, image, expected):
    assert covers(locate(pattern_of(key)), locate(image)) is expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param("https://us.icr.io/v1/", "https://us.icr.io/v1/", id="as-written"),
        pytest.param("https://bob:hunter2@us.icr.io/x", "https://***@us.icr.io/x", id="user-and-password"),
        pytest.param("bob@us.icr.io", "***@us.icr.io", id="user"),
        pytest.param("bob:hunter/2@us.icr.io", "***@us.icr.io", id="password-with-slash"),
        pytest.param("bob:hunt?er#2@us.icr.io", "***@us.icr.io", id="password-with-url-marks"),
        pytest.param("bob:hun@ter@us.icr.io", "***@us.icr.io", id="password-with-at"),
        pytest.param("us.icr.io?token=hunter2", "us.icr.io?***", id="query"),
        pytest.param("us.icr.io#hunter2?x", "us.icr.io#***", id="fragment"),
        pytest.param("us.icr.io/ns/app@sha256", "us.icr.io/ns/app@sha256", id="at-in-a-path"),
        pytest.param("HTTPS://bob:hunter2@us.icr.io", "***@us.icr.io", id="other-scheme"),
    ],
)
def test_a_credential_in_a_key_is_not_shown(key, expected):
    assert shown(key) == expected


@given(st.text() | st.text(alphabet="a1.:/[]%@?#*-2F5 "))
def test_never_raises(key):
    pattern = pattern_of(key)
    location = None if pattern is None else locate(pattern)
    assert location is None or covers(location, locate("us.icr.io/app")) in (True, False)
    assert isinstance(shown(key), str)
