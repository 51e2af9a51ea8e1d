from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.sources.yamlplaces import comments_at, locate, parse_field, span_in_text
from webhook.sources.yamltext import BadText, documents


def only(text):
    ((document, _),) = documents(text)
    return document


def located(text, field):
    path = parse_field(field)
    return locate(text, only(text), [path])[path]


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("kind", ("kind",)),
        ("spec.containers[0].image", ("spec", "containers", 0, "image")),
        ("spec.volumes[12].image.reference", ("spec", "volumes", 12, "image", "reference")),
        ("metadata.labels[pullproof.dev/enforce]", ("metadata", "labels", "pullproof.dev/enforce")),
        ("", ()),
    ],
)
def test_parse_field(field, path):
    assert parse_field(field) == path


@pytest.mark.parametrize(
    ("text", "field", "shown"),
    [
        pytest.param("a: b\n", "a", "b", id="plain"),
        pytest.param("a: {b: [c, d]}\n", "a.b[1]", "d", id="flow"),
        pytest.param("a:\n- b: c\n- b: d\n", "a[1].b", "d", id="block"),
        pytest.param("a: 'b'\n", "a", "'b'", id="quoted"),
        pytest.param("a: &x b\nc: *x\n", "c", "*x", id="an-alias-where-it-is-used"),
        pytest.param("a: b\n", "a.c.d", "b", id="the-nearest-on-the-way"),
        pytest.param("a: [b]\n", "a[5]", "[", id="a-list-shorter-than-the-path"),
        pytest.param("# c\n\na: b\n", "x.y", "", id="at-worst-the-start"),
        pytest.param('{"a": {"b": "c"}}', "a.b", '"c"', id="json"),
        pytest.param('{"x": "\\ud83d\\ude00", "a": "c"}', "a", '"c"', id="json-surrogates-keep-the-column"),
        pytest.param("{? {a: b} : c, d: e}\n".replace("? {a: b} : c, ", ""), "d", "e", id="flow-key"),
        pytest.param("a: 1\na: 2\n", "a", "2", id="the-last-of-two-keys-holds"),
    ],
)
def test_locate(text, field, shown):
    spot = located(text, field)
    assert text[spot.start : spot.end] in {shown, ""} or text[spot.start :].startswith(shown)
    assert text[spot.start : spot.start + len(shown)] == shown


@pytest.mark.parametrize(
    ("text", "part", "shown"),
    [
        pytest.param("a: Foo/bar\n", "Foo", "Foo", id="plain"),
        pytest.param('a: "x/Foo"\n', "Foo", "Foo", id="double-quoted"),
        pytest.param('a: "x/\\u0046oo"\n', "Foo", "\\u0046oo", id="escaped"),
        pytest.param('a: "x\\tFoo\\n"\n', "\tFoo", "\\tFoo", id="short-escapes"),
        pytest.param("a: 'it''s Foo'\n", "'s", "''s", id="single-quoted"),
        pytest.param("a: |\n   x\n   Foo\nb: c\n", "Foo", "Foo", id="block"),
        pytest.param("a: >-\n  x\n  Foo\n", "Foo", "Foo", id="folded-block"),
        pytest.param("a: >-\n  x\n  Foo\n", " Foo", "\n  Foo", id="over-a-fold"),
        pytest.param("a: x\n  Foo\n", "Foo", "Foo", id="folded-plain"),
        pytest.param('a: "x \\\n   Foo"\n', "Foo", "Foo", id="escaped-line-end"),
        pytest.param("a: &n !!str Foo\n", "Foo", "Foo", id="behind-an-anchor-and-a-tag"),
        pytest.param("- &n Foo\n", "", None, id="nothing-of-an-empty-part"),
    ],
)
def test_a_part_of_a_value(text, part, shown):
    field = "a" if text.startswith("a") else "[0]"
    spot = located(text, field)
    start = spot.value.index(part)
    found = span_in_text(text, spot, (start, start + len(part)))
    assert (None if found is None else text[found[0] : found[1]]) == shown


def test_a_part_outside_of_the_value_is_nowhere():
    text = "a: nginx\n"
    assert span_in_text(text, located(text, "a"), (2, 99)) is None
    assert span_in_text(text, located("a: {b: c}\n", "a"), (0, 1)) is None


def test_only_comments_are_comments():
    text = "# one\na: '# two'  # three\nb: |\n  # four\n# five\nc: >-  # six\n  # seven\n"
    offsets = [index for index, character in enumerate(text) if character == "#"]
    found = comments_at(text, only(text), offsets)
    assert [text[offset:].split()[1] for offset in sorted(found)] == ["three", "five", "six"]


def test_a_comment_after_the_sign_of_a_block_ends_with_its_line_whatever_ends_that():
    text = "a: |  # one\r  # two\r"
    offsets = [index for index, character in enumerate(text) if character == "#"]
    assert comments_at(text, only(text), offsets) == {offsets[0]}


LEAVES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], max_codepoint=0xFFFD), max_size=6)
TREES = st.dictionaries(
    st.text("abc", min_size=1, max_size=2), st.lists(LEAVES, max_size=3) | LEAVES, min_size=1, max_size=4
)


def paths(value, path=()):
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths(inner, (*path, index))


@given(TREES)
def test_every_value_of_json_is_found_where_it_stands(tree):
    text = json.dumps(tree)
    wanted = [path for path, _ in paths(tree) if path]
    spots = locate(text, only(text), wanted)
    for path, value in paths(tree):
        if path and isinstance(value, str):
            assert json.loads(text[spots[path].start : spots[path].end]) == value


@given(st.text(), st.lists(st.sampled_from(["a", "b", 0, 1]), min_size=1, max_size=3))
def test_any_text_can_be_searched(text, path):
    for found in documents(text):
        if not isinstance(found, BadText):
            spot = locate(text, found[0], [tuple(path)])[tuple(path)]
            assert 0 <= spot.start <= len(text)
            if spot.value:
                span_in_text(text, spot, (0, 1))


@given(st.text(alphabet="ab'\"\\|>- \nux0 4é", max_size=40))
def test_a_part_of_any_scalar_is_in_it_or_nowhere(scalar):
    text = f"a: {scalar}\n"
    found = next(documents(text), None)
    if found is None or isinstance(found, BadText):
        return
    spot = locate(text, found[0], [("a",)])[("a",)]
    for start in range(len(spot.value or "")):
        part = span_in_text(text, spot, (start, start + 1))
        assert part is None or spot.start <= part[0] < part[1] <= max(spot.end, part[1])
        if part is not None and text[part[0] : part[1]].isalpha():
            assert text[part[0] : part[1]] == spot.value[start]
