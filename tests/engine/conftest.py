"""The engine's tests: quick waits, and a guard against blocking calls in the event loop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from engine_serving import data, log, stack

__all__ = ["data", "log", "stack"]


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """Fail when anything but the simulated server, which shares the loop, blocks it."""
    with blockbuster_ctx("asynccvat", excluded_modules=["asynccvat.simulator"]) as guard:
        for function in guard.functions.values():
            # Listeners of these tests look at the disk in the midst of a run.
            function.can_block_in("engine_serving.py", {"__call__"})
        yield guard


@pytest.fixture(autouse=True)
def never_waiting(no_waiting: None) -> None:
    """No test of the engine waits for a server that exports in no time."""


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
