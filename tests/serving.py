"""The real webhook beside a real control plane: `pullproof serve` with a certificate made on the spot.

Why: the tests, the demo and bench/ all need pullproof as its users run it, registered from manifests/, so nothing
here may know how it works inside. Outside a cluster there is no Service, so the clientConfig alone is changed.
"""

from __future__ import annotations

import base64
import datetime as dt
import http.client
import json
import os
import ssl
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from tests.controlplane.processes import port_of, reserve_port, spawn
from webhook.tls.issue import issue_serving, new_authority

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.controlplane.controlplane import ControlPlane
    from tests.controlplane.processes import Process

ROOT = Path(__file__).resolve().parents[1]
MANIFESTS = ROOT / "manifests" / "base"
START_SECONDS = 60


class ServedWebhook:
    """`pullproof serve` on a free port of loopback, from `start` to `stop`; ready on return."""

    def __init__(self, plane: ControlPlane, *, arguments: Sequence[str] = (), kubeconfig: Path | None = None) -> None:
        self._plane = plane
        self._arguments = arguments
        self._kubeconfig = kubeconfig or plane.kubeconfig
        self._process: Process | None = None
        reserved = reserve_port()
        self.port = port_of(reserved)
        reserved.close()  # gunicorn shares a port with nobody; nothing else here asks for this one by number
        self.folder = plane.state / f"webhook-{self.port}"
        self.folder.mkdir()
        now = dt.datetime.now(dt.UTC)
        authority = new_authority(now)
        pair = issue_serving(authority, ["localhost"], ["127.0.0.1"], now)
        self.ca_pem = authority.cert_pem
        for name, content in (("ca.crt", self.ca_pem), ("tls.crt", pair.cert_pem), ("tls.key", pair.key_pem)):
            (self.folder / name).write_bytes(content)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        self._process = spawn(
            "pullproof",
            Path(sys.executable).parent / "pullproof",
            [
                "serve",
                f"--bind=127.0.0.1:{self.port}",
                f"--tls-cert={self.folder / 'tls.crt'}",
                f"--tls-key={self.folder / 'tls.key'}",
                f"--kubeconfig={self._kubeconfig}",
                *self._arguments,
            ],
            self.folder / "log",
            # the kubernetes client writes a kubeconfig's inline keys to temporary files: they go with the folder
            env={**os.environ, "TMPDIR": str(self.folder)},
        )
        deadline = time.monotonic() + START_SECONDS
        while wait and self.get("/readyz")[0] != http.client.OK:
            if self._process.exit_code() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"pullproof serve did not become ready:\n{self._process.log_tail()}")
            time.sleep(0.05)

    def stop(self, *, grace: float = 10) -> None:
        if self._process is not None:
            self._process.stop(grace=grace)
            self._process = None

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a GET; status 0 where nobody answers."""
        return self.request("GET", path)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        context = ssl.create_default_context(cadata=self.ca_pem.decode())
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=30)
        try:
            connection.request(method, path, body, headers or {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def configurations(self) -> list[dict[str, Any]]:
        """The webhook configurations of manifests/, with this process's address in place of the Service."""
        found = []
        for file in sorted(MANIFESTS.glob("*.yaml")):
            for document in yaml.safe_load_all(file.read_text()):
                if document["kind"] not in {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"}:
                    continue
                for hook in document["webhooks"]:
                    path = hook["clientConfig"]["service"]["path"]
                    hook["clientConfig"] = {
                        "url": f"https://127.0.0.1:{self.port}{path}",
                        "caBundle": base64.b64encode(self.ca_pem).decode(),
                    }
                found.append(document)
        return found

    def register(self) -> None:
        """Apply the configurations and wait until the API server asks this process."""
        items = {"apiVersion": "v1", "kind": "List", "items": self.configurations()}
        self._plane.kubectl("apply", "-f", "-", input=json.dumps(items))
        probe = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "pullproof-probe", "namespace": "default"},
            "spec": {"containers": [{"name": "probe", "image": "https://invalid.example/probe"}]},
        }
        deadline = time.monotonic() + START_SECONDS
        while True:
            tried = self._plane.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(probe), check=False)
            if "denied the request" in tried.stderr:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"the API server does not ask the webhook: {tried.stderr or tried.stdout}")
            time.sleep(0.1)

    def unregister(self) -> None:
        self._plane.kubectl("delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "--all")

    def kill(self) -> None:
        """Let it die as in a crash, workers and all."""
        assert self._process is not None
        self._process.stop()
        self._process = None
