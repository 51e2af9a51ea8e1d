"""Nodes and image platforms from a few words, as cases and tests write them.

Must not: know what a check makes of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from webhook.model.facts import NOT_LOOKED, Known
from webhook.model.node import ARCH_LABEL, OS_LABEL, WINDOWS_BUILD_LABEL, NodeSet, read_node
from webhook.model.platform import ImageIndex, Platform, SingleManifest

if TYPE_CHECKING:
    from webhook.model.facts import Fact
    from webhook.model.platform import ImagePlatforms


def node(said: dict[str, Any], index: int = 0) -> dict[str, Any]:
    """A Node as a kubelet makes it, from `{name, os, arch, build, labels, taints: [key=value:effect], cordoned}`."""
    system, arch = said.get("os", "linux"), said.get("arch", "amd64")
    name = said.get("name", f"{system}-{index}")
    labels = {OS_LABEL: system, ARCH_LABEL: arch, "kubernetes.io/hostname": name, **said.get("labels", {})}
    if "build" in said:
        labels[WINDOWS_BUILD_LABEL] = said["build"]
    taints = []
    for text in said.get("taints", []):
        pair, _, effect = text.partition(":")
        key, _, value = pair.partition("=")
        taints.append({"key": key, "value": value, "effect": effect})
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints, "unschedulable": said.get("cordoned", False)},
        "status": {"nodeInfo": {"operatingSystem": system, "architecture": arch}},
    }


def node_set(said: list[dict[str, Any]]) -> NodeSet:
    """A cluster of them, named by system and position where they have no name."""
    return NodeSet(tuple(read_node(node(one, index)) for index, one in enumerate(said)))


def platforms(said: list[str] | str | None) -> Fact[ImagePlatforms]:
    """What a registry told: a list of `os/arch[/variant or Windows version]` is an index, one of them a manifest."""
    if said is None:
        return NOT_LOOKED
    return Known(SingleManifest(_platform(said)) if isinstance(said, str) else ImageIndex(tuple(map(_platform, said))))


def _platform(text: str) -> Platform:
    system, arch, more = (*text.split("/"), "", "")[:3]
    return Platform(system, arch, os_version=more) if system == "windows" else Platform(system, arch, more)
