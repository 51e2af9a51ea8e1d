"""How much is looked at for one workload."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from webhook.model.dockerconfig import read_secret
from webhook.model.facts import Known, Unknown
from webhook.sources.cluster import bounded

if TYPE_CHECKING:
    from webhook.model.dockerconfig import PullSecret
    from webhook.model.facts import Fact


def secret(name: str, keys: int) -> PullSecret:
    auths = {f"r{number}.example": {"auth": "YTpi"} for number in range(keys)}
    content = base64.b64encode(json.dumps({"auths": auths}).encode()).decode()
    return read_secret({
        "metadata": {"name": name, "namespace": "shop"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": content},
    })  # fmt: skip


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
