"""Real OCI registries under the real host names that users type, each with its own images.

Why: what a kubelet says of a failed pull is the registry's and the resolver's word, so both are real: DNS, TLS and
docker-registry, at the name that stands in the pod. One more registry, on a Unix socket and open to us alone, writes
into the storage of all of them: its repositories begin with the host's name.

Must not: be reachable from outside the node's network namespace (except that socket), or know what a test pulls.
"""

from __future__ import annotations

import enum
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.controlplane import pki
from tests.node.images import stored
from tests.node.tokens import ISSUER

if TYPE_CHECKING:
    from collections.abc import Sequence

USER = "puller"
PASSWORD = "correct-horse"  # of registries that live for minutes on loopback
_BCRYPT = "$2b$04$qXySjTpFJ0Oq3qFeHYNkUuvvdYC9vg/gufn6DTn8HkYZuNzxdVOuW"  # of PASSWORD
_TOKENS_ADDRESS = "127.0.0.2"
_LAYOUT = Path("docker/registry/v2")  # below a storage root: blobs/ and repositories/


class Access(enum.Enum):
    """Who may pull.

    OPEN: everyone, and nobody's credential is looked at. PASSWORD: who knows it, by a Basic challenge, as a plain
    registry makes it. TOKEN: who knows it, by a token service that refuses everybody else (Azure's way). MIXED: the
    same, and everyone pulls the registry's `public` repositories, unless with a wrong password (Docker Hub's way).
    WEBSITE: nobody, it is none: it has a page for whatever it is asked.
    """

    OPEN = "open"
    PASSWORD = "password"
    TOKEN = "token"
    MIXED = "mixed"
    WEBSITE = "website"


@dataclass(frozen=True)
class Registry:
    """A registry under `host`; `server` is the name that is really asked, where it differs (docker.io's does).

    user: whose password `PASSWORD` is. public: what the repositories that everyone may pull begin with.
    """

    host: str  # with its port, where it has one
    access: Access = Access.OPEN
    server: str = ""
    user: str = USER
    public: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The domain name that is looked up."""
        return (self.server or self.host).partition(":")[0]

    @property
    def port(self) -> str:
        return self.host.partition(":")[2] or "443"


@dataclass(frozen=True)
class Prepared:
    """Registries as the node starts them: what DNS answers, the programs, and who signed their certificates."""

    addresses: dict[str, str]
    programs: tuple[dict[str, Any], ...]
    ca_file: Path
    socket: Path


def prepare(registries: Sequence[Registry], folder: Path, program: Path) -> Prepared:
    """Write the configuration of all of them below `folder`; `program` is docker-registry."""
    folder.mkdir()
    shared = folder / "storage"
    for name in ("blobs", "repositories"):
        (shared / _LAYOUT / name).mkdir(parents=True)
    socket = folder / "push.sock"
    started = [_program(program, folder, "push", {"http": {"net": "unix", "addr": str(socket)}}, shared)]
    authority = pki.new_authority("pullproof-registries")
    ca_file = folder / "ca.crt"
    ca_file.write_bytes(authority.certificate_pem)
    addresses: dict[str, str] = {}
    services = {}
    sites = [registry for registry in registries if registry.access is Access.WEBSITE]
    for number, registry in enumerate((one for one in registries if one not in sites), start=1):
        # two registries may share a name on two ports
        address = addresses.setdefault(registry.name, f"127.0.{1 + number // 250}.{1 + number % 250}")
        root = folder / stored(registry.host)
        (root / _LAYOUT).mkdir(parents=True)
        own = shared / _LAYOUT / "repositories" / stored(registry.host)
        own.mkdir()
        (root / _LAYOUT / "repositories").symlink_to(own)
        (root / _LAYOUT / "blobs").symlink_to(shared / _LAYOUT / "blobs")
        pair = pki.issue_server(authority, [registry.name])
        certificate, key = root / "tls.crt", root / "tls.key"
        certificate.write_bytes(pair.certificate_pem)
        key.write_bytes(pair.key_pem)
        config: dict[str, Any] = {
            "http": {"addr": f"{address}:{registry.port}", "tls": {"certificate": str(certificate), "key": str(key)}}
        }
        if registry.access is Access.PASSWORD:
            (root / "htpasswd").write_text(f"{registry.user}:{_BCRYPT}\n")
            config["auth"] = {"htpasswd": {"realm": registry.name, "path": str(root / "htpasswd")}}
        elif registry.access is not Access.OPEN:
            services[registry.name] = registry
            config["auth"] = {
                "token": {
                    "realm": f"https://{_token_host(registry)}/oauth2/token",
                    "service": registry.name,
                    "issuer": ISSUER,
                    "rootcertbundle": str(ca_file),
                }
            }
        started.append(_program(program, folder, stored(registry.host), config, root))
    if services or sites:
        names = [*map(_token_host, services.values()), *(site.name for site in sites)]
        started.append(_token_service(list(services.values()), names, folder, authority))
        addresses.update(dict.fromkeys(names, _TOKENS_ADDRESS))
    return Prepared(addresses, tuple(started), ca_file, socket)


def _token_host(registry: Registry) -> str:
    return f"auth.{registry.host.partition(':')[0]}"


def _token_service(
    registries: Sequence[Registry], names: Sequence[str], folder: Path, authority: pki.Pair
) -> dict[str, Any]:
    """The service, which is every website too: `names` are all that it answers to."""
    pair = pki.issue_server(authority, names)
    certificate, key, settings = folder / "tokens.crt", folder / "tokens.key", folder / "tokens.json"
    certificate.write_bytes(pair.certificate_pem)
    key.write_bytes(pair.key_pem)
    services = {
        registry.name: {
            "user": registry.user,
            "password": PASSWORD,
            "anonymous": registry.access is Access.MIXED,
            "public": registry.public,
        }
        for registry in registries
    }
    given = {"address": _TOKENS_ADDRESS, "certificate": str(certificate), "key": str(key), "services": services}
    settings.write_text(json.dumps(given))
    return {
        "name": "token service",
        "argv": [sys.executable, str(Path(__file__).with_name("tokens.py")), str(settings)],
        "env": {},
        "log": str(folder / "tokens.log"),
        "outside": False,
    }


def _program(program: Path, folder: Path, name: str, config: dict[str, Any], root: Path) -> dict[str, Any]:
    config = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(root)}},
        **config,
    }
    config["http"]["secret"] = "shared"  # signs upload states; without it each start warns
    file = folder / f"{name}.json"
    file.write_text(json.dumps(config))  # JSON is YAML
    return {
        "name": f"registry {name}",
        "argv": [str(program), "serve", str(file)],
        # off: the traces of newer versions go to an address that nobody listens on
        "env": {"OTEL_TRACES_EXPORTER": "none"},
        "log": str(folder / f"{name}.log"),
        "outside": False,
    }
