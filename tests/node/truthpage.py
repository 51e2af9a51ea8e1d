"""docs/truth.md: the table of a run, every written scenario with what was said and done, and the seeds on record.

Must not: judge; truth.py does, and writes no page of a run that was broken.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from tests.node.outcome import Kind
from tests.node.scenario import DRAWN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.node.truth import Image

ROWS = ("certain", "likely", "advisory", "nothing", "unknown")
_HEAD = """# pullproof's word against a real kubelet

Written by `make truth` (tests/node/). Every pod below was made on a real API server while pullproof only audited; what
it said stands in the audit log. Then a real kubelet with containerd pulled from real registries under those host names,
and two tries of each image were waited for. Held to, in every run:

- what is `certain` is never pulled, on nodes as policy describes them (where containerd's hosts.toml names a mirror for
  a host that is none, and no policy says so, it is: that scenario is below, and not counted);
- where nothing was said (or only that `latest` is implied), nothing fails for a cause that the API shows; a wrong
  password, a missing tag, or what an image index holds, are causes that it does not show;
- reading the kubelet's message afterwards names the cause that the surest finding had named before, in at least 98 %.
  Not counted are images with a second, hidden fault that the kubelet met first: their message is about that one, and
  the diagnosis names it.

The random scenarios are drawn anew for each seed (`SEED=7 make truth`); the written ones are below, the same for all.
Those under `policy`, and half of the random ones, are in namespaces of which a ClusterPullPolicy says that the nodes
have no credentials and which registries ask for one.
What needs Windows nodes was not run.
"""
_SEED = re.compile(r"^## Seed (\d+)\n.*?(?=^## )", re.MULTILINE | re.DOTALL)
_WRITTEN = "## The written scenarios\n"
_README = re.compile(r"(?<=<!-- make truth -->\n).*?(?=<!-- end of make truth -->)", re.DOTALL)


def table(images: Sequence[Image]) -> str:
    """The table in Markdown: how often what was said met what happened. Images that were never tried don't count."""
    lines = [
        "| pullproof said | pulled | present locally | failed | why it failed |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for row in ROWS:
        of_row = [image for image in images if image.row == row and not image.scenario.against]
        count = Counter(image.outcome.kind for image in of_row)
        why = Counter(image.cause for image in of_row if image.failed)
        shown = ", ".join(f"{name} {number}" for name, number in sorted(why.items(), key=lambda one: (-one[1], one[0])))
        failed = count[Kind.FAILED] + count[Kind.REJECTED]
        lines.append(f"| {row} | {count[Kind.PULLED]} | {count[Kind.PRESENT]} | {failed} | {shown} |")
    return "\n".join(lines)


def write(path: Path, images: Sequence[Image], *, seed: int, first: int, diagnosed: str, versions: str) -> None:
    """Write the page; the seeds that the page had before stay on record. The seed `first` stands first."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    seeds = {int(found[1]): found[0] for found in _SEED.finditer(before)}
    pods = len({(image.scenario.source, image.scenario.name) for image in images})
    seeds[seed] = (
        f"## Seed {seed}\n\n{len(images)} images of {pods} pods; {versions}.\n\n{table(images)}\n\n"
        f"The diagnosis names the foreseen cause in {diagnosed}.\n\n"
    )
    lines = [_HEAD, *(seeds[key].rstrip("\n") + "\n" for key in sorted(seeds, key=lambda one: (one != first, one)))]
    lines.append(_WRITTEN)
    for source in sorted({image.scenario.source for image in images} - {DRAWN}):
        lines += [
            f"### {source}\n",
            "| scenario | image | pullproof said | the kubelet | |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [_line(image) for image in images if image.scenario.source == source]
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")


def write_readme(path: Path, images: Sequence[Image]) -> None:
    """Put the table between its marks. Raises ValueError where they are missing."""
    text, count = _README.subn(lambda _: f"{table(images)}\n", path.read_text(encoding="utf-8"))
    if count != 1:
        raise ValueError(f"{path.name} has no place for the table")
    path.write_text(text, encoding="utf-8")


def _line(image: Image) -> str:
    reference = image.reference if len(image.reference) <= 60 else f"{image.reference[:57]}…"
    said = ", ".join(map(str, image.said)) or "nothing"
    did = f"{image.outcome.kind}: {image.cause}" if image.failed else str(image.outcome.kind)
    note = image.scenario.against or image.scenario.hidden_of(image.reference)
    if note and not image.scenario.against:
        note = f"not shown by the API: {note}"
    if image.scenario.told:
        note = "the engine was told what the registry holds, which the webhook does not ask"
    return f"| {image.scenario.name} | `{reference.replace('|', '')}` | {said} | {did} | {note} |"
