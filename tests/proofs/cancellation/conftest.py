"""Fixtures of the proof of cancellation: a server beside, quick polls, small pieces."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from memory_folders import in_memory
from scenarios import Server

from asynccvat.client import imports as asking
from asynccvat.core.plans import refresh
from asynccvat.core.scheduling import intervals
from asynccvat.core.wire import tus
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.simulator import SimulatorOptions
from asynccvat.simulator.processes import ServerProcess


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server whose images are larger than the end of an archive that is asked for first."""
    options = SimulatorOptions(tasks=1, frames=1, frame_bytes=150_000, throttle_anonymous=None)
    with ServerProcess(options) as process:
        yield Server(process)


@pytest.fixture
def place() -> Iterator[Path]:
    with in_memory() as folder:
        yield folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server exports in no time: look at once. What is large is so from 64 KiB on."""
    monkeypatch.setattr(intervals, "SHORTEST_INTERVAL", 0.004)
    monkeypatch.setattr(intervals, "SHORTEST_PAUSE", 0.002)
    monkeypatch.setattr(intervals, "FIRST_POLL", 0.002)
    monkeypatch.setattr(RetryPolicy, "backoff", lambda _self, _attempt, _jitter: 0.0)
    monkeypatch.setattr(refresh, "REFRESH_FROM", 1 << 16)
    monkeypatch.setattr(tus, "ONE_REQUEST", 1 << 16)
    monkeypatch.setattr(asking, "ONE_REQUEST", 1 << 16)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True)
def little_garbage() -> None:
    """What was there before is no garbage of a case, and need not be looked through each time."""
    gc.collect()
    gc.freeze()
