"""The trace of pull secrets: for `check --trace -o json`, and for a person who asks `inspect`.

What became of each secret is the model's matter (pulltrace); here it gets its form. No credential is known to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from webhook.engine.evaluate import read_reference
from webhook.model.facts import Known
from webhook.model.pulltrace import rows
from webhook.model.reference import Reference
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook.model.facts import Facts, PullSecretList
    from webhook.model.workload import Container, Workload

_LONGEST = 200


def trace(_workload: Workload, container: Container, facts: Facts) -> dict[str, Any]:
    """What the kubelet finds for one image: `keyring_error` and `credentials`, matching ones first, in its order.

    Without any where the image names nothing or the pull secrets are unknown; the findings tell of both.
    """
    reference, listed = read_reference(container.image), facts.pull_secrets
    if not isinstance(reference, Reference) or not isinstance(listed, Known):
        return {"keyring_error": None, "credentials": []}
    return keys(reference, listed.value)


def keys(reference: Reference, listed: PullSecretList) -> dict[str, Any]:
    """`keyring_error` and `credentials` of one image and one list of pull secrets."""
    return {
        "keyring_error": listed.look_up(reference.repository).error,
        "credentials": [
            {"secret": row.secret, "key": row.key, "matched": row.matched, "reason": row.reason}
            for row in rows(listed, reference.repository)
        ],
    }


def text(reference: Reference, listed: PullSecretList) -> Sequence[str]:
    """The same as lines for a person: what is tried, in which order, and why the rest is not."""
    found = listed.look_up(reference.repository)
    lines: list[str] = []
    if found.error is not None and found.broken is not None:
        lines.append(f"nothing is pulled: pull secret {printable(found.broken.name, _LONGEST)} can't be decoded")
    elif not found.matches:
        lines.append("no pull secret matches: the kubelet pulls with what the node has, or without a credential")
    number = 0
    for row in rows(listed, reference.repository):
        number += row.matched
        mark = f"{number}." if row.matched else "-"
        lines.append(f"{mark} {printable(row.secret, _LONGEST)}: {printable(row.reason, _LONGEST)}")
    return lines
