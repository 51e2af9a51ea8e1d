"""Reads every kind, and says where a document has the wrong shape."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.errors import Malformed
from webhook.model.workload import POD_SPEC_PATHS, extract, namespace_labels

SPEC = {
    "initContainers": [{"name": "first", "image": "a:1"}],
    "containers": [{"name": "app", "image": "b:1", "imagePullPolicy": "Never"}],
    "ephemeralContainers": [{"name": "look", "image": "c:1"}],
    "volumes": [{"name": "model", "image": {"reference": "d:1"}}, {"name": "tmp", "emptyDir": {}}],
}


def wrapped(path: tuple[str, ...], spec: Any) -> dict[str, Any]:
    found: Any = spec
    for step in reversed(path):
        found = {step: found}
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize(("group", "kind"), POD_SPEC_PATHS)
def test_every_kind(group: str, kind: str) -> None:
    path = POD_SPEC_PATHS[group, kind]
    version = f"{group}/v1" if group else "v1"
    obj = {"apiVersion": version, "kind": kind, "metadata": {"name": "x", "namespace": "n"}, **wrapped(path, SPEC)}
    found = extract(obj)
    assert found is not None
    at = ".".join(path)
    assert [(one.role, one.name, one.image, one.field) for one in found.containers] == [
        ("init", "first", "a:1", f"{at}.initContainers[0].image"),
        ("container", "app", "b:1", f"{at}.containers[0].image"),
        ("ephemeral", "look", "c:1", f"{at}.ephemeralContainers[0].image"),
        ("volume", "model", "d:1", f"{at}.volumes[0].image.reference"),
    ]
    assert (found.namespace, found.name, found.is_template) == ("n", "x", kind != "Pod")


def test_a_kind_without_pod_is_none() -> None:
    assert extract({"apiVersion": "v1", "kind": "Service"}) is None
    assert extract({"apiVersion": "example.com/v1", "kind": "Deployment"}) is None


def test_the_review_knows_the_kind_better_than_the_object() -> None:
    found = extract({"spec": SPEC}, group_kind=("", "Pod"), namespace="n")
    assert found is not None
    assert (found.kind, found.namespace) == ("Pod", "n")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (None, "spec: null where a map belongs"),
        ([], "spec: a list where a map belongs"),
        ({"containers": None}, "spec.containers: null where a list belongs"),
        ({"containers": {}}, "spec.containers: a map where a list belongs"),
        ({"containers": [None]}, "spec.containers[0]: null where a map belongs"),
        ({"containers": [{"image": 1}]}, "spec.containers[0].image: a number where a string belongs"),
        ({"containers": [{"image": True}]}, "spec.containers[0].image: a boolean where a string belongs"),
        ({"volumes": [{"image": None}]}, "spec.volumes[0].image: null where a map belongs"),
        ({"volumes": [{"image": "x"}]}, "spec.volumes[0].image: a string where a map belongs"),
        ({"schedulingGates": 1}, "spec.schedulingGates: a number where a list belongs"),
    ],
)
def test_the_wrong_shape_is_named_with_its_path(spec: Any, message: str) -> None:
    with pytest.raises(Malformed) as refused:
        extract({"apiVersion": "v1", "kind": "Pod", "spec": spec})
    assert str(refused.value) == message


def test_people_may_write_null_for_nothing() -> None:
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": None, "spec": {"containers": None, "volumes": None}}
    found = extract(obj, null_is_absent=True)
    assert found is not None
    assert found.containers == ()


def test_labels_of_a_namespace() -> None:
    assert namespace_labels({"metadata": {"labels": {"a": "b"}}}) == {"a": "b"}
    with pytest.raises(Malformed, match="metadata.labels: null where a map belongs"):
        namespace_labels({"metadata": {"labels": None}})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from([*SPEC, "image", "name", "metadata", "spec"]), inner)
    ),
)


@given(JSON, st.sampled_from(sorted(POD_SPEC_PATHS)), st.booleans())
def test_any_shape_is_read_or_refused_by_name(spec: Any, kind: tuple[str, str], absent: bool) -> None:
    try:
        extract(wrapped(POD_SPEC_PATHS[kind], spec), group_kind=kind, null_is_absent=absent)
    except Malformed as refused:
        assert str(refused)
