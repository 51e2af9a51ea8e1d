"""Says why a text is no image reference: at which character, what is wrong there, and what to write.

`distribution/reference` answers "invalid reference format" to nearly everything, and that is all a developer sees in
`InvalidImageName`. Here one detector per kind of mistake looks at the text, in the order in which a person would mend
it; the first that finds something speaks.

A suggestion is given only where one meaning is left. It may take several steps (a scheme in front *and* upper case):
each detector mends its own mistake, and the result is looked at again until it is a reference, or nobody knows further.

Must not: be imported before something is wrong (a command's start-up time is a promise), decide validity
(`reference.match` does), or put into a message what is not visible, what may be a password, or more of the text than a
line holds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from webhook.model.reference import DIGEST, Fault, InvalidReference, match
from webhook.model.reference_faults.characters import (
    empty,
    foreign,
    inner_space,
    invisible,
    not_ascii,
    outer_space,
    quotes,
)
from webhook.model.reference_faults.digests import digest, identifier
from webhook.model.reference_faults.problem import Problem
from webhook.model.reference_faults.schemes import credentials, scheme
from webhook.model.reference_faults.structure import structure
from webhook.model.reference_faults.templates import template

if TYPE_CHECKING:
    from collections.abc import Callable

_STEPS: Final = 6  # mistakes in one text that a suggestion mends
_READ: Final = 4096  # characters: a longer text is no slip of the hand, and looking closer would take longer and longer
_is_digest = re.compile(DIGEST).fullmatch

# A detector may rely on those in front of it having found nothing: `structure` sees no white space, for one.
_DETECTORS: Final[tuple[Callable[[str], Problem | None], ...]] = (
    empty,
    template,
    invisible,
    quotes,
    outer_space,
    scheme,
    not_ascii,
    inner_space,
    foreign,
    identifier,
    credentials,
    digest,
    structure,
)


def explain(image: str) -> InvalidReference:
    """Why `image` is no reference. For where `match(image)` is None."""
    problem = _first_problem(image)
    return InvalidReference(
        image,
        fault=problem.fault,
        column=problem.start + 1,
        end=problem.end + 1,
        message=problem.message,
        fix=problem.fix,
        suggestion=_suggestion(problem),
    )


def _first_problem(image: str) -> Problem:
    if len(image) > _READ and not image.isspace():
        message = f"the text has {len(image)} characters, and a reference is far shorter"
        return Problem(Fault.OTHER, _READ, len(image), message, "write one reference and nothing else")
    for detect in _DETECTORS:
        if problem := detect(image):
            return problem
    # no text that gets here is known (the tests look for one); should there be any, this is still true of it
    return Problem(Fault.OTHER, 0, len(image), "this is no image reference", "write it as `host/path:tag`")


def _suggestion(problem: Problem) -> str | None:
    for _ in range(_STEPS):
        candidate = problem.mended
        if candidate is None or _is_digest(candidate):
            # a digest in quotes is no repository `sha256`, as which it would be read
            return None
        if match(candidate) is not None:
            return candidate
        problem = _first_problem(candidate)
    return None
