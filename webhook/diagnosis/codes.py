"""Which code a cause bears: the same as the check that would have found it before scheduling.

A reader who saw `PULL101` in admission sees `PULL101` again when the pod fails for it. What no check can know before is
told in two families of its own: 5xx, the registry's own answer; 6xx, the way to it and the node; `MEANING` says of each
what `pullproof explain` and docs/diagnosis.md show. Codes are stable and never reused.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from webhook.diagnosis.cause import Cause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.diagnosis.cause import Diagnosis


@dataclass(frozen=True, slots=True)
class Code:
    """A code with its name, as `webhook.checks.base.Check` has them."""

    code: str
    name: str


CODES: Final[Mapping[Cause, Code]] = MappingProxyType(
    {
        Cause.INVALID_NAME: Code("PULL101", "invalid-reference"),
        Cause.SECRET_MISSING: Code("PULL301", "pull-secret-missing"),
        Cause.EXPIRED: Code("PULL308", "credential-expired"),
        Cause.PLATFORM: Code("PULL401", "platform-mismatch"),
        Cause.UNAUTHORIZED: Code("PULL501", "registry-unauthorized"),
        Cause.FORBIDDEN: Code("PULL502", "registry-forbidden"),
        Cause.NOT_FOUND: Code("PULL503", "image-not-found"),
        Cause.AMBIGUOUS: Code("PULL504", "registry-hides-or-refuses"),
        Cause.RATE_LIMIT: Code("PULL505", "registry-rate-limit"),
        Cause.QUOTA: Code("PULL506", "registry-quota"),
        Cause.REGISTRY_ERROR: Code("PULL507", "registry-error"),
        Cause.UNSUPPORTED_MEDIA: Code("PULL508", "media-type-unsupported"),
        Cause.DNS: Code("PULL601", "registry-name-unresolved"),
        Cause.TIMEOUT: Code("PULL602", "registry-timeout"),
        Cause.REFUSED: Code("PULL603", "registry-connection-refused"),
        Cause.TLS: Code("PULL604", "registry-tls"),
        Cause.DISK: Code("PULL611", "node-disk-full"),
        Cause.UNPACK: Code("PULL612", "layer-not-unpacked"),
        Cause.OTHER: Code("PULL690", "message-not-known"),
    }
)

# Of the codes that no check has, what they mean; a check's own page says it of the others.
MEANING: Final[Mapping[str, str]] = MappingProxyType(
    {
        "PULL501": "the registry wants a credential: it got none, or did not take the one it got",
        "PULL502": "the registry says no: a permission is missing, the network is not let in, or a policy forbids it",
        "PULL503": "the repository, tag or digest is not there; with imagePullPolicy Never: not on the node",
        "PULL504": "the registry answers the same for what is private and for what is not there: check the name, then"
        " the credential",
        "PULL505": "too many pulls in too short a time: it heals by waiting, and with a credential or a mirror",
        "PULL506": "the registry's storage or its traffic of the month is used up: waiting a minute does not heal it",
        "PULL507": "the registry, or a proxy before it, failed: a 5xx, or an answer that was cut off",
        "PULL508": "what the registry serves is no image that the runtime reads: an artifact, an HTML page, Docker's"
        " schema 1",
        "PULL601": "the node's DNS does not know the registry's name, or did not answer",
        "PULL602": "nothing answered in time: a firewall, a missing route or peering, a proxy that was not told of",
        "PULL603": "the registry's host is there, and refuses or cuts the connection",
        "PULL604": "the node does not trust the registry's certificate, or the registry speaks plain HTTP",
        "PULL611": "the node's disk is full, so nothing can be pulled to it",
        "PULL612": "a layer did not arrive as it was pushed, or the node can't unpack it",
        "PULL690": "the words are not known: they are quoted, and no cause is guessed",
    }
)


_UNDECODABLE: Final = Code("PULL303", "pull-secret-undecodable")
# the kubelet's words at admission (pkg/kubelet/lifecycle/predicate.go, Kubernetes 1.36) → the check that foresees it
_BY_WORDS: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "OS field": Code("PULL404", "os-name-not-selected"),
        "`kubernetes.io/os` label": Code("PULL405", "pod-os-label"),
    }
)


def code_of(cause: Cause) -> Code:
    """The code of that cause; every cause has one."""
    return CODES[cause]


def code_for(diagnosis: Diagnosis) -> Code:
    """The code of what was read: where several checks share its cause, the one whose case the words are."""
    if diagnosis.cause is Cause.SECRET_MISSING and not diagnosis.secrets and "retrieve" not in diagnosis.evidence:
        return _UNDECODABLE
    if diagnosis.cause is Cause.PLATFORM:
        said = (code for words, code in _BY_WORDS.items() if words in diagnosis.evidence)
        return next(said, CODES[Cause.PLATFORM])
    return CODES[diagnosis.cause]
