"""Call the verb of each step of a run file, or the one that plans it.

`steps` has the steps, `run` calls these functions for one after the other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import replace
from functools import singledispatch
from pathlib import Path

from asynccvat.aio.threads import in_thread
from asynccvat.api.backups import backup, plan_backup
from asynccvat.api.cloud_exports import export_to_cloud, plan_export_to_cloud
from asynccvat.api.copies import copy, plan_copy
from asynccvat.api.creations import create, plan_create
from asynccvat.api.dataset_imports import import_datasets, plan_import_datasets
from asynccvat.api.deletions import delete, plan_delete
from asynccvat.api.downloads import download_many, plan_download
from asynccvat.api.mirrors import mirror, plan_mirror
from asynccvat.api.restores import (
    plan_restore,
    plan_restore_annotations,
    restore,
    restore_annotations,
)
from asynccvat.api.uploads import plan_upload, upload
from asynccvat.client import CvatClient
from asynccvat.core.outcomes import RunReport
from asynccvat.core.selections.id_lists import of_some
from asynccvat.core.selections.selection import Selection
from asynccvat.errors import AsyncCvatError
from asynccvat.runfiles.accounts import Account, target_of
from asynccvat.runfiles.reports import AnyPlan, StepEvents
from asynccvat.runfiles.steps import (
    AnnotationsStep,
    BackupStep,
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


@singledispatch
async def carry_out(step: RunFileStep, account: Account, hear: StepEvents) -> None:
    """Run a step with the client of its account. `hear` gets its reports.

    Raises:
        AsyncCvatError: A run could not begin, so it has no report.
        TypeError: No verb carries out such a step.
    """
    del account, hear
    raise TypeError(f"no verb carries out {step!r}")


@singledispatch
async def plans_of(step: RunFileStep, account: Account) -> tuple[AnyPlan, ...]:
    """Return the plans of a step: one, or one for each format of an upload.

    Raises:
        AsyncCvatError: There is no plan.
        TypeError: No verb carries out such a step.
    """
    del account
    raise TypeError(f"no verb plans {step!r}")


async def _reported(run: Awaitable[RunReport], hear: StepEvents) -> None:
    """Await a run. An error that stopped it is in its report.

    Raises:
        AsyncCvatError: It ended without a report.
    """
    before = len(hear.reports)
    try:
        await run
    except AsyncCvatError:
        if len(hear.reports) == before:
            raise


# --- from the server ------------------------------------------------------------------------------


@carry_out.register
async def _download(step: DownloadStep, account: Account, hear: StepEvents) -> None:
    await _reported(
        download_many(
            account.client,
            await _present(step, account.client),
            step.spec,
            skip_existing=step.skip_existing,
            replace=not step.skip_existing,
            on_event=hear,
        ),
        hear,
    )


@plans_of.register
async def _plan_download(step: DownloadStep, account: Account) -> tuple[AnyPlan, ...]:
    plan = await plan_download(
        account.client,
        await _present(step, account.client),
        step.spec,
        skip_existing=step.skip_existing,
        replace=not step.skip_existing,
    )
    return (plan,)


async def _present(step: DownloadStep, client: CvatClient) -> Mapping[int, Path]:
    """Return the folders of a download without those for numbers of a range that are no tasks."""
    if not step.of_ranges:
        return step.paths
    listing = await client.tasks(Selection(task_ids=of_some(step.of_ranges, ())))
    absent = step.of_ranges - {task.id for task in listing.tasks}
    return {task_id: path for task_id, path in step.paths.items() if task_id not in absent}


@carry_out.register
async def _mirror(step: MirrorStep, account: Account, hear: StepEvents) -> None:
    await _reported(
        mirror(
            account.client,
            step.dest,
            step.selection,
            step.format,
            images=step.images,
            options=replace(step.options, default_project_id=account.project_id),
            on_event=hear,
        ),
        hear,
    )


@plans_of.register
async def _plan_mirror(step: MirrorStep, account: Account) -> tuple[AnyPlan, ...]:
    plan = await plan_mirror(
        account.client,
        step.dest,
        step.selection,
        step.format,
        images=step.images,
        options=replace(step.options, default_project_id=account.project_id),
    )
    return (plan,)


@carry_out.register
async def _backup(step: BackupStep, account: Account, hear: StepEvents) -> None:
    options = replace(step.options, default_project_id=account.project_id)
    await _reported(
        backup(account.client, step.dest, step.selection, options=options, on_event=hear), hear
    )


@plans_of.register
async def _plan_backup(step: BackupStep, account: Account) -> tuple[AnyPlan, ...]:
    options = replace(step.options, default_project_id=account.project_id)
    return (await plan_backup(account.client, step.dest, step.selection, options=options),)


# --- into the server ------------------------------------------------------------------------------


@carry_out.register
async def _upload(step: UploadStep, account: Account, hear: StepEvents) -> None:
    for batch in step.batches:
        await _reported(
            upload(
                account.client,
                batch.source,
                batch.among,
                format=batch.format,
                options=step.options,
                on_event=hear,
            ),
            hear,
        )


@plans_of.register
async def _plan_upload(step: UploadStep, account: Account) -> tuple[AnyPlan, ...]:
    return tuple(
        [
            await plan_upload(
                account.client,
                batch.source,
                batch.among,
                format=batch.format,
                options=step.options,
            )
            for batch in step.present
        ]
    )


@carry_out.register
async def _create(step: CreationStep, account: Account, hear: StepEvents) -> None:
    await _reported(
        create(
            account.client,
            step.source,
            project=step.project,
            labels=step.labels,
            labels_from=step.labels_from,
            order=step.order,
            options=step.options,
            on_event=hear,
        ),
        hear,
    )


@plans_of.register
async def _plan_create(step: CreationStep, account: Account) -> tuple[AnyPlan, ...]:
    plan = await plan_create(
        account.client,
        step.source,
        project=step.project,
        labels=step.labels,
        labels_from=step.labels_from,
        order=step.order,
        options=step.options,
    )
    return (plan,)


@carry_out.register
async def _import_datasets(step: DatasetStep, account: Account, hear: StepEvents) -> None:
    await _reported(
        import_datasets(
            account.client,
            step.project,
            step.files,
            format=step.format,
            options=step.options,
            on_event=hear,
        ),
        hear,
    )


@plans_of.register
async def _plan_import_datasets(step: DatasetStep, account: Account) -> tuple[AnyPlan, ...]:
    plan = await plan_import_datasets(
        account.client, step.project, step.files, format=step.format, options=step.options
    )
    return (plan,)


@carry_out.register
async def _restore(step: RestoreStep, account: Account, hear: StepEvents) -> None:
    await _reported(
        restore(
            account.client,
            step.source,
            step.ids,
            projects=step.projects,
            project=step.project,
            at=step.at,
            options=step.options,
            on_event=hear,
        ),
        hear,
    )


@plans_of.register
async def _plan_restore(step: RestoreStep, account: Account) -> tuple[AnyPlan, ...]:
    plan = await plan_restore(
        account.client,
        step.source,
        step.ids,
        projects=step.projects,
        project=step.project,
        at=step.at,
        options=step.options,
    )
    return (plan,)


@carry_out.register
async def _restore_annotations(step: AnnotationsStep, account: Account, hear: StepEvents) -> None:
    await _reported(
        restore_annotations(
            account.client,
            step.source,
            step.task_ids,
            at=step.at,
            options=step.options,
            on_event=hear,
        ),
        hear,
    )


@plans_of.register
async def _plan_restore_annotations(step: AnnotationsStep, account: Account) -> tuple[AnyPlan, ...]:
    plan = await plan_restore_annotations(
        account.client, step.source, step.task_ids, at=step.at, options=step.options
    )
    return (plan,)


# --- between servers ------------------------------------------------------------------------------


@carry_out.register
async def _copy(step: CopyStep, account: Account, hear: StepEvents) -> None:
    async with await in_thread(target_of, step) as target:
        options = replace(step.options, default_project_id=account.project_id)
        await _reported(
            copy(account.client, target, step.selection, options=options, on_event=hear), hear
        )


@plans_of.register
async def _plan_copy(step: CopyStep, account: Account) -> tuple[AnyPlan, ...]:
    options = replace(step.options, default_project_id=account.project_id)
    async with await in_thread(target_of, step) as target:
        return (await plan_copy(account.client, target, step.selection, options=options),)


@carry_out.register
async def _export_to_cloud(step: CloudStep, account: Account, hear: StepEvents) -> None:
    await _reported(
        export_to_cloud(
            account.client,
            step.storage_id,
            step.prefix,
            _of_project(step.selection, account),
            step.spec,
            options=step.options,
            on_event=hear,
        ),
        hear,
    )


@plans_of.register
async def _plan_export_to_cloud(step: CloudStep, account: Account) -> tuple[AnyPlan, ...]:
    plan = await plan_export_to_cloud(
        account.client,
        step.storage_id,
        step.prefix,
        _of_project(step.selection, account),
        step.spec,
        options=step.options,
    )
    return (plan,)


@carry_out.register
async def _delete(step: DeletionStep, account: Account, hear: StepEvents) -> None:
    assert step.expect is not None, "a deletion without a number is refused before"
    await _reported(
        delete(
            account.client,
            step.selection,
            expect=step.expect,
            plan=step.plan,
            options=step.options,
            on_event=hear,
        ),
        hear,
    )


@plans_of.register
async def _plan_delete(step: DeletionStep, account: Account) -> tuple[AnyPlan, ...]:
    plan = await plan_delete(
        account.client,
        step.selection,
        expect=step.expect,
        plan=step.plan,
        options=step.options,
    )
    return (plan,)


def _of_project(selection: Selection, account: Account) -> Selection:
    """Return a selection with the project of the settings, if it names neither that nor tasks."""
    if account.project_id is None or selection.says_which:
        return selection
    return replace(selection, project_ids=(account.project_id,))
