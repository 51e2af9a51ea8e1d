"""What the checks 4xx share: which systems the images are for, where the pod can land, and where a kubelet takes it.

Three layers, kept apart because each has its own fix: the scheduler's rules (landing), the kubelet's own
(`spec.os.name` and the pod label kubernetes.io/os, at which the scheduler never looks), and the images. Must not: say
how a mismatch is told; each check does.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from webhook.catalogue.image_systems import image_systems, prose
from webhook.errors import Malformed
from webhook.model.facts import Known
from webhook.model.finding import Confidence, Finding
from webhook.model.landing import Constraint, declared, land
from webhook.model.node import BETA_OS_LABEL, OS_LABEL
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.catalogue.image_systems import ImageSystems
    from webhook.checks.base import Check, ImageSubject
    from webhook.model.facts import Facts
    from webhook.model.finding import Heals
    from webhook.model.landing import Declared, Landing
    from webhook.model.node import NodeGroup
    from webhook.model.workload import Workload

_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class View:
    """One workload, seen through its platform.

    `scheduled`: the systems that the scheduler's rules leave, those of the named nodes where it is pinned to such.
    `runs`: those of them on which a kubelet takes the pod. `images`: by container field, what is told of each.
    `pinned`: what pins it and to which node, or None. `mixed`: how sure it is that its images share no system.
    """

    landing: Landing
    declared: Declared
    label: str | None
    scheduled: frozenset[str]
    runs: frozenset[str]
    images: Mapping[str, ImageSystems]
    pinned: Constraint | None
    mixed: Confidence
    ceiling: Confidence
    daemon: bool

    def limited(self, *confidences: Confidence) -> Confidence:
        """The least of them; at most advisory for host processes, whose images name no version and need no base."""
        return min(self.ceiling, *confidences)

    def excluder(self, os: str) -> Constraint:
        """What keeps the pod off that system, which is one of `SYSTEMS` and not in `runs`."""
        if os not in self.landing.systems:
            return self.landing.excluded[os]
        if os not in self.scheduled and self.pinned is not None:
            return self.pinned
        if self.declared.os_name and self.declared.os_name != os:
            return Constraint("os.name", f"spec.os.name is {printable(self.declared.os_name, _SHOWN)}")
        return Constraint("", f"its label kubernetes.io/os is {printable(self.label or '', _SHOWN)}")

    def takers(self) -> tuple[NodeGroup, ...] | None:
        """The nodes that take the pod now or as soon as they are ready again; None where there are no nodes to ask."""
        fits = self.landing.fits
        if not isinstance(fits, Known) or not fits.value:
            return None
        found = self.landing.matching(passing=True)
        return found.value if isinstance(found, Known) else None


def selector(os: str) -> str:
    """What to add to a pod spec so that the pod lands on that system."""
    return f"add `nodeSelector: {{{OS_LABEL}: {os}}}`"


def some_names(groups: tuple[NodeGroup, ...]) -> str:
    """A few names of those nodes, and how many there are."""
    names = [name for group in groups for name in group.names][:3]
    count = sum(group.count for group in groups)
    more = f" and {count - len(names)} more" if count > len(names) else ""
    return printable(", ".join(names), _SHOWN) + more


def view(workload: Workload, facts: Facts) -> View | None:
    """The view of a workload; None where its spec can't be read as a pod's (`why_unreadable` says where).

    The ten checks ask for the same one in a row, so it is kept with the workload: neither value ever changes.
    """
    kept: tuple[Facts, View | None] | None = workload.derived.get("view")
    if kept is not None and kept[0] is facts:
        return kept[1]
    try:
        found: View | None = _view(workload, facts)
    except Malformed:
        found = None
    workload.derived["view"] = (facts, found)
    return found


def why_unreadable(workload: Workload, facts: Facts) -> str:
    """What is wrong with a spec of which there is no view."""
    try:
        _view(workload, facts)
    except Malformed as malformed:
        return printable(str(malformed), _SHOWN)
    return ""


def _view(workload: Workload, facts: Facts) -> View:
    daemon = workload.kind == "DaemonSet"
    landing = land(workload.spec, runtime_class=facts.runtime_class, nodes=facts.nodes, daemon=daemon)
    says = declared(workload.spec)
    label = workload.pod_labels.get(OS_LABEL)
    scheduled, pinned = landing.systems, None
    if landing.pins is not None and isinstance(landing.fits, Known) and landing.fits.value:
        there = [fit.group.sample for fit in landing.fits.value]
        if on := frozenset(node.os for node in there if node.os in landing.systems):
            scheduled = on
        field = "nodeName" if workload.spec.get("nodeName") else "affinity.nodeAffinity"
        pinned = Constraint(field, f"its node {printable(there[0].name, _SHOWN)} runs {prose(there[0].os)}")
    runs = frozenset(os for os in scheduled if says.os_name in {"", os} and label in {None, os})
    rule_of = facts.policy.cluster.os_rule
    images = {
        container.field: found
        for container in workload.containers
        # an image volume only carries files, so it has no operating system
        if container.role != "volume"
        and (found := image_systems(container.image, facts.image_platforms, rule_of)) is not None
    }
    return View(
        landing=landing,
        declared=says,
        label=label,
        scheduled=scheduled,
        runs=runs,
        images=images,
        pinned=pinned,
        mixed=_mixed(images),
        ceiling=Confidence.ADVISORY if says.host_process else Confidence.CERTAIN,
        daemon=daemon,
    )


def _mixed(images: Mapping[str, ImageSystems]) -> Confidence:
    """How sure it is that two of the images have no system in common; UNKNOWN where all may agree."""
    # thousands of containers tell few different things
    told = {(image.systems, image.confidence) for image in images.values()}
    return max(
        (
            min(sure, other_sure)
            for (systems, sure), (others, other_sure) in itertools.combinations(told, 2)
            if not systems & others
        ),
        default=Confidence.UNKNOWN,
    )


def judged(subject: ImageSubject) -> tuple[View, ImageSystems] | None:
    """The view and what is told of this image, where a verdict on both makes sense.

    None where the containers are for different systems and that is at least as sure: no selector would mend it.
    """
    seen = view(subject.workload, subject.facts)
    if seen is None:
        return None
    image = seen.images.get(subject.container.field)
    if image is None or seen.mixed >= image.confidence:
        return None
    return seen, image


def mixed(subject: ImageSubject) -> View | None:
    """The view, where two images of the workload have no system in common."""
    seen = view(subject.workload, subject.facts)
    return seen if seen is not None and seen.mixed is not Confidence.UNKNOWN else None


def strays(seen: View, image: ImageSystems) -> str | None:
    """The system on which the pod may land and the image does not run, where it may also land on its own."""
    if not seen.runs & image.systems:
        return None
    return next(iter(sorted(seen.runs - image.systems)), None)


def path(workload: Workload, field: str) -> str:
    """The whole path of a field below the pod spec."""
    return f"{workload.pod_path}.{field}" if field else workload.pod_path


def label_path(workload: Workload) -> str:
    """The path of the label kubernetes.io/os that the pod will have."""
    holder = workload.pod_path.rpartition(".")[0]
    return f"{holder}.metadata.labels[{OS_LABEL!r}]" if holder else f"metadata.labels[{OS_LABEL!r}]"


@dataclass(frozen=True, slots=True)
class Mend:
    """What to change so that the pod may land on a system.

    `field` is the whole path, `suggestion` its new value where one is enough; `why` names what is in the way.
    """

    field: str
    why: str
    fix: str
    suggestion: str | None = None


def mend(workload: Workload, constraint: Constraint, os: str) -> Mend:
    """What to do about a constraint that keeps the pod off that system."""
    field, why = path(workload, constraint.field), constraint.text
    own = workload.spec.get("nodeSelector") or {}
    for key in (OS_LABEL, BETA_OS_LABEL):
        if constraint.field == f"nodeSelector[{key!r}]":
            return Mend(field, f"the pod selects {printable(own.get(key) or '', 20)}", f"write `{key}: {os}`", os)
    if constraint.field.startswith("nodeSelector"):
        return Mend(field, why, f"take it out, and {selector(os)}")
    if constraint.field == "runtimeClassName":
        return Mend(field, why, f"use a runtime class for {prose(os)}")
    if constraint.field == "os.name":
        return Mend(field, why, f"write `os: {{name: {os}}}`", os)
    if not constraint.field:
        return Mend(label_path(workload), why, f"write the label as `{OS_LABEL}: {os}`", os)
    if constraint.field == "nodeName" or not constraint.field.endswith("Terms"):
        return Mend(field, why, f"pin it to a {prose(os)} node")
    return Mend(field, why, f"require `{{key: {OS_LABEL}, operator: In, values: [{os}]}}`")


def injected(workload: Workload, facts: Facts, sure: Confidence) -> bool:
    """Whether the pods of a template get the selector from pullproof itself; a DaemonSet's never do."""
    return (
        workload.is_template
        and workload.kind != "DaemonSet"
        and facts.policy.modes.inject_os
        and sure >= Confidence.LIKELY
    )


def about_pod(
    check: Check,
    field: str,
    *,
    message: str,
    fix: str,
    confidence: Confidence,
    heals: Heals | None = None,
    suggestion: str | None = None,
    evidence: tuple[str, ...] = (),
) -> Finding:
    """A finding about the pod as a whole."""
    return Finding(
        code=check.code,
        name=check.name,
        confidence=confidence,
        heals=check.heals if heals is None else heals,
        field=field,
        message=message,
        fix=fix,
        suggestion=suggestion,
        evidence=evidence,
    )
