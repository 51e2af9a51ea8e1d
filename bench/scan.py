"""`pullproof scan` and `diagnose -A` over 10,000 pods on a real API server: seconds, and the most memory ever held.

The pods are as kubelets leave them: of Deployments by tens, with tokens, probes, conditions, managedFields and what the
API server adds; one in twenty waits for its image. Their Events are there as well.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.measuring import bars, machine, write_part  # noqa: E402
from bench.scale import Load, fill, write_all  # noqa: E402
from tests.controlplane.controlplane import ControlPlane  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

SCAN_SECONDS, PEAK_MB = 60, 150
REPLICAS = 10
REFUSED = (
    'failed to pull and unpack image "{image}": failed to resolve reference "{image}": failed to authorize: failed to'
    " fetch anonymous token: unexpected status from GET request to https://{host}/oauth2/token: 401 Unauthorized"
)


HOSTS = (
    "contoso.azurecr.io",
    "us.icr.io",
    "ghcr.io",
    "docker.io",
    "quay.io",
    "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
)


def image(number: int) -> str:
    host = "contoso.azureacr.io" if number % 50 == 7 else HOSTS[number % len(HOSTS)]
    tag = f":1.{number % 9}" if number % 11 else ""
    return f"{host}/team-{number % 40}/service-{number}{tag}"


def names(number: int) -> tuple[str, str]:
    """The namespace and the name of a Deployment."""
    return f"team-{number % 99:04}", f"service-{number}"


def template(number: int) -> dict[str, Any]:
    namespace, name = names(number)
    environment = [{"name": f"SETTING_{one}", "value": f"{name} of {namespace}, {one}"} for one in range(12)]
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
    return {
        "metadata": {"labels": {"app": name}, "annotations": {"prometheus.io/scrape": "true"}},
        "spec": {
            "serviceAccountName": "default",
            "imagePullSecrets": [{"name": "pull-0" if number % 9 else f"missing-{number}"}],
            "containers": [
                {
                    "name": "app",
                    "image": image(number),
                    "env": environment,
                    "livenessProbe": probe,
                    "readinessProbe": probe,
                    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
                },
                {"name": "proxy", "image": "registry.k8s.io/pause:3.10", "env": environment[:4]},
            ],
        },
    }


def deployments(count: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for number in range(count):
        namespace, name = names(number)
        spec = {"replicas": REPLICAS, "selector": {"matchLabels": {"app": name}}, "template": template(number)}
        obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
        yield "POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", obj


def pods(count: int, nodes: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """As the controllers make them, without running these: the control plane would take an hour for the rest of it."""
    for number in range(count):
        made = number // REPLICAS
        _, name = names(made)
        hashed = f"{made:08x}"
        content = template(made)
        owner = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": f"{name}-{hashed}",
            "uid": f"00000000-0000-0000-0000-{made:012}",
            "controller": True,
        }
        content["metadata"]["labels"]["pod-template-hash"] = hashed
        metadata = {
            **content["metadata"],
            "name": f"{name}-{hashed}-{number:05}",
            "ownerReferences": [owner],
        }
        spec = {**content["spec"], "nodeName": f"node-{number % nodes:03}"}
        yield made, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def waits(made: int) -> bool:
    return made % 20 == 7


def status(made: int) -> dict[str, Any]:
    used = image(made)
    message = REFUSED.format(image=used, host=used.partition("/")[0])
    state = (
        {
            "waiting": {
                "reason": "ImagePullBackOff",
                "message": f'Back-off pulling image "{used}": ErrImagePull: {message}',
            }
        }
        if waits(made)
        else {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    )
    ready = "False" if waits(made) else "True"
    return {
        "phase": "Pending" if waits(made) else "Running",
        "conditions": [
            {"type": kind, "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}
            for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
        ],
        "containerStatuses": [
            {"name": "app", "image": used, "imageID": "", "ready": not waits(made), "restartCount": 0, "state": state}
        ],
        "podIP": f"10.{made % 250}.0.1",
    }


def fill_pods(plane: ControlPlane, count: int, nodes: int) -> float:
    began = time.perf_counter()
    write_all(plane.kubeconfig, deployments(count // REPLICAS))
    write_all(
        plane.kubeconfig,
        (("POST", f"/api/v1/namespaces/{names(made)[0]}/pods", pod) for made, pod in pods(count, nodes)),
    )
    patches = (
        (
            "PATCH",
            f"/api/v1/namespaces/{names(made)[0]}/pods/{pod['metadata']['name']}/status",
            {"status": status(made)},
        )
        for made, pod in pods(count, nodes)
    )
    write_all(plane.kubeconfig, patches)
    return time.perf_counter() - began


# The program tells its own peak as it ends: what wait4 tells begins with the memory of the process that started it.
PROGRAM = """
import atexit, os, sys, time
from bench.measuring import peak
atexit.register(lambda: sys.stderr.write(f"peak {peak(os.getpid())} {time.process_time()}"))
from webhook.cli import main
main()
"""


def measured(plane: ControlPlane, *arguments: str) -> tuple[dict[str, float], bytes]:
    """Seconds, those of its processor time, and MB of one run of the program, and what it wrote."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=plane.environment(), capture_output=True, check=False)
    took = time.perf_counter() - began
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"{arguments} ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    largest, busy = done.stderr.rpartition(b"peak ")[2].split()
    return {"seconds": took, "busy": float(busy), "mb": int(largest) / 1e6}, done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--no-write", action="store_true", help="print only")
    parser.add_argument("--keep", type=Path, help="write what each format gave into this folder")
    options = parser.parse_args()
    load = Load(secrets=1_000, namespaces=100, accounts=100, nodes=100)
    random.seed(0)
    with ControlPlane(controller_manager=False, scheduler=False) as plane:
        print(f"created in {fill(plane, load) + fill_pods(plane, options.pods, load.nodes):.0f} s", file=sys.stderr)
        results: dict[str, dict[str, float]] = {}
        for name, arguments in {
            "scan": ("scan",),
            **{f"scan -o {form}": ("scan", "-o", form) for form in ("json", "html", "sarif", "junit", "csv")},
            "diagnose -A": ("diagnose", "-A"),
        }.items():
            results[name], output = measured(plane, *arguments)
            print(f"{name}: {results[name]}, {len(output) / 1e6:.1f} MB written", file=sys.stderr, flush=True)
            if options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / name.replace(" ", "_")).write_bytes(output)
            if name == "scan -o json":
                summary = json.loads(output)["summary"]
                if summary["pods"] != options.pods:
                    raise RuntimeError(f"pods were missed: {summary}")
    text = report(options.pods, load, summary, results)
    print(text)
    if not options.no_write:
        write_part("bench-scan", text)
    return 0


def report(count: int, load: Load, summary: dict[str, Any], results: dict[str, dict[str, float]]) -> str:
    found = ", ".join(f"{number:,} {word}" for word, number in summary["findings"].items())
    lines = [
        "## A scan of a whole cluster",
        "",
        f"{machine()}; {count:,} pods of {count // REPLICAS:,} Deployments in {load.namespaces} namespaces,"
        f" {load.nodes} nodes, {load.secrets:,} pull Secrets; found: {found}. Load average at the end:"
        f" {os.getloadavg()[1]:.0f}; where that is more than the cores, other programs had a part of them, and the time"
        " that the command was busy tells more.",
        "",
        "| command | seconds | of it busy | most memory |",
        "| --- | --- | --- | --- |",
        *(
            f"| `pullproof {name}` | {one['seconds']:.1f} | {one['busy']:.1f} | {one['mb']:.0f} MB |"
            for name, one in results.items()
        ),
    ]
    rows = [
        ("the slowest", max(one["seconds"] for one in results.values()), "at most", SCAN_SECONDS, " s"),
        ("the largest", max(one["mb"] for one in results.values()), "at most", PEAK_MB, " MB"),
    ]
    return "\n".join([*lines, "", "### The bars of the scan", "", *bars(rows)]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
