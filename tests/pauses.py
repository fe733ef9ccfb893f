"""Pauses of a server that begin just before a call, and what others do at the server meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

import asynccvat as ac
from asynccvat.client import internals
from asynccvat.http import Call, HttpSession, Response
from asynccvat.http.retry_after import RetryAfterGate, Timing


def pause_before(
    patch: pytest.MonkeyPatch,
    client: ac.CvatClient,
    method: str,
    path: str,
    meanwhile: Callable[[], Awaitable[object]],
) -> list[Call]:
    """Have another call's pause begin just before a call, which waits for no real time.

    Args:
        patch: Undoes it.
        client: Makes the call.
        method: The call's method.
        path: How its path ends.
        meanwhile: What happens during the pause.

    Returns:
        The call, once it was made.
    """
    seen: list[Call] = []
    session = internals(client)._http
    now = [0.0]

    async def sleep(seconds: float) -> None:
        # First, since what happens may make calls of its own.
        now[0] += seconds
        await meanwhile()

    gate = RetryAfterGate(Timing(clock=lambda: now[0], sleep=sleep))
    make = HttpSession.call

    async def call(self: HttpSession, call: Call) -> Response:
        is_meant = call.method == method and call.path.endswith(path)
        if self is session and is_meant and not seen:
            seen.append(call)
            gate.close_for(30)
        return await make(self, call)

    patch.setattr(session.retries, "_gate", gate)
    patch.setattr(HttpSession, "call", call)
    return seen
