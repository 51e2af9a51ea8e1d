"""Verdicts on what follows a host that is right: too short a path, a path that was withdrawn, a host taken for a path.

Must not: judge a host of its own accord, or a tag: whether a repository exists only its registry knows.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final

from webhook.catalogue.registries import catalogue, host_name, lookup, retired_of
from webhook.catalogue.verdict import Kind, Verdict
from webhook.model.finding import Confidence

if TYPE_CHECKING:
    from webhook.catalogue.registries import Registry

DOCKER_HUB: Final = "docker.io"
_GITLAB: Final = "gitlab.com"
_DEPENDENCY_PROXY: Final = "/dependency_proxy/containers/"
_HUB_PARTS: Final = 2
# Registries that are a service for anybody: what they say of their paths holds for every path. A project's or vendor's
# host is only known by the images seen on it.
_GENERAL_KINDS: Final = frozenset({"cloud", "forge", "registry"})


def is_dependency_proxy(domain: str, path: str) -> bool:
    """Whether this is the one thing that gitlab.com, a website, serves as a registry."""
    return host_name(domain) == _GITLAB and _DEPENDENCY_PROXY in f"/{path}"


def registry_behind(host: str, path: str) -> str:
    """`host`, or its registry where it is a website for every path but some."""
    return f"registry.{_GITLAB}" if host == _GITLAB and not is_dependency_proxy(host, path) else host


def judge(domain: str, path: str) -> Verdict | None:
    """The verdict on the path of a host that is known, or that nothing is known of."""
    name = host_name(domain)
    if (verdict := _of_retired_path(name, path)) is not None:
        return verdict
    if name == DOCKER_HUB:
        return _host_without_dot(path)
    registry = lookup(domain)
    return _of_short_path(name, path, registry) if registry else None


def _of_retired_path(name: str, path: str) -> Verdict | None:
    for registry, retired in catalogue().retired_paths.get(name, ()):
        if not f"{name}/{path}/".startswith(f"{retired.path}/"):
            continue
        gone = "denied" in retired.detail
        return Verdict(
            Kind.RETIRED,
            Confidence.LIKELY if gone else Confidence.ADVISORY,
            retired.path.partition("/")[2],
            f"`{retired.path}` is {'gone' if gone else 'withdrawn in part'}",
            fix=f"use {retired.replaced_by}" if retired.replaced_by else "find out where the image moved to",
            evidence=(f"{registry.name}: {retired.detail}", *retired.source),
        )
    return None


def _of_short_path(name: str, path: str, registry: Registry) -> Verdict | None:
    rule = registry.path_rule
    if rule is None or (rule.hosts and name not in rule.hosts) or path.count("/") + 1 >= rule.min_segments:
        return None
    return Verdict(
        Kind.SHORT_PATH,
        Confidence.LIKELY if registry.kind in _GENERAL_KINDS else Confidence.ADVISORY,
        path,
        f"`{path}` is too short a path for {name}",
        fix=f"write `{name}/{_form_of_path(rule.form)}`",
        evidence=(*((rule.note,) if rule.note else ()), *rule.source),
    )


def _form_of_path(form: str) -> str:
    """What follows the host in the form of a reference, the first one where there are several."""
    return re.split(r"; | or | \(", form, maxsplit=1)[0].partition("/")[2]


def _host_without_dot(path: str) -> Verdict | None:
    """A host whose only dot is missing is read as a namespace of Docker Hub, whose paths have two parts."""
    first, _, rest = path.partition("/")
    if path.count("/") < _HUB_PARTS or "." in first:
        return None
    from webhook.catalogue import nearest  # noqa: PLC0415 - loads slowly, and such paths are rare

    near = nearest.closest(first, _hosts_of_one_dot(), edits=1)
    if not near:
        return None
    told = f"`{first}` is no host, so Docker Hub is asked"
    return Verdict(
        Kind.SUFFIX,
        Confidence.LIKELY,
        first,
        told,
        host=near[0],
        right=f"{near[0]}/{rest}",
        evidence=("a repository of Docker Hub has two parts", f"one edit from `{near[0]}`"),
    )


@functools.cache
def _hosts_of_one_dot() -> tuple[str, ...]:
    hosts = [
        host
        for host, registry in catalogue().by_host.items()
        if host.count(".") == 1 and registry.kind not in {"local", "placeholder"}
    ]
    return (*hosts, "localhost")


def repository(domain: str, host: str, path: str) -> str | None:
    """The whole repository to write where `host` is right instead of the host of `domain`.

    The port is kept, and the path is made that of the right host; None where its path there is not known.
    """
    name = host_name(domain)
    retired = retired_of(name)
    if retired is not None and retired[1].only_under and not path.startswith(retired[1].only_under):
        return None
    if name == "github.com":
        path = re.sub(r"^([^/]+)/[^/]+/pkgs/container/", r"\1/", path)
    elif host == DOCKER_HUB:
        path = re.sub(r"^(?:r/|repository/docker/)", "", path)
    return f"{host}{domain[len(name) :]}/{path}"
