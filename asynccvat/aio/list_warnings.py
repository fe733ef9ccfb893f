"""Warn of entries of a list that are left out, in the context that asked for the list."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Receiver:
    """The function that receives warnings, until its block has ended.

    An idle connection keeps the context of the request that opened it. It must keep no more than
    this: the function may belong to a run with a plan of a hundred thousand tasks.
    """

    warn: Callable[[str], None] | None


_receiver: ContextVar[_Receiver | None] = ContextVar("_receiver", default=None)

_may_be_empty: ContextVar[bool] = ContextVar("_may_be_empty", default=False)


@contextmanager
def lists_may_be_empty(*, expected: bool) -> Iterator[None]:
    """Let no empty list be explained while a block runs, if that is what is expected."""
    token = _may_be_empty.set(expected)
    try:
        yield
    finally:
        _may_be_empty.reset(token)


def may_be_empty() -> bool:
    """Whether empty lists are expected here, so that none has to be explained."""
    return _may_be_empty.get()


@contextmanager
def warnings_to(warn: Callable[[str], None]) -> Iterator[None]:
    """Pass warnings to a function while a block runs, also those of tasks that it starts."""
    receiver = _Receiver(warn)
    token = _receiver.set(receiver)
    try:
        yield
    finally:
        _receiver.reset(token)
        receiver.warn = None


def warn(message: str) -> None:
    """Pass a warning on, or log it if no caller receives warnings."""
    receiver = _receiver.get()
    if receiver is None or receiver.warn is None:
        _log.warning("%s", message)
    else:
        receiver.warn(message)
