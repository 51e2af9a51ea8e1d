"""What a workload's owner hears of its pods, word for word."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.engine.decide import Decision, Mercy
from webhook.engine.news import Owner, news_of, owner_of
from webhook.engine.wording import NOTE_BYTES
from webhook.model.finding import Confidence, Finding, Heals

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-5b8", "uid": "u-1", "controller": True}


def finding(code: str = "PULL201", container: str = "app", message: str = "wrong") -> Finding:
    return Finding(
        code, "name", Confidence.CERTAIN, Heals.OBJECT, "spec", message, "mend", None, (), container, "a.example/b:1"
    )


def pod(*owners: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"ownerReferences": list(owners)}}


def test_one_for_each_code() -> None:
    denied = (finding(), finding(container="init"), finding("PULL101"))
    found = news_of(pod(OWNER), "shop", Decision(denied, (finding("PULL107"),), ()))
    assert [(news.owner, news.namespace, news.reason, news.note) for news in found] == [
        (
            Owner("apps/v1", "ReplicaSet", "shop-5b8", "u-1"),
            "shop",
            "PullproofDenied",
            "a pod was denied: app: wrong; mend (PULL201 name, certain); init: wrong; mend (PULL201 name, certain)",
        ),
        (
            Owner("apps/v1", "ReplicaSet", "shop-5b8", "u-1"),
            "shop",
            "PullproofDenied",
            "a pod was denied: app: wrong; mend (PULL101 name, certain)",
        ),
    ]


def test_a_pod_that_was_spared_a_denial_says_why() -> None:
    (news,) = news_of(pod(OWNER), "shop", Decision((), (finding(),), (), mercy=Mercy.IMAGE_PRESENT))
    assert news.reason == "PullproofWarned"
    assert news.note == (
        "a pod was admitted with a warning: app: wrong; mend (PULL201 name, certain); "
        "not denied: a node holds the image already"
    )


def test_a_note_is_never_longer_than_an_event_takes() -> None:
    (news,) = news_of(pod(OWNER), "shop", Decision((finding(message="ä" * 2_000),), (), ()))
    assert NOTE_BYTES - 3 <= len(news.note.encode()) <= 1_024
    assert news.note.endswith("ä…")


@pytest.mark.parametrize(
    "obj",
    [
        {},
        {"metadata": None},
        pod(),
        pod({**OWNER, "controller": False}),
        pod({**OWNER, "uid": ""}),
        {"metadata": {"ownerReferences": "none"}},
        {"metadata": {"ownerReferences": ["none"]}},
    ],
)
def test_without_a_controller_there_is_nobody_to_tell(obj: dict[str, Any]) -> None:
    assert owner_of(obj) is None
    assert news_of(obj, "shop", Decision((finding(),), (), ())) == ()
