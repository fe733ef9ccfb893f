"""Fixtures for commands: quick waits, and a guard against blocking calls in the event loop."""

from __future__ import annotations

from engine_serving import data, log, never_waiting, no_blocking_calls, no_proxies, stack

__all__ = ["data", "log", "never_waiting", "no_blocking_calls", "no_proxies", "stack"]
