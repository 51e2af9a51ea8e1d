from __future__ import annotations

import re

from webhook.diagnosis.cause import Cause
from webhook.diagnosis.codes import CODES, code_of


def test_every_cause_has_a_code_of_its_own():
    assert set(CODES) == set(Cause)
    assert len({code.code for code in CODES.values()}) == len(Cause)


def test_codes_and_names_look_as_the_checks_do():
    for cause in Cause:
        code = code_of(cause)
        assert re.fullmatch(r"PULL\d{3}", code.code)
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code.name)
