from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from tests.sources.scripted import ScriptedApi
from webhook.sources.connection import connect
from webhook.sources.reflector import Reflector, Timings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from webhook.sources.connection import Connection

# Watches and pauses as short as can be (a watch's limit is in whole seconds); silence is waited for so long that a busy
# machine is never taken for a dead connection. Tests of silence use IMPATIENT.
QUICK = Timings(watch=1, grace=30, listing=30, streaming_list=30, backoff=0.05, backoff_longest=0.2)
IMPATIENT = dataclasses.replace(QUICK, grace=1, listing=1)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    server = ScriptedApi()
    yield server
    server.close()


@pytest.fixture
def connection(api: ScriptedApi, tmp_path: Path) -> Iterator[Connection]:
    opened = connect(api.write_kubeconfig(tmp_path / "kubeconfig", token="planted-token"))
    yield opened
    opened.close()


@pytest.fixture
def follow(connection: Connection) -> Iterator[Callable[..., Reflector]]:
    """Start reflectors over /api/v1/things that keep `value`; they are stopped when the test ends."""
    started = []

    def start(**options) -> Reflector:
        options = {"timings": QUICK, "project": lambda item: item.get("value", ""), **options}
        reflector = Reflector(options.pop("connection", connection), options.pop("path", "/api/v1/things"), **options)
        started.append(reflector)
        reflector.start()
        return reflector

    yield start
    for reflector in started:
        reflector.stop(0)  # all at once, then wait for each
    assert all(reflector.stop(20) for reflector in started)
