"""`make demo`: what a developer sees of pullproof, through a real API server and real kubectl.

Prints each command and kubectl's own lines, nothing else of its own; then cleans up. `DEMO_KEEP=1` leaves everything up
until Ctrl-C and prints the KUBECONFIG. The cluster is a throw-away one on loopback; nothing else is touched.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.controlplane.controlplane import ControlPlane  # noqa: E402 - the root stands on the path since one line
from tests.serving import ServedWebhook  # noqa: E402

if TYPE_CHECKING:
    from types import FrameType

STEPS = (
    ("a registry that does not exist is denied, with the reference to write", "samples/mistyped-pod.yaml"),
    ("so is a Deployment: nobody has to wait for its pods to fail", "samples/mistyped-deployment.yaml"),
    ("a host one edit away from a registry's is warned about", "samples/one-edit.yaml"),
    ("a retired host that still serves, in a namespace that asked for advice", "samples/retired.yaml"),
    ("a pull secret for another region than the image's is warned about", "samples/other-region.yaml"),
    ("a good one: silence", "samples/good.yaml"),
    ("a namespace that only wants warnings", "samples/warn-only.yaml"),
    ("a Windows image, in a namespace that asks for the selector", "samples/windows.yaml"),
    (
        "the selector is there, so the pod can't land on a Linux node",
        "get pod legacy -n windows -o custom-columns=POD:.metadata.name,SELECTOR:.spec.nodeSelector",
    ),
    ("the same image sent to Linux nodes is denied", "samples/wrong-system.yaml"),
)


def main() -> int:
    print("starting a throw-away control plane and pullproof (the first time builds it: some minutes)", flush=True)
    with ControlPlane() as plane, ServedWebhook(plane) as webhook:
        webhook.register()
        for title, step in STEPS:
            arguments = f"apply -f {step}" if step.startswith("samples/") else step
            print(f"\n# {title}\n$ kubectl {arguments}", flush=True)
            command = [str(plane.kubectl_program), *arguments.split()]
            subprocess.run(
                command, cwd=ROOT, env=plane.environment(), stdout=sys.stdout, stderr=subprocess.STDOUT, check=False
            )
        if os.environ.get("DEMO_KEEP") == "1":
            print(f"\nit stays up until Ctrl-C; in another terminal:\nexport KUBECONFIG={plane.kubeconfig}", flush=True)
            signal.pause()
    return 0


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, interrupt)
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # everything was taken down on the way here
        sys.exit(130)
