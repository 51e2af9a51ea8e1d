"""What a cluster's caches hold once although thousands of objects say it."""

from __future__ import annotations

import base64
import json

from webhook.sources import cluster
from webhook.sources.cache import Key
from webhook.sources.cluster import LiveCluster
from webhook.sources.shared import Shared


def two_texts(text):
    return text[:1] + text[1:], "".join(list(text))


def test_equal_values_become_one():
    first, second = two_texts("contoso.azurecr.io")
    shared = Shared(10)
    assert first is not second
    assert shared.of(first) is first
    assert shared.of(second) is first


def test_it_holds_no_more_than_it_was_told_to():
    first, second = two_texts("contoso.azurecr.io")
    shared = Shared(3)
    shared.of(first)
    for number in range(3):
        shared.of(f"host-{number}.example")
    assert shared.of(second) is second
    assert len(shared._seen) <= 3


def docker_config(host):
    content = {"auths": {host: {"auth": base64.b64encode(b"robot:planted").decode()}}}
    data = {".dockerconfigjson": base64.b64encode(json.dumps(content).encode()).decode()}
    return {"metadata": {"name": "s", "namespace": "a"}, "type": "kubernetes.io/dockerconfigjson", "data": data}


def test_secrets_for_one_host_share_its_entry(connection):
    live = LiveCluster(connection)
    first, second = (live._read_secret(docker_config("contoso.azurecr.io")) for _ in range(2))
    assert first == second
    assert first.entries[0] is second.entries[0]


def test_nodes_share_the_names_of_their_images(connection):
    live = LiveCluster(connection)
    named = [{"names": ["b.example/b:1", "a.example/a:1"]}, {"names": ["b.example/b:1"]}]
    first, second = (
        live._read_node({"metadata": {"name": name}, "status": {"images": json.loads(json.dumps(named))}})
        for name in ("n1", "n2")
    )
    assert first.images == second.images == ("a.example/a:1", "b.example/b:1")
    assert all(map(lambda one, other: one is other, first.images, second.images))


def test_a_node_that_changes_while_the_nodes_are_put_together_is_not_missed(connection, monkeypatch):
    live = LiveCluster(connection)
    live._nodes.last_heard = cluster.time.monotonic()
    real, arrived = cluster.NodeSet, []

    def change_meanwhile(nodes):
        if not arrived:
            node = live._read_node({"metadata": {"name": "n1"}})
            arrived.append(node)
            live._nodes.cache.replace({"": {"n1": node}})
            live._node_changed(Key("", "n1"), None, node)
        return real(nodes)

    monkeypatch.setattr(cluster, "NodeSet", change_meanwhile)
    live._node_changes += 1
    assert len(live._known_nodes().value) == 0
    assert [node.name for node in live._known_nodes().value] == ["n1"]
