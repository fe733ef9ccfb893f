"""Note in a destination when a run begins, and how it ends."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from asynccvat.core.records.last_run import LastRun, ended
from asynccvat.errors import AsyncCvatError, StoreError
from asynccvat.store.last_run import LastRunNote
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.run import Run


async def noted(
    note: LastRunNote,
    work: Callable[[], Awaitable[AsyncCvatError | None]],
    run: Run,
    report: ReportBuilder,
    *,
    only: str,
) -> AsyncCvatError | None:
    """Do a run's work, and note its begin and its end.

    A note that cannot be written stops nothing: the run itself will meet the same obstacle.

    Args:
        note: Where to note it.
        work: Returns the error that stopped it early, if any did.
        run: The run, for its plan.
        report: What runs, and the outcomes so far.
        only: The part of the destination that the run is about, in words; "" for all.
    """
    begun = LastRun(verb=report.verb, began_at=_now(), only=only)
    with contextlib.suppress(StoreError):
        await note.write(begun)
    stopped_by: AsyncCvatError | None = None
    interrupted = True
    try:
        stopped_by = await work()
        interrupted = False
    except AsyncCvatError as error:
        stopped_by = error
        raise
    finally:
        plan = run.plan
        whole = plan is not None and plan.listing.complete and plan.guard is None
        with contextlib.suppress(StoreError):
            await note.write(
                ended(
                    begun,
                    report.outcomes,
                    at=_now(),
                    whole=whole,
                    interrupted=interrupted,
                    error=stopped_by,
                )
            )
    return stopped_by


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
