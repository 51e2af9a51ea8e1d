"""Makes a real kubelet and containerd fail in every way that can be made to happen, and keeps what they say.

    .venv/bin/python -m tests.diagnosis.kubelet.record

writes `recorded.json` beside this file: for each case what the API server has of the pod afterwards that tells of the
failure, and its Events, which test_recorded.py holds to their causes. Run it anew with each new version of Kubernetes
or containerd; it takes some minutes. Must not: know pullproof, or change a word of what was said.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.controlplane import pki
from tests.controlplane.controlplane import ControlPlane
from tests.node.node import Access, Node, Registry
from tests.node.registries import PASSWORD, USER
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
RECORDED = HERE / "recorded.json"
NAMESPACE = "shop"
NEVER_SAID = ("PodInitializing", "ContainerCreating")
USUAL = ("Scheduled", "Pulling")
SECONDS = 400

# host → what its registry does
FAULTS = {
    "refused-token.example": "token-refused",
    "forbidden-token.example": "token-forbidden",
    "scope.example": "scope",
    "forbidden.example": "forbidden",
    "limited.example": "too-many",
    "failing.example": "failing",
    "proxy.example": "proxy",
    "html.example": "html",
    "schema1.example": "schema1",
    "corrupt.example": "corrupt",
    "no-tar.example": "no-tar",
    "no-blob.example": "blob-missing",
    "quota.icr.io": "blob-forbidden",
    "other-name.example": "other-name",
    "other-authority.example": "other-authority",
    "plain.example": "plain",
    "silent.example": "silent",
    "dropped.example": "full",
    "large.example": "large",
}
NOBODY = "nobody.example"  # a name whose address nobody listens at


@dataclass
class Case:
    """One pod that fails; `secrets` it names, `spec` what else."""

    image: str
    cause: str
    code: str
    secrets: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    pull_policy: str = ""


PRIVATE, OPEN = "contoso.azurecr.io/shop:1", "quay.io/team/shop:1"
CASES = {
    "wrong-host": Case("contoso.azureacr.io/shop:1", "dns", "PULL201"),
    "no-such-host": Case("registry.nowhere.example/shop:1", "dns", "PULL601"),
    "no-secret": Case(PRIVATE, "unauthorized", "PULL501"),
    # without the cluster's facts: Azure's registry says the same of what it hides
    "wrong-password": Case(PRIVATE, "ambiguous-auth-or-not-found", "PULL504", ("stale",)),
    "missing-secret": Case(PRIVATE, "secret-missing", "PULL301", ("gone",)),
    "undecodable-secret": Case(PRIVATE, "secret-missing", "PULL303", ("broken", "good")),
    "wrong-tag": Case("quay.io/team/shop:2", "not-found", "PULL503"),
    "wrong-repository": Case("quay.io/team/nothing:1", "not-found", "PULL503"),
    "wrong-digest": Case(f"quay.io/team/shop@sha256:{'0' * 64}", "not-found", "PULL503"),
    "invalid-name": Case("quay.io/team/Shop:1", "invalid-name", "PULL104"),
    "double-slash": Case("quay.io//shop:1", "invalid-name", "PULL101"),
    "never": Case("quay.io/team/never:1", "not-found", "PULL503", pull_policy="Never"),
    "platform": Case("quay.io/team/arm:1", "platform-mismatch", "PULL401"),
    "windows-only": Case("quay.io/team/windows:1", "platform-mismatch", "PULL401"),
    "os-name": Case(OPEN, "platform-mismatch", "PULL404", spec={"os": {"name": "windows"}}),
    "os-label": Case(OPEN, "platform-mismatch", "PULL405", labels={"kubernetes.io/os": "windows"}),
    "token-refused": Case("refused-token.example/shop:1", "unauthorized", "PULL501"),
    "token-forbidden": Case("forbidden-token.example/shop:1", "forbidden", "PULL502"),
    "scope": Case("scope.example/shop:1", "ambiguous-auth-or-not-found", "PULL504"),
    "forbidden": Case("forbidden.example/shop:1", "forbidden", "PULL502"),
    "too-many": Case("limited.example/shop:1", "rate-limit", "PULL505"),
    "failing": Case("failing.example/shop:1", "registry-error", "PULL507"),
    "proxy": Case("proxy.example/shop:1", "registry-error", "PULL507"),
    "html": Case("html.example/shop:1", "unsupported-media", "PULL508"),
    "schema1": Case("schema1.example/shop:1", "unsupported-media", "PULL508"),
    "corrupt-layer": Case("corrupt.example/shop:1", "unpack", "PULL612"),
    "no-tar": Case("no-tar.example/shop:1", "unpack", "PULL612"),
    "layer-gone": Case("no-blob.example/shop:1", "not-found", "PULL503"),
    "quota": Case("quota.icr.io/shop/web:1", "quota", "PULL506"),
    "other-name": Case("other-name.example/shop:1", "tls", "PULL604"),
    "other-authority": Case("other-authority.example/shop:1", "tls", "PULL604"),
    "plain-http": Case("plain.example/shop:1", "tls", "PULL604"),
    "silent": Case("silent.example/shop:1", "timeout", "PULL602"),
    "dropped": Case("dropped.example/shop:1", "timeout", "PULL602"),
    "refused": Case(f"{NOBODY}/shop:1", "refused", "PULL603"),
    "image-volume": Case(
        OPEN,
        "not-found",
        "PULL503",
        spec={"volumes": [{"name": "model", "image": {"reference": "quay.io/team/model:1"}}]},
    ),
    "disk-full": Case("large.example/shop:1", "disk", "PULL611"),
}


def addresses() -> dict[str, str]:
    return {host: f"127.9.0.{number}" for number, host in enumerate((*FAULTS, NOBODY), 1)}


def secret(name: str, auth: str) -> dict[str, Any]:
    content = json.dumps({"auths": {"contoso.azurecr.io": {"auth": auth}}})
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": content},
    }


def pod(name: str, case: Case) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "app", "image": case.image}
    if case.pull_policy:
        container["imagePullPolicy"] = case.pull_policy
    if "volumes" in case.spec:
        container["volumeMounts"] = [{"name": "model", "mountPath": "/model"}]
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "imagePullSecrets": [{"name": one} for one in case.secrets],
        **({} if "os" in case.spec else {"hostNetwork": True}),
        **case.spec,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": case.labels}, "spec": spec}


@contextlib.contextmanager
def misbehaving(node: Node, inner: int) -> Iterator[None]:
    """The faulty registries, in the network namespace of the node's first process, for as long as the block runs."""
    folder = node.state / "faulty"
    folder.mkdir()
    authority, other = pki.new_authority("record"), pki.new_authority("somebody-else")
    (folder / "ca.crt").write_bytes(authority.certificate_pem)
    plan = []
    for host, address in addresses().items():
        if host == NOBODY:
            continue
        fault = FAULTS[host]
        pair = pki.issue_server(
            other if fault == "other-authority" else authority, ["elsewhere.example" if fault == "other-name" else host]
        )
        certificate, key = folder / f"{host}.crt", folder / f"{host}.key"
        certificate.write_bytes(pair.certificate_pem)
        key.write_bytes(pair.key_pem)
        plain = fault == "plain"
        plan.append(
            {
                "address": address,
                "fault": fault,
                "certificate": "" if plain else str(certificate),
                "key": "" if plain else str(key),
            }
        )
        hosts = node.state / "certs.d" / host
        hosts.mkdir()
        (hosts / "hosts.toml").write_text(f'server = "https://{host}"\nca = "{folder / "ca.crt"}"\n')
    (folder / "plan.json").write_text(json.dumps(plan))
    command = ["nsenter", f"--net=/proc/{inner}/ns/net", sys.executable, "-IS", str(HERE / "faulty.py")]
    with subprocess.Popen([*command, str(folder / "plan.json")], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()


def first_process(node: Node) -> int:
    """The first process of the node's namespaces: the one whose command line names its plan, seen from outside."""
    plan = str(node.state / "plan.json")
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if plan in words and any(word.endswith("inside.py") for word in words) and words[0] == sys.executable:
                found.append(int(process.name))
    return max(found)


def waiting(plane: ControlPlane, name: str) -> dict[str, Any] | None:
    """The pod, once it says why; None before."""
    found: dict[str, Any] = json.loads(plane.kubectl("get", "pod", name, "-n", NAMESPACE, "-o", "json").stdout)
    status = found["status"]
    if status.get("reason"):
        return found
    for one in status.get("containerStatuses", ()):
        state = one["state"].get("waiting", {})
        if state.get("message") or (state.get("reason") and state["reason"] not in NEVER_SAID):
            return found
    return None


def events(plane: ControlPlane, name: str) -> list[dict[str, Any]]:
    """What was said about the pod, without what is said of every pod."""
    query = f"involvedObject.kind=Pod,involvedObject.name={name}"
    listed = plane.kubectl("get", "events", "-n", NAMESPACE, "--field-selector", query, "-o", "json").stdout
    items = [one for one in json.loads(listed)["items"] if one["reason"] not in USUAL]
    kept = ("reason", "message", "lastTimestamp")
    return [
        {"involvedObject": chosen(one["involvedObject"], "kind", "name", "fieldPath"), **chosen(one, *kept)}
        for one in items
    ]


def trimmed(found: dict[str, Any]) -> dict[str, Any]:
    """What tells of the failure; the rest is the same for every pod, or of this run alone."""
    spec, status = found["spec"], found["status"]
    spec["containers"] = [chosen(one, "name", "image", "imagePullPolicy") for one in spec["containers"]]
    if "containerStatuses" in status:
        status["containerStatuses"] = [chosen(one, "name", "image", "state") for one in status["containerStatuses"]]
    return {
        **chosen(found, "apiVersion", "kind"),
        "metadata": chosen(found["metadata"], "name", "namespace", "labels"),
        "spec": chosen(spec, "nodeName", "serviceAccountName", "os", "containers", "imagePullSecrets", "volumes"),
        "status": chosen(status, "phase", "reason", "message", "containerStatuses"),
    }


def chosen(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value[key] for key in keys if key in value}


def written(versions: dict[str, str], recorded: dict[str, Any]) -> str:
    """One line for each part of a pod and for each Event: a line that changed is a word that changed."""
    cases = []
    for name, case in sorted(recorded.items()):
        pod_lines = ",\n".join(f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in case["pod"].items())
        event_lines = ",\n".join(f"    {json.dumps(one)}" for one in case["events"])
        cases.append(f'  {json.dumps(name)}: {{\n   "pod": {{\n{pod_lines}}},\n   "events": [\n{event_lines}]}}')
    joined = ",\n".join(cases)
    text = f'{{\n "versions": {json.dumps(versions)},\n "cases": {{\n{joined}}}\n}}\n'
    return re.sub(r"/tmp/pullproof-node-\w+", "/var/lib", text)


def fill_disk(node: Node, inner: int) -> None:
    """What containerd writes to is a tmpfs of the node's own: made so small that a layer of 8 MB does not fit."""
    folder = str(node.state / "containerd")
    enter = ["nsenter", f"--mount=/proc/{inner}/ns/mnt"]
    used = subprocess.run(
        [*enter, "df", "--output=used", "-k", folder], check=True, capture_output=True, text=True
    ).stdout.split()[1]
    subprocess.run([*enter, "mount", "-o", f"remount,size={int(used) + 2048}k", folder], check=True)


def main() -> int:
    recorded: dict[str, Any] = {}
    registries = [Registry("contoso.azurecr.io", Access.PASSWORD), Registry("quay.io")]
    settings = {"serializeImagePulls": False, "registryPullQPS": 0}
    with (
        ControlPlane() as plane,
        Node(plane=plane, registries=registries, names=addresses(), kubelet=settings) as node,
    ):
        inner = first_process(node)
        node.images.push("contoso.azurecr.io/shop", "1")
        node.images.push("quay.io/team/shop", "1")
        node.images.push_index("quay.io/team/arm", "1", ["linux/arm64"])
        node.images.push_index("quay.io/team/windows", "1", ["windows/amd64:10.0.20348.1"])
        plane.kubectl("create", "namespace", NAMESPACE)
        eventually(
            lambda: plane.kubectl("get", "sa", "default", "-n", NAMESPACE, check=False).returncode == 0, seconds=30
        )
        stale = base64.b64encode(f"{USER}:stale".encode()).decode()
        good = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        objects = [secret("stale", stale), secret("good", good), secret("broken", "not base64!")]
        objects += [pod(name, case) for name, case in CASES.items() if name != "disk-full"]
        with misbehaving(node, inner):
            items = {"apiVersion": "v1", "kind": "List", "items": objects}
            plane.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=json.dumps(items))
            collect(plane, recorded, [name for name in CASES if name != "disk-full"])
            fill_disk(node, inner)
            items = {"apiVersion": "v1", "kind": "List", "items": [pod("disk-full", CASES["disk-full"])]}
            plane.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=json.dumps(items))
            collect(plane, recorded, ["disk-full"])
        versions = json.loads(plane.kubectl("get", "node", node.name, "-o", "json").stdout)["status"]["nodeInfo"]
    kept = {key: versions[key] for key in ("kubeletVersion", "containerRuntimeVersion")}
    RECORDED.write_text(written(kept, recorded))
    missing = CASES.keys() - recorded.keys()
    print(f"{len(recorded)} cases recorded" + (f"; none of {', '.join(sorted(missing))}" if missing else ""))
    return 1 if missing else 0


def collect(plane: ControlPlane, recorded: dict[str, Any], names: list[str]) -> None:
    left = set(names)
    deadline = time.monotonic() + SECONDS
    while left and time.monotonic() < deadline:
        for name in sorted(left):
            found = waiting(plane, name)
            said = events(plane, name)
            if found is None and any(one["reason"] == "Failed" for one in said):
                found = json.loads(plane.kubectl("get", "pod", name, "-n", NAMESPACE, "-o", "json").stdout)
            if found is not None:
                recorded[name] = {"pod": trimmed(found), "events": said}
                print(name, file=sys.stderr, flush=True)
                left.discard(name)
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
