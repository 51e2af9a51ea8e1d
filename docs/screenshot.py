"""Makes docs/scan.png: the page of `pullproof scan -o html` for a small cluster with the usual faults.

The API server, the scan and the browser are real; the pods' statuses are written as a kubelet writes them, since no
node runs them. `make screenshot` runs it; it needs Chromium and its driver.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "scan.png"
sys.path.insert(0, str(ROOT))

from tests.controlplane.controlplane import ControlPlane  # noqa: E402
from tests.report.chromium import Browser  # noqa: E402
from tests.waiting import eventually  # noqa: E402

NO_HOST = 'failed to do request: Head "https://{host}/v2/": dial tcp: lookup {host} on 10.0.0.10:53: no such host'
REFUSED = (
    "failed to fetch anonymous token: unexpected status from GET request to https://{host}/token: 401 Unauthorized"
)
PLATFORM = "no match for platform in manifest: not found"

# namespace, name, image, replicas, pull secret, why it waits
WORKLOADS = (
    ("checkout", "cart", "contoso.azureacr.io/cart:1.4.2", 3, "", NO_HOST),
    ("checkout", "payment", "us.icr.io/contoso/payment:2.0", 2, "icr-de", REFUSED),
    ("checkout", "frontend", "contoso.azurecr.io/frontend:7.1", 4, "", ""),
    ("checkout", "tax", "contoso.azurecr.io/tax", 2, "gone", REFUSED),
    ("billing", "invoices", "registry.ng.bluemix.net/contoso/invoices:3", 1, "", ""),
    ("billing", "ledger", "quay.io/contoso/ledger:5", 2, "", ""),
    ("billing", "export", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/export:1", 1, "", ""),
    ("monitoring", "exporter", "quayy.io/prometheus/node-exporter:v1.8.2", 2, "", NO_HOST),
    ("monitoring", "grafana", "grafana/grafana", 1, "", ""),
    ("monitoring", "agent", "mcr.microsoft.com/windows/nanoserver:ltsc2022", 2, "", PLATFORM),
    ("search", "indexer", "ghcr.io/contoso/indexer:9", 3, "", ""),
    ("search", "api", "contoso.azurecr.io/search:4", 2, "", ""),
)


def deployment(name: str, image: str, replicas: int, secret: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"name": "app", "image": image}]}
    if secret:
        spec["imagePullSecrets"] = [{"name": secret}]
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def status(image: str, why: str) -> dict[str, Any]:
    told = f'Back-off pulling image "{image}": ErrImagePull: {why.format(host=image.partition("/")[0])}'
    state = {"waiting": {"reason": "ImagePullBackOff", "message": told}} if why else {"running": {}}
    one = {"name": "app", "image": image, "imageID": "", "ready": not why, "restartCount": 0, "state": state}
    ready = {"type": "Ready", "status": "False" if why else "True"}
    return {"status": {"phase": "Pending" if why else "Running", "containerStatuses": [one], "conditions": [ready]}}


def fill(plane: ControlPlane) -> None:
    for namespace in dict.fromkeys(one[0] for one in WORKLOADS):
        plane.kubectl("create", "namespace", namespace)
    auths = {"auths": {"de.icr.io": {"username": "iamapikey", "password": "made-up"}}}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "icr-de", "namespace": "checkout"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps(auths)},
    }
    plane.kubectl("apply", "-f", "-", input=json.dumps(secret))
    for namespace, name, image, replicas, pull_secret, why in WORKLOADS:
        made = json.dumps(deployment(name, image, replicas, pull_secret))
        plane.kubectl("apply", "-n", namespace, "-f", "-", input=made)
        find = ("get", "pods", "-n", namespace, "-l", f"app={name}", "-o", "name")

        def made_by_the_controller(find: tuple[str, ...] = find, replicas: int = replicas) -> list[str]:
            names = plane.kubectl(*find).stdout.split()
            return names if len(names) == replicas else []

        for pod in eventually(made_by_the_controller):
            patch = ("--subresource=status", "--type=merge", "-p", json.dumps(status(image, why)))
            plane.kubectl("patch", pod, "-n", namespace, *patch)


def main() -> None:
    with ControlPlane() as plane, tempfile.TemporaryDirectory() as folder:
        fill(plane)
        page = Path(folder) / "report.html"
        program = [sys.executable, "-c", "from webhook.cli import main; main()", "scan", "-o", "html"]
        done = subprocess.run(program, cwd=ROOT, env=plane.environment(), capture_output=True, check=True)
        page.write_bytes(done.stdout)
        with Browser(width=1140, height=1240) as browser:
            browser.open(page)
            browser.do("document.querySelector('#findings .head').click()")  # the mouse would colour what is below it
            browser.settle()
            browser.screenshot(PICTURE)
    # a palette: a third of the size, and nothing that an eye could tell
    command = ["pngquant", "--force", "--strip", "--output", str(PICTURE), str(PICTURE)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
