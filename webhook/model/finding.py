"""What a check says: one value for admission, the command, scans, reports, metrics and diagnosis alike.

Only vocabulary stands here. How a finding becomes a denial or a warning is the engine's matter; how it looks, report's.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Confidence(enum.IntEnum):
    """How sure a finding is. Ordered: a higher one is worse news.

    `UNKNOWN` is a result of its own ("could not look"): never reported as fine, nor as broken, and no level covers it.
    """

    UNKNOWN = 0
    ADVISORY = 1
    LIKELY = 2
    CERTAIN = 3

    @property
    def word(self) -> str:
        return self.name.lower()


class Level(enum.IntEnum):
    """The threshold of a mode, as the labels write it. The smaller, the stricter."""

    ADVISORY = 1
    LIKELY = 2
    CERTAIN = 3
    OFF = 4

    @property
    def word(self) -> str:
        return self.name.lower()

    def covers(self, confidence: Confidence) -> bool:
        return confidence is not Confidence.UNKNOWN and confidence >= self


class Heals(enum.Enum):
    """What can make the finding go away; a template is denied only for what `OBJECT` alone can heal."""

    OBJECT = "object"
    CLUSTER = "cluster"
    REGISTRY = "registry"
    POD_MUTATION = "podMutation"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding about one workload.

    `field` is the JSON path of what is wrong (`spec.template.spec.containers[0].image`); `message` says what and why in
    one clause; `fix` says what to type instead; `suggestion` is the whole replacement value of `field`, where there is
    one; `evidence` holds what the finding rests on, a line each; `span` is the wrong part of the value of `field`
    as character offsets `(start, end)`, end excluded. `message` and `fix` hold printable characters only.
    """

    code: str
    name: str
    confidence: Confidence
    heals: Heals
    field: str
    message: str
    fix: str
    suggestion: str | None = None
    evidence: tuple[str, ...] = ()
    container: str | None = None
    image: str | None = None
    span: tuple[int, int] | None = None

    @property
    def identity(self) -> tuple[str, str | None, str | None]:
        """What makes two findings the same one before and after an update: code, container, image (not the message)."""
        return (self.code, self.container, self.image)
