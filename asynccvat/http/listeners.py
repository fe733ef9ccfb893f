"""Tell whose call it is: several runs may share one session.

A run listens while it works. Its asyncio tasks inherit the listener through a context variable. So
each run counts only its own calls.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from asynccvat.errors import AsyncCvatError


@dataclass(slots=True, eq=False, weakref_slot=True, kw_only=True)
class CallListener:
    """What one run hears of its calls, and how it makes them.

    Attributes:
        on_retry: Receives the step, the task's id, the error, and the seconds until the retry.
        on_pause: Receives the seconds for which the server asked all calls to wait.
        on_unreachable: Receives the seconds since the server stopped answering, the seconds that
            its calls will wait, and the reason.
        on_back: Receives the seconds for which the server did not answer.
        gives_way: Asked with a call's step and task before its later retries. True gives the call
            up, so that other tasks need not wait for it.
        patience: Seconds that its calls wait for a server that stopped answering. After 0 they fail
            at once with one error for all; with None each fails on its own.
        requests: HTTP requests sent for it.
        paused_until: The end of the last pause that it heard of.
    """

    on_retry: Callable[[str, int | None, AsyncCvatError, float], None] | None = None
    on_pause: Callable[[float], None] | None = None
    on_unreachable: Callable[[float, float, AsyncCvatError], None] | None = None
    on_back: Callable[[float], None] | None = None
    gives_way: Callable[[str, int], bool] | None = None
    patience: float | None = None
    requests: int = 0
    paused_until: float = 0.0


_listener: ContextVar[weakref.ref[CallListener] | None] = ContextVar("_listener", default=None)
"""The listener of the current task. Weak, because an idle connection keeps the context of the
request that opened it, and would keep the whole run."""


def current_listener() -> CallListener:
    """Return the listener of the current task; one that hears nothing if there is none."""
    found = _listener.get()
    listener = None if found is None else found()
    return CallListener() if listener is None else listener


@contextmanager
def impatient() -> Iterator[None]:
    """Let the calls of the current listener fail instead of waiting for the server."""
    listener = current_listener()
    before, listener.patience = listener.patience, None
    try:
        yield
    finally:
        listener.patience = before


@contextmanager
def giving_way(ask: Callable[[str, int], bool]) -> Iterator[None]:
    """Let the current listener ask whether a call is given up for the sake of other tasks."""
    listener = current_listener()
    listener.gives_way = ask
    try:
        yield
    finally:
        listener.gives_way = None


@contextmanager
def listening(listener: CallListener) -> Iterator[CallListener]:
    """Let a listener hear of the calls of a `with` block, and of the tasks that begin in it."""
    token = _listener.set(weakref.ref(listener))
    try:
        yield listener
    finally:
        _listener.reset(token)
