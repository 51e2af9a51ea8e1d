"""What a hostile or careless tenant may send: each of these was once admitted unseen, and none may be again.

Every image here is one that is denied when it comes alone. Must not: measure time; what is too slow shows as admitted.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import ServedWebhook
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from tests.controlplane.controlplane import ControlPlane

    Create: TypeAlias = Callable[[dict[str, Any] | str], str]

BAD = "contoso.azureacr.io/shop:1"
DENIED = "denied the request"


@pytest.fixture(scope="module")
def webhook(control_plane: ControlPlane) -> Iterator[ServedWebhook]:
    with ServedWebhook(control_plane) as served:
        served.register()
        yield served
        served.unregister()


@pytest.fixture
def create(control_plane: ControlPlane, webhook: ServedWebhook, namespace: str) -> Create:
    """Create an object for real in the test's namespace; the text is what kubectl says of it on stderr."""

    def run(manifest: dict[str, Any] | str) -> str:
        given = manifest if isinstance(manifest, str) else json.dumps(manifest)
        return control_plane.kubectl("-n", namespace, "create", "-f", "-", input=given, check=False).stderr

    return run


def pod(image: str = BAD, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "app", "image": image}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": containers, **spec}}


def test_managed_fields_deeper_than_the_parser_reads(create: Create) -> None:
    manifest = pod()
    manifest["metadata"]["managedFields"] = [
        {
            "manager": "x",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2024-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": "DEEP",
        }
    ]
    deep = '{"f:q":' * 1_100 + "{}" + "}" * 1_100
    assert DENIED in create(json.dumps(manifest).replace('"DEEP"', deep))


@pytest.mark.parametrize("image", [BAD, "contoso.azureacr.io/shop:{}"])
def test_five_thousand_containers(create: Create, image: str) -> None:
    manifest = pod()
    manifest["spec"]["containers"] += [{"name": f"c{n}", "image": image.format(n)} for n in range(5_000)]
    assert DENIED in create(manifest)


def test_a_bad_image_behind_thousands_of_unknown_hosts(create: Create) -> None:
    manifest = pod()
    manifest["spec"]["containers"] += [{"name": f"c{n}", "image": f"h{n}.qxzy{n}.com/a:1"} for n in range(10_000)]
    assert DENIED in create(manifest)


def test_a_pull_secret_of_another_namespace_speaks_for_nothing_here(
    control_plane: ControlPlane, create: Create
) -> None:
    keys = {"*.*": {"auth": "YTpi"}, "*.*.*": {"auth": "YTpi"}, "contoso.azureacr.io": {"auth": "YTpi"}}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "evidence", "namespace": "default"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps({"auths": keys})},
    }
    control_plane.kubectl("create", "-f", "-", input=json.dumps(secret))
    try:
        # once the webhook has seen it, it lowers the verdict in its own namespace
        tried = ("-n", "default", "create", "--dry-run=server", "-f", "-")
        own = json.dumps(pod())
        eventually(lambda: DENIED not in control_plane.kubectl(*tried, input=own, check=False).stderr)
        assert DENIED in create(pod())
    finally:
        control_plane.kubectl("delete", "secret", "evidence")


def test_a_gate_does_not_excuse_what_comes_after_it(
    control_plane: ControlPlane, namespace: str, create: Create
) -> None:
    gated = pod(
        "quay.io/org/app:1",
        os={"name": "windows"},
        nodeSelector={"kubernetes.io/os": "linux"},
        schedulingGates=[{"name": "example.com/wait"}],
    )
    assert DENIED not in create(gated)
    patch = '{"spec":{"schedulingGates":null}}'
    opened = control_plane.kubectl("-n", namespace, "patch", "pod/x", "--type=merge", "-p", patch, check=False)
    assert DENIED in opened.stderr


def test_never_then_always(control_plane: ControlPlane, namespace: str, create: Create) -> None:
    container = {"name": "app", "image": BAD, "imagePullPolicy": "Never"}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": spec}
    assert DENIED not in create(deployment)
    patch = '[{"op":"replace","path":"/spec/template/spec/containers/0/imagePullPolicy","value":"Always"}]'
    changed = control_plane.kubectl("-n", namespace, "patch", "deploy/x", "--type=json", "-p", patch, check=False)
    assert DENIED in changed.stderr
