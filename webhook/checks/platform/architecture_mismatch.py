"""The image index holds nothing for the CPU of the nodes.

What it does
------------
Compares the CPUs in an image index with those that `nodeSelector` and required node affinity leave, and with those of
the nodes that would take the pod, as containerd does (an amd64 node takes 386, an arm64 node takes arm).

Why the pull fails
------------------
The node finds no entry for itself in the index: `no match for platform in manifest`.

Example
-------
    nodeSelector: {kubernetes.io/arch: arm64}      # and an index with linux/amd64 alone

Fix
---
    nodeSelector: {kubernetes.io/arch: amd64}

or build the image for the other CPU too.

Limits
------
Only where the index was read, and only of an index: a single manifest pulls anywhere. `certain` where the spec leaves
no CPU that the index holds, `likely` where the nodes do not. CPU variants (v7, v3) are not told of.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from webhook.checks.base import Check
from webhook.checks.platform import _view
from webhook.model.finding import Confidence, Heals
from webhook.model.node import ARCH_LABEL, BETA_ARCH_LABEL
from webhook.model.platform import Platform, may_pull, normalise
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.checks.platform._view import View
    from webhook.model.finding import Finding
    from webhook.model.platform import ImageIndex

_COMMON: Final = ("amd64", "arm64")


def _run(subject: ImageSubject) -> Iterator[Finding]:
    judged = _view.judged(subject)
    if judged is None or judged[1].index is None:
        return
    seen, image = judged
    index = judged[1].index
    systems = seen.runs & image.systems
    places = [place for place in seen.landing.places if place.os in systems]
    if not places:
        return
    built = _built(index, systems)
    listed = printable(", ".join(built), 40)
    refused = sorted({place.arch for place in places if place.arch and not _takes(index, place.os, place.arch)})
    if len(refused) == len({place.arch for place in places}):
        yield from _contradiction(subject, seen, built, f"built for {listed}, and the pod selects {refused[0]}")
        return
    takers = tuple(group for group in seen.takers() or () if group.sample.os in systems and group.sample.arch)
    without = tuple(group for group in takers if not _takes(index, group.sample.os, group.sample.arch))
    if not without:
        return
    arch = printable(without[0].sample.arch, 20)
    whose = "all its nodes are" if len(without) == len(takers) else "the pod may land on"
    yield CHECK.found(
        subject,
        message=f"built for {listed}, and {whose} {arch}",
        fix=f"add `nodeSelector: {{{ARCH_LABEL}: {built[0]}}}`",
        confidence=seen.limited(Confidence.LIKELY),
        evidence=(f"{arch}: {_view.some_names(without)}",),
    )


def _contradiction(subject: ImageSubject, seen: View, built: list[str], message: str) -> Iterator[Finding]:
    own = subject.workload.spec.get("nodeSelector") or {}
    key = next((key for key in (ARCH_LABEL, BETA_ARCH_LABEL) if key in own), None)
    found = CHECK.found(
        subject,
        message=message,
        fix=f"write `{key or ARCH_LABEL}: {built[0]}`",
        confidence=seen.limited(Confidence.CERTAIN),
        suggestion=None if key is None else built[0],
    )
    field = f"nodeSelector[{key!r}]" if key else "affinity"
    yield replace(found, field=_view.path(subject.workload, field))


def _built(index: ImageIndex, systems: frozenset[str]) -> list[str]:
    """The CPUs in the index for those systems, the common ones first."""
    entries = [normalise(entry) for entry in index.entries if entry is not None]
    found = {entry.architecture for entry in entries if entry.os in systems}
    return sorted(found, key=lambda arch: (_COMMON.index(arch) if arch in _COMMON else len(_COMMON), arch))


def _takes(index: ImageIndex, os: str, arch: str) -> bool:
    """Whether a node of that CPU may find something; an entry of another variant counts, as nodes don't show theirs."""
    return may_pull(Platform(os, arch), index) or arch in _built(index, frozenset({os}))


CHECK = Check(
    "PULL408", "architecture-mismatch", Confidence.CERTAIN, Heals.REGISTRY, per_image=_run, only_if=_view.judged
)
