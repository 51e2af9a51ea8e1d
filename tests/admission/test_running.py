"""A look at what runs is bounded, counts each pod once, and says what it left out.

The pods are values here: three thousand real ones take longer to make than the rest of the tests. Real ones are in
tests/e2e/test_visibility.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from webhook.admission.running import MOST_PODS, NEVER_ASKED, look, runs_already
from webhook.engine.impact import Change, Group, Impact
from webhook.engine.wording import WARNING_LENGTH, impact, impact_annotation
from webhook.model.facts import Facts, Known, PullSecretList, Unknown
from webhook.model.policy import ClusterPolicy, of_labels
from webhook.sources.errors import ForbiddenError, TimedOutError, TooLargeError, UnavailableError
from webhook.sources.listing import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from webhook.model.policy import Policy
    from webhook.model.workload import Workload
    from webhook.sources.errors import ApiError

TYPO = "contoso.azureacr.io/shop:1"
INVALID = "contoso.azurecr.io//shop:1"
GOOD = "contoso.azurecr.io/shop:1"
LATEST = "quay.io/contoso/shop"


def policy(level: str) -> Policy:
    return of_labels({"pullproof.dev/enforce": level}, ClusterPolicy())


def pod(name: str, image: str, *, owner: str = "", phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    owners = [{"kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}] if owner else []
    return {
        "metadata": {"name": name, "uid": name, "namespace": "shop", "ownerReferences": owners, **metadata},
        "spec": {"containers": [{"name": "app", "image": image}]},
        "status": {"phase": phase},
    }


class Listed:
    """Pages of pods, and an error after them where one is given."""

    def __init__(self, *pages: Sequence[dict[str, Any]], error: ApiError | None = None, remaining: int = 0) -> None:
        self.pages = pages
        self.error = error
        self.remaining = remaining
        self.judged = 0

    def pods(self, namespace: str, *, seconds: Callable[[], float]) -> Iterator[Page]:
        assert namespace.startswith("shop")
        for index, page in enumerate(self.pages):
            yield Page(list(page), "1", sum(map(len, self.pages[index + 1 :])) + self.remaining)
        if self.error is not None:
            raise self.error

    def facts(self, workload: Workload, policy: ClusterPolicy, *, seconds: float) -> Facts:
        self.judged += 1
        listed = Known(PullSecretList("pod", "default", ()))
        return Facts(policy=of_labels({}, policy), namespace_labels=Known({}), pull_secrets=listed)


def seen(cluster: Listed, before: str = "off", after: str = "certain", *, tick: float = 0.0) -> Impact:
    """The look, by a clock that moves by `tick` each time that it is read."""
    now = [0.0]

    def clock() -> float:
        now[0] += tick
        return now[0]

    return look(cluster, [Change("shop", policy(before), policy(after))], clock, namespace="shop")


def test_grouped_by_code_and_registry_most_first() -> None:
    cluster = Listed(
        [pod("one", INVALID), pod("fine", GOOD)], [pod(f"shop-{number}", TYPO, owner="shop") for number in range(5)]
    )
    found = seen(cluster)
    assert impact(found) == (
        "pullproof: 6 of 7 pods here would be denied if made again",
        "pullproof PULL201 contoso.azureacr.io: 5 pods, shop-0, shop-1, shop-2 and 2 more",
        "pullproof PULL101: 1 pod, one",
    )
    assert impact_annotation(found) == "6 of 7 pods; PULL201 contoso.azureacr.io 5; PULL101 1"
    assert cluster.judged == 3, "pods of one controller share their verdict"


def test_pods_of_one_controller_with_another_image_are_judged_by_themselves() -> None:
    assert seen(Listed([pod("a", TYPO, owner="shop"), pod("b", GOOD, owner="shop")])).hit == 1


def test_only_what_the_change_brings_is_news() -> None:
    cluster = Listed([pod("a", TYPO), pod("b", LATEST)])
    assert impact(seen(cluster, "certain", "advisory")) == (
        "pullproof: 1 of 2 pods here would be denied if made again",
        "pullproof PULL107 quay.io: 1 pod, b",
    )


@pytest.mark.parametrize(
    "left_out",
    [
        pod("a", TYPO, phase="Succeeded"),
        pod("a", TYPO, phase="Failed"),
        pod("a", TYPO, deletionTimestamp="2026-01-01T00:00:00Z"),
        pod("a", TYPO, annotations={"kubernetes.io/config.mirror": "x"}),
        {"metadata": {"name": "a"}, "spec": {"containers": "none"}},
    ],
    ids=["succeeded", "failed", "being deleted", "mirror", "malformed"],
)
def test_pods_that_are_not_made_again_don_t_count(left_out: dict[str, Any]) -> None:
    found = seen(Listed([left_out]))
    assert (found.looked, found.hit, impact(found)) == (1, 0, ())


def test_it_stops_at_the_limit_of_pods_and_says_so() -> None:
    many = [pod(f"p{number}", GOOD, owner="shop") for number in range(MOST_PODS)]
    found = seen(Listed(many, [pod("one-more", TYPO)], remaining=9_000))
    assert impact(found) == (
        "pullproof: looked at 3000 of 12001 pods only: 3000 is the limit; see `pullproof scan -n shop`",
    )


def test_exactly_as_many_as_the_limit_are_all_looked_at() -> None:
    found = seen(Listed([pod(f"p{number}", GOOD, owner="shop") for number in range(MOST_PODS)]))
    assert (found.looked, found.stopped) == (MOST_PODS, None)


def test_it_stops_when_the_time_is_over_and_says_so() -> None:
    found = seen(Listed([pod(f"p{number}", TYPO) for number in range(100)], remaining=20), tick=0.01)
    assert 0 < found.looked < 100
    assert impact(found)[-1] == (
        f"pullproof: looked at {found.looked} of 120 pods only: 1 s was over; see `pullproof scan -n shop`"
    )


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ForbiddenError("403 and more"), "pullproof has no right to list pods"),
        (TimedOutError("silence"), "no answer within 1 s"),
        (UnavailableError("nobody listens"), "nobody listens"),
    ],
)
def test_where_it_can_t_look_it_says_so(error: ApiError, told: str) -> None:
    assert impact(seen(Listed(error=error))) == (f"pullproof: what runs here could not be looked at: {told}",)
    assert impact_annotation(seen(Listed(error=error))) == f"not looked at: {told}"


@pytest.mark.parametrize(
    ("error", "told"),
    [(TimedOutError("silence"), "1 s was over"), (UnavailableError("gone"), "the API server did not go on")],
)
def test_a_list_that_breaks_off_is_no_whole_look(error: ApiError, told: str) -> None:
    found = seen(Listed([pod("a", TYPO)], error=error))
    assert impact(found) == (
        "pullproof: 1 of 1 pods here would be denied if made again",
        "pullproof PULL201 contoso.azureacr.io: 1 pod, a",
        f"pullproof: looked at 1 pods only: {told}; see `pullproof scan -n shop`",
    )


def test_a_policy_s_namespaces_are_counted_together_and_those_that_are_never_asked_about_are_left_out() -> None:
    names = ["shop-a", "kube-system", "pullproof", "kube-node-lease", "shop-b"]
    changes = [Change(name, policy("off"), policy("certain")) for name in names]
    found = look(Listed([pod("a", TYPO)]), changes, lambda: 0.0)
    assert impact(found) == (
        "pullproof: 2 of 2 pods here would be denied if made again",
        "pullproof PULL201 contoso.azureacr.io: 2 pods, shop-a/a, shop-b/a",
    )
    many = Listed([pod(f"p{number}", GOOD, owner="shop") for number in range(MOST_PODS - 1)])
    assert impact(look(many, changes, lambda: 0.0)) == (
        "pullproof: looked at 3000 pods only: 3000 is the limit; see `pullproof scan -A`",
    )


def test_these_namespaces_are_those_that_the_manifests_leave_out() -> None:
    manifest = Path(__file__).resolve().parents[2] / "manifests" / "base" / "50-validating-webhook.yaml"
    (hook,) = yaml.safe_load(manifest.read_text())["webhooks"]
    (expression,) = hook["namespaceSelector"]["matchExpressions"]
    assert (expression["operator"], set(expression["values"])) == ("NotIn", NEVER_ASKED)


def test_pods_that_can_t_be_judged_are_no_good_ones() -> None:
    class Unread(Listed):
        def facts(self, workload: Workload, policy: ClusterPolicy, *, seconds: float) -> Facts:
            facts = super().facts(workload, policy, seconds=seconds)
            return replace(facts, pull_secrets=Unknown("no right to read Secrets"))

    found = seen(Unread([pod("a", GOOD), pod("b", TYPO)]), after="likely")
    assert impact(found)[-1] == (
        "pullproof: 1 of 2 pods could not be judged for want of facts; see `pullproof scan -n shop`"
    )
    assert impact_annotation(found).endswith("; 1 unknown")


def test_pods_that_are_too_large_are_said_to_be() -> None:
    assert impact(seen(Listed(error=TooLargeError("33 MB")))) == (
        "pullproof: looked at 0 pods only: the pods are too large to be looked at; see `pullproof scan -n shop`",
    )


def test_two_looks_at_a_time_are_enough_and_the_place_is_given_back() -> None:
    told: list[str | None] = []

    class Within(Listed):
        """Looks again while it is looked at."""

        def __init__(self, depth: int) -> None:
            super().__init__()
            self.depth = depth

        def pods(self, namespace: str, *, seconds: Callable[[], float]) -> Iterator[Page]:
            if self.depth:
                told.append(look_into(self.depth - 1).unseen)
            return super().pods(namespace, seconds=seconds)

    def look_into(depth: int) -> Impact:
        change = Change("shop", policy("off"), policy("certain"))
        return look(Within(depth), [change], lambda: 0.0, namespace="shop", seconds=0)

    assert look_into(2).unseen is None
    assert told == ["others are being told already", None]
    assert seen(Listed([pod("a", TYPO)])).hit == 1


def test_lines_are_few_and_short_whatever_the_names_are() -> None:
    found = Impact("n" * 63)
    for number in range(40):
        host = f"{number}.{'h' * 300}\x1b[31m"
        found.groups["PULL201", host] = Group("PULL201", host, 9, [f"{'p' * 250}{end}" for end in "abc"])
        found.hit = found.looked = 9
    found.unknown = 7
    found.stopped = "x" * 300
    lines = impact(found)
    assert len(lines) == 12
    assert all(len(line) <= WARNING_LENGTH and line.isprintable() for line in lines)
    assert len(impact_annotation(found)) <= 4096


def ready(name: str, image: str, *, owner: str = "shop", status: str = "True") -> dict[str, Any]:
    made = pod(name, image, owner=owner)
    made["status"]["conditions"] = [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": status}]
    return made


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ([ready("shop-0", TYPO)], True),
        ([ready("shop-0", GOOD), ready("shop-1", TYPO)], True),
        ([], False),
        ([ready("shop-0", GOOD)], False),  # what is made is another image than what runs
        ([ready("shop-0", TYPO, status="False")], False),
        ([ready("shop-0", TYPO, owner="other")], False),
        ([pod("alone", TYPO)], False),
    ],
)
def test_a_pod_is_made_again_where_a_ready_one_of_its_controller_has_its_image(
    there: list[dict[str, Any]], *, expected: bool
) -> None:
    made = pod("shop-1", TYPO, owner="shop")
    assert runs_already(Listed([], there), made, "shop", {TYPO}, lambda: 1.0) is expected


def test_a_pod_without_a_controller_is_never_made_again() -> None:
    assert runs_already(Listed([ready("shop-0", TYPO)]), pod("alone", TYPO), "shop", {TYPO}, lambda: 1.0) is False


@pytest.mark.parametrize("error", [TimedOutError("too late"), TooLargeError("too large"), ForbiddenError("no")])
def test_what_could_not_be_looked_up_is_not_made_again(error: ApiError) -> None:
    cut_off = Listed([ready("shop-0", GOOD)], error=error)
    assert runs_already(cut_off, pod("shop-1", TYPO, owner="shop"), "shop", {TYPO}, lambda: 1.0) is False
