"""manifests/ judged by a real API server: every overlay, the rights they give, and that those rights are enough.

A control plane of its own: what is applied here is cluster-wide and would stand in other tests' way.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.controlplane.controlplane import ControlPlane
from tests.controlplane.processes import port_of, reserve_port, spawn
from tests.waiting import eventually
from webhook.cli import controller as controller_command
from webhook.cli import serve as serve_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

ROOT = Path(__file__).resolve().parents[1]
MANIFESTS = ROOT / "manifests"
OVERLAYS = sorted(path.parent for path in MANIFESTS.glob("overlays/*/kustomization.yaml"))
ALL = [MANIFESTS, *OVERLAYS]
WEBHOOK = "system:serviceaccount:pullproof:pullproof"
CONTROLLER = "system:serviceaccount:pullproof:pullproof-controller"
NAMES = ["cert-manager", "enforce", "host-network", "least-privilege", "warn-only"]


def name_of(folder: Path) -> str:
    return folder.name


@pytest.fixture(scope="module")
def plane(uncaptured: Callable[[], AbstractContextManager[None]]) -> Iterator[ControlPlane]:
    with uncaptured():
        made = ControlPlane()
    with made as running:
        # cert-manager's kinds, any content: its own schema is not here to be asked
        running.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": CRDS}))
        running.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        running.kubectl("apply", "-f", str(MANIFESTS / "base" / "00-namespace.yaml"))
        yield running


CRDS = [
    {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.cert-manager.io"},
        "spec": {
            "group": "cert-manager.io",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    },
                }
            ],
        },
    }
    for kind, plural in (("Issuer", "issuers"), ("Certificate", "certificates"))
]


def built(plane: ControlPlane, folder: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(plane.kubectl("kustomize", str(folder)).stdout) if one]


def the(documents: list[dict[str, Any]], kind: str, name: str = "pullproof") -> dict[str, Any]:
    (found,) = (one for one in documents if one["kind"] == kind and one["metadata"]["name"] == name)
    return found


def arguments(documents: list[dict[str, Any]], name: str = "pullproof") -> list[str]:
    return the(documents, "Deployment", name)["spec"]["template"]["spec"]["containers"][0]["args"]


def test_these_are_the_overlays() -> None:
    assert [folder.name for folder in OVERLAYS] == NAMES
    assert [folder.parent.name for folder in sorted(MANIFESTS.glob("components/*/kustomization.yaml"))] == sorted(
        [*NAMES, "monitoring"]
    )
    listed = yaml.safe_load((MANIFESTS / "base" / "kustomization.yaml").read_text())["resources"]
    files = sorted(path.name for path in MANIFESTS.glob("base/*.yaml") if path.name != "kustomization.yaml")
    assert listed == files, "applied in the order of their numbers, and none is left out"


@pytest.mark.parametrize("folder", ALL, ids=name_of)
def test_the_api_server_takes_it_without_a_warning(plane: ControlPlane, folder: Path) -> None:
    # the namespace for real: a dry run of what is in it is judged by the labels it has now
    plane.kubectl("apply", "-f", "-", input=json.dumps(the(built(plane, folder), "Namespace")))
    done = plane.kubectl("apply", "--dry-run=server", "--validate=strict", "-k", str(folder))
    assert done.stderr == ""
    assert done.stdout.count("(server dry run)") == len(built(plane, folder))


@pytest.mark.parametrize("folder", ALL, ids=name_of)
def test_the_command_line_takes_the_arguments(plane: ControlPlane, folder: Path) -> None:
    documents = built(plane, folder)
    for name, command in (("pullproof", serve_command), ("pullproof-controller", controller_command)):
        first, *rest = arguments(documents, name)
        assert first == command.__name__.rpartition(".")[2]
        command.command.make_context(first, rest)


@pytest.mark.parametrize("folder", ALL, ids=name_of)
def test_pods_are_hardened_and_the_ports_fit(plane: ControlPlane, folder: Path) -> None:
    documents = built(plane, folder)
    for name in ("pullproof", "pullproof-controller"):
        pod = the(documents, "Deployment", name)["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        (port,) = container["ports"]
        (bind,) = (one for one in container["args"] if one.startswith("--bind="))
        assert bind.endswith(f":{port['containerPort']}")
        assert container["image"] == "registry.example.com/pullproof:0.1.0"
    webhook = the(documents, "Deployment")["spec"]["template"]["spec"]
    stop = webhook["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    (drain,) = (
        int(one.partition("=")[2]) for one in webhook["containers"][0]["args"] if one.startswith("--drain-seconds=")
    )
    assert stop + drain + 10 < webhook["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("folder", ALL, ids=name_of)
def test_the_webhook_configurations(plane: ControlPlane, folder: Path) -> None:
    documents = built(plane, folder)
    for kind, longest in (("ValidatingWebhookConfiguration", 3), ("MutatingWebhookConfiguration", 2)):
        for hook in the(documents, kind)["webhooks"]:
            assert hook["timeoutSeconds"] <= longest
            assert hook["matchPolicy"] == "Equivalent"
            assert hook["sideEffects"] in {"None", "NoneOnDryRun"}
            assert "objectSelector" not in hook, "tenants could label themselves out"
            assert "caBundle" not in hook["clientConfig"], "an upgrade would take it away"
            (expression,) = hook["namespaceSelector"]["matchExpressions"]
            assert expression["values"] == ["kube-system", "kube-node-lease", "pullproof"]
            fails = kind.startswith("Validating") and folder.name == "enforce"
            assert hook["failurePolicy"] == ("Fail" if fails else "Ignore")


def test_what_the_overlays_change(plane: ControlPlane) -> None:
    by_name = {folder.name: built(plane, folder) for folder in OVERLAYS}
    assert "--enforce=off" in arguments(by_name["warn-only"])
    assert "--secrets=get" in arguments(by_name["least-privilege"])
    assert the(by_name["least-privilege"], "ClusterRoleBinding", "pullproof-secrets")["subjects"] == []
    assert the(by_name["least-privilege"], "ClusterRole", "pullproof-secrets")["rules"][0]["verbs"] == ["get"]
    assert "--certificates=off" in arguments(by_name["cert-manager"], "pullproof-controller")
    certificate = the(by_name["cert-manager"], "Certificate", "pullproof-serving")["spec"]
    assert certificate["secretName"] == "pullproof-tls"
    assert "pullproof.pullproof.svc" in certificate["dnsNames"]
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        annotations = the(by_name["cert-manager"], kind)["metadata"]["annotations"]
        assert annotations == {"cert-manager.io/inject-ca-from": "pullproof/pullproof-serving"}
    assert the(by_name["host-network"], "Deployment")["spec"]["template"]["spec"]["hostNetwork"] is True


def test_several_changes_in_a_kustomization_of_ones_own(plane: ControlPlane, tmp_path: Path) -> None:
    """As docs/operations.md has it; and with host-network, all that can be had together."""
    text = (ROOT / "docs" / "operations.md").read_text()
    (block,) = re.findall(
        r"^( +resources: \[pullproof/manifests/base\]\n +components:\n(?: +- .*\n)+)", text, re.MULTILINE
    )
    shown = yaml.safe_load(block)
    assert shown["components"] == [
        "pullproof/manifests/components/enforce",
        "pullproof/manifests/components/cert-manager",
    ]
    shown["components"] += [f"pullproof/manifests/components/{one}" for one in ("host-network", "least-privilege")]
    (tmp_path / "pullproof").symlink_to(ROOT)
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(shown))
    documents = built(plane, tmp_path)
    plane.kubectl("apply", "-f", "-", input=json.dumps(the(documents, "Namespace")))
    done = plane.kubectl("apply", "--dry-run=server", "--validate=strict", "-k", str(tmp_path))
    assert (done.stderr, done.stdout.count("(server dry run)")) == ("", len(documents))
    assert the(documents, "ValidatingWebhookConfiguration")["webhooks"][0]["failurePolicy"] == "Fail"
    assert arguments(documents)[1:] == [
        "--bind=0.0.0.0:9443", "--tls-secret=pullproof/pullproof-tls", "--drain-seconds=15", "--secrets=get",
    ]  # fmt: skip
    assert "--certificates=off" in arguments(documents, "pullproof-controller")


def test_least_privilege_takes_away_what_was_given_before(plane: ControlPlane) -> None:
    """`kubectl apply` deletes nothing, so what an overlay leaves out would go on holding."""

    def may_get_secrets() -> str:
        asked = ("auth", "can-i", "get", "secrets", "--all-namespaces", f"--as={WEBHOOK}")
        return plane.kubectl(*asked, check=False).stdout.strip()

    try:
        for folder, answer in ((MANIFESTS, "yes"), (MANIFESTS / "overlays" / "least-privilege", "no")):
            parts = [one for one in built(plane, folder) if one["metadata"]["name"] == "pullproof-secrets"]
            for part in parts:
                plane.kubectl("apply", "-f", "-", input=json.dumps(part))
            eventually(lambda answer=answer: may_get_secrets() == answer)
    finally:
        plane.kubectl("delete", "clusterrole,clusterrolebinding", "pullproof-secrets")


@pytest.fixture(scope="module")
def applied(plane: ControlPlane) -> ControlPlane:
    plane.kubectl("apply", "-k", str(MANIFESTS))
    return plane


class TestApplied:
    """With everything of manifests/ in the cluster."""

    def pods(self, plane: ControlPlane, component: str) -> int:
        listed = plane.kubectl(
            "-n", "pullproof", "get", "pods", "-l", f"app.kubernetes.io/component={component}", "-o", "name"
        )
        return listed.stdout.count("\n")

    def test_all_pods_pass_the_restricted_standard(self, applied: ControlPlane) -> None:
        eventually(lambda: (self.pods(applied, "webhook"), self.pods(applied, "controller")) == (3, 2))

    def test_who_views_a_namespace_may_ask_why_once_policies_may_be_read(self, applied: ControlPlane) -> None:
        """By the binding that docs/policy.md has for it."""
        applied.kubectl("-n", "default", "create", "rolebinding", "asks-why", "--clusterrole=view", "--user=jane")
        jane = applied.kubeconfig_for("jane")

        def asked() -> subprocess.CompletedProcess[str]:
            program = Path(sys.executable).parent / "pullproof"
            explain = [program, "policy", "explain", "-n", "default", f"--kubeconfig={jane}"]
            return subprocess.run(explain, capture_output=True, text=True, check=False)

        eventually(lambda: "clusterpullpolicies" in asked().stderr)
        _, found, rest = (ROOT / "docs" / "policy.md").read_text().partition("    kubectl create clusterrolebinding ")
        assert found
        applied.kubectl("create", "clusterrolebinding", *rest.partition("\n\n")[0].replace("\\\n", "").split())
        try:
            eventually(lambda: asked().returncode == 0)
        finally:
            applied.kubectl("delete", "clusterrolebinding", "pullproof-policy-reader")
            applied.kubectl("-n", "default", "delete", "rolebinding", "asks-why")

    @pytest.mark.parametrize(("account", "title"), [(WEBHOOK, "pullproof"), (CONTROLLER, "pullproof-controller")])
    def test_the_rights_are_the_documented_ones(self, applied: ControlPlane, account: str, title: str) -> None:
        nobody = rights(applied, "system:serviceaccount:pullproof:default")
        given = {
            place: rights(applied, account, namespace) - nobody
            for place, namespace in (("everywhere", "default"), ("own", "pullproof"))
        }
        found = {
            ("cluster" if right in given["everywhere"] else "namespace `pullproof`", *right) for right in given["own"]
        }
        assert found == documented(title)

    def test_these_rights_are_enough_to_run(self, applied: ControlPlane, tmp_path: Path) -> None:
        """Both processes as their ServiceAccounts, from nothing to a denial; the audit log has no refusal of them."""
        plane = applied
        reserved = [reserve_port(), reserve_port()]
        ports = [port_of(one) for one in reserved]
        for one in reserved:
            one.close()  # neither server shares a port; nothing else here asks for these two by number
        running = []
        try:
            for name, options in (
                ("pullproof", ["serve", f"--bind=127.0.0.1:{ports[0]}", "--tls-secret=pullproof/pullproof-tls"]),
                (
                    "pullproof-controller",
                    ["controller", f"--bind=127.0.0.1:{ports[1]}", "--namespace=pullproof", "--ip=127.0.0.1"],
                ),
            ):
                kubeconfig = as_service_account(plane, name, tmp_path)
                program = Path(sys.executable).parent / "pullproof"
                log = tmp_path / f"{name}.log"
                running.append(spawn("pullproof", program, [*options, f"--kubeconfig={kubeconfig}"], log))
            for kind, path in (("validating", "validate"), ("mutating", "mutate")):
                client = {"url": f"https://127.0.0.1:{ports[0]}/{path}"}
                patch = [
                    {"op": "remove", "path": "/webhooks/0/clientConfig/service"},
                    {"op": "add", "path": "/webhooks/0/clientConfig/url", "value": client["url"]},
                ]
                plane.kubectl(
                    "patch", f"{kind}webhookconfiguration", "pullproof", "--type=json", "-p", json.dumps(patch)
                )
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "probe", "namespace": "default"},
                "spec": {
                    "imagePullSecrets": [{"name": "not-there"}],
                    "containers": [{"name": "app", "image": "contoso.azurecr.io//shop:1"}],
                },
            }

            def denied() -> bool:
                tried = plane.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(pod), check=False)
                return "use `contoso.azurecr.io/shop:1`" in tried.stderr

            eventually(denied)
            # what is read live: a namespace made in the same moment, an owner, an earlier revision
            owned = {**pod, "metadata": {**pod["metadata"], "name": "owned"}}
            for kind, version in (
                ("ReplicaSet", "apps/v1"), ("StatefulSet", "apps/v1"), ("DaemonSet", "apps/v1"), ("Job", "batch/v1"),
                ("ReplicationController", "v1"),
            ):  # fmt: skip
                owned["metadata"]["ownerReferences"] = [
                    {"apiVersion": version, "kind": kind, "name": "gone", "uid": "1", "controller": True}
                ]
                plane.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(owned), check=False)
            # what a stricter label asks for, and what is written: Events
            plane.kubectl("create", "namespace", "watched")
            plane.kubectl("label", "namespace", "watched", "pullproof.dev/enforce=off")
            plane.kubectl("-n", "watched", "create", "deployment", "shop", "--image=contoso.azureacr.io/shop:1")

            def told() -> bool:
                plane.kubectl("-n", "watched", "rollout", "restart", "deployment/shop")
                events = plane.kubectl("-n", "watched", "get", "events").stdout
                return any("Pullproof" in line and "deployment/shop" in line for line in events.splitlines())

            eventually(told, seconds=120, interval=1)
            plane.kubectl("label", "namespace", "watched", "--overwrite", "pullproof.dev/enforce=certain")
            asked = "/api/v1/namespaces/watched/pods?"
            eventually(
                lambda: any(
                    event["user"]["username"] == WEBHOOK and event["requestURI"].startswith(asked)
                    for event in plane.audit_events()
                )
            )
            eventually(lambda: "namespaces that skip" in (tmp_path / "pullproof-controller.log").read_text())
        finally:
            for process in running:
                process.stop(grace=10)
        refused = [
            event
            for event in plane.audit_events()
            if event["user"]["username"] in {WEBHOOK, CONTROLLER}
            and event.get("responseStatus", {}).get("code") in {401, 403}
        ]
        assert refused == []
        assert {
            event["user"]["username"] for event in plane.audit_events() if "pullproof" in event.get("userAgent", "")
        } >= {WEBHOOK, CONTROLLER}


def rights(plane: ControlPlane, account: str, namespace: str = "pullproof") -> set[tuple[str, str, str]]:
    """What `kubectl auth can-i --list` shows: (resource, names, verbs) as it writes them."""
    groups = ["system:serviceaccounts", "system:serviceaccounts:pullproof", "system:authenticated"]
    listed = plane.kubectl(
        "auth", "can-i", "--list", "-n", namespace, f"--as={account}", *(f"--as-group={group}" for group in groups)
    )
    found = set()
    for line in listed.stdout.splitlines()[1:]:
        match = re.fullmatch(r"(\S*)\s+\[(.*?)\]\s+\[(.*?)\]\s+\[(.*?)\]", line)
        assert match is not None, line
        if match[1]:
            found.add((match[1], match[3], match[4]))
    return found


def documented(title: str) -> set[tuple[str, str, str, str]]:
    """The table under `### Rights of <title>` in docs/operations.md: where, resource, names, verbs."""
    text = (ROOT / "docs" / "operations.md").read_text()
    _, found, rest = text.partition(f"### Rights of `{title}`\n")
    assert found, f"docs/operations.md has no rights of {title}"
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in rest.partition("\n#")[0].splitlines()
        if line.startswith("| ")
    ][2:]
    return {(where, resource, names, verbs) for where, resource, names, verbs, _ in rows}


def as_service_account(plane: ControlPlane, name: str, folder: Path) -> Path:
    token = plane.kubectl("-n", "pullproof", "create", "token", name).stdout.strip()
    content = yaml.safe_load(plane.kubeconfig.read_text())
    content["users"][0]["user"] = {"token": token}
    path = folder / f"{name}.kubeconfig"
    path.write_text(json.dumps(content))
    return path
