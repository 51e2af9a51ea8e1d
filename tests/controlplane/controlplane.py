"""A real control plane on loopback: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl.

Why: what pullproof promises is what a person sees after `kubectl apply`, so the API server that answers, the
controllers that make pods from templates and the kubectl that prints the warning are the real ones. Used by the
tests (fixture `control_plane`), by `make demo`, and by bench/.

    with ControlPlane() as plane:
        plane.kubectl("apply", "-f", "-", input=manifest)

Must not: know anything of pullproof, or leave a process, a port or a file behind, however it ends (processes.py).
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import re
import shlex
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if not __package__:  # run as a script, `python tests/controlplane/controlplane.py up`
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.controlplane import pki
from tests.controlplane.processes import new_state_folder, port_of, reserve_port, spawn
from tests.controlplane.programs import DEFAULT, KUBERNETES, programs
from tests.gotools import BuildError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

    from tests.controlplane.processes import Process, StateFolder

START_SECONDS = 120
"""After this a control plane that is not ready counts as failed (it takes about 4 s; a loaded machine takes longer)."""

_SERVICE_RANGE = "10.0.0.0/24"
_SERVICE_ADDRESS = "10.0.0.1"  # of the Service `kubernetes`: the first of the range

# Who asked for what, with the webhooks' annotations on it; whole objects where admission changes them. What the control
# plane's own parts read all day says nothing.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "omitManagedFields": True,
    "rules": [
        {"level": "None", "users": ["system:apiserver"]},
        {"level": "None", "resources": [{"group": "coordination.k8s.io"}, {"group": "", "resources": ["events"]}]},
        {"level": "None", "nonResourceURLs": ["*"]},
        {
            "level": "None",
            "verbs": ["get", "list", "watch"],
            "users": ["system:kube-controller-manager", "system:kube-scheduler"],
        },
        {"level": "None", "verbs": ["get", "list", "watch"], "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets", "serviceaccounts/token"]}]},
        {"level": "RequestResponse", "verbs": ["create", "update", "patch"]},
        {"level": "Metadata"},
    ],
}


class ControlPlaneError(RuntimeError):
    """A part of the control plane did not start, or ended. The message ends with the last lines of its log."""


class KubectlError(RuntimeError):
    """kubectl failed. The message is what it printed; `result` is the whole outcome."""

    def __init__(self, result: subprocess.CompletedProcess[str]) -> None:
        command = shlex.join(["kubectl", *result.args[1:]])
        super().__init__(f"`{command}` failed ({result.returncode}):\n{result.stdout}{result.stderr}".rstrip())
        self.result = result


class ControlPlane:
    """One control plane. A context manager; `start()` and `stop()` do the same by hand.

    controller_manager: without it nothing makes pods, ReplicaSets or the namespaces' default ServiceAccounts, so the
        ServiceAccount admission plugin is off then.
    scheduler: without it pods stay Pending and unassigned.
    address, port: where the API server listens; a free port by default.
    hosts: further names and addresses for its serving certificate.
    extra_args: further arguments by program (`{"kube-apiserver": ["--v=4"]}`); they come last, so they win.

    While it runs: `host` (https://address:port), `kubeconfig` (of an administrator in system:masters), `ca_pem`,
    `state` (the folder with everything in it), `audit_log`, `pids`. Raises BuildError or ControlPlaneError.
    """

    host: str
    kubeconfig: Path
    ca_pem: bytes
    state: Path

    def __init__(
        self,
        *,
        controller_manager: bool = True,
        scheduler: bool = True,
        address: str = "127.0.0.1",
        port: int = 0,
        hosts: Sequence[str] = (),
        extra_args: Mapping[str, Sequence[str]] | None = None,
        progress: bool = True,
    ) -> None:
        self._controller_manager = controller_manager
        self._scheduler = scheduler
        self._address = address
        self._port = port
        self._hosts = hosts
        self._extra_args = extra_args or {}
        self._progress = progress
        self._folder: StateFolder | None = None
        self._ports: list[socket.socket] = []
        self._running: dict[str, Process] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything; on return the API server is ready and `default` has its ServiceAccount."""
        wanted = ["etcd", "kube-apiserver", "kubectl"]
        wanted += ["kube-controller-manager"] if self._controller_manager else []
        wanted += ["kube-scheduler"] if self._scheduler else []
        self._programs = programs(wanted, progress=self._progress)
        try:
            self._prepare()
            deadline = time.monotonic() + START_SECONDS
            self._spawn("etcd", self._etcd_arguments())
            self._spawn("kube-apiserver", self._apiserver_arguments())
            self._wait(self._answers, "kube-apiserver", deadline)
            # they read what the API server still fills in (RBAC's roles) and try again until it is there
            if self._controller_manager:
                self._spawn("kube-controller-manager", self._controller_manager_arguments())
            if self._scheduler:
                self._spawn("kube-scheduler", self._scheduler_arguments())
            self._wait(self._ready, "kube-apiserver", deadline)
            if self._controller_manager:
                self._wait(self._has_service_account, "kube-controller-manager", deadline)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill every process (the state is thrown away, so nothing needs to end in order) and remove the state."""
        for process in reversed(self._running.values()):
            process.stop()
        self._running.clear()
        for reserved in self._ports:
            reserved.close()
        self._ports.clear()
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    def stop_apiserver(self, *, grace: float = 0) -> None:
        """Kill the API server, as a crash would; with `grace`, ask it to end and wait so many seconds first.

        Its address refuses connections until `start_apiserver`; etcd keeps the data.
        """
        self._running.pop("kube-apiserver").stop(grace=grace)

    def start_apiserver(self, *, arguments: Sequence[str] = ()) -> None:
        """Start the API server again at the same address, `arguments` added, and wait until it is ready."""
        self._spawn("kube-apiserver", [*self._apiserver_arguments(), *arguments])
        self._wait(self._ready, "kube-apiserver", time.monotonic() + START_SECONDS)

    @property
    def apiserver_log(self) -> Path:
        return self.state / "kube-apiserver.log"

    @property
    def audit_log(self) -> Path:
        return self.state / "audit.log"

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids of what runs, by program."""
        return {name: process.pid for name, process in self._running.items()}

    @property
    def kubectl_program(self) -> Path:
        return self._programs["kubectl"]

    def audit_events(self) -> Iterator[dict[str, Any]]:
        """The audit events written so far, oldest first (audit.k8s.io/v1 Event objects).

        An event is written just after its request was answered, so look again when it is not there yet.
        """
        with self.audit_log.open() as lines:
            for line in lines:
                if line.endswith("\n"):  # else it is being written
                    yield json.loads(line)

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig for `user` in `groups`, by a client certificate; RBAC gives it nothing but what you bind."""
        return self._kubeconfig(user, pki.issue_client(self._authority, user, groups))

    def kubectl(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002 - the name that subprocess.run gives it
        check: bool = True,
        kubeconfig: Path | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run the control plane's own kubectl, by default as administrator; output and errors are captured as text.

        With `check`, a failure raises KubectlError with all that kubectl printed.
        """
        result = subprocess.run(
            [str(self.kubectl_program), *args],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env=self.environment(kubeconfig),
        )
        if check and result.returncode != 0:
            raise KubectlError(result)
        return result

    def environment(self, kubeconfig: Path | None = None) -> dict[str, str]:
        """This process's environment with KUBECONFIG, and nothing of the user's own kubectl or proxy settings."""
        return {
            **_without_proxies(),
            "KUBECONFIG": str(kubeconfig or self.kubeconfig),
            "KUBECACHEDIR": str(self.state / "kubectl-cache"),
            "KUBERC": "off",
        }

    def _prepare(self) -> None:
        self._folder = new_state_folder("controlplane")
        self.state = self._folder.path
        self._authority = pki.new_authority("pullproof-test-ca")
        self.ca_pem = self._authority.certificate_pem
        reserved = {
            "apiserver": reserve_port(self._address, self._port),
            "etcd": reserve_port(),
            "etcd-peer": reserve_port(),
        }
        self._ports.extend(reserved.values())
        self._api_port = port_of(reserved["apiserver"])
        self._etcd = f"http://127.0.0.1:{port_of(reserved['etcd'])}"
        self._etcd_peer = f"http://127.0.0.1:{port_of(reserved['etcd-peer'])}"
        self.host = f"https://{self._address}:{self._api_port}"
        names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        names += ["kubernetes.default.svc.cluster.local", "127.0.0.1", _SERVICE_ADDRESS, self._address, *self._hosts]
        serving = pki.issue_server(self._authority, list(dict.fromkeys(names)))
        kubelet_client = pki.issue_client(self._authority, "kube-apiserver-kubelet-client", ["system:masters"])
        accounts = pki.new_key()
        for name, content in {
            "ca.crt": self.ca_pem,
            "apiserver.crt": serving.certificate_pem,
            "apiserver.key": serving.key_pem,
            "kubelet-client.crt": kubelet_client.certificate_pem,
            "kubelet-client.key": kubelet_client.key_pem,
            "service-accounts.key": pki.private_pem(accounts),
            "service-accounts.pub": pki.public_pem(accounts),
            "audit-policy.yaml": json.dumps(_AUDIT_POLICY).encode(),
            "audit.log": b"",
        }.items():
            _write_private(self.state / name, content)
        admin = pki.issue_client(self._authority, "pullproof-admin", ["system:masters"])
        self.kubeconfig = self._kubeconfig("pullproof-admin", admin)
        self._tls = ssl.create_default_context(cadata=self.ca_pem.decode())
        _write_private(self.state / "admin.pem", admin.certificate_pem + admin.key_pem)
        self._tls.load_cert_chain(self.state / "admin.pem")

    def _kubeconfig(self, user: str, pair: pki.Pair) -> Path:
        name = re.sub(r"[^A-Za-z0-9.-]", "_", user)[:80]
        path = self.state / f"{name}-{pair.certificate.serial_number:x}.kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "pullproof",
            "contexts": [{"name": "pullproof", "context": {"cluster": "pullproof", "user": user}}],
            "clusters": [
                {
                    "name": "pullproof",
                    "cluster": {"server": self.host, "certificate-authority-data": _base64(self.ca_pem)},
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": _base64(pair.certificate_pem),
                        "client-key-data": _base64(pair.key_pem),
                    },
                }
            ],
        }
        _write_private(path, json.dumps(content, indent=1).encode())  # JSON is YAML
        return path

    def _etcd_arguments(self) -> list[str]:
        return [
            f"--data-dir={self.state / 'etcd'}",
            "--name=pullproof",
            f"--listen-client-urls={self._etcd}",
            f"--advertise-client-urls={self._etcd}",
            f"--listen-peer-urls={self._etcd_peer}",
            f"--initial-advertise-peer-urls={self._etcd_peer}",
            f"--initial-cluster=pullproof={self._etcd_peer}",
            "--socket-reuse-port",
            "--unsafe-no-fsync",  # the data dies with the run
            f"--quota-backend-bytes={8 * 1024**3}",
            "--log-level=warn",
        ]

    def _apiserver_arguments(self) -> list[str]:
        state = self.state
        arguments = [
            f"--etcd-servers={self._etcd}",
            "--etcd-compaction-interval=0",
            f"--bind-address={self._address}",
            f"--advertise-address={self._address}",
            f"--secure-port={self._api_port}",
            "--permit-port-sharing",
            # a loopback address may not stand in the Service's endpoints: trying it is an error in the log each 10 s
            "--endpoint-reconciler-type=none",
            f"--tls-cert-file={state / 'apiserver.crt'}",
            f"--tls-private-key-file={state / 'apiserver.key'}",
            f"--client-ca-file={state / 'ca.crt'}",
            f"--kubelet-certificate-authority={state / 'ca.crt'}",
            f"--kubelet-client-certificate={state / 'kubelet-client.crt'}",
            f"--kubelet-client-key={state / 'kubelet-client.key'}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={state / 'service-accounts.pub'}",
            f"--service-account-signing-key-file={state / 'service-accounts.key'}",
            f"--service-cluster-ip-range={_SERVICE_RANGE}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged",
            "--enable-admission-plugins=NodeRestriction,MutatingAdmissionWebhook,ValidatingAdmissionWebhook",
            f"--audit-policy-file={state / 'audit-policy.yaml'}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-maxsize=100000",  # MB: one file, never rotated
            "--profiling=false",
        ]
        if not self._controller_manager:
            arguments.append("--disable-admission-plugins=ServiceAccount")
        return arguments

    def _controller_manager_arguments(self) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig_for('system:kube-controller-manager')}",
            "--leader-elect=false",  # there is one, and it must outlive a restart of the API server
            "--secure-port=0",
            # as every real cluster has it: each controller is a user of its own (system:serviceaccount:kube-system:…)
            "--use-service-account-credentials",
            f"--service-account-private-key-file={self.state / 'service-accounts.key'}",
            f"--root-ca-file={self.state / 'ca.crt'}",
            # sixty accounts and tokens are made before the first controller runs: 4 s at the default 20 a second
            "--kube-api-qps=1000",
            "--kube-api-burst=1000",
            f"--service-cluster-ip-range={_SERVICE_RANGE}",
            "--profiling=false",
        ]

    def _scheduler_arguments(self) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig_for('system:kube-scheduler')}",
            "--leader-elect=false",
            "--secure-port=0",
            "--profiling=false",
        ]

    def _spawn(self, name: str, arguments: Sequence[str]) -> None:
        arguments = [*arguments, *self._extra_args.get(name, ())]
        env = _without_proxies()
        env.pop("KUBECONFIG", None)
        self._running[name] = spawn(name, self._programs[name], arguments, self.state / f"{name}.log", env=env)

    def _wait(self, condition: Callable[[], bool], part: str, deadline: float) -> None:
        while not condition():
            for process in self._running.values():
                if (code := process.exit_code()) is not None:
                    raise ControlPlaneError(f"{process.name} ended with {code}:\n{process.log_tail()}")
            if time.monotonic() > deadline:
                process = self._running[part]
                raise ControlPlaneError(f"{part} is not ready after {START_SECONDS} s:\n{process.log_tail()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        return self._get("/livez/ping") is not None

    def _ready(self) -> bool:
        return self._get("/readyz") == http.HTTPStatus.OK

    def _has_service_account(self) -> bool:
        return self._get("/api/v1/namespaces/default/serviceaccounts/default") == http.HTTPStatus.OK

    def _get(self, path: str) -> int | None:
        """The status the API server answers with; None when it does not listen yet."""
        connection = http.client.HTTPSConnection(self._address, self._api_port, timeout=10, context=self._tls)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            return None
        else:
            return response.status
        finally:
            connection.close()


def _without_proxies() -> dict[str, str]:
    """The environment; all is on this machine, so a proxy of the user's must not stand in between."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description="A real Kubernetes control plane on loopback.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start one, print how to reach it, stay until Ctrl-C")
    up.add_argument("--no-controllers", action="store_true", help="API server only")
    make = commands.add_parser("build", help="build the programs into the cache (also done by `up`)")
    make.add_argument("program", nargs="*", help=f"default: {' '.join(DEFAULT)}; also kubelet")
    arguments = parser.parse_args()
    if unknown := set(getattr(arguments, "program", [])) - {"etcd", *KUBERNETES}:
        parser.error(f"no such program: {', '.join(sorted(unknown))}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if arguments.command == "build":
            for name, path in programs(arguments.program or DEFAULT).items():
                print(f"{name}\t{path}")
            return 0
        controllers = not arguments.no_controllers
        with ControlPlane(controller_manager=controllers, scheduler=controllers) as plane:
            print(f"export KUBECONFIG={shlex.quote(str(plane.kubeconfig))}")
            print(f"alias kubectl={shlex.quote(str(plane.kubectl_program))}")
            print(f"# logs in {plane.state}; Ctrl-C ends it", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 130
    except (BuildError, ControlPlaneError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
