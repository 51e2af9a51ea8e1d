"""docs/operations.md names every flag and every metric: what a page forgets, nobody finds."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from webhook import metrics
from webhook.admission import app
from webhook.admission.patch import AUDIT_KEY
from webhook.admission.review import encode
from webhook.cli import controller, serve
from webhook.engine.decide import Decision, Mercy
from webhook.engine.excuse import Excused
from webhook.engine.impact import Impact
from webhook.model.finding import Confidence, Finding, Heals
from webhook.model.policy_exemption import Exemption

if TYPE_CHECKING:
    import click

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "operations.md").read_text()


def table(heading: str) -> str:
    _, found, rest = TEXT.partition(f"{heading}\n")
    assert found, heading
    return rest.lstrip("\n").partition("\n\n")[0]


@pytest.mark.parametrize(("command", "name"), [(serve.command, "serve"), (controller.command, "controller")])
def test_every_flag_is_there_with_its_default_and_no_other(command: click.Command, name: str) -> None:
    rows = table(f"`pullproof {name}`:")
    written = set(
        re.findall(r"`(--[a-z-]+)`", "\n".join(row.split("|")[1] for row in rows.splitlines() if "--" in row))
    )
    flags = {option for parameter in command.params for option in parameter.opts}
    assert written == flags
    for parameter in command.params:
        default = parameter.to_info_dict()["default"]
        if default and isinstance(default, str | float | int):
            (row,) = (row for row in rows.splitlines() if f"`{parameter.opts[0]}`" in row)
            assert (f"{default:g}" if isinstance(default, float) else str(default)) in row


def test_every_metric_is_there_and_no_other() -> None:
    metrics.REVIEWS.describe()
    ours = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in REGISTRY.collect()
        if family.name.startswith("pullproof_")
    } | {"pullproof_cache_stale_seconds", "pullproof_cache_objects"}  # registered once there are caches
    assert set(re.findall(r"`(pullproof_[a-z_]+)`", table("## Metrics"))) == ours


def test_every_audit_annotation_is_there_and_no_other() -> None:
    finding = Finding("PULL101", "x", Confidence.CERTAIN, Heals.OBJECT, "spec", "m", "f")
    excused = (Excused(finding, Exemption(name="old", reason="mended soon", expires=0)),)
    decision = Decision(
        (finding,), (), (finding,), (finding,), Mercy.DELETING, Impact("shop"), excused=excused, expired=excused
    )
    told = json.loads(encode("u", decision))["response"]["auditAnnotations"]
    assert set(
        re.findall(
            r"^\| `([a-z-]+)` \|",
            table("`mutate.pullproof.dev/`:"),
            re.MULTILINE,
        )
    ) == {*told, AUDIT_KEY}


def test_a_line_of_the_log_is_as_it_is_shown() -> None:
    (line,) = (line for line in TEXT.splitlines() if line.startswith('    {"time":'))
    shown = json.loads(line)
    source = inspect.getsource(app._tell)
    assert re.findall(r'^        "(\w+)": ', source, re.MULTILINE) == list(shown)
