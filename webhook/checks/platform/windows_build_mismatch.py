"""The image is built for a Windows that the nodes don't run.

What it does
------------
Compares the Windows build of an image (in its index or config where known, else in its tag: `ltsc2019`, `1809`,
`10.0.17763`) with what the Windows nodes accept, as containerd does.

Why the pull fails
------------------
Windows containers run on their own build. From Server 2022 on, a host also takes what is older, back to the long-term
release before its own: so too old fails as too new does. An index without a suiting build gives `no match for platform
in manifest`; a single manifest is pulled, and its start fails.

Example
-------
    image: mcr.microsoft.com/windows/nanoserver:ltsc2019      # on Windows Server 2022 nodes

Fix
---
Use the tag of the nodes' release (`ltsc2022`), or select nodes of the image's:

    nodeSelector: {node.kubernetes.io/windows-build: 10.0.17763}

Limits
------
`certain` only by an index and a selected build; `likely` by the nodes that are there, or by a tag. Hyper-V isolation is
not looked at. Host processes run on any build, and are at most `advisory`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.catalogue.windows_build import long_term_name, windows_build
from webhook.checks.base import Check
from webhook.checks.platform import _view
from webhook.model.facts import Known
from webhook.model.finding import Confidence, Heals
from webhook.model.node import WINDOWS_BUILD_LABEL
from webhook.model.platform import WINDOWS, ImageIndex, Platform, SingleManifest, may_pull, normalise
from webhook.model.reference import Reference
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.catalogue.image_systems import ImageSystems
    from webhook.checks.base import ImageSubject
    from webhook.model.finding import Finding


def _run(subject: ImageSubject) -> Iterator[Finding]:
    judged = _view.judged(subject)
    if judged is None:
        return
    seen, image = judged
    if WINDOWS not in image.systems & seen.runs:
        return
    entries = _entries(subject, image)
    if not entries:
        return
    confidence = image.confidence
    builds = {place.windows_build for place in seen.landing.places if place.os == WINDOWS}
    if None not in builds:
        told = "selected"
    else:
        takers = seen.takers() or ()
        builds = {group.sample.windows_build for group in takers if group.sample.os == WINDOWS}
        told, confidence = "of the Windows nodes", min(confidence, Confidence.LIKELY)
    hosts = sorted(build for build in builds if build)
    if not hosts or len(hosts) != len(builds) or any(_takes(host, entries) for host in hosts):
        return
    own = sorted({".".join(entry.os_version.split(".")[:3]) for entry in entries})
    how = "not for"
    if _number(own[0]) > _number(hosts[-1]):
        how = "too new for"
    elif _number(own[-1]) < _number(hosts[0]):
        how = "too old for"
    yield CHECK.found(
        subject,
        message=f"built for {printable(', '.join(own), 40)}, {how} {hosts[-1]}",
        fix=_fix(subject, own, hosts[-1]),
        confidence=seen.limited(confidence),
        evidence=(image.reason, f"{told}: {', '.join(hosts)}"),
    )


def _entries(subject: ImageSubject, image: ImageSystems) -> tuple[Platform, ...]:
    """What the image is built for, Windows only; empty where an entry says no build, as every node takes that."""
    reference = subject.reference
    if not isinstance(reference, Reference):
        return ()
    known = subject.facts.image_platforms(str(reference))
    if image.index is not None:
        found = tuple(entry for entry in image.index.entries if entry is not None and normalise(entry).os == WINDOWS)
    elif isinstance(known, Known) and isinstance(known.value, SingleManifest) and known.value.platform is not None:
        found = (known.value.platform,)
    else:
        build = windows_build(reference.tag or "")
        found = (Platform(WINDOWS, "amd64", "", build),) if build else ()
    return found if all(entry.os_version for entry in found) else ()


def _takes(host: str, entries: tuple[Platform, ...]) -> bool:
    """Whether a Windows host of that build takes one of them, whatever its CPU."""
    return any(may_pull(Platform(WINDOWS, entry.architecture, "", host), ImageIndex((entry,))) for entry in entries)


def _number(build: str) -> int:
    last = build.rpartition(".")[2]
    return int(last) if last.isascii() and last.isdigit() else 0


def _fix(subject: ImageSubject, own: list[str], host: str) -> str:
    nodes = subject.facts.nodes
    if isinstance(nodes, Known) and any(node.windows_build in own for node in nodes.value):
        there = next(node.windows_build for node in nodes.value if node.windows_build in own)
        if WINDOWS_BUILD_LABEL not in (subject.workload.spec.get("nodeSelector") or {}):
            return f"add `nodeSelector: {{{WINDOWS_BUILD_LABEL}: {there}}}`"
    name = long_term_name(host)
    return f"use its {name} tag" if name else f"use an image built for {host}"


CHECK = Check(
    "PULL409", "windows-build-mismatch", Confidence.CERTAIN, Heals.OBJECT, per_image=_run, only_if=_view.judged
)
