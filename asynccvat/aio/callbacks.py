"""Whoever is told of events: a function of the user's, which may fail and stops nothing by it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, ParamSpec

P = ParamSpec("P")

_log = logging.getLogger("asynccvat")


class Listener(Generic[P]):
    """Tells somebody of events, until that raises."""

    def __init__(self, tell: Callable[P, None] | None) -> None:
        """Tell a function, or nobody."""
        self._tell = tell

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Tell of an event; what comes of it is the listener's own."""
        if self._tell is None:
            return
        try:
            self._tell(*args, **kwargs)
        except Exception:  # noqa: BLE001 - whatever it raises, it is the listener's own
            self._tell = None
            _log.exception("the listener of events raised, and is told nothing more")
