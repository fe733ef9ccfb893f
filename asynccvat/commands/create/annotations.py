"""Import the annotations next to the media of new tasks, through the code of `upload`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from asynccvat.commands.create.context import CreateContext
from asynccvat.commands.upload.run import UploadRun
from asynccvat.core.options.upload import UploadOptions
from asynccvat.core.outcomes import Action, FailedOutcome, TaskOutcome
from asynccvat.core.plans.create import CreateStep
from asynccvat.core.records.creations import Annotated, Annotating
from asynccvat.errors import AsyncCvatError
from asynccvat.events import (
    ImportFinished,
    ImportRequested,
    ImportStarted,
    QueueStalled,
    Retrying,
    ServerBack,
    ServerPaused,
    ServerUnreachable,
    UploadProgress,
    UploadStarted,
    Warned,
)
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.run import Run

Made = tuple[CreateStep, TaskOutcome]
"""A task that has its frames, and the outcome that it has if its annotations are imported."""

# What the run of the imports tells and the run of `create` passes on.
_PASSED_ON = (
    ImportFinished,
    ImportRequested,
    ImportStarted,
    QueueStalled,
    Retrying,
    ServerBack,
    ServerPaused,
    ServerUnreachable,
    UploadProgress,
    UploadStarted,
)


async def import_all(
    context: CreateContext, made: Sequence[Made], report: ReportBuilder
) -> AsyncCvatError | None:
    """Import annotations into tasks, and report how each task ended.

    Returns:
        The failure that ended the imports early, None if there was none.
    """
    by_format: defaultdict[str, list[Made]] = defaultdict(list)
    for step, outcome in made:
        assert step.unit.annotations is not None, "only tasks with annotations are imported into"
        if await _has_annotations(context, step, outcome):
            report.done(outcome)
        else:
            by_format[step.unit.annotations.format].append((step, outcome))
    for format_name, some in by_format.items():
        stopped_by = await _import_format(context, format_name, some, report)
        if stopped_by is not None:
            return stopped_by
    return None


async def _has_annotations(context: CreateContext, step: CreateStep, outcome: TaskOutcome) -> bool:
    """Whether an interrupted run has imported them: the task was empty when it was made."""
    if not context.creation(step.unit).annotating:
        return False
    if not (await context.client.annotations(outcome.task_id)).counts.total:
        return False
    await context.journal.note(Annotated(context.target.project_id, step.unit.key))
    return True


async def _import_format(
    context: CreateContext, format_name: str, made: Sequence[Made], report: ReportBuilder
) -> AsyncCvatError | None:
    """Import annotations of one format."""
    by_id = {outcome.task_id: (step, outcome) for step, outcome in made}
    files: dict[int, Path] = {}
    for task_id, (step, _) in by_id.items():
        assert step.unit.annotations is not None, "they are there"
        files[task_id] = context.root / step.unit.annotations.path
        await context.journal.note(Annotating(context.target.project_id, step.unit.key))
    uploads = UploadRun(context.client, files, None, format_name, _options(context))

    def pass_on(event: object) -> None:
        if isinstance(event, _PASSED_ON):
            context.emit(event)
        elif isinstance(event, Warned):
            report.warn(event.message)

    async with Run(uploads.work, pass_on) as run:
        async for imported in run:
            step, outcome = by_id.pop(imported.task_id)
            if imported.action is Action.UPLOADED:
                await context.journal.note(Annotated(context.target.project_id, step.unit.key))
                report.done(_joined(outcome, imported))
            else:
                report.done(_failed(outcome, imported))
        ended = await run.wait()
    return ended.stopped_by


def _options(context: CreateContext) -> UploadOptions:
    """Return the options of the imports: a new task has nothing that could be lost."""
    options = context.options
    return UploadOptions(
        concurrency=options.concurrency,
        transfers=options.transfers,
        retries=options.retries,
        wait_for_server=options.wait_for_server,
        queue_timeout=options.queue_timeout,
        import_timeout=options.import_timeout,
        durable=options.durable,
        backup=False,
    )


def _joined(outcome: TaskOutcome, imported: TaskOutcome) -> TaskOutcome:
    """Return the outcome of a task that has its frames and its annotations."""
    return msgspec.structs.replace(
        outcome,
        transferred=outcome.transferred + imported.transferred,
        seconds=outcome.seconds + imported.seconds,
        annotations=imported.annotations,
        warnings=(*outcome.warnings, *imported.warnings),
    )


def _failed(outcome: TaskOutcome, imported: TaskOutcome) -> TaskOutcome:
    """Return the outcome of a task whose annotations could not be imported."""
    return FailedOutcome(
        task_id=outcome.task_id,
        name=outcome.name,
        action=Action.FAILED,
        reason=outcome.reason,
        location=imported.location,
        error=imported.error,
        new_id=outcome.task_id,
        warnings=imported.warnings,
    )
