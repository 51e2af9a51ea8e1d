"""Takes out of the findings what an exemption covers, and keeps both, so that nothing is excused in silence.

Before deciding, and once for the object as it was before an update: a finding that was excused then is a new case when
the excuse is gone. Pure; the caller says what time it is. What could not be looked at is never excused, for there is
nothing to excuse; what the platform team allows is not excused by those whom it binds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from webhook.engine.evaluate import read_reference
from webhook.model.finding import Confidence
from webhook.model.policy_book import CLUSTERS_OWN
from webhook.model.policy_exemption import asked
from webhook.model.policy_spec import NAMESPACED_KIND
from webhook.model.reference import Reference

if TYPE_CHECKING:
    from webhook.model.finding import Finding
    from webhook.model.policy import ClusterPolicy
    from webhook.model.policy_exemption import Asked, Exemption, Requester
    from webhook.model.workload import Workload


@dataclass(frozen=True, slots=True)
class Excused:
    """A finding, and the exemption that covers it, or would cover it had it not expired."""

    finding: Finding
    exemption: Exemption

    def __str__(self) -> str:
        """For the audit log: `PULL201 app by ClusterPullPolicy/a old`."""
        where = f" {self.finding.container}" if self.finding.container else ""
        return f"{self.finding.code}{where} by {self.exemption.source} {self.exemption.name}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`findings` are what is left; `expired` are among them."""

    findings: tuple[Finding, ...]
    excused: tuple[Excused, ...] = ()
    expired: tuple[Excused, ...] = ()


def excuse(
    findings: tuple[Finding, ...],
    workload: Workload,
    policy: ClusterPolicy,
    who: Requester,
    *,
    now: int,
    owners: object = None,
) -> Verdict:
    """`now` is in seconds since 1970; `owners` is the object's `metadata.ownerReferences` as it stands in its JSON."""
    if not findings or not policy.exemptions:
        return Verdict(findings)
    request = asked(workload, who, owners)
    left: list[Finding] = []
    excused: list[Excused] = []
    expired: list[Excused] = []
    for finding in findings:
        found = _exemption(finding, policy, request, now)
        if found is not None and found.expires > now:
            excused.append(Excused(finding, found))
            continue
        left.append(finding)
        if found is not None:
            expired.append(Excused(finding, found))
    return Verdict(tuple(left), tuple(excused), tuple(expired))


def _exemption(finding: Finding, policy: ClusterPolicy, request: Asked, now: int) -> Exemption | None:
    """One that holds, else one that has expired."""
    if finding.confidence is Confidence.UNKNOWN:
        return None
    reference = read_reference(finding.image) if finding.image else None
    repository = reference.repository if isinstance(reference, Reference) else None
    bound = finding.code in CLUSTERS_OWN
    expired = None
    for exemption in policy.exemptions.find(finding, repository, request):
        if bound and exemption.source.startswith(f"{NAMESPACED_KIND}/"):
            continue
        if exemption.expires > now:
            return exemption
        expired = exemption
    return expired
