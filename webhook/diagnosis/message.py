"""Reads why a pull failed from what a kubelet wrote about it: containerd 1 and 2, CRI-O, dockershim.

Most of such a message is wrapping: who called whom with which image. The rules here peel that off, take the image's
name out (a name may hold any word), and read what is left in a fixed order. What that order can't know it says: of a
registry that answers 401 for what it hides both causes are named, and a text that is not known is `other`, quoted.

Must not: guess, look anything up, raise on any text, or take more than linear time in a bounded part of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from webhook.diagnosis import patterns
from webhook.diagnosis.cause import Cause, Diagnosis, Wrapper
from webhook.diagnosis.subject import missing_secrets, platform, subject, wrapper
from webhook.model.text import printable

if TYPE_CHECKING:
    from webhook.diagnosis.subject import Subject

# A kubelet's message is a few hundred characters; a proxy's HTML page inside may be 10 kB. The rest is noise.
MAX_READ: Final = 32 * 1024
MAX_EVIDENCE: Final = 240
_MAX_TRIES: Final = 16

_QUOTE: Final = re.compile(r"\\{1,16}\"")
_APOSTROPHE: Final = re.compile(r"\\{1,8}u0027")
_SPACE: Final = re.compile(r"\s+")
_ESCAPED_SPACE: Final = re.compile(r"\\[nrt]")
_URL: Final = re.compile(r"https?://[^\s\"]{0,4096}[^\s\",:;)\]]")
_LOWER: Final = {ord(upper): ord(upper.lower()) for upper in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}

# The kubelet joins what each credential got: `[first error, second error]` (utilerrors.NewAggregate).
_TRY: Final = (
    r"(?:rpc error: code|failed to pull and unpack image|failed to authorize|error response from daemon"
    r"|initializing source|unable to copy from|get http)"
)
_LIST: Final = re.compile(rf"\[(?={_TRY})")
_NEXT_TRY: Final = re.compile(rf", (?={_TRY})")
# containers/image: `(Mirrors also failed: [a: why, b: why]): c: why`
_MIRRORS: Final = re.compile(r"\(?mirrors also failed: \[")
_MIRRORS_END: Final = re.compile(r"\]\): ")
# docker's and containerd's wrapper, with the registry's own word behind it: what it says decides.
_ACCESS_DENIED: Final = re.compile(
    r"pull access denied.{0,600}?may require (?:'docker login'|authorization)(?::? (?:server message: )?)"
)
_BLOB: Final = re.compile(r"https?://[^\s\"]{1,1000}/blobs/")
_ROOT: Final = re.compile(r"https?://[^\s\"/]{1,255}/v2/\"?: ")
_TOKEN: Final = re.compile(
    r"failed to (?:authorize|fetch (?:oauth|anonymous) token)|requesting bear(?:er)? token"
    r"|/oauth2/(?:token|exchange)|/v2/auth\b"
)
_NO_SUCH_USER: Final = re.compile(
    r"(?:incorrect|invalid|wrong) (?:username|user ?name|password|credential|client secret)|could not find robot"
    r"|aadsts|invalid_client|bad credentials|not registered with aad|no basic auth credentials"
)
_AZURE_HELP: Final = "aka.ms/acr/"  # where Azure's registry sends whom it refuses
_FORBIDDEN_STATUS: Final = re.compile(r"\b403\b|\bforbidden\b")
_SERVER_ERROR: Final = re.compile(r"\b500\b")
_SENTENCE_END: Final = re.compile(rf"(?i)\\n|\" (?:image|pod|module|key|file|host)=|\"? ?, {_TRY}")
_GRPC: Final = re.compile(r"^(?:rpc error: )?code = \S{1,30} desc = ")
_SHORT: Final = 24
_BARE_BACK_OFF: Final = re.compile(r"(?i)^\s*(?:error: )?back-off pulling image \"[^\"]{1,512}\"\s*$")
_MOUNT: Final = re.compile(r"mountvolume")
# What a container wants for its environment, a namespace's ResourceQuota, a probe: errors of their own, and no pull's.
_NO_PULL: Final = re.compile(
    r"\b(?:secret|configmap|serviceaccount) \"[^\"]{1,255}\" not found|is forbidden: exceeded quota: [^,]{1,255}"
    r"|(?:liveness|readiness|startup) probe failed: .{1,1000}"
)
# With what status docker's own API hands an error on, whatever the error is.
_OWN_STATUS: Final = re.compile(
    r"\bapi error \(\d{3}\)|\(http code \d{3}\) server error|500 server error: internal server error"
)


class _Verdict(NamedTuple):
    cause: Cause
    start: int
    end: int


class _Text(NamedTuple):
    """One text in three forms of the same length: to show, to match (lower case), to match without names."""

    shown: str
    plain: str
    blank: str


def read_message(text: str) -> Diagnosis:
    """What `text`, one message of a kubelet or runtime (of any number of lines), says. Never raises.

    Of a list of tries the first decides: the last one is the anonymous try, whose 401 says nothing. A 500 followed by a
    401 was a service principal that the registry could not look up (Azure Container Registry).
    """
    shown = _SPACE.sub(" ", _APOSTROPHE.sub("'", _QUOTE.sub('"', text[:MAX_READ]))).strip()
    about = subject(shown)
    prepared = _prepare(shown, about)
    verdict = _judge_all(prepared, about)
    return _diagnosis(prepared, about, verdict)


def is_bare_back_off(text: str) -> bool:
    """Whether the message only says that the kubelet waits, not why: `Back-off pulling image "x"`."""
    return _BARE_BACK_OFF.match(text[:MAX_READ]) is not None


def _prepare(shown: str, about: Subject) -> _Text:
    plain = _ESCAPED_SPACE.sub("  ", shown).translate(_LOWER)
    blank = _URL.sub(lambda found: "~" * len(found[0]), plain)
    blank = _OWN_STATUS.sub(lambda found: "~" * len(found[0]), blank)
    if not patterns.PULL_SECRET.search(blank):
        blank = _NO_PULL.sub(lambda found: "~" * len(found[0]), blank)
    for name in about.names:
        for part in (name, name.partition("@")[0].rpartition(":")[0]):
            if len(part) > 3 and ("/" in part or part == name):  # noqa: PLR2004 - "app" is too common a word to blank
                blank = blank.replace(part.translate(_LOWER), "~" * len(part))
    return _Text(shown, plain, blank)


def _judge_all(text: _Text, about: Subject) -> _Verdict:
    mirrors = _MIRRORS.search(text.plain)
    if mirrors is not None:
        closed = _MIRRORS_END.search(text.plain, mirrors.end())
        if closed is not None:
            # the registry itself was asked last; where the node may not even ask it, the mirrors' answer is all
            itself = _judge(text, about, closed.end(), len(text.plain))
            if itself.cause is not Cause.OTHER:
                return itself
            return _judge(text, about, mirrors.end(), closed.start())
    verdicts = [_judge(text, about, start, end) for start, end in _tries(text.plain)]
    first = next((verdict for verdict in verdicts if verdict.cause is not Cause.OTHER), verdicts[0])
    if first.cause is Cause.REGISTRY_ERROR and _SERVER_ERROR.search(text.blank, first.start, first.end + 40):
        later = next((v for v in verdicts if v.cause in (Cause.UNAUTHORIZED, Cause.AMBIGUOUS)), None)
        if later is not None:
            return _Verdict(Cause.UNAUTHORIZED, later.start, later.end)
    return first


def _tries(plain: str) -> list[tuple[int, int]]:
    opened = _LIST.search(plain)
    if opened is None:
        return [(0, len(plain))]
    bounds = [opened.end()]
    for found in _NEXT_TRY.finditer(plain, opened.end()):
        bounds.append(found.end())
        if len(bounds) >= _MAX_TRIES:
            break
    return list(zip(bounds, [*bounds[1:], len(plain)], strict=True))


def _judge(text: _Text, about: Subject, start: int, end: int) -> _Verdict:
    """The cause that `text[start:end]` shows, and where."""
    denied = _ACCESS_DENIED.search(text.plain, start, end)
    if denied is not None:
        inner = _judge_words(text, about, denied.end(), end)
        if inner.cause is not Cause.OTHER and not _says_only_denied(text.blank[denied.end() : end]):
            return inner
        return _Verdict(_either(about, text.plain), denied.start(), end)
    return _judge_words(text, about, start, end)


def _says_only_denied(rest: str) -> bool:
    return rest.strip(" .:\"'") in ("denied", "denied: denied", "")


def _judge_words(text: _Text, about: Subject, start: int, end: int) -> _Verdict:
    blank = text.blank
    for cause, pattern in patterns.FIRST:
        found = pattern.search(blank, start, end)
        if found is not None and not (cause is Cause.SECRET_MISSING and _MOUNT.search(blank, start, end)):
            return _Verdict(cause, *found.span())
    found = patterns.LIMIT.search(blank, start, end)
    if found is not None:
        monthly = patterns.MONTHLY.search(blank, start, end)
        if monthly is not None and not patterns.BY_THE_MINUTE.search(blank, start, end):
            return _Verdict(Cause.QUOTA, *monthly.span())
        return _Verdict(Cause.RATE_LIMIT, *found.span())
    for cause, pattern in patterns.WAY:
        found = pattern.search(blank, start, end)
        if found is not None:
            return _Verdict(cause, *found.span())
    return _judge_answer(text, about, start, end)


def _judge_answer(text: _Text, about: Subject, start: int, end: int) -> _Verdict:
    """What the registry answered, where nothing came between."""
    blank = text.blank
    found = patterns.EITHER.search(blank, start, end)
    if found is not None:
        return _Verdict(_either(about, text.plain), *found.span())
    found = patterns.UNAUTHORIZED.search(blank, start, end)
    if found is not None:
        return _Verdict(_refused_credential(text.plain[start:end], about), *found.span())
    found = patterns.FORBIDDEN.search(blank, start, end)
    if found is not None:
        if _is_at(about, text.plain, "icr.io") and _BLOB.search(text.plain, start, end):
            return _Verdict(Cause.QUOTA, *found.span())
        return _Verdict(Cause.FORBIDDEN, *found.span())
    for cause, pattern in (
        (Cause.NOT_FOUND, patterns.NOT_FOUND),
        (Cause.REGISTRY_ERROR, patterns.REGISTRY_ERROR),
        (Cause.TIMEOUT, patterns.GAVE_UP),
        (Cause.NOT_FOUND, patterns.SAYS_NOT_FOUND),
    ):
        found = pattern.search(blank, start, end)
        if found is not None:
            return _Verdict(cause, *found.span())
    return _Verdict(Cause.OTHER, start, end)


def _either(about: Subject, plain: str) -> Cause:
    """Docker Hub and most others say the same of both; IBM's registry says it of credentials only."""
    return Cause.UNAUTHORIZED if _is_at(about, plain, "icr.io") else Cause.AMBIGUOUS


def _refused_credential(plain: str, about: Subject) -> Cause:
    """Quay answers 401 for what is not there, and so does Azure's registry, about an image, for what it hides.

    A token that was refused, the registry's root, and having no credential at all are about the credential alone.
    """
    if patterns.HIDDEN_BY_QUAY in plain:
        return Cause.AMBIGUOUS
    if _TOKEN.search(plain) or _NO_SUCH_USER.search(plain) or _ROOT.search(plain):
        return Cause.UNAUTHORIZED
    if _is_at(about, plain, "quay.io"):
        return Cause.AMBIGUOUS
    azure = any(_is_at(about, plain, host) for host in ("azurecr.io", "azurecr.cn", "azurecr.us"))
    return Cause.AMBIGUOUS if azure or _AZURE_HELP in plain else Cause.UNAUTHORIZED


def _is_at(about: Subject, plain: str, host: str) -> bool:
    """Whether the image is at that registry; where the text hides its name (`<name>.azurecr.io`), if it says so."""
    if about.registry is not None:
        name = about.registry.partition(":")[0]
        return name == host or name.endswith(f".{host}")
    return re.search(rf"(?:^|[^\w-])(?:[^\s/\"]{{1,255}}\.)?{re.escape(host)}(?!\.*+[\w-])", plain) is not None


def _diagnosis(text: _Text, about: Subject, verdict: _Verdict) -> Diagnosis:
    cause = verdict.cause
    return Diagnosis(
        cause=cause,
        evidence=_evidence(text, verdict),
        registry=about.registry,
        image=_image(about, cause),
        platform=platform(text.shown) if cause is Cause.PLATFORM else None,
        wrapper=wrapper(text.shown),
        secrets=missing_secrets(text.shown) if cause is Cause.SECRET_MISSING else (),
    )


def _image(about: Subject, cause: Cause) -> str | None:
    """The image; of one whose name is the fault, the name as the pod has it."""
    return about.image or (about.quoted if cause is Cause.INVALID_NAME else None)


def _evidence(text: _Text, verdict: _Verdict) -> str:
    """The decisive words and what stands right around them: from the clause they are in to the end of the sentence."""
    shown, start, end = text.shown, verdict.start, verdict.end
    if verdict.cause is Cause.OTHER:
        return printable(shown[start:end].strip(), MAX_EVIDENCE)
    stop = _SENTENCE_END.search(shown, end, min(len(shown), start + MAX_EVIDENCE))
    close = stop.start() if stop else min(len(shown), start + MAX_EVIDENCE)
    begin = start + 1 if shown[start : start + 1] == ":" else start
    clause = _clause(shown, begin, begin)
    if close - clause < _SHORT:  # "not found" alone says little: what was not found stands before it
        clause = min(clause, _clause(shown, clause - 2, clause))
    return printable(_GRPC.sub("", shown[clause:close].strip(" :\"'")), MAX_EVIDENCE)


def _clause(shown: str, at: int, otherwise: int) -> int:
    """Where the clause that `at` is in begins: behind the colon before it, or `otherwise` if that is far away."""
    back = max(0, at - 160)
    colon = shown.rfind(": ", back, max(at, back))
    if colon < 0:
        return 0 if back == 0 else otherwise
    return colon + 2


# What the kubelet says itself, as a reason (pkg/kubelet/images, pkg/kubelet/lifecycle, pkg/kubelet/events; 1.36).
_BY_REASON: Final = {
    "InvalidImageName": Cause.INVALID_NAME,
    "ErrImageNeverPull": Cause.NOT_FOUND,
    "PodOSNotSupported": Cause.PLATFORM,
    "PodOSSelectorNodeLabelDoesNotMatch": Cause.PLATFORM,
    "FailedToRetrieveImagePullSecret": Cause.SECRET_MISSING,
}
# Reasons behind which a message says more; the cause that stands for the reason alone.
_OPEN_REASONS: Final = {
    "ErrImagePull": Cause.OTHER,
    "ImagePullBackOff": Cause.OTHER,
    "ImageInspectError": Cause.OTHER,
    "RegistryUnavailable": Cause.REGISTRY_ERROR,
    "SignatureValidationFailed": Cause.OTHER,
}
# A keyring that can't be read fails the pod with its bare error for a reason (kuberuntime, Kubernetes 1.36).
_KEYRING: Final = re.compile(
    r"^(?:illegal base64 data|unable to parse auth field|invalid character |unexpected end of json input"
    r"|json: cannot unmarshal)"
)


def read_reason(reason: str, message: str) -> Diagnosis | None:
    """What a container's waiting reason (or a pod's, or an event's) with its message says; None if it is about no pull.

    Never raises.
    """
    if _KEYRING.match(reason[:200].translate(_LOWER)):
        return _of_reason(Cause.SECRET_MISSING, f"{reason} {message}", reason)
    if reason in _BY_REASON:
        return _of_reason(_BY_REASON[reason], message or reason, message or reason)
    if reason not in _OPEN_REASONS:
        return None
    read = read_message(message)
    if read.cause is not Cause.OTHER or is_bare_back_off(message):
        return read
    return _of_reason(_OPEN_REASONS[reason], message or reason, f"{reason}: {message}" if message else reason)


def _of_reason(cause: Cause, text: str, evidence: str) -> Diagnosis:
    shown = _SPACE.sub(" ", _QUOTE.sub('"', text[:MAX_READ])).strip()
    about = subject(shown)
    return Diagnosis(
        cause=cause,
        evidence=printable(_SPACE.sub(" ", evidence[:MAX_READ]).strip(), MAX_EVIDENCE),
        registry=about.registry,
        image=_image(about, cause),
        platform=platform(shown) if cause is Cause.PLATFORM else None,
        wrapper=Wrapper.KUBELET,
        secrets=missing_secrets(shown) if cause is Cause.SECRET_MISSING else (),
    )
