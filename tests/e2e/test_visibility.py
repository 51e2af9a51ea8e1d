"""What people see of what pullproof does besides the answer itself: through the real API server and the real kubectl.

Every test makes its own namespace. What a label change says, Events, log lines, audit annotations and metrics are here.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.policies import install
from tests.serving import ServedWebhook
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.controlplane.controlplane import ControlPlane

TYPO = "contoso.azureacr.io/shop:1"
INVALID = "contoso.azurecr.io//shop:1"
GOOD = "contoso.azurecr.io/shop:1"
FOUND = (
    "app: `contoso.azureacr.io` is not a registry; use `contoso.azurecr.io/shop:1` "
    "(PULL201 registry-host-typo, certain)"
)


@pytest.fixture(scope="module")
def webhook(control_plane: ControlPlane) -> Iterator[ServedWebhook]:
    install(control_plane)
    with ServedWebhook(control_plane) as served:
        served.register()
        yield served
        served.unregister()


class Place:
    """One namespace as its owner has it."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace

    def kubectl(self, *args: str, check: bool = True, given: dict[str, Any] | None = None) -> str:
        text = None if given is None else json.dumps(given)
        done = self.plane.kubectl("-n", self.namespace, *args, input=text, check=check)
        return done.stdout + done.stderr

    def label(self, *labels: str) -> list[str]:
        """The warnings that `kubectl label namespace` prints."""
        done = self.plane.kubectl("label", "namespace", self.namespace, "--overwrite", *labels)
        return [line.removeprefix("Warning: ") for line in done.stderr.splitlines()]

    def warned(self, label: str) -> list[str]:
        """What that label would be answered with; asked again where a loaded machine took longer than the look may."""
        late = ("was over", "no answer within", "for want of facts")

        def asked() -> list[str]:
            told = self.label(label, "--dry-run=server")
            return [] if any(word in line for line in told for word in late) else told

        return eventually(asked)

    def create(self, document: dict[str, Any]) -> str:
        return self.kubectl("create", "-f", "-", given=document, check=False)

    def denies(self, image: str) -> bool:
        probe = pod("probe", image)
        return "denied the request" in self.kubectl("create", "--dry-run=server", "-f", "-", given=probe, check=False)

    def enforce(self, level: str, image: str = TYPO) -> None:
        """Label the namespace, and wait until pods are judged by it."""
        self.label(f"pullproof.dev/enforce={level}")
        eventually(lambda: self.denies(image) is (level != "off"))


def pod(name: str, image: str) -> dict[str, Any]:
    spec = {"containers": [{"name": "app", "image": image}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def deployment(name: str, image: str, replicas: int = 1) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def place(control_plane: ControlPlane, webhook: ServedWebhook, namespace: str) -> Place:
    return Place(control_plane, namespace)


class TestLabelChange:
    """Whoever raises a level is told what it would deny of what runs."""

    @pytest.fixture
    def running(self, place: Place) -> Place:
        place.enforce("off")
        for name, image in (("a", TYPO), ("b", TYPO), ("c", INVALID), ("d", GOOD)):
            assert f"pod/{name} created" in place.create(pod(name, image))
        return place

    TOLD = (
        "pullproof: 3 of 4 pods here would be denied if made again",
        "pullproof PULL201 contoso.azureacr.io: 2 pods, a, b",
        "pullproof PULL101: 1 pod, c",
    )

    def test_a_stricter_level_warns(self, running: Place) -> None:
        assert running.warned("pullproof.dev/enforce=certain") == list(self.TOLD)

    def test_so_does_taking_the_label_away(self, running: Place) -> None:
        assert running.warned("pullproof.dev/enforce-") == list(self.TOLD)

    def test_and_the_real_change_as_the_dry_run(self, running: Place) -> None:
        def told() -> bool:
            running.label("pullproof.dev/enforce=off")
            return running.label("pullproof.dev/enforce=certain") == list(self.TOLD)

        eventually(told)

    def test_a_looser_level_and_one_that_denies_nothing_new_are_silent(self, running: Place) -> None:
        running.label("pullproof.dev/enforce=certain")
        assert running.label("pullproof.dev/enforce=off") == []
        assert running.label("pullproof.dev/warn=advisory") == []
        running.label("pullproof.dev/enforce=certain")
        lacking = pod("e", GOOD)
        lacking["spec"]["imagePullSecrets"] = [{"name": "not-there"}]
        running.create(lacking)
        assert running.warned("pullproof.dev/enforce=likely") == [
            "pullproof: 1 of 5 pods here would be denied if made again",
            "pullproof PULL301: 1 pod, e",
        ]

    def test_pods_of_a_deployment_are_counted_and_named(self, place: Place) -> None:
        place.enforce("off")
        place.create(deployment("shop", TYPO, replicas=5))
        eventually(lambda: place.kubectl("get", "pods", "-o", "name").count("pod/") == 5)
        names = sorted(name.removeprefix("pod/") for name in place.kubectl("get", "pods", "-o", "name").split())
        assert place.warned("pullproof.dev/enforce=certain") == [
            "pullproof: 5 of 5 pods here would be denied if made again",
            f"pullproof PULL201 contoso.azureacr.io: 5 pods, {', '.join(names[:2])} and 3 more",
        ]

    def test_it_is_in_the_audit_log(self, running: Place) -> None:
        def told() -> bool:
            running.label("pullproof.dev/enforce=off")
            running.label("pullproof.dev/enforce=certain")
            return any(
                event.get("annotations", {}).get("validate.pullproof.dev/running")
                == "3 of 4 pods; PULL201 contoso.azureacr.io 2; PULL101 1"
                for event in running.plane.audit_events()
                if event["objectRef"].get("name") == running.namespace
            )

        eventually(told, interval=1)


class TestPolicyChange:
    """Whoever writes a policy is told what it would deny of what runs, in all namespaces that it is for."""

    @pytest.fixture
    def write(self, place: Place) -> Iterator[Callable[..., list[str]]]:
        """Apply, or take away, a policy for that namespace alone; the warnings."""
        name = f"floor-{place.namespace}"

        def written(verb: str, level: str = "off", *arguments: str) -> list[str]:
            document = {
                "apiVersion": "pullproof.dev/v1alpha1",
                "kind": "ClusterPullPolicy",
                "metadata": {"name": name},
                "spec": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place.namespace}},
                    "floor": {"enforce": level},
                },
            }
            done = place.plane.kubectl(verb, *arguments, "-f", "-", input=json.dumps(document))
            return [line.removeprefix("Warning: ") for line in done.stderr.splitlines()]

        yield written
        place.plane.kubectl("delete", "clusterpullpolicy", name, "--ignore-not-found")

    def test_a_floor_warns_and_taking_it_away_does_not(self, place: Place, write: Callable[..., list[str]]) -> None:
        place.enforce("off")
        for name, image in (("a", TYPO), ("b", INVALID), ("c", GOOD)):
            place.create(pod(name, image))
        at = place.namespace
        told = [
            "pullproof: 2 of 3 pods here would be denied if made again",
            f"pullproof PULL101: 1 pod, {at}/b",
            f"pullproof PULL201 contoso.azureacr.io: 1 pod, {at}/a",
        ]
        write("apply")
        eventually(lambda: write("apply", "certain", "--dry-run=server") == told)
        write("apply", "certain")
        eventually(lambda: place.denies(TYPO))
        eventually(lambda: write("delete", "certain", "--dry-run=server") == [])

    def test_a_label_that_a_policy_selects_by_warns_too(self, place: Place) -> None:
        place.enforce("off")
        place.create(pod("a", TYPO))
        name = f"tier-{place.namespace}"
        selector = {"matchLabels": {"tier": name}}
        spec = {"namespaceSelector": selector, "floor": {"enforce": "certain"}}
        document = {
            "apiVersion": "pullproof.dev/v1alpha1",
            "kind": "ClusterPullPolicy",
            "metadata": {"name": name},
            "spec": spec,
        }
        place.plane.kubectl("apply", "-f", "-", input=json.dumps(document))
        try:
            told = place.warned(f"tier={name}")
        finally:
            place.plane.kubectl("delete", "clusterpullpolicy", name)
        assert told == [
            "pullproof: 1 of 1 pods here would be denied if made again",
            "pullproof PULL201 contoso.azureacr.io: 1 pod, a",
        ]


class TestEvents:
    """What becomes of a controller's pods is told on what people know by name."""

    def events(self, place: Place) -> list[dict[str, Any]]:
        found = json.loads(place.kubectl("get", "events.v1.events.k8s.io", "-o", "json"))["items"]
        return [one for one in found if one["reportingController"] == "pullproof.dev/webhook"]

    def denials(self, place: Place) -> list[dict[str, Any]]:
        return [one for one in self.events(place) if one["reason"] == "PullproofDenied"]

    def test_a_denial_is_told_once_on_the_deployment_with_a_count(self, place: Place) -> None:
        place.enforce("off")
        place.create(deployment("shop", TYPO))
        eventually(lambda: place.kubectl("get", "pods", "-o", "name").count("pod/") == 1)
        place.enforce("certain")
        place.kubectl("rollout", "restart", "deployment/shop")
        # the ReplicaSet tries again by itself, a little later each time
        (event,) = eventually(lambda: [one for one in self.denials(place) if "series" in one], seconds=120)
        assert event["series"]["count"] > 1
        assert event["type"] == "Warning"
        assert event["regarding"]["kind"] == "Deployment"
        assert event["regarding"]["name"] == "shop"
        assert event["note"] == f"a pod was denied: {FOUND}"
        assert len(self.denials(place)) == 1
        described = place.kubectl("describe", "deployment", "shop")
        (line,) = (line for line in described.splitlines() if "PullproofDenied" in line)
        assert " (x" in line
        assert event["note"] in line

    def test_a_warning_that_only_a_controller_hears_is_told_on_the_cron_job(self, place: Place) -> None:
        place.enforce("off")
        spec = {"containers": [{"name": "app", "image": TYPO}], "restartPolicy": "Never"}
        job = {"spec": {"template": {"spec": spec}}}
        place.create(
            {
                "apiVersion": "batch/v1",
                "kind": "CronJob",
                "metadata": {"name": "nightly"},
                "spec": {"schedule": "0 3 * * *", "jobTemplate": job, "suspend": True},
            }
        )
        number = itertools.count()

        def told() -> list[dict[str, Any]]:
            place.kubectl("create", "job", f"once-{next(number)}", "--from=cronjob/nightly")
            return self.events(place)

        (event,) = eventually(told, interval=2)
        assert event["reason"] == "PullproofWarned"
        assert (event["regarding"]["kind"], event["regarding"]["name"]) == ("CronJob", "nightly")
        assert event["note"] == f"a pod was admitted with a warning: {FOUND}"

    def test_other_owners_are_told_themselves_and_whoever_makes_a_pod_by_hand_reads_the_answer(
        self, place: Place
    ) -> None:
        place.enforce("off")
        place.create(pod("by-hand", TYPO))
        owner = {**deployment("data", TYPO), "kind": "StatefulSet"}
        owner["spec"]["serviceName"] = "data"
        place.create(owner)

        def told() -> list[dict[str, Any]]:
            place.kubectl("delete", "pods", "-l", "app=data", "--force", "--grace-period=0")  # it makes another one
            return self.events(place)

        (event,) = eventually(told, interval=2)
        assert (event["regarding"]["kind"], event["regarding"]["name"]) == ("StatefulSet", "data")


class TestLog:
    def test_a_line_for_each_decision_leads_to_the_audit_event(self, place: Place, webhook: ServedWebhook) -> None:
        place.enforce("certain")

        def line() -> dict[str, Any]:
            lines = (json.loads(text) for text in webhook.log.splitlines() if text.startswith("{"))
            found = [one for one in lines if (one["namespace"], one["name"]) == (place.namespace, "probe")]
            return next((one for one in found if one["decision"] == "deny"), {})

        eventually(line)
        found = line()
        assert (found["decision"], found["findings"], found["byController"]) == ("deny", ["PULL201"], False)

        def audited() -> list[str]:
            return [
                event["user"]["username"]
                for event in place.plane.audit_events()
                if event.get("annotations", {}).get("validate.pullproof.dev/uid") == found["uid"]
            ]

        (user,) = eventually(audited)
        assert user not in json.dumps(found)
