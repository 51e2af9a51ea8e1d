"""`make bench`: what pullproof adds to a request, side by side with a Go no-op and a bare Flask app, in one run.

The machines are shared and noisy, so nothing here is an absolute promise: variants take turns in short rounds, and what
counts are ratios of medians over the rounds. Writes its part of docs/performance.md.

- through the API server: server-side dry-run creation of a pod with three containers, one client and sixteen
- direct: the same review sent to the webhooks themselves
- the engine alone, against `json.loads` and `json.dumps` of the same review
- memory: PSS of the worker, and of all of pullproof's processes
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.measuring import (  # noqa: E402
    ApiClient,
    ReviewClient,
    bars,
    children,
    machine,
    median,
    pss,
    summary,
    write_part,
)
from tests import gotools  # noqa: E402
from tests.controlplane.controlplane import ControlPlane  # noqa: E402
from tests.controlplane.processes import port_of, reserve_port, spawn  # noqa: E402
from tests.serving import ServedWebhook  # noqa: E402
from webhook.admission.review import decode, encode  # noqa: E402
from webhook.checks.index import all_checks  # noqa: E402
from webhook.engine.decide import Circumstances, decide  # noqa: E402
from webhook.engine.evaluate import evaluate  # noqa: E402
from webhook.model.facts import Facts, Known  # noqa: E402
from webhook.model.workload import extract  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.controlplane.processes import Process

VARIANTS = ("none", "go", "flask", "pullproof")
BARS = {
    "added p50, one client": ("pullproof / go", 2.2, "at most"),
    "direct throughput": ("pullproof / flask", 0.75, "at least"),
    "engine alone": ("engine / json", 3.0, "at most"),
}


def pod(number: int) -> dict[str, Any]:
    images = ("quay.io/prometheus/node-exporter:v1.8.2", "registry.k8s.io/e2e-test-images/agnhost:2.53", "nginx:1.27.1")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"bench-{number}", "labels": {"app": "bench"}},
        "spec": {
            "containers": [
                {
                    "name": f"c{index}",
                    "image": image,
                    "env": [{"name": f"A{n}", "value": "x" * 20} for n in range(5)],
                    "resources": {"limits": {"memory": "64Mi"}},
                }
                for index, image in enumerate(images)
            ]
        },
    }


def start(variant: str, webhook: ServedWebhook, plane: ControlPlane) -> tuple[Process, int]:
    """The Go no-op or the fixed Flask app, with pullproof's own certificate, on a free port."""
    reserved = reserve_port()
    port = port_of(reserved)
    reserved.close()
    certificate, key = str(webhook.folder / "tls.crt"), str(webhook.folder / "tls.key")
    log = plane.state / f"{variant}.log"
    if variant == "go":
        built = gotools.build(ROOT / "bench" / "noop", ["."], gotools.cache_dir() / "noop")
        return spawn("noop", built / "noop", [f"127.0.0.1:{port}", certificate, key], log), port
    arguments = [
        *("--chdir", str(ROOT / "bench"), "fixed:app", "--bind", f"127.0.0.1:{port}"),
        *("--certfile", certificate, "--keyfile", key, "--worker-class", "gthread", "--threads", "64"),
        *("--keep-alive", "120", "--no-control-socket"),
    ]
    return spawn("flask", Path(sys.executable).parent / "gunicorn", arguments, log), port


def wait_for(process: Process, port: int, variant: str) -> None:
    """Return once something listens on the port. Raises RuntimeError with the log's end where nothing ever does."""
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.exit_code() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"{variant} does not listen:\n{process.log_tail()}")


def register(plane: ControlPlane, webhook: ServedWebhook, ports: dict[str, int]) -> None:
    """Each variant is asked about its own namespace alone, so that all can be registered at once."""
    base = next(one for one in webhook.configurations() if one["kind"] == "ValidatingWebhookConfiguration")
    items: list[dict[str, Any]] = []
    for variant in VARIANTS:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"bench-{variant}"}}
        # as everywhere its controller has made one
        place = {"name": "default", "namespace": f"bench-{variant}"}
        items += [namespace, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place}]
        if variant == "none":
            continue
        hook = json.loads(json.dumps(base["webhooks"][0]))
        hook["clientConfig"]["url"] = f"https://127.0.0.1:{ports[variant]}/validate"
        only = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [f"bench-{variant}"]}
        hook["namespaceSelector"] = {"matchExpressions": [only]}
        hook["failurePolicy"] = "Fail"
        items.append({**base, "metadata": {"name": f"bench-{variant}"}, "webhooks": [hook]})
    plane.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    time.sleep(3)  # the API server reads its configurations again about every second


def through_api_server(kubeconfig: Path, clients: int, rounds: int, requests: int) -> dict[str, list[dict[str, float]]]:
    """Per variant one result per round: p50 and p99 in seconds, requests per second."""
    connections = [ApiClient(kubeconfig) for _ in range(clients)]
    body = json.dumps(pod(0)).encode()
    results: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    with ThreadPoolExecutor(clients) as pool:
        for turn in range(rounds + 1):
            # the order turns with each round, so that no variant always follows the same one
            for variant in VARIANTS[turn % 4 :] + VARIANTS[: turn % 4]:

                def work(client: ApiClient, namespace: str = f"bench-{variant}") -> list[float]:
                    path = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
                    return [client.send("POST", path, body) for _ in range(requests // clients)]

                started = time.perf_counter()
                times = sorted(took for part in pool.map(work, connections) for took in part)
                elapsed = time.perf_counter() - started
                if turn > 0:  # the first is for warming up
                    results[variant].append(summary(times, elapsed))
    return results


def review_body() -> bytes:
    obj = pod(1)
    obj["metadata"]["namespace"] = "bench-pullproof"
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "namespace": "bench-pullproof",
        "userInfo": {"username": "jane", "groups": ["system:authenticated"]},
        "object": obj,
        "oldObject": None,
        "dryRun": True,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


def direct(ports: dict[str, int], ca_pem: bytes, rounds: int, requests: int) -> dict[str, list[float]]:
    """Requests per second on one connection, by variant and round."""
    body = review_body()
    found: dict[str, list[float]] = {variant: [] for variant in ports}
    clients = {name: ReviewClient(port, ca_pem) for name, port in ports.items()}
    for turn in range(rounds + 1):
        for variant, client in clients.items():
            started = time.perf_counter()
            for _ in range(requests):
                if b'"allowed":true' not in client.ask(body).replace(b" ", b""):
                    raise RuntimeError(f"{variant} did not allow")
            if turn > 0:
                found[variant].append(requests / (time.perf_counter() - started))
    return found


def engine_alone(rounds: int, requests: int) -> dict[str, list[float]]:
    """Seconds per review: all that pullproof does with the bytes, and json's reading and writing of the same bytes."""
    body = review_body()
    facts = Facts(namespace_labels=Known({}))

    def engine() -> bytes:
        review = decode(body)
        workload = extract(review.obj or {}, group_kind=(review.group, review.kind), namespace=review.namespace)
        assert workload is not None
        findings = evaluate(workload, facts, all_checks())
        return encode(review.uid, decide(findings, workload, facts.policy.modes, Circumstances()))

    def through_json() -> str:
        return json.dumps(json.loads(body))

    found: dict[str, list[float]] = {"engine": [], "json": []}
    for turn in range(rounds + 1):
        works: tuple[tuple[str, Callable[[], object]], ...] = (("engine", engine), ("json", through_json))
        for name, work in works:
            started = time.perf_counter()
            for _ in range(requests):
                work()
            if turn > 0:
                found[name].append((time.perf_counter() - started) / requests)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=400, help="per variant and round")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    with ControlPlane(controller_manager=False, scheduler=False) as plane, ServedWebhook(plane) as webhook:
        started = {variant: start(variant, webhook, plane) for variant in ("go", "flask")}
        for variant, (process, port) in started.items():
            wait_for(process, port, variant)
        ports = {**{variant: port for variant, (_, port) in started.items()}, "pullproof": webhook.port}
        register(plane, webhook, ports)
        one = through_api_server(plane.kubeconfig, 1, options.rounds, options.requests)
        sixteen = through_api_server(plane.kubeconfig, 16, options.rounds, options.requests)
        straight = direct(ports, webhook.ca_pem, options.rounds, options.requests * 2)
        arbiter = webhook.pid
        workers = children(arbiter)
        memory = {"worker": sum(map(pss, workers)), "all": sum(map(pss, [arbiter, *workers]))}
        for process, _ in started.values():
            process.stop()
    engine = engine_alone(options.rounds, options.requests * 2)
    text = report(one, sixteen, straight, engine, memory, options)
    print(text)
    if not options.no_write:
        write_part("bench", text)
    return 0


def report(
    one: dict[str, list[dict[str, float]]],
    sixteen: dict[str, list[dict[str, float]]],
    straight: dict[str, list[float]],
    engine: dict[str, list[float]],
    memory: dict[str, int],
    options: argparse.Namespace,
) -> str:
    lines = [
        "## What pullproof adds to a request",
        "",
        f"{options.rounds} rounds of {options.requests} requests per variant, {machine()}.",
    ]
    added: dict[tuple[str, str, int], float] = {}
    for clients, results in ((1, one), (16, sixteen)):
        lines += [
            "",
            f"### Dry-run creation of a pod with three containers through the API server, clients: {clients}",
            "",
            "| webhook | p50 | p99 | requests/s | added p50 | × Go no-op | added p99 | × Go no-op |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for variant in VARIANTS:
            for what in ("p50", "p99"):
                # per round against the same round's "none": what slows a round slows both
                pairs = zip(results[variant], results["none"], strict=True)
                added[variant, what, clients] = statistics.median(mine[what] - none[what] for mine, none in pairs)
        for variant in VARIANTS:
            cells = [f"{median(results[variant], what) * 1000:.2f} ms" for what in ("p50", "p99")]
            cells.append(f"{median(results[variant], 'throughput'):.0f}")
            for what in ("p50", "p99"):
                mine, unit = added[variant, what, clients], added["go", what, clients]
                cells += ["—", "—"] if variant == "none" else [f"{mine * 1000:.2f} ms", f"{mine / unit:.2f}"]
            lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    throughput = {variant: statistics.median(values) for variant, values in straight.items()}
    times = {name: statistics.median(values) for name, values in engine.items()}
    ratios = {
        "added p50, one client": added["pullproof", "p50", 1] / added["go", "p50", 1],
        "direct throughput": throughput["pullproof"] / throughput["flask"],
        "engine alone": times["engine"] / times["json"],
    }
    lines += [
        "",
        "### Direct requests, one connection",
        "",
        "| webhook | requests/s | × fixed Flask |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {name} | {value:.0f} | {value / throughput['flask']:.2f} |" for name, value in throughput.items()]
    lines += [
        "",
        "### The engine alone",
        "",
        f"{times['engine'] * 1e6:.0f} µs a review (three containers), {times['json'] * 1e6:.0f} µs for `json.loads` and"
        f" `json.dumps` of it.",
        "",
        "### Memory (PSS)",
        "",
        f"Worker {memory['worker'] / 2**20:.0f} MiB, all processes {memory['all'] / 2**20:.0f} MiB, after the run.",
        "",
        "### The bars",
        "",
    ]
    lines += bars([(f"{what}: {of}", ratios[what], side, bar, "") for what, (of, bar, side) in BARS.items()])
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
