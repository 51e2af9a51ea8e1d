"""Runs the checks over one workload. Pure: the facts are there before, the policy comes after.

What holds for every check alike stands here rather than in each: blank images of templates are left alone, one broken
check can't hide the others' word, and what is out of sight lowers `certain` to `likely`.
"""

from __future__ import annotations

import functools
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from webhook.checks.base import ImageSubject, WorkloadSubject
from webhook.checks.lookup import not_judged
from webhook.model.finding import Confidence
from webhook.model.memo import remember
from webhook.model.reference import InvalidReference, Reference, parse
from webhook.model.workload import MOST_IMAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from webhook.checks.base import Check
    from webhook.model.facts import Facts
    from webhook.model.finding import Finding
    from webhook.model.workload import Workload

T = TypeVar("T")
_Condition: TypeAlias = "Callable[[ImageSubject], object]"
_PerImage: TypeAlias = "tuple[Check, Callable[[ImageSubject], Iterable[Finding]]]"

_PULLED_OR_NOT = ("PULL1", "PULL8")
"""Areas of what is wrong whether or not the image is pulled: invalid references, and the policy itself."""
_WITHOUT_ASKING = frozenset({"IfNotPresent", "Never"})


@remember(16_384)
def read_reference(image: str) -> Reference | InvalidReference:
    """The reference, or why it is none, as a value."""
    try:
        return parse(image)
    except InvalidReference as invalid:
        return invalid.with_traceback(None)


def image_key(reference: Reference) -> str:
    """An image as nodes tell of it: by its digest where it has one, else by the tag that is pulled."""
    if reference.digest is not None:
        return f"{reference.repository}@{reference.digest}"
    return f"{reference.repository}:{reference.effective_tag}"


def subjects(workload: Workload, facts: Facts) -> tuple[ImageSubject, ...]:
    """The images of a workload that can be judged, up to `MOST_IMAGES`.

    An image of a template that is blank is a placeholder that something fills in later (OpenShift's image triggers
    write `" "`), so it is left out.
    """
    return tuple(
        ImageSubject(workload, container, read_reference(container.image), facts)
        for container in workload.containers[:MOST_IMAGES]
        if container.image.strip() or not workload.is_template
    )


def evaluate(
    workload: Workload, facts: Facts, checks: Sequence[Check], *, out_of_time: Callable[[], bool] = bool
) -> tuple[Finding, ...]:
    """What the checks say about a workload: the surest first, then by container, then by code.

    A check that fails by its own mistake, and all that is left once it is `out_of_time`, becomes a finding of its own
    (PULL903): the others' word holds.
    """
    images = subjects(workload, facts)
    found = list(_found(workload, images, facts, checks, out_of_time))
    if len(workload.containers) > MOST_IMAGES:
        found.append(not_judged.finding(f"only the first {MOST_IMAGES} images were looked at", workload.pod_path))
    if not found:
        return ()
    order = {subject.container.field: index for index, subject in enumerate(images)}
    return tuple(
        sorted(found, key=lambda finding: (-finding.confidence, order.get(finding.field, len(order)), finding.code))
    )


def _found(
    workload: Workload,
    images: tuple[ImageSubject, ...],
    facts: Facts,
    checks: Sequence[Check],
    out_of_time: Callable[[], bool],
) -> Iterator[Finding]:
    whole = WorkloadSubject(workload, images, facts)
    for check in checks:
        if check.per_workload is not None:
            for finding in _guarded(check, check.per_workload, whole, workload.pod_path):
                yield _overridden(finding, facts)
    # image by image, not check by check: where time runs out, what was judged was judged whole
    groups = _by_condition(tuple(checks))
    for subject in images:
        if out_of_time():
            yield not_judged.finding(f"time ran out before {subject.container.field} was judged", workload.pod_path)
            return
        for only_if, group in groups:
            if not _holds(only_if, subject):
                continue
            for check, run in group:
                for finding in _guarded(check, run, subject, subject.container.field):
                    yield _lowered(_overridden(finding, facts), subject)


@functools.lru_cache(maxsize=8)
def _by_condition(checks: tuple[Check, ...]) -> tuple[tuple[_Condition | None, tuple[_PerImage, ...]], ...]:
    """The checks of images, those together that run under the same condition."""
    groups: dict[_Condition | None, list[_PerImage]] = {}
    for check in checks:
        if check.per_image is not None:
            groups.setdefault(check.only_if, []).append((check, check.per_image))
    return tuple((only_if, tuple(group)) for only_if, group in groups.items())


def _holds(only_if: _Condition | None, subject: ImageSubject) -> bool:
    if only_if is None:
        return True
    try:
        return only_if(subject) is not None
    except Exception:  # noqa: BLE001 - the checks meet the same mistake, and each tells of it
        return True


def _guarded(check: Check, run: Callable[[T], Iterable[Finding]], subject: T, field: str) -> tuple[Finding, ...]:
    """The findings of one check about one subject; its own mistake is a finding that says where."""
    try:
        return tuple(run(subject))
    except Exception as mistake:  # noqa: BLE001 - whatever it is, it must not silence the other checks
        at = traceback.extract_tb(mistake.__traceback__)[-1]
        # its text may hold anything that is in the object, or in a Secret
        evidence = (f"{type(mistake).__name__} at {at.name}:{at.lineno}",)
        return (not_judged.finding(f"check {check.code} failed", field, evidence),)


def _overridden(finding: Finding, facts: Facts) -> Finding:
    """As sure as policy says that findings of its check are."""
    override = facts.policy.cluster.overrides.get(finding.code)
    if override is None or (confidence := override.of(finding.confidence)) is finding.confidence:
        return finding
    why = f"policy says that {finding.code} is {confidence.word} here"
    return replace(finding, confidence=confidence, evidence=(*finding.evidence, why))


def _lowered(finding: Finding, subject: ImageSubject) -> Finding:
    """`certain` becomes `likely` where the kubelet may not pull at all.

    Not so for a reference that it can't read, and for what policy itself forbids. Where policy says that every node
    holds the image, and a node that does never asks, all that is left is advice.
    """
    if finding.confidence <= Confidence.ADVISORY or finding.code.startswith(_PULLED_OR_NOT):
        return finding
    preloaded = _preloaded(subject)
    if preloaded is not None and subject.container.pull_policy in _WITHOUT_ASKING:
        why = f"{preloaded} says that nodes hold it, and imagePullPolicy is {subject.container.pull_policy}"
        return replace(finding, confidence=Confidence.ADVISORY, evidence=(*finding.evidence, why))
    if finding.confidence is not Confidence.CERTAIN:
        return finding
    if subject.container.pull_policy == "Never":
        why = "imagePullPolicy is Never: a node that holds the image does not pull it"
    elif isinstance(subject.reference, Reference) and (
        at := subject.facts.image_evidence(image_key(subject.reference))
    ):
        why = f"the image is present on {at}"
    elif preloaded is not None:
        why = f"{preloaded} says that nodes hold the image"
    else:
        return finding
    return replace(finding, confidence=Confidence.LIKELY, evidence=(*finding.evidence, why))


def _preloaded(subject: ImageSubject) -> str | None:
    """The policy that says that every node holds the image, or None."""
    globs = subject.facts.policy.cluster.preloaded
    return globs.first(subject.reference.repository) if globs and isinstance(subject.reference, Reference) else None
