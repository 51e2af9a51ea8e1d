"""Why no credential covers an image: the one cause of several that is worth saying, so that each image has one finding.

In this order: a secret that is missing or of a wrong type (which another check tells of, and which may be made in the
same apply); one that the ServiceAccount has and the pod's own list hides; one whose credential stands where the kubelet
never looks; a key that was meant for the image; or none at all.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from webhook.checks.secret import _look, _near
from webhook.model import hostkey
from webhook.model.facts import Known
from webhook.model.keyring import look_up

if TYPE_CHECKING:
    from webhook.checks.secret._look import Look
    from webhook.model.dockerconfig import PullSecret
    from webhook.model.keyring import Match


class Cause(enum.Enum):
    COVERED = "covered, or unknown"
    HIDDEN = "hidden"
    LISTED_IN_VAIN = "missing or of a wrong type"
    HELPER = "left to a credential helper"
    NEAR = "for another host"
    NONE = "none"


def cause(seen: Look) -> tuple[Cause, _near.Near | None]:
    """The cause, and the near key where that is it."""
    return seen.listed.remembered("cause", seen.reference.repository, lambda: _cause(seen))


def _cause(seen: Look) -> tuple[Cause, _near.Near | None]:
    if not seen.uncovered or seen.need is _look.Need.NEVER:
        return Cause.COVERED, None
    if any(ref.secret == Known(None) for ref in seen.listed.refs):
        return Cause.LISTED_IN_VAIN, None
    secrets = seen.listed.known_secrets()
    if any(secret.ignored and _was_meant(secret, seen) for secret in secrets):
        return Cause.LISTED_IN_VAIN, None
    if hidden_match(seen) is not None:
        return Cause.HIDDEN, None
    near = _near.nearest(seen)
    if near is not None and near.how in (_near.How.SPELLING, _near.How.SLIP):
        return Cause.NEAR, near
    if helper_of(seen) is not None:
        return Cause.HELPER, None
    return (Cause.NONE, None) if near is None else (Cause.NEAR, near)


def hidden_match(seen: Look) -> Match | None:
    """The key that covers the image in a secret of the ServiceAccount that the pod's own list hides."""
    hidden = seen.listed.hidden
    if not isinstance(hidden, Known) or not hidden.value:
        return None
    secrets = [ref.secret.value for ref in hidden.value if isinstance(ref.secret, Known) and ref.secret.value]
    return next(iter(look_up(secrets, seen.reference.repository).matches), None)


def helper_of(seen: Look) -> PullSecret | None:
    """The pull secret that leaves credentials to a program of the machine it was written on."""
    usable = (secret for secret in seen.listed.known_secrets() if _look.is_usable(secret))
    return next((secret for secret in usable if secret.ignored_fields), None)


def _was_meant(secret: PullSecret, seen: Look) -> bool:
    """Whether a secret of a wrong type is for the image, as far as what it holds tells."""
    if not secret.entries:
        return True
    image = hostkey.locate(seen.reference.repository)
    return image is not None and any(
        entry.location is not None and hostkey.covers(entry.location, image) for entry in secret.entries
    )
