"""What a failed pull can have for a cause, and what reading a message yields.

Only vocabulary stands here. How a text becomes a cause is `message`'s matter, which check's code it shares `codes`',
what to do about it `remedy`'s.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Cause(enum.StrEnum):
    """Why a pull failed, in the words that the command prints. `OTHER` is said of what is not known, never guessed."""

    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    AMBIGUOUS = "ambiguous-auth-or-not-found"
    PLATFORM = "platform-mismatch"
    DNS = "dns"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    TLS = "tls"
    RATE_LIMIT = "rate-limit"
    INVALID_NAME = "invalid-name"
    EXPIRED = "expired-credentials"
    SECRET_MISSING = "secret-missing"  # noqa: S105 - the name of a cause
    QUOTA = "quota"
    DISK = "disk"
    UNSUPPORTED_MEDIA = "unsupported-media"
    REGISTRY_ERROR = "registry-error"
    UNPACK = "unpack"
    OTHER = "other"


class Wrapper(enum.StrEnum):
    """Who wrapped the decisive words; empty where nothing tells."""

    CONTAINERD = "containerd"
    CRIO = "cri-o"
    DOCKER = "docker"
    KUBELET = "kubelet"
    NONE = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What one message says.

    `registry` is the domain (`host[:port]`) of the image, or the host that the message names where it names no image;
    `image` the reference as the pod has it, `platform` what was looked for and not found (`linux/arm64`); None where
    the text does not say. `evidence` is the decisive piece of the text. `secrets` are the pull secrets that the message
    says are not there. `pod`, `namespace`, `node`, `container`, `workload` (`deployment/web`), `service_account` and
    `lone` (nothing makes the pod again) are known only from a description of a pod.

    Every text in it is printable, one line, and bounded, whatever was read.
    """

    cause: Cause
    evidence: str
    registry: str | None = None
    image: str | None = None
    platform: str | None = None
    wrapper: Wrapper = Wrapper.NONE
    secrets: tuple[str, ...] = ()
    pod: str | None = None
    namespace: str | None = None
    node: str | None = None
    container: str | None = None
    workload: str | None = None
    service_account: str | None = None
    lone: bool = False
