"""The host imitates a registry with letters that look alike.

What it does
------------
Reads the host as an eye does: `0` as `o`, `1` as `l`, `rn` as `m`, and letters of other scripts (names that begin with
`xn--`) as the Latin ones they look like. Tells of hosts that then read like a known registry.

Why the pull fails
------------------
It is another host: nobody's, or one that waits for credentials and hands out images of its own.

Example
-------
    image: d0cker.io/library/nginx:1
    image: mcr.rnicrosoft.com/dotnet/runtime:8.0

Fix
---
Write the host that the finding names. If a pull secret was sent to the other host, revoke it.

Limits
------
`likely`, since the name may exist. Letters of other scripts that are not written as `xn--` make no reference at all:
that is PULL106.
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
    return _verdict.findings(CHECK, subject, Kind.LOOK_ALIKE)


CHECK = Check(
    "PULL208", "registry-look-alike", Confidence.LIKELY, Heals.OBJECT, per_image=_run, only_if=_verdict.verdict_on
)
