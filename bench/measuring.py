"""What the benchmarks share: a bare client of the API server, a process's memory, medians, and docs/performance.md.

Must not: know what is measured. Each benchmark writes its own part of the page and leaves the others as they are.
"""

from __future__ import annotations

import base64
import http.client
import os
import platform
import ssl
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
PARTS = ("bench", "bench-scale", "bench-policies", "bench-scan")
"""The parts of the page in their order, each named after the `make` target that writes it."""

_INTRODUCTION = """\
# Performance

Written by the targets `make bench…`, a part each. Variants take turns in one run, and what counts are medians over the
rounds: ratios carry over to other machines, milliseconds don't.
"""


class ApiClient:
    """One keep-alive connection to the API server, as a client certificate's user."""

    def __init__(self, kubeconfig: Path) -> None:
        loaded = yaml.safe_load(kubeconfig.read_text())
        cluster, user = loaded["clusters"][0]["cluster"], loaded["users"][0]["user"]
        self._context = ssl.create_default_context(cadata=_pem(cluster, "certificate-authority").decode())
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(_pem(user, "client-certificate") + _pem(user, "client-key"))
            pair.flush()
            self._context.load_cert_chain(pair.name)
        self._address = cluster["server"].removeprefix("https://")
        self._connection = http.client.HTTPSConnection(self._address, context=self._context)

    def send(self, method: str, path: str, body: bytes, content_type: str = "application/json") -> float:
        """Seconds that one write took. Raises RuntimeError for any answer but 200 and 201."""
        started = time.perf_counter()
        self._connection.request(method, path, body, {"Content-Type": content_type})
        answer = self._connection.getresponse()
        text = answer.read()
        took = time.perf_counter() - started
        if answer.status not in {http.client.OK, http.client.CREATED}:
            raise RuntimeError(f"the API server answered {method} {path} with {answer.status}: {text[:300]!r}")
        return took


def _pem(entry: dict[str, str], name: str) -> bytes:
    if f"{name}-data" in entry:
        return base64.b64decode(entry[f"{name}-data"])
    return Path(entry[name]).read_bytes() + b"\n"


class _OneWrite(http.client.HTTPSConnection):
    """Sends head and body together, as the API server's client does with what fits into its 4 KiB."""

    held = b""

    def send(self, data: Any) -> None:
        self.held += data

    def getresponse(self) -> http.client.HTTPResponse:
        sent, self.held = self.held, b""
        super().send(sent)
        return super().getresponse()


class ReviewClient:
    """One keep-alive connection to a webhook on loopback."""

    def __init__(self, port: int, ca_pem: bytes) -> None:
        context = ssl.create_default_context(cadata=ca_pem.decode())
        self._connection = _OneWrite("127.0.0.1", port, context=context)

    def ask(self, body: bytes) -> bytes:
        """The answer to one review. Raises RuntimeError for any status but 200."""
        self._connection.request("POST", "/validate", body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"the webhook answered {answer.status}: {text[:300]!r}")
        return text


def summary(times: Sequence[float], elapsed: float) -> dict[str, float]:
    """p50 and p99 of sorted `times` in seconds, and how many there were in a second of `elapsed`."""
    return {
        "p50": times[len(times) // 2],
        "p99": times[min(len(times) - 1, len(times) * 99 // 100)],
        "throughput": len(times) / elapsed,
    }


def median(rounds: Sequence[dict[str, float]], what: str) -> float:
    return statistics.median(one[what] for one in rounds)


def pss(pid: int) -> int:
    """Proportional set size in bytes of one process."""
    return _kib(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")


def peak(pid: int) -> int:
    """The largest resident set in bytes that one process ever had (VmHWM)."""
    return _kib(Path(f"/proc/{pid}/status"), "VmHWM:")


def _kib(file: Path, field: str) -> int:
    return next(int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith(field)) * 1024


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}"


def bars(rows: Sequence[tuple[str, float, str, float, str]]) -> list[str]:
    """The lines of a table of what was promised: what, measured, `at most` or `at least`, bar, unit."""
    lines = ["| what | measured | bar | held |", "| --- | --- | --- | --- |"]
    for what, measured, side, bar, unit in rows:
        held = measured <= bar if side == "at most" else measured >= bar
        lines.append(f"| {what} | {measured:.2f}{unit} | {side} {bar:g}{unit} | {'yes' if held else '**no**'} |")
    return lines


def write_part(name: str, text: str, page: Path = PAGE) -> None:
    """Put one part into the page; the other parts stay."""
    old = page.read_text() if page.exists() else ""
    texts = {part: _part(old, part) for part in PARTS} | {name: text.strip()}
    parts = [f"{_begin(part)}\n{texts[part]}\n{_end(part)}\n" for part in PARTS if texts[part]]
    page.write_text("\n".join([_INTRODUCTION, *parts]))


def _part(page: str, name: str) -> str:
    _, found, rest = page.partition(_begin(name))
    return rest.partition(_end(name))[0].strip() if found else ""


def _begin(name: str) -> str:
    return f"<!-- make {name} -->"


def _end(name: str) -> str:
    return f"<!-- end of make {name} -->"
