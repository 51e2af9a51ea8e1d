"""The controller as people run it: `pullproof controller`, `pullproof serve`, a real API server between them."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import secrets
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from tests.controlplane.processes import port_of, reserve_port, spawn
from tests.waiting import eventually
from webhook.election import Election, Terms
from webhook.sources.connection import connect
from webhook.sources.errors import UnavailableError
from webhook.sources.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.controlplane.controlplane import ControlPlane
    from tests.controlplane.processes import Process

PULLPROOF = Path(sys.executable).parent / "pullproof"


class Installed:
    """A namespace with webhook configurations that ask a port of loopback, and the processes that a test starts."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.folder = folder
        self.namespace = f"installed-{secrets.token_hex(4)}"
        self.port = free_port()
        self.running: list[Process] = []
        plane.kubectl("create", "namespace", self.namespace)
        hook = {
            "name": "validate.pullproof.dev",
            "clientConfig": {"url": f"https://127.0.0.1:{self.port}/validate"},
            "admissionReviewVersions": ["v1"],
            "sideEffects": "NoneOnDryRun",
            "failurePolicy": "Fail",
            "timeoutSeconds": 10,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        }
        document = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": self.namespace},
            "webhooks": [hook],
        }
        plane.kubectl("apply", "-f", "-", input=json.dumps(document))

    def close(self) -> None:
        for process in self.running:
            process.stop()
        self.plane.kubectl("delete", "validatingwebhookconfiguration", self.namespace)
        self.plane.kubectl("delete", "namespace", self.namespace, "--wait=false")

    def controller(self, name: str = "one", *arguments: str) -> Process:
        self.health = free_port()
        process = spawn(
            "pullproof",
            PULLPROOF,
            [
                "controller", f"--bind=127.0.0.1:{self.health}", f"--kubeconfig={self.plane.kubeconfig}",
                f"--namespace={self.namespace}", f"--configuration={self.namespace}", "--ip=127.0.0.1",
                "--dns=localhost", "--overlap-seconds=2", "--retire-seconds=12", *arguments,
            ],
            self.folder / f"controller-{name}.log",
        )  # fmt: skip
        self.running.append(process)
        return process

    def serve(self) -> Process:
        process = spawn(
            "pullproof",
            PULLPROOF,
            [
                "serve", f"--bind=127.0.0.1:{self.port}", f"--tls-secret={self.namespace}/pullproof-tls",
                f"--kubeconfig={self.plane.kubeconfig}",
            ],
            self.folder / "serve.log",
        )  # fmt: skip
        self.running.append(process)
        return process

    def pullproof(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        command = [PULLPROOF, *arguments, f"--kubeconfig={self.plane.kubeconfig}", "-n", self.namespace]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        return done

    def status(self, status: int = 0) -> dict[str, Any]:
        options = ["--dns=localhost", f"--configuration={self.namespace}", "-o", "json"]
        return json.loads(self.pullproof("certs", "status", *options, status=status).stdout)

    def served(self) -> x509.Certificate | None:
        """The certificate that a new handshake sees, or None where nobody answers."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain,
            context.wrap_socket(plain) as tls,
        ):
            return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
        return None

    def metrics(self) -> str:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=10)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def create(self, image: str) -> subprocess.CompletedProcess[str]:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "probe", "namespace": self.namespace},
            "spec": {"containers": [{"name": "app", "image": image}]},
        }
        return self.plane.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(pod), check=False)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


def free_port() -> int:
    reserved = reserve_port()
    port = port_of(reserved)
    reserved.close()
    return port


@pytest.fixture
def installed(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Installed]:
    place = Installed(control_plane, tmp_path)
    eventually(
        lambda: control_plane.kubectl("-n", place.namespace, "get", "sa", "default", check=False).returncode == 0
    )
    yield place
    place.close()


BAD = "contoso.azurecr.io//shop:1"


def test_from_nothing_to_a_denial_and_on_through_every_rotation(installed: Installed) -> None:
    installed.serve()
    eventually(lambda: "waiting for a serving certificate" in installed.log("serve"))
    assert "404" in installed.log("serve")
    assert installed.served() is None, "nobody may be told that this is ready"
    assert "failed calling webhook" in installed.create(BAD).stderr
    installed.controller()
    eventually(lambda: "use `contoso.azurecr.io/shop:1`" in installed.create(BAD).stderr)
    assert installed.status()["problems"] == []

    # every pod creation below is refused for its image and for nothing else: no call to the webhook fails
    stderr: list[str] = []

    def works() -> bool:
        stderr.append(installed.create(BAD).stderr)
        return "denied the request" in stderr[-1]

    first = installed.served()
    assert "a new serving certificate is in place" in installed.pullproof("certs", "renew").stdout
    eventually(lambda: works() and installed.served() != first)
    second = installed.served()
    assert second is not None
    assert first is not None
    assert second.issuer == first.issuer
    installed.pullproof("certs", "renew", "--authority")
    eventually(lambda: works() and (now := installed.served()) is not None and now.issuer != first.issuer)
    eventually(lambda: works() and installed.status()["authoritiesTrusted"] == 1)
    assert installed.status()["rotation"] == "steady"
    assert all("denied the request" in one for one in stderr), stderr


def test_a_broken_pair_leaves_the_one_before_in_use_and_raises_the_metric(installed: Installed) -> None:
    controller = installed.controller()
    installed.serve()
    eventually(lambda: "denied the request" in installed.create(BAD).stderr)
    controller.stop(grace=30)  # or it would mend this at once
    before = installed.served()
    data = {"data": {"tls.key": base64.b64encode(b"broken").decode()}}
    installed.plane.kubectl("-n", installed.namespace, "patch", "secret", "pullproof-tls", "-p", json.dumps(data))
    eventually(lambda: "pullproof_certificate_unusable 1.0" in installed.metrics())
    assert installed.served() == before
    assert "denied the request" in installed.create(BAD).stderr
    problems = installed.status(status=1)["problems"]
    assert "the private key is not PEM" in problems
    installed.controller("two")
    eventually(lambda: "pullproof_certificate_unusable 0.0" in installed.metrics())
    assert installed.served() != before
    assert "denied the request" in installed.create(BAD).stderr


def test_one_of_two_leads_and_the_other_takes_over_at_once(installed: Installed) -> None:
    one = installed.controller("one")
    eventually(lambda: " leads\n" in installed.log("controller-one"))
    installed.controller("two")
    eventually(lambda: health(installed, "/readyz") == (200, "ok\n"))
    assert " leads\n" not in installed.log("controller-two")
    assert "pullproof_controller_leading 0.0" in health(installed, "/metrics")[1]
    one.stop(grace=30)
    assert one.exit_code() == 0
    eventually(lambda: " leads\n" in installed.log("controller-two"))
    eventually(lambda: "pullproof_controller_leading 1.0" in health(installed, "/metrics")[1])
    assert "pullproof_certificate_expiry_timestamp_seconds" in health(installed, "/metrics")[1]
    assert health(installed, "/livez") == (200, "ok\n")
    assert health(installed, "/elsewhere")[0] == 404


def test_a_killed_leader_is_followed_when_its_lease_has_run_out(installed: Installed) -> None:
    one = installed.controller("one")
    eventually(lambda: " leads\n" in installed.log("controller-one"))
    one.stop()
    installed.controller("two")
    eventually(lambda: " leads\n" in installed.log("controller-two"))


def test_namespaces_that_skip_the_webhook_are_told(installed: Installed) -> None:
    installed.controller()
    eventually(lambda: "namespaces that skip the webhook: " in installed.log("controller-one"))
    told = re.search(r"namespaces that skip the webhook: (.*)", installed.log("controller-one"))
    assert told is not None
    names = told[1].split(", ")
    assert installed.namespace not in names
    assert {"default", "kube-system"} <= set(names)


def test_certificates_can_be_left_to_another(installed: Installed) -> None:
    installed.controller("one", "--certificates=off")
    eventually(lambda: "namespaces that skip the webhook: " in installed.log("controller-one"))
    listed = installed.plane.kubectl("-n", installed.namespace, "get", "secrets", "-o", "name").stdout
    assert listed == ""
    refused = installed.pullproof("certs", "renew", status=2)
    assert refused.stderr == (
        f"pullproof: there is no secret {installed.namespace}/pullproof-ca: no controller of pullproof makes "
        f"certificates here; `kubectl -n {installed.namespace} get deployments` shows whether it runs; cert-manager "
        "renews its own\n"
    )


def test_renewal_without_a_controller_says_so(installed: Installed) -> None:
    controller = installed.controller()
    eventually(lambda: "a new serving certificate" in installed.log("controller-one"))
    controller.stop(grace=30)
    refused = installed.pullproof("certs", "renew", "--wait-seconds=1", status=2)
    assert "asked, but no controller has answered within 1 s" in refused.stderr


def health(installed: Installed, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{installed.health}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serve"], "name a pair by --tls-cert and --tls-key, or a Secret by --tls-secret"),
        (["serve", "--tls-cert=a"], "name a pair by --tls-cert and --tls-key, or a Secret by --tls-secret"),
        (["serve", "--tls-cert=a", "--tls-key=b", "--tls-secret=c/d"], "name a pair by --tls-cert and --tls-key"),
        (["serve", "--tls-secret=pullproof-tls"], "`pullproof-tls` names no Secret; write it as NAMESPACE/NAME"),
        (["serve", "--tls-cert=a", "--tls-key=b", "--client-name=x"], "--client-name needs --client-ca"),
        (["controller", "--bind=8080"], "write it as HOST:PORT"),
    ],
)
def test_options_that_make_no_sense_are_told(control_plane: ControlPlane, arguments: list[str], told: str) -> None:
    command = [PULLPROOF, *arguments, f"--kubeconfig={control_plane.kubeconfig}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


# The election alone, with clocks that a test moves


class Candidate:
    def __init__(self, plane: ControlPlane, namespace: str, name: str) -> None:
        self.now = 1000.0
        self.connection = connect(str(plane.kubeconfig))
        self.election = Election(
            self.connection, Writer(self.connection), namespace, "pullproof-controller", name,
            clock=lambda: self.now,
        )  # fmt: skip


@pytest.fixture
def candidates(control_plane: ControlPlane, namespace: str) -> Callable[[str], Candidate]:
    return lambda name: Candidate(control_plane, namespace, name)


def test_two_candidates_at_once_make_one_leader(candidates: Callable[[str], Candidate]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for _ in range(5):
        several = [candidates(secrets.token_hex(4)) for _ in range(6)]
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda one: one.election.campaign(), several))
        leading = [one for one in several if one.election.leads()]
        assert len(leading) <= 1
        for one in leading:
            one.election._release()


def test_nobody_takes_over_before_the_leader_has_ended_by_its_own_clock(
    candidates: Callable[[str], Candidate],
) -> None:
    one, two = candidates("one"), candidates("two")
    assert one.election.campaign()
    assert not two.election.campaign()
    # the leader is cut off; time passes for both, whatever their clocks say
    overlaps = []
    for _ in range(200):
        one.now += 0.1
        two.now += 0.1
        two.election.campaign()
        overlaps.append((one.election.leads(), two.election.leads()))
    assert (True, True) not in overlaps
    assert overlaps[-1] == (False, True)
    assert not one.election.campaign(), "who was followed has to wait like everybody"


def test_a_leader_that_renews_stays(candidates: Callable[[str], Candidate]) -> None:
    one, two = candidates("one"), candidates("two")
    for _ in range(30):
        assert one.election.campaign()
        assert not two.election.campaign()
        one.now += 5
        two.now += 5


def test_a_lease_without_holder_is_taken_at_once_and_counts_its_changes(
    candidates: Callable[[str], Candidate], control_plane: ControlPlane, namespace: str
) -> None:
    one, two = candidates("one"), candidates("two")
    one.election.campaign()
    one.election.stop()
    assert two.election.campaign()
    lease = json.loads(
        control_plane.kubectl("-n", namespace, "get", "lease", "pullproof-controller", "-o", "json").stdout
    )
    assert lease["spec"]["holderIdentity"] == "two"
    assert lease["spec"]["leaseTransitions"] == 2


def test_an_api_server_that_is_away_ends_the_leadership_in_time(candidates: Callable[[str], Candidate]) -> None:
    one = candidates("one")
    one.election.campaign()
    one.election._connection = connect_to_nobody()
    one.now += 9
    with pytest.raises(UnavailableError):
        one.election.campaign()
    assert one.election.leads()
    one.now += 1
    assert not one.election.leads()


def connect_to_nobody() -> Any:
    class Nobody:
        def get_json(self, *_: object, **__: object) -> dict[str, Any]:
            raise UnavailableError("nobody listens")

    return Nobody()


def test_terms_that_could_make_two_leaders_are_refused() -> None:
    with pytest.raises(ValueError, match="must outlast"):
        Terms(lease_seconds=10, renew_seconds=8)
