"""The fixtures of the command line's tests."""

from __future__ import annotations

import pytest
from command_line import bare_shell, shell, simulated

__all__ = ["bare_shell", "shell", "simulated"]


@pytest.fixture(autouse=True)
def never_waiting(no_waiting: None) -> None:
    """No command in this process waits for a server that exports in no time."""
