"""Which operating systems an image is built for: its registry says, where asked, else policy, else its name.

The checks, injection and `inspect` must agree, so the rule stands once. Must not: ask a registry, or look at a pod.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from webhook.catalogue.image_os import image_os
from webhook.model.facts import Known
from webhook.model.finding import Confidence
from webhook.model.memo import remember
from webhook.model.platform import LINUX, WINDOWS, ImageIndex, operating_systems
from webhook.model.reference import InvalidReference, parse
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.model.facts import Fact
    from webhook.model.platform import ImagePlatforms
    from webhook.model.policy import ImageOsRule
    from webhook.model.reference import Reference

_SHOWN: Final = 60
_PROSE: Final = {LINUX: "Linux", WINDOWS: "Windows"}


@dataclass(frozen=True, slots=True)
class ImageSystems:
    """The operating systems an image is built for, and why ("…, because `reason`"); `index`: its image index said so.

    `confidence`: CERTAIN by an index, out of which a node takes nothing that is not there; LIKELY by a single manifest,
    which pulls anywhere and runs nowhere else; a name tells at most LIKELY.
    """

    systems: frozenset[str]
    confidence: Confidence
    reason: str
    index: ImageIndex | None = None

    @property
    def one(self) -> str | None:
        """The only system of it that nodes have, or None."""
        found = self.systems & _PROSE.keys()
        return next(iter(found)) if len(found) == 1 else None

    @property
    def words(self) -> str:
        """`a Windows image`, `an image for freebsd`."""
        one = self.one
        return f"a {prose(one)} image" if one else f"an image for {printable(' and '.join(sorted(self.systems)), 30)}"


def prose(os: str | None) -> str:
    """An operating system as prose has it."""
    return _PROSE.get(os or "", os or "")


def image_systems(
    image: str,
    platforms: Callable[[str], Fact[ImagePlatforms]],
    rule_of: Callable[[str], ImageOsRule | None] = lambda _repository: None,
) -> ImageSystems | None:
    """What is told of an image by its text; None where nothing is, also where that is no reference.

    `platforms` is `Facts.image_platforms`, `rule_of` is `ClusterPolicy.os_rule`.
    """
    reference, by_name = _by_name(image)
    if reference is None:
        return None
    known = platforms(str(reference))
    if isinstance(known, Known) and (systems := operating_systems(known.value)) is not None:
        listed = printable(" and ".join(prose(os) for os in sorted(systems)), _SHOWN)
        if isinstance(known.value, ImageIndex):
            return ImageSystems(systems, Confidence.CERTAIN, f"its index holds {listed}", known.value)
        return ImageSystems(systems, Confidence.LIKELY, f"its config says {listed}")
    if (rule := rule_of(reference.repository)) is not None:
        why = f"policy says {prose(rule.os)} of {printable(rule.glob, _SHOWN)}"
        return ImageSystems(frozenset({rule.os}), Confidence.LIKELY, why)
    return by_name


@remember(16_384)
def _by_name(image: str) -> tuple[Reference | None, ImageSystems | None]:
    try:
        reference = parse(image)
    except InvalidReference:
        return None, None
    told = image_os(reference)
    if told.value is None:
        return reference, None
    return reference, ImageSystems(frozenset({told.value}), told.confidence, told.reason)
