"""The fixtures of the command line's tests."""

from __future__ import annotations

from command_line import nobody, shell, simulated

__all__ = ["nobody", "shell", "simulated"]
