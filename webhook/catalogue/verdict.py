"""What the catalogue says about a host or a path that can't be the one that was meant.

Only vocabulary stands here; `typo.assess` gives the verdicts out, the checks 2xx turn them into findings.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from webhook.model.finding import Confidence


class Kind(enum.Enum):
    """What is wrong; each is a check of its own."""

    TYPO = "typo"
    SUFFIX = "suffix"
    WEBSITE = "website"
    ENDPOINT = "endpoint"
    IMPOSSIBLE = "impossible"
    RETIRED = "retired"
    SHORT_PATH = "short path"
    LOOK_ALIKE = "look-alike"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a host or path, in the words of a finding.

    `wrong` is the part at fault, as it stands in the reference but for case. `host` is the host to write instead,
    `right` the whole repository (host and path), each where one is known; `fix` says what to do where `right` is None.
    """

    kind: Kind
    confidence: Confidence
    wrong: str
    message: str
    host: str | None = None
    right: str | None = None
    fix: str = ""
    evidence: tuple[str, ...] = ()
