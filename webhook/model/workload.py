"""A pod, or anything that carries a pod template, as the checks see it.

Reads the API's JSON once, checks the shape of what is used, and keeps the raw pod spec for checks that need more.
Pure: no defaults that a cluster would add are invented here.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from webhook.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = Mapping[str, Any]
Role = Literal["container", "init", "ephemeral", "volume"]

# kind → where its pod spec is. Source: the API's types of Kubernetes 1.36 (core/v1, apps/v1, batch/v1).
POD_SPEC_PATHS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("", "Pod"): ("spec",),
    ("", "PodTemplate"): ("template", "spec"),
    ("", "ReplicationController"): ("spec", "template", "spec"),
    ("apps", "Deployment"): ("spec", "template", "spec"),
    ("apps", "ReplicaSet"): ("spec", "template", "spec"),
    ("apps", "StatefulSet"): ("spec", "template", "spec"),
    ("apps", "DaemonSet"): ("spec", "template", "spec"),
    ("batch", "Job"): ("spec", "template", "spec"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template", "spec"),
}

MOST_IMAGES: Final = 1_000
"""That are judged of one workload. No kubelet runs that many, and a request has room for a million."""

_CONTAINER_LISTS: Final[tuple[tuple[str, Role], ...]] = (
    ("initContainers", "init"),
    ("containers", "container"),
    ("ephemeralContainers", "ephemeral"),
)


@dataclass(frozen=True, slots=True)
class Container:
    """One image that the pod needs: a container's of any role, or an image volume's (then `name` is the volume's)."""

    role: Role
    name: str
    image: str
    field: str
    pull_policy: str | None


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload of `kind` (API group `group`); `pod_path` is the JSON path of its pod spec, `spec` that pod spec, raw.

    `labels` and `annotations` are the object's own; `pod_labels` those the pod will have. `name` is the generateName
    where there is no name yet, or empty. `pull_secret_names` is None where the pod lists none, so that its
    ServiceAccount's count; empty names stand as they are. Of more than `MOST_IMAGES` containers one more than that is
    kept, which says so. `derived` is for what checks make of it and ask for again: it lives as long as the workload,
    which may be megabytes.
    """

    group: str
    kind: str
    namespace: str
    name: str
    pod_path: str
    spec: Json
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    pod_labels: Mapping[str, str]
    containers: tuple[Container, ...]
    suspended: bool
    service_account: str
    pull_secret_names: tuple[str, ...] | None
    derived: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def is_template(self) -> bool:
        return self.kind != "Pod"


def pod_spec_path(group: str, kind: str) -> tuple[str, ...] | None:
    """Where the pod spec of that kind is, or None when the kind carries none that pullproof knows."""
    return POD_SPEC_PATHS.get((group, kind))


def extract(
    obj: Json, *, group_kind: tuple[str, str] | None = None, namespace: str = "", null_is_absent: bool = False
) -> Workload | None:
    """The workload in an API object's JSON, or None when its kind carries no pod spec.

    `group_kind` says what the object is where something better than its own text knows (an AdmissionReview);
    `namespace` is used where the object names none. `null_is_absent`: a null where a list or map belongs counts as
    absent (manifests that people write), otherwise it is refused (what an API server sends never has one).

    Raises `Malformed` with the path of the first value of the wrong type.
    """
    reader = _Reader(null_is_absent=null_is_absent)
    group, kind = group_kind or (reader.text(obj, "apiVersion", "").rpartition("/")[0], reader.text(obj, "kind", ""))
    path = pod_spec_path(group, kind)
    if path is None:
        return None
    metadata = reader.mapping(obj, "metadata", "")
    holder: Json = obj
    at = ""
    for step in path[:-1]:
        holder = reader.mapping(holder, step, at)
        at = f"{at}.{step}" if at else step
    spec = reader.mapping(holder, path[-1], at)
    pod_path = ".".join(path)
    pod_metadata = metadata if kind == "Pod" else reader.mapping(holder, "metadata", at)
    pod_metadata_path = "metadata" if kind == "Pod" else f"{at}.metadata"
    return Workload(
        group=group,
        kind=kind,
        namespace=reader.text(metadata, "namespace", "metadata") or namespace,
        name=reader.text(metadata, "name", "metadata") or reader.text(metadata, "generateName", "metadata"),
        pod_path=pod_path,
        spec=spec,
        labels=reader.strings(metadata, "labels", "metadata"),
        annotations=reader.strings(metadata, "annotations", "metadata"),
        pod_labels=reader.strings(pod_metadata, "labels", pod_metadata_path),
        containers=tuple(
            itertools.islice(_containers(reader, spec, pod_path, null_is_absent=null_is_absent), MOST_IMAGES + 1)
        ),
        suspended=_suspended(reader, obj, kind, spec, pod_path),
        service_account=reader.text(spec, "serviceAccountName", pod_path)
        or reader.text(spec, "serviceAccount", pod_path)
        or "default",
        pull_secret_names=tuple(
            reader.text(item, "name", at) for item, at in reader.mappings(spec, "imagePullSecrets", pod_path)
        )
        or None,
    )


def namespace_labels(namespace: Json, *, null_is_absent: bool = False) -> Mapping[str, str]:
    """The labels of a Namespace's JSON. Raises `Malformed` as `extract` does."""
    reader = _Reader(null_is_absent=null_is_absent)
    return reader.strings(reader.mapping(namespace, "metadata", ""), "labels", "metadata")


def _containers(reader: _Reader, spec: Json, pod_path: str, *, null_is_absent: bool) -> Iterator[Container]:
    for key, role in _CONTAINER_LISTS:
        for item, at in reader.mappings(spec, key, pod_path):
            yield Container(
                role=role,
                name=reader.text(item, "name", at),
                image=reader.text(item, "image", at),
                field=f"{at}.image",
                pull_policy=reader.text(item, "imagePullPolicy", at) or None,
            )
    for item, at in reader.mappings(spec, "volumes", pod_path):
        if "image" not in item or (item["image"] is None and null_is_absent):
            continue
        source = reader.mapping(item, "image", at)
        yield Container(
            role="volume",
            name=reader.text(item, "name", at),
            image=reader.text(source, "reference", f"{at}.image"),
            field=f"{at}.image.reference",
            pull_policy=reader.text(source, "pullPolicy", f"{at}.image") or None,
        )


def _suspended(reader: _Reader, obj: Json, kind: str, spec: Json, pod_path: str) -> bool:
    if kind == "Job":
        return reader.mapping(obj, "spec", "").get("suspend") is True
    return any(True for _ in reader.mappings(spec, "schedulingGates", pod_path))


class _Reader:
    """Typed reads from untrusted JSON; each says the path of what has the wrong type."""

    __slots__ = ("_null_is_absent",)

    def __init__(self, *, null_is_absent: bool) -> None:
        self._null_is_absent = null_is_absent

    def _get(self, parent: Json, key: str, at: str, expected: str) -> Any:
        value = parent.get(key, _ABSENT)
        if value is None:
            if self._null_is_absent or expected == "a string":
                return _ABSENT
            raise Malformed(_join(at, key), f"null where {expected} belongs")
        return value

    def text(self, parent: Json, key: str, at: str) -> str:
        value = self._get(parent, key, at, "a string")
        if value is _ABSENT:
            return ""
        if not isinstance(value, str):
            raise Malformed(_join(at, key), f"{_type_name(value)} where a string belongs")
        return value

    def mapping(self, parent: Json, key: str, at: str) -> Json:
        value = self._get(parent, key, at, "a map")
        if value is _ABSENT:
            return {}
        if not isinstance(value, (dict, Mapping)):
            raise Malformed(_join(at, key), f"{_type_name(value)} where a map belongs")
        return value

    def strings(self, parent: Json, key: str, at: str) -> Mapping[str, str]:
        value = self.mapping(parent, key, at)
        for name, text in value.items():
            if not isinstance(text, str):
                raise Malformed(f"{_join(at, key)}[{name!r}]", f"{_type_name(text)} where a string belongs")
        return value

    def mappings(self, parent: Json, key: str, at: str) -> Iterator[tuple[Json, str]]:
        value = self._get(parent, key, at, "a list")
        if value is _ABSENT:
            return
        if not isinstance(value, (list, Sequence)) or isinstance(value, str):
            raise Malformed(_join(at, key), f"{_type_name(value)} where a list belongs")
        for index, item in enumerate(value):
            here = f"{_join(at, key)}[{index}]"
            if not isinstance(item, (dict, Mapping)):
                raise Malformed(here, f"{_type_name(item)} where a map belongs")
            yield item, here


_ABSENT: Final = object()


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _type_name(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, Sequence) else "a map"
