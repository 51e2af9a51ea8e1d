"""The sources against a real API server and etcd, and what can go wrong between them and us."""

from __future__ import annotations

import base64
import dataclasses
import json
import secrets
import shutil
import time
import urllib.request
from pathlib import Path

import pytest

from tests.controlplane.controlplane import ControlPlane
from tests.sources.proxy import Proxy
from tests.waiting import eventually
from webhook.sources.connection import collection_path, connect, connect_in_cluster, object_path
from webhook.sources.errors import ApiError, GoneError
from webhook.sources.listing import list_all, list_pages
from webhook.sources.live import LiveReads, read_live
from webhook.sources.reflector import Timings

NAMESPACES = collection_path("", "v1", "namespaces")
SECRETS = collection_path("", "v1", "secrets")

# Watches as short as can be, so that tests need not wait; the rest as a server has it.
BRISK = Timings(watch=2, grace=10, backoff=0.1, backoff_longest=0.5)


def labels(item):
    return item["metadata"].get("labels", {})


@pytest.fixture
def real(control_plane):
    opened = connect(str(control_plane.kubeconfig))
    yield opened
    opened.close()


@pytest.fixture
def name(control_plane):
    unique = f"sources-{secrets.token_hex(4)}"
    yield unique
    control_plane.kubectl("delete", "namespace", unique, "--ignore-not-found", "--wait=false")


@pytest.fixture
def proxied(control_plane, tmp_path):
    """A proxy before the API server, and a connection through it."""
    proxy = Proxy(control_plane.host)
    opened = connect(proxy.kubeconfig(control_plane.kubeconfig, tmp_path / "proxied"))
    yield proxy, opened
    opened.close()
    proxy.close()


def docker_secret(name, kind="kubernetes.io/dockerconfigjson", content='{"auths":{}}'):
    data = {".dockerconfigjson": base64.b64encode(content.encode()).decode()}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "data": data})


# what a healthy cluster says


def test_namespaces_are_followed(control_plane, real, follow, name):
    told = []
    reflector = follow(
        connection=real,
        path=NAMESPACES,
        project=labels,
        timings=BRISK,
        on_change=lambda key, old, new: told.append((key.name, old is None, new is None)),
    )
    assert reflector.synced.wait(30)
    assert reflector.cache.get("", "kube-system") == {"kubernetes.io/metadata.name": "kube-system"}
    control_plane.kubectl("create", "namespace", name)
    eventually(lambda: reflector.cache.get("", name))
    control_plane.kubectl("label", "namespace", name, "pullproof.dev/warn=advisory")
    eventually(lambda: reflector.cache.get("", name).get("pullproof.dev/warn") == "advisory")
    control_plane.kubectl("delete", "namespace", name)
    eventually(lambda: reflector.cache.get("", name) is None)
    eventually(lambda: (name, False, True) in told)
    assert (name, True, False) in told
    assert reflector.state().lists == 1
    assert reflector.last_error is None


def test_the_list_is_streamed_where_it_is_offered(control_plane, real, follow):
    path = collection_path("", "v1", "limitranges")  # that nothing else of ours asks for
    reflector = follow(connection=real, path=path, project=labels, timings=BRISK)
    assert reflector.synced.wait(30)

    def asked():
        return [event["requestURI"] for event in control_plane.audit_events() if event["requestURI"].startswith(path)]

    eventually(lambda: any("sendInitialEvents=true" in uri for uri in asked()))
    assert not any("limit=" in uri for uri in asked())


def test_quiet_watches_end_in_order_and_are_heard(real, follow):
    """Where nothing happens there is no bookmark either: the orderly end of the watch is the sign of life."""
    reflector = follow(connection=real, path=collection_path("", "v1", "podtemplates"), project=labels, timings=BRISK)
    eventually(lambda: reflector.state().watches >= 3)
    assert reflector.state().lists == 1
    assert reflector.last_error is None
    before = reflector.last_heard
    eventually(lambda: reflector.last_heard > before)


def test_pull_secrets_by_type(control_plane, real, follow, namespace):
    reflector = follow(
        connection=real,
        path=SECRETS,
        field_selector="type=kubernetes.io/dockerconfigjson",
        project=lambda item: item["type"],
        timings=BRISK,
    )
    assert reflector.synced.wait(30)
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", input=docker_secret("opaque", "Opaque"))
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", input=docker_secret("regcred"))
    eventually(lambda: dict(reflector.cache.in_namespace(namespace)) == {"regcred": "kubernetes.io/dockerconfigjson"})
    # a Secret's type can't be changed, so people re-create it
    control_plane.kubectl("delete", "secret", "regcred", "-n", namespace)
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", input=docker_secret("regcred", "Opaque"))
    eventually(lambda: dict(reflector.cache.in_namespace(namespace)) == {})


def test_nothing_of_a_secret_stays_but_the_projection(control_plane, real, follow, namespace):
    planted = f"planted-{secrets.token_hex(8)}"
    control_plane.kubectl(
        "apply", "-n", namespace, "-f", "-", input=docker_secret("regcred", content=f'{{"{planted}":1}}')
    )
    reflector = follow(connection=real, path=SECRETS, project=lambda item: item["type"], timings=BRISK)
    assert reflector.synced.wait(30)
    assert reflector.cache.get(namespace, "regcred") == "kubernetes.io/dockerconfigjson"
    encoded = base64.b64encode(f'{{"{planted}":1}}'.encode()).decode()
    assert encoded not in repr(vars(reflector))
    assert encoded not in repr(dict(reflector.cache.all()))


def test_pages_give_what_kubectl_lists(control_plane, real):
    listed = control_plane.kubectl("get", "clusterroles", "-o", "name").stdout.split()
    path = collection_path("rbac.authorization.k8s.io", "v1", "clusterroles")
    found = list(list_all(real, path, page=7))
    assert sorted(f"clusterrole.rbac.authorization.k8s.io/{item['metadata']['name']}" for item in found) == listed
    assert {(item["apiVersion"], item["kind"]) for item in found} == {("rbac.authorization.k8s.io/v1", "ClusterRole")}


def test_live_reads(control_plane, real, name):
    path = object_path("", "v1", "namespaces", name)
    assert read_live(real, path, 10) is None
    control_plane.kubectl("create", "namespace", name)
    assert read_live(real, path, 10)["metadata"]["name"] == name
    shared = LiveReads(real, labels)
    assert shared.read(path, 10)["kubernetes.io/metadata.name"] == name
    shared.close()


def test_what_the_api_server_refuses_is_told_in_its_words(control_plane, tmp_path):
    connection = connect(str(control_plane.kubeconfig_for("nobody-in-particular")))
    with pytest.raises(ApiError) as caught:
        connection.get_json(SECRETS, timeout_seconds=10)
    assert str(caught.value) == (
        "the API server answered 403 to GET /api/v1/secrets: secrets is forbidden: User "
        '"nobody-in-particular" cannot list resource "secrets" in API group "" at the cluster scope'
    )
    with pytest.raises(ApiError, match=r'^the API server answered 404 .*namespaces "none-such" not found$'):
        connect(str(control_plane.kubeconfig)).get_json(f"{NAMESPACES}/none-such", timeout_seconds=10)


def test_certificate_files_that_are_gone_are_written_again(control_plane):
    """The client library removes its temporary files when a process exits, also a worker that did not make them."""
    connection = connect(str(control_plane.kubeconfig))
    Path(connection._settings.configuration.cert_file).unlink()
    Path(connection._settings.configuration.key_file).unlink()
    with pytest.raises(ApiError) as caught:
        connection.get_json(NAMESPACES, timeout_seconds=10)
    assert str(caught.value) == f"GET {NAMESPACES}: a certificate that the configuration names is not there"
    assert connection.get_json(NAMESPACES, timeout_seconds=10)["kind"] == "NamespaceList"
    connection.close()


def test_a_certificate_of_another_authority_is_refused(control_plane, tmp_path):
    content = json.loads(control_plane.kubeconfig.read_text())
    content["clusters"][0]["cluster"]["certificate-authority-data"] = content["users"][0]["user"][
        "client-certificate-data"
    ]
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(content))
    with pytest.raises(ApiError) as caught:
        connect(str(path)).get_json(NAMESPACES, timeout_seconds=10)
    assert str(caught.value).startswith(f"GET {NAMESPACES}: TLS with the API server failed: ")
    assert "certificate" in str(caught.value)


# a pod's own account


@pytest.fixture
def account(control_plane, namespace, tmp_path, monkeypatch):
    """The files of a pod's service account that may read namespaces, and a function that issues a token into them."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(control_plane.ca_pem)
    (folder / "namespace").write_text(namespace)
    host, _, port = control_plane.host.removeprefix("https://").partition(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    role = f"read-{namespace}"
    control_plane.kubectl("create", "clusterrole", role, "--verb=get,list,watch", "--resource=namespaces")

    def issue(name):
        control_plane.kubectl("create", "serviceaccount", name, "-n", namespace)
        control_plane.kubectl(
            "create", "clusterrolebinding", f"{role}-{name}", f"--clusterrole={role}",
            f"--serviceaccount={namespace}:{name}",
        )  # fmt: skip
        token = control_plane.kubectl("create", "token", name, "-n", namespace).stdout.strip()
        (folder / "new").write_text(token)
        (folder / "new").replace(folder / "token")  # at once, as the kubelet does

    yield folder, issue
    control_plane.kubectl("delete", "clusterrole", role)
    for name in ("one", "two"):
        control_plane.kubectl("delete", "clusterrolebinding", f"{role}-{name}", "--ignore-not-found")


def test_a_pods_account_is_used_and_its_rotated_token_read_again(control_plane, account, follow, namespace):
    folder, issue = account
    issue("one")
    connection = connect_in_cluster(folder)
    assert connection.namespace == namespace
    reflector = follow(connection=connection, path=NAMESPACES, project=labels, timings=BRISK)
    assert reflector.synced.wait(30)
    issue("two")
    # the first token is worth nothing without its account (after the API server's own cache of 10 s)
    control_plane.kubectl("delete", "serviceaccount", "one", "-n", namespace)
    first = connection._settings
    eventually(lambda: connection._settings is not first)
    control_plane.kubectl("label", "namespace", namespace, "after=rotation")
    eventually(lambda: reflector.cache.get("", namespace).get("after") == "rotation")
    connection.close()


# faults


def test_a_right_withdrawn_keeps_the_state_and_is_told(control_plane, follow, namespace):
    user = f"reader-{namespace}"
    binding = ("clusterrolebinding", user)
    control_plane.kubectl("create", "clusterrole", user, "--verb=get,list,watch", "--resource=namespaces")
    try:
        control_plane.kubectl("create", *binding, f"--clusterrole={user}", f"--user={user}")
        connection = connect(str(control_plane.kubeconfig_for(user)))
        reflector = follow(connection=connection, path=NAMESPACES, project=labels, timings=BRISK)
        assert reflector.synced.wait(30)
        control_plane.kubectl("delete", *binding)
        eventually(lambda: reflector.last_error)
        assert reflector.last_error == (
            f'the API server answered 403 to GET {NAMESPACES} (watch): namespaces is forbidden: User "{user}" '
            'cannot watch resource "namespaces" in API group "" at the cluster scope'
        )
        heard = reflector.last_heard
        control_plane.kubectl("label", "namespace", namespace, "unseen=yes")
        eventually(lambda: reflector._failures > 6)
        assert reflector.last_heard == heard
        assert "unseen" not in reflector.cache.get("", namespace)
        control_plane.kubectl("create", *binding, f"--clusterrole={user}", f"--user={user}")
        eventually(lambda: "unseen" in reflector.cache.get("", namespace))
        eventually(lambda: reflector.last_error is None)
        connection.close()
    finally:
        control_plane.kubectl("delete", "clusterrole", user)
        control_plane.kubectl("delete", *binding, "--ignore-not-found")


def test_a_partition_shows_in_the_age_and_heals(control_plane, proxied, follow, namespace, name):
    proxy, connection = proxied
    control_plane.kubectl("create", "namespace", name)
    timings = dataclasses.replace(BRISK, grace=1)
    reflector = follow(connection=connection, path=NAMESPACES, project=labels, timings=timings)
    eventually(lambda: reflector.state().watches >= 2)
    proxy.freeze()
    control_plane.kubectl("delete", "namespace", name)
    control_plane.kubectl("label", "namespace", namespace, "after=partition")
    eventually(lambda: reflector.last_error)
    heard = reflector.last_heard
    # well past the end of any watch that was open
    eventually(lambda: reflector.stale_seconds(time.monotonic()) > 2 * (timings.watch + timings.grace))
    assert reflector.last_heard == heard
    assert reflector.cache.get("", name) is not None
    with pytest.raises(ApiError):
        read_live(connection, NAMESPACES, 0.5)
    proxy.heal()
    eventually(lambda: reflector.cache.get("", name) is None)
    eventually(lambda: reflector.cache.get("", namespace).get("after") == "partition")
    eventually(lambda: reflector.last_error is None and reflector.stale_seconds(time.monotonic()) < 3)


def test_a_slow_list_is_waited_for_as_long_as_it_moves(control_plane, proxied, follow, namespace):
    proxy, connection = proxied
    for number in range(3):
        large = docker_secret(f"s{number}", content=json.dumps({"auths": {}, "filler": "x" * 100_000}))
        control_plane.kubectl("create", "-n", namespace, "-f", "-", input=large)
    proxy.slow_down(0.03)  # some 130 kB a second: the list takes far longer than the longest silence
    patient = dataclasses.replace(BRISK, listing=1)
    began = time.monotonic()
    reflector = follow(
        connection=connection,
        path=collection_path("", "v1", "secrets", namespace=namespace),
        project=lambda item: item["type"],
        timings=patient,
    )
    assert reflector.synced.wait(60)
    assert time.monotonic() - began > patient.listing
    assert sorted(reflector.cache.in_namespace(namespace)) == ["s0", "s1", "s2"]
    assert reflector.state().lists == 1


# faults that need an API server of their own


def etcd(plane, call, body):
    """Ask etcd past the API server, through its JSON gateway."""
    request = urllib.request.Request(f"{plane._etcd}/v3/kv/{call}", json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


@pytest.fixture
def own(control_plane):
    """An API server to break; after `control_plane`, so that the programs are built."""
    with ControlPlane(controller_manager=False, scheduler=False) as plane:
        yield plane


def test_a_delete_missed_while_the_api_server_was_away_is_noticed(own, follow):
    told = []
    own.kubectl("create", "namespace", "doomed")
    connection = connect(str(own.kubeconfig))
    reflector = follow(
        connection=connection,
        path=NAMESPACES,
        project=labels,
        timings=BRISK,
        on_change=lambda key, old, new: told.append((key.name, new)),
    )
    eventually(lambda: reflector.state().watches and reflector.cache.get("", "doomed"))
    own.stop_apiserver()
    refused = f"GET {NAMESPACES} (watch): no connection to the API server: connection refused"
    eventually(lambda: reflector.last_error == refused)
    key = base64.b64encode(b"/registry/namespaces/doomed").decode()
    assert etcd(own, "deleterange", {"key": key})["deleted"] == "1"
    assert reflector.cache.get("", "doomed") is not None
    own.start_apiserver()
    eventually(lambda: reflector.cache.get("", "doomed") is None)
    eventually(lambda: ("doomed", None) in told)
    own.kubectl("create", "namespace", "later")
    eventually(lambda: reflector.cache.get("", "later"))
    connection.close()


def test_an_orderly_restart_goes_on_with_the_watch(own, follow):
    connection = connect(str(own.kubeconfig))
    reflector = follow(connection=connection, path=NAMESPACES, project=labels, timings=BRISK)
    eventually(lambda: reflector.state().watches)
    own.stop_apiserver(grace=30)
    own.start_apiserver()
    own.kubectl("create", "namespace", "later")
    eventually(lambda: reflector.cache.get("", "later"))
    eventually(lambda: reflector.last_error is None)
    connection.close()


def test_an_etcd_restored_from_a_backup_takes_the_state_back(own, follow):
    """The version we know is a future one then: the API server takes it and says nothing, for as long as that lasts."""

    def stop():
        own.stop_apiserver()
        own._running.pop("etcd").stop(grace=10)

    def start():
        own._spawn("etcd", own._etcd_arguments())
        own.start_apiserver()

    own.kubectl("create", "namespace", "before")
    stop()
    backup = own.state / "backup"
    shutil.copytree(own.state / "etcd", backup)
    start()
    for number in range(20):
        own.kubectl("create", "namespace", f"after-{number}")
    connection = connect(str(own.kubeconfig))
    reflector = follow(connection=connection, path=NAMESPACES, project=labels, timings=BRISK)
    eventually(lambda: reflector.state().watches and reflector.cache.get("", "after-19"))
    stop()
    shutil.rmtree(own.state / "etcd")
    shutil.move(backup, own.state / "etcd")
    start()
    eventually(lambda: reflector.cache.get("", "after-19") is None)
    assert reflector.cache.get("", "before") is not None
    own.kubectl("create", "namespace", "anew")
    eventually(lambda: reflector.cache.get("", "anew"))
    connection.close()


@pytest.fixture(scope="module")
def forgetful(control_plane):
    """An API server that forgets every second what was two seconds ago, and offers no streaming lists."""
    arguments = ["--watch-cache=false", "--etcd-compaction-interval=1s", "--feature-gates=WatchList=false"]
    with ControlPlane(controller_manager=False, scheduler=False, extra_args={"kube-apiserver": arguments}) as plane:
        yield plane


def compacted(connection, version):
    """Whether a watch from `version` is too old by now."""
    try:
        with connection.stream(
            NAMESPACES, {"watch": "true", "resourceVersion": version, "timeoutSeconds": "1"}, silence_seconds=10
        ) as stream:
            return any(json.loads(line)["type"] == "ERROR" for line in stream)
    except GoneError:
        return True


def test_a_version_compacted_away_is_listed_again_in_pages(forgetful, follow, caplog):
    """Only others change, so no event brings a newer version, and at the end of the watch ours is too old."""
    connection = connect(str(forgetful.kubeconfig))
    for number in range(5):
        forgetful.kubectl("create", "namespace", f"old-{number}")
    reflector = follow(
        connection=connection, path=NAMESPACES, project=labels, page=2, timings=dataclasses.replace(BRISK, watch=4)
    )
    eventually(lambda: reflector.state().watches and reflector.cache.get("", "old-4"))
    numbers = iter(range(10_000))
    eventually(
        lambda: (
            forgetful.kubectl("create", "configmap", f"other-{next(numbers)}")
            and f"the API server answered 410 to GET {NAMESPACES} (watch)" in caplog.text
        )
    )
    eventually(lambda: reflector.state().lists >= 2 and reflector.last_error is None)
    assert reflector.cache.get("", "old-4") is not None
    forgetful.kubectl("create", "namespace", "newer")
    eventually(lambda: reflector.cache.get("", "newer"))
    connection.close()


def test_pages_of_a_snapshot_compacted_away(forgetful):
    for number in range(5):
        forgetful.kubectl("create", "namespace", f"paged-{number}", "--save-config=false")
    connection = connect(str(forgetful.kubeconfig))

    def read(pages):
        names = []
        for page in pages:
            names += [item["metadata"]["name"] for item in page.items]
            if len(names) == 2:  # after the first page the world moves on
                version = page.resource_version
                forgetful.kubectl("create", "namespace", f"zz-{version}")
                eventually(lambda version=version: compacted(connection, version))
        return names

    with pytest.raises(GoneError):
        read(list_pages(connection, NAMESPACES, page=2))
    names = read(list_pages(connection, NAMESPACES, page=2, one_snapshot=False))
    assert {f"paged-{number}" for number in range(5)} <= set(names)
    assert len(names) == len(set(names))
    connection.close()
