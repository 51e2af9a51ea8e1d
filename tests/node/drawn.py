"""Scenarios drawn at random: what nobody thought of writing down.

Each combines registries, spellings of a host, names, tags, pull secrets and the lists that name them, containers and
pull policies. The same seed draws the same scenarios. It notes in `hidden` every flaw that the API can't show; what
pullproof is to say, it does not know.

Must not: import the catalogue or a check, or a blind spot of theirs would be one of the draw's.
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.node.registries import PASSWORD, Access
from tests.node.scenario import Scenario
from tests.node.world import MIRRORS, REGISTRIES

if TYPE_CHECKING:
    from tests.node.registries import Registry

_SLIPS = ("swap", "drop", "double", "replace")
_HOSTS = {registry.host for registry in REGISTRIES}
# what the API can't show
HOST = "whether a host of that name exists"
PUBLIC = "whether the repository is public"
REPOSITORY = "the repository is not there"
TAG = "the tag is not there"
PASSWORD_WRONG = "the password is wrong"
USER_WRONG = "the user name is wrong"
# the registries of which the name alone tells that nobody pulls without a credential
_KNOWN_PRIVATE = ("azurecr.io", "icr.io", "amazonaws.com")


@dataclass
class _Draft:
    """One scenario while it is being drawn."""

    number: int
    dice: random.Random
    push: list[str] = field(default_factory=list)
    secrets: dict[str, Any] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)  # of the image that is being drawn, then of all


def draw(seed: int, count: int) -> list[Scenario]:
    """`count` scenarios; which, is decided by `seed` alone."""
    dice = random.Random(seed)
    return [_scenario(_Draft(number, dice), seed) for number in range(count)]


def _scenario(draft: _Draft, seed: int) -> Scenario:
    dice = draft.dice
    registries = [dice.choice(REGISTRIES) for _ in range(dice.choice((1, 1, 1, 1, 2)))]
    images, hidden = [], {}
    for index, registry in enumerate(registries):
        images.append(_image(draft, registry, index))
        hidden[images[-1]] = draft.hidden
        draft.hidden = []
    for _ in range(dice.choice((0, 1, 1, 1, 2))):
        _secret(draft, dice.choice([*registries, dice.choice(REGISTRIES)]))
    account, pull = _lists(draft)
    spec: dict[str, Any] = {}
    if dice.random() < 0.2 and len(images) > 1 and "@" not in images[-1]:
        init: dict[str, Any] = {"name": "init", "image": images.pop()}
        init |= dice.choice(({"args": ["done"]}, {"restartPolicy": "Always"}))
        spec["initContainers"] = [init]
    if dice.random() < 0.1:
        spec["nodeSelector"] = {"kubernetes.io/os": "linux"}
    policy = dice.choice(("", "", "", "Always", "IfNotPresent"))
    return Scenario(
        name=f"{seed}/{draft.number}",
        push=draft.push,
        secrets=draft.secrets,
        account=account,
        pull=pull,
        images=images,
        policy=policy,
        spec=spec,
        hidden={image: "; ".join([*own, *draft.hidden]) for image, own in hidden.items()},
        governed=dice.random() < 0.5,
    )


def _image(draft: _Draft, registry: Registry, index: int) -> str:
    dice = draft.dice
    path = f"r{draft.number}/{dice.choice(('app', 'team-a/api', 'pong', 'web_ui', 'x.y'))}-{index}"
    public = registry.access is Access.OPEN
    if registry.access is Access.MIXED:
        public = dice.random() < 0.6
        path = f"{dice.choice(registry.public)}{path}" if public else f"private/{path}"
    elif registry.host == "us.icr.io":
        path = f"ns/{path}"
    if not public and not registry.host.endswith(_KNOWN_PRIVATE):
        draft.hidden.append(PUBLIC)
    tag = dice.choice(("1", "v1.2.3", "latest"))
    draft.push.append(f"{registry.host}/{path}:{tag}")
    host = _host(draft, registry.host)
    reference = f"{host}/{path}"
    kind = dice.random()
    if kind < 0.06:
        draft.hidden.append(TAG)
        return f"{reference}:other"
    if kind < 0.10:
        draft.hidden.append(REPOSITORY)
        return f"{reference}-other:{tag}"
    if kind < 0.13:
        if tag != "latest":
            draft.hidden.append(TAG)
        return reference
    if kind < 0.25:
        return _broken(draft, host, path, tag)
    if kind < 0.33:
        # a tag beside a digest says nothing: the digest decides
        return f"{reference}{dice.choice(('', f':{tag}', ':other'))}@sha256:pushed"
    return f"{reference}:{tag}"


def _broken(draft: _Draft, host: str, path: str, tag: str) -> str:
    """No reference at all (or by chance one that names something else)."""
    whole = f"{host}/{path}:{tag}"
    return draft.dice.choice(
        (
            f"https://{whole}",
            f"{host}//{path}:{tag}",
            f"{host}/{path.upper()}:{tag}",
            f"{host}/{path}@sha256:{tag}",
            f"{host}/{path}:${{TAG}}",
            f"{host}/{path}:{tag}:{tag}",
            f"{host}/{path}:",
            f"{host}/{path}:{tag}/",
            f"{host}/-{path}:{tag}",
        )
    )


def _host(draft: _Draft, host: str) -> str:
    """The host, in one of five cases misspelt; then it exists only where chance hit upon another of the world's."""
    dice = draft.dice
    if dice.random() > 0.2:
        return host
    name, colon, port = host.partition(":")
    at = dice.randrange(1, len(name) - 1)
    slip = dice.choice(_SLIPS)
    if slip == "swap":
        name = name[: at - 1] + name[at] + name[at - 1] + name[at + 1 :]
    elif slip == "drop":
        name = name[:at] + name[at + 1 :]
    elif slip == "double":
        name = name[:at] + name[at] + name[at:]
    else:
        name = name[:at] + dice.choice(string.ascii_lowercase) + name[at + 1 :]
    misspelt = f"{name}{colon}{port}"
    if misspelt in MIRRORS:
        return host
    if misspelt not in _HOSTS:
        # a host of somebody's own may have any name: only where pullproof says that none is there, it is held to it
        draft.hidden.append(HOST)
    return misspelt


def _secret(draft: _Draft, registry: Registry) -> None:
    dice = draft.dice
    name = f"secret-{len(draft.secrets)}"
    user, host = registry.user, registry.host
    key = dice.choice((host, host, f"https://{host}", f"https://{host}/v1/", f"{host}/v2/", _glob(host), f"{host}/r"))
    if host == "docker.io":
        key = dice.choice(("https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"))
    kind = dice.random()
    if kind < 0.55:
        entry: Any = f"{user}:{PASSWORD}"
    elif kind < 0.65:
        draft.hidden.append(PASSWORD_WRONG)
        entry = f"{user}:wrong"
    elif kind < 0.72:
        draft.hidden.append(USER_WRONG)
        entry = f"somebody:{PASSWORD}"
    elif kind < 0.78:
        entry = f"{user}:{PASSWORD}\n"
    elif kind < 0.82:
        entry = f"{user}:"
    elif kind < 0.85:
        entry = {}
    elif kind < 0.89:
        entry = {"auth": dice.choice(("no base64!", "aWFtYXBpa2V5", f"{user}:{PASSWORD}"))}
    elif kind < 0.92:
        entry = {"Username": user, "PASSWORD": PASSWORD}
    elif kind < 0.95:
        entry = {"auth": "MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==", "identitytoken": "eyJ0"}
    else:
        # a Secret of the right type that holds nothing
        draft.secrets[name] = dice.choice(("{}", '{"auths": {}}', '{"credHelpers": {"quay.io": "x"}}'))
        return
    draft.secrets[name] = {key: entry}


def _glob(host: str) -> str:
    return f"*.{host.partition('.')[2]}"


def _lists(draft: _Draft) -> tuple[list[str] | None, list[str] | None]:
    """Which secrets the ServiceAccount names, and which the pod does."""
    dice, names = draft.dice, list(draft.secrets)
    if dice.random() < 0.1:
        names = [*names, "absent"]
    where = dice.random()
    if where < 0.6:
        return None, names
    if where < 0.8:
        return names, None
    if where < 0.9:
        return names, dice.sample(names, len(names) // 2) or [""]
    return [], names
