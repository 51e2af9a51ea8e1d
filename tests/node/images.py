"""Makes tiny OCI images, and puts them into a registry by its own HTTP API.

Why our own few lines: the tests need images that no tool makes on purpose (an index without this machine's platform,
a single manifest that names another CPU), each with a digest of its own, by the hundred and within seconds.

Must not: judge anything; what a registry refuses is an error.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import socket
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


class PushError(RuntimeError):
    """The registry refused what was pushed. The message has its answer."""


class Images:
    """Pushes images whose one program is `program`, through the registry at the Unix socket `path`.

    Repositories are named with their host first: `contoso.azurecr.io/shop` (`stored` says how it writes that).
    """

    def __init__(self, path: Path, program: Path) -> None:
        self._connection = _UnixConnection(path)
        self._layer, self._diff_id = _layer(program)
        self._layer_from: str | None = None

    def close(self) -> None:
        self._connection.close()

    def push(self, repository: str, tag: str, *, platform: str = "linux/amd64") -> str:
        """A single manifest for `platform` (`os/architecture[/variant][:os.version]`). Returns its digest."""
        repository = stored(repository)
        manifest = self._manifest(repository, platform, seed=f"{repository}:{tag}")
        return self._put(repository, tag, MANIFEST, manifest)

    def push_index(self, repository: str, tag: str, platforms: Sequence[str]) -> str:
        """An image index with one manifest per platform. Returns the index's digest."""
        repository = stored(repository)
        entries = []
        for platform in platforms:
            manifest = self._manifest(repository, platform, seed=f"{repository}:{tag} {platform}")
            digest = self._put(repository, _digest(manifest), MANIFEST, manifest)
            entries.append(
                {"mediaType": MANIFEST, "digest": digest, "size": len(manifest), "platform": _platform(platform)}
            )
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        return self._put(repository, tag, INDEX, index)

    def push_layout(self, repository: str, tag: str, layout: Path) -> str:
        """The one image of an OCI image layout (a folder), as it is. Returns its digest."""
        repository = stored(repository)
        blobs = layout / "blobs" / "sha256"
        (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
        content = (blobs / entry["digest"].removeprefix("sha256:")).read_bytes()
        manifest = json.loads(content)
        for blob in (manifest["config"], *manifest["layers"]):
            self._upload(repository, (blobs / blob["digest"].removeprefix("sha256:")).read_bytes())
        return self._put(repository, tag, entry["mediaType"], content)

    def _manifest(self, repository: str, platform: str, *, seed: str) -> bytes:
        self._have_layer(repository)
        config = json.dumps(
            {
                **_platform(platform),
                "config": {"Entrypoint": ["/pause"], "Labels": {"image": seed}},  # a digest of its own
                "rootfs": {"type": "layers", "diff_ids": [self._diff_id]},
            }
        ).encode()
        self._upload(repository, config)
        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": _CONFIG, "digest": _digest(config), "size": len(config)},
                "layers": [{"mediaType": _LAYER, "digest": _digest(self._layer), "size": len(self._layer)}],
            }
        ).encode()

    def _have_layer(self, repository: str) -> None:
        if self._layer_from is None:
            self._upload(repository, self._layer)
            self._layer_from = repository
        elif repository != self._layer_from:
            query = f"mount={_digest(self._layer)}&from={self._layer_from}"
            self._ask("POST", f"/v2/{repository}/blobs/uploads/?{query}", b"", "", (http.HTTPStatus.CREATED,))

    def _upload(self, repository: str, blob: bytes) -> None:
        place = self._ask("POST", f"/v2/{repository}/blobs/uploads/", b"", "", (http.HTTPStatus.ACCEPTED,))
        target = place.split("//", 1)[-1].partition("/")[2] if "//" in place else place.removeprefix("/")
        joint = "&" if "?" in target else "?"
        target = f"/{target}{joint}digest={_digest(blob)}"
        self._ask("PUT", target, blob, "application/octet-stream", (http.HTTPStatus.CREATED,))

    def _put(self, repository: str, tag: str, media_type: str, content: bytes) -> str:
        self._ask("PUT", f"/v2/{repository}/manifests/{tag}", content, media_type, (http.HTTPStatus.CREATED,))
        return _digest(content)

    def _ask(self, method: str, target: str, body: bytes, media_type: str, expected: tuple[int, ...]) -> str:
        headers = {"Content-Type": media_type} if media_type else {}
        self._connection.request(method, target, body, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status not in expected:
            raise PushError(f"{method} {target}: {answer.status} {text.decode(errors='replace')[:500]}")
        return answer.headers.get("Location", "")


def stored(repository: str) -> str:
    """The repository's name in the shared storage: a port's colon can't stand in one."""
    host, slash, path = repository.partition("/")
    return f"{host.replace(':', '.port-')}{slash}{path}"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("registry", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _layer(program: Path) -> tuple[bytes, str]:
    """A layer with the program at /pause, and the digest of its tar; the same bytes every time."""
    content = program.read_bytes()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("pause")
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), 1, mtime=0), _digest(packed.getvalue())


def _platform(text: str) -> dict[str, Any]:
    name, _, version = text.partition(":")
    system, architecture, *variant = name.split("/")
    found: dict[str, Any] = {"os": system, "architecture": architecture}
    if variant:
        found["variant"] = variant[0]
    if version:
        found["os.version"] = version
    return found


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
