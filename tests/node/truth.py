"""`make truth`: pullproof's word against a real kubelet, containerd and registries.

Every scenario's pod is made with the webhook auditing only; what pullproof said is what the API server wrote into its
audit log, and what the kubelet did is what the API shows after two tries. The table of the two goes to docs/truth.md.

    SEED=7 make truth            the same random scenarios again
    ONLY=keyring make truth      those of one file (or `drawn`) alone; nothing is written then

A disagreement is a defect of the engine. Must not: be told by a scenario what to conclude; a scenario only says what is
out of the API's sight.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.controlplane.controlplane import ControlPlane
from tests.node import drawn, scenario, truthpage, world
from tests.node.api import Api, ApiError
from tests.node.node import Node
from tests.node.outcome import Kind, outcomes
from tests.node.scenario import POD
from tests.serving import ServedWebhook
from webhook.diagnosis.cause import Cause
from webhook.diagnosis.message import read_reason
from webhook.model.finding import Confidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.node.outcome import Outcome
    from tests.node.scenario import Scenario
    from webhook.diagnosis.cause import Diagnosis

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "truth.md"
DRAWN = 220
BATCH = 110
BATCH_SECONDS = 90
AGREEMENT = 0.98
_LABELS = {"pullproof.dev/enforce": "off", "pullproof.dev/warn": "off", "pullproof.dev/audit": "advisory"}
_KUBELET = {
    "registryPullQPS": 0,
    "serializeImagePulls": False,
    "maxPods": 250,
    "eventRecordQPS": 1000,  # 0, which should mean no limit, holds the kubelet to 5 a second (1.36)
    "eventBurst": 1000,
    "kubeAPIQPS": 200,
    "kubeAPIBurst": 400,
    "nodeStatusUpdateFrequency": "2s",
    "nodeStatusReportFrequency": "2s",
}
_OF_PAIRS = {"PULL406"}  # it stands at one image, and is about two
_UNAUTHORIZED = frozenset({Cause.UNAUTHORIZED, Cause.AMBIGUOUS, Cause.FORBIDDEN, Cause.EXPIRED, Cause.SECRET_MISSING})
_NO_SUCH_HOST = frozenset({Cause.DNS, Cause.REFUSED, Cause.TIMEOUT, Cause.TLS})
CAUSES = {
    "PULL10": frozenset({Cause.INVALID_NAME}),
    "PULL20": _NO_SUCH_HOST,
    "PULL207": frozenset({Cause.NOT_FOUND, Cause.AMBIGUOUS, Cause.UNAUTHORIZED, Cause.FORBIDDEN}),
    "PULL208": _NO_SUCH_HOST,
    "PULL303": frozenset({Cause.SECRET_MISSING}),
    "PULL30": _UNAUTHORIZED,
    "PULL31": _UNAUTHORIZED,
    "PULL4": frozenset({Cause.PLATFORM}),
}
"""What a finding says the kubelet will say; the longest beginning of the code counts."""


@dataclass(frozen=True)
class Said:
    """One finding, as it stands in the audit annotation."""

    code: str
    confidence: Confidence
    field: str

    def __str__(self) -> str:
        return f"{self.code} {self.confidence.word}"


@dataclass(frozen=True)
class Image:
    """One image of one pod: what was said about it, and what became of it."""

    scenario: Scenario
    name: str
    reference: str
    said: tuple[Said, ...]
    outcome: Outcome

    @property
    def row(self) -> str:
        if known := [said.confidence for said in self.said if said.confidence is not Confidence.UNKNOWN]:
            return max(known).word
        return "unknown" if self.said else "nothing"

    @property
    def failed(self) -> bool:
        return self.outcome.kind in {Kind.FAILED, Kind.REJECTED}

    @property
    def diagnosis(self) -> Diagnosis | None:
        return read_reason(self.outcome.reason, self.outcome.message)

    @property
    def cause(self) -> str:
        """Why it failed, in the diagnosis' words."""
        read = self.diagnosis
        return read.cause.value if read is not None else self.outcome.reason

    @property
    def foreseen(self) -> tuple[Said, ...]:
        """The findings that are the surest, if they are sure enough to be held to a cause."""
        top = max((said.confidence for said in self.said), default=Confidence.UNKNOWN)
        return tuple(said for said in self.said if said.confidence is top) if top >= Confidence.LIKELY else ()

    def __str__(self) -> str:
        said = ", ".join(map(str, self.said)) or "nothing"
        return (
            f"{self.scenario.source}: {self.scenario.name} [{self.name} {self.reference}]: "
            f"pullproof said {said}; kubelet: {self.outcome.kind} {self.outcome.reason} {self.outcome.message}"
        ).rstrip()


@dataclass
class Report:
    """All images, and every disagreement in words."""

    images: list[Image] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def judge(self) -> None:
        for image in self.images:
            if image.scenario.against:
                continue
            if image.row == "certain" and image.outcome.kind is Kind.PULLED:
                self.broken.append(f"certain, and pulled: {image}")
            if image.row == "nothing" and image.failed and not image.scenario.hidden_of(image.reference):
                self.broken.append(f"nothing said, and failed: {image}")
        held, missed = self.diagnosed()
        if held and (held - len(missed)) / held < AGREEMENT:
            self.broken.append(f"the diagnosis names another cause in {len(missed)} of {held} cases")

    def diagnosed(self) -> tuple[int, list[Image]]:
        """How many failures had been foreseen, and those whose diagnosis names another cause."""
        held = [image for image in self.images if image.failed and image.foreseen and not image.scenario.against]
        return len(held), [image for image in held if not _agrees(image)]


def _agrees(image: Image) -> bool:
    read = image.diagnosis
    return read is not None and any(read.cause in _causes(said.code) for said in image.foreseen)


def _causes(code: str) -> frozenset[Cause]:
    known = [start for start in CAUSES if code.startswith(start)]
    return CAUSES[max(known, key=len)] if known else frozenset()


class Run:
    """One control plane with webhook and node, and the scenarios that go through it in batches."""

    def __init__(self, plane: ControlPlane, node: Node, api: Api) -> None:
        self._plane = plane
        self._node = node
        self._api = api
        self._report = Report()
        self._number = 0

    def go(self, scenarios: Sequence[Scenario]) -> Report:
        for scenario_ in scenarios:
            self._push(scenario_)
        for start in range(0, len(scenarios), BATCH):
            began = time.monotonic()
            batch = scenarios[start : start + BATCH]
            self._batch(batch)
            print(f"{start + len(batch)} of {len(scenarios)} scenarios, {time.monotonic() - began:.0f} s", flush=True)
        return self._report

    def _push(self, given: Scenario) -> None:
        for reference, platforms in given.pushed().items():
            repository, _, tag = reference.rpartition(":")
            if isinstance(platforms, list):
                self._node.images.push_index(repository, tag, platforms)
            else:
                self._node.images.push(repository, tag, platform=platforms)

    def _batch(self, batch: Sequence[Scenario]) -> None:
        places: dict[str, Scenario] = {}
        for given in batch:
            self._number += 1
            places[f"s-{self._number:04}"] = given
        for namespace in places:
            self._api.create({"kind": "Namespace", "metadata": {"name": namespace, "labels": _LABELS}})
        self._wait_for_accounts(set(places))
        for namespace, given in places.items():
            for obj in given.given():
                self._create(obj, namespace, given)
        self._pull_before(places)
        made = {namespace: given for namespace, given in places.items() if self._create(given.pod(), namespace, given)}
        begun = self._finish(made, POD)
        for namespace, given in made.items():
            if given.ephemeral and namespace in begun:
                self._add_ephemeral(namespace, given.ephemeral)
        found = begun | self._finish({name: made[name] for name in begun if made[name].ephemeral}, POD)
        said = self._said(set(made))
        for namespace, given in made.items():
            if namespace in found:
                self._take(given, found[namespace], said.get(namespace, ()))
            self._delete(namespace, POD)

    def _create(self, obj: dict[str, Any], namespace: str, given: Scenario) -> bool:
        try:
            self._api.create(obj, namespace)
        except ApiError as error:
            self._report.broken.append(f"{given.source}: {given.name}: the API server refuses it: {error.message}")
            return False
        return True

    def _wait_for_accounts(self, namespaces: set[str]) -> None:
        deadline = time.monotonic() + BATCH_SECONDS
        while True:
            accounts = self._api.items("/api/v1/serviceaccounts?fieldSelector=metadata.name=default")
            if namespaces <= {account["metadata"]["namespace"] for account in accounts}:
                return
            if time.monotonic() > deadline:
                raise RuntimeError("namespaces without their default ServiceAccount")
            time.sleep(0.2)

    def _pull_before(self, places: dict[str, Scenario]) -> None:
        """Let other pods pull what is to be there, and wait until the Node says that it is."""
        before = {namespace: given for namespace, given in places.items() if given.before is not None}
        for namespace, given in before.items():
            pod = given.puller()
            assert pod is not None
            self._create(pod, namespace, given)
        for namespace, found in self._finish(before, "before").items():
            if any(outcome.kind is not Kind.PULLED for outcome in found.values()):
                self._report.broken.append(f"{before[namespace].name}: what was to be there was not pulled: {found}")
        deadline = time.monotonic() + 30
        wanted = {image for given in before.values() for image in given.images if "@" not in image}
        while wanted:
            listed = self._api.request("GET", f"/api/v1/nodes/{self._node.name}")["status"].get("images", [])
            if wanted <= {name for image in listed for name in image["names"]} or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        for namespace in before:
            self._delete(namespace, "before")
        time.sleep(1 if before else 0)  # the webhook's watch hears of the Node when the API server tells it

    def _finish(self, places: dict[str, Scenario], name: str) -> dict[str, dict[str, Outcome]]:
        deadline = time.monotonic() + BATCH_SECONDS
        found: dict[str, dict[str, Outcome]] = {}
        while True:
            pods = {
                pod["metadata"]["namespace"]: pod
                for pod in self._api.items(f"/api/v1/pods?fieldSelector=metadata.name={name}")
            }
            events: dict[str, list[dict[str, Any]]] = {}
            for event in self._api.items(f"/api/v1/events?fieldSelector=involvedObject.name={name}"):
                events.setdefault(event["metadata"]["namespace"], []).append(event)
            for namespace in places:
                if namespace not in found:
                    decided = outcomes(pods[namespace], events.get(namespace, ()))
                    if decided is not None:
                        found[namespace] = decided
            missing = [namespace for namespace in places if namespace not in found]
            if not missing:
                return found
            if time.monotonic() > deadline:
                for namespace in missing:
                    told = [event.get("message", "") for event in events.get(namespace, ())]
                    shown = json.dumps(pods[namespace]["status"].get("containerStatuses", []))[:1000]
                    self._report.broken.append(f"undecided: {places[namespace].name}: {told} {shown}")
                return found
            time.sleep(1)

    def _add_ephemeral(self, namespace: str, image: str) -> None:
        added = {"spec": {"ephemeralContainers": [{"name": "debug", "image": image}]}}
        path = f"/api/v1/namespaces/{namespace}/pods/{POD}/ephemeralcontainers"
        self._api.request("PATCH", path, added, "application/strategic-merge-patch+json")

    def _delete(self, namespace: str, name: str) -> None:
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        self._api.request("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}", options)

    def _said(self, namespaces: set[str]) -> dict[str, tuple[Said, ...]]:
        """What the API server's audit log has of pullproof about the pods of these namespaces."""
        found: dict[str, tuple[Said, ...]] = {}
        for event in self._plane.audit_events():
            about = event.get("objectRef", {})
            if about.get("namespace") not in namespaces or about.get("resource") != "pods":
                continue
            if event["verb"] not in {"create", "patch"} or about.get("name", POD) != POD:
                continue
            if about.get("subresource", "") not in {"", "ephemeralcontainers"}:
                continue
            annotations = event.get("annotations", {})
            if unasked := [key for key in annotations if key.startswith("failed-open.")]:
                raise RuntimeError(f"the webhook was not asked: {annotations[unasked[0]]}")
            told = ";".join(text for key, text in annotations.items() if re.search(r"/(findings|unknown)$", key))
            fresh = [_read_said(text) for text in told.split(";") if text.strip()]
            known = found.get(about["namespace"], ())
            found[about["namespace"]] = (*known, *(said for said in fresh if said not in known))
        return found

    def _take(self, given: Scenario, found: dict[str, Outcome], said: tuple[Said, ...]) -> None:
        pod = given.pod()["spec"]
        if given.ephemeral:
            pod["ephemeralContainers"] = [{"name": "debug", "image": given.ephemeral}]
        fields = {name: at for name, at, _ in _fields(pod)}
        references = {name: image for name, _, image in _fields(pod)}
        own = {
            name: [one for one in said if one.field.startswith(fields[name]) and one.code not in _OF_PAIRS]
            for name in found
        }
        common = [one for one in said if not any(one in about for about in own.values())]
        failed = any(outcome.kind in {Kind.FAILED, Kind.REJECTED} for outcome in found.values())
        for name, outcome in found.items():
            # what is said of the pod as a whole is not gainsaid by an image that was there before, if another fails
            spared = {Kind.PRESENT, Kind.PULLED} if any(one.code in _OF_PAIRS for one in common) else {Kind.PRESENT}
            of_pod = [] if outcome.kind in spared and failed else common
            self._report.images.append(Image(given, name, references[name], (*own[name], *of_pod), outcome))
        self._compare(given, found, said)

    def _compare(self, given: Scenario, found: dict[str, Outcome], said: tuple[Said, ...]) -> None:
        told = sorted({str(one) for one in said})
        if given.says is not None and told != sorted(given.says):
            self._broken(
                given, f"pullproof said {told or 'nothing'}, expected {sorted(given.says) or 'nothing'}", found
            )
        expected = given.kubelet
        if isinstance(expected, str) and expected:
            expected = dict.fromkeys(found, expected)
        for name, kind in dict(expected or {}).items():
            if found[name].kind != kind:
                self._broken(given, f"the kubelet's outcome of {name} is {found[name].kind}, expected {kind}", found)
        if given.words and not any(given.words in f"{outcome.reason} {outcome.message}" for outcome in found.values()):
            self._broken(given, f"`{given.words}` is not in the kubelet's message", found)

    def _broken(self, given: Scenario, what: str, found: dict[str, Outcome]) -> None:
        shown = "; ".join(f"{name} {one.kind} {one.reason} {one.message[:300]}" for name, one in found.items())
        self._report.broken.append(f"{given.source}: {given.name}: {what} ({shown})")


def _read_said(text: str) -> Said:
    code, word, at = text.strip().split(" ", 2)
    return Said(code, Confidence[word.upper()], at)


def _fields(spec: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name, JSON path and reference of every image of a pod."""
    for key in ("initContainers", "containers", "ephemeralContainers", "volumes"):
        for index, item in enumerate(spec.get(key, [])):
            image = item["image"]
            yield item["name"], f"spec.{key}[{index}].", image if isinstance(image, str) else image["reference"]


def main() -> int:
    seed = int(os.environ.get("SEED") or time.time_ns() % 100_000)
    only = os.environ.get("ONLY", "")
    scenarios = scenario.load()
    taken = [given for given in scenarios if not only or only in {given.source, given.name}]
    if not only or only == "drawn":
        taken += drawn.draw(seed, DRAWN)
    print(f"SEED={seed}: {len(taken)} scenarios", flush=True)
    began = time.monotonic()
    with (
        ControlPlane() as plane,
        ServedWebhook(plane) as served,
        Node(plane=plane, registries=world.REGISTRIES, mirrors=world.MIRRORS, kubelet=_KUBELET) as node,
        Api(plane) as api,
    ):
        served.register()
        versions = api.request("GET", f"/api/v1/nodes/{node.name}")["status"]["nodeInfo"]
        report = Run(plane, node, api).go(taken)
    report.judge()
    seconds = time.monotonic() - began
    text = truthpage.table(report.images)
    held, missed = report.diagnosed()
    print(f"\n{text}\n")
    print(f"{len(report.images)} images of {len(taken)} pods in {seconds:.0f} s, SEED={seed}")
    for image in missed:
        print(f"another cause: {image.diagnosis.cause if image.diagnosis else None}: {image}")
    print(f"the diagnosis names the cause that was foreseen in {held - len(missed)} of {held} failures")
    for line in report.broken:
        print(f"BROKEN {line}")
    if report.broken:
        return 1
    if not only:
        node_versions = (
            f"kubelet {versions['kubeletVersion']}, {versions['containerRuntimeVersion'].replace('://', ' ')}"
        )
        same_cause = f"{held - len(missed)} of {held}"
        truthpage.write(PAGE, report.images, seed=seed, same_cause=same_cause, versions=node_versions)
        print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
