"""The words by which a cause shows, in the order in which they decide.

A table of facts and nothing else: which words a kubelet, runtime or registry uses for what. The order is part of the
facts: a full disk, a platform, a media type and a layer that can't be unpacked are named before "not found", since
several of their messages end in it; a look-up that timed out is a DNS fault, not a timeout.

Patterns are matched against lower-cased ASCII with white space collapsed and image names blanked out (see `message`),
so `envoyproxy/ratelimit` is no rate limit. None has a repetition inside a repetition: the time is linear in the text.
"""

from __future__ import annotations

import re
from typing import Final

from webhook.diagnosis.cause import Cause


def _any(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives))


def _status(code: str) -> str:
    """An HTTP status where one is spoken of: a bare number may be an age, a line of a source file or a size."""
    said = rf"(?:: |status |status: |code |code: |code = |http |https? status:? |error |registry )['\"]?{code}\b"
    # in brackets of its own: `kubelet[401]` is a process
    return rf"{said}|(?<![\w\]])(?:\[{code}\]|\({code}\))"


# What decides before anything that the registry may have answered.
FIRST: Final[tuple[tuple[Cause, re.Pattern[str]], ...]] = (
    (
        Cause.DISK,
        _any(
            r"no space left on device",
            r"disk quota exceeded",
            r"not enough space on the disk",
            r"not enough (?:free )?disk space",
            r"insufficient disk space",
            r"\benospc\b",
            r"(?:disk|filesystem|file system) is full",
            r"read-only file ?system",
            r"\bthin pool has \d{1,20} free (?:data|metadata) blocks",
            r"low on resource: ephemeral-storage",
            r"failed to garbage collect required amount of images",
            r"\bdisk ?pressure\b",
        ),
    ),
    (
        Cause.PLATFORM,
        _any(
            r"no match for platform",
            r"no matching \S{1,20} for (?:linux|windows|darwin|freebsd|unknown|platform)\b",
            r"no matching manifest for",
            r"no image found in (?:the )?(?:manifest|image index|index)",
            r"cannot be used on this platform",
            r"operating system is not supported",
            r"a windows version \S{1,40} image is incompatible",
            r"-based image is incompatible with",
            r"operating system does not match the host",
            r"does not match the (?:specified|requested|expected|host) platform",
            r"does not provide the specified platform",
            r"\bcannot load (?:linux|windows) image on",
            r"\bexec format error",
            r"unsupported (?:os|architecture|platform)\b",
            r"no (?:suitable|compatible) manifest",
            r"no (?:supported|matching) platform",
            r"descriptor matching platform",
            r"detected host platform",
            r"(?:operating system|architecture|platform) mismatch",
            r"no child with platform",
            r"os field doesn't match node os",
            r"kubernetes\.io/os\S{0,2} label doesn't match",
            r"\bpodosnotsupported\b",
            r"\bpodosselectornodelabeldoesnotmatch\b",
        ),
    ),
    (
        Cause.UNSUPPORTED_MEDIA,
        _any(
            r"unsupported (?:\S{1,20} ){0,3}(?:media|mime|content)[ -]?type",
            r"unexpected media[ -]?type",
            r"(?:unknown|invalid|unrecognized|unrecognised) (?:manifest )?(?:media|content)[ -]?type",
            r"no longer supported since containerd",
            r"no processor for media-?type",
            r"unsupported image-specific operation on artifact",
            r"invalid rootfs in image configuration",
            r"unsupported manifest",
            r"unsupported compression",
            r"unsupported schema ?version",
            r"accept header does not support",
            r"\bschema ?(?:version )?1\b",
            r"media[ -]?type \S{1,120} (?:is )?not supported",
            r"application/vnd\.\S{1,120} (?:is |are )?not supported",
            # containerd's reader of the first schema; what a policy misses is "no signatures found"
            r": no signatures(?! \w)",
            r"missing signature key",
            r"mediatype in manifest should be",
            r"encountered unknown type",
            r"reference for unknown type",
            r"manifest unknown: oci index found",
            r"manifest unknown: oci manifest found",
        ),
    ),
    (
        Cause.UNPACK,
        _any(
            r"failed to extract layer",
            r"failed to register layer",
            r"failed to apply layer",
            r"apply layer error",
            r"\bapplylayer\b",
            r"error (?:processing tar|unpacking|extracting|applying layer|decrypting)",
            r"failed to unpack image",
            r"failed to prepare extraction snapshot",
            r"invalid tar header",
            r"wrong diff ?id",
            r"unexpected commit (?:digest|size)",
            r"commit failed: rename",
            r"failed size validation",
            r"mismatched image rootfs",
            r"(?:layer|manifest) verification failed",
            r"digest (?:did not|does not) match",
            r"digest mismatch",
            r"does(?: not|n't) match (?:\w{1,20} ){0,3}digest",
            r"\bsize mismatch",
            r"archive/tar: ",
            r"\bdecompress",
            r"gzip: invalid",
            r"flate: corrupt",
            r"\bunpigz\b",
            r"zstd: (?:invalid|magic)",
            r"content digest sha256:[0-9a-f]{1,64}: not found",
            r"parent snapshot \S{1,200} does not exist",
            r"missing parent \S{1,200} bucket",
            r"reader from content store",
            r"insufficient uids or gids",
            r"hcsshim::\w{0,40}layer",
            r"layers? from manifest don't match",
            r"layer not known",
            r"unpacking failed",
            r"adding layer with blob",
            r"re-exec error",
            r"unable to initialize unpacker",
        ),
    ),
    (
        Cause.INVALID_NAME,
        _any(
            r"invalid reference format",
            r"(?:couldn't|could not|can't) parse image",
            r"\binvalidimagename\b",
            r"failed to apply default image tag",
            r"invalid image (?:name|reference)",
            r"failed to parse (?:image )?(?:reference|name)",
            r"object required",
            r"invalid (?:tag format|checksum digest|repository name|port \S{1,40} after host)",
            r"repository name must",
            r"\bname[ _]invalid\b",
            r"short[- ]name (?:mode|resolution)",
            r"did not resolve to an alias",
            r"no (?:unqualified-)?search registries",
            r"pull an unqualified image",
            r"no host in request url",
            r"invalid character \S{1,8} in host name",
            r"unsupported digest algorithm",
        ),
    ),
    (
        Cause.SECRET_MISSING,
        _any(
            r"unable to retrieve (?:some )?(?:image )?pull secrets?",
            r"\bfailedtoretrieveimagepullsecret\b",
            r"illegal base64 data",
            r"unable to parse auth field",
            r"pull ?secrets? \S{1,255} (?:not found|does not exist|is missing)",
            r"(?:couldn't|could not|can't) (?:find|get|read) (?:image )?pull ?secret",
            # the API's words for what the kubelet asked it for; `secret "x" not found` is about an environment variable
            r"\bsecrets \"[^\"]{1,255}\" not found",
        ),
    ),
    (
        Cause.EXPIRED,
        _any(
            r"token (?:\S{1,40} ){0,6}expired",
            r"expired (?:\S{1,40} )?(?:token|credential|password)",
            r"\bexpiredtoken",
            r"\bjwt (?:\S{1,40} ){0,4}expired",
            r"client secret keys? (?:\S{1,80} ){0,4}expired",
            r"\baadsts\d{5,7}: [^.]{1,200}(?:expired|valid time range)",
            r"(?:credentials?|password|secret|api key) (?:has |have |is |are |was )?expired",
        ),
    ),
)

# Words without which `secret "x" not found` is about a container's environment.
PULL_SECRET: Final = re.compile(r"pull ?secret|image pull")

# A limit: what is counted by the minute heals by waiting, what is counted by the month does not.
LIMIT: Final = _any(
    r"too ?many ?requests",
    _status("429"),
    r"rate[ -]?limit",
    r"rate exceeded",
    r"pull qps exceeded",
    r"(?:pull|request|download) limit",
    r"\bthrottl",
    r"\bquota\b",
    r"data limit exceeded",
    r"(?:bandwidth|transfer|storage) limit",
    r"402 payment required",
)
MONTHLY: Final = _any(
    r"\bquota\b",
    r"data limit exceeded",
    r"(?:bandwidth|transfer|storage) limit",
    r"402 payment required",
)
BY_THE_MINUTE: Final = _any(
    r"per[ _-]?(?:second|minute|hour)",
    r"requests per",
    r"request rate",
    r"rate[ -]?limit",
    r"rate exceeded",
    r"pull qps",
)

# The way to the registry. TLS before DNS and the rest only because its words are the most specific.
WAY: Final[tuple[tuple[Cause, re.Pattern[str]], ...]] = (
    (
        Cause.TLS,
        _any(
            r"\bx509\b",
            r"server gave http response to https client",
            r"\btls: ",
            r"does not look like a tls handshake",
            r"malformed http (?:response|status code|version)",
            r"certificate (?:signed|verify|verification|has expired|is valid for|is not trusted|relies on)",
            r"self[- ]signed certificate",
            r"certs\.d/\S{1,255}: no such file",
            r"failed to load (?:ca|cert|client cert)\b",
            r"\bssl (?:handshake|routines|certificate|error)",
            r"(?:tls|ssl) handshake (?:failure|failed|error)",
        ),
    ),
    (
        Cause.DNS,
        _any(
            r"no such host",
            r"server misbehaving",
            r"temporary failure in name resolution",
            r"name or service not known",
            r"could ?n[o']t resolve host",
            r"no address associated with hostname",
            r"name does not resolve",
            r"\beai_again\b",
            r"\blookup [^\s:]{1,255}(?: on \S{1,255})?:",
            r"\blookup [a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8}\s",
            r"\bgetaddrinfo\b",
            r"\bnxdomain\b",
        ),
    ),
    (
        Cause.REFUSED,
        _any(
            r"(?<!\.sock: connect: )connection refused",
            r"(?<!read init-p: )connection reset by peer",  # that one is runc's own pipe
            r"actively refused",
            r"forcibly closed",
            r"connection (?:was )?aborted",
            r"\beconnre(?:fused|set)\b",
        ),
    ),
    (
        Cause.TIMEOUT,
        _any(
            r"i/o timeout",
            r"handshake timeout",
            r"client\.timeout",
            r"timeout awaiting response",
            r"\b(?:network|connection|connect|read|dial) timeout",
            r"context deadline exceeded",
            r"no route to host",
            r"network is unreachable",
            r"host is (?:unreachable|down)",
            r"unreachable (?:network|host)",
            r"did not properly respond",
            r"\ba connection attempt failed",
            r"(?<!gateway )\btimed out",
        ),
    ),
)
# Said by a runtime that gave up, of whatever went wrong before: only where nothing else is said.
GAVE_UP: Final = _any(r"\bcontext cancell?ed", r"request cancell?ed", r"deadline ?exceeded", r"code = canceled")

# Registries that answer the same to who may not look and to who looks for what is not there.
EITHER: Final = _any(
    r"insufficient[_ ]scope\b",
    r"requested access to the resource is denied",
    r"pull access denied",
    r"does not exist or (?:no pull access|may require)",
    r"verify that it exists and you have permission",
    r"not found or (?:access|permission)",
    r"(?:not found|does not exist) or you (?:do not|don't|may not) have",
)
HIDDEN_BY_QUAY: Final = "access to the requested resource is not authorized"
UNAUTHORIZED: Final = _any(
    r"\bunauthori[sz]ed\b",
    _status("401"),
    r"\bunauthenticated\b",
    r"authentication ?(?:is )?required",
    r"authenticat(?:e|ion) (?:error|failed|failure)",
    r"credentials? (?:is |are |was |were )?(?:not valid|invalid|incorrect|wrong|rejected)",
    r"no basic auth credentials",
    r"no user/password was provided",
    r"(?:incorrect|invalid|wrong) (?:username|user ?name|password|credential|client secret|login)",
    r"(?:bad|invalid|wrong|rejected) credential",
    r"\binvalid[_ ](?:client|token)\b",
    r"\baadsts\d{5,7}\b",
    r"\banonymous (?:users?|access|requests?|pulls?)\b",
    r"must be (?:authenticated|logged in)",
    r"security token included in the request is invalid",
    r"not log(?:ged)? ?in\b",
    r"authentication method is not supported",
    r"\bunrecognizedclientexception\b",
    r"no scope specified for token auth challenge",
    _status("407"),
    r"authorization failed",
)
FORBIDDEN: Final = _any(
    r"\bforbidden\b",
    _status("403"),
    # a file that the runtime itself may not open is none of the registry's doing
    r"(?<!permission )(?<!access is )\bdenied\b",
    r"permission denied for",
    r"(?:[\"~]:|\.{3}) permission denied",
    r"code = permissiondenied",
    r"have (?:the )?(?:needed |required )?permission",
    r"not authorized to",
    r"is not allowed access",
    # Google's of an API that a project does not use
    r"is not enabled for consumer",
    r"\bservice_disabled\b",
    r"\baccessdenied(?:exception)?\b",
    r"due to configured policy",
    # Harbor 1's, of its scanner and of Notary
    r"threshold in project setting",
    r"image is not signed",
    r"policy ?violation",
    r"policy_violation",
)
NOT_FOUND: Final = _any(
    r"manifest unknown",
    r"\bmanifest_unknown\b",
    r"\bname[ _]unknown\b",
    r"\bblob[ _]unknown\b",
    r"unknown blob",
    # distribution's own words for NAME_UNKNOWN and the like
    r"known to (?:the )?registry\b",
    r"(?<!executable file )\bnot found\b(?! in \$path)",
    _status("404"),
    r"does(?: not|n't) exist",
    r"no such (?:image|manifest|repository|tag)",
    r"not present with pull policy of never",
    r"\berrimageneverpull\b",
    r"image not known",
    # quay.io: `Tag 1 was deleted or has expired. To pull, revive via time machine`
    r"was deleted or has expired",
    r"(?:repository|image)notfound",
)
# gRPC's own word, where nothing else is said.
SAYS_NOT_FOUND: Final = _any(r"code ?= ?notfound\b")
REGISTRY_ERROR: Final = _any(
    _status(r"5\d\d"),
    _status(r"4(?:0[05-9]|1\d|2[1-8]|51)"),
    r"internal server error",
    r"bad (?:gateway|request)",
    r"method not allowed",
    r"precondition failed",
    r"service (?:is )?(?:temporarily )?unavailable",
    r"services? (?:is not|isn't|are not|aren't) available",
    r"gateway time-?out",
    r"registry is unavailable",
    r"registryunavailable",
    r"unexpected eof",
    r"(?<!reading from server): \"?eof\b",  # that one is the runtime's own socket
    r"^\"?eof\b",
    r"server sent goaway",
    r"server closed (?:idle )?connection",
    r"stream error",
    r"unexpected end of json input",
    r"invalid character '<' looking for beginning",
    r"error parsing http \d{3} response",
    r"use of closed network connection",
    r"broken pipe",
    r"client connection lost",
    r"transport connection broken",
    r"stopped after \d{1,3} redirects",
    r"does not appear to be a v\d registry",
)
