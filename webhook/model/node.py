"""What is kept of a Node, and of a RuntimeClass: only what decides which pods land there and what they can pull.

Reads the API's JSON; a big cluster has thousands of nodes, so nodes that no rule of a pod can tell apart are answered
for together. Must not: hold status that changes with every heartbeat, or decide anything (landing does).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from webhook.errors import Malformed
from webhook.model.memo import LONGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Json: TypeAlias = Mapping[str, Any]

OS_LABEL: Final = "kubernetes.io/os"
ARCH_LABEL: Final = "kubernetes.io/arch"
WINDOWS_BUILD_LABEL: Final = "node.kubernetes.io/windows-build"
# The kubelet of 1.36 still writes both (pkg/kubelet/kubelet_node_status.go, initialNode).
BETA_OS_LABEL: Final = "beta.kubernetes.io/os"
BETA_ARCH_LABEL: Final = "beta.kubernetes.io/arch"


@dataclass(frozen=True, slots=True)
class Taint:
    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        """As kubectl writes one: `os=windows:NoSchedule`."""
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


@dataclass(frozen=True, slots=True)
class Toleration:
    """Empty `key` and `effect` mean all of them; an empty `operator` means Equal."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node. `os` and `arch` are what its kubelet reports, else its labels; empty where neither says.

    `windows_build` is `10.0.20348`, empty elsewhere; `runtime` is `containerd://2.4.2`; `provider_id` tells the cloud.
    """

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...] = ()
    os: str = ""
    arch: str = ""
    os_image: str = ""
    windows_build: str = ""
    provider_id: str = ""
    runtime: str = ""
    unschedulable: bool = False


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Nodes that a pod can't tell apart: `sample` is one of them, `names` the first few names."""

    sample: NodeFacts
    names: tuple[str, ...]
    count: int


_SHOWN_NAMES: Final = 3
_COREOS: Final = "Red Hat Enterprise Linux CoreOS"
_KEPT_GROUPINGS: Final = 64


@dataclass(frozen=True, slots=True)
class NodeSet:
    """All nodes of a cluster at one moment."""

    nodes: tuple[NodeFacts, ...]
    _by_name: dict[str, NodeFacts] = field(default_factory=dict, init=False, repr=False, compare=False)
    _clouds: list[frozenset[str]] = field(default_factory=list, init=False, repr=False, compare=False)
    _grouped: dict[frozenset[str], tuple[NodeGroup, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __iter__(self) -> Iterator[NodeFacts]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def named(self, name: str) -> NodeFacts | None:
        if not self._by_name:
            self._by_name.update((node.name, node) for node in self.nodes)
        return self._by_name.get(name)

    def clouds(self) -> frozenset[str]:
        """The schemes of the nodes' provider ids (`azure`, `aws`, `gce`), `openshift` among them for its own system."""
        if not self._clouds:
            self._clouds.append(frozenset(itertools.chain.from_iterable(map(_clouds_of, self.nodes))))
        return self._clouds[0]

    def groups(self, keys: frozenset[str]) -> tuple[NodeGroup, ...]:
        """The nodes, those together that agree in these labels, taints, system, CPU, build and being schedulable.

        Kept per set of keys: the workloads of a cluster name few different ones, and a request may hold megabytes of
        them.
        """
        if sum(map(len, keys)) > LONGEST:
            return _group(self.nodes, sorted(keys))
        known = self._grouped.get(keys)
        if known is None:
            if len(self._grouped) >= _KEPT_GROUPINGS:
                self._grouped.clear()
            known = self._grouped[keys] = _group(self.nodes, sorted(keys))
        return known


def _clouds_of(node: NodeFacts) -> Iterator[str]:
    scheme, mark, _ = node.provider_id.partition("://")
    if mark:
        yield scheme
    if node.os_image.startswith(_COREOS):
        yield "openshift"


def _group(nodes: Sequence[NodeFacts], keys: Sequence[str]) -> tuple[NodeGroup, ...]:
    members: dict[object, list[NodeFacts]] = {}
    for node in nodes:
        labels = tuple(node.labels.get(key) for key in keys)
        alike = (labels, node.taints, node.os, node.arch, node.windows_build, node.unschedulable)
        members.setdefault(alike, []).append(node)
    return tuple(
        NodeGroup(sample=group[0], names=tuple(node.name for node in group[:_SHOWN_NAMES]), count=len(group))
        for group in members.values()
    )


@dataclass(frozen=True, slots=True)
class RuntimeClassScheduling:
    """What admission merges into a pod that names a RuntimeClass (`scheduling` of node.k8s.io/v1)."""

    name: str
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()


def read_node(obj: Json) -> NodeFacts:
    """What is kept of a Node's JSON. Raises `Malformed` with the path of the first value of the wrong type."""
    metadata = read_map(obj, "metadata", "")
    spec = read_map(obj, "spec", "")
    info = read_map(read_map(obj, "status", ""), "nodeInfo", "status")
    labels = read_strings(metadata, "labels", "metadata")
    at = "status.nodeInfo"
    system = read_text(info, "operatingSystem", at) or labels.get(OS_LABEL) or labels.get(BETA_OS_LABEL, "")
    return NodeFacts(
        name=read_text(metadata, "name", "metadata"),
        labels=labels,
        taints=tuple(read_list(spec, "taints", "spec", _read_taint)),
        os=system,
        arch=read_text(info, "architecture", at) or labels.get(ARCH_LABEL) or labels.get(BETA_ARCH_LABEL, ""),
        os_image=read_text(info, "osImage", at),
        windows_build=_windows_build(labels, read_text(info, "kernelVersion", at)) if system == "windows" else "",
        provider_id=read_text(spec, "providerID", "spec"),
        runtime=read_text(info, "containerRuntimeVersion", at),
        unschedulable=spec.get("unschedulable") is True,
    )


def read_runtime_class(obj: Json) -> RuntimeClassScheduling:
    """What is kept of a RuntimeClass's JSON. Raises `Malformed`."""
    scheduling = read_map(obj, "scheduling", "")
    return RuntimeClassScheduling(
        name=read_text(read_map(obj, "metadata", ""), "name", "metadata"),
        node_selector=read_strings(scheduling, "nodeSelector", "scheduling"),
        tolerations=read_tolerations(scheduling, "scheduling"),
    )


def read_tolerations(holder: Json, at: str) -> tuple[Toleration, ...]:
    """The `tolerations` of a pod spec or of a RuntimeClass's scheduling. Raises `Malformed`."""
    return tuple(read_list(holder, "tolerations", at, _read_toleration))


def _read_taint(item: Json, at: str) -> Taint:
    return Taint(read_text(item, "key", at), read_text(item, "value", at), read_text(item, "effect", at))


def _read_toleration(item: Json, at: str) -> Toleration:
    return Toleration(
        key=read_text(item, "key", at),
        operator=read_text(item, "operator", at),
        value=read_text(item, "value", at),
        effect=read_text(item, "effect", at),
    )


def _windows_build(labels: Json, kernel: str) -> str:
    """The label is what selectors see; a kernel version (`10.0.20348.2227`) has a fourth part."""
    return labels.get(WINDOWS_BUILD_LABEL) or ".".join(kernel.split(".")[:3])


def read_text(parent: Json, key: str, at: str) -> str:
    """A string, empty where it is absent or null. Raises `Malformed`."""
    value = parent.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed(join(at, key), "a string belongs here")
    return value


def read_map(parent: Json, key: str, at: str) -> Json:
    """A map, empty where it is absent or null. Raises `Malformed`."""
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, (dict, Mapping)):
        raise Malformed(join(at, key), "a map belongs here")
    return value


def read_strings(parent: Json, key: str, at: str) -> Mapping[str, str]:
    """A map of strings, whose nulls read as empty strings, as Go reads them. Raises `Malformed`."""
    value = read_map(parent, key, at)
    if all(type(text) is str for text in value.values()):
        return value
    for name, text in value.items():
        if text is not None and not isinstance(text, str):
            raise Malformed(f"{join(at, key)}[{name!r}]", "a string belongs here")
    return {name: text or "" for name, text in value.items()}


def read_list(parent: Json, key: str, at: str, read: Callable[[Json, str], Any]) -> Iterator[Any]:
    """What `read(item, path)` makes of each map in a list, nothing where that is absent or null. Raises `Malformed`."""
    value = parent.get(key)
    if value is None:
        return
    here = join(at, key)
    if not isinstance(value, (list, Sequence)) or isinstance(value, str):
        raise Malformed(here, "a list belongs here")
    for index, item in enumerate(value):
        if not isinstance(item, (dict, Mapping)):
            raise Malformed(f"{here}[{index}]", "a map belongs here")
        yield read(item, f"{here}[{index}]")


def join(at: str, key: str) -> str:
    """A path one key deeper."""
    return f"{at}.{key}" if at else key
