"""Policies on the control plane that all tests share: each for one namespace by its name, and gone after the test.

Why: a ClusterPullPolicy without a selector would hold for everybody's tests.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.waiting import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from tests.controlplane.controlplane import ControlPlane

BASE = Path(__file__).resolve().parents[1] / "manifests" / "base"
CRDS = ("02-cluster-pull-policies.yaml", "03-pull-policies.yaml")
LATER = "2099-01-01T00:00:00Z"


def install(plane: ControlPlane) -> None:
    """The CRDs, ready to be used."""
    for file in CRDS:
        assert plane.kubectl("apply", "-f", str(BASE / file)).stderr == ""
    served = ("get", "clusterpullpolicies.pullproof.dev,pullpolicies.pullproof.dev", "-A")
    eventually(lambda: plane.kubectl(*served, check=False).returncode == 0)


class Policies:
    """Policies for one namespace; `clear` deletes them all."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane = plane
        self.namespace = namespace
        self._made: set[tuple[str, str]] = set()

    def cluster(self, name: str = "a", selector: dict[str, Any] | None = None, **spec: Any) -> str:
        """Make or replace a ClusterPullPolicy for the namespace; return its name, which no other test has."""
        name = f"{self.namespace}-{name}"
        here = {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}}
        self._apply("ClusterPullPolicy", {"name": name}, {"namespaceSelector": selector or here, **spec})
        return name

    def owners(self, name: str = "own", namespace: str = "", **spec: Any) -> None:
        self._apply("PullPolicy", {"name": name, "namespace": namespace or self.namespace}, spec)

    def _apply(self, kind: str, metadata: dict[str, str], spec: dict[str, Any]) -> None:
        obj = {"apiVersion": "pullproof.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
        if kind == "ClusterPullPolicy":
            self._made.add((kind, metadata["name"]))
        self._plane.kubectl("apply", "-f", "-", input=json.dumps(obj))

    def status(self, name: str) -> dict[str, Any]:
        found = json.loads(self._plane.kubectl("get", "clusterpullpolicy", name, "-o", "json").stdout)
        status: dict[str, Any] = found.get("status", {})
        return status

    def clear(self) -> None:
        for kind, name in self._made:
            self._plane.kubectl("delete", kind, name)
        self._made.clear()


class Tenant:
    """kubectl in one namespace, as an administrator or as somebody who is in more groups."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace

    def __call__(
        self, *args: str, manifest: dict[str, Any] | None = None, groups: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        who = ["--as=jane", "--as-group=system:masters", *(f"--as-group={group}" for group in groups)] if groups else []
        given = None if manifest is None else json.dumps(manifest)
        return self.plane.kubectl("-n", self.namespace, *who, *args, input=given, check=False)

    def tried(self, image: str, *, groups: Sequence[str] = (), **metadata: Any) -> str:
        """What is told of a pod with that image; nothing is made. Empty: it is fine."""
        done = self("create", "--dry-run=server", "-f", "-", manifest=pod(image, **metadata), groups=groups)
        return done.stderr

    def denied(self, image: str, *, groups: Sequence[str] = (), **metadata: Any) -> bool:
        return "denied the request" in self.tried(image, groups=groups, **metadata)


def pod(image: str, *, spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    name = {} if "generateName" in metadata else {"name": f"probe-{secrets.token_hex(4)}"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**name, **metadata},
        "spec": {"containers": [{"name": "app", "image": image}], **(spec or {})},
    }


def deployment(name: str, image: str, **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}], **spec}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
