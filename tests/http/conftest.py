"""Fixtures of the HTTP layer's tests: a scripted server and clients that never wait."""

from __future__ import annotations

from scripted import connect, fake_time, no_blocking_calls, no_proxies, server

__all__ = ["connect", "fake_time", "no_blocking_calls", "no_proxies", "server"]
