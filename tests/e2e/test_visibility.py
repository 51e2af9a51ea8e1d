"""What people see of what pullproof does besides the answer itself: through the real API server and the real kubectl.

Every test makes its own namespace. What a label change says, Events, log lines, audit annotations and metrics are here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import ServedWebhook
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.controlplane.controlplane import ControlPlane

TYPO = "contoso.azureacr.io/shop:1"
INVALID = "contoso.azurecr.io//shop:1"
GOOD = "contoso.azurecr.io/shop:1"


@pytest.fixture(scope="module")
def webhook(control_plane: ControlPlane) -> Iterator[ServedWebhook]:
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
        assert running.label("pullproof.dev/enforce=certain") == list(self.TOLD)

    def test_so_does_taking_the_label_away(self, running: Place) -> None:
        assert running.label("pullproof.dev/enforce-") == list(self.TOLD)

    def test_so_does_a_dry_run_which_changes_nothing(self, running: Place) -> None:
        assert running.label("pullproof.dev/enforce=certain", "--dry-run=server") == list(self.TOLD)
        assert "off" in running.kubectl("get", "namespace", running.namespace, "--show-labels")

    def test_a_looser_level_and_one_that_denies_nothing_new_are_silent(self, running: Place) -> None:
        running.label("pullproof.dev/enforce=certain")
        assert running.label("pullproof.dev/enforce=off") == []
        assert running.label("pullproof.dev/warn=advisory") == []
        running.label("pullproof.dev/enforce=certain")
        lacking = pod("e", GOOD)
        lacking["spec"]["imagePullSecrets"] = [{"name": "not-there"}]
        running.create(lacking)
        assert running.label("pullproof.dev/enforce=likely") == [
            "pullproof: 1 of 5 pods here would be denied if made again",
            "pullproof PULL301: 1 pod, e",
        ]

    def test_pods_of_a_deployment_are_counted_and_named(self, place: Place) -> None:
        place.enforce("off")
        place.create(deployment("shop", TYPO, replicas=5))
        eventually(lambda: place.kubectl("get", "pods", "-o", "name").count("pod/") == 5)
        names = sorted(name.removeprefix("pod/") for name in place.kubectl("get", "pods", "-o", "name").split())
        assert place.label("pullproof.dev/enforce=certain") == [
            "pullproof: 5 of 5 pods here would be denied if made again",
            f"pullproof PULL201 contoso.azureacr.io: 5 pods, {', '.join(names[:2])} and 3 more",
        ]

    def test_it_is_in_the_audit_log(self, running: Place) -> None:
        running.label("pullproof.dev/enforce=certain")

        def told() -> bool:
            return any(
                event.get("annotations", {}).get("validate.pullproof.dev/running")
                == "3 of 4 pods; PULL201 contoso.azureacr.io 2; PULL101 1"
                for event in running.plane.audit_events()
                if event["objectRef"].get("name") == running.namespace
            )

        eventually(told)
