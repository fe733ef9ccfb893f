"""`asynccvat task-info`, `formats` and `check-connection`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asynccvat.cli import output, parsing, queries
from asynccvat.cli.command import command
from asynccvat.cli.common_options import OutputForm, OutputOptions
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.queries import record
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import ended, printable

if TYPE_CHECKING:
    from asynccvat import CvatClient
    from asynccvat.errors import ResponseError
    from asynccvat.models import Formats
    from asynccvat.settings import Settings


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
    output_options: OutputOptions,
) -> int:
    """Show every field that the server has of some tasks.

    For example:

    asynccvat task-info 147 148 --json
    """
    form = output_options.form()
    ids = parsing.ids([*(tasks or ()), *(task_id or ())], "ID")
    if not ids:
        raise typer.BadParameter(
            "it is missing. Name at least one task, like 147.", param_hint="ID"
        )
    found, absent = queries.ask(shared.settings(), lambda client: _details(client, ids))
    if form is OutputForm.TABLE:
        for fields in found:
            rows = [(key, _cell(value)) for key, value in fields.items()]
            output.table(("field", "value"), rows, wraps=("value",))
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


@command
def formats(
    shared: SharedOptions,
    *,
    output_options: OutputOptions,
) -> int:
    """List the formats that the server exports and imports, by their exact names.

    For example:

    asynccvat formats --json
    """
    form = output_options.form()
    known = queries.ask(shared.settings(), lambda client: client.formats())
    if form is OutputForm.JSON:
        output.write_json(record(known))
    elif form is OutputForm.JSONL:
        for direction, items in (("export", known.exporters), ("import", known.importers)):
            for item in items:
                output.write_json_line({"direction": direction, **record(item)})
    else:
        output.table(
            ("format", "export", "import", "dimension"), _format_rows(known), wraps=("format",)
        )
        output.remark(
            "'export' and 'import' show the file types; an empty cell means not supported."
        )
    return ExitCode.DONE


def _format_rows(known: Formats) -> list[output.Row]:
    exported = {item.name: item for item in known.exporters}
    imported = {item.name: item for item in known.importers}
    rows: list[output.Row] = []
    for name in dict.fromkeys((*exported, *imported)):
        ways = [group.get(name) for group in (exported, imported)]
        files = [
            None if way is None else way.ext if way.enabled else f"{way.ext} (disabled)"
            for way in ways
        ]
        rows.append((name, *files, next(way.dimension for way in ways if way is not None)))
    return rows


@command
def check_connection(
    shared: SharedOptions,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON document to stdout.")
    ] = False,
) -> int:
    """Log in, and show the user, the server's version, and where each setting comes from.

    For example:

    asynccvat check-connection --url https://cvat.example.com -u ann
    """

    async def query(client: CvatClient) -> dict[str, Any]:
        if client.proxy is not None and not as_json:
            output.remark(f"proxy: {client.proxy}")
        about = await client.about()
        await client.check_version()
        user = await client.user()
        token = await client.access_token()
        return {
            "url": client.origin,
            "version": about.version,
            "user": user.username,
            "user_id": user.id,
            "organization": client.organization,
            "read_only": None if token is None else token.read_only,
            "proxy": client.proxy,
        }

    settings = shared.settings()
    if not as_json:
        for line in _origins(settings):
            output.remark(printable(line))
    if not settings.is_private:
        output.remark(
            f"warning: {settings.address} is not encrypted: anybody on the way can read the "
            "credentials. Give its https:// address if it has one."
        )
    answer = queries.ask(settings, query)
    if as_json:
        output.write_json(answer | {"settings": dict(settings.places)})
        return ExitCode.DONE
    where = f" in the organization {answer['organization']}" if answer["organization"] else ""
    if answer["organization"] == "":
        where = " in the personal workspace"
    output.write(
        printable(
            f"{answer['url']}: CVAT {answer['version']}, logged in as {answer['user']}{where}"
        )
    )
    if answer["read_only"]:
        output.remark("The access token is read-only: it mirrors and downloads, but cannot upload.")
    return ExitCode.DONE


def _origins(settings: Settings) -> Iterator[str]:
    """Yield a line for each setting: its value, unless it is a secret, and its place."""
    for name, place in settings.places:
        value = getattr(settings, name, None) if name != "url" else settings.address
        shown = "" if name in ("password", "token") or value is None else f" {value or repr(value)}"
        yield f"{name}{shown}: from {place}"
    if settings.password_missing:
        yield "password: asked for on the terminal"
