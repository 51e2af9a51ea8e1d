from __future__ import annotations

import base64
import itertools
import json
import os
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import oracle_client
from tests.model.keyring_cases import Generator
from webhook.model.dockerconfig import DOCKER_CFG, DOCKER_CONFIG_JSON, _expiry, read_secret, username_kind
from webhook.model.hostkey import locate
from webhook.model.keyring import Mismatch, explain, look_up

HUB = "https://index.docker.io/v1/"
NGINX = "docker.io/library/nginx"


def secret(name, content, secret_type=DOCKER_CONFIG_JSON):
    """A pull secret; `content` is a list of keys with empty entries, or a value, or text."""
    if isinstance(content, list):
        content = {key: {} for key in content}
        content = content if secret_type == DOCKER_CFG else {"auths": content}
    if not isinstance(content, str):
        content = json.dumps(content)
    data_key = ".dockercfg" if secret_type == DOCKER_CFG else ".dockerconfigjson"
    data = {data_key: base64.b64encode(content.encode()).decode()}
    return read_secret({"metadata": {"name": name, "namespace": "team-a"}, "type": secret_type, "data": data})


def found(secrets, repository):
    return [(match.secret.name, match.entry.key) for match in look_up(secrets, repository).matches]


# --- the look-up -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "repository", "expected"),
    [
        pytest.param([], "us.icr.io/ns/app", [], id="no-keys"),
        pytest.param(["us.icr.io", "de.icr.io"], "us.icr.io/ns/app", ["us.icr.io"], id="host"),
        pytest.param(["icr.io", "US.icr.io"], "us.icr.io/ns/app", [], id="neither-parent-nor-capitals"),
        pytest.param(["*.icr.io", "us.icr.*", "*"], "us.icr.io/a", ["us.icr.*", "*.icr.io"], id="globs"),
        pytest.param(["r:5000", "r", "r:443"], "r:5000/a", ["r:5000"], id="port"),
        pytest.param(["gcr.io/pong"], "gcr.io/pongz/x", ["gcr.io/pong"], id="pong-is-a-prefix-of-pongz"),
        pytest.param(
            ["quay.io", "quay.io/team", "quay.io/team/app"],
            "quay.io/team/app",
            ["quay.io/team/app", "quay.io/team", "quay.io"],
            id="the-longer-first",
        ),
        pytest.param(["*.io", "quay.io"], "quay.io/a", ["quay.io", "*.io"], id="a-star-sorts-below-letters"),
        pytest.param(["https://quay.io", "quay.io"], "quay.io/a", ["https://quay.io", "quay.io"], id="two-spellings"),
        pytest.param([HUB], NGINX, [HUB], id="docker-hub"),
        pytest.param(["docker.io"], NGINX, ["docker.io"], id="docker.io"),
        pytest.param([HUB, "docker.io"], NGINX, ["docker.io"], id="docker-hub-only-where-nothing-else-matches"),
        pytest.param([HUB, "*.*"], NGINX, ["*.*"], id="not-even-beside-a-glob"),
        pytest.param(["https://index.docker.io/v1"], NGINX, [], id="docker-hub-without-the-slash"),
        pytest.param(["https://index.docker.io/v1/library"], NGINX, [], id="docker-hub-with-a-path"),
        pytest.param(["registry-1.docker.io", "hub.docker.com"], NGINX, [], id="other-names-of-docker-hub"),
        pytest.param([HUB], "localhost/app", [HUB], id="localhost-is-taken-for-a-docker-hub-user"),
        pytest.param([HUB], "REGISTRY/app", [HUB], id="a-host-in-capitals-too"),
        pytest.param([HUB], "localhost:5000/app", [], id="not-with-a-port"),
        pytest.param([HUB], "us.icr.io/ns/app", [], id="not-with-a-dot"),
    ],
)
def test_one_secret(keys, repository, expected):
    assert [key for _, key in found([secret("s", keys)], repository)] == expected


@pytest.mark.parametrize(
    ("secrets", "expected"),
    [
        pytest.param(
            [secret("wide", ["quay.io"]), secret("narrow", ["quay.io/team"])],
            [("narrow", "quay.io/team"), ("wide", "quay.io")],
            id="the-longer-key-first-whatever-the-list-says",
        ),
        pytest.param(
            [secret("b", ["quay.io"]), secret("a", ["https://quay.io/v2/"])],
            [("b", "quay.io"), ("a", "https://quay.io/v2/")],
            id="one-key-in-the-order-of-the-list",
        ),
        pytest.param(
            [secret("a", ["quay.io"], DOCKER_CFG), secret("a", ["quay.io"], DOCKER_CFG)],
            [("a", "quay.io"), ("a", "quay.io")],
            id="listed-twice-is-tried-twice",
        ),
        pytest.param(
            [secret("opaque", ["quay.io"], "Opaque"), secret("good", ["quay.io"])],
            [("good", "quay.io")],
            id="another-type-is-passed-over",
        ),
        pytest.param(
            [secret("broken", "{", "Opaque"), secret("empty", ""), secret("good", ["quay.io"])],
            [("good", "quay.io")],
            id="what-is-passed-over-can-not-fail",
        ),
        pytest.param([secret("hub", [HUB]), secret("a", ["quay.io"])], [("a", "quay.io")], id="hub-elsewhere"),
    ],
)
def test_several_secrets(secrets, expected):
    assert found(secrets, "quay.io/team/app") == expected


def test_one_broken_secret_fails_the_look_up():
    good, broken = secret("good", ["quay.io"]), secret("broken", {"auths": {"other": {"auth": "?"}}})
    second = secret("second", "[]")
    looked_up = look_up([good, broken, second], "quay.io/a")
    assert (looked_up.matches, looked_up.error) == ((), "illegal base64 data at input byte 0")
    assert looked_up.broken is broken


def test_an_empty_entry_matches():
    (match,) = look_up([secret("s", {"auths": {HUB: {}}})], NGINX).matches
    assert not match.entry.has_password


# --- the trace -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "repository", "mismatch", "reason"),
    [
        pytest.param("us.icr.io", "us.icr.io/ns/app", None, "key `us.icr.io` covers us.icr.io/ns/app", id="matched"),
        pytest.param(HUB, NGINX, None, f"key `{HUB}` is Docker Hub's, and no other key matches", id="docker-hub"),
        pytest.param(
            HUB,
            "localhost/app",
            None,
            f"key `{HUB}` is Docker Hub's, which the kubelet takes a host without dot or port for",
            id="docker-hub-for-localhost",
        ),
        pytest.param(
            "de.icr.io",
            "us.icr.io/ns/app",
            Mismatch.OTHER_HOST,
            "key `de.icr.io` is for another host than us.icr.io",
            id="host",
        ),
        pytest.param(
            HUB, "us.icr.io/ns/app", Mismatch.OTHER_HOST, f"key `{HUB}` is for docker.io, not for us.icr.io", id="hub"
        ),
        pytest.param(
            "*.azurecr.io",
            "myreg.azureacr.io/app",
            Mismatch.OTHER_HOST,
            "glob `*.azurecr.io` doesn't match myreg.azureacr.io",
            id="glob",
        ),
        pytest.param(
            "*.azurecr.io",
            "a.b.azurecr.io/app",
            Mismatch.GLOB_DEPTH,
            "glob `*.azurecr.io` has 3 labels, a.b.azurecr.io has 4: `*` never stands for a dot",
            id="glob-depth",
        ),
        pytest.param(
            "*",
            "us.icr.io:443/app",
            Mismatch.GLOB_DEPTH,
            "glob `*` has 1 label, us.icr.io:443 has 3: `*` never stands for a dot",
            id="star-alone",
        ),
        pytest.param(
            "azurecr.io",
            "myreg.azurecr.io/app",
            Mismatch.SUBDOMAIN,
            "key `azurecr.io` is for that host alone, not for myreg.azurecr.io",
            id="parent-domain",
        ),
        pytest.param(
            "US.ICR.IO",
            "us.icr.io/app",
            Mismatch.CAPITALS,
            "key `US.ICR.IO` differs from us.icr.io in capital letters, and they count",
            id="capitals",
        ),
        pytest.param(
            "reg.example:5000",
            "reg.example/app",
            Mismatch.OTHER_PORT,
            "key `reg.example:5000` is for port 5000, the image names no port",
            id="port-in-the-key",
        ),
        pytest.param(
            "*.example",
            "reg.example:5000/app",
            Mismatch.OTHER_PORT,
            "key `*.example` names no port, the image names port 5000",
            id="port-in-the-image",
        ),
        pytest.param(
            "us.icr.io/team-a",
            "us.icr.io/team-b/app",
            Mismatch.OTHER_PATH,
            "key `us.icr.io/team-a` is for paths that start with /team-a, the image is at /team-b/app",
            id="path",
        ),
        pytest.param(
            "us.icr.io/ns/app:1.0",
            "us.icr.io/ns/app",
            Mismatch.TAG_IN_KEY,
            "key `us.icr.io/ns/app:1.0` has a tag or digest, and images are looked up without theirs",
            id="tag",
        ),
        pytest.param(
            "us.icr.io/ns/app@sha256:" + "0" * 64,
            "us.icr.io/ns/app",
            Mismatch.TAG_IN_KEY,
            "key `us.icr.io/ns/app@sha256:00000000000000000000000000000000000…`"
            " has a tag or digest, and images are looked up without theirs",
            id="digest",
        ),
        pytest.param(
            "https://index.docker.io/v1",
            NGINX,
            Mismatch.DOCKER_HUB_KEY,
            f"key `https://index.docker.io/v1` is not the one Docker Hub is looked up by: use `{HUB}`",
            id="docker-hub-without-the-slash",
        ),
        pytest.param(
            "docker.io/v1",
            NGINX,
            Mismatch.DOCKER_HUB_KEY,
            f"key `docker.io/v1` is not the one Docker Hub is looked up by: use `{HUB}`",
            id="docker.io-without-the-slash",
        ),
        pytest.param(
            "Registry.Hub.Docker.com",
            NGINX,
            Mismatch.DOCKER_HUB_KEY,
            f"key `Registry.Hub.Docker.com` is not the one Docker Hub is looked up by: use `{HUB}`",
            id="another-name-of-docker-hub",
        ),
        pytest.param(
            "HTTPS://us.icr.io",
            "us.icr.io/app",
            Mismatch.SCHEME,
            "key `HTTPS://us.icr.io` starts with HTTPS://, only https:// and http:// are dropped",
            id="scheme-in-capitals",
        ),
        pytest.param(
            "oci://us.icr.io",
            "us.icr.io/app",
            Mismatch.SCHEME,
            "key `oci://us.icr.io` starts with oci://, only https:// and http:// are dropped",
            id="scheme",
        ),
        pytest.param(
            "us.icr.io ",
            "us.icr.io/app",
            Mismatch.NOT_A_HOST,
            "key `us.icr.io ` can't be read as a host: it has white space in it",
            id="space",
        ),
        pytest.param(
            "us.icr.io\n\x1b[31m",
            "us.icr.io/app",
            Mismatch.NOT_A_HOST,
            r"key `us.icr.io\n\x1b[31m` can't be read as a host: it has white space in it",
            id="control-characters",
        ),
        pytest.param(
            "us.icr.io:https",
            "us.icr.io/app",
            Mismatch.NOT_A_HOST,
            "key `us.icr.io:https` can't be read as a host: what follows its colon is no port",
            id="port-is-a-word",
        ),
        pytest.param(
            "us.\u0456cr.io",
            "us.icr.io/app",
            Mismatch.NOT_A_HOST,
            "key `us.\u0456cr.io` can't be read as a host: it has a character outside ASCII",
            id="look-alike",
        ),
        pytest.param(
            "us.icr.io/%zz",
            "us.icr.io/app",
            Mismatch.NOT_A_HOST,
            "key `us.icr.io/%zz` can't be read as a host",
            id="escape",
        ),
        pytest.param(
            "[2001:db8::1]",
            "[2001:db8::1]/app",
            Mismatch.BRACKETS,
            "key `[2001:db8::1]` has an IPv6 address without a port, whose brackets are read as a glob",
            id="ipv6",
        ),
        pytest.param(
            "https://bob:hunter2@de.icr.io",
            "us.icr.io/app",
            Mismatch.OTHER_HOST,
            "key `https://***@de.icr.io` is for another host than us.icr.io",
            id="password-in-the-key",
        ),
    ],
)
def test_reason_of_a_key(key, repository, mismatch, reason):
    (trace,) = explain([secret("s", [key])], repository)
    assert (trace.mismatch, trace.reason, trace.matched) == (mismatch, reason, mismatch is None)


@pytest.mark.parametrize(
    ("read", "mismatch", "reason"),
    [
        pytest.param(
            secret("s", ["us.icr.io"], "Opaque"),
            Mismatch.OTHER_TYPE,
            "the secret is of type Opaque, which the kubelet passes over in silence",
            id="type",
        ),
        pytest.param(
            secret("s", ""),
            Mismatch.NO_DATA,
            "the secret has no .dockerconfigjson, so the kubelet passes over it",
            id="no-data",
        ),
        pytest.param(
            secret("s", {"auths": {"x": {"auth": "?"}}}),
            Mismatch.UNDECODABLE,
            "the secret can't be decoded (illegal base64 data at input byte 0), which fails every pull of the pod",
            id="undecodable",
        ),
        pytest.param(secret("s", "{}"), Mismatch.NO_HOSTS, "the secret has no host in it", id="no-hosts"),
        pytest.param(
            secret("s", {"us.icr.io": {"auth": "YTpi"}}),
            Mismatch.MISPLACED,
            "the secret has its hosts beside `auths` instead of in it",
            id="older-content",
        ),
    ],
)
def test_reason_of_a_secret(read, mismatch, reason):
    (trace,) = explain([read], "us.icr.io/ns/app")
    assert (trace.key, trace.mismatch, trace.reason) == (None, mismatch, reason)


def test_reason_of_newer_content_in_the_older_type():
    (trace,) = explain([secret("s", {"auths": {"us.icr.io": {"auth": "YTpi"}}}, DOCKER_CFG)], "us.icr.io/ns/app")
    assert trace.mismatch is Mismatch.MISPLACED
    assert trace.reason == (
        "`auths` is read as a host here: content with `auths` belongs in type kubernetes.io/dockerconfigjson"
    )


def test_reason_of_docker_hubs_key_beside_another():
    _, trace = explain([secret("s", [HUB, "docker.io"])], NGINX)
    assert (trace.mismatch, trace.reason) == (
        Mismatch.SHADOWED,
        f"key `{HUB}` counts only where no other key matches, and `docker.io` does",
    )


def test_reason_beside_a_broken_secret():
    secrets = [secret("good", ["us.icr.io", "de.icr.io"]), secret("broken", "[]"), secret("worse", "{")]
    assert [(trace.secret.name, trace.key, trace.mismatch) for trace in explain(secrets, "us.icr.io/app")] == [
        ("good", "us.icr.io", Mismatch.BLOCKED),
        ("good", "de.icr.io", Mismatch.OTHER_HOST),
        ("broken", None, Mismatch.UNDECODABLE),
        ("worse", None, Mismatch.UNDECODABLE),
    ]
    assert explain(secrets, "us.icr.io/app")[0].reason == (
        "key `us.icr.io` would match, but secret broken can't be decoded, so none is used"
    )


def test_matched_ones_first_in_the_kubelets_order():
    secrets = [secret("a", ["de.icr.io", "us.icr.io"]), secret("b", ["us.icr.io/ns", "quay.io"])]
    assert [(trace.secret.name, trace.key, trace.matched) for trace in explain(secrets, "us.icr.io/ns/app")] == [
        ("b", "us.icr.io/ns", True),
        ("a", "us.icr.io", True),
        ("a", "de.icr.io", False),
        ("b", "quay.io", False),
    ]


REPOSITORIES = st.sampled_from(
    [NGINX, "us.icr.io/ns/app", "localhost/a", "r:5000/a", "[::1]:5000/a", "A/b", "a", "", "é/x"]
)
KEYS = st.text() | st.text(alphabet="a1.:/[]%@?#*-AF ") | st.sampled_from([HUB, "us.icr.io", "*.*", "docker.io"])
CONTENTS = st.lists(KEYS, max_size=4) | st.sampled_from(
    ["", "{", "[]", '{"x":{"auth":""}}', '{"auths":{"x":{"auth":"?"}}}']
)
SECRETS = st.lists(st.tuples(CONTENTS, st.sampled_from([DOCKER_CONFIG_JSON, DOCKER_CFG, "Opaque"])), max_size=4)


@given(SECRETS, REPOSITORIES | st.text(alphabet="a1.:/[]*%"))
def test_every_key_is_explained_once_and_as_it_is_looked_up(made, repository):
    secrets = [secret(f"s{number}", content, secret_type) for number, (content, secret_type) in enumerate(made)]
    looked_up = look_up(secrets, repository)
    lines = explain(secrets, repository)
    matched = [line for line in lines if line.matched]
    assert [(line.secret, line.entry) for line in matched] == [(m.secret, m.entry) for m in looked_up.matches]
    assert lines[: len(matched)] == tuple(matched)
    explained = Counter((line.secret.name, line.key) for line in lines)
    expected = Counter()
    for one in secrets:
        whole = one.ignored or one.problem is not None or not one.entries
        expected.update([(one.name, None)] if whole else [(one.name, entry.key) for entry in one.entries])
    assert explained == expected
    assert all(line.reason.isprintable() and "\n" not in line.reason for line in lines)


# --- against Kubernetes' own packages --------------------------------------------------------------------------------

CASES = 25_000
SEED = int(os.environ.get("PULLPROOF_SEED", "1363"))


def facts(match, case):
    entry = match.entry
    email = case.emails[match.secret.name, entry.key] if case.exact else ""
    return (
        match.secret.name,
        email,
        entry.username.value,
        entry.has_password,
        entry.stray_space,
        entry.expires_at or 0,
    )


def their_facts(credential, case, host):
    email, username, password = (base64.b64decode(credential[name] or "") for name in ("email", "username", "password"))
    stray_space = username != username.strip() or password != password.strip()
    kind = username_kind(username, host).value
    marked = email.decode() if case.exact else ""
    return (credential["secret"], marked, kind, password != b"", stray_space, _expiry(password) or 0)


def disagreement(case, answer, seen):
    """What differs between our look-up and Kubernetes', or None. Counts in `seen` what was compared."""
    looked_up = look_up([read_secret(secret) for secret in case.secrets], case.repository)
    if "error" in answer:
        seen[f"{answer['kind']} error"] += 1
        words_count = answer["kind"] != "syntax"  # Go quotes a character of the secret there
        if looked_up.error is None or (words_count and looked_up.error != answer["error"]):
            return f"{looked_up.error!r}, and not {answer['error']!r}"
        return None
    ours, theirs = looked_up.matches, answer["found"]
    if looked_up.error is not None or len(ours) != len(theirs):
        return f"{looked_up.error!r} or {len(ours)} found, and not {len(theirs)}"
    seen[f"{min(len(theirs), 4)}{'+' if len(theirs) >= 4 else ''} found"] += 1
    start = 0
    # two spellings of one key within one secret come in the order of a Go map: none
    for (_, pattern), matches in itertools.groupby(ours, key=lambda match: (match.secret.name, match.entry.pattern)):
        mine = [facts(match, case) for match in matches]
        same, start = theirs[start : start + len(mine)], start + len(mine)
        its = [their_facts(credential, case, locate(pattern).host) for credential in same]
        if sorted(mine) != sorted(its):
            return f"{mine}, and not {its}"
        seen["told apart" if case.exact else "compared without names"] += len(mine)
    return None


def test_generated_secrets_agree_with_kubernetes(record_property):
    generator = Generator(random.Random(SEED))
    cases = [generator.case() for _ in range(CASES)]
    answers = oracle_client.ask("keyring", [case.question for case in cases])
    seen = Counter()
    wrong = []
    for case, answer in zip(cases, answers, strict=True):
        difference = disagreement(case, answer, seen)
        if difference is not None:
            wrong.append((case.question, difference))
    counts = {"cases": len(cases), "secrets": sum(len(case.secrets) for case in cases), **dict(sorted(seen.items()))}
    record_property("keyring_counts", {"seed": SEED, **counts})
    print(f"seed {SEED}: {counts}, {len(wrong)} disagreements")
    assert wrong[:3] == []
    # else the generator has drifted away from what it is for
    for kind, least in {
        "0 found": 5000,
        "1 found": 3000,
        "2 found": 1000,
        "3 found": 300,
        "4+ found": 100,
        "told apart": 5000,
        "base64 error": 500,
        "type error": 500,
        "syntax error": 200,
        "other error": 50,
    }.items():
        assert counts[kind] >= least, kind
