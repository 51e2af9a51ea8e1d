from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.model.gojson import MAX_DEPTH, NUMBER, Malformed, folded, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param(b"null", None, id="null"),
        pytest.param(b" \t\r\n true ", True, id="space-around"),
        pytest.param(b"false", False, id="false"),
        pytest.param(b"-0.5e+7", NUMBER, id="number"),
        pytest.param(b"9" * 6000, NUMBER, id="number-of-6000-digits"),
        pytest.param(b'""', "", id="empty-string"),
        pytest.param(rb'"\"\\\/\b\f\n\r\t\u0041"', '"\\/\b\f\n\r\tA', id="escapes"),
        pytest.param(rb'"\ud83d\ude00"', "\N{GRINNING FACE}", id="surrogate-pair"),
        pytest.param(rb'"\ud83d"', "\ufffd", id="lone-high-surrogate"),
        pytest.param(rb'"\ude00\ud83d\ude00"', "\ufffd\N{GRINNING FACE}", id="lone-low-then-pair"),
        pytest.param(rb'"\ud83d\u0041"', "\ufffdA", id="high-surrogate-then-letter"),
        pytest.param(b'"\xff\xe2\x82"', "\ufffd\ufffd\ufffd", id="one-replacement-for-each-wrong-byte"),
        pytest.param(b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd", id="surrogate-in-utf-8"),
        pytest.param(b'"\x7f"', "\x7f", id="delete-is-allowed"),
        pytest.param(b"[]", [], id="empty-array"),
        pytest.param(b'[1,["a"],{}]', [NUMBER, ["a"], ()], id="nested"),
        pytest.param(
            b'{"a":1,"b":[],"a":null}', (("a", NUMBER), ("b", []), ("a", None)), id="a-name-twice-is-kept-twice"
        ),
    ],
)
def test_values(text, value):
    assert read(text) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(b"", "unexpected end of JSON input", id="empty"),
        pytest.param(b" \n", "unexpected end of JSON input", id="space-only"),
        pytest.param(b'{"a":', "unexpected end of JSON input", id="cut-off"),
        pytest.param(b"[1", "unexpected end of JSON input", id="open-array"),
        pytest.param(b"\xef\xbb\xbf{}", "invalid JSON at character 1", id="byte-order-mark"),
        pytest.param(b'{"a":1,}', "invalid JSON at character 8", id="trailing-comma-in-object"),
        pytest.param(b"[1,]", "invalid JSON at character 4", id="trailing-comma-in-array"),
        pytest.param(b"[1 2]", "invalid JSON at character 4", id="no-comma"),
        pytest.param(b"{1:2}", "invalid JSON at character 2", id="name-is-no-string"),
        pytest.param(b'{"a" 1}', "invalid JSON at character 6", id="no-colon"),
        pytest.param(b"[}", "invalid JSON at character 2", id="wrong-bracket"),
        pytest.param(b'["a"}', "invalid JSON at character 5", id="wrong-closing-bracket"),
        pytest.param(b"{} {}", "invalid JSON at character 4", id="two-values"),
        pytest.param(b"NaN", "invalid JSON at character 1", id="nan"),
        pytest.param(b"-Infinity", "invalid JSON at character 1", id="infinity"),
        pytest.param(b"01", "invalid JSON at character 2", id="leading-zero"),
        pytest.param(b"1.", "invalid JSON at character 2", id="no-digits-after-point"),
        pytest.param(b"'a'", "invalid JSON at character 1", id="single-quotes"),
        pytest.param(b'"a\nb"', "invalid JSON at character 1", id="raw-line-end-in-string"),
        pytest.param(rb'"\x41"', "invalid JSON at character 1", id="escape-of-another-language"),
        pytest.param(rb'"\u12g4"', "invalid JSON at character 1", id="no-hexadecimal"),
        pytest.param(b"[] // x", "invalid JSON at character 4", id="comment"),
        pytest.param(b"\xff", "invalid JSON at character 1", id="wrong-byte-outside-a-string"),
        pytest.param(b"[\xc2\xa0]", "invalid JSON at character 2", id="no-break-space"),
    ],
)
def test_what_is_malformed_is_said_and_not_quoted(text, problem):
    assert read(text) == Malformed(problem)


@pytest.mark.parametrize(("brackets"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["arrays", "objects"])
def test_depth(brackets):
    opening, closing = brackets
    deepest = opening * (MAX_DEPTH - 1) + b"{}" + closing * (MAX_DEPTH - 1)
    assert not isinstance(read(deepest), Malformed)
    assert read(opening + deepest + closing) == Malformed("invalid JSON: nested too deep")


@pytest.mark.parametrize(
    ("name", "field"),
    [
        pytest.param("AuThS", "auths", id="capitals"),
        pytest.param("pa\u017f\u017fword", "password", id="long-s"),
        pytest.param("identityto\u212aen", "identitytoken", id="kelvin-sign"),
    ],
)
def test_names_fold_as_in_go(name, field):
    assert folded(name) == field


@pytest.mark.parametrize("name", ["ema\u0130l", "ema\u0131l", "\u00e4uth", "auth ", "a\u0301uth"])
def test_names_that_do_not_fold_to_a_field(name):
    assert folded(name) not in {"email", "auth"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def as_read(value):
    match value:
        case bool() | None | str():
            return value
        case int() | float():
            return NUMBER
        case list():
            return [as_read(inner) for inner in value]
    return tuple((name, as_read(inner)) for name, inner in value.items())


@given(JSON, st.booleans(), st.sampled_from([None, 0, "\t"]))
def test_whatever_json_writes_is_read_back(value, ascii_only, indent):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert read(text) == as_read(value)


@given(st.binary() | st.text(alphabet='{}[]",:\\u0d8tnf-1.e ').map(str.encode))
def test_never_raises(data):
    value = read(data)
    assert isinstance(value, Malformed) or value is None or isinstance(value, bool | int | str | list | tuple)
