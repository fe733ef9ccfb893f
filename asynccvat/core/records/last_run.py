"""The last run into a destination, and how it ended, as JSON.

A run writes this when it begins, and again when it ends. So a run that was killed has no end.
`store.last_run` reads and writes the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.outcomes import TaskOutcome

LAST_RUN_VERSION = 1


class RunEnd(StrEnum):
    """How a run ended."""

    COMPLETE = "complete"
    """Everything was done."""
    INCOMPLETE = "incomplete"
    """Some tasks failed, a guard refused removals, or the listing was incomplete."""
    STOPPED = "stopped"
    """An error ended it early."""
    INTERRUPTED = "interrupted"
    """The user or the system interrupted it."""


class LastRun(msgspec.Struct, frozen=True, kw_only=True):
    """The last run into a destination.

    Attributes:
        version: Version of the format.
        verb: What ran: `mirror` or `backup`.
        began_at: When it began, ISO 8601.
        ended_at: When it ended, ISO 8601; None if it is running, or was killed.
        end: How it ended; None as `ended_at`.
        counts: How many tasks had each outcome.
        error: The error that ended it early, None if none did.
        only: The part of the destination that it was about, in words, like `task 7`; "" for all.
    """

    version: int = LAST_RUN_VERSION
    verb: str
    began_at: str
    ended_at: str | None = None
    end: RunEnd | None = None
    counts: dict[str, int] = {}
    error: str | None = None
    only: str = ""


_decoder = msgspec.json.Decoder(LastRun)


def encode_last_run(run: LastRun) -> bytes:
    """Encode a run as it stands on disk."""
    return msgspec.json.encode(run) + b"\n"


def decode_last_run(content: bytes | None) -> LastRun | None:
    """Read a run; None if nothing is noted that can be read."""
    try:
        run = _decoder.decode(content or b"")
    except UNREADABLE:
        return None
    return run if run.version <= LAST_RUN_VERSION else None


def ended(
    run: LastRun,
    outcomes: Iterable[TaskOutcome],
    *,
    at: str,
    whole: bool,
    interrupted: bool = False,
    error: BaseException | None = None,
) -> LastRun:
    """Return a run with its end.

    Args:
        run: The run as it began.
        outcomes: What became of the tasks.
        at: When it ended, ISO 8601.
        whole: Whether the listing was complete, and no guard refused anything.
        interrupted: Whether it was interrupted.
        error: The error that ended it early, None if none did.
    """
    done = list(outcomes)
    if error is not None:
        end = RunEnd.STOPPED
    elif interrupted:
        end = RunEnd.INTERRUPTED
    else:
        failed = not whole or any(not outcome.ok for outcome in done)
        end = RunEnd.INCOMPLETE if failed else RunEnd.COMPLETE
    return msgspec.structs.replace(
        run,
        ended_at=at,
        end=end,
        counts=dict(Counter(str(outcome.action) for outcome in done)),
        error=None if error is None else str(error),
    )
