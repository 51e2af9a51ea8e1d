"""`make truth`: pullproof's word against a real kubelet, containerd and registries.

Every scenario's pod is made with the webhook auditing only; what pullproof said is what the API server wrote into its
audit log, and what the kubelet did is what the API shows after two tries. The table of the two goes to docs/truth.md.

    SEED=7 make truth            other random scenarios; the same number draws the same again
    ONLY=keyring make truth      those of one file (or `drawn`) alone; nothing is written then

A disagreement is a defect of the engine. Must not: be told by a scenario what to conclude; a scenario only says what is
out of the API's sight.
"""

from __future__ import annotations

import http
import json
import os
import re
import signal
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.controlplane.controlplane import ControlPlane
from tests.node import drawn, scenario, truthpage, world
from tests.node.api import Api, ApiError
from tests.node.node import Node
from tests.node.outcome import Kind, outcomes
from tests.node.scenario import POD, Scenario
from tests.platforms import platforms
from tests.serving import ServedWebhook
from webhook.checks.index import all_checks
from webhook.diagnosis.cause import Cause
from webhook.diagnosis.message import read_reason
from webhook.engine.evaluate import evaluate
from webhook.model import reference
from webhook.model.facts import Facts, Known
from webhook.model.finding import Confidence
from webhook.model.node import NodeSet, read_node
from webhook.model.workload import extract

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.node.outcome import Outcome
    from webhook.diagnosis.cause import Diagnosis

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "truth.md"
README = ROOT / "README.md"
SEED = 1
"""What CI runs, and whose table the README shows."""
RANDOM = 220
BATCH = 110
BATCH_SECONDS = 300  # a quiet machine needs 40
ANSWER_SECONDS = 30  # the longest that the API server waits for a webhook
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
    # by watch, a Secret that a loaded machine does not bring within a second is done without (1.36)
    "configMapAndSecretChangeDetectionStrategy": "Get",
    "nodeStatusUpdateFrequency": "2s",
    "nodeStatusReportFrequency": "2s",
}
_NODES_READ_SECRETS: tuple[dict[str, Any], ...] = (
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "nodes-read-secrets"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "nodes-read-secrets"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "nodes-read-secrets"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}],
    },
)
"""The node authorizer may learn of a pod after its kubelet: then that is refused the pull secret, and pulls without."""
_UNWARNED = ("nothing", "advisory")
_OF_PAIRS = {"PULL406"}  # it stands at one image, and is about two
_UNAUTHORIZED = frozenset({Cause.UNAUTHORIZED, Cause.AMBIGUOUS, Cause.FORBIDDEN, Cause.EXPIRED, Cause.SECRET_MISSING})
_NO_SUCH_HOST = frozenset({Cause.DNS, Cause.REFUSED, Cause.TIMEOUT, Cause.TLS})
CAUSES = {
    "PULL10": frozenset({Cause.INVALID_NAME}),
    "PULL20": _NO_SUCH_HOST,
    "PULL202": _NO_SUCH_HOST | {Cause.NOT_FOUND, Cause.AMBIGUOUS},  # a host without its dot is a path on Docker Hub
    "PULL203": frozenset({Cause.NOT_FOUND}),
    "PULL207": frozenset({Cause.NOT_FOUND, Cause.AMBIGUOUS, Cause.UNAUTHORIZED, Cause.FORBIDDEN}),
    "PULL208": _NO_SUCH_HOST,
    "PULL303": frozenset({Cause.SECRET_MISSING}),
    "PULL30": _UNAUTHORIZED,
    "PULL31": _UNAUTHORIZED,
    "PULL4": frozenset({Cause.PLATFORM}),
}
"""What a finding says the kubelet will say; the longest beginning of the code counts."""
HIDDEN = {
    drawn.HOST: _NO_SUCH_HOST,
    drawn.TAG: frozenset({Cause.NOT_FOUND}),
    drawn.REPOSITORY: frozenset({Cause.NOT_FOUND, Cause.AMBIGUOUS}),
    drawn.PASSWORD_WRONG: frozenset({Cause.UNAUTHORIZED}),
    drawn.USER_WRONG: frozenset({Cause.UNAUTHORIZED}),
}
"""What the kubelet says of a fault that was drawn and that the API does not show."""
_NO_FAULT = {drawn.PUBLIC: _UNAUTHORIZED}
"""The API does not show it either; but a private repository is no second fault beside a missing credential."""


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
        """Add to `broken` what the proof does not hold to."""
        for image in self.images:
            if image.scenario.against:
                continue
            if image.row == "certain" and image.outcome.kind is Kind.PULLED:
                self.broken.append(f"certain, and pulled: {image}")
            if image.row in _UNWARNED and image.failed and not _is_hidden(image):
                self.broken.append(f"{image.row} said, and failed: {image}")
        diagnosed = self.diagnosed()
        if diagnosed.share < AGREEMENT:
            self.broken.append(f"the diagnosis names another cause: {diagnosed}")

    def diagnosed(self) -> Diagnosed:
        held = [image for image in self.images if image.failed and image.foreseen and not image.scenario.against]
        other = [image for image in held if not _agrees(image)]
        first = [image for image in other if _met_first(image)]
        return Diagnosed(held, first, [image for image in other if image not in first])


@dataclass(frozen=True)
class Diagnosed:
    """The failures that had been foreseen, by whether reading the kubelet's message names the foreseen cause.

    first: those with a second fault, which the API does not show and the kubelet met first; its message can only be
    about that one, and the diagnosis names it. other: all others where it names another cause.
    """

    held: list[Image]
    first: list[Image]
    other: list[Image]

    @property
    def share(self) -> float:
        held = len(self.held) - len(self.first)
        return 1 - len(self.other) / held if held else 1

    def __str__(self) -> str:
        held = len(self.held) - len(self.first)
        same = f"{held - len(self.other)} of {held} ({self.share:.1%})"
        return f"{same}, and {len(self.first)} where a hidden fault came first" if self.first else same


def _agrees(image: Image) -> bool:
    read = image.diagnosis
    return read is not None and any(read.cause in _causes(said.code) for said in image.foreseen)


def _is_hidden(image: Image) -> bool:
    """Whether the API does not show why it failed; of what was drawn, the message has to be about that very fault."""
    if image.scenario.source != scenario.DRAWN:
        return bool(image.scenario.hidden_of(image.reference))
    return _is_about(image, HIDDEN | _NO_FAULT)


def _met_first(image: Image) -> bool:
    return _is_about(image, HIDDEN)


def _is_about(image: Image, faults: Mapping[str, frozenset[Cause]]) -> bool:
    """Whether the kubelet's message is about one of these faults that the image has."""
    read = image.diagnosis
    drawn_ = image.scenario.hidden_of(image.reference).split("; ")
    return read is not None and any(read.cause in faults.get(fault, ()) for fault in drawn_)


def _causes(code: str) -> frozenset[Cause]:
    known = [start for start in CAUSES if code.startswith(start)]
    return CAUSES[max(known, key=len)] if known else frozenset()


class PatientWebhook(ServedWebhook):
    """It is waited for: on a machine that is busy with a hundred pods, what it says counts and not how soon."""

    def __init__(self, plane: ControlPlane) -> None:
        super().__init__(plane, arguments=[f"--lookup-seconds={ANSWER_SECONDS / 2}"])

    def configurations(self) -> list[dict[str, Any]]:
        found = super().configurations()
        for hook in (hook for configuration in found for hook in configuration["webhooks"]):
            hook["timeoutSeconds"] = ANSWER_SECONDS
        return found


class Run:
    """One control plane with webhook and node, and the scenarios that go through it in batches."""

    def __init__(self, plane: ControlPlane, node: Node, api: Api) -> None:
        self._plane = plane
        self._node = node
        self._api = api
        self._report = Report()
        self._number = 0

    def govern(self) -> None:
        """Make the world's policy, and wait until the webhook denies no more what only that policy speaks for."""
        self._plane.kubectl("apply", "-f", "-", input="\n---\n".join(map(json.dumps, _NODES_READ_SECRETS)))
        crds = sorted((ROOT / "manifests" / "base").glob("*-pull-policies.yaml"))
        self._plane.kubectl("apply", *(f"--filename={path}" for path in crds))
        self._plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        self._plane.kubectl("apply", "-f", "-", input=json.dumps(world.POLICY))
        name = "governed"
        self._api.create({"kind": "Namespace", "metadata": {"name": name, "labels": world.GOVERNED}})
        self._wait_for_accounts({name})
        self._wait_until_let_in(name, Scenario(name=name, images=["vouched.azureacr.io/shop:1"]).pod())

    def go(self, scenarios: Sequence[Scenario]) -> Report:
        pushed = [given.with_digests(self._push(given)) for given in scenarios]
        for start in range(0, len(pushed), BATCH):
            began = time.monotonic()
            batch = pushed[start : start + BATCH]
            self._batch(batch)
            print(f"{start + len(batch)} of {len(scenarios)} scenarios, {time.monotonic() - began:.0f} s", flush=True)
        return self._report

    def _push(self, given: Scenario) -> dict[str, str]:
        """Reference → digest."""
        images, digests = self._node.images, {}
        for name, built_for in given.pushed().items():
            repository, _, tag = name.rpartition(":")
            digests[name] = (
                images.push_index(repository, tag, built_for)
                if isinstance(built_for, list)
                else images.push(repository, tag, platform=built_for)
            )
        return digests

    def _batch(self, batch: Sequence[Scenario]) -> None:
        places: dict[str, Scenario] = {}
        for given in batch:
            self._number += 1
            places[f"s-{self._number:04}"] = given
        for namespace, given in places.items():
            labels = _LABELS | (world.GOVERNED if given.governed else {})
            self._api.create({"kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
        self._wait_for_accounts(set(places))
        for namespace, given in places.items():
            for obj in given.given():
                self._create(obj, namespace, given)
        self._pull_before(places)
        made = {namespace: given for namespace, given in places.items() if self._create(given.made(), namespace, given)}
        begun = self._finish(made, POD)
        for namespace, given in made.items():
            if given.ephemeral and namespace in begun:
                self._add_ephemeral(namespace, given.ephemeral)
        found = begun | self._finish({name: made[name] for name in begun if made[name].ephemeral}, POD)
        said = self._said(set(made))
        for namespace, given in made.items():
            if namespace in found:
                told = self._told(namespace, given) if given.told else ()
                self._take(given, found[namespace], (*said.get(namespace, ()), *told))
            self._delete(namespace, POD, "daemonsets" if given.daemonset else "pods")

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
        """Let other pods pull what is to be there, and wait until the webhook knows that it is."""
        before = {namespace: given for namespace, given in places.items() if given.before is not None}
        if not before:
            return
        canary = Scenario(name="canary", images=[f"{world.CANARY}/canary:{self._number}"], before=[])
        self._push(replace(canary, push=[canary.images[0].replace(world.CANARY, world.MIRRORED)]))
        pulls, denies = f"pulls-{self._number}", f"denies-{self._number}"  # what is certain, by default
        self._api.create({"kind": "Namespace", "metadata": {"name": pulls, "labels": _LABELS}})
        self._api.create({"kind": "Namespace", "metadata": {"name": denies}})
        self._wait_for_accounts({pulls, denies})
        before[pulls] = canary
        for namespace, given in before.items():
            pod = given.puller()
            assert pod is not None
            self._create(pod, namespace, given)
        for namespace, found in self._finish(before, "before").items():
            if any(outcome.kind is not Kind.PULLED for outcome in found.values()):
                self._report.broken.append(f"{before[namespace].name}: what was to be there was not pulled: {found}")
        for namespace in before:
            self._delete(namespace, "before")
        self._wait_until_listed({image for given in before.values() for image in given.images if "@" not in image})
        self._wait_until_let_in(denies, canary.pod())

    def _wait_until_listed(self, images: set[str]) -> None:
        deadline = time.monotonic() + BATCH_SECONDS
        while True:
            listed = self._api.request("GET", f"/api/v1/nodes/{self._node.name}")["status"].get("images", [])
            missing = images - {name for image in listed for name in image["names"]}
            if not missing:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"the Node does not list {', '.join(sorted(missing))}")
            time.sleep(0.5)

    def _wait_until_let_in(self, namespace: str, pod: dict[str, Any]) -> None:
        """Wait until the webhook has heard of what speaks for the image of this pod, and so denies it no more."""
        deadline = time.monotonic() + BATCH_SECONDS
        while True:
            try:
                self._api.create(pod, namespace, query="?dryRun=All")
            except ApiError as error:
                if error.status != http.HTTPStatus.FORBIDDEN or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def _finish(self, places: dict[str, Scenario], name: str) -> dict[str, dict[str, Outcome]]:
        deadline = time.monotonic() + BATCH_SECONDS
        found: dict[str, dict[str, Outcome]] = {}
        while True:
            pods = {
                pod["metadata"]["namespace"]: pod
                for pod in self._api.items("/api/v1/pods")
                if _is_called(name, pod["metadata"]["name"])
            }
            events: dict[str, list[dict[str, Any]]] = {}
            for event in self._api.items("/api/v1/events?fieldSelector=involvedObject.kind=Pod"):
                if _is_called(name, event["involvedObject"]["name"]):
                    events.setdefault(event["metadata"]["namespace"], []).append(event)
            for namespace in places:
                if namespace not in found and namespace in pods:
                    decided = outcomes(pods[namespace], events.get(namespace, ()))
                    if decided is not None:
                        found[namespace] = decided
            missing = [namespace for namespace in places if namespace not in found]
            if not missing:
                return found
            if time.monotonic() > deadline:
                for namespace in missing:
                    told = [event.get("message", "") for event in events.get(namespace, ())]
                    shown = json.dumps(pods.get(namespace, {"status": {}})["status"].get("containerStatuses", []))[
                        :1000
                    ]
                    self._report.broken.append(f"undecided: {places[namespace].name}: {told} {shown}")
                return found
            time.sleep(1)

    def _add_ephemeral(self, namespace: str, image: str) -> None:
        added = {"spec": {"ephemeralContainers": [{"name": "debug", "image": image}]}}
        path = f"/api/v1/namespaces/{namespace}/pods/{POD}/ephemeralcontainers"
        self._api.request("PATCH", path, added, "application/strategic-merge-patch+json")

    def _delete(self, namespace: str, name: str, kind: str = "pods") -> None:
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        group = "/api/v1" if kind == "pods" else "/apis/apps/v1"
        self._api.request("DELETE", f"{group}/namespaces/{namespace}/{kind}/{name}", options)

    def _said(self, namespaces: set[str]) -> dict[str, tuple[Said, ...]]:
        """What the API server's audit log has of pullproof about the pods of these namespaces."""
        found: dict[str, tuple[Said, ...]] = {}
        for event in self._plane.audit_events():
            about = event.get("objectRef", {})
            if about.get("namespace") not in namespaces or about.get("resource") not in {"pods", "daemonsets"}:
                continue
            if event["verb"] not in {"create", "patch"} or not _is_called(POD, about.get("name", POD)):
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

    def _told(self, namespace: str, given: Scenario) -> tuple[Said, ...]:
        """What the engine says of the platform when it is told what the registry holds: nothing asks one yet."""
        pod = self._api.request("GET", f"/api/v1/namespaces/{namespace}/pods/{POD}")
        pod["spec"].pop("nodeName", None)  # as it was made
        node = read_node(self._api.request("GET", f"/api/v1/nodes/{self._node.name}"))
        known = {
            str(reference.match(name)): [one.replace(":", "/") for one in built_for]
            if isinstance(built_for, list)
            else built_for.replace(":", "/")
            for name, built_for in given.pushed().items()
        }
        facts = Facts(nodes=Known(NodeSet((node,))), image_platforms=lambda image: platforms(known.get(image)))
        workload = extract({"apiVersion": "v1", "kind": "Pod", **pod}, namespace=namespace)
        assert workload is not None
        found = evaluate(workload, facts, [check for check in all_checks() if check.code.startswith("PULL4")])
        return tuple(Said(one.code, one.confidence, one.field) for one in found)

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


def _is_called(name: str, candidate: str) -> bool:
    """Whether it is the pod of that name, or one that a DaemonSet of that name makes."""
    return candidate == name or candidate.startswith(f"{name}-")


def _read_said(text: str) -> Said:
    code, word, at = text.strip().split(" ", 2)
    return Said(code, Confidence[word.upper()], at.removeprefix("spec.template."))


def _fields(spec: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name, JSON path and reference of every image of a pod."""
    for key in ("initContainers", "containers", "ephemeralContainers", "volumes"):
        for index, item in enumerate(spec.get(key, [])):
            image = item["image"]
            yield item["name"], f"spec.{key}[{index}].", image if isinstance(image, str) else image["reference"]


def main() -> int:
    seed = int(os.environ.get("SEED") or SEED)
    only = os.environ.get("ONLY", "")
    scenarios = scenario.load()
    taken = [given for given in scenarios if not only or only in {given.source, given.name}]
    if not only or only == scenario.DRAWN:
        taken += drawn.draw(seed, RANDOM)
    all_checks()  # loaded now: a run takes minutes, and somebody may be editing them
    print(f"SEED={seed}: {len(taken)} scenarios", flush=True)
    began = time.monotonic()
    with (
        ControlPlane() as plane,
        PatientWebhook(plane) as served,
        Node(
            plane=plane, registries=(*world.REGISTRIES, *world.SITES), mirrors=world.MIRRORS, kubelet=_KUBELET
        ) as node,
        Api(plane) as api,
    ):
        served.register()
        versions = api.request("GET", f"/api/v1/nodes/{node.name}")["status"]["nodeInfo"]
        run = Run(plane, node, api)
        run.govern()
        report = run.go(taken)
    report.judge()
    diagnosed = report.diagnosed()
    for image in report.images:
        if image.row == "likely" and image.outcome.kind is Kind.PULLED:
            print(f"likely, and pulled: {image}")
    for image in diagnosed.first:
        print(f"a hidden fault came first: {image}")
    for image in diagnosed.other:
        print(f"another cause: {image.cause}: {image}")
    print(f"\n{truthpage.table(report.images)}\n")
    print(f"{len(report.images)} images of {len(taken)} pods in {time.monotonic() - began:.0f} s, SEED={seed}")
    print(f"the diagnosis names the cause that was foreseen in {diagnosed}")
    for line in report.broken:
        print(f"BROKEN {line}")
    if report.broken:
        return 1
    if not only:
        parts = f"kubelet {versions['kubeletVersion']}, {versions['containerRuntimeVersion'].replace('://', ' ')}"
        truthpage.write(PAGE, report.images, seed=seed, first=SEED, diagnosed=str(diagnosed), versions=parts)
        if seed == SEED:
            truthpage.write_readme(README, report.images)
        print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started is stopped in order
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
