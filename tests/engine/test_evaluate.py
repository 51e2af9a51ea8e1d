"""What holds for every check alike: one that fails silences no other, and time that runs out is told."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.checks.index import all_checks
from webhook.engine.evaluate import evaluate, image_key
from webhook.model.facts import Facts, Known
from webhook.model.finding import Confidence, Heals
from webhook.model.policy import ClusterPolicy
from webhook.model.policy_book import PolicyBook
from webhook.model.policy_spec import read_policy
from webhook.model.reference import parse
from webhook.model.workload import extract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.model.finding import Finding
    from webhook.model.workload import Workload

FACTS = Facts(namespace_labels=Known({}))


def pod(*images: str, **fields: str) -> Workload:
    containers = [{"name": f"c{number}", "image": image, **fields} for number, image in enumerate(images)]
    found = extract({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": containers}})
    assert found is not None
    return found


def fails(_subject: ImageSubject) -> Iterator[Finding]:
    raise ValueError("hunter2")


def test_a_check_that_fails_is_told_and_silences_no_other() -> None:
    broken = Check("PULL299", "broken", Confidence.CERTAIN, Heals.OBJECT, per_image=fails)
    found = evaluate(pod("a//b"), FACTS, (broken, *all_checks()))
    assert [(one.code, one.confidence.word) for one in found] == [("PULL101", "certain"), ("PULL903", "unknown")]
    assert found[1].message == "check PULL299 failed"
    assert found[1].evidence[0].startswith("ValueError at fails:")
    assert "hunter2" not in repr(found)


def test_when_time_runs_out_what_was_judged_holds_and_the_rest_is_told() -> None:
    asked = itertools.count()
    found = evaluate(pod("a//b", "c//d", "e//f"), FACTS, all_checks(), out_of_time=lambda: next(asked) >= 1)
    assert [(one.code, one.field) for one in found] == [("PULL101", "spec.containers[0].image"), ("PULL903", "spec")]
    assert found[1].message == "time ran out before spec.containers[1].image was judged"


def test_of_more_images_than_any_pod_has_the_first_are_judged() -> None:
    found = evaluate(pod(*["a//b"] * 1_000), FACTS, all_checks())
    assert {one.code for one in found} == {"PULL101"}
    found = evaluate(pod(*["a//b"] * 1_002), FACTS, all_checks())
    assert [one.field for one in found if one.code == "PULL101"][-1] == "spec.containers[999].image"
    assert [(one.code, one.message) for one in found[1_000:]] == [
        ("PULL903", "only the first 1000 images were looked at")
    ]


def test_what_policy_forbids_is_found_however_much_there_is_of_it() -> None:
    policies = [
        read_policy(
            {"kind": "ClusterPullPolicy", "metadata": {"name": "a"}, "spec": {"allowedRegistries": ["ghcr.io"]}}
        )
    ]
    facts = Facts(policy=PolicyBook(ClusterPolicy(), policies).policy("default", {}), namespace_labels=Known({}))
    found = evaluate(pod("ghcr.io/a/b:1", "quay.io/a/b:1"), facts, all_checks(), out_of_time=lambda: True)
    assert [(one.code, one.field) for one in found] == [("PULL802", "spec.containers[1].image"), ("PULL903", "spec")]
    found = evaluate(pod(*["ghcr.io/a/b:1"] * 1_000), facts, all_checks())
    assert not [one for one in found if one.code == "PULL802"]
    found = evaluate(pod(*["ghcr.io/a/b:1"] * 1_001), facts, all_checks())
    assert [(one.code, one.field, one.message) for one in found if one.code == "PULL802"] == [
        ("PULL802", "spec", "policy allows some registries only, and no more than 1000 images are looked at")
    ]


def test_an_image_that_a_node_holds_may_not_be_pulled_at_all() -> None:
    held = {"contoso.azureacr.io/shop:latest": "node a", "contoso.azureacr.io/shop@sha256:" + "0" * 64: "node b"}
    facts = Facts(namespace_labels=Known({}), image_evidence=held.get)
    images = ("contoso.azureacr.io/shop", "contoso.azureacr.io/shop:1@sha256:" + "0" * 64, "contoso.azureacr.io/shop:2")
    typos = [one for one in evaluate(pod(*images), facts, all_checks()) if one.code == "PULL201"]
    assert sorted((one.container, one.confidence.word) for one in typos) == [
        ("c0", "likely"),
        ("c1", "likely"),
        ("c2", "certain"),
    ]


def test_the_key_is_what_nodes_write() -> None:
    assert image_key(parse("nginx")) == "docker.io/library/nginx:latest"
    assert image_key(parse("nginx:1.27")) == "docker.io/library/nginx:1.27"
