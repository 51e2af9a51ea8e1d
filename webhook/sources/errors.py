"""What the API server's answer, or its silence, means to whoever asked.

The types are what callers decide by: missing, forbidden, resync, wait. Texts are short, of one line, and are shown to
people; they hold what the API server itself says about a request, never a header, a token or anything of a Secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from webhook.errors import PullproofError
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_MESSAGE = 300  # an API server's message about a list with a broken selector quotes the selector whole


class ConnectionSettingsError(PullproofError):
    """The kubeconfig or the service account's files can't be used as they are."""


class ApiError(PullproofError):
    """The API server did not do what was asked.

    `status` is the HTTP status (0 when there was no answer), `reason` the word of Kubernetes' Status object,
    `retry_after_seconds` what the API server asked for, `continue_token` what a 410 gives to go on paging with.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        retry_after_seconds: float | None = None,
        continue_token: str = "",
        fix: str = "",
    ) -> None:
        super().__init__(message, fix=fix)
        self.status = status
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
        self.continue_token = continue_token


class NotFoundError(ApiError):
    """404: no such object, or no such resource (a CRD that is not installed)."""


class UnauthorizedError(ApiError):
    """401: the credential is missing, expired or not known."""


class ForbiddenError(ApiError):
    """403: the credential is known and lacks the right."""


class GoneError(ApiError):
    """410: the resourceVersion or continue token is too old; list again."""


class ConflictError(ApiError):
    """409: somebody wrote the object since it was read, made it first, or owns the field that was applied."""


class RefusedError(ApiError):
    """400 or 422: this API server does not take the request as written (streaming lists on an older one)."""


class BusyError(ApiError):
    """429: the API server asks to wait."""


class UnavailableError(ApiError):
    """No usable answer: nobody listening, a broken connection, TLS, 5xx."""


class TimedOutError(UnavailableError):
    """No answer in time, by the API server's clock (504) or ours."""


class GarbledError(ApiError):
    """An answer that is not what the API speaks: not JSON, not an object, no resourceVersion."""


class TooLargeError(ApiError):
    """An answer of more bytes than whoever asked has memory for."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: RefusedError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    422: RefusedError,
    429: BusyError,
    504: TimedOutError,
}

_FIXES: Mapping[int, str] = {
    401: "renew the credential: `kubectl get --raw /api` with the same kubeconfig shows the same error until then",
    403: "grant the right, or run pullproof with the options that need fewer rights",
}


def from_status(
    code: int, status: Mapping[str, Any], *, about: str, retry_after_seconds: float | None = None
) -> ApiError:
    """Turn a Status object (`meta/v1`, or `{}` where the body was something else) into the error for its code.

    `about` says what was asked, as in `GET /api/v1/secrets`. An ERROR event's Status carries its own code; pass that.
    """
    details = status.get("details")
    if retry_after_seconds is None and isinstance(details, dict):
        seconds = details.get("retryAfterSeconds")
        retry_after_seconds = float(seconds) if isinstance(seconds, int) and seconds > 0 else None
    metadata = status.get("metadata")
    token = metadata.get("continue") if isinstance(metadata, dict) else ""
    message = printable(str(status.get("message") or status.get("reason") or "no reason given"), _LONGEST_MESSAGE)
    kind = _BY_STATUS.get(code, UnavailableError)
    return kind(
        f"the API server answered {code} to {about}: {message}",
        status=code,
        reason=str(status.get("reason") or ""),
        retry_after_seconds=retry_after_seconds,
        continue_token=token if isinstance(token, str) else "",
        fix=_FIXES.get(code, ""),
    )
