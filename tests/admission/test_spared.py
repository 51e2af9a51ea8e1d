"""Which pods of built-in controllers are warned about instead of denied: those that are made again as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from webhook.admission.app import Options, create_app
from webhook.model.facts import Facts, Known
from webhook.model.policy_book import PolicyBook
from webhook.model.policy_spec import read_policy
from webhook.sources.listing import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from webhook.model.policy import ClusterPolicy
    from webhook.model.workload import Workload

MISTYPED = "contoso.azureacr.io/shop:1"  # PULL201
FORBIDDEN = "ghcr.io/org/app:1"  # PULL802
OWNERS = [{"kind": "StatefulSet", "name": "shop", "uid": "1", "controller": True}]
READY_OWNER = "its owner has ready replicas: a pod made again must not turn a cached image into an outage"


class Running:
    """A cluster that allows Azure's registries alone; `present` nodes hold every image, one pod runs `running`."""

    def __init__(self, *, ready: bool | None, present: bool, running: str) -> None:
        spec = {"allowedRegistries": ["*.azurecr.io", "*.azureacr.io"]}
        self.policy_object = read_policy({"kind": "ClusterPullPolicy", "metadata": {"name": "a"}, "spec": spec})
        self.ready = ready
        self.evidence = "node/a" if present else None
        self.running = running

    def facts(self, workload: Workload, policy: ClusterPolicy, *, seconds: float) -> Facts:
        held = PolicyBook(policy, [self.policy_object]).policy(workload.namespace, {})
        return Facts(policy=held, namespace_labels=Known({}), image_evidence=lambda _: self.evidence)

    def owner_is_ready(self, *_: Any, **__: Any) -> bool | None:
        return self.ready

    def pods(self, namespace: str, *, seconds: Callable[[], float]) -> Iterator[Page]:
        assert seconds() > 0
        status = {"conditions": [{"type": "Ready", "status": "True"}]}
        yield Page([{**pod(self.running), "status": status}], "1")


def pod(image: str) -> dict[str, Any]:
    containers = [{"name": "app", "image": image}]
    return {"metadata": {"name": "shop-0", "ownerReferences": OWNERS}, "spec": {"containers": containers}}


@pytest.mark.parametrize(
    ("image", "ready", "present", "running", "why"),
    [
        (MISTYPED, True, False, "other", READY_OWNER),
        (MISTYPED, False, False, MISTYPED, None),
        (FORBIDDEN, True, False, FORBIDDEN, READY_OWNER),
        (FORBIDDEN, True, False, "contoso.azurecr.io/shop:1", None),
        (FORBIDDEN, True, True, "contoso.azurecr.io/shop:1", None),
        (FORBIDDEN, False, True, FORBIDDEN, None),
        (FORBIDDEN, None, True, FORBIDDEN, None),
    ],
)
def test_a_controllers_pod(image: str, ready: bool | None, present: bool, running: str, why: str | None) -> None:
    request = {
        "uid": "u-1",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": "CREATE",
        "namespace": "shop",
        "userInfo": {"username": "system:serviceaccount:kube-system:statefulset-controller"},
        "object": pod(image),
    }
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    cluster: Any = Running(ready=ready, present=present, running=running)
    found = create_app(cluster, Options()).test_client().post("/validate", json=body).get_json()["response"]
    assert (found["allowed"], found["auditAnnotations"].get("not-denied")) == (why is not None, why)
