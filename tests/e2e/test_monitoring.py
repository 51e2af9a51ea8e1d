"""A real Prometheus scrapes a real webhook, a real controller and the real API server, as docs/operations.md says.

So that no rule and no panel names what does not exist: each expression is evaluated, and each metric in it has to be
one that is served. The alerts' thresholds are tests/monitoring/test_rules.py's matter.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.controlplane.processes import port_of, reserve_port, spawn
from tests.serving import ServedWebhook
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.controlplane.controlplane import ControlPlane
    from tests.controlplane.processes import Process

ROOT = Path(__file__).resolve().parents[2]
COMPONENT = ROOT / "manifests" / "components" / "monitoring"
RULES = yaml.safe_load((COMPONENT / "prometheus-rule.yaml").read_text())["spec"]
DASHBOARD = json.loads((COMPONENT / "dashboard.json").read_text())
EXPRESSIONS = {rule["alert"]: rule["expr"] for group in RULES["groups"] for rule in group["rules"]} | {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
}
# What has something to show once there were a denial, a warning and an Event; the rest is about what went wrong.
SHOWING = [
    "Reviews a second A",
    "Denied in an hour A",
    "Slowest of a hundred A",
    "Oldest cache A",
    "Serving certificate A",
    "Leading controllers A",
    "Reviews by decision A",
    "Reviews by kind A",
    "Denied, by code A",
    "Findings by confidence A",
    "Time to answer A",
    "Time to answer B",
    "Caches: age A",
    "Caches: objects A",
    "Memory A",
    "Certificates: time left A",
    "Repairs and renewals A",
    "Repairs and renewals B",
    "Repairs and renewals C",
    "The controller's duties A",
    "Namespaces that skip the webhook A",
]
METRIC = re.compile(r"\b((?:pullproof|apiserver|process)_[a-z_]+)\b")
START_SECONDS = 60


def free_port() -> int:
    reserved = reserve_port()
    port = port_of(reserved)
    reserved.close()
    return port


def discovered(pod: str, port: int, name: str, application: str = "pullproof") -> dict[str, Any]:
    """A target as role `pod` of kubernetes_sd_configs finds it (Prometheus' documentation of its configuration)."""
    labels = {
        "__meta_kubernetes_pod_name": pod,
        "__meta_kubernetes_pod_label_app_kubernetes_io_name": application,
        "__meta_kubernetes_pod_container_port_name": name,
    }
    return {"targets": [f"127.0.0.1:{port}"], "labels": labels}


class Watched:
    """Prometheus, and what it watches, in a namespace of its own."""

    def __init__(self, plane: ControlPlane, webhook: ServedWebhook, namespace: str, folder: Path) -> None:
        self.plane = plane
        self.webhook = webhook
        self.namespace = namespace
        self.folder = folder
        self.port = free_port()
        self.controller_port = free_port()
        self.running: list[Process] = []

    def start(self) -> None:
        self.running.append(
            spawn(
                "pullproof",
                Path(sys.executable).parent / "pullproof",
                [
                    "controller", f"--bind=127.0.0.1:{self.controller_port}", f"--kubeconfig={self.plane.kubeconfig}",
                    f"--namespace={self.namespace}", f"--configuration={self.namespace}",
                ],
                self.folder / "controller.log",
                env={**os.environ, "TMPDIR": str(self.folder)},
            )
        )  # fmt: skip
        (self.folder / "ca.crt").write_bytes(self.webhook.ca_pem)
        (self.folder / "rules.yaml").write_text(yaml.safe_dump(RULES))
        (self.folder / "prometheus.yaml").write_text(yaml.safe_dump(self.configuration()))
        program = shutil.which("prometheus")
        assert program is not None, "Debian's package `prometheus` is missing"
        self.running.append(
            spawn(
                "prometheus",
                Path(program),
                [
                    f"--config.file={self.folder / 'prometheus.yaml'}", f"--storage.tsdb.path={self.folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                self.folder / "prometheus.log",
            )
        )  # fmt: skip

    def stop(self) -> None:
        for process in reversed(self.running):
            process.stop(grace=10)

    def configuration(self) -> dict[str, Any]:
        """The documented one, with this run's addresses, and the API server beside it.

        Debian's Prometheus is built without Kubernetes' discovery, so its targets are given here with the labels that
        it would give them: one for each port of each pod.
        """
        text = (ROOT / "docs" / "operations.md").read_text()
        (block,) = re.findall(r"```yaml\n(scrape_configs:.*?)```", text, re.DOTALL)
        found: dict[str, Any] = yaml.safe_load(block)
        (job,) = found["scrape_configs"]
        assert job.pop("kubernetes_sd_configs") == [{"role": "pod", "namespaces": {"names": ["pullproof"]}}]
        job["static_configs"] = [
            discovered("webhook", self.webhook.port, "https"),
            discovered("controller", self.controller_port, "metrics"),
            discovered("neighbour", self.webhook.port, "https", application="other"),
            discovered("webhook", self.webhook.port, "debug"),
        ]
        job["tls_config"] = {"ca_file": str(self.folder / "ca.crt"), "server_name": "localhost"}
        credential = self.folder / "token"
        credential.write_text(self.plane.kubectl("-n", self.namespace, "create", "token", "default").stdout.strip())
        rule = {"apiGroups": [], "nonResourceURLs": ["/metrics"], "verbs": ["get"]}
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": self.namespace},
            "rules": [rule],
        }
        self.plane.kubectl("apply", "-f", "-", input=json.dumps(role))
        self.plane.kubectl(
            "create", "clusterrolebinding", self.namespace, f"--clusterrole={self.namespace}",
            f"--serviceaccount={self.namespace}:default",
        )  # fmt: skip
        (self.folder / "apiserver.crt").write_bytes(self.plane.ca_pem)
        apiserver = {
            "job_name": "apiserver",
            "scheme": "https",
            "authorization": {"credentials_file": str(credential)},
            "tls_config": {"ca_file": str(self.folder / "apiserver.crt")},
            "static_configs": [{"targets": [self.plane.host.removeprefix("https://")]}],
        }
        return {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(self.folder / "rules.yaml")],
            "scrape_configs": [job, apiserver],
        }

    def ask(self, path: str, **query: str) -> Any:
        """The `data` of an answer; None where Prometheus does not answer yet."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                document = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == http.client.SERVICE_UNAVAILABLE:
                return None
            raise AssertionError(f"{path} {query}: {error.read().decode()}") from None
        except OSError:
            return None
        assert document["status"] == "success", document
        return document["data"]

    def values(self, name: str) -> list[Any]:
        # ranges short enough to be filled, for scrapes that come every second
        expression = EXPRESSIONS[name].replace("[$__rate_interval]", "[1m]")
        found = self.ask("query", query=expression)
        assert found["resultType"] == "vector"
        return [one for one in found["result"] if one["value"][1] != "NaN"]


@pytest.fixture(scope="module")
def watched(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    name = "monitored"
    control_plane.kubectl("create", "namespace", name)
    eventually(lambda: control_plane.kubectl("-n", name, "get", "sa", "default", check=False).returncode == 0)
    with ServedWebhook(control_plane) as webhook:
        webhook.register()
        place = Watched(control_plane, webhook, name, tmp_path_factory.mktemp("monitored"))
        try:
            place.start()
            eventually(lambda: len(healthy(place)) == 3, seconds=180, interval=0.5)
            yield place
        finally:
            place.stop()
            webhook.unregister()
            control_plane.kubectl("delete", "clusterrole,clusterrolebinding", name)
            control_plane.kubectl("delete", "namespace", name, "--wait=false")


def healthy(place: Watched) -> list[str]:
    found = place.ask("targets", state="active")
    return [one["scrapeUrl"] for one in (found or {"activeTargets": []})["activeTargets"] if one["health"] == "up"]


def test_the_documented_configuration_finds_both_processes(watched: Watched) -> None:
    assert {url for url in healthy(watched) if "apiserver" not in url} >= {
        f"https://127.0.0.1:{watched.webhook.port}/metrics",
        f"http://127.0.0.1:{watched.controller_port}/metrics",
    }
    assert {one["pod"] for one in watched.ask("series", **{"match[]": "pullproof_controller_leading"})} == {
        "webhook",
        "controller",
    }


@pytest.mark.parametrize("process", ["webhook", "controller"])
def test_promtool_has_nothing_against_the_metrics(watched: Watched, process: str) -> None:
    url = f"http://127.0.0.1:{watched.controller_port}/metrics"
    if process == "webhook":
        text = watched.webhook.get("/metrics")[1]
    else:
        with urllib.request.urlopen(url, timeout=30) as answer:
            text = answer.read().decode()
    assert "pullproof_reviews_total" in text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_rules_are_loaded_and_evaluated_without_an_error(watched: Watched) -> None:
    def evaluated() -> list[dict[str, Any]]:
        rules = [rule for group in watched.ask("rules")["groups"] for rule in group["rules"]]
        return rules if all(rule["health"] != "unknown" for rule in rules) else []

    rules = eventually(evaluated, interval=0.5)
    assert {rule["name"] for rule in rules} == {rule["alert"] for group in RULES["groups"] for rule in group["rules"]}
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}


def bad_pod() -> str:
    spec = {"containers": [{"name": "app", "image": "contoso.azureacr.io/shop:1"}]}
    metadata = {"name": "monitored-bad", "namespace": "default"}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def test_every_metric_that_is_named_exists(watched: Watched) -> None:
    def fails_open() -> bool:
        watched.plane.kubectl("create", "--dry-run=server", "-f", "-", input=bad_pod(), check=False)
        return "apiserver_admission_webhook_fail_open_count" in watched.ask("metadata")

    # the API server shows its counts of a kind from the first one on
    watched.webhook.stop()
    eventually(fails_open, seconds=180, interval=0.5)
    watched.webhook.start()
    named = {metric: name for name, expression in EXPRESSIONS.items() for metric in METRIC.findall(expression)}

    def missing() -> dict[str, str]:
        served = set(watched.ask("metadata"))
        # the metadata has the family's name of a histogram
        series = served | {f"{name}_{end}" for name in served for end in ("bucket", "sum", "count")}
        return {metric: name for metric, name in named.items() if metric not in series}

    # a scrape of the webhook that is back takes a moment
    eventually(lambda: not missing(), seconds=180, interval=0.5)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_expression_is_answered(watched: Watched, name: str) -> None:
    watched.values(name)


def test_what_happens_is_shown(watched: Watched) -> None:
    def shown() -> bool:
        watched.plane.kubectl("create", "--dry-run=server", "-f", "-", input=bad_pod(), check=False)
        return all(watched.values(name) for name in SHOWING)

    eventually(shown, seconds=120, interval=1)


def test_all_is_well_with_a_webhook_that_answers(watched: Watched) -> None:
    firing = {one["labels"]["alertname"] for one in watched.ask("alerts")["alerts"] if one["state"] == "firing"}
    assert not firing & {
        "PullproofWebhookAbsent",
        "PullproofCertificateExpires",
        "PullproofNoLeader",
        "PullproofCacheStale",
    }


def test_the_component_adds_what_is_scraped_the_rules_and_the_dashboard(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    manifests = os.path.relpath(ROOT / "manifests", tmp_path)
    kustomization = {"resources": [f"{manifests}/base"], "components": [f"{manifests}/components/monitoring"]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    documents = list(yaml.safe_load_all(control_plane.kubectl("kustomize", str(tmp_path)).stdout))
    (rule,) = (one for one in documents if one["kind"] == "PrometheusRule")
    assert rule["spec"] == RULES
    (dashboard,) = (one for one in documents if one["kind"] == "ConfigMap")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["pullproof.json"]) == DASHBOARD
    (monitor,) = (one for one in documents if one["kind"] == "PodMonitor")
    assert {one["metadata"]["namespace"] for one in (rule, dashboard, monitor)} == {"pullproof"}
    # what it scrapes is what is there, over the certificate that is made
    endpoints = {one["port"]: one for one in monitor["spec"]["podMetricsEndpoints"]}
    pods = [one["spec"]["template"] for one in documents if one["kind"] == "Deployment"]
    selected = monitor["spec"]["selector"]["matchLabels"].items()
    assert all(selected <= pod["metadata"]["labels"].items() for pod in pods)
    assert {pod["spec"]["containers"][0]["ports"][0]["name"] for pod in pods} == set(endpoints)
    assert endpoints["https"]["scheme"] == "https"
    assert endpoints["https"]["tlsConfig"] == {
        "serverName": "pullproof.pullproof.svc", "ca": {"secret": {"name": "pullproof-tls", "key": "ca.crt"}},
    }  # fmt: skip
