"""A scenario of `make truth`: the objects that go in, and what is expected to come out.

The files in scenarios/ are lists of flat maps:

    name       what it is about, unique
    push       images in the registries before: a list, or a map to their platforms (a list makes an index)
    secrets    name → keys (host: `user:password`, or the raw entry) or the raw text of `.dockerconfigjson`
    objects    whole objects, where that short form does not reach
    account    the pull secrets of the pod's ServiceAccount (then it has one of its own)
    pull       the pod's imagePullSecrets; by default all `secrets`, or none where there is an `account`
    images     one container each (`app`, `app-2`, …); `policy`: their imagePullPolicy. A digest `sha256:pushed` stands
               for that of what was pushed (the one of that path, where there are several)
    spec       further fields of the pod's spec; `labels`: of the pod
    daemonset  whether a DaemonSet makes the pod
    ephemeral  the image of an ephemeral container that is added once the pod is there
    before     pull secrets (by name, maybe none) with which another pod of the namespace pulled the images before
    says       what pullproof is to say, `PULL201 certain` each, all of it
    kubelet    what the kubelet is to do: pulled, present, failed, rejected, unscheduled; or a map by container
    words      what stands in the kubelet's message
    hidden     why the API does not show the cause of the failure (a wrong password, say); or a map by image
    against    why the node is none that pullproof was told of (a mirror that no policy names)
    governed   whether the world's policy holds in the pod's namespace
    told       whether pullproof's engine is also told what the registry holds, which the webhook does not ask

Must not: run anything, or know the registries' answers.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

FOLDER = Path(__file__).with_name("scenarios")
ACCOUNT = "app"
POD = "pod"
DRAWN = "drawn"
_DOCKER_CONFIG = "kubernetes.io/dockerconfigjson"
_PUSHED = "@sha256:pushed"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """See the module. `source` says where it comes from: a file's name, or `drawn`."""

    name: str
    source: str = DRAWN
    push: Mapping[str, Any] | list[str] = field(default_factory=list)
    secrets: Mapping[str, Any] = field(default_factory=dict)
    objects: list[dict[str, Any]] = field(default_factory=list)
    account: list[str] | None = None
    pull: list[str] | None = None
    images: list[str] = field(default_factory=list)
    policy: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    daemonset: bool = False
    ephemeral: str = ""
    before: list[str] | None = None
    says: list[str] | None = None
    kubelet: str | Mapping[str, str] = ""
    words: str = ""
    hidden: str | Mapping[str, str] = ""
    against: str = ""
    governed: bool = False
    told: bool = False

    def pushed(self) -> dict[str, Any]:
        """Reference → platforms: a text (single manifest) or a list (index)."""
        if isinstance(self.push, list):
            return dict.fromkeys(self.push, "linux/amd64")
        return dict(self.push)

    def with_digests(self, digests: Mapping[str, str]) -> Self:
        """The same with `digests` (of what was pushed) in the place of `sha256:pushed`."""
        if not any(image.endswith(_PUSHED) for image in self.images):
            return self
        by_path = {_path(reference): digest for reference, digest in digests.items()}
        names = [image.removesuffix(_PUSHED) for image in self.images]
        renamed = {
            image: image if image == name else f"{name}@{by_path[_path(name)]}"
            for image, name in zip(self.images, names, strict=True)
        }
        hidden = self.hidden
        if not isinstance(hidden, str):
            hidden = {renamed.get(image, image): text for image, text in hidden.items()}
        return replace(self, images=[renamed[image] for image in self.images], hidden=hidden)

    def given(self) -> list[dict[str, Any]]:
        """The namespace's objects, in the order in which they are made."""
        found = [_secret(name, content) for name, content in self.secrets.items()]
        found += self.objects
        if self.account is not None:
            found.append(
                {
                    "kind": "ServiceAccount",
                    "metadata": {"name": ACCOUNT},
                    "imagePullSecrets": [{"name": name} for name in self.account],
                }
            )
        return found

    def hidden_of(self, image: str) -> str:
        return self.hidden if isinstance(self.hidden, str) else self.hidden.get(image, "")

    def pod(self) -> dict[str, Any]:
        spec: dict[str, Any] = {
            "hostNetwork": True,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {"name": f"app-{number}" if number > 1 else "app", "image": image}
                for number, image in enumerate(self.images, start=1)
            ],
            **self.spec,
        }
        if self.policy:
            for container in spec["containers"]:
                container["imagePullPolicy"] = self.policy
        if self.account is not None:
            spec["serviceAccountName"] = ACCOUNT
        pull = list(self.secrets) if self.pull is None and self.account is None else self.pull
        if pull:
            spec["imagePullSecrets"] = [{"name": name} for name in pull]
        return {"kind": "Pod", "metadata": {"name": POD, "labels": dict(self.labels)}, "spec": spec}

    def made(self) -> dict[str, Any]:
        """What is made: the pod, or the DaemonSet that makes it."""
        pod = self.pod()
        if not self.daemonset:
            return pod
        labels = {"app": POD, **self.labels}
        template = {"metadata": {"labels": labels}, "spec": pod["spec"]}
        spec = {"selector": {"matchLabels": {"app": POD}}, "template": template}
        return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": POD}, "spec": spec}

    def puller(self) -> dict[str, Any] | None:
        """The pod that pulls the images before."""
        if self.before is None:
            return None
        pod = self.pod()
        pod["metadata"] = {"name": "before"}
        spec = pod["spec"]
        for container in spec["containers"]:
            container.pop("imagePullPolicy", None)
        spec["imagePullSecrets"] = [{"name": name} for name in self.before]
        return pod


def load() -> list[Scenario]:
    """All scenarios of the folder. Raises TypeError on a field that none has, ValueError on a name that two have."""
    found = [
        Scenario(source=file.stem, **given)
        for file in sorted(FOLDER.glob("*.yaml"))
        for given in yaml.safe_load(file.read_text())
    ]
    names = [scenario.name for scenario in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two scenarios are named {', '.join(sorted(twice))}")
    return found


def _path(reference: str) -> str:
    """The path without host and tag."""
    host, slash, path = reference.partition("/")
    return (path if slash else host).partition(":")[0]


def _secret(name: str, content: Any) -> dict[str, Any]:
    if isinstance(content, dict):
        content = json.dumps({"auths": {key: entry(value) for key, value in content.items()}})
    return {
        "kind": "Secret",
        "metadata": {"name": name},
        "type": _DOCKER_CONFIG,
        "stringData": {".dockerconfigjson": content},
    }


def entry(value: Any) -> Any:
    """An auth entry as `kubectl create secret docker-registry` writes it, of `user:password`; others as they are."""
    if not isinstance(value, str):
        return value
    user, _, password = value.partition(":")
    return {"username": user, "password": password, "auth": base64.b64encode(value.encode()).decode()}
