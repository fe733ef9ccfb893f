"""Fixtures of the network's tests: a loop with fast time, and no proxy but their own."""

from __future__ import annotations

from functools import partial

import pytest
from fast_time import FastLoop
from mirrored import data

__all__ = ["data"]


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Time goes as fast as the module says by `SPEED`."""
    return "asyncio", {"loop_factory": partial(FastLoop, getattr(request.module, "SPEED", 50.0))}


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
