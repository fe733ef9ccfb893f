"""`asynccvat mirror`: from options to the engine and back to a summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat.cli import filters, output, parsing, signals
from asynccvat.cli.connection import Connection, client_for, connected
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.filters import option
from asynccvat.cli.runs import Results, carry_out

if TYPE_CHECKING:
    from asynccvat import CvatClient, ExportSpec, MirrorOptions, Plan, Selection

_HOW = "How"
_SAFETY = "Removing and replacing"
_RESULTS = "Results"


@connected
def mirror(
    connection: Connection,
    *,
    destination: Annotated[
        str, typer.Argument(metavar="DEST", help="The folder that holds the mirror.")
    ],
    project_id: filters.ProjectIds = None,
    task_id: filters.TaskIds = None,
    status: filters.StatusOption = None,
    subset: filters.Subset = None,
    name: filters.Name = None,
    owner: filters.Owner = None,
    assignee: filters.Assignee = None,
    updated_since: filters.UpdatedSince = None,
    filter_: filters.Filter = None,
    format_: filters.Format = filters.DEFAULT_FORMAT,
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="Fetch the images, too.")
    ] = False,
    folder_prefix: filters.FolderPrefix = "task",
    keep_archive: Annotated[
        bool,
        typer.Option(
            "--keep-archive", help="Keep each archive as it came, in .asynccvat/archives/."
        ),
    ] = False,
    concurrency: Annotated[
        int | None,
        option(
            "--concurrency",
            panel=_HOW,
            min=1,
            help="Exports in flight at the server; without it, learned while running.",
        ),
    ] = None,
    transfers: Annotated[
        int, option("--transfers", panel=_HOW, min=1, help="Archives read at once.")
    ] = 8,
    bwlimit: Annotated[
        str | None,
        option(
            "--bwlimit",
            panel=_HOW,
            metavar="SIZE",
            help="Bytes a second for all transfers together, like 800K, 10M or 1.5G.",
        ),
    ] = None,
    retries: Annotated[
        int, option("--retries", panel=_HOW, min=0, help="How often a step is tried again.")
    ] = 5,
    export_timeout: Annotated[
        str,
        option(
            "--export-timeout",
            panel=_HOW,
            metavar="TIME",
            help="How long one export may run, queueing apart: seconds, or like 30m or 4h.",
        ),
    ] = "4h15m",
    dry_run: Annotated[
        bool, option("--dry-run", panel=_HOW, help="Print the plan and its reasons, and stop.")
    ] = False,
    force: Annotated[
        bool, option("--force", panel=_SAFETY, help="Fetch every task, changed or not.")
    ] = False,
    no_reuse: Annotated[
        bool,
        option("--no-reuse", panel=_HOW, help="Fetch files that are here already, too."),
    ] = False,
    no_refresh: Annotated[
        bool,
        option("--no-refresh", panel=_HOW, help="Export images again that did not change."),
    ] = False,
    trust_receipts: Annotated[
        bool,
        option("--trust-receipts", panel=_HOW, help="Do not check the files of unchanged tasks."),
    ] = False,
    failed_from: Annotated[
        Path | None,
        option(
            "--failed-from",
            panel=filters.PANEL,
            metavar="REPORT.json",
            help="The tasks that failed in this report.",
        ),
    ] = None,
    prune: Annotated[
        bool, option("--prune", panel=_SAFETY, help="Remove tasks that are gone from the server.")
    ] = False,
    max_delete: Annotated[
        str,
        option(
            "--max-delete",
            panel=_SAFETY,
            metavar="N|P%",
            help="Refuse to prune more folders than this.",
        ),
    ] = "10%",
    adopt: Annotated[
        bool,
        option(
            "--adopt",
            panel=_SAFETY,
            help="Take over folders of a task's name that asynccvat did not make.",
        ),
    ] = False,
    no_fsync: Annotated[
        bool,
        option("--no-fsync", panel=_HOW, help="Do not wait for the disk: quicker, not crash-safe."),
    ] = False,
    break_lock: Annotated[
        bool,
        option("--break-lock", panel=_SAFETY, help="Take over a lock whose owner is no more."),
    ] = False,
    as_json: Annotated[
        bool,
        option("--json", panel=_RESULTS, help="Write the report (or plan) to stdout as JSON."),
    ] = False,
    report_json: Annotated[
        Path | None,
        option("--report-json", panel=_RESULTS, metavar="FILE", help="Write the report here."),
    ] = None,
    log_json: Annotated[
        Path | None,
        option(
            "--log-json", panel=_RESULTS, metavar="FILE", help="Append each event as a JSON line."
        ),
    ] = None,
) -> int:
    """Mirror the server's tasks into DEST, each one a folder; fetch what changed only.

    It can be killed at any moment: run it again and it goes on.

    For example:

    asynccvat mirror data/ --project-id 5 --format "COCO 1.0" --images

    asynccvat mirror data/ --status completed --prune --dry-run
    """
    if not destination:
        # A shell variable that is not set, more likely than the working directory.
        raise typer.BadParameter("it is empty: name a folder", param_hint="DEST")
    if dry_run and (report_json or log_json):
        raise typer.BadParameter(
            "a dry run has no report and no events: --json writes its plan to stdout",
            param_hint="--dry-run",
        )
    place = Path(destination)
    results = Results(as_json=as_json, report_file=report_json, log_file=log_json)
    settings = connection.settings()
    selection = filters.selection(
        projects=project_id,
        tasks=task_id,
        status=status,
        subset=subset,
        name=name,
        owner=owner,
        assignee=assignee,
        updated_since=updated_since,
        filter_=filter_,
        failed_from=failed_from,
        default_project=settings.project_id,
    )
    options = asynccvat.MirrorOptions(
        folder_prefix=folder_prefix,
        keep_archive=keep_archive,
        concurrency=concurrency,
        transfers=transfers,
        bandwidth=None if bwlimit is None else parsing.size(bwlimit, "--bwlimit"),
        retries=retries,
        export_timeout=parsing.duration(export_timeout, "--export-timeout"),
        force=force,
        reuse=not no_reuse,
        refresh=not no_refresh,
        trust_receipts=trust_receipts,
        prune=prune,
        max_delete=parsing.count_or_share(max_delete, "--max-delete"),
        adopt=adopt,
        durable=not no_fsync,
        break_lock=break_lock,
    )
    if failed_from is not None and not selection.task_ids:
        output.remark(f"Nothing to do: no task failed in {failed_from}.")
        return ExitCode.DONE
    spec = asynccvat.ExportSpec(format_, images=images)
    client = client_for(settings, retries=options.retries)
    if dry_run:
        plan = signals.run(lambda: _plan(client, place, selection, spec, options))
        return show_plan(plan, as_json=as_json)
    return carry_out(
        client,
        lambda client, on_event: asynccvat.mirror(
            client, place, selection, spec, options=options, on_event=on_event
        ),
        results,
        place=str(place),
        verbose=connection.verbose,
    )


async def _plan(
    client: CvatClient,
    destination: Path,
    selection: Selection,
    spec: ExportSpec,
    options: MirrorOptions,
) -> Plan:
    async with client:
        return await asynccvat.plan(client, destination, selection, spec, options=options)


def show_plan(plan: Plan, *, as_json: bool) -> ExitCode:
    """Print what a mirror would do; the code tells what running it would meet."""
    described = plan.to_json()
    if as_json:
        output.write_json(described)
    else:
        output.table(
            ("step", "task", "folder", "reason", "name"),
            [
                (step["step"], step["task_id"], step["folder"], step["reason"], step["name"])
                for step in described["steps"]
            ],
            numbers=("task",),
            wraps=("folder", "reason", "name"),
        )
        counts = ", ".join(f"{count:,} to {step}" for step, count in described["counts"].items())
        output.remark(f"Dry run, nothing was changed: {counts or 'no tasks'}.")
    if plan.guard is not None:
        output.remark(f"Refused: {plan.guard}")
        return ExitCode.REFUSED
    return ExitCode.DONE
