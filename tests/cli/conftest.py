"""The fixtures of the command line's tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from command_line import bare_shell, shell, simulated

__all__ = ["bare_shell", "shell", "simulated"]


@pytest.fixture(autouse=True)
def never_waiting(no_waiting: None) -> None:
    """No command in this process waits for a server that exports in no time."""


@pytest.fixture
def hang_up_ends_processes() -> Iterator[None]:
    """SIGHUP is not ignored here, nor in processes begun here, even if the tests run in `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
