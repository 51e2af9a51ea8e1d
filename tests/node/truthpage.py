"""docs/truth.md: the table of a run, every written scenario with what was said and done, and the seeds on record.

Must not: judge; truth.py does, and writes no page of a run that was broken.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from tests.node.outcome import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.node.truth import Image

ROWS = ("certain", "likely", "advisory", "nothing", "unknown")
_HEAD = """# pullproof's word against a real kubelet

Written by `make truth` (tests/node/). Every pod below was made on a real API server while pullproof only audited; what
it said stands in the audit log. Then a real kubelet with containerd pulled from real registries under those host names,
and two tries of each image were waited for. Held to, in every run:

- what is `certain` is never pulled;
- where nothing was said, nothing fails for a cause that the API shows (a wrong password, a missing tag or what an image
  index holds are causes that it does not show);
- reading the kubelet's message afterwards names the cause that the surest finding had named before, in at least 98 %.
"""
_RUNS = "| seed | images | certain: pulled / failed | likely | advisory | nothing | same cause |"
_RUN = re.compile(r"^\| (\d+) \| .*\|$", re.MULTILINE)


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


def write(path: Path, images: Sequence[Image], *, seed: int, same_cause: str, versions: str) -> None:
    """Write the page; the seeds that the page before had stay on record."""
    before = path.read_text() if path.exists() else ""
    runs = {int(found[1]): found[0] for found in _RUN.finditer(before)}
    runs[seed] = _run_line(images, seed, same_cause)
    pods = len({image.scenario.name for image in images})
    lines = [
        _HEAD,
        f"## This run\n\n{len(images)} images of {pods} pods, `SEED={seed}`; {versions}.\n",
        table(images),
        f"\nThe diagnosis named the foreseen cause in {same_cause} failures.\n",
        "## Seeds on record\n",
        _RUNS,
        "| --- " * (_RUNS.count("|") - 1) + "|",
        *(line for _, line in sorted(runs.items())),
        "\n## The written scenarios\n",
    ]
    sources = sorted({image.scenario.source for image in images} - {"drawn"})
    for source in sources:
        lines += [
            f"### {source}\n",
            "| scenario | image | pullproof said | the kubelet | |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [_line(image) for image in images if image.scenario.source == source]
        lines.append("")
    path.write_text("\n".join(lines))


def _run_line(images: Sequence[Image], seed: int, same_cause: str) -> str:
    cells = []
    for row in ROWS[:4]:
        of_row = [image for image in images if image.row == row and not image.scenario.against]
        pulled = sum(image.outcome.kind is Kind.PULLED for image in of_row)
        cells.append(f"{pulled} / {sum(image.failed for image in of_row)}")
    return f"| {seed} | {len(images)} | {' | '.join(cells)} | {same_cause} |"


def _line(image: Image) -> str:
    reference = image.reference if len(image.reference) <= 60 else f"{image.reference[:57]}…"
    said = ", ".join(map(str, image.said)) or "nothing"
    did = f"{image.outcome.kind}: {image.cause}" if image.failed else str(image.outcome.kind)
    note = image.scenario.against or image.scenario.hidden_of(image.reference)
    note = f"not shown by the API: {note}" if note and not image.scenario.against else note
    return f"| {image.scenario.name} | `{reference.replace('|', '')}` | {said} | {did} | {note} |"
