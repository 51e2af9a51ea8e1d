"""Fixtures that tests of several areas use.

Why here: a control plane takes seconds to start and half a gigabyte, so one serves the whole run; a namespace of its
own keeps a test apart from the others.

Must not: hold anything that only one area needs, or replace a real part by a fake.
"""

from __future__ import annotations

import secrets
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from tests.controlplane.controlplane import ControlPlane
from tests.controlplane.programs import programs
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


@pytest.fixture(scope="session")
def uncaptured(request: pytest.FixtureRequest) -> Callable[[], AbstractContextManager[None]]:
    """`with uncaptured():` lets a build's progress through to the terminal: minutes of silence look like a hang."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    if capture is None:
        return nullcontext
    return capture.global_and_fixture_disabled  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def control_plane(uncaptured: Callable[[], AbstractContextManager[None]]) -> Iterator[ControlPlane]:
    """The control plane of this run: API server, controllers, scheduler. A test that breaks it starts its own."""
    with uncaptured():
        programs()
    with ControlPlane() as plane:
        yield plane


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """The name of a new namespace that has its default ServiceAccount, so that pods can be made in it."""
    name = f"test-{secrets.token_hex(4)}"
    control_plane.kubectl("create", "namespace", name)
    eventually(
        lambda: control_plane.kubectl("get", "serviceaccount", "default", "-n", name, check=False).returncode == 0
    )
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")
