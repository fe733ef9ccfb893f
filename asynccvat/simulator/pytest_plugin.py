"""Fixtures for tests that need a CVAT server.

Write `pytest_plugins = ["asynccvat.simulator.pytest_plugin"]` in a `conftest.py`, then use the
fixture `cvat_server`. The server runs in another thread, so that it serves every kind of test:
synchronous, asyncio with any plugin, and commands in other processes.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.server import SimulatedServer
from asynccvat.simulator.threads import serve_in_thread


@pytest.fixture
def cvat_server_options() -> SimulatorOptions:
    """The options of `cvat_server`; override this fixture to choose others."""
    return SimulatorOptions()


@pytest.fixture
def cvat_server(cvat_server_options: SimulatorOptions) -> Iterator[SimulatedServer]:
    """Start a simulated CVAT server, new for each test, that answers without delay."""
    with serve_in_thread(cvat_server_options) as server:
        yield server
