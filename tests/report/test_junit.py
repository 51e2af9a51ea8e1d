from __future__ import annotations

import pytest
from junitparser import TestSuite as Suite

from webhook.model.finding import Level
from webhook.report import junit
from webhook.report.outcome import Judged, Outcome, Subject


@pytest.mark.parametrize("workloads", [1, 50])
def test_the_numbers_of_a_suite_are_counted_as_often_however_many_workloads_it_has(monkeypatch, workloads):
    counted = []
    count = Suite.update_statistics

    def counting(suite):
        counted.append(suite)
        count(suite)

    monkeypatch.setattr(Suite, "update_statistics", counting)
    judged = tuple(Judged(Subject("Pod", "shop", f"web-{number}"), "a.yaml", ()) for number in range(workloads))
    text = junit.render(Outcome((), (), judged, (), ()), Level.LIKELY, fail_on_unknown=False)
    assert f'<testsuite name="a.yaml" tests="{workloads}"' in text
    assert len(counted) == 2
