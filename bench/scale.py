"""`make bench-scale`: the webhook beside a big cluster and beside a small one, in one run.

Two real control planes, one with 10 pull Secrets and one with 10,000, each with a webhook of its own that watches it.
Writes its part of docs/performance.md:

- seconds from the start of `pullproof serve` until /readyz says ok
- the worker's memory: the most it ever had (VmHWM) and what it has (PSS); after start, after 1,000 updates of Secrets
  and as many heartbeats of nodes, and after the API server was restarted, which makes everything be listed again
- the same review to both, in rounds that take turns: what counts is the median of the rounds' ratios
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import random
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import local
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
    peak,
    pss,
    summary,
    write_part,
)
from tests.controlplane.controlplane import ControlPlane  # noqa: E402
from tests.serving import ServedWebhook  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

READY_SECONDS, PEAK_MB, REVIEW_RATIO = 15, 120, 1.10
"""The bars: from start to ready, the worker's peak, and a review beside 10,000 pull Secrets to one beside 10."""

NAMESPACE, SECRET = "bench", "regcred"
WRITERS = 12
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Load:
    """How many objects a control plane has; `secrets` are pull Secrets of about 2 kB."""

    secrets: int
    namespaces: int
    accounts: int
    nodes: int


SMALL = Load(secrets=10, namespaces=3, accounts=5, nodes=3)
BIG = Load(secrets=10_000, namespaces=2_000, accounts=5_000, nodes=500)

Write = tuple[str, dict[str, Any]]  # path of the collection, object


def namespaces(load: Load) -> Iterator[Write]:
    for name in namespace_names(load):
        labels = {"team": name, "pullproof.dev/enforce": "certain"}
        yield "/api/v1/namespaces", _object("Namespace", name, labels=labels)


def namespace_names(load: Load) -> list[str]:
    return [NAMESPACE, *(f"team-{number:04}" for number in range(load.namespaces - 1))]


def objects(load: Load) -> Iterator[Write]:
    """All but the namespaces, which have to be there first."""
    names = namespace_names(load)
    for number in range(load.accounts):
        turn, namespace = divmod(number, len(names))
        account = _object("ServiceAccount", f"robot-{turn}" if turn else "default")
        account["imagePullSecrets"] = [{"name": f"pull-{turn}"}, {"name": SECRET}]
        yield f"/api/v1/namespaces/{names[namespace]}/serviceaccounts", account
    for number in range(load.secrets):
        yield f"/api/v1/namespaces/{_namespace_of(number, names)}/secrets", secret(number, names)
    pool = [_image(number) for number in range(3_000)]
    for number in range(load.nodes):
        yield "/api/v1/nodes", node(number, pool)


def _namespace_of(number: int, names: list[str]) -> str:
    return names[number % len(names)]


def secret(number: int, names: list[str], generation: int = 0) -> dict[str, Any]:
    """The first is what the review names; one in ten is of the older type. Five hosts: two that others have too."""
    turn, namespace = number // len(names), _namespace_of(number, names)
    hosts = [f"shared{number % 50}.azurecr.io", "us.icr.io" if number % 2 else "de.icr.io"]
    hosts += [f"{namespace}-{turn}-{place}.registry.example" for place in range(3)]
    if number == 0:
        hosts[0] = "contoso.azurecr.io"
    seed = random.Random(number * 1_000 + generation)
    auths = {}
    for host in hosts:
        username, password = f"robot-{namespace}", base64.b64encode(seed.randbytes(110)).decode()
        auth = base64.b64encode(f"{username}:{password}".encode()).decode()
        auths[host] = {"username": username, "password": password, "auth": auth, "email": f"{username}@example.com"}
    older = number % 10 == 9
    kind, key, content = (
        ("kubernetes.io/dockercfg", ".dockercfg", auths)
        if older
        else ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", {"auths": auths})
    )
    name = SECRET if number == 0 else f"pull-{turn}"
    data = {key: base64.b64encode(json.dumps(content).encode()).decode()}
    return {**_object("Secret", name), "type": kind, "data": data}


def node(number: int, pool: list[dict[str, Any]]) -> dict[str, Any]:
    """As a kubelet registers it: 50 images, 20 of them on every node (the system's own)."""
    images = pool[:20] + random.Random(number).sample(pool[20:], 30)
    name = f"node-{number:03}"
    labels = {
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "node.kubernetes.io/instance-type": "Standard_D8s_v5",
        "topology.kubernetes.io/zone": f"westeurope-{number % 3 + 1}",
        "agentpool": f"pool{number % 5}",
    }
    info = {
        **dict.fromkeys(("machineID", "systemUUID", "bootID", "kubeProxyVersion"), ""),
        "kernelVersion": "6.1.0-41-amd64",
        "osImage": "Ubuntu 24.04.3 LTS",
        "containerRuntimeVersion": "containerd://2.1.4",
        "kubeletVersion": "v1.36.3",
        "operatingSystem": "linux",
        "architecture": "amd64",
    }
    spec = {"providerID": f"azure:///subscriptions/0/virtualMachines/{name}"}
    return {**_object("Node", name, labels=labels), "spec": spec, "status": {"nodeInfo": info, "images": images}}


def _image(number: int) -> dict[str, Any]:
    repository = f"shared{number % 50}.azurecr.io/team-{number % 200}/service-{number}"
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return {"names": [f"{repository}@sha256:{digest}", f"{repository}:1.{number}"], "sizeBytes": 100_000_000 + number}


def _object(kind: str, name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **({"labels": labels} if labels else {})}}


def write_all(kubeconfig: Path, writes: Iterable[tuple[str, str, dict[str, Any]]]) -> float:
    """Send `(method, path, object)` over several connections; seconds it took."""
    own = local()

    def write(one: tuple[str, str, dict[str, Any]]) -> None:
        if not hasattr(own, "client"):
            own.client = ApiClient(kubeconfig)
        method, path, obj = one
        content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
        own.client.send(method, path, json.dumps(obj).encode(), content_type)

    started = time.perf_counter()
    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in pool.map(write, writes):
            pass
    return time.perf_counter() - started


def fill(plane: ControlPlane, load: Load) -> float:
    """Create the load; seconds it took."""
    first = write_all(plane.kubeconfig, (("POST", path, obj) for path, obj in namespaces(load)))
    return first + write_all(plane.kubeconfig, (("POST", path, obj) for path, obj in objects(load)))


def churn(plane: ControlPlane, load: Load, updates: int) -> None:
    """So many Secrets get other passwords and a further host each, and so many times a node reports itself."""
    names = namespace_names(load)
    writes: list[tuple[str, str, dict[str, Any]]] = []
    for number in range(1, updates + 1):
        at = number % load.secrets or 1
        new = secret(at, names, generation=number)
        (key, encoded), *_ = new["data"].items()
        content = json.loads(base64.b64decode(encoded))
        hosts = content.get("auths", content)
        hosts[f"new-{number}.registry.example"] = next(iter(hosts.values()))
        data = {key: base64.b64encode(json.dumps(content).encode()).decode()}
        path = f"/api/v1/namespaces/{_namespace_of(at, names)}/secrets/{new['metadata']['name']}"
        writes.append(("PATCH", path, {"data": data}))
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": str(number)}
        path = f"/api/v1/nodes/node-{number % load.nodes:03}/status"
        writes.append(("PATCH", path, {"status": {"conditions": [ready]}}))
    write_all(plane.kubeconfig, writes)


def started(plane: ControlPlane, stack: ExitStack) -> tuple[ServedWebhook, float]:
    """A webhook, and the seconds until it was ready."""
    webhook = ServedWebhook(plane)
    began = time.perf_counter()
    stack.enter_context(webhook)
    return webhook, time.perf_counter() - began


def memory(webhook: ServedWebhook) -> dict[str, int]:
    """Of the worker, in bytes."""
    (worker,) = children(webhook.pid)
    return {"peak": peak(worker), "pss": pss(worker)}


def relisted(plane: ControlPlane, webhook: ServedWebhook) -> None:
    """Restart the API server and return when the webhook has listed everything again."""

    def listed() -> int:
        return webhook.log.count(": listed, ")

    before = listed()
    plane.stop_apiserver()
    plane.start_apiserver()
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while listed() < 2 * before:
        if time.monotonic() > deadline:
            raise RuntimeError(f"not everything was listed again:\n{webhook.log[-2000:]}")
        time.sleep(0.2)
    time.sleep(2)  # what was told of differences is worked through


def review(image: str, named: str = SECRET) -> bytes:
    """A pod that names a pull secret, as a webhook sees it."""
    spec: dict[str, Any] = {
        "serviceAccountName": "default",
        "imagePullSecrets": [{"name": named}],
        "containers": [
            {"name": f"c{number}", "image": one, "env": [{"name": f"A{n}", "value": "x" * 20} for n in range(5)]}
            for number, one in enumerate((image, "registry.k8s.io/e2e-test-images/agnhost:2.53", "nginx:1.27.1"))
        ],
    }
    obj = _object("Pod", "bench", labels={"app": "bench"})
    obj["metadata"]["namespace"] = NAMESPACE
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "namespace": NAMESPACE,
        "userInfo": {"username": "jane", "groups": ["system:authenticated"]},
        "object": {**obj, "spec": spec},
        "oldObject": None,
        "dryRun": True,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


REVIEWS = {
    "the secret covers the image": review("contoso.azurecr.io/shop:1.4.2"),
    "no credential covers it": review("fabrikam.azurecr.io/shop:1.4.2"),
    "the secret is in every namespace but this one": review("contoso.azurecr.io/shop:1.4.2", "pull-0"),
}


def take_turns(
    webhooks: dict[str, ServedWebhook], body: bytes, rounds: int, requests: int
) -> dict[str, list[dict[str, float]]]:
    """Per webhook one result per round."""
    clients = {name: ReviewClient(webhook.port, webhook.ca_pem) for name, webhook in webhooks.items()}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in webhooks}
    for turn in range(rounds + 1):
        for name in list(clients)[:: 1 if turn % 2 else -1]:
            times = []
            began = time.perf_counter()
            for _ in range(requests):
                before = time.perf_counter()
                clients[name].ask(body)
                times.append(time.perf_counter() - before)
            if turn > 0:  # the first is for warming up
                results[name].append(summary(sorted(times), time.perf_counter() - began))
    return results


def ratio(results: dict[str, list[dict[str, float]]], what: str) -> float:
    """Big to small, each round against the same round: what slows a round slows both."""
    pairs = zip(results["big"], results["small"], strict=True)
    return statistics.median(big[what] / small[what] for big, small in pairs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=300, help="per webhook and round")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--scale", type=float, default=1.0, help="of the big cluster; for trying this script")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    counts = {field: max(3, round(count * options.scale)) for field, count in vars(BIG).items()}
    loads = {"small": SMALL, "big": Load(**counts)}
    ready: dict[str, float] = {}
    sizes: dict[str, dict[str, dict[str, int]]] = {"small": {}, "big": {}}
    with ExitStack() as stack:
        planes: dict[str, ControlPlane] = {}
        webhooks: dict[str, ServedWebhook] = {}
        for name, load in loads.items():
            plane = planes[name] = stack.enter_context(ControlPlane(controller_manager=False, scheduler=False))
            print(f"{name}: created in {fill(plane, load):.0f} s", file=sys.stderr, flush=True)
            webhooks[name], ready[name] = started(plane, stack)
            print(f"{name}: ready in {ready[name]:.1f} s", file=sys.stderr, flush=True)
            sizes[name]["ready"] = memory(webhooks[name])
        for what, body in list(REVIEWS.items())[:2]:  # the third one's answer names other namespaces
            answers = {ReviewClient(one.port, one.ca_pem).ask(body) for one in webhooks.values()}
            if len(answers) != 1:
                raise RuntimeError(f"where {what}, the webhooks differ: {answers}")
        reviews = {what: take_turns(webhooks, body, options.rounds, options.requests) for what, body in REVIEWS.items()}
        for name, load in loads.items():
            sizes[name]["reviews"] = memory(webhooks[name])
            churn(planes[name], load, options.updates)
            time.sleep(3)  # longer than an update takes to arrive
            sizes[name]["churn"] = memory(webhooks[name])
            relisted(planes[name], webhooks[name])
            sizes[name]["relist"] = memory(webhooks[name])
    text = report(loads, ready, sizes, reviews, options)
    print(text)
    if not options.no_write:
        write_part("bench-scale", text)
    return 0


def report(
    loads: dict[str, Load],
    ready: dict[str, float],
    sizes: dict[str, dict[str, dict[str, int]]],
    reviews: dict[str, dict[str, list[dict[str, float]]]],
    options: argparse.Namespace,
) -> str:
    moments = {
        "ready": "when ready",
        "reviews": "after the reviews below",
        "churn": f"after {options.updates:,} updates of Secrets and as many heartbeats of nodes",
        "relist": "after a restart of the API server (everything listed again)",
    }
    lines = ["## A big cluster beside a small one", "", f"{machine()}.", "", "| | small | big |", "| --- | --- | --- |"]
    for field, label in {
        "secrets": "pull Secrets (2 kB, five hosts each)",
        "namespaces": "namespaces",
        "accounts": "ServiceAccounts",
        "nodes": "nodes (50 images each)",
    }.items():
        lines.append(f"| {label} | " + " | ".join(f"{getattr(load, field):,}" for load in loads.values()) + " |")
    lines.append("| from start to ready | " + " | ".join(f"{ready[name]:.1f} s" for name in loads) + " |")
    for moment, label in moments.items():
        cells = [f"{at['peak'] / 1e6:.0f} MB, {at['pss'] / 1e6:.0f} MB" for at in (sizes[n][moment] for n in loads)]
        lines.append(f"| worker's peak so far and PSS, {label} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "The same review, of a pod with three containers that names a pull secret, sent to both webhooks directly;"
        f" {options.rounds} rounds of {options.requests} requests each.",
        "",
        "| review | cluster | p50 | p99 | requests/s | p50, big / small |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for what, results in reviews.items():
        for name in loads:
            mine = results[name]
            cells = [f"{median(mine, field) * 1e6:.0f} µs" for field in ("p50", "p99")]
            cells += [f"{median(mine, 'throughput'):.0f}", f"{ratio(results, 'p50'):.3f}" if name == "big" else ""]
            lines.append(f"| {what} | {name} | " + " | ".join(cells) + " |")
    worst = max(ratio(results, "p50") for results in reviews.values())
    most = max(at["peak"] for at in sizes["big"].values()) / 1e6
    rows = [
        ("from start to ready", ready["big"], "at most", READY_SECONDS, " s"),
        ("worker's peak when ready", sizes["big"]["ready"]["peak"] / 1e6, "at most", PEAK_MB, " MB"),
        ("worker's peak to the end, everything listed twice", most, "at most", PEAK_MB, " MB"),
        ("a review, big / small, the worst of the three", worst, "at most", REVIEW_RATIO, ""),
    ]
    return "\n".join([*lines, "", "### The bars of scale", "", *bars(rows)]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
