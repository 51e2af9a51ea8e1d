"""Real messages, read: more than 900 of them, from public threads, documents and files, each with the cause that the
rules give it.

`messages.tsv` says where each is from. The set `first` was collected before a pattern was written; the sets `held-out-1`
to `-10` were collected and labelled later, one after the other, and each was read once before anything was tuned to it.
Right then: 67 of 72, 18 of 22, 15 of 16; 106 of 112, 57 of 61, 28 of 31, 65 of 68, 35 of 37; 207 of 219, 106 of 110. They
are held to since.
"""

# ruff: noqa: E501 - the messages are as long as they are
from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.diagnosis.cause import Cause, Wrapper
from webhook.diagnosis.message import MAX_EVIDENCE, is_bare_back_off, read_message, read_reason
from webhook.model.text import is_visible

if TYPE_CHECKING:
    from webhook.diagnosis.cause import Diagnosis

MESSAGES = Path(__file__).with_name("messages.tsv")


def _messages():
    with MESSAGES.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [(cause, source, json.loads(message)) for _, cause, source, message in rows[1:]]


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        pytest.param(cause, message, id=f"{number}-{source.replace('/', '_')}")
        for number, (cause, source, message) in enumerate(_messages(), 2)
    ],
)
def test_a_real_message_is_read(cause, message):
    assert read_message(message).cause == Cause(cause)


def test_every_cause_has_real_messages():
    assert {Cause(cause) for cause, _, _ in _messages()} == set(Cause)
    assert len(_messages()) >= 900


ACR = 'failed to resolve reference "reg.azurecr.io/app:1": failed to authorize: failed to fetch'
ANONYMOUS = f"{ACR} anonymous token: unexpected status from GET request to https://reg.azurecr.io/oauth2/token: 401 Unauthorized"
ICR = "failed to copy: httpReadSeeker: failed open: unexpected status code https://de.icr.io/v2/ns/app"

RULES = {
    "the wrapper is peeled: what the registry says decides": (
        "pull access denied for 1.dkr.ecr.eu-west-1.amazonaws.com/a, repository does not exist or may require 'docker login':"
        " denied: User: arn:aws:sts::1:assumed-role/x is not authorized to perform: ecr:BatchGetImage",
        Cause.FORBIDDEN,
    ),
    "peeled, it may be an expired token": (
        "pull access denied for r/a, repository does not exist or may require 'docker login': denied: Your authorization"
        " token has expired. Reauthenticate and try again.",
        Cause.EXPIRED,
    ),
    "peeled, and nothing in it": (
        "pull access denied for r/a, repository does not exist or may require 'docker login': denied",
        Cause.AMBIGUOUS,
    ),
    "peeled, containerd's": (
        "pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth"
        " credentials",
        Cause.UNAUTHORIZED,
    ),
    "of a list the first decides: not found": (
        f'[rpc error: code = NotFound desc = failed to pull and unpack image "reg.azurecr.io/app:1": reg.azurecr.io/app:1:'
        f' not found, failed to pull and unpack image "reg.azurecr.io/app:1": {ANONYMOUS}]',
        Cause.NOT_FOUND,
    ),
    "of a list the first decides: platform": (
        f"[rpc error: code = NotFound desc = no match for platform in manifest: not found, rpc error: code = Unknown desc ="
        f" {ANONYMOUS}]",
        Cause.PLATFORM,
    ),
    "of a list the first decides: timeout": (
        f"[rpc error: code = Unknown desc = dial tcp 10.0.0.1:443: i/o timeout, rpc error: code = Unknown desc = {ANONYMOUS}]",
        Cause.TIMEOUT,
    ),
    "of a list the first decides: forbidden": (
        f"[rpc error: code = Unknown desc = {ACR} oauth token: unexpected status: 403 Forbidden, rpc error: code = Unknown"
        f" desc = {ANONYMOUS}]",
        Cause.FORBIDDEN,
    ),
    "500, then 401: a bad service principal": (
        "[rpc error: code = Unknown desc = Error response from daemon: Get https://reg.azurecr.io/v2/a: received unexpected"
        " HTTP status: 500 Internal Server Error, rpc error: code = Unknown desc = Error response from daemon: Get"
        " https://reg.azurecr.io/v2/a: unauthorized: authentication required]",
        Cause.UNAUTHORIZED,
    ),
    "502, then 401, was the registry": (
        "[rpc error: code = Unknown desc = unexpected status from HEAD request: 502 Bad Gateway, rpc error: code = Unknown"
        " desc = unauthorized: authentication required]",
        Cause.REGISTRY_ERROR,
    ),
    "a look-up that timed out is dns": (
        "dial tcp: lookup reg.example.com on 10.96.0.10:53: read udp 10.0.0.1:1->10.96.0.10:53: i/o timeout",
        Cause.DNS,
    ),
    "a look-up whose server refused is dns": (
        "dial tcp: lookup reg.example.com on [::1]:53: read udp [::1]:1->[::1]:53: read: connection refused",
        Cause.DNS,
    ),
    "disk quota exceeded is disk": ("write /var/lib/x: disk quota exceeded", Cause.DISK),
    "a full disk while unpacking is disk": (
        "failed to extract layer sha256:1: write /a: no space left on device",
        Cause.DISK,
    ),
    "quay's unauthorized is either": (
        "unexpected status from HEAD request to https://quay.io/v2/a/b/manifests/1: 401 UNAUTHORIZED",
        Cause.AMBIGUOUS,
    ),
    "quay's own words on any host are either": (
        "reading manifest 1 in quay.corp.example/a/b: unauthorized: access to the requested resource is not authorized",
        Cause.AMBIGUOUS,
    ),
    "quay refusing a token is about the credential": (
        "reading manifest 1 in quay.io/a/b: unauthorized: Could not find robot with username: a+b",
        Cause.UNAUTHORIZED,
    ),
    "ACR's 401 on a manifest is either": (
        "unexpected status from HEAD request to https://reg.azurecr.io/v2/app/manifests/1: 401 Unauthorized",
        Cause.AMBIGUOUS,
    ),
    "ACR refusing a token is about the credential": (ANONYMOUS, Cause.UNAUTHORIZED),
    "the registry's root is about the credential": (
        "Get https://reg.azurecr.io/v2/: unauthorized: authentication required",
        Cause.UNAUTHORIZED,
    ),
    "ACR's 401 on what is resolved is either": (
        'failed to resolve reference "reg.azurecr.io/app:1": unexpected status code 401 Unauthorized',
        Cause.AMBIGUOUS,
    ),
    "ACR's bare word is either": ('Failed to pull image "reg.azurecr.io/app:1": unauthorized', Cause.AMBIGUOUS),
    "to have no credential is about the credential": (
        "Get https://reg.azurecr.io/v2/app/manifests/1: no basic auth credentials",
        Cause.UNAUTHORIZED,
    ),
    "an authority that is not there": (
        'get TLSConfig for registry "https://r": failed to load CA file: open /etc/ca.crt: no such file or directory',
        Cause.TLS,
    ),
    "a login that a firewall turned away is forbidden": (
        "login attempt to https://reg.azurecr.io/v2/ failed with status: 403 Forbidden",
        Cause.FORBIDDEN,
    ),
    "a permission that a registry denies": (
        'Failed to pull image "reg.example.com/a:1": permission denied',
        Cause.FORBIDDEN,
    ),
    "a file that the runtime may not open": ("open /var/lib/x: permission denied", Cause.OTHER),
    "Harbor's scanner forbids": (
        'unknown: The severity of vulnerability of the image: "high" is equal or higher than the threshold in project'
        ' setting: "high".',
        Cause.FORBIDDEN,
    ),
    "gRPC's word, where there is no other": (
        'rpc error: code = NotFound desc = failed to pull and unpack image "reg.example.com/a:1"',
        Cause.NOT_FOUND,
    ),
    "gRPC's word decides nothing else": ("code = NotFound desc = failed to copy: unexpected EOF", Cause.REGISTRY_ERROR),
    "what distribution does not know": ("repository name not known to registry", Cause.NOT_FOUND),
    "a connection that was let go": ("http: server closed idle connection", Cause.REGISTRY_ERROR),
    "an answer cut short": ("short read: expected 493 bytes but got 0: unexpected EOF", Cause.REGISTRY_ERROR),
    "a 403 on a layer from icr.io is quota": (f"{ICR}/blobs/sha256:1: 403 Forbidden", Cause.QUOTA),
    "a 403 on a manifest from icr.io is not": (f"{ICR}/manifests/1: 403 Forbidden", Cause.FORBIDDEN),
    "a 403 on a layer elsewhere is not": (
        "unexpected status code https://reg.example.com/v2/a/blobs/sha256:1: 403 Forbidden",
        Cause.FORBIDDEN,
    ),
    "not-icr.io is not icr.io": (
        "unexpected status code https://not-icr.io/v2/a/blobs/sha256:1: 403 Forbidden",
        Cause.FORBIDDEN,
    ),
    "media type before not found": ("unexpected media type text/html for sha256:1: not found", Cause.UNSUPPORTED_MEDIA),
    "unpack before not found": ("error unpacking image: content digest sha256:1: not found", Cause.UNPACK),
    "a limit by the minute heals by waiting": (
        "denied: Quota exceeded for quota metric 'Requests per project per region' and limit 'Requests per project per"
        " region per minute per region'",
        Cause.RATE_LIMIT,
    ),
    "a limit by the month does not": ("toomanyrequests: Data limit exceeded", Cause.QUOTA),
    "insufficient_scope is either": ("server message: insufficient_scope: authorization failed", Cause.AMBIGUOUS),
    "insufficient_scope on icr.io is unauthorized": (
        'failed to resolve reference "us.icr.io/ns/app:1": server message: insufficient_scope: authorization failed',
        Cause.UNAUTHORIZED,
    ),
    "a name is no cause: rate limit": (
        'Failed to pull image "envoyproxy/ratelimit:429": docker.io/envoyproxy/ratelimit:429: not found',
        Cause.NOT_FOUND,
    ),
    "a name is no cause: unauthorized": (
        'failed to resolve reference "reg.example.com/unauthorized/x509:denied": failed to do request: Head'
        ' "https://reg.example.com/v2/unauthorized/x509/manifests/denied": dial tcp 10.0.0.1:443: i/o timeout',
        Cause.TIMEOUT,
    ),
    "mirrors: the registry's own answer decides": (
        "(Mirrors also failed: [m.example/a:1: reading manifest 1 in m.example/a: manifest unknown]): quay.io/a:1: pinging"
        ' container registry quay.io: Get "https://quay.io/v2/": dial tcp: lookup quay.io: no such host',
        Cause.DNS,
    ),
    "a wrapper's own 500 is no answer": (
        "(HTTP code 500) server error - Get https://r.example/v2/: dial tcp 10.0.0.1:443: connect: connection refused",
        Cause.REFUSED,
    ),
    "a runtime's socket is no registry": (
        "connection error: dial unix /run/containerd/containerd.sock: connect: connection refused",
        Cause.OTHER,
    ),
    "docker's own status is no answer of the registry": (
        "API error (500): unable to ping registry endpoint https://gcr.io/v0/",
        Cause.OTHER,
    ),
    "a status in brackets is one": ('[401][{"errors":[{"code":"DENIED","message":"x"}]}]', Cause.UNAUTHORIZED),
    "a process in brackets is none": ("kubelet[401]: the flux capacitor is out of plutonium", Cause.OTHER),
    "a link to Azure's help names the registry": (
        "unauthorized: authentication required, visit https://aka.ms/acr/authorization for more information.",
        Cause.AMBIGUOUS,
    ),
    "Azure's directory says that a secret expired": (
        '{"error":"invalid_client","error_description":"AADSTS700024: Client assertion is not within its valid time range."}',
        Cause.EXPIRED,
    ),
    "Azure's directory does not know the principal": (
        '{"error":"unauthorized_client","error_description":"AADSTS700016: Application was not found in the directory."}',
        Cause.UNAUTHORIZED,
    ),
    "a tag that expired is no credential that did": (
        "reading manifest 1 in quay.io/a/b: unknown: Tag 1 was deleted or has expired. To pull, revive via time machine",
        Cause.NOT_FOUND,
    ),
    "an unsupported media type, whatever stands between": (
        "unsupported docker v2s2 media type",
        Cause.UNSUPPORTED_MEDIA,
    ),
    "a schema that is not read": (
        "application/vnd.docker.distribution.manifest.v1+prettyjws not supported",
        Cause.UNSUPPORTED_MEDIA,
    ),
    "a manifest with another digest": ("Manifest does not match provided manifest digest sha256:0", Cause.UNPACK),
    "runc's pipe is no registry": ('caused "read init-p: connection reset by peer": unknown', Cause.OTHER),
    "a probe is no pull": (
        'Readiness probe failed: Get "http://10.1.0.42:8080/": dial tcp 10.1.0.42:8080: connect: connection refused',
        Cause.OTHER,
    ),
    "a runtime that ends is no registry": ("code = Unavailable desc = error reading from server: EOF", Cause.OTHER),
    "a token with too few scopes is about the credential": (
        "unauthorized: access token has insufficient scopes",
        Cause.UNAUTHORIZED,
    ),
    "a thin pool that is full": (
        "devmapper: Thin Pool has 1 free data blocks which is less than minimum required 2 free data blocks",
        Cause.DISK,
    ),
    "an API that is off": (
        "unknown: Service 'containerregistry.googleapis.com' is not enabled for consumer 'project:p'",
        Cause.FORBIDDEN,
    ),
    "a secret for the environment is no pull secret": ('Error: secret "db" not found', Cause.OTHER),
    "a credential helper that is not there is not known": (
        'error getting credentials - err: exec: "docker-credential-x": executable file not found in $PATH',
        Cause.OTHER,
    ),
    "what is not known is not forced": ("the flux capacitor is out of plutonium", Cause.OTHER),
}


@pytest.mark.parametrize(("message", "cause"), RULES.values(), ids=RULES.keys())
def test_rules(message, cause):
    assert read_message(message).cause is cause


def test_what_is_not_known_is_quoted():
    text = "the flux capacitor \x1b[31mis\x1b[0m out of plutonium"
    assert read_message(text).evidence == r"the flux capacitor \x1b[31mis\x1b[0m out of plutonium"


ABOUT = {
    "containerd": (
        'Failed to pull image "busybox:1": failed to pull and unpack image "docker.io/library/busybox:1": failed to resolve'
        ' reference "docker.io/library/busybox:1": docker.io/library/busybox:1: not found',
        "busybox:1",
        "docker.io",
        None,
        Wrapper.CONTAINERD,
    ),
    "cri-o names the registry that it chose": (
        'Failed to pull image "team/app:1": initializing source docker://quay.io/team/app:1: reading manifest 1 in'
        " quay.io/team/app: manifest unknown",
        "team/app:1",
        "quay.io",
        None,
        Wrapper.CRIO,
    ),
    "the pod's host, not its mirror's": (
        'Failed to pull image "docker.io/a/b:1": (Mirrors also failed: [m.example:443/a/b:1: reading manifest 1 in'
        " m.example:443/a/b: manifest unknown]): docker.io/a/b:1: reading manifest 1 in docker.io/a/b: manifest unknown",
        "docker.io/a/b:1",
        "docker.io",
        None,
        Wrapper.CRIO,
    ),
    "a host before a name that was cut": (
        'Failed to pull image "registry.redhat.io/...": unauthorized',
        None,
        "registry.redhat.io",
        None,
        Wrapper.KUBELET,
    ),
    "a host that was blotted out is not known": (
        'Failed to pull image "<name>.azurecr.io/app:1": unauthorized',
        None,
        None,
        None,
        Wrapper.KUBELET,
    ),
    "a name that is none, with a host": (
        'Failed to apply default image tag "gcr.io/PROJECT/a:1": couldn\'t parse image name: invalid reference format',
        "gcr.io/PROJECT/a:1",
        "gcr.io",
        None,
        Wrapper.KUBELET,
    ),
    "a port stays": (
        'Failed to pull image "reg.corp:5000/a:1": initializing source docker://reg.corp:5000/a:1: pinging container'
        ' registry reg.corp:5000: Get "https://reg.corp:5000/v2/": dial tcp 10.0.0.1:5000: connect: connection refused',
        "reg.corp:5000/a:1",
        "reg.corp:5000",
        None,
        Wrapper.CRIO,
    ),
    "docker": (
        'Failed to pull image "a/b:1": rpc error: code = Unknown desc = Error response from daemon: no matching manifest for'
        " linux/arm/v7 in the manifest list entries",
        "a/b:1",
        "docker.io",
        "linux/arm/v7",
        Wrapper.DOCKER,
    ),
    "a Windows build": (
        "no matching manifest for windows/amd64 10.0.17763 in the manifest list entries",
        None,
        None,
        "windows/amd64 10.0.17763",
        Wrapper.NONE,
    ),
    "containers/image": (
        'choosing image instance: no image found in image index for architecture "arm64", variant "v8", OS "linux"',
        None,
        None,
        "linux/arm64/v8",
        Wrapper.CRIO,
    ),
    "containers/image without a variant": (
        'choosing image instance: no image found in manifest list for architecture amd64, variant "", OS windows',
        None,
        None,
        "windows/amd64",
        Wrapper.CRIO,
    ),
    "an image for another system": (
        'image operating system "windows" cannot be used on this platform',
        None,
        None,
        "windows",
        Wrapper.NONE,
    ),
    "only a host": (
        'Get "https://registry-1.docker.io/v2/": net/http: TLS handshake timeout',
        None,
        "docker.io",
        None,
        Wrapper.NONE,
    ),
    "only a look-up": (
        "dial tcp: lookup azureacr.io on 10.0.0.10:53: no such host",
        None,
        "azureacr.io",
        None,
        Wrapper.NONE,
    ),
    "a name that is none": (
        'Failed to apply default image tag "Foo/BAR:": couldn\'t parse image name "Foo/BAR:": invalid reference format',
        "Foo/BAR:",
        None,
        None,
        Wrapper.KUBELET,
    ),
    "escaped by a log": (
        r'err="failed to pull and unpack image \"reg.example.com/a:1\": no match for platform in manifest: not found"',
        "reg.example.com/a:1",
        "reg.example.com",
        None,
        Wrapper.CONTAINERD,
    ),
}


@pytest.mark.parametrize(("message", "image", "registry", "platform", "wrapper"), ABOUT.values(), ids=ABOUT.keys())
def test_what_it_is_about(message, image, registry, platform, wrapper):
    read = read_message(message)
    assert (read.image, read.registry, read.platform, read.wrapper) == (image, registry, platform, wrapper)


EVIDENCE = {
    "the leaf": (
        'Failed to pull image "a/b": failed to resolve reference "docker.io/a/b:latest": failed to do request: Head'
        ' "https://registry-1.docker.io/v2/a/b/manifests/latest": dial tcp 10.0.0.1:443: i/o timeout',
        "dial tcp 10.0.0.1:443: i/o timeout",
    ),
    "a short leaf takes what stands before it": (
        'failed to resolve reference "reg.example.com/a:1": reg.example.com/a:1: not found',
        "reg.example.com/a:1: not found",
    ),
    "of a list, the first try's": (
        '[failed to pull and unpack image "reg.azurecr.io/app:1": reg.azurecr.io/app:1: not found, failed to pull and unpack'
        f' image "reg.azurecr.io/app:1": {ANONYMOUS}]',
        "reg.azurecr.io/app:1: not found",
    ),
    "gRPC's words are no evidence": (
        "rpc error: code = Unknown desc = no matching manifest for linux/arm64 in the manifest list entries",
        "no matching manifest for linux/arm64 in the manifest list entries",
    ),
    "a log's fields are none": (
        r'err="x: no matching manifest for linux/arm64 in the manifest list entries" image="a/b"',
        "no matching manifest for linux/arm64 in the manifest list entries",
    ),
}


@pytest.mark.parametrize(("message", "evidence"), EVIDENCE.values(), ids=EVIDENCE.keys())
def test_evidence(message, evidence):
    assert read_message(message).evidence == evidence


REASONS = {
    "ErrImagePull": ("ErrImagePull", "reg.example.com/a:1: not found", Cause.NOT_FOUND),
    "ImagePullBackOff that says why (1.31 and later)": (
        "ImagePullBackOff",
        'Back-off pulling image "reg.example.com/a:1": ErrImagePull: reg.example.com/a:1: not found',
        Cause.NOT_FOUND,
    ),
    "ImagePullBackOff that does not": ("ImagePullBackOff", 'Back-off pulling image "reg.example.com/a:1"', Cause.OTHER),
    "InvalidImageName": ("InvalidImageName", 'Failed to apply default image tag "A": x', Cause.INVALID_NAME),
    "InvalidImageName alone": ("InvalidImageName", "", Cause.INVALID_NAME),
    "ErrImageNeverPull": ("ErrImageNeverPull", 'Container image "a" is not present with pull policy of Never', Cause.NOT_FOUND),
    "ImageInspectError": (
        "ImageInspectError",
        'Failed to inspect image "": rpc error: code = Unknown desc = short name mode is enforcing, but image name a:1 returns'
        " ambiguous list",
        Cause.INVALID_NAME,
    ),
    "ImageInspectError, not known": ("ImageInspectError", "Failed to inspect image: what", Cause.OTHER),
    "RegistryUnavailable": ("RegistryUnavailable", "image pull failed for a:1 because the registry is unavailable", Cause.REGISTRY_ERROR),
    "RegistryUnavailable that says why": (
        "RegistryUnavailable",
        'pinging container registry r:5000: Get "https://r:5000/v2/": dial tcp 10.0.0.1:5000: connect: connection refused',
        Cause.REFUSED,
    ),
    "RegistryUnavailable alone": ("RegistryUnavailable", "", Cause.REGISTRY_ERROR),
    "SignatureValidationFailed": (
        "SignatureValidationFailed",
        "Source image rejected: A signature was required, but no signature exists",
        Cause.OTHER,
    ),
    "PodOSNotSupported": ("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS", Cause.PLATFORM),
    "PodOSSelectorNodeLabelDoesNotMatch": (
        "PodOSSelectorNodeLabelDoesNotMatch",
        "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
        Cause.PLATFORM,
    ),
    "a keyring's bare error": ("illegal base64 data at input byte 0", "", Cause.SECRET_MISSING),
    "another of the keyring's": ("unable to parse auth field, must be formatted as base64(username:password)", "", Cause.SECRET_MISSING),
    "JSON that is none": ("invalid character 'x' looking for beginning of value", "", Cause.SECRET_MISSING),
    "FailedToRetrieveImagePullSecret": (
        "FailedToRetrieveImagePullSecret",
        "Unable to retrieve some image pull secrets (a, b); attempting to pull the image may not succeed.",
        Cause.SECRET_MISSING,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("reason", "message", "cause"), REASONS.values(), ids=REASONS.keys())
def test_reasons(reason, message, cause):
    read = read_reason(reason, message)
    assert read is not None
    assert read.cause is cause


@pytest.mark.parametrize(
    "reason", ["CrashLoopBackOff", "ContainerCreating", "CreateContainerConfigError", "", "Evicted"]
)
def test_other_reasons_are_none_of_ours(reason):
    assert read_reason(reason, "manifest unknown") is None


def test_the_secrets_that_are_not_there_are_named():
    read = read_reason("FailedToRetrieveImagePullSecret", REASONS["FailedToRetrieveImagePullSecret"][1])
    assert read is not None
    assert read.secrets == ("a", "b")
    logged = 'Unable to retrieve pull secret team/regcred for team/web due to secret "regcred" not found.'
    assert read_message(logged).secrets == ("regcred",)


def test_a_bare_back_off_is_known_as_one():
    assert is_bare_back_off('Back-off pulling image "a/b:1"')
    assert not is_bare_back_off('Back-off pulling image "a/b:1": ErrImagePull: a/b:1: not found')


def assert_harmless(read: Diagnosis) -> None:
    for text in (read.evidence, read.registry, read.image, read.platform, *read.secrets):
        assert text is None or all(map(is_visible, text))
    assert len(read.evidence) <= MAX_EVIDENCE
    assert len(read.image or "") <= 512
    assert len(read.registry or "") <= 512


_words = st.sampled_from(
    ["[rpc error: code", ", rpc error: code", "(mirrors also failed: [", "]): ", "pull access denied", "may require 'docker login'",
     'failed to pull image "', '"', '\\"', ": ", "not found", "401 Unauthorized", "https://reg.azurecr.io/v2/a", "lookup ",
     "\n", "\\n", "\x1b[0m", "\u202e", "\x00", "token ", "expired", 'secrets "', "image pull secrets (", "docker://a/b", "x509",
     "quay.io/a/b", "İ", "for linux/", "architecture ", "500", 'back-off pulling image "a"']
)  # fmt: skip
_texts = st.one_of(st.text(), st.lists(st.one_of(_words, st.text(max_size=5))).map("".join))


@given(_texts)
@example('Failed to pull image "\u202egnp.exe"')
@example("lookup " + "a." * 50_000)
def test_any_text_is_read(text):
    assert_harmless(read_message(text))


@given(_texts, _texts)
def test_any_reason_is_read(reason, message):
    read = read_reason(reason, message)
    if read is not None:
        assert_harmless(read)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "lookup ",
        '"',
        '\\"',
        ": ",
        "https://",
        "pull access denied ",
        "[rpc error: code, ",
        "token x ",
        "mirrors also failed: [",
        "quay.io.",
        "icr.io.",
    ],
)
@pytest.mark.parametrize("first", ["", "unauthorized ", "pull access denied "])
def test_a_megabyte_in_one_line_is_read(first, piece):
    assert_harmless(read_message(first + piece * (1_000_000 // len(piece))))
