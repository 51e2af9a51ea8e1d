"""Warnings and denials, word for word, within the API server's limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from webhook.engine.wording import WARNING_COUNT, WARNING_LENGTH, denial, warnings
from webhook.model.finding import Confidence, Finding, Heals


def finding(message: str = "wrong", fix: str = "mend", container: str | None = "app", code: str = "PULL201") -> Finding:
    return Finding(code, "typo", Confidence.LIKELY, Heals.OBJECT, "spec", message, fix, None, (), container, "image")


def test_a_warning() -> None:
    assert warnings([finding()]) == ("pullproof PULL201 app: wrong; mend",)


def test_without_container_and_fix() -> None:
    assert warnings([finding(fix="", container=None)]) == ("pullproof PULL201: wrong",)


def test_the_same_about_several_containers_is_told_once() -> None:
    assert warnings([finding(), finding(container="init"), finding()]) == ("pullproof PULL201 app, init: wrong; mend",)


def test_a_long_message_gives_way_to_the_fix() -> None:
    (line,) = warnings([finding(message="m" * 200, fix="use `contoso.azurecr.io/app:1`")])
    assert len(line) == WARNING_LENGTH
    assert line.endswith("…; use `contoso.azurecr.io/app:1`")


def test_a_long_fix_stands_alone() -> None:
    fix = f"use `contoso.azurecr.io/{'a' * 62}`"
    assert warnings([finding(message="m" * 50, fix=fix)]) == (f"pullproof PULL201 app: {fix}",)


def test_where_neither_fits_the_page_is_named() -> None:
    (line,) = warnings([finding(message="m" * 200, fix="f" * 200)])
    assert len(line) == WARNING_LENGTH
    assert line.endswith("…; see `pullproof explain PULL201`")


def test_many_names_leave_room_for_the_fix() -> None:
    lines = warnings([finding(container=f"container-number-{number}") for number in range(9)])
    assert lines == ("pullproof PULL201 container-number-0 and 8 more: wrong; mend",)


def test_what_differs_only_in_what_is_cut_off_is_told_once() -> None:
    assert len(warnings([finding(message="m" * 200 + end, fix="f" * 200) for end in "ab"])) == 1


def test_so_many_that_they_would_be_cut() -> None:
    lines = warnings([finding(message=str(number)) for number in range(100)])
    assert len(lines) == WARNING_COUNT
    assert lines[-1] == "pullproof: and 71 more; run `pullproof check` on the manifest to see all"
    assert sum(map(len, lines)) < 4096


def test_one_denial_is_one_line() -> None:
    assert denial([finding()]) == "app: wrong; mend (PULL201 typo, likely)"


def test_several_denials_are_a_line_each() -> None:
    assert denial([finding(), finding(container=None, fix="")]) == (
        "2 findings\n- app: wrong; mend (PULL201 typo, likely)\n- wrong (PULL201 typo, likely)"
    )


def test_a_denial_ends_with_what_makes_the_controller_try_again() -> None:
    retry = "kubectl rollout restart deployment/shop -n team-a"
    assert denial([finding()], retry) == f"app: wrong; mend (PULL201 typo, likely); then run `{retry}`"
    assert denial([finding(), finding(container=None, fix="")], retry).endswith(f"\nthen run `{retry}`")


@given(st.lists(st.builds(finding, st.text(), st.text(), st.none() | st.text(), st.just("PULL201")), max_size=40))
def test_whatever_the_names_every_line_is_printable_and_short(findings: list[Finding]) -> None:
    for line in warnings(findings):
        assert len(line) <= WARNING_LENGTH
        assert line.isprintable()
    assert all(line.isprintable() for line in denial(findings).split("\n"))
