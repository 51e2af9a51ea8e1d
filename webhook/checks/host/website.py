"""A website stands where a registry belongs.

What it does
------------
Finds the addresses that people copy from the browser: `hub.docker.com`, `github.com`, `gitlab.com`, `gallery.ecr.aws`.

Why the pull fails
------------------
The website shows what the registry holds, and does not speak the registry's protocol: the pull ends in `not found`, or
in a page of HTML that is no manifest.

Example
-------
    image: hub.docker.com/r/grafana/grafana:11.1.0
    image: github.com/org/app:1

Fix
---
Write the registry: `docker.io/grafana/grafana:11.1.0`, `ghcr.io/org/app:1`. Paths that only the website has (`/r/`,
`/pkgs/container/`) are taken out of the suggestion.

Limits
------
gitlab.com does serve images below `…/dependency_proxy/containers/`, and nothing is said there. `ko` takes Go import
paths (`github.com/…`) as images before it resolves them: check what it puts out, not what it reads.
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
    return _verdict.findings(CHECK, subject, Kind.WEBSITE)


CHECK = Check(
    "PULL203", "website-not-registry", Confidence.CERTAIN, Heals.OBJECT, per_image=_run, only_if=_verdict.verdict_on
)
