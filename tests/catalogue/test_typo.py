"""How many misspelt hosts are caught, how often the first suggestion is right, and that real hosts are left alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.catalogue.mutations import LETTERS, instances, sample
from webhook.catalogue import typo
from webhook.catalogue.registries import lookup, matches, obeys
from webhook.catalogue.typo import assess
from webhook.catalogue.verdict import Kind
from webhook.model.finding import Confidence
from webhook.model.reference import match

HERE = Path(__file__).parent
IMAGES = HERE.parents[2] / "shared" / "data" / "images.tsv"


def rows(name: str) -> list[list[str]]:
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def judged(image: str):
    reference = match(image)
    assert reference is not None, image
    domain, path = reference.domain, reference.path
    if not domain:
        domain, _, path = path.partition("/")
    return assess(domain, path)


def is_flagged(image: str) -> bool:
    verdict = judged(image)
    return verdict is not None and verdict.confidence >= Confidence.LIKELY


@pytest.mark.parametrize("seed", [1, 2])
def test_a_slip_in_a_known_host_is_caught_and_corrected(seed, capsys):
    tried, caught, right = Counter(), Counter(), Counter()
    missed = []
    for registry, host, mistyped in sample(10, seed):
        image = f"{mistyped}/team/group/app:1"
        if match(image) is None:
            continue  # no reference at all: the checks 1xx tell of it
        if may_exist(mistyped):
            continue
        verdict = judged(image)
        tried[registry] += 1
        if verdict is None or verdict.confidence < Confidence.LIKELY:
            missed.append((registry, host, mistyped))
            continue
        caught[registry] += 1
        right[registry] += (verdict.right or "").partition("/")[0] == host
    with capsys.disabled():
        total, found, first = tried.total(), caught.total(), right.total()
        print(f"\n{total} mistyped hosts: {found / total:.2%} caught, first suggestion right in {first / found:.2%}")
    assert total > 8000
    assert found / total >= 0.995, missed
    assert first / found >= 0.98


# What these say of the names that customers choose does not count: manifests are full of made-up ones.
FREE_NAMES = {"azure-container-registry", "huawei-swr", "nhn-ncr", "volcengine-cr", "vultr-cr"}


def may_exist(host: str) -> bool:
    """Whether a mistyped host is one that there may be: a known one, or one of a known form that breaks no rule of it.

    Lists of regions count as rules, so that a misspelt region has to be caught.
    """
    found = lookup(host)
    if found is None:
        return False
    return found.id in FREE_NAMES or next(matches(host), None) is None or obeys(host)


def test_what_is_suggested_is_never_flagged_itself():
    for _, _, mistyped in sample(2, seed=3):
        reference = match(f"{mistyped}/team/group/app:1")
        verdict = assess(reference.domain, reference.path) if reference and reference.domain else None
        if verdict is not None and verdict.right is not None and verdict.kind is not Kind.SHORT_PATH:
            again = judged(verdict.right)
            # the account of an ECR host stays as it was typed, and may be as wrong as it was
            assert again is None or again.confidence is Confidence.ADVISORY or "account" in again.message.lower(), (
                mistyped,
                verdict.right,
                again,
            )


def test_known_hosts_are_left_alone():
    for registry, host in instances():
        path = "team/dependency_proxy/containers/app" if host == "gitlab.com" else "team/group/app"
        assert not is_flagged(f"{host}/{path}:1"), (registry, host)


def test_real_references_are_left_alone_save_those_judged_one_by_one(capsys):
    references = [line.split("\t")[0] for line in IMAGES.read_text(encoding="utf-8").splitlines()]
    valid = [image for image in references if match(image) is not None]
    flagged = {image: judged(image) for image in valid if is_flagged(image)}
    advised = Counter(verdict.message for image in valid if (verdict := judged(image)) and image not in flagged)
    with capsys.disabled():
        share = len(flagged) / len(valid)
        print(f"\n{len(valid)} real references: {len(flagged)} ({share:.3%}) flagged, {advised.total()} advised on")
    expected = {image: (confidence, message) for image, confidence, message, _ in rows("flags.tsv")}
    assert {image: (verdict.confidence.word, verdict.message) for image, verdict in flagged.items()} == expected
    assert advised == {
        "`docker.io/bitnami` is withdrawn in part": 111,
        "`docker.pkg.github.com` is retired and still serves": 1,
        "`k8s.gcr.io` is frozen since 2023-04-03": 83,
    }


def test_real_hosts_beside_the_catalogue_are_left_alone(capsys):
    hosts = [host for (host,) in rows("hosts.txt")]
    with capsys.disabled():
        print(f"\n{len(hosts)} real hosts")
    assert len(set(hosts)) == len(hosts) >= 550
    assert [host for host in hosts if assess(host, "team/group/app") is not None] == []


def test_evidence_takes_a_guess_back_and_lowers_a_certainty():
    known = {"quay.oi": "pull secret regcred in team-a", "ghrc.io": "node worker-1"}
    assert assess("quay.oi", "a/b").confidence is Confidence.LIKELY
    assert assess("quay.oi", "a/b", known.get) is None
    assert assess("ghrc.io", "a/b").confidence is Confidence.CERTAIN
    lowered = assess("ghrc.io", "a/b", known.get)
    assert lowered.confidence is Confidence.LIKELY
    assert lowered.evidence[-1] == "not certain: the host is known here from node worker-1"


def test_evidence_is_asked_for_the_host_alone_and_only_when_something_is_wrong():
    asked = []

    def evidence(host: str) -> None:
        asked.append(host)

    for image in ("nginx", "quay.io/a/b", "harbor.corp.net/a/b", "k8s.gcr.io/pause", "ghcr.io/app"):
        reference = match(image)
        assess(reference.domain, reference.path, evidence)
    assert asked == []
    assess("quay.oi:443", "a/b", evidence)
    assert asked == ["quay.oi:443"]


@pytest.mark.parametrize(
    ("host", "right"),
    [
        ("myreg.azurcer.io", "myreg.azurecr.io"),
        ("myregazurecr.io", "myreg.azurecr.io"),
        ("my.reg.azurecr.io", "myreg.azurecr.io"),
        ("myreg.azu.ecr.io", "myreg.azurecr.io"),
        ("myreg.azurecr.net", "myreg.azurecr.io"),
        ("myreg.azureacr.io", "myreg.azurecr.io"),
        ("myreg.eastus.data.azurecr.io", "myreg.azurecr.io"),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.con", "123456789012.dkr.ecr.us-east-1.amazonaws.com"),
        ("123456789012dkr.ecr.us-east-1.amazonaws.com", "123456789012.dkr.ecr.us-east-1.amazonaws.com"),
        ("123456789012.dkrecr.us-east-1.amazonaws.com", "123456789012.dkr.ecr.us-east-1.amazonaws.com"),
        ("123456789012.ecr.dkr.us-east-1.amazonaws.com", "123456789012.dkr.ecr.us-east-1.amazonaws.com"),
        ("123456789012.dkr.ecr.us-esat-1.amazonaws.com", "123456789012.dkr.ecr.us-east-1.amazonaws.com"),
        ("us-est1-docker.pkg.dev", "us-east1-docker.pkg.dev"),
        ("europe-west1-dockr.pkg.dev", "europe-west1-docker.pkg.dev"),
        ("swr.cn-north-4.myhuaweiclod.com", "swr.cn-north-4.myhuaweicloud.com"),
        ("registry.cn-hangzou.aliyuncs.com", "registry.cn-hangzhou.aliyuncs.com"),
        ("ca-tor.icr.io", "ca.icr.io"),
        ("mcr.rnicr0soft.com", "mcr.microsoft.com"),
        ("registry.acces.redaht.com", "registry.access.redhat.com"),
        ("ttl.shh", "ttl.sh"),
        ("dhl.io", "dhi.io"),
    ],
)
def test_the_whole_repository_is_suggested(host, right):
    assert assess(host, "team/app").right == f"{right}/team/app"


@pytest.mark.parametrize(
    "host",
    [
        "quay.oi.local",
        "quay.oi:8080",
        "[::1]:5000",
        "10.0.0.1",
        "registry:5000",
        "quay.svc",
        "xn--.io",
    ],
)
def test_what_only_its_owner_can_know_is_left_alone(host):
    assert assess(host, "team/app") is None


def test_what_is_too_long_for_a_host_is_neither_judged_nor_remembered():
    before = typo._assess.cache_info().currsize
    assert assess("ghrc.io." + "x" * 10**6, "team/app") is None
    assert typo._assess.cache_info().currsize == before


def test_a_port_is_kept_in_the_suggestion():
    assert assess("ghrc.io:443", "org/app").right == "ghcr.io:443/org/app"


@settings(max_examples=400, deadline=None)
@given(st.text(LETTERS, min_size=1, max_size=40), st.text(LETTERS, min_size=1, max_size=20))
def test_any_host_and_path_is_judged_in_one_line(host, path):
    verdict = assess(host, path)
    if verdict is not None:
        assert "\n" not in verdict.message
        assert (verdict.right is None) <= bool(verdict.fix)
