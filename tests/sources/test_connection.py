from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
import traceback

import pytest

from tests.sources.scripted import answer, hang, lines, refuse
from webhook.sources.connection import Connection, collection_path, connect, connect_in_cluster, object_path
from webhook.sources.errors import (
    ApiError,
    BusyError,
    ConnectionSettingsError,
    ForbiddenError,
    GarbledError,
    GoneError,
    NotFoundError,
    RefusedError,
    TimedOutError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)

PATH = "/api/v1/things"


def drip(reply):
    reply.begin()
    while not reply.closing.wait(0.05):
        reply.chunk(b" ")


def cut_short(reply):
    reply.handler.send_response(200)
    reply.handler.send_header("Content-Length", "100")
    reply.handler.end_headers()
    reply.handler.wfile.write(b'{"kind":')
    reply.cut()


def broken_chunk(reply):
    reply.begin()
    reply.handler.wfile.write(b"no-size\r\n{}")
    reply.cut()


def no_http(reply):
    reply.handler.wfile.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    reply.cut()


def test_a_document_is_asked_for_with_the_credential_and_read(api, connection):
    api.script(answer({"kind": "Thing"}))
    assert connection.get_json(PATH, {"limit": "5", "continue": "a/b=="}, timeout_seconds=5) == {"kind": "Thing"}
    (request,) = api.requests
    assert request.path == PATH
    assert request.query == {"limit": "5", "continue": "a/b=="}
    assert request.headers["Authorization"] == "Bearer planted-token"
    assert request.headers["Accept"] == "application/json"


def test_one_socket_serves_one_request_after_the_other(api, connection):
    ports = []

    def note(reply):
        ports.append(reply.handler.client_address[1])
        if len(ports) == 2:
            lines(b"{}\n")(reply)
        else:
            reply.whole(200, b"{}")

    api.script(note)
    connection.get_json(PATH, timeout_seconds=5)
    with connection.stream(PATH, {}, silence_seconds=5) as stream:
        assert list(stream) == [b"{}"]
    connection.get_json(PATH, timeout_seconds=5)
    assert len(set(ports)) == 1


@pytest.mark.parametrize(
    ("played", "kind", "message"),
    [
        pytest.param(
            refuse(404, "NotFound", message='things "x" not found'),
            NotFoundError,
            'the API server answered 404 to GET /api/v1/things: things "x" not found',
            id="404",
        ),
        pytest.param(
            refuse(401, "Unauthorized", message="Unauthorized"),
            UnauthorizedError,
            "the API server answered 401 to GET /api/v1/things: Unauthorized",
            id="401",
        ),
        pytest.param(
            refuse(403, "Forbidden", message="things is forbidden"),
            ForbiddenError,
            "the API server answered 403 to GET /api/v1/things: things is forbidden",
            id="403",
        ),
        pytest.param(
            refuse(410, "Expired"),
            GoneError,
            "the API server answered 410 to GET /api/v1/things: expired",
            id="410",
        ),
        pytest.param(
            refuse(422, "Invalid"),
            RefusedError,
            "the API server answered 422 to GET /api/v1/things: invalid",
            id="422",
        ),
        pytest.param(
            refuse(429, "TooManyRequests"),
            BusyError,
            "the API server answered 429 to GET /api/v1/things: toomanyrequests",
            id="429",
        ),
        pytest.param(
            refuse(504, "Timeout"),
            TimedOutError,
            "the API server answered 504 to GET /api/v1/things: timeout",
            id="504",
        ),
        pytest.param(
            answer(b"<html>bad gateway</html>", 502),
            UnavailableError,
            "the API server answered 502 to GET /api/v1/things: Bad Gateway",
            id="502 without a Status",
        ),
        pytest.param(
            answer(b"", 302, {"Location": "http://elsewhere.example/"}),
            UnavailableError,
            "the API server answered 302 to GET /api/v1/things: Found",
            id="a redirect is not followed",
        ),
        pytest.param(
            answer(b"[1]", 200),
            GarbledError,
            "the API server's answer to GET /api/v1/things is not an object",
            id="not an object",
        ),
        pytest.param(
            answer(b'{"kind": NaN}', 200),
            GarbledError,
            "the API server's answer to GET /api/v1/things is not JSON",
            id="not JSON",
        ),
        pytest.param(
            refuse(500, "InternalError", message="a\x1b[31m\nb" + "c" * 400),
            UnavailableError,
            "the API server answered 500 to GET /api/v1/things: " + r"a\x1b[31m\nb" + "c" * 287 + "…",
            id="a message is one harmless line",
        ),
        pytest.param(
            cut_short,
            UnavailableError,
            "GET /api/v1/things: the connection to the API server broke off",
            id="cut short",
        ),
        pytest.param(
            broken_chunk,
            UnavailableError,
            "GET /api/v1/things: the connection to the API server broke off",
            id="broken chunk",
        ),
        pytest.param(
            no_http,
            UnavailableError,
            "GET /api/v1/things: the connection to the API server broke off",
            id="not HTTP",
        ),
        pytest.param(
            lambda reply: reply.cut(),
            UnavailableError,
            "GET /api/v1/things: the connection to the API server broke off",
            id="closed without an answer",
        ),
    ],
)
def test_errors_say_what_happened(api, connection, played, kind, message):
    api.script(played)
    with pytest.raises(ApiError) as caught:
        connection.get_json(PATH, timeout_seconds=5)
    assert type(caught.value) is kind
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("played", "message"),
    [
        (hang, "GET /api/v1/things: nothing heard from the API server for 0.3 s"),
        (drip, "GET /api/v1/things: no whole answer from the API server within 0.3 s"),
    ],
)
def test_a_get_ends_at_its_limit(api, connection, played, message):
    api.script(played)
    with pytest.raises(TimedOutError) as caught:
        connection.get_json(PATH, timeout_seconds=0.3)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("headers", "details", "seconds"),
    [({"Retry-After": "7"}, {}, 7), ({}, {"retryAfterSeconds": 3}, 3), ({"Retry-After": "Tomorrow"}, {}, None)],
)
def test_what_the_api_server_asks_to_wait_is_kept(api, connection, headers, details, seconds):
    api.script(answer({"kind": "Status", "code": 429, "details": details}, 429, headers))
    with pytest.raises(BusyError) as caught:
        connection.get_json(PATH, timeout_seconds=5)
    assert caught.value.retry_after_seconds == seconds


def test_nobody_listening_is_said_with_the_systems_word(api, connection):
    api.close()
    with pytest.raises(UnavailableError) as caught:
        connection.get_json(PATH, timeout_seconds=5)
    assert str(caught.value) == "GET /api/v1/things: no connection to the API server: connection refused"


def test_a_host_name_that_does_not_resolve(tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(
        "{current-context: x, contexts: [{name: x, context: {cluster: c}}], "
        "clusters: [{name: c, cluster: {server: 'http://api.invalid:6443'}}]}"
    )
    connection = connect(str(path))
    with pytest.raises(UnavailableError) as caught:
        connection.get_json(PATH, timeout_seconds=5)
    assert str(caught.value) == "GET /api/v1/things: the API server's host name does not resolve"


def test_plain_http_where_tls_is_expected(api, tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(
        "{current-context: x, contexts: [{name: x, context: {cluster: c}}], "
        f"clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{api.port}'}}}}]}}"
    )
    connection = connect(str(path))
    api.script(answer({}))
    with pytest.raises(UnavailableError, match=r"^GET /api/v1/things: TLS with the API server failed"):
        connection.get_json(PATH, timeout_seconds=5)


# streams


def test_lines_are_put_together_from_any_chunks(api, connection):
    long = b"x" * 300_000
    api.script(lines(b'{"a"', b":1}\n\n", b"b\nc", b"c\n", long[:200_000], long[200_000:] + b"\n"))
    with connection.stream(PATH, {}, silence_seconds=5) as stream:
        assert list(stream) == [b'{"a":1}', b"b", b"cc", long]


@pytest.mark.parametrize("then", ["end", "cut"])
def test_half_a_line_is_no_line(api, connection, then):
    api.script(lines(b"a\n{half", then=then))
    with connection.stream(PATH, {}, silence_seconds=5) as stream:
        iterator = iter(stream)
        assert next(iterator) == b"a"
        with pytest.raises(UnavailableError):
            next(iterator)


def test_a_line_without_an_end_is_given_up(api, connection):
    def endless(reply):
        reply.begin()
        while not reply.closing.is_set():
            reply.chunk(b"x" * (1 << 20))

    api.script(endless)
    with connection.stream(PATH, {}, silence_seconds=5) as stream, pytest.raises(GarbledError, match="16 MiB"):
        list(stream)


def test_silence_ends_a_stream(api, connection):
    api.script(lines(b"a\n", then="hang"))
    with connection.stream(PATH, {}, silence_seconds=0.3) as stream:
        iterator = iter(stream)
        assert next(iterator) == b"a"
        with pytest.raises(TimedOutError) as caught:
            next(iterator)
    assert str(caught.value) == "GET /api/v1/things (watch): nothing heard from the API server for 0.3 s"


def test_stop_ends_a_stream_that_waits(api, connection):
    api.script(lines(b"a\n", then="hang"))
    with connection.stream(PATH, {}, silence_seconds=60) as stream:
        iterator = iter(stream)
        assert next(iterator) == b"a"
        threading.Timer(0.1, stream.stop).start()
        assert list(iterator) == []
        stream.stop()  # a second time does no harm


# configuration


def test_kubeconfig_names_server_and_namespace(api, connection):
    assert connection.namespace == "team-a"
    assert repr(connection) == f"Connection(127.0.0.1:{api.port})"


def test_kubeconfig_from_the_environment(api, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", api.write_kubeconfig(tmp_path / "config"))
    assert connect().server == f"127.0.0.1:{api.port}"
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ConnectionSettingsError, match="none does not exist"):
        connect()


def test_kubeconfig_from_the_home_folder(api, tmp_path, monkeypatch):
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    api.write_kubeconfig(tmp_path / ".kube" / "config")
    assert connect().server == f"127.0.0.1:{api.port}"


def test_a_context_that_is_not_there_lists_those_that_are(api, tmp_path):
    path = api.write_kubeconfig(tmp_path / "kubeconfig", token="planted-token")
    with pytest.raises(ConnectionSettingsError) as caught:
        connect(path, "there")
    assert str(caught.value) == f"context there is not in kubeconfig {path}, which has: here"
    assert caught.value.fix == f"`kubectl --kubeconfig {path} config get-contexts` lists them"


CLUSTER = "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "clusters: null",
        "{]: planted-token",
        "current-context: x",
        # the client library's own message quotes the whole user entry here
        f"""{CLUSTER}
clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:1'}}}}]
users: [{{name: u, user: {{token: planted-token, auth-provider: {{name: gcp}}}}}}]""",
        f"""{CLUSTER}
clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:1', certificate-authority: /none/planted-token}}}}]""",
    ],
)
def test_a_broken_kubeconfig_is_one_line_without_its_content(tmp_path, content):
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(ConnectionSettingsError) as caught:
        connect(str(path))
    assert str(caught.value) == f"kubeconfig {path} can't be used as it is"
    assert "planted-token" not in "".join(traceback.format_exception(caught.value))


def test_outside_a_pod_there_is_no_service_account(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConnectionSettingsError, match="no usable service account in"):
        connect_in_cluster(tmp_path)


def test_a_rotated_token_is_read_again_after_a_401(api, tmp_path):
    token = tmp_path / "token"
    token.write_text("old-token")
    connection = connect(api.write_kubeconfig(tmp_path / "kubeconfig", tokenFile=str(token)))

    def only_the_new(reply):
        if reply.request.headers["Authorization"] == "Bearer new-token":
            reply.whole(200, b"{}")
        else:
            refuse(401, "Unauthorized")(reply)

    api.script(only_the_new)
    token.write_text("new-token\n")  # editors and shells end files with a newline
    with pytest.raises(UnauthorizedError) as caught:
        connection.get_json(PATH, timeout_seconds=5)
    assert caught.value.fix
    assert connection.get_json(PATH, timeout_seconds=5) == {}


def test_the_configuration_is_loaded_again_at_most_every_ten_seconds(api, tmp_path):
    first = connect(api.write_kubeconfig(tmp_path / "kubeconfig"))
    now, loads = [0.0], []

    def load():
        loads.append(now[0])
        return first._settings

    connection = Connection(first._settings, load, clock=lambda: now[0])
    api.script(refuse(401, "Unauthorized"))
    for moment in (0.0, 1.0, 9.0, 11.0, 12.0):
        now[0] = moment
        with pytest.raises(UnauthorizedError):
            connection.get_json(PATH, timeout_seconds=5)
    assert loads == [0.0, 11.0]


@pytest.mark.parametrize("token", ["planted\ntoken", "planted-tokén", "planted☃token"])
def test_a_token_that_is_no_header_is_not_quoted(api, tmp_path, token, caplog):
    caplog.set_level(logging.DEBUG)
    connection = connect(api.write_kubeconfig(tmp_path / "kubeconfig", token=token))
    api.script(answer({}))
    with pytest.raises(UnauthorizedError) as caught:
        connection.get_json(PATH, timeout_seconds=5)
    assert str(caught.value) == (
        "the credential for the API server has a line break or another character that no header can carry"
    )
    assert "planted" not in "".join(traceback.format_exception(caught.value))
    assert "planted" not in caplog.text


def test_a_server_address_with_a_password_is_shown_without(tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(
        "{current-context: x, contexts: [{name: x, context: {cluster: c}}], "
        "clusters: [{name: c, cluster: {server: 'http://me:planted@127.0.0.1:1/base'}}]}"
    )
    connection = connect(str(path))
    assert repr(connection) == "Connection(127.0.0.1:1)"
    with pytest.raises(UnavailableError) as caught:
        connection.get_json(PATH, timeout_seconds=5)
    assert "planted" not in "".join(traceback.format_exception(caught.value))


def test_importing_the_sources_costs_no_client_library():
    program = "import sys, webhook.sources.reflector, webhook.sources.live; print('kubernetes' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


# paths


@pytest.mark.parametrize(
    ("arguments", "options", "path"),
    [
        (("", "v1", "namespaces"), {}, "/api/v1/namespaces"),
        (("", "v1", "secrets"), {"namespace": "team-a"}, "/api/v1/namespaces/team-a/secrets"),
        (("apps", "v1", "deployments"), {}, "/apis/apps/v1/deployments"),
    ],
)
def test_collection_paths(arguments, options, path):
    assert collection_path(*arguments, **options) == path


def test_object_paths():
    assert object_path("", "v1", "namespaces", "team-a") == "/api/v1/namespaces/team-a"
    assert object_path("", "v1", "secrets", "a b?c#d", namespace="n") == "/api/v1/namespaces/n/secrets/a%20b%3Fc%23d"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a%2fb"])
def test_a_name_that_would_ask_something_else_is_not_found(name):
    with pytest.raises(NotFoundError):
        object_path("", "v1", "secrets", name, namespace="team-a")


def test_a_pooled_socket_that_was_closed_meanwhile_costs_nothing(api, connection):

    def once(reply):
        reply.whole(200, b"{}")
        reply.handler.connection.shutdown(socket.SHUT_RDWR)
        reply.cut()

    api.script(once)
    for _ in range(3):
        assert connection.get_json(PATH, timeout_seconds=5) == {}


def test_an_answer_of_more_bytes_than_asked_for_is_not_read_on(api, connection):
    api.script(answer({"kind": "Thing", "data": "x" * 100_000}))
    with pytest.raises(TooLargeError, match="has more than 70000 bytes"):
        connection.get_json(PATH, timeout_seconds=5, longest_bytes=70_000)
    api.script(answer({"kind": "Thing"}))
    assert connection.get_json(PATH, timeout_seconds=5, longest_bytes=70_000) == {"kind": "Thing"}
