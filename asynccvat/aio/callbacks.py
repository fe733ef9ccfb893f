"""Callbacks of the user, whose errors must not stop a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Generic, ParamSpec

P = ParamSpec("P")

_log = logging.getLogger(__name__)


class Callback(Generic[P]):
    """Call the user's event callback. If it raises, log the error and detach it."""

    def __init__(self, function: Callable[P, None] | None) -> None:
        """Wrap a function; None for none.

        Raises:
            TypeError: It cannot be called, or is a coroutine function, which nothing would await.
        """
        if function is not None and not callable(function):
            raise TypeError(f"a callback must be a function, not {type(function).__name__}")
        if iscoroutinefunction(function):
            raise TypeError(
                "a callback must be an ordinary function, not a coroutine function. To await "
                "something for each event, iterate over `events()` of a run."
            )
        self._function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call the function, unless it has raised before."""
        if self._function is None:
            return
        try:
            self._function(*args, **kwargs)
        except Exception:  # noqa: BLE001 - an error of the user's code, of whatever type
            self._function = None
            _log.exception("the event callback raised and is detached: it gets no more events")
