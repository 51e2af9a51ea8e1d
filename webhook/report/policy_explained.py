"""Why a namespace has the policy that it has, as values and as text. Pure.

Asks the same functions that decide, so an explanation can't differ from what happens.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from webhook.engine.evaluate import read_reference
from webhook.model.policy import FLAGS, INJECT_OS, MODES, PREFIX, held_level, of_labels
from webhook.model.reference import Reference
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from webhook.model.policy import ClusterPolicy
    from webhook.model.policy_book import PolicyBook
    from webhook.model.policy_exemption import Exemption

_REASON: Final = 200


def explained(
    book: PolicyBook, namespace: str, labels: Mapping[str, str], *, now: int, image: str | None = None
) -> dict[str, Any]:
    """What decides in a namespace with those labels; `now` is in seconds since 1970."""
    merged = book.merged(namespace, labels)
    cluster = merged.cluster
    policy = of_labels(labels, cluster)
    own = {key: value for key, value in sorted(labels.items()) if key.startswith(PREFIX)}
    found: dict[str, Any] = {
        "namespace": namespace,
        "labels": own,
        "policies": list(book.selecting(namespace, labels)),
        "levels": {
            mode: {"level": held.level.word, "because": held.why}
            for mode in MODES
            for held in (held_level(mode, labels, cluster),)
        },
        "floor": {
            mode: {"level": getattr(cluster.floor, mode).word, "because": cluster.sources[f"floor.{mode}"]}
            for mode in MODES
            if f"floor.{mode}" in cluster.sources
        },
        "injectOS": {
            "value": "enabled" if policy.modes.inject_os else "disabled",
            "because": f"label {PREFIX}{INJECT_OS}"
            if PREFIX + INJECT_OS in own
            else cluster.sources.get("defaults.inject_os", FLAGS),
        },
        "templates": {
            "value": "deny" if policy.modes.deny_templates else "warn",
            "because": cluster.sources.get("templates", FLAGS),
        },
        "confidence": {code: _override(cluster, code) for code in sorted(cluster.overrides)},
        "allowedRegistries": [{"registries": list(one.shown), "because": one.source} for one in cluster.allowed],
        "delegated": sorted(cluster.delegated),
        "exemptions": [_exemption(one, now) for one in cluster.exemptions.all],
        "notInForce": [
            {"policy": one.loser, "setting": one.setting, "because": one.winner} for one in merged.conflicts
        ],
    }
    if image is not None:
        found["image"] = _image(image, cluster, now)
    return found


def _override(cluster: ClusterPolicy, code: str) -> dict[str, str]:
    override = cluster.overrides[code]
    if override.exactly is None:
        word = f"at least {override.at_least.word}"
    else:
        word = max(override.exactly, override.at_least).word
    return {"confidence": word, "because": cluster.sources[f"confidence.{code}"]}


def _exemption(one: Exemption, now: int) -> dict[str, Any]:
    until = dt.datetime.fromtimestamp(one.expires, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said: dict[str, list[str]] = {
        "images": [glob.text for glob in one.images],
        "workloads": [f"{rule.kind} {rule.namespace}/{rule.name}" for rule in one.workloads],
        "users": list(one.users),
        "groups": list(one.groups),
        "serviceAccounts": list(one.service_accounts),
        "runtimeClasses": list(one.runtime_classes),
        "checks": list(one.checks),
    }
    return {
        "name": one.name,
        "because": one.source,
        "reason": one.reason,
        "expires": until,
        "inForce": one.expires > now,
        "for": {what: names for what, names in said.items() if names},
    }


def _image(image: str, cluster: ClusterPolicy, now: int) -> dict[str, Any]:
    reference = read_reference(image)
    if not isinstance(reference, Reference):
        return {"image": image, "invalid": str(reference)}
    repository = reference.repository
    credentials = cluster.credentials_of(repository)
    system = cluster.os_rule(repository)
    return {
        "image": image,
        "repository": repository,
        "refusedBy": [one.source for one in cluster.allowed if not one.globs.find(repository)],
        "credentials": None if credentials is None else {"value": credentials[1], "because": credentials[0]},
        "nodeCredentials": cluster.node_credentials,
        "hostVouchedBy": cluster.vouches_for(repository),
        "pulledElsewhere": cluster.is_pulled_elsewhere(repository),
        "preloadedBy": cluster.preloaded.first(repository),
        "os": None if system is None else system.os,
        "exemptions": [
            f"{one.source} {one.name}"
            for one in cluster.exemptions.all
            if one.expires > now and one.images and any(glob.covers(repository) for glob in one.images)
        ],
    }


def text(found: Mapping[str, Any]) -> str:
    """The same for people."""
    return "".join(f"{printable(line)}\n" for line in _lines(found))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"namespace {found['namespace']}"
    yield from (f"  label {key}={value}" for key, value in found["labels"].items())
    if found["policies"]:
        yield "policies, in the order in which they count"
        yield from (f"  {source}" for source in found["policies"])
    else:
        yield "no policy is for it: its labels and the webhook's own defaults hold"
    yield "levels"
    for mode, held in found["levels"].items():
        yield f"  {mode:8} {held['level']:9} {held['because']}"
    for mode, held in found["floor"].items():
        yield f"  not under {held['level']} for {mode}: {held['because']}"
    for name, title in (("injectOS", "inject-os"), ("templates", "templates")):
        yield f"  {title:9} {found[name]['value']:8} {found[name]['because']}"
    for code, held in found["confidence"].items():
        yield f"  {code} is {held['confidence']}: {held['because']}"
    for one in found["allowedRegistries"]:
        yield f"allowed by {one['because']}: {', '.join(one['registries'])}"
    if found["delegated"]:
        yield f"its owners may weaken: {', '.join(found['delegated'])}"
    for one in found["exemptions"]:
        state = f"until {one['expires']}" if one["inForce"] else f"expired {one['expires']}"
        names = "; ".join(f"{what} {', '.join(listed)}" for what, listed in one["for"].items())
        yield f"exempt by {one['because']} {one['name']} ({state}): {names} - {printable(one['reason'], _REASON)}"
    for one in found["notInForce"]:
        yield f"not in force: {one['setting']} of {one['policy']}, because of: {one['because']}"
    if "image" in found:
        yield from _image_lines(found["image"])


def _image_lines(image: Mapping[str, Any]) -> Iterator[str]:
    yield f"image {image['image']}"
    if "invalid" in image:
        yield f"  is no reference: {image['invalid']}"
        return
    yield f"  repository {image['repository']}"
    if image["refusedBy"]:
        yield f"  not allowed by {', '.join(image['refusedBy'])}"
    if image["credentials"]:
        yield f"  credentials: {image['credentials']['value']}, {image['credentials']['because']}"
    if image["hostVouchedBy"]:
        yield f"  its host is not judged: {image['hostVouchedBy']}"
    if image["pulledElsewhere"]:
        yield "  nodes pull it from elsewhere"
    if image["preloadedBy"]:
        yield f"  nodes hold it: {image['preloadedBy']}"
    if image["os"]:
        yield f"  for {image['os']}"
    yield from (f"  exempt by {one}" for one in image["exemptions"])
