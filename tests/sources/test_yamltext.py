from __future__ import annotations

import itertools
import json
import random
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.gotools import build, cache_dir
from webhook.sources.yamltext import DEPTH_LIMIT, BadText, documents

MODULE = Path(__file__).parents[1] / "oracle" / "yaml"


def values(text):
    return [str(found) if isinstance(found, BadText) else found[1] for found in documents(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("# a comment\n\n", [], id="only-comments"),
        pytest.param("a: 1\n", [{"a": 1}], id="one"),
        pytest.param("a: 1\n---\nb: 2\n", [{"a": 1}, {"b": 2}], id="two"),
        pytest.param("# c\n---\na: 1\n", [{"a": 1}], id="comment-in-front"),
        pytest.param("---\n---\na: 1\n", [None, {"a": 1}], id="empty-document"),
        pytest.param("%YAML 1.1\n---\na: 1\n", [{"a": 1}], id="directive"),
        pytest.param("a: 1\n...\n---\nb: 2\n", [{"a": 1}, {"b": 2}], id="end-marks"),
        pytest.param("a: 1\r\n---\r\nb: 2\r\n", [{"a": 1}, {"b": 2}], id="crlf"),
        pytest.param("a: |\n  ---\n  x\n", [{"a": "---\nx\n"}], id="dashes-in-a-block"),
        pytest.param("a: on\nb: y\nc: No\n", [{"a": True, "b": True, "c": False}], id="yaml-1.1-booleans"),
        pytest.param("1: a\ntrue: b\n", [{"1": "a", "true": "b"}], id="keys-become-strings"),
        pytest.param("a: 1\na: 2\n", [{"a": 2}], id="the-last-one-holds"),
        pytest.param("a: &x [1]\nb: *x\n", [{"a": [1], "b": [1]}], id="alias"),
        pytest.param("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n", [{"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}]),
        pytest.param("<<: [{a: 1}, {a: 2, b: 2}]\n", [{"a": 1, "b": 2}], id="merge-of-several"),
        pytest.param('"<<": 1\n', [{"<<": 1}], id="a-quoted-merge-key-is-a-key"),
        pytest.param(
            "a: !!str 1\nb: !!int '2'\nc: !foo 3\nd: !!binary aGk=\n", [{"a": "1", "b": 2, "c": "3", "d": "hi"}]
        ),
        pytest.param('{"a": "\\ud83d\\ude00"}', [{"a": "😀"}], id="json-surrogates"),
        pytest.param('{"a": 1}\n{"b": 2} {"c": 3}', [{"a": 1}, {"b": 2}, {"c": 3}], id="json-stream"),
        pytest.param("{a: b}", [{"a": "b"}], id="yaml-in-braces"),
        pytest.param('{"a":1}\n---\nb: 2\n', [{"a": 1}, {"b": 2}], id="json-and-yaml"),
        pytest.param("\ta: 1\n", ["found character that cannot start any token while scanning for the next token"]),
        pytest.param("a: b: c\n---\nd: 1\n", ["mapping values are not allowed in this context", {"d": 1}]),
        pytest.param("a: *x\n", ["the alias *x has no anchor before it"], id="no-anchor"),
        pytest.param("a: &x [*x]\n", ["the alias *x stands within its own anchor"], id="own-anchor"),
        pytest.param("? [a]\n: b\n", ["a list or map as a key"], id="list-as-a-key"),
        pytest.param("null: b\n", ["null as a key"], id="null-as-a-key"),
        pytest.param("<<: 1\n", ["`<<` takes a map or a list of maps"], id="merge-of-a-number"),
        pytest.param("a: !!int x\n", ["`!!int` stands in front of something else"], id="wrong-tag"),
        pytest.param("a: {{ .Values.x }}\n", ["a template that was not rendered"], id="chart"),
        pytest.param("{{- if .Values.x }}\na: 1\n{{- end }}\n", ["a template that was not rendered"], id="chart-block"),
        pytest.param("a: \0\n", ["a NUL byte: this is no text"], id="nul"),
        pytest.param("a: \x1b[2J\n", ["the control character U+001B, which YAML does not allow"], id="escape"),
        pytest.param("[" * 1000, [f"more than {DEPTH_LIMIT} levels deep"], id="deep"),
        pytest.param('{"a":' * 20_000, [f"more than {DEPTH_LIMIT} levels deep"], id="deep-json"),
        pytest.param("a: " + "9" * 5000 + "\n", [{"a": "9" * 5000}], id="digits-without-end"),
    ],
)
def test_documents(text, expected):
    assert values(text) == expected


def test_numbers_offsets_and_duplicates_of_documents():
    text = "# head\n---\na: 1\nb: 2\na: 3\n---\nc: [\n---\nd: 4\n"
    first, broken, third = documents(text)
    assert (first[0].number, text[first[0].start : first[0].end]) == (1, "---\na: 1\nb: 2\na: 3\n")
    assert first[0].duplicates == (("a", text.index("3")),)
    assert (broken.number, text[broken.offset :][:3]) == (2, "---")
    assert (third[0].number, third[1]) == (3, {"d": 4})


def test_aliases_are_counted_as_what_they_expand_to():
    rows = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30))]
    (bomb,) = documents("\n".join(rows))
    assert str(bomb) == "more than 3,000,000 values, aliases expanded"
    rows = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, DEPTH_LIMIT + 5))]
    (chain,) = documents("\n".join(rows))
    assert str(chain) == f"more than {DEPTH_LIMIT} levels deep, aliases expanded"


def test_the_budget_is_one_for_all_documents_of_a_text():
    bomb = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))])
    assert len(list(documents("\n---\n".join([bomb] * 5)))) == 1


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.text(max_size=6), JSON_VALUES, max_size=4)


@given(st.text())
def test_any_text_is_read_or_refused(text):
    for found in documents(text):
        if isinstance(found, BadText):
            assert 0 <= found.offset <= len(text)
            assert str(found)
        else:
            json.dumps(found[1])


@given(st.text(alphabet="ab:-?&*!|>'\"{}[],# \n\t<.0%@`", max_size=60))
def test_any_yaml_like_text_is_read_or_refused(text):
    for found in documents(text):
        assert isinstance(found, BadText) or json.dumps(found[1])


@given(OBJECTS, st.booleans())
def test_json_reads_as_json(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    read = values(text)
    if any(not (c.isprintable() or c in "\t\n\r") for c in text):
        return  # characters that YAML allows in no text; JSON does, and nobody writes them
    assert read == [value]


@given(st.dictionaries(st.text("abcxz ü:#'\"\n", max_size=8), st.text("abc :#'\"\n-?{}[]&*!|>%@`,ü", max_size=20)))
def test_yaml_reads_back_what_was_dumped(value):
    assert values("---\n" + yaml.safe_dump(value, allow_unicode=True)) == [value]


# --- as kubectl reads ------------------------------------------------------------------------------------------------


@cache
def oracle():
    return build(MODULE, ["."], cache_dir() / "oracle-yaml") / "yaml"


def ask(texts):
    done = subprocess.run(
        [oracle()],
        input="\n".join(json.dumps({"text": text}) for text in texts),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(texts)
    return answers


WORDS = """
~ null Null NULL nUll y Y yes Yes YES yEs n N no No NO on On ON off Off OFF true True TRUE tRue false False
FALSE << = 1:30 2001-01-01 2001-12-14t21:59:43.10-05:00 0o14 0O14 014 08 0b101 0B1 -0b11 +0b1 0x_1F 0X1f -0x1f
1_000 1__0 _1 1_ +1 -1 --1 1e3 1E+3 1.5e-3 1. .5 +.5 -.5 .e3 1e999 -1e999 9223372036854775807
9223372036854775808 18446744073709551615 18446744073709551616 -9223372036854775808 -9223372036854775809 0x1p3
1.27 1.27.3 0 -0 00 + - . .. 1-2 0.0 0. 0_8 0x 0b 0o 0b2 0o8 1e e3 1.5.2 infinity
"""


def test_plain_scalars_mean_what_they_mean_to_kubectl():
    drawn = random.Random(36)
    made = {"".join(drawn.choices("0123456789+-_.xXoObBeEaFf", k=drawn.randint(1, 7))) for _ in range(30_000)}
    scalars = ["", *WORDS.split(), *sorted(made)]
    answers = ask([f"a: {scalar}\n" for scalar in scalars])
    compared = 0
    for scalar, answer in zip(scalars, answers, strict=True):
        (ours,) = values(f"a: {scalar}\n")
        if "error" in answer:
            assert isinstance(ours, str), scalar
            continue
        compared += 1
        theirs, mine = answer["value"]["a"], ours["a"]
        assert type(theirs) is type(mine) or {type(theirs), type(mine)} == {int, float}, (scalar, theirs, mine)
        assert theirs == pytest.approx(mine) if isinstance(mine, float) else theirs == mine, scalar
    assert compared > 20_000


def test_documents_mean_what_they_mean_to_kubectl():
    pieces = [
        *("a: 1", "a: 2", "b: &x {c: 1, d: on}", "e: *x", "<<: *x", "f: {<<: *x, c: 2}", "1: one", "1.5: x", "true: x"),
        *("g: |\n  x\n  y", "h: >-\n  x\n  y", "i: 'it''s'", 'j: "\\u00e9\\n"', "k: [1, two, null]", "l: !!str 1"),
        *("m:", "? n\n: o", "p: # comment\n  - q", "r: {s: t, u}", "v: - w", "x: [", "y: *none", "null: z"),
    ]
    texts = ["\n".join(chosen) + "\n" for chosen in itertools.permutations(pieces, 2)]
    compared = 0
    for text, answer in zip(texts, ask(texts), strict=True):
        read = values(text)
        if "error" in answer:
            assert isinstance(read[0], str), text
        elif "<<: *x" not in text:  # goyaml.v2 lets a merge overwrite what stands above it, the specification does not
            compared += 1
            assert read == [answer["value"]], text
    assert compared > 200
