"""What a change of policy would do to pods that are there already: counted by code and registry. Pure.

Why: whoever raises a namespace's level learns at once what would be denied when it is made again, as Pod Security
Admission tells it, instead of from the next node drain. Only what the change brings counts: a pod that was denied
before it is no news.

Must not: deny anything. It is told as warnings to whoever makes the change, and that is all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from webhook.engine.decide import Circumstances, decide
from webhook.engine.evaluate import read_reference
from webhook.model.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webhook.model.finding import Finding
    from webhook.model.policy import Modes, Policy
    from webhook.model.workload import Workload

EXAMPLES: Final = 3
_NOBODY: Final = Circumstances()


@dataclass(frozen=True, slots=True)
class Change:
    """What holds in a namespace before and after."""

    namespace: str
    before: Policy
    after: Policy


@dataclass(slots=True)
class Group:
    """Pods with findings of one code about one registry; `host` is empty where a reference has none to read."""

    code: str
    host: str
    pods: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Impact:
    """What was found: `hit` of `looked` pods would be denied if they were made again, of `unknown` it can't be told.

    `namespace` is empty where it is about several; `there` is how many pods there are, as far as the API server said;
    `stopped` says why not all of them were looked at, `unseen` why none could be.
    """

    namespace: str
    looked: int = 0
    hit: int = 0
    unknown: int = 0
    there: int = 0
    stopped: str | None = None
    unseen: str | None = None
    groups: dict[tuple[str, str], Group] = field(default_factory=dict)

    @property
    def told(self) -> bool:
        """Whether there is anything to say: a look at everything that found nothing is not worth a line."""
        return bool(self.hit or self.unknown or self.stopped or self.unseen)

    def add(self, pod: str, groups: Iterable[tuple[str, str]], *, unknown: bool = False) -> None:
        """Count one pod, with what it would be denied for (see `groups_of`), or that something could not be told."""
        self.looked += 1
        self.unknown += unknown
        hit = False
        for key in groups:
            hit = True
            group = self.groups.setdefault(key, Group(*key))
            group.pods += 1
            if len(group.examples) < EXAMPLES:
                group.examples.append(pod)
        self.hit += hit

    def by_weight(self) -> tuple[Group, ...]:
        """The groups, those with most pods first."""
        return tuple(sorted(self.groups.values(), key=lambda group: (-group.pods, group.code, group.host)))


def newly_denied(
    findings: tuple[Finding, ...], earlier: tuple[Finding, ...], workload: Workload, before: Modes, after: Modes
) -> tuple[Finding, ...]:
    """What the workload would be denied for under `after` and would not have been under `before`.

    `findings` are those under the policy after the change, `earlier` those under the one before: the same where only
    levels change, others where a policy changes how sure a check is.
    """
    was = {finding.identity for finding in decide(earlier, workload, before, _NOBODY).denied}
    return tuple(
        finding for finding in decide(findings, workload, after, _NOBODY).denied if finding.identity not in was
    )


def groups_of(findings: Iterable[Finding]) -> tuple[tuple[str, str], ...]:
    """The code and the registry of each finding, each pair once."""
    return tuple(dict.fromkeys((finding.code, _host(finding)) for finding in findings))


def _host(finding: Finding) -> str:
    reference = read_reference(finding.image) if finding.image else None
    return reference.domain if isinstance(reference, Reference) else ""
