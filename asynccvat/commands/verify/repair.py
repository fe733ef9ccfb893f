"""Compare a mirror with the server's list, and repair it by fetching damaged tasks again.

A repair is an ordinary mirror of just those tasks. `core.plans.verify` compares receipts with the
list; `core.plans.repair` plans the repair.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient
from asynccvat.commands.mirror.jobs import with_jobs
from asynccvat.commands.mirror.listing import TargetSelection, list_targets
from asynccvat.commands.mirror.run import MirrorRun
from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.models import TaskListing
from asynccvat.core.options.mirror import MirrorOptions, UnsafeNames
from asynccvat.core.outcomes import Action, FailedOutcome, TaskOutcome
from asynccvat.core.plans.removals import gone_candidates
from asynccvat.core.plans.repair import RepairGroup, plan_repairs
from asynccvat.core.plans.verify import compare
from asynccvat.core.problems import VerifyProblem
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.records.settling import Wanted
from asynccvat.core.selections.selection import Selection
from asynccvat.core.targets import TargetKind
from asynccvat.errors import AsyncCvatError, StoreError
from asynccvat.events import DestinationSettled, Event, RunFinished, Warned
from asynccvat.transfer.run import Run


def incomplete_notice(target: TargetKind) -> str:
    """Say that a comparison with the server's list was not complete."""
    return (
        f"the listing was incomplete: {target.plural} kept changing while they were listed, or "
        "cannot be read. Run again to compare them all."
    )


async def compare_with_server(
    client: CvatClient,
    heads: Mapping[int, ReceiptHead],
    wanted: TargetSelection,
) -> tuple[tuple[VerifyProblem, ...], bool]:
    """Compare receipts with the server's list of tasks. Nothing is exported.

    The comparisons run in threads, as they take long for a hundred thousand tasks.

    Args:
        client: The server.
        heads: The receipts, by task.
        wanted: What should be mirrored.

    Returns:
        The differences, and whether the list was complete.

    Raises:
        AsyncCvatError: The server cannot be reached or refuses the listing.
    """
    listing = await list_targets(client, wanted)
    if any(head.spec.is_json for head in heads.values()):
        listing = await with_jobs(client, listing, wanted.selection)
    others = TaskListing(())
    if candidates := await in_thread(gone_candidates, listing, heads):
        # A task that is asked for by its id is listed even if the selection leaves it out.
        ids = [head.task_id for head in candidates]
        others = await list_targets(client, _of_ids(wanted.target, ids, candidates))
    differing = await in_thread(compare, heads, listing, others, wanted.target)
    return differing, listing.complete and others.complete


def expected_targets(
    selection: Selection,
    remembered: Remembered | None,
    heads: Collection[ReceiptHead],
    named: Sequence[int] | None,
    target: TargetKind,
) -> TargetSelection:
    """Return which tasks, projects or jobs a mirror should hold.

    Args:
        selection: The conditions.
        remembered: What the mirror remembers.
        heads: Its receipts.
        named: Only the targets with these ids. None for all.
        target: What the mirror holds.
    """
    known = remembered or Remembered()
    if named is not None:
        return _of_ids(target, named, heads)
    return TargetSelection(
        target=target,
        selection=selection,
        stage=known.stage,
        state=known.state,
        type=known.type,
    )


def _of_ids(
    target: TargetKind, ids: Sequence[int], heads: Iterable[ReceiptHead]
) -> TargetSelection:
    """Select targets by their ids alone."""
    match target:
        case TargetKind.TASK:
            return TargetSelection(target=target, selection=Selection(task_ids=ids))
        case TargetKind.PROJECT:
            return TargetSelection(target=target, selection=Selection(project_ids=ids), ids=ids)
        case TargetKind.JOB:
            tasks = {head.task_of_job for head in heads} - {None}
            selection = Selection(task_ids=sorted(task for task in tasks if task is not None))
            return TargetSelection(target=target, selection=selection, ids=ids)


async def repair(
    client: CvatClient,
    dest: Path,
    damaged: Collection[int],
    heads: Mapping[int, ReceiptHead],
    archived: Collection[int],
    *,
    limits: ArchiveLimits,
    remembered: Remembered | None,
    emit: Callable[[Event], None],
) -> tuple[tuple[TaskOutcome, ...], AsyncCvatError | None]:
    """Fetch damaged tasks again, each with the settings of its receipt.

    As in any mirror, whole files are reused, and edited ones go to `kept/`.

    Args:
        client: The server.
        dest: The mirror.
        damaged: The damaged tasks.
        heads: All receipts that can be read, by task.
        archived: The tasks whose archives are kept; these archives are replaced, too.
        limits: Bounds on archives.
        remembered: What the mirror remembers, for tasks whose receipts cannot be read.
        emit: Gets every event, except the settings and the end of each run.

    Returns:
        The outcome of each task, and the error that stopped the repair early, if any.

    Raises:
        ConfigError: The destination belongs to another server.
        StoreLockedError: Another process is writing to the destination.
        AsyncCvatError: The server cannot be reached or refuses the user.
    """
    repairs, unknown = plan_repairs(damaged, heads, archived, remembered)
    outcomes = [_unknown(task_id) for task_id in unknown]
    for one in repairs:
        if one.adopt:
            emit(Warned(_guess_warning(one)))
        mirror = MirrorRun(
            client,
            dest,
            Wanted.of(
                _selection_of(one),
                one.spec,
                None,
                MirrorOptions(
                    folder_prefix=_prefix_of(one),
                    layout=one.layout,
                    target_ids=None if one.spec.target is TargetKind.TASK else one.task_ids,
                    force=True,
                    without_exports=False,
                    limits=limits,
                    adopt=one.adopt,
                    keep_archive=one.keep_archive,
                    # A task with unsafe names is here only if they were mapped.
                    names=UnsafeNames.MAP.value,
                ),
            ),
            is_repair=True,
        )
        async with Run(mirror.work, _without_end(emit)) as run:
            report = await run.wait()
        outcomes += report.outcomes
        if report.stopped_by is not None:
            return tuple(outcomes), report.stopped_by
    return tuple(outcomes), None


def _prefix_of(group: RepairGroup) -> str | None:
    """Return the prefix of a group's folders, None if they have a layout or are no tasks'."""
    is_named_by_it = group.spec.target is TargetKind.TASK and group.layout is None
    return group.prefix if is_named_by_it else None


def _selection_of(group: RepairGroup) -> Selection | None:
    """Return the tasks of a group. Projects and jobs are named by `target_ids`."""
    of_tasks = group.spec.target is TargetKind.TASK
    return Selection(task_ids=list(group.task_ids)) if of_tasks else None


def _without_end(emit: Callable[[Event], None]) -> Callable[[Event], None]:
    """Leave out what holds for a mirror as a whole: what it mirrors, and its end."""

    def tell(event: Event) -> None:
        if not isinstance(event, DestinationSettled | RunFinished):
            emit(event)

    return tell


def _guess_warning(group: RepairGroup) -> str:
    ids = ", ".join(map(str, group.task_ids))
    images = "with" if group.spec.images else "without"
    target = group.spec.target
    return (
        f"the receipt of {target} {ids} cannot be read: the {target} is fetched as the others "
        f"here, as {group.spec.format!r} {images} images. Other files of its folder "
        "go to .asynccvat/kept/."
    )


def _unknown(task_id: int) -> TaskOutcome:
    error = StoreError(
        f"task {task_id} cannot be repaired: no receipt can be read that tells its format. "
        f"Run `asynccvat mirror --adopt -t {task_id}` with the format that it had.",
        task_id=task_id,
        step="repair",
    )
    return FailedOutcome(
        task_id=task_id, action=Action.FAILED, reason="damaged receipt", error=error
    )
