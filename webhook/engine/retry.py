"""What makes a controller try again at once, after what its pods were denied for is mended.

Why: a controller whose pods are denied waits longer after every try, up to minutes (ReplicaSet: 1,000 s). Whoever has
just made the missing Secret would look at nothing happening. A changed template is a new try.

Must not: name a command for owners that kubectl can't restart.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from webhook.model.finding import Heals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook.model.finding import Finding

_RESTARTED: Final = {"StatefulSet": "statefulset", "DaemonSet": "daemonset"}
_TEMPLATE_HASH: Final = "pod-template-hash"
_HEALED_ELSEWHERE: Final = frozenset({Heals.CLUSTER, Heals.REGISTRY})


def retry_command(pod: Mapping[str, Any], namespace: str, findings: Sequence[Finding]) -> str | None:
    """The command that restarts the rollout a pod belongs to, where nothing in its template need change.

    pod: the raw object. A ReplicaSet's pods of a Deployment have its hash as a label, and the ReplicaSet's name is the
    Deployment's with that hash behind it (apps/v1, pkg/controller/deployment/sync.go, Kubernetes 1.36).
    """
    if not findings or not all(finding.heals in _HEALED_ELSEWHERE for finding in findings):
        return None
    metadata = _map(pod.get("metadata"))
    references = metadata.get("ownerReferences")
    for reference in references if isinstance(references, list) else ():
        owner = _map(reference)
        if owner.get("controller") is not True:
            continue
        kind, name = owner.get("kind"), owner.get("name")
        if not isinstance(kind, str) or not isinstance(name, str):
            return None
        if kind == "ReplicaSet":
            suffix = f"-{_map(metadata.get('labels')).get(_TEMPLATE_HASH)}"
            kind, name = ("deployment", name.removesuffix(suffix)) if name.endswith(suffix) else ("", "")
        else:
            kind = _RESTARTED.get(kind, "")
        return f"kubectl rollout restart {shlex.quote(f'{kind}/{name}')} -n {shlex.quote(namespace)}" if kind else None
    return None


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
