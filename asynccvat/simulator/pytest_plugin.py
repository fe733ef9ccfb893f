"""Fixtures for tests that need a CVAT server.

Say `pytest_plugins = ["asynccvat.simulator.pytest_plugin"]` in a `conftest.py`, and ask for
`cvat_server`. It runs in a thread of its own, so that it serves tests of every kind: synchronous,
asyncio by whichever plugin, and commands in other processes.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.server import SimulatedServer
from asynccvat.simulator.threads import serve_in_thread


@pytest.fixture
def cvat_server_options() -> SimulatorOptions:
    """What `cvat_server` is asked to be; override it to choose otherwise."""
    return SimulatorOptions()


@pytest.fixture
def cvat_server(cvat_server_options: SimulatorOptions) -> Iterator[SimulatedServer]:
    """A simulated CVAT server, new for each test, that answers without delay."""
    with serve_in_thread(cvat_server_options) as server:
        yield server
