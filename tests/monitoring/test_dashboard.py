"""The dashboard's JSON model, held to what Grafana (10 and newer, schemaVersion 39) needs to show every panel.

Grafana itself can't be had here, so its model is checked field by field; that every expression is right is what
tests/e2e/test_monitoring.py asks a real Prometheus.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[2] / "manifests" / "components" / "monitoring" / "dashboard.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
SHOWN = [panel for panel in PANELS if panel["type"] != "row"]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
UNITS = {"reqps", "ops", "short", "s", "bytes"}
COLUMNS = 24


def title(panel: dict[str, Any]) -> str:
    return str(panel["title"])


def test_the_dashboard_itself() -> None:
    assert DASHBOARD["schemaVersion"] == 39
    assert "id" not in DASHBOARD, "Grafana gives it one; an id of another installation would be refused"
    assert 1 <= len(DASHBOARD["uid"]) <= 40
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    assert "__inputs" not in DASHBOARD, "a sidecar asks nobody for a data source"


def test_ids_and_titles_are_unique() -> None:
    ids = [panel["id"] for panel in PANELS]
    titles = [panel["title"] for panel in PANELS]
    assert len(set(ids)) == len(ids)
    assert len(set(titles)) == len(titles)
    assert PANELS[0]["type"] == "row"


def test_panels_lie_beside_each_other_in_the_grid() -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in PANELS)
        for x, y in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    assert len(set(cells)) == len(cells), "two panels overlap"
    assert {x for x, _ in cells} == set(range(COLUMNS))
    rows = max(y for _, y in cells) + 1
    assert len(cells) == rows * COLUMNS, "there is a gap"


@pytest.mark.parametrize("panel", SHOWN, ids=title)
def test_a_panel(panel: dict[str, Any]) -> None:
    assert panel["type"] in {"stat", "timeseries"}
    assert panel["datasource"] == SOURCE
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] in UNITS
    assert panel["fieldConfig"]["overrides"] == []
    letters = [target["refId"] for target in panel["targets"]]
    assert letters == list("ABCDEFGH"[: len(letters)])
    for target in panel["targets"]:
        assert set(target) == {"refId", "datasource", "expr", "legendFormat", "range", "instant"}
        assert target["datasource"] == SOURCE
        assert target["range"] is not target["instant"]
        assert target["instant"] is (panel["type"] == "stat")
        assert target["expr"].strip() == target["expr"] != ""
    if panel["type"] == "timeseries":
        assert all(target["legendFormat"] for target in panel["targets"]) or len(panel["targets"]) == 1
        assert defaults["custom"]["drawStyle"] == "line"
        assert panel["options"]["legend"]["showLegend"] is True
    else:
        assert panel["options"]["reduceOptions"]["calcs"] == ["lastNotNull"]
        steps = defaults.get("thresholds", {"steps": [{"color": "green", "value": None}]})["steps"]
        assert steps[0]["value"] is None
        assert [step["value"] for step in steps[1:]] == sorted(step["value"] for step in steps[1:])
