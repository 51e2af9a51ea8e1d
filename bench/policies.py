"""`make bench-policies`: a review where 1,000 policies are for its namespace, beside one where one is.

Two real control planes, each with a webhook of its own. All 1,000 select every namespace, which is the worst that can
be: each with an exemption, two registries and images that nodes hold; half of them of one registry's hosts. Writes its
part of docs/performance.md: the same review to both in rounds that take turns, what counts is the median of the rounds'
ratios; and how long a change takes until the webhook answers by it, measured where 1,000 policies are.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.measuring import ApiClient, ReviewClient, bars, machine, median, write_part  # noqa: E402
from bench.scale import NAMESPACE, ratio, review, take_turns  # noqa: E402
from tests.controlplane.controlplane import ControlPlane  # noqa: E402
from tests.policies import install  # noqa: E402
from tests.serving import ServedWebhook  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

REVIEW_RATIO, CHANGE_SECONDS = 1.2, 2.0
"""The bars: a review with 1,000 policies to one with one, and from a change's answer until it is in force."""

PATH = "/apis/pullproof.dev/v1alpha1/clusterpullpolicies"
REVIEWS = {
    "nothing is wrong": review("docker.io/library/nginx:1.27.1", ""),
    "denied: a known mistake for a host": review("contoso.azureacr.io/shop:1.4.2", ""),
    "excused by an exemption of the last policy": review("last.azureacr.io/shop:1.4.2", ""),
}


def policy(number: int, count: int) -> dict[str, Any]:
    mine = "last.azureacr.io" if number == count - 1 else f"r{number}.azureacr.io"
    spec = {
        "exemptions": [{"name": "x", "reason": "bench", "expires": "2099-01-01T00:00:00Z", "images": [mine]}],
        "registries": [
            {"match": f"r{number}.{'azurecr.io' if number % 2 else 'example.com'}", "credentials": "nodeIdentity"},
            {"match": f"docker.io/team-{number}/*", "os": "linux"},
        ],
        "nodes": {"preloaded": [f"docker.io/held-{number}"]},
    }
    name = f"policy-{number:04}"
    made = {"apiVersion": "pullproof.dev/v1alpha1", "kind": "ClusterPullPolicy", "metadata": {"name": name}}
    return {**made, "spec": spec}


def fill(plane: ControlPlane, count: int) -> None:
    install(plane)
    plane.kubectl("create", "namespace", NAMESPACE)
    client = ApiClient(plane.kubeconfig)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": NAMESPACE}}
    client.send("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", json.dumps(account).encode())
    for number in range(count):
        client.send("POST", PATH, json.dumps(policy(number, count)).encode())


def changes(plane: ControlPlane, webhook: ServedWebhook, times: int) -> list[float]:
    """Seconds from the answer to a change of one policy until the webhook answers by it."""
    writer, reader = ApiClient(plane.kubeconfig), ReviewClient(webhook.port, webhook.ca_pem)
    body = REVIEWS["denied: a known mistake for a host"]
    took = []
    for turn in range(times):
        level = "certain" if turn % 2 else "off"
        change = json.dumps({"spec": {"defaults": {"enforce": level}}}).encode()
        writer.send("PATCH", f"{PATH}/policy-0000", change, "application/merge-patch+json")
        wanted = level != "certain"
        took.append(until(lambda wanted=wanted: allowed(reader.ask(body)) is wanted))  # type: ignore[misc]
    return took


def allowed(answer: bytes) -> bool:
    found: bool = json.loads(answer)["response"]["allowed"]
    return found


def until(holds: Callable[[], bool]) -> float:
    began = time.perf_counter()
    while not holds():
        if time.perf_counter() - began > 60:
            raise RuntimeError("the change is not in force after a minute")
        time.sleep(0.005)
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--requests", type=int, default=30, help="per webhook and round")
    parser.add_argument("--policies", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=30)
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    counts = {"small": 1, "big": options.policies}
    with ExitStack() as stack:
        webhooks: dict[str, ServedWebhook] = {}
        planes: dict[str, ControlPlane] = {}
        for name, count in counts.items():
            plane = planes[name] = stack.enter_context(ControlPlane(controller_manager=False, scheduler=False))
            fill(plane, count)
            webhooks[name] = stack.enter_context(ServedWebhook(plane))
            print(f"{name}: {count} policies", file=sys.stderr, flush=True)
        for what, body in REVIEWS.items():
            verdicts = {allowed(ReviewClient(one.port, one.ca_pem).ask(body)) for one in webhooks.values()}
            if verdicts != {not what.startswith("denied")}:
                raise RuntimeError(f"where {what}, the webhooks answer {verdicts}")
        reviews = {what: take_turns(webhooks, body, options.rounds, options.requests) for what, body in REVIEWS.items()}
        took = changes(planes["big"], webhooks["big"], options.changes)
    text = report(counts, reviews, took, options)
    print(text)
    if not options.no_write:
        write_part("bench-policies", text)
    return 0


def report(
    counts: dict[str, int],
    reviews: dict[str, dict[str, list[dict[str, float]]]],
    took: list[float],
    options: argparse.Namespace,
) -> str:
    lines = [
        "## Many policies beside one",
        "",
        f"{machine()}. One ClusterPullPolicy, and {counts['big']:,} that all select the namespace, each with an"
        " exemption, two registries and a preloaded image. The review is of a pod with three containers;"
        f" {options.rounds} rounds of {options.requests} requests each.",
        "",
        "| review | policies | p50 | p99 | requests/s | p50, many / one |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for what, results in reviews.items():
        for name, count in counts.items():
            mine = results[name]
            cells = [f"{median(mine, field) * 1e6:.0f} µs" for field in ("p50", "p99")]
            cells += [f"{median(mine, 'throughput'):.0f}", f"{ratio(results, 'p50'):.3f}" if name == "big" else ""]
            lines.append(f"| {what} | {count:,} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"From the API server's answer to a change of one of {counts['big']:,} policies until a review is answered by"
        f" it, {len(took)} times: median {statistics.median(took) * 1000:.0f} ms, at most {max(took) * 1000:.0f} ms.",
    ]
    rows = [
        ("a review, many / one, the worst of the three", max(ratio(one, "p50") for one in reviews.values()), "at most",
         REVIEW_RATIO, ""),
        ("until a change is in force, the longest", max(took), "at most", CHANGE_SECONDS, " s"),
    ]  # fmt: skip
    return "\n".join([*lines, "", "### The bars of policies", "", *bars(rows)]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
