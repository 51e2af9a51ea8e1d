"""What two checks share: a word for the kubelet (`spec.os.name`, a pod label) that the scheduler does not hear.

A kubelet of another system rejects the pod for it, before it pulls (pkg/kubelet/lifecycle/predicate.go, 1.36).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook.checks.platform import _view
from webhook.model.finding import Confidence, Heals
from webhook.model.landing import SYSTEMS
from webhook.model.platform import LINUX, WINDOWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.checks.base import Check, WorkloadSubject
    from webhook.checks.platform._view import View
    from webhook.model.finding import Finding

_UNHEARD: Final = "the scheduler does not look at it"


def findings(
    check: Check, subject: WorkloadSubject, seen: View, wanted: str, *, said: str, own: _view.Mend
) -> Iterator[Finding]:
    """What is wrong with a word, `said`, for `wanted`, one of `SYSTEMS`; `own` says how to change that word itself."""
    if not seen.scheduled:
        return
    if wanted not in seen.scheduled:
        yield _contradiction(check, subject, seen, wanted, said=said, own=own)
    elif seen.scheduled != {wanted}:
        yield from _unheard(check, subject, seen, wanted, said=said, own=own)


def _contradiction(
    check: Check, subject: WorkloadSubject, seen: View, wanted: str, *, said: str, own: _view.Mend
) -> Finding:
    constraint = seen.excluder(wanted)
    # where the images tell a system, the other of the two is wrong
    agree = all(wanted in image.systems for image in seen.images.values())
    contradicts = _view.mend(subject.workload, constraint, wanted)
    mend = contradicts if agree else own
    return _view.about_pod(
        check,
        mend.field,
        message=f"{said}, but {contradicts.why}",
        fix=mend.fix,
        confidence=seen.limited(Confidence.CERTAIN if seen.pinned is None else Confidence.LIKELY),
        heals=Heals.OBJECT,
        suggestion=mend.suggestion,
        evidence=(_UNHEARD, constraint.text),
    )


def _unheard(
    check: Check, subject: WorkloadSubject, seen: View, wanted: str, *, said: str, own: _view.Mend
) -> Iterator[Finding]:
    if seen.landing.unsure is not None or any(wanted not in image.systems for image in seen.images.values()):
        return
    (other,) = set(SYSTEMS) - {wanted}
    takers = seen.takers()
    least = Confidence.LIKELY
    evidence = [_UNHEARD]
    if takers is None:
        # what is not said most often means Linux
        least = Confidence.ADVISORY if wanted == LINUX else Confidence.LIKELY
    elif strays := tuple(group for group in takers if group.sample.os == other):
        evidence.append(f"nodes of the other system that take it: {_view.some_names(strays)}")
    elif wanted == WINDOWS:
        least = Confidence.ADVISORY
    else:
        return
    if _view.injected(subject.workload, subject.facts, Confidence.CERTAIN):
        least = Confidence.ADVISORY
        evidence.append("pullproof adds the selector to its pods (inject-os)")
    yield _view.about_pod(
        check,
        own.field,
        message=f"{said} selects nothing",
        fix=_view.selector(wanted),
        confidence=seen.limited(least),
        heals=Heals.OBJECT if seen.daemon else Heals.POD_MUTATION,
        evidence=tuple(evidence),
    )
