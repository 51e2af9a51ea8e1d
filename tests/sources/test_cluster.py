"""How much is looked at for one workload."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from webhook.model.dockerconfig import read_secret
from webhook.model.facts import Known, Unknown
from webhook.sources.cluster import account_secrets, bounded, kept_secret

if TYPE_CHECKING:
    from webhook.model.dockerconfig import PullSecret
    from webhook.model.facts import Fact


def manifest(name: str, keys: int) -> dict[str, Any]:
    auths = {f"r{number}.example": {"auth": "YTpi"} for number in range(keys)}
    content = base64.b64encode(json.dumps({"auths": auths}).encode()).decode()
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": content},
    }


def secret(name: str, keys: int) -> PullSecret:
    return read_secret(manifest(name, keys))


def test_more_keys_than_can_be_judged_in_time_are_not_looked_at() -> None:
    there = {"a": secret("a", 1_999), "b": secret("b", 2), "c": secret("c", 1)}
    find = bounded(lambda name: Known(there.get(name)))
    assert find("a") == Known(there["a"])
    assert find("b") == Unknown("the pull secrets have more than 2000 keys")
    assert find("c") == Known(there["c"])
    assert find("gone") == Known(None)
    assert find("b") == Unknown("the pull secrets have more than 2000 keys")


def test_each_pull_secret_is_read_once_and_32_at_the_most() -> None:
    asked: list[str] = []

    def read(name: str) -> Fact[PullSecret | None]:
        asked.append(name)
        return Known(None)

    find = bounded(read)
    names = [str(number) for number in range(40)]
    for name in names * 2:
        assert find(name) == (Known(None) if int(name) < 32 else Unknown("more than 32 pull secrets are listed"))
    assert asked == names[:32]


def test_what_a_tenant_writes_is_kept_up_to_what_is_judged() -> None:
    assert kept_secret(manifest("a", 2_000)) == secret("a", 2_000)
    kept = kept_secret(manifest("a", 30_000))
    assert kept.entries == secret("a", 30_000).entries[:2_001]
    assert bounded(lambda _: Known(kept))("a") == Unknown("the pull secrets have more than 2000 keys")
    listed = [{"name": f"s{number}"} for number in range(20_000)]
    assert account_secrets({"imagePullSecrets": listed}) == tuple(f"s{number}" for number in range(1_000))
