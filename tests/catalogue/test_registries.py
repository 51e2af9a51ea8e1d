"""The packaged facts: whole, corrected in the open, and found by host in the order that the sources ask for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from webhook.catalogue.registries import DATA, catalogue, compiled, lookup, matches, mistake_of, obeys, retired_of

SHARED = Path(__file__).parents[3] / "shared" / "data" / "registries.json"


def shared() -> list[dict]:
    return json.loads(SHARED.read_text(encoding="utf-8"))


def packaged() -> dict[str, dict]:
    return {entry["id"]: entry for entry in json.loads(DATA.read_text(encoding="utf-8"))["registries"]}


def test_nothing_of_the_shared_facts_is_lost_save_what_is_corrected():
    for entry in shared():
        ours, registry = packaged()[entry["id"]], {found.id: found for found in catalogue().registries}[entry["id"]]
        assert list(registry.hosts) == entry["hosts"]
        assert set(entry["patterns"]) <= set(registry.patterns)
        wrong = {mistake.wrong: mistake.right for mistake in registry.mistakes}
        assert {mistake["wrong"]: mistake["right"] for mistake in entry["known_mistakes"]}.items() <= wrong.items()
        if {name["host"] for name in entry["deprecated"]} != {name.host for name in registry.retired}:
            assert any("deprecated" in text for text in ours["corrected"])
        if (wrong_count := len(wrong) - len(entry["known_mistakes"])) != 0:
            assert wrong_count > 0
            assert any("known_mistakes" in text for text in ours["corrected"])
        if set(entry["patterns"]) != set(registry.patterns):
            assert any("forms" in text for text in ours["corrected"])
        rule = entry["path_rules"]
        if rule and registry.path_rule and rule["min_segments"] != registry.path_rule.min_segments:
            assert any("path_rules" in text for text in ours["corrected"])


def test_every_form_names_labels_that_are_described_or_free():
    for registry in catalogue().registries:
        for form in registry.forms:
            assert compiled(form).groupindex, form
        variables = {name for form in registry.forms for name in compiled(form).groupindex}
        assert set(registry.labels) <= variables, registry.id


def test_only_gitlab_com_is_both_a_host_and_a_mistake():
    known = catalogue()
    both = {host for host in known.by_host if mistake_of(host) is not None}
    assert both == {"gitlab.com"}
    assert not {host for host in known.by_host if retired_of(host) is not None}
    assert not set(known.neighbours) & set(known.by_host)


def test_no_host_belongs_to_two_registries():
    seen = [host for registry in catalogue().registries for host in registry.hosts]
    assert len(seen) == len(set(seen)) == 278


@pytest.mark.parametrize(
    ("host", "registry"),
    [
        ("quay.io", "quay-io"),
        ("QUAY.io:443", "quay-io"),
        ("docker.io", "docker-hub"),
        ("contoso.azurecr.io", "azure-container-registry"),
        ("myregistry.azurecr.io", "documentation-placeholders"),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com", "amazon-ecr"),
        ("602401143452.dkr.ecr.us-east-1.amazonaws.com", "amazon-eks-addon-images"),
        ("us-east1-docker.pkg.dev", "google-artifact-registry"),
        ("asia-south9-docker.pkg.dev", "google-artifact-registry"),
        ("k8s.gcr.io", "kubernetes-registry"),
        ("launcher.gcr.io", "google-container-registry"),
        ("mirror.gcr.io", "google-docker-hub-mirror"),
        ("image-registry.openshift-image-registry.svc:5000", "openshift-internal-registry"),
        ("kong.bintray.io", "jfrog-cloud"),
        ("app.localhost:5000", "local-registries"),
        ("gitlab.com", "gitlab-dependency-proxy"),
        ("a.b.azurecr.io", None),
        ("ghrc.io", None),
        ("contoso.azureacr.io", None),
        ("eu-docker.pkg.dev", None),
        ("registry.mycorp.net", None),
        ("[::1]:5000", None),
        ("", None),
    ],
)
def test_lookup(host, registry):
    found = lookup(host)
    assert (found and found.id) == registry


def test_only_a_documented_or_known_never_is_sure():
    sure = {registry.id for registry in catalogue().registries if registry.always_needs_credential}
    assert {"amazon-ecr", "redhat-registry-io", "ibm-entitled-registry"} <= sure
    assert not {"redhat-brew", "quay-io", "azure-container-registry"} & sure


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com", True),
        ("12345678901.dkr.ecr.us-east-1.amazonaws.com", False),
        ("123456789012.dkr.ecr.us-east-9.amazonaws.com", False),
        ("contoso.azurecr.io", True),
        ("my-reg.azurecr.io", False),
        ("acme.jfrog.io", True),
        ("quay.io", False),
    ],
)
def test_obeys(host, expected):
    assert obeys(host) is expected


def test_what_a_form_holds_is_told_by_name():
    ((registry, form, held),) = matches("123456789012.dkr.ecr.us-east-1.amazonaws.com")
    assert (registry.id, form) == ("amazon-ecr", "{account}.dkr.ecr.{aws}.amazonaws.com")
    assert held == {"account": "123456789012", "aws": "us-east-1"}


def test_nothing_is_read_or_loaded_before_it_is_needed():
    program = (
        "import sys; from webhook.catalogue import registries, typo;"
        "assert registries.catalogue.cache_info().currsize == 0;"
        "assert typo.assess('quay.io', 'a/b') is None;"
        "assert 'rapidfuzz' not in sys.modules;"
        "assert typo.assess('quay.oi', 'a/b') is not None;"
        "assert 'rapidfuzz' in sys.modules; assert 'confusable_homoglyphs' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=DATA.parents[2])
