"""Fixtures that tests of several areas use.

Why here: a control plane takes seconds to start and half a gigabyte, so one serves the whole run; a namespace of its
own keeps a test apart from the others.

Must not: hold anything that only one area needs, or replace a real part by a fake.
"""

from __future__ import annotations

import secrets
import signal
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.controlplane.controlplane import ControlPlane
from tests.controlplane.programs import programs
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

# How long one example takes depends on what else the machine does: no property is about that.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew instead of comparing")


def pytest_configure() -> None:
    # Who runs this in the background of a script has it ignored, and so would every program that is tested for Ctrl-C.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)`: the text is what stands in the file `golden/<name>` beside the test."""
    folder: Path = request.path.parent / "golden"

    def compare(name: str, text: str) -> None:
        file = folder / name
        if request.config.getoption("--update-golden"):
            folder.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="")
        assert file.exists(), f"{file} is missing; `pytest --update-golden` writes it"
        assert text == file.read_bytes().decode("utf-8")

    return compare


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
