"""What a verification wants of the server: a comparison with its list, and damaged tasks again.

What differs and how tasks are to be fetched is decided by `core.plans.verify`; the fetching is an
ordinary mirror of just those tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient
from asynccvat.commands.mirror.run import MirrorRun
from asynccvat.core.models import TaskListing
from asynccvat.core.options import MirrorOptions
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.plans.mirror import gone_candidates
from asynccvat.core.plans.verify import Repair, compare, plan_repairs
from asynccvat.core.problems import VerifyProblem
from asynccvat.core.receipts import ReceiptHead
from asynccvat.core.selection import Selection
from asynccvat.errors import AsyncCvatError, StoreError
from asynccvat.events import Event, RunFinished, Warned
from asynccvat.transfer.run import Run

INCOMPLETE = (
    "the listing was incomplete, as the tasks kept changing while they were listed: run again to "
    "compare them all"
)


async def compare_with_server(
    client: CvatClient, heads: Mapping[int, ReceiptHead], selection: Selection
) -> tuple[tuple[VerifyProblem, ...], bool]:
    """Compare receipts with the server's list; only lists are asked for.

    What takes its time with a hundred thousand tasks is done in threads.

    Args:
        client: The server.
        heads: What is here, by task.
        selection: What should be here.

    Returns:
        What differs, and whether the list was complete.

    Raises:
        AsyncCvatError: The server cannot be reached or refuses the listing.
    """
    listing = await client.tasks(selection)
    others = TaskListing(())
    if candidates := await in_thread(gone_candidates, listing, heads):
        # With its id, a task is listed whatever else the selection asks for.
        ids = [head.task_id for head in candidates]
        others = await client.tasks(Selection(task_ids=ids))
    differing = await in_thread(compare, heads, listing, others)
    return differing, listing.complete and others.complete


async def repair(
    client: CvatClient,
    dest: Path,
    damaged: Collection[int],
    heads: Mapping[int, ReceiptHead],
    archived: Collection[int],
    *,
    emit: Callable[[Event], None],
) -> tuple[tuple[TaskOutcome, ...], AsyncCvatError | None]:
    """Fetch damaged tasks again, each as it was fetched before.

    Files that are whole are taken over, and those that were edited go to `kept/`, as always.

    Args:
        client: The server.
        dest: The mirror.
        damaged: The tasks.
        heads: All receipts that can be read, by task.
        archived: The tasks of which the archive is kept as it came; it is renewed with them.
        emit: Told what happens.

    Returns:
        What became of each, and what stopped it before its end, if anything did.

    Raises:
        ConfigError: The destination belongs to another server.
        StoreLockedError: A mirror is at work on the destination.
        AsyncCvatError: The server cannot be reached or refuses the user.
    """
    repairs, unknown = plan_repairs(damaged, heads, archived)
    outcomes = [_unknown(task_id) for task_id in unknown]
    for one in repairs:
        if one.adopt:
            emit(Warned(_guessed(one)))
        mirror = MirrorRun(
            client,
            dest,
            Selection(task_ids=list(one.task_ids)),
            one.spec,
            MirrorOptions(
                folder_prefix=one.prefix,
                force=True,
                adopt=one.adopt,
                keep_archive=one.keep_archive,
            ),
            sweep_others=False,
        )
        async with Run(mirror.work, _without_end(emit)) as run:
            report = await run.wait()
        outcomes += report.outcomes
        if report.stopped_by is not None:
            return tuple(outcomes), report.stopped_by
    return tuple(outcomes), None


def _without_end(emit: Callable[[Event], None]) -> Callable[[Event], None]:
    """The run's end is not the verification's."""

    def tell(event: Event) -> None:
        if not isinstance(event, RunFinished):
            emit(event)

    return tell


def _guessed(repair: Repair) -> str:
    tasks = ", ".join(map(str, repair.task_ids))
    images = "with" if repair.spec.images else "without"
    return (
        f"the receipt of task {tasks} cannot be read: fetched again as most tasks here are, as "
        f"{repair.spec.format!r} {images} images; what the folder held besides goes to kept/"
    )


def _unknown(task_id: int) -> TaskOutcome:
    error = StoreError(
        f"task {task_id} cannot be repaired: no receipt here can be read that would tell how it "
        f"was mirrored; run `asynccvat mirror --adopt -t {task_id}` with the format that it had",
        task_id=task_id,
        step="repair",
    )
    return TaskOutcome(task_id=task_id, action=Action.FAILED, reason="damaged receipt", error=error)
