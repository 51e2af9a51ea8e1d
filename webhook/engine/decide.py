"""From findings to an answer: denied, warned about, audited. Pure; every rule of who is never denied stands here.

The rules are design.md section 3's. What only a live look can tell (an owner that runs well, an earlier revision) comes
in as `Circumstances`; the caller gathers it on the way to a denial only, since denials are rare.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from webhook.model.finding import Confidence, Heals
from webhook.model.policy_book import CLUSTERS_OWN

if TYPE_CHECKING:
    from webhook.engine.excuse import Excused
    from webhook.engine.impact import Impact
    from webhook.model.finding import Finding
    from webhook.model.policy import Modes
    from webhook.model.workload import Workload

CONTROLLER_MADE_KINDS = frozenset({"ReplicaSet", "Job"})
PLATFORM_AREA = "PULL4"
POLICY_MISTAKE = "PULL801"


class Mercy(enum.Enum):
    """Why findings at the enforced level are warned about instead of denied."""

    NONE = "none"
    DELETING = "the object is being deleted"
    MIRROR_POD = "a mirror pod runs already: its node made it"
    OWNER_READY = "its owner has ready replicas: a pod made again must not turn a cached image into an outage"
    OWNER_UNKNOWN = "its owner could not be read, and a pod made again must not turn a cached image into an outage"
    IMAGE_PRESENT = "a node holds the image already"
    BEFORE_UNKNOWN = "what it was before the update could not be judged"
    EARLIER_REVISION = "the template is one of the workload's own earlier revisions"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the request is about, besides the object.

    `previous` are the findings of the object before an update, and `was_suspended` says whether that one was gated.
    """

    previous: tuple[Finding, ...] = ()
    was_suspended: bool = False
    made_by_controller: bool = False
    mercy: Mercy = Mercy.NONE


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one request; `denied` empty means allowed. `unknown` findings are told, never counted as either.

    `running` is what a change of policy would do to pods that are there. `excused` are findings that an exemption took
    out of all the others, `expired` those that one no longer does.
    """

    denied: tuple[Finding, ...]
    warned: tuple[Finding, ...]
    audited: tuple[Finding, ...]
    unknown: tuple[Finding, ...] = ()
    mercy: Mercy = Mercy.NONE
    running: Impact | None = None
    excused: tuple[Excused, ...] = ()
    expired: tuple[Excused, ...] = ()

    @property
    def allowed(self) -> bool:
        return not self.denied

    @property
    def word(self) -> str:
        """One word for logs and metrics: deny, warn or allow."""
        if self.denied:
            return "deny"
        return "warn" if self.warned or (self.running is not None and self.running.told) else "allow"


def decide(findings: tuple[Finding, ...], workload: Workload, modes: Modes, at: Circumstances) -> Decision:
    """The decision about a workload with those findings.

    Denied are findings at the enforced level that the object did not have before, and of a template only those that the
    object alone can heal: what Secrets, nodes or a push may heal is enforced on its pods.
    """
    findings = _as_gated(findings, gated=workload.suspended)
    unknown = tuple(finding for finding in findings if finding.confidence is Confidence.UNKNOWN)
    audited = tuple(finding for finding in findings if modes.audit.covers(finding.confidence))
    if at.made_by_controller and workload.kind in CONTROLLER_MADE_KINDS:
        # nobody reads a controller's warnings, and a denial makes it back off for minutes; its pods are judged
        return Decision((), (), audited, unknown)
    # only what would have been denied then excuses what would be now: a gate that is lifted, or a pull policy that
    # changes, makes a new case of an old finding
    before = {
        finding.identity
        for finding in _as_gated(at.previous, gated=at.was_suspended)
        if modes.enforce.covers(finding.confidence)
    }
    denied: list[Finding] = []
    warned: list[Finding] = []
    enforced_any = False
    for finding in findings:
        enforced = (
            modes.enforce.covers(finding.confidence)
            and finding.identity not in before
            and (not workload.is_template or (modes.deny_templates and finding.heals is Heals.OBJECT))
        )
        enforced_any = enforced_any or enforced
        # what is told in the denial is not told again as a warning; what is spared the denial is told in any case, and
        # so is a mistake in the policy itself
        if enforced and (at.mercy is Mercy.NONE or _knows_no_mercy(finding, at.mercy)):
            denied.append(finding)
        elif enforced or modes.warn.covers(finding.confidence) or finding.code == POLICY_MISTAKE:
            warned.append(finding)
    mercy = at.mercy if enforced_any else Mercy.NONE
    return Decision(tuple(denied), tuple(warned), audited, unknown, mercy)


def _knows_no_mercy(finding: Finding, mercy: Mercy) -> bool:
    """What is the platform team's own word is judged of the object before an update too, whatever else was not."""
    return mercy is Mercy.BEFORE_UNKNOWN and finding.code in CLUSTERS_OWN


def _as_gated(findings: tuple[Finding, ...], *, gated: bool) -> tuple[Finding, ...]:
    return tuple(map(_while_suspended, findings)) if gated else findings


def _while_suspended(finding: Finding) -> Finding:
    """A gated pod or suspended Job still takes node selectors, so its platform is not decided yet."""
    if finding.code.startswith(PLATFORM_AREA) and finding.confidence > Confidence.ADVISORY:
        return replace(finding, confidence=Confidence.ADVISORY)
    return finding
