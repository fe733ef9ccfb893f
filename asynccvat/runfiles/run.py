"""Run the steps of a run file in their order, or plan them.

A step that fails stops no other, with one exception: if the server refuses the credentials or
cannot be reached, the later steps on that server are not run. Steps on other servers are. A step
that deletes is not run after one that failed (`deletion_steps`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from os import PathLike
from pathlib import Path

from asynccvat.aio.callbacks import Callback
from asynccvat.aio.threads import in_thread
from asynccvat.core.selections.id_lists import required
from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    ConfigError,
    GatewayError,
    Problem,
    ProtocolError,
    QueueStuckError,
    RateLimitError,
    RunFileError,
    ServerError,
    TransportError,
)
from asynccvat.events import Event
from asynccvat.runfiles.accounts import Account, SettingsOf, accounts
from asynccvat.runfiles.building.deletions import refusal, unconfirmed
from asynccvat.runfiles.loading import load_run_file
from asynccvat.runfiles.preflight import problems_at
from asynccvat.runfiles.reports import RunFileReport, StepEvents, StepPlan, StepReport
from asynccvat.runfiles.steps import (
    AnnotationsStep,
    BackupStep,
    Batch,
    DeletionStep,
    DownloadStep,
    MirrorStep,
    RestoreStep,
    RunFile,
    RunFileStep,
    UploadStep,
)
from asynccvat.runfiles.verbs import carry_out, plans_of
from asynccvat.runfiles.wording import reworded
from asynccvat.store import BackupStore

StepCallback = Callable[[RunFileStep, Event], None]

# The next step on the same server would fail in the same way.
_OF_THE_SERVER = (
    AuthenticationError,
    GatewayError,
    TransportError,
    ServerError,
    RateLimitError,
    ProtocolError,
    QueueStuckError,
)


async def run_file(
    file: RunFile | str | PathLike[str],
    *,
    settings: SettingsOf | None = None,
    on_event: StepCallback | None = None,
    on_step: Callable[[StepReport], None] | None = None,
) -> RunFileReport:
    """Run the steps of a run file in their order.

    Everything is checked before the first step: the file, the files that it names, and on every
    server the projects, tasks and formats that the steps need. Steps on one server share one
    login.

    Args:
        file: The path of the file, or what `load_run_file` returned.
        settings: Returns the server and the credentials of a step. By default the step's own
            `server:` wins over the environment, which wins over a settings file, which wins over
            a saved profile.
        on_event: Called with each event of each step, synchronously, in the loop's thread. If it
            raises, the error is logged, and it is not called again.
        on_step: Called with the report of each step that ended, also if a cancellation ended it.
            An error that it raises ends the run.

    Returns:
        The report. Failures are in it; they are never raised.

    Raises:
        RunFileError: The file cannot be run. No step was started.
        ConfigError: The file cannot be read.
    """
    reports: list[StepReport] = []
    tell = Callback(on_event)
    if not isinstance(file, RunFile):
        file = await in_thread(load_run_file, file)
    problems = list(unconfirmed(file))
    if problems:
        raise RunFileError(problems)
    async with _prepared(file, settings) as prepared:
        for step, account in prepared:
            not_run = account.gone or refusal(step, reports)
            if not_run is not None:
                report = StepReport(step, not_run=not_run)
                if on_step is not None:
                    on_step(report)
            else:
                report = await _report(step, account, tell, on_step)
                stopped_by = report.stopped_by
                account.gone = stopped_by if isinstance(stopped_by, _OF_THE_SERVER) else None
            reports.append(report)
    return RunFileReport(tuple(reports))


async def plan_run_file(
    file: RunFile | str | PathLike[str], *, settings: SettingsOf | None = None
) -> tuple[StepPlan, ...]:
    """Plan each step of a run file, with reasons; change nothing, locally or on a server.

    Files that an earlier step will fetch are not there yet. `StepPlan.awaits` has them.

    Args:
        file: The path of the file, or what `load_run_file` returned.
        settings: As in `run_file`.

    Raises:
        RunFileError: The file cannot be run.
        ConfigError: The file cannot be read.
    """
    folders: dict[tuple[Path, int], Path] = {}
    backups: dict[Path, int] = {}
    async with _prepared(file, settings) as prepared:
        return tuple([await _plan(step, account, folders, backups) for step, account in prepared])


@asynccontextmanager
async def _prepared(
    file: RunFile | str | PathLike[str], settings: SettingsOf | None
) -> AsyncIterator[list[tuple[RunFileStep, Account]]]:
    """Check everything, and return the steps with their accounts.

    Raises:
        RunFileError: Something is wrong.
    """
    if not isinstance(file, RunFile):
        file = await in_thread(load_run_file, file)
    async with accounts(file, settings) as found:
        problems: list[Problem] = []
        for account in found:
            problems.extend(await problems_at(account))
        if problems:
            raise RunFileError(problems)
        of_step = {step.number: account for account in found for step in account.steps}
        yield [(step, of_step[step.number]) for step in file.steps]


async def _report(
    step: RunFileStep,
    account: Account,
    tell: StepCallback,
    on_step: Callable[[StepReport], None] | None,
) -> StepReport:
    """Run a step; pass its report to `on_step` in any case."""
    hear, not_begun = StepEvents(step, tell), None
    try:
        await carry_out(step, account, hear)
    except AsyncCvatError as error:
        not_begun = reworded(error, step.task)
    finally:
        report = StepReport(step, tuple(hear.reports), not_begun=not_begun)
        if on_step is not None:
            on_step(report)
    return report


async def _plan(
    step: RunFileStep,
    account: Account,
    folders: dict[tuple[Path, int], Path],
    backups: dict[Path, int],
) -> StepPlan:
    """Plan a step.

    Args:
        step: The step.
        account: Its server and user.
        folders: The folders of tasks in mirrors and downloads, by the folder that holds them and
            by task. Those of this step are added.
        backups: The first step that makes backups in a folder, by folder. This step is added.
    """
    if isinstance(step, BackupStep):
        backups.setdefault(step.dest.absolute(), step.number)
    try:
        plans = await plans_of(step, account)
    except AsyncCvatError as error:
        made_by = await _made_by(step, backups)
        return StepPlan(step, error=reworded(error, step.task) if made_by is None else made_by)
    if isinstance(step, MirrorStep):
        for plan in plans:
            for one in getattr(plan, "steps", ()):
                folders[step.dest, one.task_id] = step.dest / one.folder
    elif isinstance(step, DownloadStep):
        for plan in plans:
            for one in getattr(plan, "steps", ()):
                path = step.paths[one.task_id]
                folders[path.parent, one.task_id] = path
    return StepPlan(step, plans, _awaited(step, folders))


async def _made_by(step: RunFileStep, backups: Mapping[Path, int]) -> ConfigError | None:
    """Return that an earlier step makes the backups that a step needs, None if they are there."""
    needed: Path | None = None
    if isinstance(step, DeletionStep) and step.options.require_backup is not None:
        needed = Path(step.options.require_backup)
    elif isinstance(step, RestoreStep | AnnotationsStep):
        needed = step.source
    number = None if needed is None else backups.get(needed.absolute())
    if needed is None or number is None:
        return None
    try:
        async with BackupStore.open(needed, read_only=True) as store:
            if not await store.is_unused():
                return None
    except AsyncCvatError:
        return None
    return ConfigError(
        f"{str(needed)!r} holds no backups before step {number} makes them. So this step has no "
        "plan yet: make the dry run again after that step."
    )


def _awaited(step: RunFileStep, folders: Mapping[tuple[Path, int], Path]) -> Mapping[int, Path]:
    """Return the files that an earlier step will fetch for this one."""
    if not isinstance(step, UploadStep):
        return {}
    found: dict[int, Path] = {}
    for batch in step.batches:
        named = required(batch.task_ids)
        for task_id in batch.task_ids:
            folder = _folder(batch, task_id, folders)
            if task_id in step.awaits and (folder is not None or task_id in named):
                found[task_id] = folder or batch.path(task_id, step.options.prefix)
    return found


def _folder(batch: Batch, task_id: int, folders: Mapping[tuple[Path, int], Path]) -> Path | None:
    """Return a task's folder where an earlier step makes it, None if none does."""
    if not isinstance(batch.source, Path):
        return None
    return folders.get((batch.source, task_id))
