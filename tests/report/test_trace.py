"""The trace of pull secrets, as scripts read it and as a person does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from webhook.model.dockerconfig import DOCKER_CONFIG_JSON, read_secret
from webhook.model.facts import Facts, Known, PullSecretList, SecretRef, Unknown, list_pull_secrets
from webhook.model.reference import parse
from webhook.model.workload import extract
from webhook.report.trace import text, trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.model.dockerconfig import PullSecret
    from webhook.model.facts import Fact
    from webhook.model.workload import Workload

PLANTED = "planted-5b1c"
LOGIN = {"username": "iamapikey", "password": PLANTED}


def secret(name: str, auths: Mapping[str, Any], kind: str = DOCKER_CONFIG_JSON) -> PullSecret:
    config = json.dumps({"auths": auths})
    return read_secret({"metadata": {"name": name}, "type": kind, "stringData": {".dockerconfigjson": config}})


def workload(image: str, **spec: Any) -> Workload:
    pod = {"kind": "Pod", "apiVersion": "v1", "spec": {"containers": [{"name": "app", "image": image}], **spec}}
    found = extract(pod)
    assert found is not None
    return found


def pull_secrets(*refs: PullSecret | SecretRef) -> PullSecretList:
    return PullSecretList(
        "pod", "default", tuple(ref if isinstance(ref, SecretRef) else SecretRef(ref.name, Known(ref)) for ref in refs)
    )


def traced(image: str, listed: Fact[PullSecretList]) -> dict[str, Any]:
    pod = workload(image)
    return trace(pod, pod.containers[0], Facts(pull_secrets=listed))


LISTED = pull_secrets(
    secret("german", {"de.icr.io": LOGIN}),
    secret("wide", {"us.icr.io": LOGIN}),
    secret("opaque", {"us.icr.io": LOGIN}, "Opaque"),
    secret("narrow", {"us.icr.io/team": LOGIN}),
    SecretRef("gone", Known(None)),
    SecretRef("late", Unknown("no answer within 1 s")),
)


def test_the_matching_ones_stand_first_in_the_order_of_the_tries() -> None:
    assert traced("us.icr.io/team/app:1", Known(LISTED)) == {
        "keyring_error": None,
        "credentials": [
            {
                "secret": "narrow",
                "key": "us.icr.io/team",
                "matched": True,
                "reason": "key `us.icr.io/team` covers us.icr.io/team/app",
            },
            {
                "secret": "wide",
                "key": "us.icr.io",
                "matched": True,
                "reason": "key `us.icr.io` covers us.icr.io/team/app",
            },
            {
                "secret": "german",
                "key": "de.icr.io",
                "matched": False,
                "reason": "key `de.icr.io` is for another host than us.icr.io",
            },
            {
                "secret": "opaque",
                "key": None,
                "matched": False,
                "reason": "the secret is of type Opaque, which the kubelet passes over in silence",
            },
            {
                "secret": "gone",
                "key": None,
                "matched": False,
                "reason": "there is no secret of that name in the namespace",
            },
            {"secret": "late", "key": None, "matched": False, "reason": "unknown, because no answer within 1 s"},
        ],
    }


def test_one_that_cant_be_decoded_is_the_error_of_the_whole_keyring() -> None:
    broken = secret("broken", {"us.icr.io": {"auth": f"iamapikey:{PLANTED}"}})
    found = traced("us.icr.io/team/app:1", Known(pull_secrets(secret("wide", {"us.icr.io": LOGIN}), broken)))
    assert found["keyring_error"] == "illegal base64 data at input byte 9"
    assert [row["matched"] for row in found["credentials"]] == [False, False]
    assert PLANTED not in json.dumps(found)


@pytest.mark.parametrize(
    ("image", "listed"),
    [("us.icr.io//app", Known(LISTED)), ("us.icr.io/team/app:1", Unknown("not looked up"))],
    ids=["no reference", "no list"],
)
def test_where_nothing_can_be_looked_up_there_are_none(image: str, listed: Fact[PullSecretList]) -> None:
    assert traced(image, listed) == {"keyring_error": None, "credentials": []}


def test_a_person_reads_which_is_tried_and_why_the_others_are_not() -> None:
    assert text(parse("us.icr.io/team/app:1"), LISTED) == [
        "1. narrow: key `us.icr.io/team` covers us.icr.io/team/app",
        "2. wide: key `us.icr.io` covers us.icr.io/team/app",
        "- german: key `de.icr.io` is for another host than us.icr.io",
        "- opaque: the secret is of type Opaque, which the kubelet passes over in silence",
        "- gone: there is no secret of that name in the namespace",
        "- late: unknown, because no answer within 1 s",
    ]


def test_a_person_reads_that_nothing_matches_or_that_nothing_is_pulled() -> None:
    none = text(parse("quay.io/app:1"), pull_secrets(secret("german", {"de.icr.io": LOGIN})))
    assert none[0] == "no pull secret matches: the kubelet pulls with what the node has, or without a credential"
    broken = text(parse("quay.io/app:1"), pull_secrets(secret("broken", {"quay.io": {"auth": "x"}})))
    assert broken[0] == "nothing is pulled: pull secret broken can't be decoded"


class TestWhoseListCounts:
    """`list_pull_secrets`: the pod's own list replaces the ServiceAccount's."""

    ACCOUNT: Fact[tuple[str, ...] | None] = Known(("a", "b"))

    @staticmethod
    def names(listed: Fact[PullSecretList]) -> tuple[str, list[str], list[str]]:
        assert isinstance(listed, Known)
        assert isinstance(listed.value.hidden, Known)
        hidden = [ref.name for ref in listed.value.hidden.value]
        return listed.value.source, [ref.name for ref in listed.value.refs], hidden

    @pytest.mark.parametrize(
        ("own", "stored", "expected"),
        [
            pytest.param(None, False, ("serviceAccount", ["a", "b"], []), id="none-of-its-own"),
            pytest.param(["b", "c"], False, ("pod", ["b", "c"], ["a"]), id="its-own"),
            pytest.param([""], False, ("pod", [], ["a", "b"]), id="an-empty-name"),
            # one Secret of 30,000 keys, listed a hundred times, took a minute and a gigabyte
            pytest.param(["c", "b", "c"], False, ("pod", ["c", "b"], ["a"]), id="a-name-again"),
            pytest.param(None, True, ("pod", [], ["a", "b"]), id="a-pod-that-the-API-server-has"),
        ],
    )
    def test_of_a_pod(self, own: list[str] | None, stored: bool, expected: tuple[str, list[str], list[str]]) -> None:
        pod = workload("nginx") if own is None else workload("nginx", imagePullSecrets=[{"name": n} for n in own])
        assert self.names(list_pull_secrets(pod, self.ACCOUNT, lambda _: Known(None), stored=stored)) == expected

    def test_an_unknown_account_leaves_the_own_list(self) -> None:
        unknown = Unknown("no answer")
        pod = workload("nginx", imagePullSecrets=[{"name": "a"}])
        found = list_pull_secrets(pod, unknown, lambda _: Known(None), stored=True)
        assert isinstance(found, Known)
        assert found.value.hidden is unknown
        assert list_pull_secrets(workload("nginx"), unknown, lambda _: Known(None), stored=False) is unknown
