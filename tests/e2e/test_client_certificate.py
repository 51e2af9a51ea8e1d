"""Reviews only for the API server's client certificate, with the AdmissionConfiguration of docs/operations.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.controlplane import pki
from tests.controlplane.controlplane import ControlPlane
from tests.serving import ServedWebhook
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
NAME = "apiserver-webhook-client"


def written(kind: str) -> dict[str, object]:
    """The document of that kind as docs/operations.md shows it."""
    blocks = re.findall(r"(?:^    .*\n)+", OPERATIONS.read_text(), re.MULTILINE)
    (block,) = (one for one in blocks if f"kind: {kind}\n" in one)
    found: dict[str, object] = yaml.safe_load(block)
    return found


@pytest.fixture(scope="module")
def authority() -> pki.Pair:
    return pki.new_authority("webhook-clients")


@pytest.fixture(scope="module")
def plane(authority: pki.Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("admission")
    pair = pki.issue_client(authority, NAME)
    (folder / "client.crt").write_bytes(pair.certificate_pem)
    (folder / "client.key").write_bytes(pair.key_pem)
    (folder / "ca.crt").write_bytes(authority.certificate_pem)
    text = json.dumps(written("Config"))
    text = text.replace("/etc/kubernetes/pullproof-client.crt", str(folder / "client.crt"))
    text = text.replace("/etc/kubernetes/pullproof-client.key", str(folder / "client.key"))
    # outside a cluster the webhook has no Service; `*` stands for every host
    (folder / "client.kubeconfig").write_text(text.replace("pullproof.pullproof.svc", "*"))
    text = json.dumps(written("AdmissionConfiguration"))
    text = text.replace("/etc/kubernetes/pullproof.kubeconfig", str(folder / "client.kubeconfig"))
    (folder / "admission.yaml").write_text(text)
    options = [f"--admission-control-config-file={folder / 'admission.yaml'}"]
    with ControlPlane(extra_args={"kube-apiserver": options}) as running:
        yield running


def test_who_shows_it_is_answered_and_nobody_else(plane: ControlPlane, authority: pki.Pair, tmp_path: Path) -> None:
    ca = tmp_path / "clients.crt"
    ca.write_bytes(authority.certificate_pem)
    with ServedWebhook(plane, arguments=[f"--client-ca={ca}", f"--client-name={NAME}"]) as served:
        served.register()  # waits until the API server has been answered with a denial
        assert served.request("POST", "/validate", b"{}") == (
            403,
            "a client certificate that is known here is needed\n",
        )
        assert served.get("/livez")[0] == 200
        eventually(lambda: 'pullproof_refused_requests_total{status="403"}' in served.get("/metrics")[1])
        served.unregister()
    with ServedWebhook(plane, arguments=[f"--client-ca={ca}", "--client-name=somebody-else"]) as served:
        items = {"apiVersion": "v1", "kind": "List", "items": served.configurations()}
        plane.kubectl("apply", "-f", "-", input=json.dumps(items))
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "probe", "namespace": "default"},
            "spec": {"containers": [{"name": "app", "image": "contoso.azurecr.io//shop:1"}]},
        }

        def asked() -> bool:
            plane.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(pod), check=False)
            return 'pullproof_refused_requests_total{status="403"}' in served.get("/metrics")[1]

        eventually(asked)
        assert "pullproof_reviews_total{" not in served.get("/metrics")[1]
        served.unregister()
