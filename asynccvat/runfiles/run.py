"""The steps of a run file, one after the other: what each would do, or does.

A step that fails stops no other, but for what every later step on its server would meet: the
credentials are refused, or the server is gone. Then those steps are not run, and say why; steps on
other servers are.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path

from asynccvat.aio.callbacks import Callback
from asynccvat.aio.threads import in_thread
from asynccvat.api import download_many, mirror, plan, plan_downloads, plan_upload, upload
from asynccvat.core.outcomes import RunReport
from asynccvat.core.selection import Selection
from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    Problem,
    ProtocolError,
    RateLimitError,
    RunFileError,
    ServerError,
    TransportError,
)
from asynccvat.events import Event, RunFinished
from asynccvat.runfiles.accounts import Account, SettingsOf, accounts
from asynccvat.runfiles.loading import load_run_file
from asynccvat.runfiles.preflight import problems_at
from asynccvat.runfiles.reports import AnyPlan, RunFileReport, StepPlan, StepReport
from asynccvat.runfiles.steps import Download, MirrorStep, RunFile, Step, Upload

StepCallback = Callable[[Step, Event], None]

# The next step there would meet the same.
_OF_THE_SERVER = (
    AuthenticationError,
    TransportError,
    ServerError,
    RateLimitError,
    ProtocolError,
)


async def run_file(
    file: RunFile | str | PathLike[str],
    *,
    settings: SettingsOf | None = None,
    on_event: StepCallback | None = None,
    on_step: Callable[[StepReport], None] | None = None,
) -> RunFileReport:
    """Run the steps of a run file in their order.

    All of it is checked before anything is done: the file, the files that it names, and every
    server with the projects, tasks and formats that the steps need there. Steps on one server
    share one login.

    Args:
        file: The file, or what `load_run_file` made of it.
        settings: Says which server a step is for, and as whom. By default what the step's own
            `server:` says counts more than the environment, that more than a settings file, and
            that more than a saved profile.
        on_event: Told each event of each step, synchronously, in the loop's thread. One that
            raises is detached and logged.
        on_step: Told of each step that has ended, also of one that a cancellation ended. What it
            raises ends the run.

    Returns:
        The report. What failed is in it, and never raised.

    Raises:
        RunFileError: It cannot be run as a whole; nothing of it was begun.
        ConfigError: The file cannot be read.
    """
    reports: list[StepReport] = []
    tell = Callback(on_event)
    async with _prepared(file, settings) as prepared:
        for step, account in prepared:
            if account.gone is not None:
                report = StepReport(step, not_run=account.gone)
                if on_step is not None:
                    on_step(report)
            else:
                report = await _carry_out(step, account, tell, on_step)
                stopped_by = report.stopped_by
                account.gone = stopped_by if isinstance(stopped_by, _OF_THE_SERVER) else None
            reports.append(report)
    return RunFileReport(tuple(reports))


async def plan_run_file(
    file: RunFile | str | PathLike[str], *, settings: SettingsOf | None = None
) -> tuple[StepPlan, ...]:
    """What each step of a run file would do, and why; nothing is changed, here or there.

    Files that an earlier step is to bring are not there yet: they are named apart.

    Args:
        file: The file, or what `load_run_file` made of it.
        settings: As in `run_file`.

    Raises:
        RunFileError: It cannot be run as a whole.
        ConfigError: The file cannot be read.
    """
    async with _prepared(file, settings) as prepared:
        return tuple([await _plan(step, account) for step, account in prepared])


@asynccontextmanager
async def _prepared(
    file: RunFile | str | PathLike[str], settings: SettingsOf | None
) -> AsyncIterator[list[tuple[Step, Account]]]:
    """The steps with their accounts, once everything was found right.

    Raises:
        RunFileError: Something was not.
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


async def _carry_out(
    step: Step,
    account: Account,
    tell: StepCallback,
    on_step: Callable[[StepReport], None] | None,
) -> StepReport:
    """Do a step; its report is told in any case."""
    reports: list[RunReport] = []

    def hear(event: Event) -> None:
        if isinstance(event, RunFinished):
            reports.append(event.report)
        tell(step, event)

    try:
        await _work(step, account, hear)
    finally:
        report = StepReport(step, tuple(reports))
        if on_step is not None:
            on_step(report)
    return report


async def _work(step: Step, account: Account, hear: Callable[[Event], None]) -> None:
    client = account.client
    if isinstance(step, Upload):
        for batch in step.batches:
            await _reported(
                upload(
                    client,
                    batch.source,
                    batch.among,
                    format=batch.format,
                    options=step.options,
                    on_event=hear,
                )
            )
    elif isinstance(step, Download):
        await _reported(
            download_many(
                client,
                step.paths,
                step.spec,
                skip_existing=step.skip_existing,
                replace=not step.skip_existing,
                on_event=hear,
            )
        )
    elif isinstance(step, MirrorStep):
        await _reported(
            mirror(
                client,
                step.dest,
                _selection(step, account),
                step.spec,
                options=step.options,
                on_event=hear,
            )
        )


async def _reported(run: Awaitable[RunReport]) -> None:
    """Await a run; what kept it from beginning is in the report that its last event brought."""
    with contextlib.suppress(AsyncCvatError):
        await run


def _selection(step: MirrorStep, account: Account) -> Selection:
    """Which tasks: those of the settings' project, where the step names no others."""
    named = (step.selection.project_ids, step.selection.task_ids)
    if account.project_id is None or named != (None, None):
        return step.selection
    return replace(step.selection, project_ids=(account.project_id,))


async def _plan(step: Step, account: Account) -> StepPlan:
    try:
        return StepPlan(step, await _plans(step, account), _awaited(step))
    except AsyncCvatError as error:
        return StepPlan(step, error=error)


async def _plans(step: Step, account: Account) -> tuple[AnyPlan, ...]:
    client = account.client
    if isinstance(step, Upload):
        return tuple(
            [
                await plan_upload(
                    client, batch.source, batch.among, format=batch.format, options=step.options
                )
                for one in step.batches
                if (batch := one.without(step.awaits)).task_ids
            ]
        )
    if isinstance(step, Download):
        return (
            await plan_downloads(
                client,
                step.paths,
                step.spec,
                skip_existing=step.skip_existing,
                replace=not step.skip_existing,
            ),
        )
    assert isinstance(step, MirrorStep)
    selection = _selection(step, account)
    return (await plan(client, step.dest, selection, step.spec, options=step.options),)


def _awaited(step: Step) -> Mapping[int, Path]:
    """What an earlier step is to bring for this one."""
    if not isinstance(step, Upload):
        return {}
    return {
        task_id: batch.path(task_id, step.options.folder_prefix)
        for batch in step.batches
        for task_id in batch.task_ids
        if task_id in step.awaits
    }
