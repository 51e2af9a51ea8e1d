"""The table of docs/policy.md, row by row: what people read is what holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from webhook.model.finding import Level
from webhook.model.policy import LEVELS, ClusterPolicy, Modes, held_level, of_labels
from webhook.model.policy_book import PolicyBook
from webhook.model.policy_spec import read_policy

TABLE = Path(__file__).resolve().parents[2] / "docs" / "policy.md"
HEADER = "| own default | policy default | floor | label | PullPolicy | delegated | holds | because of |"
BECAUSE = {
    "the webhook's own default": "the webhook's own default",
    "the cluster policy": "ClusterPullPolicy/all",
    "the floor": "floor of ClusterPullPolicy/all",
    "the PullPolicy": "PullPolicy/shop/own",
}


def rows() -> list[list[str]]:
    lines = iter(TABLE.read_text(encoding="utf-8").splitlines())
    assert HEADER in lines
    assert set(next(lines)) == set("| -")
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def said(level: str, mode: str) -> dict[str, str]:
    return {} if level == "-" else {mode: level}


@pytest.mark.parametrize("row", rows(), ids=" ".join)
@pytest.mark.parametrize("mode", ["enforce", "warn", "audit"])
def test_row(row: list[str], mode: str) -> None:
    own, default, floor, label, owner, delegated, holds, because = row
    base = ClusterPolicy(default=Modes(LEVELS[own], LEVELS[own], LEVELS[own]))
    policies = [
        read_policy(
            {
                "kind": "ClusterPullPolicy",
                "metadata": {"name": "all"},
                "spec": {
                    "defaults": said(default, mode),
                    "floor": said(floor, mode),
                    "delegate": ["levels"] if delegated == "yes" else [],
                },
            }
        )
    ]
    if owner != "-":
        metadata = {"name": "own", "namespace": "shop"}
        policies.append(
            read_policy({"kind": "PullPolicy", "metadata": metadata, "spec": {"levels": said(owner, mode)}})
        )
    assert [policy.problem for policy in policies] == [None] * len(policies)
    labels = {} if label == "-" else {f"pullproof.dev/{mode}": label}
    book = PolicyBook(base, policies)
    cluster = book.cluster_policy("shop", labels)

    held = held_level(mode, labels, cluster)
    assert (held.level, held.why) == (LEVELS[holds], BECAUSE.get(because, f"label pullproof.dev/{mode}"))
    assert getattr(book.policy("shop", labels).modes, mode) is LEVELS[holds]
    assert getattr(of_labels(labels, cluster).modes, mode) is LEVELS[holds]


def test_the_table_has_every_reason_and_every_column_both_ways() -> None:
    found = rows()
    assert {row[7] for row in found} == {*BECAUSE, "the label"}
    for column in range(1, 6):
        assert len({row[column] for row in found}) > 1
    assert {level.word for level in Level} >= {row[6] for row in found}
