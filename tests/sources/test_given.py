from __future__ import annotations

import json

import pytest

from webhook.errors import Malformed
from webhook.model.facts import Known, Unknown
from webhook.model.finding import Level
from webhook.model.policy import ClusterPolicy
from webhook.model.workload import extract
from webhook.sources.given import Given

PLANTED = "planted-51b0"


def pod(**spec):
    found = extract({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shop"}, "spec": spec}, namespace="team-a")
    assert found is not None
    return found


def secret(name, *hosts, namespace=None, secret_type="kubernetes.io/dockerconfigjson"):
    auths = {host: {"username": "u", "password": PLANTED} for host in hosts}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": secret_type,
        "stringData": {".dockerconfigjson": json.dumps({"auths": auths})},
    }


def named(kind, name, *, version="v1", **more):
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **more.pop("metadata", {})}, **more}


def given(*objects):
    found = Given("team-a", ClusterPolicy(), now=7)
    for obj in objects:
        assert found.add(obj)
    return found


def test_what_is_not_there_is_unknown_and_says_so():
    facts = given().facts(pod(runtimeClassName="gvisor"))
    assert facts.namespace_labels == Unknown("the input has no Namespace team-a")
    assert facts.pull_secrets == Unknown("the input has no ServiceAccount team-a/default")
    assert facts.nodes == Unknown("the input has no Node")
    assert facts.runtime_class == Unknown("the input has no RuntimeClass gvisor")
    assert facts.host_evidence("quay.io") is None
    assert facts.now == 7
    assert facts.policy.modes.enforce is Level.CERTAIN


def test_a_namespace_sets_the_policy():
    facts = given(named("Namespace", "team-a", metadata={"labels": {"pullproof.dev/enforce": "off"}})).facts(pod())
    assert facts.namespace_labels == Known({"pullproof.dev/enforce": "off"})
    assert facts.policy.modes.enforce is Level.OFF


def test_a_named_secret_is_known_or_unknown_never_missing():
    facts = given(secret("here", "quay.io")).facts(pod(imagePullSecrets=[{"name": "here"}, {"name": "gone"}]))
    here, gone = facts.pull_secrets.value.refs
    assert here.secret.value.name == "here"
    assert gone.secret == Unknown("the input has no Secret team-a/gone")
    assert PLANTED not in repr(facts)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"data": {".dockerconfigjson": "ENC[AES256]"}, "sops": {}}, "the Secret of the input is encrypted by sops"),
        ({"data": {".dockerconfigjson": "${CONFIG}"}}, "the Secret of the input is to be filled in"),
        ({"data": {".dockerconfigjson": "$CONFIG"}}, "the Secret of the input is to be filled in"),
        ({"data": {".dockerconfigjson": "ENC[AES256_GCM,data:a=]"}}, "the Secret of the input is to be filled in"),
        ({"stringData": {".dockerconfigjson": "<path:kv/hub#config>\n"}}, "the Secret of the input is to be filled in"),
        ({"stringData": {".dockerconfigjson": "{{ .config }}"}}, "the Secret of the input is to be filled in"),
    ],
)
def test_a_secret_that_is_filled_in_on_its_way_is_unknown(content, told):
    secret = named("Secret", "regcred", type="kubernetes.io/dockerconfigjson", **content)
    facts = given(secret).facts(pod(imagePullSecrets=[{"name": "regcred"}]))
    assert [ref.secret for ref in facts.pull_secrets.value.refs] == [Unknown(told)]


@pytest.mark.parametrize("content", ['{"auths": {"quay.io": {"auth": "${AUTH}"}}}', '{{"auths": {}}}', "{", "$", "<a"])
def test_a_secret_of_its_own_that_can_not_be_decoded_is_known(content):
    secret = named(
        "Secret", "regcred", type="kubernetes.io/dockerconfigjson", stringData={".dockerconfigjson": content}
    )
    (ref,) = given(secret).facts(pod(imagePullSecrets=[{"name": "regcred"}])).pull_secrets.value.refs
    assert ref.secret.value.problem is not None


def test_the_service_account_lists_secrets():
    account = named("ServiceAccount", "builder", imagePullSecrets=[{"name": "b"}, {"name": "a"}, {}])
    facts = given(account, secret("a", "quay.io")).facts(pod(serviceAccountName="builder"))
    assert [ref.name for ref in facts.pull_secrets.value.refs] == ["b", "a"]
    assert facts.pull_secrets.value.account_exists == Known(True)


def test_an_object_whose_name_is_still_to_be_made_is_passed_over():
    made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"generateName": "regcred-"}, "stringData": {"a": "b"}}
    facts = given(made).facts(pod(imagePullSecrets=[{"name": "regcred-"}]))
    assert facts.pull_secrets.value.refs[0].secret == Unknown("the input has no Secret team-a/regcred-")


@pytest.mark.parametrize("listed", [{}, {"imagePullSecrets": None}, {"imagePullSecrets": []}])
def test_a_service_account_need_not_list_secrets(listed):
    facts = given(named("ServiceAccount", "default", **listed)).facts(pod())
    assert facts.pull_secrets.value.is_empty
    assert facts.pull_secrets.value.account_exists == Known(True)


def test_evidence_comes_from_nodes_everywhere_and_from_secrets_in_their_namespace():
    node = named("Node", "n1", status={"images": [{"names": ["ghcr.io/a/b:1"]}]})
    found = given(node, secret("mine", "my.example.com"), secret("theirs", "their.example.com", namespace="team-b"))
    facts = found.facts(pod())
    assert facts.host_evidence("ghcr.io") == "node n1"
    assert facts.image_evidence("ghcr.io/a/b:1") == "node n1"
    assert facts.host_evidence("my.example.com") == "pull secret team-a/mine"
    assert facts.host_evidence("their.example.com") is None
    assert facts.secret_namespaces("theirs") == ("team-b",)
    assert [node.name for node in facts.nodes.value] == ["n1"]


def test_a_secret_that_stands_twice_is_the_last_one():
    found = given(secret("a", "one.example.com"), secret("a", "two.example.com"))
    assert found.facts(pod()).host_evidence("one.example.com") is None
    assert found.facts(pod()).host_evidence("two.example.com") == "pull secret team-a/a"


def test_a_runtime_class():
    found = given(named("RuntimeClass", "gvisor", version="node.k8s.io/v1", scheduling={"nodeSelector": {"a": "b"}}))
    assert found.facts(pod(runtimeClassName="gvisor")).runtime_class.value.node_selector == {"a": "b"}
    assert found.facts(pod()).runtime_class == Known(None)


@pytest.mark.parametrize(
    "obj",
    [
        named("ConfigMap", "a"),
        named("Namespace", "a", version="v2"),
        {"apiVersion": "v1"},
        {"kind": 7},
        {"kind": "Secret", "apiVersion": ["v1"]},
    ],
)
def test_other_objects_are_no_facts(obj):
    assert not Given("team-a", ClusterPolicy()).add(obj)


@pytest.mark.parametrize(
    ("obj", "path"),
    [
        ({"apiVersion": "v1", "kind": "Secret", "metadata": "a"}, "metadata"),
        ({"apiVersion": "v1", "kind": "Secret"}, "metadata.name"),
        (named("Secret", 7), "metadata.name"),
        (named("Namespace", "a", metadata={"labels": [1]}), "metadata.labels"),
        (named("ServiceAccount", "a", imagePullSecrets={"name": "b"}), "imagePullSecrets"),
        (named("ServiceAccount", "a", imagePullSecrets=["b"]), "imagePullSecrets[0]"),
        (named("ServiceAccount", "a", imagePullSecrets=[{"name": 7}]), "imagePullSecrets[0]"),
    ],
)
def test_a_wrong_shape_is_told_with_its_path(obj, path):
    with pytest.raises(Malformed) as raised:
        Given("team-a", ClusterPolicy()).add(obj)
    assert raised.value.path == path
