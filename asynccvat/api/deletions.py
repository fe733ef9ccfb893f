"""Delete tasks or projects: `delete`, with its plan and its run."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from asynccvat.api.arguments import check_client, checked_options
from asynccvat.client import CvatClient
from asynccvat.commands.delete.plan_file import read_plan
from asynccvat.commands.delete.run import DeleteRun
from asynccvat.core.options.delete import DeleteOptions
from asynccvat.core.outcomes import RunReport
from asynccvat.core.plans.delete import DeletePlan
from asynccvat.core.selections.selection import Selection
from asynccvat.transfer.run import EventCallback, Run


def read_delete_plan(path: str | PathLike[str]) -> DeletePlan:
    """Read the plan that `asynccvat delete --plan FILE` wrote. Blocks.

    Args:
        path: The file.

    Raises:
        ConfigError: It cannot be read, is no plan, or a newer version wrote it.
    """
    return read_plan(Path(path))


async def plan_delete(
    client: CvatClient,
    selection: Selection,
    *,
    expect: int | None = None,
    plan: DeletePlan | None = None,
    options: DeleteOptions | None = None,
) -> DeletePlan:
    """Plan what `delete` would delete, with reasons. Nothing is changed anywhere.

    The arguments are those of `open_delete`, the errors those of `delete`. `count` of the plan is
    the number that `delete` expects. With `expect`, `guard` says whether that would be refused.
    With `plan`, what changed since is not deleted.
    """
    if expect is not None:
        _check_number(expect)
    _check_plan(plan)
    return await _deletion(client, selection, options, expect=expect, seen=plan).plan()


def open_delete(
    client: CvatClient,
    selection: Selection,
    *,
    expect: int,
    plan: DeletePlan | None = None,
    options: DeleteOptions | None = None,
    on_event: EventCallback | None = None,
) -> Run:
    """Delete tasks or projects, and read each outcome as it comes.

    Use the run with `async with`. Each target is read again just before it is deleted, and passed
    over if it changed. A log on disk notes each call before it is made.

    Args:
        client: The server.
        selection: Which targets. It needs a condition.
        expect: The number that `plan_delete` gave: `DeletePlan.count`. If it is another, nothing
            is deleted.
        plan: What `plan_delete` returned: only what is unchanged since then is deleted. None
            compares with what this run reads at its start.
        options: Guards and limits.
        on_event: Receives each event, synchronously, in the loop's thread.

    Returns:
        The run, as from `open_mirror`.

    Raises:
        ConfigError: The selection has no condition.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    _check_number(expect)
    _check_plan(plan)
    run = _deletion(client, selection, options, expect=expect, seen=plan)
    return Run(run.work, on_event)


async def delete(
    client: CvatClient,
    selection: Selection,
    *,
    expect: int,
    plan: DeletePlan | None = None,
    options: DeleteOptions | None = None,
    on_event: EventCallback | None = None,
) -> RunReport:
    """Delete tasks or projects of a selection at the server. This cannot be undone.

    The arguments are those of `open_delete`.

    Returns:
        The report. `guard` says why nothing was deleted: the number is another, or the listing
        is incomplete. Failures are in it, and are never raised; see
        `RunReport.raise_for_failures`.

    Raises:
        ConfigError: The selection has no condition, the plan is another server's, or the
            destination holds no backups of this server.
        StoreLockedError: Another process deletes with the same log.
        StoreError: The log cannot be written, or a backup not be read.
        AsyncCvatError: The server cannot be reached, or refuses the user or the listing.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    async with open_delete(
        client, selection, expect=expect, plan=plan, options=options, on_event=on_event
    ) as run:
        return await run.wait()


def _check_number(expect: object) -> None:
    if isinstance(expect, bool) or not isinstance(expect, int):
        raise TypeError(f"expect must be a number, not {expect!r}")


def _check_plan(plan: object) -> None:
    if plan is not None and not isinstance(plan, DeletePlan):
        raise TypeError(f"plan must be a DeletePlan, not {type(plan).__name__}")


def _deletion(
    client: CvatClient,
    selection: Selection,
    options: DeleteOptions | None,
    *,
    expect: int | None = None,
    seen: DeletePlan | None = None,
) -> DeleteRun:
    check_client(client)
    return DeleteRun(
        client,
        Selection.of(selection),
        checked_options(options, DeleteOptions),
        expect=expect,
        seen=seen,
    )
