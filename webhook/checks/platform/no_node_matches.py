"""No node that is there takes the pod.

What it does
------------
Holds the pod's selectors, required node affinity and tolerations against the cluster's nodes and their taints.

Why the pull fails
------------------
It does not come to a pull: the pod stays Pending until such a node is added.

Example
-------
    nodeSelector: {kubernetes.io/os: windows}      # and no Windows node
    nodeSelector: {kubernetes.io/arch: x86_64}     # nodes say amd64

Fix
---
Where the Windows nodes carry a taint, tolerate it:

    tolerations: [{key: os, operator: Equal, value: windows, effect: NoSchedule}]

Limits
------
At most `likely`: an autoscaler may add a node of a pool that has none now. `advisory` where only labels other than
those of system, CPU and Windows build are missing. Nothing is said in a cluster without nodes, and nothing of
DaemonSets, which make no pod where there is no node. Resources, volumes and topology are not looked at. Of a pod with
more than 500 selectors, tolerations and affinity rules, or 5,000 values in them, it says that it could not look, and
the other checks of this area say nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook.catalogue.image_systems import prose
from webhook.checks.base import Check
from webhook.checks.platform import _view
from webhook.model.facts import Known
from webhook.model.finding import Confidence, Heals
from webhook.model.landing import SYSTEMS
from webhook.model.node import ARCH_LABEL, BETA_ARCH_LABEL, BETA_OS_LABEL, OS_LABEL, WINDOWS_BUILD_LABEL
from webhook.model.platform import Platform, normalise
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import WorkloadSubject
    from webhook.checks.platform._view import View
    from webhook.model.finding import Finding
    from webhook.model.landing import NodeFit, Place
    from webhook.model.node import Taint
    from webhook.model.workload import Workload

_SHOWN: Final = 60
_PLATFORM_KEYS: Final = (OS_LABEL, BETA_OS_LABEL, ARCH_LABEL, BETA_ARCH_LABEL, WINDOWS_BUILD_LABEL)


def _run(subject: WorkloadSubject) -> Iterator[Finding]:
    workload, facts = subject.workload, subject.facts
    seen = _view.view(workload, facts)
    if seen is None:
        yield _view.about_pod(
            CHECK,
            workload.pod_path,
            message=f"where it can land is unknown: {_view.why_unreadable(workload, facts)}",
            fix="",
            confidence=Confidence.UNKNOWN,
        )
    elif not seen.landing.places:
        yield _never(workload, seen)
    elif not seen.daemon and isinstance(facts.nodes, Known) and len(facts.nodes.value):
        yield from _by_nodes(workload, seen)


def _never(workload: Workload, seen: View) -> Finding:
    """No node with ordinary labels could ever match."""
    constraint = seen.landing.excluded[SYSTEMS[0]]
    told = tuple(dict.fromkeys(one.text for one in seen.landing.excluded.values()))
    field, fix, right = _view.path(workload, constraint.field), "write labels that nodes have", None
    for key, value in (workload.spec.get("nodeSelector") or {}).items():
        if constraint.field == f"nodeSelector[{key!r}]" and (right := _spelling(key, value)):
            fix = f"write `{key}: {right}`"
            break
    return _view.about_pod(
        CHECK,
        field,
        message=_why_never(told),
        fix=fix,
        confidence=seen.limited(Confidence.LIKELY),
        heals=Heals.OBJECT,
        suggestion=right,
        evidence=told,
    )


def _why_never(told: tuple[str, ...]) -> str:
    if len(told) > 1:
        return f"no node can match both {told[0]} and {told[1]}"
    return told[0] if told[0].endswith("contradicts itself") else f"no node can match {told[0]}"


def _spelling(key: str, value: str) -> str | None:
    """The value that nodes have for another spelling of a system or CPU."""
    if key in {OS_LABEL, BETA_OS_LABEL}:
        return value.lower() if value.lower() in SYSTEMS and value.lower() != value else None
    if key in {ARCH_LABEL, BETA_ARCH_LABEL}:
        right = normalise(Platform("linux", value)).architecture
        return right if right != value and right in {"amd64", "arm64", "arm", "386"} else None
    return None


def _by_nodes(workload: Workload, seen: View) -> Iterator[Finding]:
    landing = seen.landing
    if not isinstance(landing.fits, Known):
        return
    if not landing.fits.value:
        if name := workload.spec.get("nodeName"):
            yield _view.about_pod(
                CHECK,
                _view.path(workload, "nodeName"),
                message=f"there is no node {printable(name, _SHOWN)}",
                fix="take nodeName out, and select by labels",
                confidence=seen.limited(Confidence.ADVISORY),
            )
        return
    if seen.takers() or landing.pins is not None:
        return
    suiting = [fit for fit in landing.fits.value if any(_is_at(fit, place) for place in landing.places)]
    if not suiting:
        yield _none_of_its_kind(workload, seen)
    elif tainted := [fit for fit in suiting if fit.refusal is not None and fit.refusal.kind == "taint"]:
        yield _tainted(workload, seen, tainted)
    else:
        refusals = tuple(dict.fromkeys(fit.refusal.text for fit in suiting if fit.refusal is not None))
        yield _view.about_pod(
            CHECK,
            _view.path(workload, ""),
            message=f"no node here matches {refusals[0]}",
            fix="select by labels that nodes have",
            confidence=seen.limited(_unless_unsure(seen, Confidence.ADVISORY)),
            evidence=refusals[:3],
        )


def _unless_unsure(seen: View, confidence: Confidence) -> Confidence:
    return confidence if seen.landing.unsure is None else Confidence.ADVISORY


def _is_at(fit: NodeFit, place: Place) -> bool:
    node = fit.group.sample
    return (
        node.os == place.os
        and place.arch in {None, node.arch}
        and (place.windows_build is None or place.windows_build == node.windows_build)
    )


def _none_of_its_kind(workload: Workload, seen: View) -> Finding:
    fits = seen.landing.fits
    groups = tuple(fit.group for fit in fits.value) if isinstance(fits, Known) else ()
    there = sorted({str(Platform(g.sample.os, g.sample.arch, "", g.sample.windows_build)) for g in groups})
    wanted = sorted(
        {" ".join(filter(None, (prose(place.os), place.windows_build, place.arch))) for place in seen.landing.places}
    )
    kind = printable(" or ".join(wanted[:2]) + (" or others" if len(wanted) > 2 else ""), _SHOWN)  # noqa: PLR2004
    own = workload.spec.get("nodeSelector") or {}
    key = next((key for key in reversed(_PLATFORM_KEYS) if key in own), None)
    return _view.about_pod(
        CHECK,
        _view.path(workload, "affinity" if key is None else f"nodeSelector[{key!r}]"),
        message=f"no node is {kind}",
        fix=f"add such a node, or select {printable(there[0], _SHOWN)}",
        confidence=seen.limited(Confidence.LIKELY),
        evidence=(f"nodes: {printable(', '.join(there), 120)}",),
    )


def _tainted(workload: Workload, seen: View, tainted: list[NodeFit]) -> Finding:
    fit = tainted[0]
    text = fit.refusal.text if fit.refusal is not None else ""
    taint = next((one for one in fit.group.sample.taints if printable(f"taint {one}", 80) == text), None)
    systems = {prose(one.group.sample.os) for one in tainted}
    whose = f"{systems.pop()} nodes" if len(systems) == 1 else "nodes"
    return _view.about_pod(
        CHECK,
        _view.path(workload, "tolerations"),
        message=f"{text} on all {whose}",
        fix="tolerate it" if taint is None else f"add `tolerations: [{_toleration(taint)}]`",
        confidence=seen.limited(_unless_unsure(seen, Confidence.LIKELY)),
        evidence=tuple(f"{one.group.names[0]}: {one.refusal.text}" for one in tainted[:3] if one.refusal is not None),
    )


def _toleration(taint: Taint) -> str:
    value = f"operator: Equal, value: {taint.value}" if taint.value else "operator: Exists"
    return f"{{key: {taint.key}, {value}, effect: {taint.effect}}}"


CHECK = Check("PULL407", "no-node-matches", Confidence.LIKELY, Heals.CLUSTER, per_workload=_run)
