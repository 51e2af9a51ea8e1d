"""The alert rules by Prometheus' own tool: each is quiet while all is well and fires when it should.

A series is written as promtool has it, one value a minute: `0x9 1x20` is ten zeros and then twenty-one ones, `0+2x30`
counts up by two, `_` is a scrape that found nothing. Against real processes: tests/e2e/test_monitoring.py.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "manifests" / "components" / "monitoring" / "prometheus-rule.yaml"
RULE = yaml.safe_load(RULES.read_text())["spec"]
ALERTS = {rule["alert"]: rule for group in RULE["groups"] for rule in group["rules"]}

DAY = 1440
FAILING = 'apiserver_admission_webhook_rejection_count{name="validate.pullproof.dev",error_type='
# alert: the series, the minute at which it is quiet, the minute at which it fires
CASES: dict[str, tuple[Mapping[str, str], int, int]] = {
    "PullproofWebhookAbsent": ({'pullproof_cache_objects{cache="namespaces"}': "7x10 _x30"}, 10, 30),
    "PullproofCallsFailOpen": (
        {'apiserver_admission_webhook_fail_open_count{name="validate.pullproof.dev"}': "0x10 1+1x20"}, 10, 20,
    ),
    "PullproofCallsFail": (
        {f'{FAILING}"calling_webhook_error"}}': "0x10 1+1x20", f'{FAILING}"no_error"}}': "0+9x30"}, 10, 20,
    ),
    "PullproofSlow": (
        {
            'pullproof_review_seconds_bucket{endpoint="validate",le="0.005"}': "0+90x50",
            'pullproof_review_seconds_bucket{endpoint="validate",le="2.0"}': "0+90x20 1890+100x30",
            'pullproof_review_seconds_bucket{endpoint="validate",le="+Inf"}': "0+90x20 1890+100x30",
        }, 20, 45,
    ),
    "PullproofRefusesReviews": (
        {
            'pullproof_refused_requests_total{status="404"}': "0+5x30",
            'pullproof_refused_requests_total{status="413"}': "0x10 1x20",
        }, 10, 12,
    ),
    "PullproofCannotLook": (
        {
            'pullproof_findings_total{code="PULL902",confidence="unknown",mode="unknown"}': "0+5x80",
            'pullproof_findings_total{code="PULL901",confidence="unknown",mode="unknown"}': "0x20 1+1x60",
        }, 20, 60,
    ),
    "PullproofManyDenials": (
        {
            'pullproof_reviews_total{endpoint="validate",kind="Pod",decision="allow"}': "0+10x60",
            'pullproof_reviews_total{endpoint="validate",kind="Pod",decision="deny"}': "0+5x20 120+20x40",
        }, 20, 50,
    ),
    "PullproofCacheStale": ({'pullproof_cache_stale_seconds{cache="nodes"}': "30x10 301+60x20"}, 10, 20),
    "PullproofEventsLost": ({'pullproof_events_total{outcome="failed"}': "0x10 5+5x50"}, 10, 50),
    "PullproofPolicyErrors": (
        {
            'pullproof_policy_errors_total{reason="missing"}': "0+5x30",
            'pullproof_policy_errors_total{reason="unavailable"}': "0+5x30",
            "pullproof_policies_invalid": "0x10 1x20",
        }, 10, 12,
    ),
    "PullproofNamespacesSkipped": ({"pullproof_namespaces_skipped": f"3x{DAY + 10} 5x120"}, DAY + 10, DAY + 90),
    "PullproofCertificateExpires": (
        {
            'pullproof_certificate_expiry_timestamp_seconds{certificate="authority"}': "0x200",  # there is none yet
            'pullproof_certificate_expiry_timestamp_seconds{certificate="serving"}': f"{20 * 86400 + 3600}x200",
        }, 50, 130,
    ),
    "PullproofCertificateUnusable": ({"pullproof_certificate_unusable": "0x10 1x20"}, 10, 20),
    "PullproofCaBundleFought": ({"pullproof_ca_bundle_repairs_total": "1x10 2+1x20"}, 10, 20),
    "PullproofNoLeader": (
        {'pullproof_controller_leading{pod="a"}': "1x10 0x20", 'pullproof_controller_leading{pod="b"}': "0x30"}, 10, 20,
    ),
    "PullproofDutyFails": (
        {
            'pullproof_controller_duties_total{duty="namespaces",outcome="done"}': "0+5x50",
            'pullproof_controller_duties_total{duty="namespaces",outcome="failed"}': "0x10 2+2x40",
        }, 10, 40,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules without the operator's envelope, made by the command that docs/operations.md has for that."""
    text = (ROOT / "docs" / "operations.md").read_text()
    (command,) = (line.strip() for line in text.splitlines() if "prometheus-rule.yaml |" in line)
    folder = tmp_path_factory.mktemp("rules")
    done = subprocess.run(["bash", "-ec", f"cd {folder}; ln -s {ROOT}/manifests manifests; {command}"], check=False)
    assert done.returncode == 0
    return folder / "pullproof-rules.yaml"


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_documented_command_gives_the_rules(rules: Path) -> None:
    assert yaml.safe_load(rules.read_text()) == RULE
    assert f"SUCCESS: {len(ALERTS)} rules found" in promtool("check", "rules", str(rules))


def test_every_alert_has_a_case_and_a_severity_and_says_what_is_wrong() -> None:
    assert set(CASES) == set(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["labels"] == {"severity": rule["labels"]["severity"]}
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, name
        assert set(rule["annotations"]) == {"summary", "description"}, name
        for text in rule["annotations"].values():
            assert not text.endswith("."), name


def test_the_page_says_of_each_what_to_do() -> None:
    text = (ROOT / "docs" / "operations.md").read_text().partition("\n### Alerts\n")[2].partition("\n#")[0]
    assert re.findall(r"^\| `(Pullproof\w+)` \| \S.*\|$", text, re.MULTILINE) == list(ALERTS)


def test_what_an_alert_waits_for_is_served_from_the_start() -> None:
    """A counter whose first value is one never rose: of a single one of these nobody would be told."""
    program = "import prometheus_client, webhook.metrics as _; print(prometheus_client.generate_latest().decode())"
    served = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    for series in (
        'pullproof_refused_requests_total{status="413"} 0.0',
        'pullproof_refused_requests_total{status="500"} 0.0',
        'pullproof_policy_errors_total{reason="forbidden"} 0.0',
        'pullproof_events_total{outcome="dropped"} 0.0',
        "pullproof_policies_invalid 0.0",
    ):
        assert series in served.splitlines()


def case(alert: str, *, break_it: bool = False) -> dict[str, Any]:
    series, quiet, fires = CASES[alert]
    firing = f'clamp_max(count(ALERTS{{alertname="{alert}", alertstate="firing"}}), 1) or vector(0)'
    return {
        "name": alert,
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{minute}m", "exp_samples": [{"labels": "{}", "value": value}]}
            for minute, value in ((quiet, 0), (quiet if break_it else fires, 1))
        ],
    }


def test_every_alert_is_quiet_and_fires(rules: Path, tmp_path: Path) -> None:
    tests = [case(alert) for alert in CASES]
    written = tmp_path / "test.yaml"
    written.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}))
    promtool("test", "rules", str(written))


def test_such_a_case_can_fail(rules: Path, tmp_path: Path) -> None:
    tests = [case("PullproofCertificateUnusable", break_it=True)]
    written = tmp_path / "test.yaml"
    written.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", str(written)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "PullproofCertificateUnusable" in done.stdout + done.stderr
