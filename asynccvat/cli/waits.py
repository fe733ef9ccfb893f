"""Write the waits of queries and plans to stderr.

The waits of a run are events, which `messages` words.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asynccvat.cli import output
from asynccvat.cli.text import printable, span

if TYPE_CHECKING:
    from asynccvat import AsyncCvatError

_LONG = 1.0
"""Seconds. Longer waits for a retry are shown."""


@contextmanager
def told() -> Iterator[None]:
    """Tell of the pauses and the long waits for retries of a `with` block."""
    # the start-up of `--help` stays light
    from asynccvat.http.listeners import CallListener, listening  # noqa: PLC0415

    with listening(CallListener(on_pause=_tell_pause, on_retry=_tell_retry)):
        yield


def _tell_pause(seconds: float) -> None:
    output.remark(f"the server asks for a pause of {span(seconds)}")


def _tell_retry(_step: str, _task_id: int | None, error: AsyncCvatError, delay: float) -> None:
    # Each 429, and each Retry-After, is a pause of all calls.
    told_already = (
        getattr(error, "status", None) == 429 or getattr(error, "retry_after", None) is not None
    )
    if delay >= _LONG and not told_already:
        output.remark(f"trying again in {span(delay)}: {printable(str(error))}")
