"""Copy tasks to another server or organization: `copy`. `commands.copy` does the work."""

from __future__ import annotations

from asynccvat.api.arguments import check_client, checked_options
from asynccvat.client import CvatClient
from asynccvat.commands.copy.run import CopyRun
from asynccvat.core.options.copy import CopyOptions
from asynccvat.core.outcomes import RunReport
from asynccvat.core.plans.copy_steps import CopyPlan
from asynccvat.core.selections.selection import Selection
from asynccvat.transfer.run import EventCallback, Run


async def plan_copy(
    source: CvatClient,
    target: CvatClient,
    selection: Selection | None = None,
    *,
    options: CopyOptions | None = None,
) -> CopyPlan:
    """Plan what `copy` would do, with reasons. Nothing is changed, here or at a server.

    The arguments are those of `open_copy`, the errors those of `copy`.
    """
    return await _copies(source, target, selection, options).plan()


def open_copy(
    source: CvatClient,
    target: CvatClient,
    selection: Selection | None = None,
    *,
    options: CopyOptions | None = None,
    on_event: EventCallback | None = None,
) -> Run:
    """Copy tasks, and read each outcome as soon as the copy is compared with its task.

    Use the run with `async with`, while both clients are open. A journal notes each step before
    the target is asked for it. So a copy that was killed can be run again, and makes nothing
    twice; and the next copy takes what changed or is missing.

    Args:
        source: The server, user and organization that have the tasks.
        target: Those that get them.
        selection: Which tasks. None takes all that the source's user may see.
        options: Projects, guards and limits.
        on_event: Receives each event, synchronously, in the loop's thread.

    Returns:
        The run, as from `open_mirror`. `new_id` of an outcome is the copy's id at the target,
        `compared` has both sides.

    Raises:
        ConfigError: Both sides are the same.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    return Run(_copies(source, target, selection, options).work, on_event)


async def copy(
    source: CvatClient,
    target: CvatClient,
    selection: Selection | None = None,
    *,
    options: CopyOptions | None = None,
    on_event: EventCallback | None = None,
) -> RunReport:
    """Copy tasks from one server or organization to another, and compare both sides.

    The arguments are those of `open_copy`.

    Returns:
        The report. Failures of tasks are in it, and are never raised; see
        `RunReport.raise_for_failures`.

    Raises:
        ConfigError: Both sides are the same, the state folder is that of another copy, or the
            target has no such project.
        StoreLockedError: Another process copies with the same state folder.
        StoreError: The state folder cannot be used.
        AsyncCvatError: A server cannot be reached, or refuses the user or the listing.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    async with open_copy(source, target, selection, options=options, on_event=on_event) as run:
        return await run.wait()


def _copies(
    source: CvatClient,
    target: CvatClient,
    selection: Selection | None,
    options: CopyOptions | None,
) -> CopyRun:
    check_client(source)
    check_client(target)
    return CopyRun(source, target, Selection.of(selection), checked_options(options, CopyOptions))
