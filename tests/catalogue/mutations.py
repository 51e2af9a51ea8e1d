"""Every host that the catalogue knows, and what one slip of the fingers makes of it."""

from __future__ import annotations

import random
import re
import string
from typing import TYPE_CHECKING

from webhook.catalogue.registries import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

LETTERS = string.ascii_lowercase + string.digits + "-."

# What a variable label holds in an instance of a form; a region where the registry has its own, below.
HELD = {
    "account": "123456789012",
    "aws": "us-east-1",
    "aws_cn": "cn-north-1",
    "aws_eusc": "eusc-de-east-1",
    "aws_iso": "us-iso-east-1",
    "aws_iso_b": "us-isob-east-1",
    "aws_iso_e": "eu-isoe-west-1",
    "aws_iso_f": "us-isof-east-1",
    "azure_region": "westeurope",
    "cluster": "c1",
    "cluster_registry": "registry-cn-hangzhou",
    "key": "fra",
    "location": "us-west4",
    "name": "asia",
    "prefix": "hk",
    "registry": "contoso1",
    "upstream": "quay",
}
REGIONS = {
    "alibaba-acr": "cn-hangzhou",
    "huawei-swr": "cn-north-4",
    "ionos-cr": "de-fra",
    "naver-ncr": "kr",
    "nebius-cr": "eu-north1",
    "open-telekom-cloud-swr": "eu-nl",
    "oracle-ocir": "eu-frankfurt-1",
    "ovh-managed-registry": "gra7",
    "scaleway-registry": "nl-ams",
    "vultr-cr": "ewr",
}


def instances() -> Iterator[tuple[str, str]]:
    """Registry id and host: every exact host, and one instance of every form."""
    for registry in catalogue().registries:
        if registry.kind in {"local", "placeholder"}:
            continue
        for host in registry.hosts:
            yield registry.id, host
        for form in registry.forms:
            held = HELD | {"region": REGIONS.get(registry.id, "")}
            yield registry.id, re.sub(r"\{(\w+)\}", lambda found, held=held: held.get(found[1], "acme"), form)


def slips(host: str) -> dict[str, list[str]]:
    """Kind of slip → every host that it makes of `host`, sorted."""
    found: dict[str, set[str]] = {"insert": set(), "delete": set(), "substitute": set(), "transpose": set()}
    for at in range(len(host) + 1):
        found["insert"].update(host[:at] + letter + host[at:] for letter in LETTERS)
    for at, there in enumerate(host):
        found["delete"].add(host[:at] + host[at + 1 :])
        found["substitute"].update(host[:at] + letter + host[at + 1 :] for letter in LETTERS if letter != there)
        after = host[at + 1 : at + 2]
        if after not in {"", there}:
            found["transpose"].add(host[:at] + after + there + host[at + 2 :])
    return {kind: sorted(hosts - {host}) for kind, hosts in found.items()}


def sample(count: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """Registry id, right host, mistyped host: at most `count` of every kind of slip of every host."""
    chosen = random.Random(seed)
    for registry, host in instances():
        for hosts in slips(host).values():
            for mistyped in chosen.sample(hosts, min(count, len(hosts))):
                yield registry, host, mistyped
