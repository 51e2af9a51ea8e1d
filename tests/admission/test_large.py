"""Reviews that are built to be slow. What matters is that each is answered: before they were bounded, in minutes.

Every pod here is one that an API server takes from any tenant.
"""

from __future__ import annotations

import gc
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.admission.test_app import KnownCluster, post, review
from webhook.admission.app import Options, create_app
from webhook.model.facts import Facts, Known, Unknown, list_pull_secrets
from webhook.model.policy import of_labels
from webhook.model.workload import Workload

if TYPE_CHECKING:
    from webhook.model.policy import ClusterPolicy

WINDOWS = "mcr.microsoft.com/windows/nanoserver:ltsc2022"
LABELS = {"pullproof.dev/enforce": "likely", "pullproof.dev/inject-os": "enabled"}
MANY = 50_000
VALUES = [f"v{number}" for number in range(MANY)]


class Cluster(KnownCluster):
    def facts(self, workload: Workload, policy: ClusterPolicy, *, seconds: float) -> Facts:
        secrets = list_pull_secrets(workload, Known(tuple(VALUES)), lambda _: Unknown("too many"), stored=True)
        return Facts(policy=of_labels(LABELS, policy), namespace_labels=Known(LABELS), pull_secrets=secrets)

    def policy(self, namespace: str, policy: ClusterPolicy, *, seconds: float) -> Any:
        return Known(LABELS), of_labels(LABELS, policy)


def affinity(*terms: list[dict[str, Any]]) -> dict[str, Any]:
    required = {"nodeSelectorTerms": [{"matchExpressions": term} for term in terms]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def values(operator: str) -> dict[str, Any]:
    return {"key": "pool", "operator": operator, "values": VALUES}


LARGE = {
    "terms beside a selector": {
        "nodeSelector": dict.fromkeys(VALUES, "v"),
        "affinity": affinity(*([{"key": "pool", "operator": "Exists"}] for _ in VALUES)),
    },
    "values beside values": {"affinity": affinity([values("In"), values("NotIn")])},
}


def ask(path: str, **spec: Any) -> dict[str, Any]:
    pod = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "app", "image": WINDOWS}], **spec}}
    status, text = post(create_app(Cluster(), Options()).test_client(), review(object=pod), path)
    assert status == 200
    answer: dict[str, Any] = json.loads(text)["response"]
    return answer


@pytest.mark.parametrize("spec", LARGE.values(), ids=LARGE.keys())
def test_rules_of_placement(spec: dict[str, Any]) -> None:
    answer = ask("/validate", **spec)
    assert answer["allowed"]
    assert "PULL407 unknown spec" in answer["auditAnnotations"]["unknown"]
    assert "patch" not in (answer := ask("/mutate", **spec))
    assert "left alone: where it can land is unknown: more than 5" in answer["auditAnnotations"]["inject-os"]


def test_containers_of_one_system() -> None:
    answer = ask("/validate", containers=[{"name": name, "image": WINDOWS} for name in VALUES[:30_000]])
    assert "PULL402 likely" in answer["auditAnnotations"]["findings"]


def test_pull_secrets_of_its_own_beside_those_of_its_account() -> None:
    ask("/validate", imagePullSecrets=[{"name": f"own-{name}"} for name in VALUES])


def test_a_thread_keeps_nothing_of_a_review_that_is_answered() -> None:
    """A pod of 3 MB is 30 MB when it is read, and there are 64 threads."""
    told = {"nodeSelector": {"told": "once"}}
    with ThreadPoolExecutor(1) as thread:
        thread.submit(ask, "/validate", **told).result()
        gc.collect()
        kept = [one for one in gc.get_objects() if isinstance(one, Workload)]
        assert not [one for one in kept if one.spec.get("nodeSelector") == told["nodeSelector"]]
