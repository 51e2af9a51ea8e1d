"""The registry's host is misspelt.

What it does
------------
Compares the host of an image with the registries of the world: first with mistakes that people are known to make
(`azureacr.io`), then by how many slips of the fingers lead to a host that exists: a letter too many, missing, wrong,
or two swapped. Labels that customers choose (`myreg` in `myreg.azurecr.io`) are left as they are written.

Why the pull fails
------------------
The host does not exist (`no such host`), or belongs to somebody else who does not have the image, and who sees the
credential if one is sent.

Example
-------
    image: contoso.azureacr.io/shop:1
    image: qauy.io/prometheus/node-exporter:v1.8.0

Fix
---
Write the host that the finding names: `contoso.azurecr.io/shop:1`.

Limits
------
`certain` for known mistakes only. One slip is `likely`; two are told of only where the misspelt label is long. Nothing
is said where something here speaks for the host: a pull secret, a node that has images from it, the policy. Nor of
addresses, of hosts with a port of their own, of names without a dot, and of names under endings such as `.local`,
`.internal` or `.svc`. A registry on a domain of its own is never a typo because it reads like another's label:
`ghcr.mycorp.example` is not `ghcr.io`. A node may rewrite hosts (mirrors): a ClusterPullPolicy can say so
(`registries`, `nodes: {rewrites: …}`), and then nothing is told of the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.catalogue.verdict import Kind
from webhook.checks.base import Check
from webhook.checks.host import _verdict
from webhook.model.finding import Confidence, Heals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.model.finding import Finding


def _run(subject: ImageSubject) -> Iterator[Finding]:
    return _verdict.findings(CHECK, subject, Kind.TYPO)


CHECK = Check(
    "PULL201", "registry-host-typo", Confidence.CERTAIN, Heals.OBJECT, per_image=_run, only_if=_verdict.verdict_on
)
