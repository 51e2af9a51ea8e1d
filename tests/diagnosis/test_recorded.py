"""What a real kubelet and containerd said, kept by kubelet/record.py, each held to its cause."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.diagnosis.kubelet.record import CASES, RECORDED
from webhook.diagnosis.pods import diagnose_pod, may_wait

KEPT: dict[str, Any] = json.loads(RECORDED.read_text())["cases"]


def test_every_case_was_recorded_and_none_besides():
    assert KEPT.keys() == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_the_cause(name):
    case, kept = CASES[name], KEPT[name]
    assert may_wait(kept["pod"])
    (found,) = diagnose_pod(kept["pod"], kept["events"])
    assert (found.diagnosis.cause, found.code) == (case.cause, case.code), found.diagnosis.evidence
    assert found.remedies


@pytest.mark.parametrize("name", CASES)
def test_the_cause_from_events_alone(name):
    """Behind a bare back-off, as kubelets before 1.31 leave it."""
    kept = json.loads(json.dumps(KEPT[name]))
    states = [
        state
        for one in kept["pod"]["status"].get("containerStatuses", ())
        if (state := one["state"].get("waiting", {})).get("reason") in {"ErrImagePull", "ImagePullBackOff"}
    ]
    for state in states:
        state.update(reason="ImagePullBackOff", message=f'Back-off pulling image "{CASES[name].image}"')
    (found,) = diagnose_pod(kept["pod"], kept["events"])
    assert (found.diagnosis.cause, found.code) == (CASES[name].cause, CASES[name].code), found.diagnosis.evidence
