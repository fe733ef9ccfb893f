"""Fixtures of the creations: quick waits, and a guard against blocking calls in the event loop."""

from __future__ import annotations

from engine_serving import never_waiting, no_blocking_calls, no_proxies

__all__ = ["never_waiting", "no_blocking_calls", "no_proxies"]
