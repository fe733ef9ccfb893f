"""The commands that ask and print: tasks, projects, formats, the connection itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from asynccvat.cli import output, parsing, running, selecting
from asynccvat.cli.connection import Connection, client_for, connected
from asynccvat.cli.failures import ExitCode
from asynccvat.cli.selecting import AsJson, Output, OutputOption
from asynccvat.cli.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asynccvat import About, CvatClient, Formats, Project, Task, TaskListing, User


def _ask(connection: Connection, call: Callable[[CvatClient], Awaitable[Any]]) -> Any:
    """The answer to one call of a client that lives as long as the call."""
    client = client_for(connection.settings())

    async def main() -> Any:
        async with client:
            return await call(client)

    return running.run(main)


@connected
def list_tasks(
    connection: Connection,
    *,
    project_id: selecting.ProjectIds = None,
    task_id: selecting.TaskIds = None,
    status: selecting.StatusOption = None,
    subset: selecting.Subset = None,
    name: selecting.Name = None,
    updated_since: selecting.UpdatedSince = None,
    filter_: selecting.Filter = None,
    as_json: AsJson = False,
    output_: OutputOption = Output.TABLE,
) -> int:
    """List the tasks that the user may see.

    For example:

    asynccvat list-tasks --project-id 5 --status completed

    asynccvat list-tasks --updated-since 2d --json
    """
    settings = connection.settings()
    selection = selecting.selection(
        projects=project_id,
        tasks=task_id,
        status=status,
        subset=subset,
        name=name,
        updated_since=updated_since,
        filter_=filter_,
        default_project=settings.project_id,
    )
    listing: TaskListing = _ask(connection, lambda client: client.tasks(selection))
    if as_json or output_ is Output.JSON:
        output.write_json([_record(task) for task in listing.tasks])
    else:
        output.table(
            ("id", "name", "status", "frames", "project", "subset", "updated"),
            [
                (
                    task.id,
                    task.name,
                    task.status,
                    task.size,
                    task.project_id,
                    task.subset,
                    _minute(task.updated_date),
                )
                for task in listing.tasks
            ],
            numbers=("id", "frames", "project"),
        )
        output.remark(counted(len(listing.tasks), "task"))
    for missing in listing.missing:
        output.remark(f"task {missing}: there is no such task, or this user may not see it")
    if not listing.complete:
        output.remark("warning: the list kept changing while it was read: some may be missing")
    return ExitCode.SOME_FAILED if listing.missing or not listing.complete else ExitCode.DONE


@connected
def list_projects(
    connection: Connection, *, as_json: AsJson = False, output_: OutputOption = Output.TABLE
) -> int:
    """List the projects that the user may see.

    For example:

    asynccvat list-projects --json
    """
    projects: tuple[Project, ...] = _ask(connection, lambda client: client.projects())
    if as_json or output_ is Output.JSON:
        output.write_json([_record(project) for project in projects])
        return ExitCode.DONE
    output.table(
        ("id", "name", "status", "owner", "updated"),
        [
            (
                project.id,
                project.name,
                project.status,
                project.owner.username if project.owner else None,
                _minute(project.updated_date),
            )
            for project in projects
        ],
        numbers=("id",),
    )
    output.remark(counted(len(projects), "project"))
    return ExitCode.DONE


@connected
def task_info(
    connection: Connection,
    *,
    tasks: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="The tasks.", show_default=False)
    ] = None,
    task_id: Annotated[
        list[str] | None,
        typer.Option("--task-id", "-t", metavar="ID", help="The same, as an option."),
    ] = None,
    as_json: AsJson = False,
    output_: OutputOption = Output.TABLE,
) -> int:
    """Show all that the server says of some tasks.

    For example:

    asynccvat task-info 147 148 --json
    """
    from asynccvat import NotFoundError  # noqa: PLC0415 - the start-up of `--help` stays light

    ids = parsing.ids([*(tasks or ()), *(task_id or ())], "ID")
    if not ids:
        raise typer.BadParameter("name at least one task", param_hint="ID")

    async def details(client: CvatClient) -> tuple[list[Task], list[NotFoundError]]:
        found: list[Task] = []
        absent: list[NotFoundError] = []
        for item in ids:
            try:
                found.append(await client.task(item))
            except NotFoundError as error:
                absent.append(error)
        return found, absent

    found, absent = _ask(connection, details)
    if as_json or output_ is Output.JSON:
        output.write_json([_record(task) for task in found])
    else:
        for task in found:
            rows = [
                (key, _cell(value)) for key, value in _record(task).items() if value is not None
            ]
            output.table(("field", "value"), rows)
    for error in absent:
        output.remark(f"Error: {printable(str(error))}")
    return ExitCode.SOME_FAILED if absent else ExitCode.DONE


@connected
def formats(
    connection: Connection, *, as_json: AsJson = False, output_: OutputOption = Output.TABLE
) -> int:
    """List the formats that the server exports (and imports).

    For example:

    asynccvat formats --json
    """
    known: Formats = _ask(connection, lambda client: client.formats())
    if as_json or output_ is Output.JSON:
        output.write_json(_record(known))
        return ExitCode.DONE
    imported = {item.name for item in known.importers}
    rows = [
        (item.name, item.ext, "" if item.enabled else "disabled", item.dimension)
        for item in known.exporters
    ]
    output.table(("export format", "file", "state", "dimension"), rows)
    output.remark(f"For uploads: {', '.join(sorted(imported))}")
    return ExitCode.DONE


@connected
def check_connection(connection: Connection, *, as_json: AsJson = False) -> int:
    """Log in, and show who is there and what the server is.

    For example:

    asynccvat check-connection --url https://cvat.example.com -u ann
    """

    async def ask(client: CvatClient) -> tuple[About, User]:
        return await client.about(), await client.user()

    client = client_for(connection.settings())

    async def main() -> tuple[About, User]:
        async with client:
            return await ask(client)

    about, user = running.run(main)
    if as_json:
        output.write_json(
            {
                "url": client.origin,
                "version": about.version,
                "user": user.username,
                "user_id": user.id,
                "organization": client.organization,
            }
        )
        return ExitCode.DONE
    where = f" in the organization {client.organization}" if client.organization else ""
    if client.organization == "":
        where = " in the personal workspace"
    output.write(
        printable(f"{client.origin}: CVAT {about.version}, logged in as {user.username}{where}")
    )
    return ExitCode.DONE


def _record(value: Any) -> Any:
    import msgspec  # noqa: PLC0415 - the start-up of `--help` stays light

    return msgspec.to_builtins(value)


def _minute(date: str) -> str:
    """`2026-03-31 08:00` of an ISO date: what a table has room for; JSON has it whole."""
    return date[:16].replace("T", " ")


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("username", value))
    return str(value)
