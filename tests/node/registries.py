"""Real OCI registries under the real host names that users type, each with its own images.

Why: what a kubelet says of a failed pull is the registry's and the resolver's word, so both are real: DNS, TLS and
docker-registry, at the name that stands in the pod. One more registry, on a Unix socket and open to us alone, writes
into the storage of all of them: its repositories begin with the host's name.

Must not: be reachable from outside the node's network namespace (except that socket), or know what a test pulls.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.controlplane import pki

if TYPE_CHECKING:
    from collections.abc import Sequence

USER = "puller"
PASSWORD = "correct-horse"  # of registries that live for minutes on loopback
_HTPASSWD = f"{USER}:$2b$04$qXySjTpFJ0Oq3qFeHYNkUuvvdYC9vg/gufn6DTn8HkYZuNzxdVOuW\n"
_LAYOUT = Path("docker/registry/v2")  # below a storage root: blobs/ and repositories/


class Access(enum.Enum):
    """Who may pull: everyone, or `USER` with `PASSWORD` (a Basic challenge, as a plain registry makes it)."""

    OPEN = "open"
    PASSWORD = "password"


@dataclass(frozen=True)
class Registry:
    """A registry under `host`; `server` is the name that is really asked, where it differs (docker.io's does)."""

    host: str
    access: Access = Access.OPEN
    server: str = ""

    @property
    def name(self) -> str:
        return self.server or self.host


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
    htpasswd = folder / "htpasswd"
    htpasswd.write_text(_HTPASSWD)
    addresses = {}
    for number, registry in enumerate(registries, start=1):
        address = addresses[registry.name] = f"127.0.{1 + number // 250}.{1 + number % 250}"
        root = folder / registry.name
        (root / _LAYOUT).mkdir(parents=True)
        own = shared / _LAYOUT / "repositories" / registry.host
        own.mkdir()
        (root / _LAYOUT / "repositories").symlink_to(own)
        (root / _LAYOUT / "blobs").symlink_to(shared / _LAYOUT / "blobs")
        pair = pki.issue_server(authority, [registry.name])
        certificate, key = root / "tls.crt", root / "tls.key"
        certificate.write_bytes(pair.certificate_pem)
        key.write_bytes(pair.key_pem)
        config: dict[str, Any] = {
            "http": {"addr": f"{address}:443", "tls": {"certificate": str(certificate), "key": str(key)}}
        }
        if registry.access is Access.PASSWORD:
            config["auth"] = {"htpasswd": {"realm": registry.name, "path": str(htpasswd)}}
        started.append(_program(program, folder, registry.name, config, root))
    return Prepared(addresses, tuple(started), ca_file, socket)


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
