from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.model.text import is_visible, printable

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)  # lone surrogates included


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("nginx:1.27", "nginx:1.27", id="plain"),
        pytest.param("a b", "a b", id="space"),
        pytest.param("bücher/日本", "bücher/日本", id="letters-of-other-scripts"),
        pytest.param("a\r\nb\tc", r"a\r\nb\tc", id="cr-lf-tab"),
        pytest.param("\x00\x7f\x85", r"\x00\x7f\x85", id="control"),
        pytest.param("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m", id="ansi"),
        pytest.param("\x9b31m", r"\x9b31m", id="c1-csi"),
        pytest.param("a\u202eb\u2066c", r"a\u202eb\u2066c", id="bidi"),
        pytest.param("\ufeffa\u200bb\u00adc", r"\ufeffa\u200bb\xadc", id="zero-width"),
        pytest.param("a\u00a0b\u3000c", r"a\xa0b\u3000c", id="other-spaces"),
        pytest.param("a\u2028b\u2029", r"a\u2028b\u2029", id="line-separators"),
        pytest.param("a\u3164b\u2800\ufe0f", r"a\u3164b\u2800\ufe0f", id="unseen-letters"),
        pytest.param("\U000e0041\U000e0101", r"\U000e0041\U000e0101", id="tags-and-selectors-beyond-the-bmp"),
        pytest.param("a\ud800b", r"a\ud800b", id="lone-surrogate"),
        pytest.param("\ue000\u0378", r"\ue000\u0378", id="private-and-unassigned"),
        pytest.param(r"a\nb", r"a\nb", id="a-backslash-stays"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        pytest.param("nginx", 5, "nginx", id="just-fits"),
        pytest.param("nginx", 4, "ngi…", id="cut"),
        pytest.param("nginx", 1, "…", id="one"),
        pytest.param("nginx", 0, "", id="none"),
        pytest.param("ab\ncd", 6, r"ab\ncd", id="escape-fits"),
        pytest.param("ab\ncd", 4, "ab…", id="escape-is-not-cut-in-two"),
        pytest.param("\x00\x00", 7, r"\x00…", id="escape-cut-off"),
        pytest.param("a" * 1_000_000, 3, "aa…", id="long"),
    ],
)
def test_printable_with_a_limit(text, limit, shown):
    assert printable(text, limit) == shown


@given(ANY_TEXT, st.none() | st.integers(0, 40))
def test_printable_is_one_harmless_line(text, limit):
    shown = printable(text, limit)
    assert all(is_visible(character) for character in shown)
    shown.encode()  # no lone surrogate is left
    assert len(shown.splitlines()) <= 1
    assert limit is None or len(shown) <= limit
    assert printable(shown) == shown


@given(ANY_TEXT)
def test_a_limit_that_is_not_reached_changes_nothing(text):
    whole = printable(text)
    assert printable(text, len(whole)) == whole


def test_no_character_of_the_unseen_categories_gets_through():
    unseen = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    for code in range(0x110000):
        character = chr(code)
        category = unicodedata.category(character)
        if category in unseen or (category == "Zs" and character != " "):
            assert not is_visible(character), hex(code)
