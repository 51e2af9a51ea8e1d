"""What to do about a failed pull: for this cause, at this registry, on this platform, with the names that are known.

The vendors' own files come first, then what holds anywhere. A remedy is text and commands ready to paste. Must not: run
anything, or look anything up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook.catalogue import registries
from webhook.diagnosis.cause import Cause
from webhook.diagnosis.remedies import anywhere, aws, azure, google, ibm, others
from webhook.diagnosis.remedies.names import Names, Place
from webhook.diagnosis.remedies.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from webhook.catalogue.registries import Registry
    from webhook.diagnosis.cause import Diagnosis

__all__ = ["Place", "Remedy", "remedies"]

# The catalogue's ids → the file that knows the registry.
_VENDORS: Final[Mapping[str, Callable[[Cause, Names], Iterator[Remedy]]]] = {
    "azure-container-registry": azure.remedies,
    "ibm-cloud-container-registry": ibm.remedies,
    "ibm-entitled-registry": ibm.remedies,
    "amazon-ecr": aws.remedies,
    "amazon-ecr-public": aws.remedies,
    "google-artifact-registry": google.remedies,
    "google-container-registry": google.remedies,
    "docker-hub": others.docker_hub,
    "github-container-registry": others.github,
    "gitlab-registry": others.gitlab,
    "quay-io": others.quay,
    "redhat-registry-io": others.red_hat,
}
_EITHER: Final[Mapping[Cause, Callable[[Names], Iterator[Remedy]]]] = {
    Cause.INVALID_NAME: anywhere.invalid_name,
    Cause.SECRET_MISSING: anywhere.secret_missing,
    Cause.NOT_FOUND: anywhere.not_found,
    Cause.PLATFORM: anywhere.platform,
    Cause.DNS: anywhere.dns,
    Cause.TIMEOUT: anywhere.unreachable,
    Cause.REFUSED: anywhere.refused,
    Cause.TLS: anywhere.tls,
    Cause.REGISTRY_ERROR: anywhere.registry_error,
    Cause.UNSUPPORTED_MEDIA: anywhere.unsupported_media,
    Cause.DISK: anywhere.disk,
    Cause.UNPACK: anywhere.unpack,
}
# These are about the node or the name: the registry's file would only distract.
_NOT_THE_REGISTRY: Final = frozenset({Cause.DISK, Cause.UNPACK, Cause.PLATFORM, Cause.INVALID_NAME, Cause.TLS})


def remedies(diagnosis: Diagnosis, place: Place | None = None) -> tuple[Remedy, ...]:
    """What to do, the likeliest first; never empty but for `other`, of which nothing is known."""
    cause = diagnosis.cause
    if cause is Cause.OTHER:
        return ()
    names = Names(diagnosis, place or Place())
    found: list[Remedy] = []
    if cause is Cause.SECRET_MISSING:
        found.extend(anywhere.secret_missing(names))
    vendor = None if cause in _NOT_THE_REGISTRY else _vendor(diagnosis)
    if vendor is not None:
        found.extend(vendor(cause, names))
    elif cause is not Cause.SECRET_MISSING:
        found.extend(anywhere.credentials(cause, names))
    if cause is not Cause.SECRET_MISSING and cause in _EITHER:
        found.extend(_EITHER[cause](names))
    if not found and cause in (Cause.RATE_LIMIT, Cause.QUOTA):
        found.extend(anywhere.limits(cause, names))
    if not found:
        found.extend(anywhere.credentials(cause, names))
    return tuple(dict.fromkeys(found))


def _vendor(diagnosis: Diagnosis) -> Callable[[Cause, Names], Iterator[Remedy]] | None:
    if diagnosis.registry is None:
        return None
    known: Registry | None = registries.lookup(registries.host_name(diagnosis.registry))
    if known is None:
        # a retired host is known by what it was
        retired = registries.retired_of(registries.host_name(diagnosis.registry))
        known = retired[0] if retired else None
    if known is None and ".gitlab." in f".{diagnosis.registry}":
        return others.gitlab
    return None if known is None else _VENDORS.get(known.id)
