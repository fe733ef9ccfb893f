"""`asynccvat task-info` and `formats`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from asynccvat.cli import output, parsing, queries
from asynccvat.cli.command import command
from asynccvat.cli.common_options import OutputForm, OutputOptions
from asynccvat.cli.completion import cache
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.listing import Column, Listing, ListOptions
from asynccvat.cli.queries import record
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import ended, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asynccvat import CvatClient
    from asynccvat.errors import ResponseError
    from asynccvat.models import Format, Formats, TaskDetails


@command
def task_info(
    shared: SharedOptions,
    *,
    tasks: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="The tasks' ids.", show_default=False)
    ] = None,
    task_id: Annotated[
        list[str] | None,
        typer.Option("--task-id", "-t", metavar="ID", help="The tasks' ids, as an option."),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Also the project, jobs, labels, media, and numbers of annotations of each task: "
            "about six requests a task.",
        ),
    ] = False,
    output_options: OutputOptions,
) -> int:
    """Show every field that the server has of some tasks.

    For example:

    asynccvat task-info 147 --all

    asynccvat task-info 147 148 --json
    """
    form = output_options.form()
    ids = parsing.ids([*(tasks or ()), *(task_id or ())], "ID")
    if not ids:
        raise typer.BadParameter(
            "it is missing. Name at least one task, like 147.", param_hint="ID"
        )
    settings = shared.settings()
    if everything:
        details, absent = queries.ask(settings, lambda client: _everything(client, ids))
        if form is OutputForm.TABLE:
            for one in details:
                _show_details(one)
        else:
            queries.show(form, [one.to_json() for one in details], (), ())
    else:
        found, absent = queries.ask(settings, lambda client: _details(client, ids))
        if form is OutputForm.TABLE:
            for fields in found:
                _show_fields(fields)
        else:
            queries.show(form, found, (), ())
    for error in absent:
        output.remark(f"Error: {ended(printable(str(error)))}")
    return ExitCode.SOME_FAILED if absent else ExitCode.DONE


async def _details(
    client: CvatClient, ids: tuple[int, ...]
) -> tuple[list[dict[str, Any]], list[ResponseError]]:
    """Return the fields of tasks in the given order, and the errors for tasks that cannot be shown.

    One list holds hundreds of tasks. Each task that is not in it is then requested by its id, for
    the reason.
    """
    from asynccvat import (  # noqa: PLC0415 - the start-up of `--help` stays light
        NotFoundError,
        PermissionDeniedError,
    )

    known = await client.task_fields(ids)
    absent: list[ResponseError] = []
    for task_id in ids:
        if task_id not in known:
            try:
                known[task_id] = record(await client.task(task_id))
            except (NotFoundError, PermissionDeniedError) as error:
                absent.append(error)
    return [known[task_id] for task_id in ids if task_id in known], absent


async def _everything(
    client: CvatClient, ids: tuple[int, ...]
) -> tuple[list[TaskDetails], list[ResponseError]]:
    """Return all details of tasks in the given order, and the errors for those without any."""
    from asynccvat import (  # noqa: PLC0415 - the start-up of `--help` stays light
        NotFoundError,
        PermissionDeniedError,
        task_details,
    )

    found: list[TaskDetails] = []
    absent: list[ResponseError] = []
    for task_id in ids:
        try:
            found.append(await task_details(client, task_id))
        except (NotFoundError, PermissionDeniedError) as error:
            absent.append(error)
    return found, absent


def _show_fields(fields: Mapping[str, Any]) -> None:
    rows = [(key, _cell(value)) for key, value in fields.items()]
    output.table(("field", "value"), rows, wraps=("value",))


def _show_details(details: TaskDetails) -> None:
    """Write tables: the fields with what else has one value, the jobs, the labels."""
    project, media = details.project, details.media
    more: dict[str, Any] = {
        "page": details.page,
        "project": project and project.name,
        "annotations": details.annotations and str(details.annotations),
        "media_storage": media and media.storage,
        "deleted_frames": media and len(media.deleted_frames),
    }
    _show_fields({**details.fields, **more})
    output.write("")
    output.table(
        ("job", "stage", "state", "type", "frames", "assignee", "issues"),
        [
            (
                job.id,
                job.stage,
                job.state,
                job.type,
                f"{job.start_frame}-{job.stop_frame}",
                job.assignee and job.assignee.username,
                job.issue_count,
            )
            for job in details.jobs
        ],
        numbers=("job", "issues"),
        wraps=("assignee",),
    )
    output.write("")
    output.table(
        ("label", "type", "color", "attributes"),
        [
            (
                label.get("name"),
                label.get("type"),
                label.get("color"),
                ", ".join(str(one.get("name")) for one in label.get("attributes") or ()),
            )
            for label in details.labels
        ],
        wraps=("label", "attributes"),
    )


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case {"username": name}:
            return str(name)
        case {"url": url} if len(value) == 1:
            return str(url)
        case dict():
            return ", ".join(f"{key} {part}" for key, part in value.items() if key != "url")
        case _:
            return str(value)


class _FormatRow(NamedTuple):
    """A format, and the files of its exporter and its importer."""

    name: str
    exported: str | None
    imported: str | None
    dimension: str | None


def _format_columns() -> list[Column[_FormatRow]]:
    return [
        Column(title="format", value=lambda row: row.name, wraps=True),
        Column(title="export", value=lambda row: row.exported),
        Column(title="import", value=lambda row: row.imported),
        Column(title="dimension", value=lambda row: row.dimension),
    ]


@command
def formats(
    shared: SharedOptions,
    *,
    list_options: ListOptions,
) -> int:
    """List the formats that the server exports and imports, by their exact names.

    For example:

    asynccvat formats --json

    asynccvat formats --columns format,import --sort format
    """
    listing = Listing(_format_columns(), list_options)
    settings = shared.settings()
    known = queries.ask(settings, lambda client: client.formats())
    cache.remember(settings, "formats", cache.format_names(known))
    rows = listing.arranged(_format_rows(known))
    if listing.form is OutputForm.JSON:
        of_each = {"exporters": known.exporters, "importers": known.importers}
        output.write_json({key: _records(items, rows) for key, items in of_each.items()})
    elif listing.form is OutputForm.JSONL:
        for direction, items in (("export", known.exporters), ("import", known.importers)):
            for item in _records(items, rows):
                output.write_json_line({"direction": direction, **item})
    else:
        listing.write(rows)
    if listing.form is OutputForm.TABLE:
        output.remark(
            "'export' and 'import' show the file types; an empty cell means not supported."
        )
    return ExitCode.DONE


def _records(items: Iterable[Format], rows: Sequence[_FormatRow]) -> list[dict[str, Any]]:
    """Return the JSON objects of the formats that some rows name, in the order of the rows."""
    by_name = {item.name: record(item) for item in items}
    return [by_name[row.name] for row in rows if row.name in by_name]


def _format_rows(known: Formats) -> list[_FormatRow]:
    exported = {item.name: item for item in known.exporters}
    imported = {item.name: item for item in known.importers}
    return [
        _FormatRow(
            name,
            _file_types(exported.get(name)),
            _file_types(imported.get(name)),
            (exported.get(name) or imported[name]).dimension,
        )
        for name in dict.fromkeys((*exported, *imported))
    ]


def _file_types(way: Format | None) -> str | None:
    if way is None:
        return None
    return way.ext if way.enabled else f"{way.ext} (disabled)"
