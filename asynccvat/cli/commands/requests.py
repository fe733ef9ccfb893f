"""`asynccvat requests`: list the user's requests at the server, and cancel them."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asynccvat.cli import output, parsing, queries
from asynccvat.cli.command import command
from asynccvat.cli.common_options import OutputForm, OutputOptions, option
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.listing import Column, Listing, ListOptions
from asynccvat.cli.option_groups import ID_SOURCES
from asynccvat.cli.queries import minute
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import printable, span
from asynccvat.cli.typer_classes import Command, Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asynccvat import CvatClient
    from asynccvat.models import ServerRequest

_WHY_NOT = {
    "started": "it is running, and CVAT cancels only queued requests. Wait for its end.",
    "ended": "it has ended.",
    "unknown": "the server has no such request. 'asynccvat requests' shows the ids.",
    "forbidden": "it belongs to another user, who alone may cancel it.",
}


class RequestState(StrEnum):
    """The states of a request."""

    QUEUED = "queued"
    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"


class RequestAction(StrEnum):
    """What a request does."""

    EXPORT = "export"
    IMPORT = "import"
    CREATE = "create"


def _option(*flags: str, **rest: Any) -> Any:
    return option(*flags, group="Selection", **rest)


TaskIds = Annotated[
    list[str] | None,
    _option(
        "--task-id",
        "-t",
        metavar="ID",
        help=f"Requests of this task. {ID_SOURCES}",
    ),
]

requests = typer.Typer(name="requests", cls=Group, invoke_without_command=True)


@command
def list_requests(
    shared: SharedOptions,
    *,
    project_id: Annotated[
        list[str] | None,
        _option(
            "--project-id",
            metavar="ID",
            help=f"Requests of this project and its tasks. {ID_SOURCES}",
        ),
    ] = None,
    task_id: TaskIds = None,
    status: Annotated[
        RequestState | None,
        _option("--status", help="Requests in this state: queued, started, finished or failed."),
    ] = None,
    action: Annotated[
        RequestAction | None,
        _option("--action", help="Requests of this kind: export, import or create."),
    ] = None,
    ended: Annotated[
        bool,
        _option("--all", help="Also those that have ended, while the server remembers them."),
    ] = False,
    list_options: ListOptions,
) -> int:
    """Show your requests at the server: exports, imports, new tasks; newest first.

    The server reports no progress for exports.

    For example:

    asynccvat requests --action export

    asynccvat requests --status failed -t 147 --json

    asynccvat requests cancel --all
    """
    from asynccvat.core.scheduling.stalls import listed_stall  # noqa: PLC0415 - `--help` stays light

    clock = _Clock()
    listing = Listing(_columns(clock), list_options)
    tasks = parsing.ids(task_id or (), "--task-id")
    projects = parsing.ids(project_id or (), "--project-id")

    async def query(client: CvatClient) -> tuple[Sequence[ServerRequest], datetime]:
        found = await client.requests(task_ids=tasks or None, action=action and action.value)
        # The dates are the server's, so the ages need its clock.
        return found, client.server_date or datetime.now(UTC)

    found, now = queries.ask(shared.settings(), query)
    fitting = [item for item in found if not projects or item.operation.project_id in projects]
    # One list shows one moment. With a list for each state, a request that changes its state
    # between two lists would be missed.
    shown = [
        item
        for item in fitting
        if (item.state == status.value if status else ended or not item.ended)
    ]
    clock.now = now
    hidden = len(fitting) - len(shown)
    rest = f"; {hidden:,} ended (--all shows them)" if hidden and status is None else ""
    listing.show(shown, "request", rest=rest)
    if listing.form is OutputForm.TABLE:
        # A list of some tasks does not show what else runs.
        for kind in () if tasks else (RequestAction.EXPORT, RequestAction.IMPORT):
            stall = listed_stall(kind.value, found, now)
            if stall is not None:
                output.remark(f"warning: {stall}")
    return ExitCode.DONE


class _Clock:
    """The server's time, which is known once it has answered."""

    now: datetime | None = None

    def age(self, request: ServerRequest) -> float | None:
        """Return the seconds since a request was made."""
        if self.now is None or request.created_date is None:
            return None
        return max(0.0, (self.now - request.created_date).total_seconds())


def _columns(clock: _Clock) -> list[Column[ServerRequest]]:
    return [
        Column(title="status", value=lambda one: one.status),
        Column(title="progress", value=lambda one: one.progress or None, text=_share, number=True),
        Column(title="age", value=clock.age, text=span, number=True),
        Column(title="operation", value=lambda one: one.operation.type, wraps=True),
        Column(title="of", value=_target),
        Column(title="format", value=lambda one: one.operation.format, wraps=True),
        Column(title="message", value=lambda one: one.cause, wraps=True),
        Column(title="id", value=lambda one: one.id, wraps=True),
        Column(
            title="owner", value=lambda one: one.owner.username if one.owner else None, extra=True
        ),
        Column(title="created", value=lambda one: one.created_date, text=_time, extra=True),
        Column(title="started", value=lambda one: one.started_date, text=_time, extra=True),
        Column(title="finished", value=lambda one: one.finished_date, text=_time, extra=True),
        Column(title="expires", value=lambda one: one.expiry_date, text=_time, extra=True),
    ]


def _share(value: float) -> str:
    return f"{value:.0%}"


def _time(value: datetime) -> str:
    return minute(value.isoformat())


def _target(request: ServerRequest) -> str | None:
    operation = request.operation
    of = {
        "task": operation.task_id,
        "project": operation.project_id,
        "job": operation.job_id,
    }.get(operation.target or "")
    return f"{operation.target} {of}" if of is not None else operation.target


@command
def cancel(
    shared: SharedOptions,
    *,
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID", help="Ids of requests, as 'asynccvat requests' shows them, in quotes."
        ),
    ] = None,
    task_id: TaskIds = None,
    everything: Annotated[
        bool,
        _option("--all", help="All requests that wait in the queue."),
    ] = False,
    output_options: OutputOptions,
) -> int:
    """Cancel requests that wait in the server's queue; running ones cannot be cancelled.

    For example:

    asynccvat requests cancel 'action=export&target=task&target_id=147&user_id=1&...'

    asynccvat requests cancel -t 147,148
    """
    form = output_options.form()
    named = tuple(ids or ())
    tasks = parsing.ids(task_id or (), "--task-id")
    if not named and not tasks and not everything:
        raise typer.BadParameter(
            "it is missing. Name a request, or give -t 147 or --all.", param_hint="ID"
        )
    if everything and (named or tasks):
        raise typer.BadParameter(
            "it cancels every waiting request. Remove it or the ids.", param_hint="--all"
        )

    async def work(client: CvatClient) -> dict[str, str]:
        wanted = list(named)
        if tasks or everything:
            found = await client.requests(task_ids=tasks or None, action=None, status="queued")
            wanted += [request.id for request in found]
        return {rq_id: str(end) for rq_id, end in (await client.cancel_requests(wanted)).items()}

    ends = queries.ask(shared.settings(), work)
    records = [{"id": rq_id, "result": end} for rq_id, end in ends.items()]
    rows = [(end, rq_id) for rq_id, end in ends.items()]
    queries.show(form, records, ("result", "id"), rows, wraps=("id",))
    if not ends:
        output.remark("Nothing to do: no such request waits in the server's queue.")
    failed = [rq_id for rq_id, end in ends.items() if end in _WHY_NOT]
    for rq_id in failed:
        output.remark(f"{printable(rq_id)}: {_WHY_NOT[ends[rq_id]]}")
    return ExitCode.SOME_FAILED if failed else ExitCode.DONE


requests.callback()(list_requests)
requests.command(cls=Command)(cancel)
