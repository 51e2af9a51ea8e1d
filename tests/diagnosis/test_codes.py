from __future__ import annotations

import re
from pathlib import Path

from webhook.checks.index import modules
from webhook.diagnosis.cause import Cause, Diagnosis
from webhook.diagnosis.codes import CODES, MEANING, code_for, code_of

UNDECODABLE = Diagnosis(Cause.SECRET_MISSING, "illegal base64 data at input byte 0")
NOT_SUPPORTED = Diagnosis(Cause.PLATFORM, "Failed to admit pod as the OS field doesn't match node OS")
LABEL = Diagnosis(Cause.PLATFORM, "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label")
READINGS = (UNDECODABLE, NOT_SUPPORTED, LABEL)


def test_every_cause_has_a_code_of_its_own():
    assert set(CODES) == set(Cause)
    assert len({code.code for code in CODES.values()}) == len(Cause)


def test_codes_and_names_look_as_the_checks_do():
    for cause in Cause:
        code = code_of(cause)
        assert re.fullmatch(r"PULL\d{3}", code.code)
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code.name)


def test_a_code_that_a_check_has_too_is_of_the_same_name():
    checks = {code: module.CHECK.name for code, module in modules().items()}
    codes = [*CODES.values(), *map(code_for, READINGS)]
    shared = {code.code: code.name for code in codes if code.code in checks}
    assert shared == {code: checks[code] for code in shared}
    assert set(shared) >= {"PULL101", "PULL301", "PULL303", "PULL308", "PULL401", "PULL404", "PULL405"}


def test_what_no_check_knows_before_has_families_of_its_own():
    checks = modules()
    assert all(code.code.startswith(("PULL5", "PULL6")) for code in CODES.values() if code.code not in checks)


def test_where_checks_share_a_cause_the_words_decide():
    assert [code_for(one).code for one in READINGS] == ["PULL303", "PULL404", "PULL405"]
    missing = Diagnosis(Cause.SECRET_MISSING, "Unable to retrieve some image pull secrets (a)", secrets=("a",))
    assert code_for(missing).code == "PULL301"


PAGE = Path(__file__).parents[2] / "docs" / "diagnosis.md"


def test_every_code_of_its_own_says_what_it_means_and_stands_in_the_documentation():
    checks = modules()
    own = {code.code: (cause, code) for cause, code in CODES.items() if code.code not in checks}
    assert own.keys() == MEANING.keys()
    rows = [f"| {code.code} {code.name} | `{cause}` | {MEANING[code.code]} |" for cause, code in own.values()]
    page = PAGE.read_text(encoding="utf-8").splitlines()
    assert [row for row in rows if row not in page] == []
    assert [line for line in page if re.match(r"\| PULL[56]\d\d ", line)] == rows


def test_the_causes_that_a_check_foresees_stand_there_too():
    page = PAGE.read_text(encoding="utf-8")
    checks = modules()
    for cause, code in CODES.items():
        if code.code in checks:
            assert f"| [{code.code}](checks/{code.code}.md) {code.name} | `{cause}` |" in page
