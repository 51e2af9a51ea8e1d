from __future__ import annotations

import base64
import functools
import gc
import json
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.model.dockerconfig import DOCKER_CFG, DOCKER_CONFIG_JSON, Username, read_secret
from webhook.model.keyring import explain, look_up

NO_COLON = "unable to parse auth field, must be formatted as base64(username:password)"


def encoded(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def secret(content, secret_type=DOCKER_CONFIG_JSON, **metadata):
    """A Secret as the API server gives it; `content` is what stands under the type's key, as text, bytes or value."""
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    key = ".dockercfg" if secret_type == DOCKER_CFG else ".dockerconfigjson"
    metadata = {"name": "regcred", "namespace": "team-a", **metadata}
    return {"metadata": metadata, "type": secret_type, "data": {key: encoded(content)}}


def entry(**fields):
    """The facts of one entry for us.icr.io."""
    (only,) = read_secret(secret({"auths": {"us.icr.io": fields}})).entries
    return only


def jwt(claims):
    parts = [b'{"alg":"RS256"}', claims if isinstance(claims, bytes) else json.dumps(claims).encode(), b"\xfb\xff"]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


# --- which entries ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        pytest.param('{"auths":{"a":{},"b":{}}}', ["a", "b"], id="two"),
        pytest.param('{"AUTHS":{"a":{}}}', ["a"], id="capitals"),
        pytest.param('{"auth\u017f":{"a":{}}}', ["a"], id="long-s"),
        pytest.param('{"auths":{"a":null}}', ["a"], id="null-is-an-empty-entry"),
        pytest.param('{"auths":{"a":{},"a":{}}}', ["a"], id="one-key-twice"),
        pytest.param('{"auths":{"a":{}},"Auths":{"b":{}}}', ["a", "b"], id="auths-twice-is-merged"),
        pytest.param('{"auths":{"a":{}},"auths":null,"auths":{"b":{}}}', ["b"], id="null-forgets"),
        pytest.param('{"auths":null}', [], id="null-auths"),
        pytest.param("null", [], id="null"),
        pytest.param("{}", [], id="empty"),
        pytest.param('{"auths":{"":{}}}', [""], id="empty-key"),
    ],
)
def test_entries_of_the_newer_type(content, keys):
    read = read_secret(secret(content))
    assert (read.problem, read.ignored, [entry.key for entry in read.entries]) == (None, False, keys)


@pytest.mark.parametrize(
    ("content", "keys", "misplaced"),
    [
        pytest.param('{"a":{},"b":null}', ["a", "b"], False, id="two"),
        pytest.param("null", [], False, id="null"),
        pytest.param('{"auths":{"us.icr.io":{"auth":"YTpi"}}}', ["auths"], True, id="the-newer-content"),
        pytest.param('{"auths":{}}', ["auths"], False, id="a-host-named-auths"),
    ],
)
def test_entries_of_the_older_type(content, keys, misplaced):
    read = read_secret(secret(content, DOCKER_CFG))
    assert (read.problem, [entry.key for entry in read.entries], read.misplaced) == (None, keys, misplaced)


def test_older_content_in_the_newer_type_is_misplaced():
    read = read_secret(secret('{"us.icr.io":{"Auth":"YTpi"}}'))
    assert (read.problem, read.entries, read.misplaced) == (None, (), True)


# --- what fails ------------------------------------------------------------------------------------------------------

PREFIX = "json: cannot unmarshal"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param("{", "unexpected end of JSON input", id="cut-off"),
        pytest.param("{,}", "invalid JSON at character 2", id="no-json"),
        pytest.param("[]", f"{PREFIX} array into Go value of type credentialprovider.DockerConfigJSON", id="array"),
        pytest.param(
            '{"auths":[]}',
            f"{PREFIX} array into Go struct field DockerConfigJSON.auths of type credentialprovider.DockerConfig",
            id="auths-is-an-array",
        ),
        pytest.param(
            '{"auths":{"a":"b"}}',
            f"{PREFIX} string into Go struct field DockerConfigJSON.auths"
            " of type credentialprovider.dockerConfigEntryWithAuth",
            id="entry-is-a-string",
        ),
        pytest.param(
            '{"auths":{"a":{"password":12345}}}',
            f"{PREFIX} number into Go struct field DockerConfigJSON.auths.password of type string",
            id="password-is-a-number",
        ),
        pytest.param(
            '{"auths":{"a":{"username":true,"username":"x"}}}',
            f"{PREFIX} bool into Go struct field DockerConfigJSON.auths.username of type string",
            id="the-second-does-not-heal-the-first",
        ),
        pytest.param(
            '{"auths":{"a":{"username":true,"password":1}}}',
            f"{PREFIX} bool into Go struct field DockerConfigJSON.auths.username of type string",
            id="the-first-of-two",
        ),
        pytest.param(
            '{"auths":{"a":{"auth":"?"},"a":{}}}', "illegal base64 data at input byte 0", id="nor-does-a-second-entry"
        ),
        pytest.param(
            '{"HttpHeaders":{"X":1},"auths":{}}',
            f"{PREFIX} number into Go struct field DockerConfigJSON.HttpHeaders of type string",
            id="a-header-that-nobody-reads",
        ),
        pytest.param(
            '{"httpheaders":[]}',
            f"{PREFIX} array into Go struct field DockerConfigJSON.HttpHeaders of type map[string]string",
            id="headers-are-an-array",
        ),
        pytest.param(
            '{"HttpHeaders":1,"auths":{"a":{"auth":"?"}}}',
            "illegal base64 data at input byte 0",
            id="an-entry-fails-before-a-header",
        ),
        pytest.param(
            '{"auths":{"a":{"auth":"?","email":1}}}',
            f"{PREFIX} number into Go struct field DockerConfigJSON.auths.email of type string",
            id="within-an-entry-types-come-first",
        ),
    ],
)
def test_problems_of_the_newer_type(content, problem):
    read = read_secret(secret(content))
    assert (read.problem, read.ignored, read.entries) == (problem, False, ())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param('"x"', f"{PREFIX} string into Go value of type credentialprovider.DockerConfig", id="string"),
        pytest.param(
            '{"a":1}',
            f"{PREFIX} number into Go value of type credentialprovider.dockerConfigEntryWithAuth",
            id="entry-is-a-number",
        ),
        pytest.param(
            '{"a":{"auth":{}}}',
            f"{PREFIX} object into Go struct field dockerConfigEntryWithAuth.auth of type string",
            id="auth-is-an-object",
        ),
    ],
)
def test_problems_of_the_older_type(content, problem):
    assert read_secret(secret(content, DOCKER_CFG)).problem == problem


@pytest.mark.parametrize(
    ("auth", "problem"),
    [
        pytest.param("YTpi", None, id="no-padding-needed"),
        pytest.param("YTpiYg==", None, id="padded"),
        pytest.param("YTpiYg", None, id="unpadded"),
        pytest.param("YTpi\nYg=\r\n=\n", None, id="line-ends"),
        pytest.param("YTpiYh==", None, id="bits-left-over"),
        pytest.param("Og==", None, id="a-colon-alone"),
        pytest.param("YTpiYg=", "illegal base64 data at input byte 7", id="one-sign-short"),
        pytest.param("YTpiYg===", "illegal base64 data at input byte 8", id="one-sign-too-many"),
        pytest.param("YTpiYg=x=", "illegal base64 data at input byte 6", id="padding-interrupted"),
        pytest.param("YTpiYg== ", "illegal base64 data at input byte 8", id="space-behind"),
        pytest.param("YTpiYg==\u2003", "illegal base64 data at input byte 8", id="em-space-behind"),
        pytest.param("YTpiYg==\x1c", "illegal base64 data at input byte 6", id="what-go-does-not-call-space"),
        pytest.param(" YTpiYg==", "illegal base64 data at input byte 0", id="space-before"),
        pytest.param("YTpiY", "illegal base64 data at input byte 4", id="one-character-over"),
        pytest.param("YTpi\nY", "illegal base64 data at input byte 5", id="one-character-over-behind-a-line-end"),
        pytest.param("YTp\u00e9", "illegal base64 data at input byte 3", id="not-ascii"),
        pytest.param("\u00e9YTp", "illegal base64 data at input byte 0", id="bytes-are-counted"),
        pytest.param("YT-_", "illegal base64 data at input byte 2", id="alphabet-of-urls"),
        pytest.param("iamapikey:secret", "illegal base64 data at input byte 9", id="forgotten-base64"),
        pytest.param("====", "illegal base64 data at input byte 0", id="padding-only"),
        pytest.param("YWI=", NO_COLON, id="no-colon"),
        pytest.param("\n", NO_COLON, id="line-end-only"),
    ],
)
def test_auth(auth, problem):
    assert read_secret(secret({"auths": {"a": {"auth": auth}}})).problem == problem


# --- the facts of an entry -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "username", "has_password", "stray_space"),
    [
        pytest.param({}, Username.EMPTY, False, False, id="empty"),
        pytest.param({"username": "bob", "password": "x"}, Username.OTHER, True, False, id="user-and-password"),
        pytest.param({"Username": "AWS", "PASSWORD": "x"}, Username.AWS, True, False, id="capitals"),
        pytest.param({"username": None, "password": None}, Username.EMPTY, False, False, id="null"),
        pytest.param(
            {"username": "bob", "password": "x", "auth": encoded("iamapikey:")},
            Username.IAM_API_KEY,
            False,
            False,
            id="auth-replaces-both",
        ),
        pytest.param(
            {"username": "AWS", "password": "x", "auth": ""},
            Username.AWS,
            True,
            False,
            id="empty-auth-replaces-nothing",
        ),
        pytest.param({"auth": encoded(":a:b")}, Username.EMPTY, True, False, id="first-colon-counts"),
        pytest.param({"auth": encoded("_json_key:x\n")}, Username.JSON_KEY, True, True, id="line-end-behind-password"),
        pytest.param({"auth": encoded(" iambearer:x")}, Username.IAM_BEARER, True, True, id="space-before-user"),
        pytest.param({"auth": encoded("a:\0")}, Username.OTHER, True, False, id="nul-is-a-password"),
        pytest.param({"auth": encoded(b"\xff:\xff")}, Username.OTHER, True, False, id="bytes"),
    ],
)
def test_facts(fields, username, has_password, stray_space):
    facts = entry(**fields)
    assert (facts.username, facts.has_password, facts.stray_space) == (username, has_password, stray_space)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("iamapikey", Username.IAM_API_KEY),
        ("IAMAPIKEY", Username.OTHER),
        ("_json_key_base64", Username.JSON_KEY_BASE64),
        ("oauth2accesstoken", Username.OAUTH2_ACCESS_TOKEN),
        ("00000000-0000-0000-0000-000000000000", Username.NULL_GUID),
        ("7d3c8f2e-1111-4222-8333-abcdefABCDEF", Username.GUID),
        ("<token>", Username.IDENTITY_TOKEN),
        ("token", Username.TOKEN),
        ("$oauthtoken", Username.OAUTH_TOKEN),
        ("org+robot", Username.ORG_ROBOT),
        ("robot$ci", Username.HARBOR_ROBOT),
        ("us", Username.HOST_LABEL),
        ("bob@corp.example", Username.EMAIL),
        ("bob", Username.OTHER),
        ("\u043e", Username.OTHER),
    ],
)
def test_username(name, kind):
    assert entry(username=name).username is kind


@pytest.mark.parametrize(
    ("password", "expires_at"),
    [
        pytest.param(jwt({"exp": 1_700_000_000}), 1_700_000_000, id="jwt"),
        pytest.param(jwt({"exp": 1_700_000_000.9}), 1_700_000_000, id="jwt-with-a-fraction"),
        pytest.param(jwt({"exp": 1_700_000_000}) + "\n", 1_700_000_000, id="jwt-and-a-line-end"),
        pytest.param(jwt({"sub": "x"}), None, id="jwt-that-does-not-expire"),
        pytest.param(jwt({"exp": True}), None, id="exp-is-a-bool"),
        pytest.param(jwt({"exp": "1700000000"}), None, id="exp-is-a-string"),
        pytest.param(jwt({"exp": -1}), None, id="exp-is-negative"),
        pytest.param(jwt(b'{"exp":1e400}'), None, id="exp-is-infinite"),
        pytest.param(jwt(b'["exp"]'), None, id="claims-are-an-array"),
        pytest.param(jwt(b'{"exp":'), None, id="claims-are-no-json"),
        pytest.param(jwt(b'{"exp":' + b"[" * 5000 + b"]" * 5000 + b"}"), None, id="claims-are-deep"),
        pytest.param("eyJh.?.x", None, id="claims-are-no-base64"),
        pytest.param("eyJh.eyJh", None, id="two-parts"),
        pytest.param("a.b.c", None, id="no-jwt"),
        pytest.param(encoded('{"payload":"x","type":"DATA_KEY","expiration":1700000000}'), 1_700_000_000, id="ecr"),
        pytest.param("hunter2", None, id="a-password"),
    ],
)
def test_expiry(password, expires_at):
    assert entry(username="x", password=password).expires_at == expires_at


def test_fields_that_the_kubelet_does_not_read():
    fields = {"identitytoken": "x", "RegistryToken": "y", "registrytoken": "z"}
    content = {
        "auths": {"us.icr.io": fields, "quay.io": {"identitytoken": ""}},
        "credsStore": "x",
        "credHelpers": {"a": "b"},
    }
    read = read_secret(secret(content))
    assert [entry.ignored_fields for entry in read.entries] == [("identitytoken", "registrytoken"), ()]
    assert read.ignored_fields == ("credsStore", "credHelpers")


# --- the Secret around it --------------------------------------------------------------------------------------------

GOOD = encoded('{"auths":{"us.icr.io":{}}}')


@pytest.mark.parametrize(
    ("obj", "ignored", "problem", "keys"),
    [
        pytest.param({"type": DOCKER_CONFIG_JSON, "data": {".dockerconfigjson": GOOD}}, False, None, 1, id="healthy"),
        pytest.param(
            {"type": DOCKER_CONFIG_JSON, "data": {".dockercfg": GOOD}}, True, None, 0, id="key-of-the-other-type"
        ),
        pytest.param(
            {"type": DOCKER_CONFIG_JSON, "data": {".dockerconfigjson": ""}}, True, None, 0, id="nothing-in-it"
        ),
        pytest.param({"type": DOCKER_CONFIG_JSON, "data": {".dockerconfigjson": None}}, True, None, 0, id="null-in-it"),
        pytest.param({"type": DOCKER_CONFIG_JSON}, True, None, 0, id="no-data"),
        pytest.param({"data": {".dockerconfigjson": GOOD}}, True, None, 1, id="opaque-is-read-all-the-same"),
        pytest.param(
            {"type": "Opaque", "data": {".dockercfg": encoded('{"a":{},"b":{}}')}}, True, None, 2, id="opaque-older"
        ),
        pytest.param(
            {"type": "Opaque", "data": {".dockerconfigjson": encoded("x")}},
            True,
            "invalid JSON at character 1",
            0,
            id="opaque-and-undecodable",
        ),
        pytest.param({"type": "Opaque", "data": {"password": "eA=="}}, True, None, 0, id="another-secret"),
        pytest.param(
            {
                "type": DOCKER_CONFIG_JSON,
                "data": {".dockerconfigjson": "e30="},
                "stringData": {".dockerconfigjson": '{"auths":{"a":{}}}'},
            },
            False,
            None,
            1,
            id="string-data-wins",
        ),
        pytest.param(
            {"type": DOCKER_CONFIG_JSON, "data": {".dockerconfigjson": '{"auths":{}}'}},
            False,
            "the value of .dockerconfigjson is not base64",
            0,
            id="forgotten-base64",
        ),
        pytest.param(
            {"type": DOCKER_CONFIG_JSON, "data": {".dockerconfigjson": GOOD.rstrip("=")}},
            False,
            "the value of .dockerconfigjson is not base64",
            0,
            id="padding-is-needed-here",
        ),
        pytest.param(
            {"type": DOCKER_CONFIG_JSON, "data": {".dockerconfigjson": {"auths": {}}}},
            False,
            "the value of .dockerconfigjson is not base64",
            0,
            id="no-text",
        ),
    ],
)
def test_the_secret_around_it(obj, ignored, problem, keys):
    read = read_secret(obj)
    assert (read.ignored, read.problem, len(read.entries)) == (ignored, problem, keys)


@pytest.mark.parametrize(
    ("metadata", "created_at", "changed_at"),
    [
        pytest.param({}, None, None, id="from-a-file"),
        pytest.param({"creationTimestamp": "1970-01-02T00:00:00Z"}, 86_400, 86_400, id="created"),
        pytest.param({"creationTimestamp": "yesterday"}, None, None, id="no-time"),
        pytest.param({"creationTimestamp": "1970-01-02T00:00:00"}, None, None, id="no-zone"),
        pytest.param({"creationTimestamp": 5}, None, None, id="a-number"),
        pytest.param(
            {
                "creationTimestamp": "1970-01-02T00:00:00Z",
                "managedFields": [
                    {"time": "1970-01-04T00:00:00Z", "fieldsV1": {"f:metadata": {}}},
                    {"time": "1970-01-03T00:00:00Z", "fieldsV1": {"f:data": {}}},
                    {"fieldsV1": {"f:data": {}}},
                    None,
                ],
            },
            86_400,
            172_800,
            id="data-written-later",
        ),
    ],
)
def test_ages(metadata, created_at, changed_at):
    read = read_secret(secret("{}", **metadata))
    assert (read.created_at, read.changed_at) == (created_at, changed_at)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
SECRET_KEYS = st.sampled_from(["metadata", "type", "data", "stringData", "name", "managedFields", "creationTimestamp"])


@given(st.dictionaries(SECRET_KEYS | st.text(), JSON))
def test_never_raises_on_any_object(obj):
    assert isinstance(read_secret(obj).entries, tuple)


@given(
    st.dictionaries(st.sampled_from([".dockerconfigjson", ".dockercfg"]), JSON | st.binary().map(encoded)),
    st.sampled_from([DOCKER_CONFIG_JSON, DOCKER_CFG, "Opaque"]),
)
def test_never_raises_on_any_data(data, secret_type):
    read = read_secret({"type": secret_type, "data": data, "stringData": data})
    assert not (read.problem and read.entries)


AUTHS = st.dictionaries(
    st.text(), st.none() | st.dictionaries(st.sampled_from(["auth", "AUTH", "username", "password"]), JSON | st.text())
)


@given(AUTHS, st.sampled_from([DOCKER_CONFIG_JSON, DOCKER_CFG]))
def test_never_raises_on_any_entries(auths, secret_type):
    content = json.dumps(auths if secret_type == DOCKER_CFG else {"auths": auths})
    read = read_secret(secret(content, secret_type))
    assert read.problem is not None or len(read.entries) == len(auths)


# --- what is left of a credential ------------------------------------------------------------------------------------

HALVES = ("Pl4nted", "Cr3dential")  # apart, so that the test itself does not hold what it looks for


def planted(place):
    """A Secret with the planted word in it: in every form that the word takes on its way."""
    word = "".join(HALVES)
    token = jwt({"exp": 1_700_000_000, "jti": word})
    auths = {
        "password": {"us.icr.io": {"username": "iamapikey", "password": word, "email": word}},
        "username": {"us.icr.io": {"username": word, "password": "x"}},
        "auth": {"us.icr.io": {"auth": encoded(f"iamapikey:{word}")}},
        "unpadded auth": {"us.icr.io": {"auth": encoded(f"iamapikey:{word}").rstrip("=")}},
        "token": {"us.icr.io": {"auth": encoded(f"iambearer:{token}"), "identitytoken": word, "registrytoken": word}},
        "key": {f"https://bob:{word}@us.icr.io": {}, f"quay.io?token={word}": {}, f"gcr.io/#{word}": {}},
        "key that is no host": {f"us.icr.io:{word}@x": {}, f"a b:{word}@us.icr.io": {}},
        "wrong type": {"us.icr.io": {"username": 1, "password": word}},
        "no base64": {"us.icr.io": {"auth": f"iamapikey:{word}"}},
        "no colon": {"us.icr.io": {"auth": encoded(word)}},
    }
    if place == "no json":
        return secret(f'{{"auths":{{"us.icr.io":{{"password":"{word}}}}}')
    if place == "no base64 around":
        return {"type": DOCKER_CONFIG_JSON, "data": {".dockerconfigjson": word}}
    if place == "opaque":
        return secret({"auths": auths["auth"]}, "Opaque")
    if place == "jwt that is broken":
        return secret({"auths": {"us.icr.io": {"username": "a", "password": jwt(f'{{"exp":"{word}'.encode())}}})
    return secret({"auths": auths[place]})


PLACES = [
    "password",
    "username",
    "auth",
    "unpadded auth",
    "token",
    "key",
    "key that is no host",
    "wrong type",
    "no base64",
    "no colon",
    "no json",
    "no base64 around",
    "opaque",
    "jwt that is broken",
]


def inside(word, shift):
    """The characters of `word` in base64 that do not depend on what stands before it (`shift` bytes) and after it."""
    text = base64.b64encode(b"\0" * shift + word.encode()).decode()
    return text[-(-shift * 4 // 3) : (shift + len(word)) * 4 // 3]


@functools.cache
def backward_forms():
    """The planted word, in base64, and in base64 of base64: backwards, so that this is no trace of it."""
    once = [inside("".join(HALVES), shift) for shift in range(3)]
    twice = [inside(form, shift) for form in once for shift in range(3)]
    return ["".join(HALVES)[::-1], *(form[::-1] for form in (*once, *twice))]


def traces(text):
    if isinstance(text, bytes | bytearray):
        text = text.decode("latin-1")
    backward = text[::-1]
    return any(form in backward for form in backward_forms())


def reachable(*roots):
    """Every object that hangs on `roots`, but for what all Python objects share: types, modules, functions."""
    seen, todo = {}, list(roots)
    while todo:
        obj = todo.pop()
        if id(obj) in seen or isinstance(obj, type | types.ModuleType | types.FunctionType):
            continue
        seen[id(obj)] = obj
        todo.extend(gc.get_referents(obj))
    return seen.values()


@pytest.mark.parametrize("place", PLACES)
def test_the_search_finds_what_is_planted(place):
    # else the next test would prove nothing
    obj = planted(place)
    assert any(traces(found) for found in reachable(obj) if isinstance(found, str))


@pytest.mark.parametrize("place", PLACES)
def test_no_credential_is_left(place):
    read = read_secret(planted(place))
    results = (read, look_up([read], "us.icr.io/ns/app"), explain([read], "us.icr.io/ns/app"))
    assert not [found for found in reachable(*results) if isinstance(found, str | bytes) and traces(found)]
    assert not traces(repr(results))
    # nor anywhere else in the process: no cache, no exception with its frames, no match object
    gc.collect()
    held = [
        type(holder)
        for holder in gc.get_objects()
        for found in gc.get_referents(holder)
        if isinstance(found, str | bytes | bytearray) and traces(found)
    ]
    assert held == []
