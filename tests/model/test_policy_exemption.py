"""Whom an exemption is for, and the names that tenants choose."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.model.finding import Confidence, Finding, Heals
from webhook.model.policy_exemption import CONTROLLERS, Exemptions, Requester, WorkloadRule, asked
from webhook.model.policy_spec import ClusterPullPolicySpec, read_policy
from webhook.model.workload import extract

FINDING = Finding("PULL304", "name", Confidence.LIKELY, Heals.CLUSTER, "spec", "wrong", "mend", image="ghcr.io/a/b:1")
TENANT = Requester("jane", frozenset({"system:authenticated", "team-a"}))
MAKER = Requester("system:serviceaccount:kube-system:replicaset-controller", frozenset({"system:serviceaccounts"}))
JOB_MAKER = Requester("system:serviceaccount:kube-system:job-controller")
LEGACY = {"namespace": "shop", "kind": "Deployment", "name": "legacy"}


def exempts(
    exemption: dict[str, Any],
    who: Requester = TENANT,
    *,
    kind: str = "Pod",
    name: str = "any",
    namespace: str = "shop",
    owner: tuple[str, str] | None = None,
    **spec: Any,
) -> bool:
    given = {"name": "x", "reason": "because", "expires": "2027-01-01T00:00:00Z", **exemption}
    policy = read_policy({"kind": "ClusterPullPolicy", "metadata": {"name": "p"}, "spec": {"exemptions": [given]}})
    assert policy.problem is None
    assert isinstance(policy.spec, ClusterPullPolicySpec)
    owners = [{"kind": owner[0], "name": owner[1], "controller": True}] if owner else None
    pod_spec = {"containers": [{"name": "app", "image": "ghcr.io/a/b:1"}], **spec}
    labels = {"pod-template-hash": "5d4f8c"}
    obj: dict[str, Any] = {
        "kind": kind,
        "apiVersion": "v1" if kind == "Pod" else "apps/v1",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": pod_spec if kind == "Pod" else {"template": {"spec": pod_spec}},
    }
    workload = extract(obj)
    assert workload is not None
    found = tuple(Exemptions(policy.spec.exemptions).find(FINDING, "ghcr.io/a/b", asked(workload, who, owners)))
    assert len(found) < 2
    return bool(found)


@pytest.mark.parametrize(
    ("exemption", "expected"),
    [
        ({"images": ["ghcr.io/a/*"]}, True),
        ({"images": ["*.ghcr.io"]}, False),
        ({"images": ["quay.io", "ghcr.io"]}, True),
        ({"checks": ["PULL304"]}, True),
        ({"checks": ["PULL201"]}, False),
        ({"checks": ["PULL201"], "images": ["ghcr.io"]}, False),
        ({"groups": ["team-a"]}, True),
        ({"groups": ["break-glass"]}, False),
        ({"users": ["jane"]}, True),
        ({"users": ["jane"], "images": ["quay.io"]}, False),
        ({"users": ["joe"], "groups": ["team-a"]}, True),
        ({"serviceAccounts": ["shop/jane"]}, False),
        ({"runtimeClasses": ["kata"]}, False),
        # all of what it says has to hold, whatever it is found by
        ({"groups": ["team-a"], "runtimeClasses": ["kata"]}, False),
        ({"groups": ["team-a"], "workloads": [LEGACY]}, False),
        ({"groups": ["team-a"], "workloads": [{"namespace": "shop", "kind": "Pod", "name": "any"}]}, True),
        ({"groups": ["team-a"], "workloads": [{"namespace": "team-b", "kind": "Pod", "name": "any"}]}, False),
    ],
)
def test_what_it_says(exemption: dict[str, Any], expected: bool) -> None:
    assert exempts(exemption) is expected


def test_a_service_account() -> None:
    who = Requester("system:serviceaccount:ci:deployer", frozenset({"system:serviceaccounts"}))
    assert exempts({"serviceAccounts": ["ci/deployer"]}, who)
    assert not exempts({"serviceAccounts": ["ci/other"]}, who)


def test_a_runtime_class() -> None:
    assert exempts({"runtimeClasses": ["kata"]}, runtimeClassName="kata")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"kind": "Deployment", "name": "legacy"}, True),
        ({"kind": "Deployment", "name": "legacy", "namespace": "team-b"}, False),
        ({"kind": "StatefulSet", "name": "legacy"}, False),
        ({"kind": "Deployment", "name": "legacy-2"}, False),
        ({"who": MAKER, "owner": ("ReplicaSet", "legacy-5d4f8c")}, True),
        ({"who": MAKER, "owner": ("ReplicaSet", "legacy-other")}, False),
        ({"who": TENANT, "owner": ("ReplicaSet", "legacy-5d4f8c")}, False),
        ({"who": TENANT, "owner": ("Deployment", "legacy")}, False),
        ({"who": MAKER, "owner": ("ReplicaSet", "legacy-5d4f8c"), "namespace": "team-b"}, False),
        ({"name": "legacy-5d4f8c-abcde"}, False),
    ],
)
def test_a_workload(request_: dict[str, Any], expected: bool) -> None:
    assert exempts({"workloads": [LEGACY]}, **request_) is expected


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("legacy-*", "legacy-a", True),
        ("legacy-*", "legacy-", True),
        ("legacy-*", "new-legacy-a", False),
        ("*", "any", True),
        ("*-db", "shop-db", True),
        ("*-db", "shop-dbs", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*b", "a-b", False),
        ("a*b*b", "a-b-b", True),
        ("a*b*c", "abbc", True),
        ("a.c", "abc", False),
        ("a**c", "ac", True),
        ("*", "", True),
        ("shop", "shop-1", False),
        ("a*b*c", "acb", False),
        ("a*ab", "ab", False),
        ("*ab*ab", "ab", False),
        # as many ways to fit as would outlast the cluster, if each were tried
        ("*a" * 100 + "*b", "a" * 253, False),
    ],
)
def test_a_star_in_a_name(pattern: str, name: str, *, expected: bool) -> None:
    assert WorkloadRule("shop", "Pod", pattern).covers("shop", "Pod", name) is expected


def test_a_cron_job_by_the_pods_of_its_jobs() -> None:
    rule = {"workloads": [{"namespace": "shop", "kind": "CronJob", "name": "report-*"}]}
    assert exempts(rule, JOB_MAKER, owner=("Job", "report-daily-29384756"))
    assert not exempts(rule, JOB_MAKER, owner=("Job", "report-daily"))


def test_the_built_in_controllers_are_asked_for_by_no_exemption_that_is_read() -> None:
    for name in CONTROLLERS:
        given = {"name": "x", "reason": "y", "expires": "2027-01-01T00:00:00Z", "users": [name]}
        spec = {"exemptions": [given]}
        assert read_policy({"kind": "ClusterPullPolicy", "metadata": {"name": "p"}, "spec": spec}).spec is None
