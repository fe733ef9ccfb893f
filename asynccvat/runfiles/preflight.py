"""Check every server before the first step: login, projects, formats, tasks.

Nothing is changed. All problems are returned, each with its position in the run file. `loading`
checks what needs no server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from asynccvat.api.uploads import plan_upload
from asynccvat.client import internals
from asynccvat.core.format_names import means_json
from asynccvat.core.models import Task
from asynccvat.core.plans.dimensions import other_dimension
from asynccvat.core.plans.upload import RefuseUpload, UploadReason
from asynccvat.core.selections.id_lists import of_some, required
from asynccvat.core.selections.selection import Selection, check_prunable
from asynccvat.core.specs import ExportSpec
from asynccvat.errors import AsyncCvatError, ConfigError, Problem
from asynccvat.runfiles.accounts import Account
from asynccvat.runfiles.steps import (
    AnnotationsStep,
    BackupStep,
    Batch,
    CloudStep,
    CopyStep,
    CreationStep,
    DatasetStep,
    DeletionStep,
    DownloadStep,
    MirrorStep,
    RestoreStep,
    RunFileStep,
    UploadStep,
)
from asynccvat.runfiles.wording import in_keys

# Mistakes in the file itself. Other reasons may have changed when the step runs.
_MISTAKES = (UploadReason.FILE, UploadReason.NOT_FOUND)


async def problems_at(account: Account) -> list[Problem]:
    """Return what the server of an account finds wrong with its steps."""
    first = account.steps[0]
    try:
        await account.client.user()
    except AsyncCvatError as error:
        place = first.server["url"].place if "url" in first.server else str(first.place)
        return [Problem(place, error.message, error)]
    check = _Check(account)
    if account.project_id is not None:
        said = first.server.get("project_id")
        await check.project(account.project_id, str(first.place) if said is None else said.place)
    for step in account.steps:
        await check.step(step)
    return check.problems


class _Check:
    """Collects the problems of one server; sends each request once."""

    def __init__(self, account: Account) -> None:
        self.problems: list[Problem] = []
        self._client = account.client
        self._task = account.steps[0].task
        self._answers: dict[object, AsyncCvatError | None] = {}

    async def project(self, project_id: int, place: str) -> None:
        """Check that a project exists."""
        await self._ask(("project", project_id), place, partial(self._client.project, project_id))

    async def step(self, step: RunFileStep) -> None:
        """Check all that a step names."""
        self._task = step.task
        if isinstance(step, DownloadStep):
            known = await self._exporter(step, step.spec.format)
            tasks = await self._tasks(step, of_some(step.paths, step.paths.keys() - step.of_ranges))
            if known and tasks:
                await self._dimensions(step, tasks)
        elif isinstance(step, MirrorStep):
            await self._mirror(step)
        elif isinstance(step, BackupStep | CopyStep | CloudStep | DeletionStep):
            await self._selecting(step)
        elif isinstance(step, CreationStep | RestoreStep):
            await self._named_projects(step)
        elif isinstance(step, DatasetStep):
            place = str(step.place_of(step.project))
            question = partial(internals(self._client).find_project, step.project)
            await self._ask(("project", step.project), place, question)
            await self._importer(step, step.format)
        elif isinstance(step, AnnotationsStep):
            await self._tasks(step, step.task_ids)
        elif isinstance(step, UploadStep):
            await self._uploads(step)

    async def _selecting(self, step: BackupStep | CopyStep | CloudStep | DeletionStep) -> None:
        # What a deletion names may be gone: the file may have been run before.
        if isinstance(step, DeletionStep):
            if not step.options.projects:
                await self._selection(step, step.selection, may_be_gone=True)
        else:
            await self._selection(step, step.selection)

    async def _named_projects(self, step: CreationStep | RestoreStep) -> None:
        """Check the projects that are named by their ids; one of a name may be made later."""
        others = (step.labels_from,) if isinstance(step, CreationStep) else ()
        for given in (step.project, *others):
            if given is not None and given.isascii() and given.isdecimal():
                await self.project(int(given), str(step.place_of(given)))

    async def _mirror(self, step: MirrorStep) -> None:
        if step.format is not None and not means_json(step.format):
            await self._exporter(step, step.format)
        try:
            check_prunable(step.selection, prune=step.options.prune)
        except ConfigError as error:
            self._report(str(step.place), error)
        await self._selection(step, step.selection, may_be_gone=step.options.prune)

    async def _selection(
        self, step: RunFileStep, selection: Selection, *, may_be_gone: bool = False
    ) -> None:
        """Check that the projects and tasks exist that a step selects by their ids and names."""
        if selection.projects:
            names = Selection(projects=selection.projects)
            question = partial(internals(self._client).resolved, names)
            await self._ask(("projects", selection.projects), str(step.place), question)
        for project_id in sorted(required(selection.project_ids)):
            await self.project(project_id, str(step.place_of(f"project {project_id}")))
        # With other criteria a task may be filtered out; with `prune` it may be gone.
        if selection.only_by_id and not may_be_gone:
            await self._tasks(step, selection.task_ids or ())

    async def _dimensions(self, step: DownloadStep, tasks: Collection[Task]) -> None:
        """Check that the step's format can hold annotations of its tasks."""
        formats = await self._client.formats()
        format_name = await internals(self._client).exporter(step.spec.format)
        spec = replace(step.spec, format=format_name)
        for task in tasks:
            why = other_dimension(task, spec, formats)
            if why is not None:
                place = str(step.place_of(task.id))
                message = in_keys(f"cannot download task {task.id}: {why}", step.task)
                self.problems.append(Problem(place, message))

    async def _exporter(self, step: RunFileStep, name: str) -> bool:
        return await self._ask(
            ("export", name),
            str(step.place_of(name)),
            partial(internals(self._client).exporter, name),
        )

    async def _importer(self, step: RunFileStep, name: str) -> bool:
        return await self._ask(
            ("import", name),
            str(step.place_of(name)),
            partial(internals(self._client).importer, name),
        )

    async def _uploads(self, step: UploadStep) -> None:
        await self._ask(
            ("mode", step.options.mode),
            str(step.place),
            partial(internals(self._client).check_mode, step.options.mode),
        )
        named = {one for batch in step.batches for one in required(batch.task_ids)}
        await self._tasks(step, of_some(sorted(step.awaits), named))
        for batch in step.batches:
            await self._upload(step, batch)

    async def _upload(self, step: UploadStep, batch: Batch) -> None:
        name = batch.format or ExportSpec().format
        known = means_json(name) or await self._importer(step, name)
        present = batch.without(step.awaits | step.gaps)
        if not (known and present.task_ids):
            return
        try:
            plan = await plan_upload(
                self._client,
                present.source,
                present.among,
                format=present.format,
                options=step.options,
            )
        except AsyncCvatError as error:
            self._report(str(step.place), error)
            return
        for refusal in plan.of(RefuseUpload):
            if refusal.reason in _MISTAKES:
                self._report(str(step.place_of(refusal.task_id)), refusal.problem)

    async def _tasks(self, step: RunFileStep, task_ids: Sequence[int]) -> Collection[Task]:
        """Check that tasks exist, and return those that do."""
        if not task_ids:
            return ()
        try:
            listing = await self._client.tasks(Selection(task_ids=task_ids))
        except AsyncCvatError as error:
            self._report(str(step.place), error)
            return ()
        for task_id in listing.missing:
            self.problems.append(
                Problem(
                    str(step.place_of(task_id)),
                    f"{self._client.origin} has no task {task_id}, or this user may not see it. "
                    "'asynccvat list-tasks' shows the tasks.",
                )
            )
        return listing.tasks

    async def _ask(
        self, what: object, place: str, question: Callable[[], Awaitable[object]]
    ) -> bool:
        """Send a request once; report its error at each position that needs it.

        Returns:
            Whether the request succeeded.
        """
        if what not in self._answers:
            self._answers[what] = None
            try:
                await question()
            except AsyncCvatError as error:
                self._answers[what] = error
        error_ = self._answers[what]
        if error_ is not None:
            self._report(place, error_)
        return error_ is None

    def _report(self, place: str, error: AsyncCvatError) -> None:
        problem = Problem(place, in_keys(error.message, self._task), error)
        if problem not in self.problems:
            self.problems.append(problem)
