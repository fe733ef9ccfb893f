"""Warn of entries of a list that are left out, in the context that asked for the list."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_log = logging.getLogger(__name__)

_receiver: ContextVar[Callable[[str], None] | None] = ContextVar("receiver", default=None)


@contextmanager
def warnings_to(receiver: Callable[[str], None]) -> Iterator[None]:
    """Pass warnings to a function while a block runs, also those of tasks that it starts."""
    token = _receiver.set(receiver)
    try:
        yield
    finally:
        _receiver.reset(token)


def warn(message: str) -> None:
    """Pass a warning on, or log it if nobody receives warnings."""
    receiver = _receiver.get()
    if receiver is None:
        _log.warning("%s", message)
    else:
        receiver(message)
