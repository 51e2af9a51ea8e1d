"""The node of these tests, with a control plane of its own: other tests count the nodes of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.controlplane.controlplane import ControlPlane
from tests.controlplane.programs import programs
from tests.node.node import Access, Node, Registry
from tests.node.parts import parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


@pytest.fixture(scope="session")
def control_plane(uncaptured: Callable[[], AbstractContextManager[None]]) -> Iterator[ControlPlane]:
    """In place of the run's: `namespace` makes its namespaces here too."""
    with uncaptured():
        programs()
    with ControlPlane() as plane:
        yield plane


@pytest.fixture(scope="session")
def node(control_plane: ControlPlane, uncaptured: Callable[[], AbstractContextManager[None]]) -> Iterator[Node]:
    with uncaptured():
        parts()
    registries = [Registry("contoso.azurecr.io", Access.PASSWORD), Registry("quay.io")]
    mirrors = {"quay.example": "https://quay.io"}
    with Node(plane=control_plane, registries=registries, mirrors=mirrors) as running:
        yield running
