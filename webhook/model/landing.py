"""Where a pod can land: which operating systems, CPUs and Windows builds, and what rules out the others.

Two answers of different weight: by the spec alone (no node with ordinary labels could ever match, nor one that does not
exist yet) and by the nodes that are there now (which an autoscaler may change). The semantics are those of the
scheduler and the kubelet of Kubernetes 1.36: k8s.io/component-helpers/scheduling/corev1 (nodeaffinity, taints),
pkg/scheduler/framework/plugins, pkg/kubelet/lifecycle/predicate.go and plugin/pkg/admission/runtimeclass.
Must not: look at resources, topology or volumes (they never depend on the OS), or judge what a mismatch means.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from webhook.errors import Malformed
from webhook.model.facts import NOT_LOOKED, Known, Unknown
from webhook.model.memo import LONGEST
from webhook.model.node import (
    ARCH_LABEL,
    BETA_ARCH_LABEL,
    BETA_OS_LABEL,
    OS_LABEL,
    WINDOWS_BUILD_LABEL,
    NodeGroup,
    Taint,
    Toleration,
    join,
    read_list,
    read_map,
    read_strings,
    read_text,
    read_tolerations,
)
from webhook.model.platform import LINUX, WINDOWS, Platform
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from webhook.model.facts import Fact
    from webhook.model.node import (
        Json,
        NodeFacts,
        NodeSet,
        RuntimeClassScheduling,
    )

SYSTEMS: Final = (LINUX, WINDOWS)
# Go's names of the CPUs that a kubelet is built for somewhere. A label with another value is on no node.
ARCHITECTURES: Final = ("386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x")
WINDOWS_BUILDS: Final = (
    "10.0.14393",  # Server 2016
    "10.0.17763",  # Server 2019
    "10.0.18362",  # 1903
    "10.0.18363",  # 1909
    "10.0.19041",  # 2004
    "10.0.19042",  # 20H2
    "10.0.20348",  # Server 2022
    "10.0.25398",  # 23H2
    "10.0.26100",  # Server 2025
)
_A_WINDOWS_BUILD: Final = re.compile(r"10\.0\.[0-9]{5}", re.ASCII)
_OS_KEYS: Final = frozenset({OS_LABEL, BETA_OS_LABEL})
_ARCH_KEYS: Final = frozenset({ARCH_LABEL, BETA_ARCH_LABEL})
_NODE_NAME: Final = "metadata.name"
_SHOWN: Final = 80

# Nothing but its size bounds what a pod may ask for, and its rules are held against each other and against the nodes:
# thousands of each would be judged for minutes. The longest lists that people write name a few hundred nodes.
MOST_RULES: Final = 500
MOST_VALUES: Final = 5_000

Operator: TypeAlias = Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of a node affinity term; `operator` is one of `Operator` where the API server has seen it."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        values = f" [{', '.join(self.values)}]" if self.values else ""
        return f"{self.key} {self.operator}{values}"


@dataclass(frozen=True, slots=True)
class Term:
    """Requirements that must all hold. One that is `valid` is not matches nothing, as the scheduler has it."""

    expressions: tuple[Requirement, ...]
    fields: tuple[Requirement, ...]
    valid: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of node. `arch` is None where the pod asks for none, `windows_build` also where it is any other one."""

    os: str
    arch: str | None = None
    windows_build: str | None = None


@dataclass(frozen=True, slots=True)
class Constraint:
    """What rules something out: `field` is its path below the pod spec, `text` names it in one short line."""

    field: str
    text: str


RefusalKind: TypeAlias = Literal["name", "selector", "affinity", "taint", "unschedulable"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node does not take a pod. `passing`: a state of the node that ends by itself (cordoned, not ready)."""

    kind: RefusalKind
    text: str
    passing: bool = False


@dataclass(frozen=True, slots=True)
class NodeFit:
    """Nodes that are alike for this pod, and why they refuse it, or None when they take it."""

    group: NodeGroup
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a pod can land.

    `places`: by the spec alone; empty when no node with ordinary labels could ever match.
    `excluded`: for each of `SYSTEMS` that is not possible, what rules it out first.
    `fits`: by the nodes there are. `pins`: the names of the only nodes it may go to, None when it names none.
    `unsure`: why less may be possible than stands here, or None.
    """

    places: frozenset[Place]
    excluded: Mapping[str, Constraint] = field(default_factory=dict)
    fits: Fact[tuple[NodeFit, ...]] = NOT_LOOKED
    pins: tuple[str, ...] | None = None
    unsure: str | None = None

    @property
    def systems(self) -> frozenset[str]:
        """The operating systems possible by the spec alone."""
        return frozenset(place.os for place in self.places)

    @property
    def architectures(self) -> frozenset[str] | None:
        """The CPUs possible by the spec alone, None for any."""
        named = {place.arch for place in self.places}
        return None if None in named else frozenset(arch for arch in named if arch is not None)

    def matching(self, *, passing: bool = False) -> Fact[tuple[NodeGroup, ...]]:
        """The nodes that take the pod; with `passing`, also those whose only refusal ends by itself."""
        if isinstance(self.fits, Unknown):
            return self.fits
        return Known(
            tuple(fit.group for fit in self.fits.value if fit.refusal is None or (passing and fit.refusal.passing))
        )


@dataclass(frozen=True, slots=True)
class Declared:
    """What a pod spec says about its OS without it being a rule for the scheduler.

    `os_name` is `spec.os.name`, empty where unsaid. `windows_options` and `host_process` are the paths below the pod
    spec of the first of either, or None.
    """

    os_name: str = ""
    windows_options: str | None = None
    host_process: str | None = None


def declared(spec: Json) -> Declared:
    """What the pod spec says about its OS. Raises `Malformed`."""
    windows_options: str | None = None
    host_process: str | None = None
    for at, options in _windows_options(spec):
        windows_options = windows_options or at
        if options.get("hostProcess") is True:
            host_process = host_process or f"{at}.hostProcess"
    return Declared(read_text(read_map(spec, "os", ""), "name", "os"), windows_options, host_process)


def _windows_options(spec: Json) -> Iterable[tuple[str, Json]]:
    holders = [(spec, "")]
    for key in ("initContainers", "containers", "ephemeralContainers"):
        if spec.get(key):
            holders += read_list(spec, key, "", _with_path)
    for holder, at in holders:
        if holder.get("securityContext") is None:
            continue
        context = read_map(holder, "securityContext", at)
        options = read_map(context, "windowsOptions", join(at, "securityContext"))
        if options:
            yield join(at, "securityContext.windowsOptions"), options


def _with_path(item: Json, at: str) -> tuple[Json, str]:
    return item, at


def kubelet_refusal(spec: Json, pod_labels: Mapping[str, str], os: str) -> str | None:
    """The reason with which a kubelet of that OS rejects a pod that was already bound to it, or None.

    The scheduler looks at neither. Source: pkg/kubelet/lifecycle/predicate.go of 1.36, in its order.
    """
    label = pod_labels.get(OS_LABEL)
    if label is not None and label != os:
        return "PodOSSelectorNodeLabelDoesNotMatch"
    name = declared(spec).os_name
    return "PodOSNotSupported" if name and name != os else None


@dataclass(frozen=True, slots=True)
class Placement:
    """The rules of one pod spec. `selector` has each pair's path; `terms` is None where no affinity is required."""

    selector: tuple[tuple[str, str, str], ...]
    terms: tuple[Term, ...] | None
    tolerations: tuple[Toleration, ...]
    node_name: str


_AFFINITY: Final = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
_SELECTOR_TERMS: Final = f"{_AFFINITY}.nodeSelectorTerms"


def read_placement(
    spec: Json, runtime_class: RuntimeClassScheduling | None = None, *, daemon: bool = False
) -> Placement:
    """The rules in a pod spec, with what admission merges from the RuntimeClass. Raises `Malformed`.

    `daemon`: with the tolerations that the DaemonSet controller adds (AddOrUpdateDaemonPodTolerations). Also more than
    `MOST_RULES`, or `MOST_VALUES` in them, is `Malformed`.
    """
    selector = [(key, value, f"nodeSelector[{key!r}]") for key, value in read_strings(spec, "nodeSelector", "").items()]
    tolerations = read_tolerations(spec, "")
    if runtime_class is not None:
        # a value that differs from the pod's own is refused at admission: both stay, so nothing matches
        own = {(key, value) for key, value, _ in selector}
        selector += [
            (key, value, "runtimeClassName")
            for key, value in runtime_class.node_selector.items()
            if (key, value) not in own
        ]
        tolerations += runtime_class.tolerations
    if daemon:
        tolerations += _DAEMON_TOLERATIONS
        if spec.get("hostNetwork") is True:
            tolerations += (Toleration("node.kubernetes.io/network-unavailable", "Exists", "", "NoSchedule"),)
    affinity = read_map(read_map(spec, "affinity", ""), "nodeAffinity", "affinity")
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    terms: tuple[Term, ...] | None = None
    if required is not None:
        holder = read_map(affinity, "requiredDuringSchedulingIgnoredDuringExecution", "affinity.nodeAffinity")
        read = read_list(holder, "nodeSelectorTerms", _AFFINITY, _read_term)
        terms = tuple(term for term in read if term.expressions or term.fields)
    requirements = [one for term in terms or () for one in (*term.expressions, *term.fields)]
    if len(selector) + len(tolerations) + len(requirements) > MOST_RULES:
        raise Malformed("", f"more than {MOST_RULES} selectors, tolerations and affinity rules")
    if sum(len(one.values) for one in requirements) > MOST_VALUES:
        raise Malformed("", f"more than {MOST_VALUES} values in its node affinity")
    return Placement(tuple(selector), terms, tolerations, read_text(spec, "nodeName", ""))


_DAEMON_TOLERATIONS: Final = (
    Toleration("node.kubernetes.io/not-ready", "Exists", "", "NoExecute"),
    Toleration("node.kubernetes.io/unreachable", "Exists", "", "NoExecute"),
    Toleration("node.kubernetes.io/disk-pressure", "Exists", "", "NoSchedule"),
    Toleration("node.kubernetes.io/memory-pressure", "Exists", "", "NoSchedule"),
    Toleration("node.kubernetes.io/pid-pressure", "Exists", "", "NoSchedule"),
    Toleration("node.kubernetes.io/unschedulable", "Exists", "", "NoSchedule"),
)


def _read_term(item: Json, at: str) -> Term:
    expressions = tuple(read_list(item, "matchExpressions", at, _read_requirement))
    fields = tuple(read_list(item, "matchFields", at, _read_requirement))
    valid = all(_valid_expression(one) for one in expressions) and all(
        one.operator in {"In", "NotIn"} and len(one.values) == 1 for one in fields
    )
    return Term(expressions, fields, valid)


def _read_requirement(item: Json, at: str) -> Requirement:
    values = tuple(read_strings({"values": _numbered(item.get("values"))}, "values", at).values())
    return Requirement(read_text(item, "key", at), read_text(item, "operator", at), values)


def _numbered(values: object) -> object:
    """A list as a map, so that its items are read, and complained about, as a map's."""
    if isinstance(values, Sequence) and not isinstance(values, str):
        return dict(enumerate(values))
    return values


_NAME: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", re.ASCII)
_DNS_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_LABEL_LIMIT: Final = 63
_DNS_LIMIT: Final = 253


def _valid_expression(requirement: Requirement) -> bool:
    """Whether `labels.NewRequirement` takes it: what it refuses makes the whole term match nothing."""
    count = len(requirement.values)
    counts = {"In": count > 0, "NotIn": count > 0, "Exists": count == 0, "DoesNotExist": count == 0}
    if requirement.operator in {"Gt", "Lt"}:
        suits = count == 1 and _integer(requirement.values[0]) is not None
    else:
        suits = counts.get(requirement.operator, False)
    return suits and _valid_key(requirement.key) and all(_valid_value(value) for value in requirement.values)


def _valid_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and not (len(prefix) <= _DNS_LIMIT and _DNS_NAME.fullmatch(prefix)):
        return False
    return len(name) <= _LABEL_LIMIT and _NAME.fullmatch(name) is not None


def _valid_value(value: str) -> bool:
    return not value or (len(value) <= _LABEL_LIMIT and _NAME.fullmatch(value) is not None)


_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,63}", re.ASCII)
_MOST: Final = 2**63 - 1


def _integer(text: str) -> int | None:
    """What Go's `ParseInt(text, 10, 64)` gives; no label value has more than 63 characters."""
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -_MOST - 1 <= number <= _MOST else None


def holds(requirement: Requirement, value: str | None) -> bool:
    """Whether a node whose label has that value (None: no such label) meets a valid requirement."""
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            bound = _integer(requirement.values[0])
            number = None if value is None else _integer(value)
            if bound is None or number is None:
                return False
            return number > bound if requirement.operator == "Gt" else number < bound
    return False


def land(
    spec: Json,
    *,
    runtime_class: Fact[RuntimeClassScheduling | None] = NOT_LOOKED,
    nodes: Fact[NodeSet] = NOT_LOOKED,
    daemon: bool = False,
) -> Landing:
    """Where a pod with that (raw) spec can land.

    `runtime_class` is what its runtimeClassName stands for; a pod that admission has seen already carries it in its own
    selector. `daemon`: the spec is a DaemonSet's template. Raises `Malformed` with a path below the pod spec.
    """
    unsure: str | None = None
    scheduling: RuntimeClassScheduling | None = None
    if name := read_text(spec, "runtimeClassName", ""):
        if isinstance(runtime_class, Known):
            scheduling = runtime_class.value
        else:
            unsure = f"runtime class {printable(name, _SHOWN)} {runtime_class.reason}"
    placement = read_placement(spec, scheduling, daemon=daemon)
    places, excluded = _by_spec(placement)
    return Landing(
        places=places,
        excluded=excluded,
        fits=nodes if isinstance(nodes, Unknown) else Known(tuple(_by_nodes(placement, nodes.value))),
        pins=_pins(placement),
        unsure=unsure,
    )


_ANYWHERE: Final = frozenset(Place(os) for os in SYSTEMS)


def _by_spec(placement: Placement) -> tuple[frozenset[Place], dict[str, Constraint]]:
    if not placement.selector and placement.terms is None:
        return _ANYWHERE, {}
    rules = Placement(placement.selector, placement.terms, (), placement.node_name)
    # the workloads of a cluster name few different rules; a request may hold megabytes of them
    size = len(placement.node_name) + sum(len(key) + len(value) for key, value, _ in placement.selector)
    return _by_rules(rules) if placement.terms is None and size <= LONGEST else _by_any_rules(rules)


def _by_any_rules(placement: Placement) -> tuple[frozenset[Place], dict[str, Constraint]]:
    selector = tuple(Requirement(key, "In", (value,)) for key, value, _ in placement.selector)
    grid = _grid([*selector, *(one for term in placement.terms or () for one in term.expressions)])
    places = _possible(grid, selector, placement.terms, placement.node_name)
    systems = {place.os for place in places}
    excluded = {os: _excluder(os, grid, placement) for os in SYSTEMS if os not in systems}
    return places, excluded


_by_rules: Final = functools.lru_cache(maxsize=1024)(_by_any_rules)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Every kind of node there can be, as finely as the requirements tell them apart: system x CPU x build.

    A build comes with the value that its label would have. Each label depends on one of the three alone, so what a
    conjunction allows is a product too.
    """

    architectures: tuple[str | None, ...]
    builds: tuple[tuple[str | None, str], ...]


_COARSE: Final = _Grid((None,), ((None, ""),))


def _grid(requirements: Iterable[Requirement]) -> _Grid:
    builds = _COARSE.builds
    keys: set[str] = set()
    named: set[str] = set()
    for one in requirements:
        keys.add(one.key)
        if one.key == WINDOWS_BUILD_LABEL:
            named.update(one.values)
    if WINDOWS_BUILD_LABEL in keys:
        known = sorted({*WINDOWS_BUILDS, *filter(_A_WINDOWS_BUILD.fullmatch, named)})
        # what no list knows yet: a build that nobody names
        another = next(build for build in (f"10.0.{number}" for number in range(99999, 0, -1)) if build not in named)
        builds = (*((build, build) for build in known), (None, another))
    return _Grid(ARCHITECTURES if keys & _ARCH_KEYS else _COARSE.architectures, builds)


def _possible(
    grid: _Grid,
    selector: tuple[Requirement, ...],
    terms: tuple[Term, ...] | None,
    node_name: str,
) -> frozenset[Place]:
    """The places in which the selector and one of the terms hold, whatever other labels such a node may carry."""
    places: set[Place] = set()
    for term in _NO_TERMS if terms is None else terms:
        together = (*selector, *term.expressions)
        if term.valid and _names_agree(term, node_name) and _free_labels_agree(together):
            places.update(_product(grid, together))
    return frozenset(places)


_NO_TERMS: Final = (Term((), (), valid=True),)


def _product(grid: _Grid, requirements: Iterable[Requirement]) -> Iterable[Place]:
    on_os: list[Requirement] = []
    on_arch: list[Requirement] = []
    on_build: list[Requirement] = []
    for one in requirements:
        if one.key in _OS_KEYS:
            on_os.append(one)
        elif one.key in _ARCH_KEYS:
            on_arch.append(one)
        elif one.key == WINDOWS_BUILD_LABEL:
            on_build.append(one)
    architectures = [arch for arch in grid.architectures if all(holds(one, arch) for one in on_arch)]
    for os in SYSTEMS:
        if not all(holds(one, os) for one in on_os):
            continue
        if os == WINDOWS:
            builds = [build for build, label in grid.builds if all(holds(one, label) for one in on_build)]
        else:
            builds = [None] if all(holds(one, None) for one in on_build) else []
        for arch in architectures:
            for build in builds:
                yield Place(os, arch, build)


# The labels that each kind of node has with one value; every other label may have any value.
_GIVEN: Final = _OS_KEYS | _ARCH_KEYS | {WINDOWS_BUILD_LABEL}


def _names_agree(term: Term, node_name: str) -> bool:
    """Whether some node name meets the fields of a valid term."""
    wanted: set[str] = {node_name} if node_name else set()
    for one in term.fields:
        if one.key != _NODE_NAME:  # an unknown field reads as empty
            if (one.values[0] == "") is not (one.operator == "In"):
                return False
        elif one.operator == "In":
            wanted.add(one.values[0])
    refused = {one.values[0] for one in term.fields if one.key == _NODE_NAME and one.operator == "NotIn"}
    return len(wanted) <= 1 and "" not in wanted and not wanted & refused


def _free_labels_agree(requirements: Iterable[Requirement]) -> bool:
    """Whether some node can have labels that meet all requirements on labels whose value is anybody's choice."""
    by_key: dict[str, list[Requirement]] = {}
    for one in requirements:
        if one.key not in _GIVEN:
            by_key.setdefault(one.key, []).append(one)
    return all(any(all(holds(one, value) for one in group) for value in _tries(group)) for group in by_key.values())


def _tries(group: Sequence[Requirement]) -> Iterable[str | None]:
    """Values of which one meets the requirements on one label if any value does."""
    for one in group:
        if one.operator == "In":
            yield from one.values
            return
    yield None
    named = {value for one in group for value in one.values}
    yield next(text for text in ("x" * length for length in range(1, len(named) + 2)) if text not in named)
    # A label value has no sign, so the smallest number above every Gt will do; leading zeros evade a NotIn.
    bounds = [_integer(one.values[0]) for one in group if one.operator == "Gt"]
    least = max([0, *(bound + 1 for bound in bounds if bound is not None)])
    yield from (str(least).rjust(width, "0") for width in range(1, min(len(named) + 21, _LABEL_LIMIT + 1)))


def _excluder(os: str, grid: _Grid, placement: Placement) -> Constraint:
    """What rules an operating system out by itself, in the order of the spec; else both rules together."""

    def rules_out(selector: tuple[Requirement, ...], terms: tuple[Term, ...] | None) -> bool:
        return all(place.os != os for place in _possible(grid, selector, terms, placement.node_name))

    pairs = tuple(Requirement(key, "In", (value,)) for key, value, _ in placement.selector)
    for pair, (key, value, at) in zip(pairs, placement.selector, strict=True):
        if rules_out((pair,), None):
            where = "runtime class nodeSelector" if at == "runtimeClassName" else "nodeSelector"
            return Constraint(at, printable(f"{where} {key}={value}", _SHOWN))
    if rules_out(pairs, None):
        return Constraint("nodeSelector", "nodeSelector contradicts itself")
    if rules_out((), placement.terms):
        told = sorted({str(one) for term in placement.terms or () for one in term.expressions if one.key in _GIVEN})
        return Constraint(_SELECTOR_TERMS, printable(f"required node affinity {' or '.join(told)}".strip(), _SHOWN))
    return Constraint(_SELECTOR_TERMS, "nodeSelector and required node affinity together")


def _pins(placement: Placement) -> tuple[str, ...] | None:
    """The names of the only nodes that the pod may go to, or None when it may go to nodes by other properties."""
    if placement.node_name:
        return (placement.node_name,)
    if not placement.terms:
        return None
    names: dict[str, None] = {}
    for term in placement.terms:
        own = [one.values for one in term.fields if one.key == _NODE_NAME and one.operator == "In"]
        if not own:
            return None
        names.update((name, None) for values in own for name in values)
    return tuple(names)


def _by_nodes(placement: Placement, nodes: NodeSet) -> Iterable[NodeFit]:
    keys = {key for key, _, _ in placement.selector}
    keys.update(one.key for term in placement.terms or () for one in term.expressions)
    pins = _pins(placement)
    if pins is not None:
        # every other node refuses it by its name: nothing is worth saying about those
        found = [node for node in map(nodes.named, pins) if node is not None]
        groups: Iterable[NodeGroup] = [NodeGroup(node, (node.name,), 1) for node in found]
    elif any(term.fields for term in placement.terms or ()):
        groups = [NodeGroup(node, (node.name,), 1) for node in nodes]
    else:
        groups = nodes.groups(frozenset(keys))
    for group in groups:
        yield NodeFit(group, refusal(placement, group.sample))


def refusal(placement: Placement, node: NodeFacts) -> Refusal | None:
    """Why a node does not take a pod with those rules, or None.

    A pod with a nodeName never meets the scheduler: of the taints its kubelet looks at NoExecute only, and a cordon
    does not count (pkg/kubelet/lifecycle/predicate.go, generalFilter).
    """
    bound = placement.node_name
    if bound and bound != node.name:
        return Refusal("name", printable(f"nodeName {bound}", _SHOWN))
    for key, value, _ in placement.selector:
        if node.labels.get(key) != value:
            return Refusal("selector", printable(f"nodeSelector {key}={value}", _SHOWN))
    if placement.terms is not None and not any(_term_holds(term, node) for term in placement.terms):
        return Refusal("affinity", "required node affinity")
    if node.unschedulable and not bound and not _tolerated(_UNSCHEDULABLE, placement.tolerations):
        return Refusal("unschedulable", "cordoned", passing=True)
    effects = {"NoExecute"} if bound else {"NoSchedule", "NoExecute"}
    open_taints = [
        taint for taint in node.taints if taint.effect in effects and not _tolerated(taint, placement.tolerations)
    ]
    if open_taints:
        lasting = [taint for taint in open_taints if not _passes(taint)]
        shown = (lasting or open_taints)[0]
        return Refusal("taint", printable(f"taint {shown}", _SHOWN), passing=not lasting)
    return None


def _term_holds(term: Term, node: NodeFacts) -> bool:
    return (
        term.valid
        and all(holds(one, node.labels.get(one.key)) for one in term.expressions)
        and all(holds(one, node.name if one.key == _NODE_NAME else "") for one in term.fields)
    )


_UNSCHEDULABLE: Final = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
# States that end by themselves; not the whole prefix, as GKE marks Windows nodes with node.kubernetes.io/os.
_PASSING: Final = frozenset(
    {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/unschedulable",
        "node.kubernetes.io/memory-pressure",
        "node.kubernetes.io/disk-pressure",
        "node.kubernetes.io/pid-pressure",
        "node.kubernetes.io/network-unavailable",
        "node.kubernetes.io/out-of-service",
        "node.cloudprovider.kubernetes.io/uninitialized",
        "node.cloudprovider.kubernetes.io/shutdown",
        "node.cilium.io/agent-not-ready",
        "ToBeDeletedByClusterAutoscaler",
        "karpenter.sh/disrupted",
        "karpenter.sh/unregistered",
    }
)


def _passes(taint: Taint) -> bool:
    return taint.key in _PASSING


def _tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    return any(tolerates(toleration, taint) for toleration in tolerations)


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether a toleration covers a taint (`ToleratesTaint` in k8s.io/api/core/v1/toleration.go).

    Gt and Lt count although their feature gate is off by default: where it is off, the API server takes no such pod.
    """
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator:
        case "" | "Equal":
            return toleration.value == taint.value
        case "Exists":
            return True
        case "Gt" | "Lt":
            bound, value = _decimal(toleration.value), _decimal(taint.value)
            if bound is None or value is None:
                return False
            return value > bound if toleration.operator == "Gt" else value < bound
    return False


_DECIMAL: Final = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)


def _decimal(text: str) -> int | None:
    return _integer(text) if _DECIMAL.fullmatch(text) else None


def node_platform(node: NodeFacts) -> Platform:
    """The node as an image index sees it; what a Node does not show (a CPU's variant) stays empty."""
    return Platform(node.os, node.arch, "", node.windows_build)
