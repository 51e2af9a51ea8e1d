"""A placeholder of a template was never filled in.

What it does
------------
Finds what a templating step should have replaced: `${TAG}`, `$(TAG)`, `{{ .Values.tag }}`, `<tag>`.

Why the pull fails
------------------
Kubernetes replaces nothing in an image. The characters are outside the grammar, so the kubelet answers
`InvalidImageName`.

Example
-------
    image: myreg.azurecr.io/app:${TAG}
    image: "{{ .Values.image }}:{{ .Values.tag }}"

Fix
---
Run the step that fills it in (`helm template`, `envsubst`, `kustomize edit set image`), or write the value.

Limits
------
A placeholder that is itself a valid reference (`IMAGE_TAG` as a tag) can't be told from a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.checks.base import Check
from webhook.checks.reference import _invalid
from webhook.model.finding import Confidence, Heals
from webhook.model.reference import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import ImageSubject
    from webhook.model.finding import Finding

_FAULTS = frozenset({Fault.TEMPLATE})


def _run(subject: ImageSubject) -> Iterator[Finding]:
    return _invalid.findings(CHECK, subject, _FAULTS)


CHECK = Check("PULL103", "unfilled-template", Confidence.CERTAIN, Heals.OBJECT, per_image=_run, only_if=_invalid.reason)
