"""How long a verdict on one reference takes: its host seen before, or not, and however many hosts the cluster knows.

.venv/bin/python bench/typo_speed.py [IMAGES.tsv]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from webhook.catalogue import typo
from webhook.model.reference import match

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

IMAGES = Path(__file__).parents[2] / "shared" / "data" / "images.tsv"


def measure(what: str, pairs: Sequence[tuple[str, str]], evidence: Callable[[str], str | None], *, fresh: bool) -> None:
    if fresh:
        typo._assess.cache_clear()  # noqa: SLF001 - what is measured is the first time
        typo._assess_host.cache_clear()  # noqa: SLF001 - the same
    start = time.perf_counter()
    for domain, path in pairs:
        typo.assess(domain, path, evidence)
    print(f"{(time.perf_counter() - start) / len(pairs) * 1e6:8.1f} µs  {what} ({len(pairs):,})")


def main() -> None:
    start = time.perf_counter()
    typo.assess("quay.io", "a/b")
    print(f"{(time.perf_counter() - start) * 1e3:8.1f} ms  first known host, facts loaded")
    start = time.perf_counter()
    typo.assess("quay.oi", "a/b")
    print(f"{(time.perf_counter() - start) * 1e3:8.1f} ms  first unknown host, rapidfuzz loaded")
    for count in (0, 100_000):
        known = {f"registry{number}.corp{number}.net": "node" for number in range(count)}
        print(f"the cluster knows {count:,} hosts:")
        if (images := Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES).exists():
            lines = images.read_text(encoding="utf-8").splitlines()
            references = [found for line in lines if (found := match(line.split("\t")[0]))]
            pairs = [(found.domain, found.path) for found in references]
            measure("real references, first time", pairs, known.get, fresh=True)
            measure("real references, again", pairs, known.get, fresh=False)
        measure("known host, new path", [("quay.io", f"a/b{n}") for n in range(20_000)], known.get, fresh=True)
        measure("private host, new path", [("reg.corp.net", f"a/b{n}") for n in range(20_000)], known.get, fresh=True)
        measure("private hosts, each new", [(f"reg{n}.corp.net", "a/b") for n in range(5_000)], known.get, fresh=True)
        measure(
            "misspelt hosts, each new", [(f"reg{n}.azurecr.oi", "a/b") for n in range(5_000)], known.get, fresh=True
        )
        measure(
            "ECR hosts, each new",
            [(f"{10**11 + n}.dkr.ecr.us-east-1.amazonaws.com", "a") for n in range(5_000)],
            known.get,
            fresh=True,
        )


main()
