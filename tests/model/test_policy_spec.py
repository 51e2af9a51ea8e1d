"""What a policy may say, and the words for what it can't."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.errors import Malformed
from webhook.model.policy_spec import read_policy, refuse_unknown_fields

EXEMPTION = {"name": "old", "reason": "moves in May", "expires": "2027-05-31T00:00:00Z"}


def cluster(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "pullproof.dev/v1alpha1",
        "kind": "ClusterPullPolicy",
        "metadata": {"name": "a"},
        "spec": spec,
    }


def owners(**spec: Any) -> dict[str, Any]:
    return {"kind": "PullPolicy", "metadata": {"name": "a", "namespace": "shop"}, "spec": spec}


def exempt(**more: Any) -> dict[str, Any]:
    return cluster(exemptions=[{**EXEMPTION, **more}])


@pytest.mark.parametrize(
    ("obj", "problem"),
    [
        (cluster(), None),
        (exempt(groups=["break-glass"]), None),
        (cluster(priority="1"), "spec.priority: a number belongs here"),
        (cluster(defaults={"warn": "sure"}), "spec.defaults.warn: `sure` is none of off, certain, likely, advisory"),
        (cluster(delegate=["all"]), "spec.delegate: `all` is none of levels, confidence, registries, exemptions"),
        (
            cluster(namespaceSelector={"matchExpressions": [{"key": "team", "operator": "In"}]}),
            "spec.namespaceSelector.matchExpressions[0]: operator In needs values",
        ),
        (
            cluster(namespaceSelector={"matchLabels": {"a b": "c"}}),
            "spec.namespaceSelector.matchLabels: `a b` is no key of a label",
        ),
        (
            cluster(namespaceSelector={"matchLabels": {"a": "b c"}}),
            "spec.namespaceSelector.matchLabels: values holds what is no value of a label",
        ),
        (
            cluster(confidence=[{"check": "PULL201", "confidence": "likely"}] * 2),
            "spec.confidence: `PULL201` is there twice",
        ),
        (
            cluster(confidence=[{"check": "PULL901", "confidence": "likely"}]),
            "spec.confidence[0].check: `PULL901` is no check: write PULL and three digits; what is unknown"
            " (9xx) stays so",
        ),
        (
            cluster(registries=[{"match": "*azurecr.io"}]),
            "spec.registries[0].match: `*azurecr.io` says no images: write host[/path], where `*` stands for a whole"
            " label of the host (none of the last two) or for whole parts of the path, as in *.azurecr.io/team/*",
        ),
        (
            cluster(nodes={"credentials": "none", "credentialHosts": ["ghcr.io"]}),
            "spec.nodes: credentialHosts goes with `credentials: listed`, and with nothing else",
        ),
        (
            exempt(),
            "spec.exemptions[0]: says nobody and nothing: name images, workloads, users, groups, serviceAccounts,"
            " runtimeClasses or checks",
        ),
        (
            exempt(users=["system:kube-controller-manager"]),
            "spec.exemptions[0]: would exempt system:kube-controller-manager, which makes everybody's pods, and so"
            " everything",
        ),
        (
            exempt(serviceAccounts=["kube-system/replicaset-controller"]),
            "spec.exemptions[0]: would exempt system:serviceaccount:kube-system:replicaset-controller, which makes"
            " everybody's pods, and so everything",
        ),
        (
            exempt(groups=["system:serviceaccounts"]),
            "spec.exemptions[0]: group `system:serviceaccounts` holds the built-in controllers, and so everything",
        ),
        (
            exempt(users=["*"]),
            "spec.exemptions[0]: `*`: users and serviceAccounts are whole names, without `*`",
        ),
        (
            exempt(images=["ghcr.io"], expires="2027-05-31"),
            "spec.exemptions[0].expires: `2027-05-31` says no time zone: write 2027-01-31T00:00:00Z",
        ),
        (
            exempt(images=["ghcr.io"], expires="May"),
            "spec.exemptions[0].expires: `May` is no time: write 2027-01-31T00:00:00Z",
        ),
        (
            exempt(images=["ghcr.io"], expires="9999-12-31T23:59:59-05:00"),
            "spec.exemptions[0].expires: `9999-12-31T23:59:59-05:00` is no time: write 2027-01-31T00:00:00Z",
        ),
        (exempt(images=["ghcr.io"], reason=""), "spec.exemptions[0].reason: missing"),
        (
            exempt(workloads=[{"kind": "Deployment", "name": "a"}]),
            "spec.exemptions[0].workloads[0].namespace: missing",
        ),
        (
            owners(exemptions=[{**EXEMPTION, "images": ["ghcr.io"], "groups": ["a"]}]),
            "spec.exemptions[0]: who asks is for the platform team to say: only a ClusterPullPolicy may exempt users",
        ),
        (owners(templates="warn"), "spec.templates: `warn` is none of deny"),
    ],
)
def test_problem(obj: dict[str, Any], problem: str | None) -> None:
    assert read_policy(obj).problem == problem


def test_a_field_that_means_nothing_is_told_in_files() -> None:
    obj = cluster(registries=[{"match": "ghcr.io", "credential": "required"}])
    assert read_policy(obj).problem is None, "a newer CRD may have it"
    with pytest.raises(Malformed) as told:
        refuse_unknown_fields(obj)
    assert str(told.value) == "spec.registries[0].credential: no such field"
    refuse_unknown_fields(cluster(namespaceSelector={"matchLabels": {"any": "thing"}}, delegate=["levels"]))
