"""Mirror tasks: `mirror`, with its plan and its run. `commands.mirror` does the work."""

from __future__ import annotations

from asynccvat.api.arguments import PathText, check_client, checked_options, checked_path
from asynccvat.client import CvatClient
from asynccvat.commands.mirror.preparation import prepare, settle_with
from asynccvat.commands.mirror.run import MirrorRun
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.outcomes import RunReport
from asynccvat.core.plans.mirror import Plan
from asynccvat.core.records.settling import Wanted
from asynccvat.core.selections.selection import Selection
from asynccvat.core.specs import ExportSpec
from asynccvat.store import MirrorStore
from asynccvat.transfer.run import EventCallback, Run


async def plan_mirror(
    client: CvatClient,
    dest: PathText,
    selection: Selection | None = None,
    spec: ExportSpec | str | None = None,
    *,
    images: bool | None = None,
    options: MirrorOptions | None = None,
) -> Plan:
    """Plan what `mirror` would do, with reasons. Nothing is changed, here or at the server.

    The arguments are those of `open_mirror`.

    Raises:
        ConfigError: The destination belongs to another server, the server does not export in
            that format, or an option cannot be used.
        StoreError: The destination cannot be read.
        AsyncCvatError: The server cannot be reached, or refuses the listing.
    """
    wanted = Wanted.of(selection, spec, images, checked_options(options, MirrorOptions))
    check_client(client)
    async with MirrorStore.open(
        checked_path(dest), origin=client.origin, organization=client.organization, read_only=True
    ) as store:
        settled = await settle_with(client, store, wanted)
        return await prepare(client, store, settled)


def open_mirror(
    client: CvatClient,
    dest: PathText,
    selection: Selection | None = None,
    spec: ExportSpec | str | None = None,
    *,
    images: bool | None = None,
    options: MirrorOptions | None = None,
    on_event: EventCallback | None = None,
) -> Run:
    """Mirror tasks, and read each outcome as soon as its task is done.

    Use the run with `async with`.

    Args:
        client: The server.
        dest: The destination. It is made if it does not exist.
        selection: Which tasks. Conditions that it leaves out are those that the destination
            remembers of its first run; without any, all that the user may see.
        spec: The format's name, or an `ExportSpec` for format and images. By default what the
            destination remembers, or else `CVAT`.
        images: Whether to fetch images, too, if `spec` is no `ExportSpec`. By default what the
            destination remembers, or else no.
        options: Limits, guards and what to do with files on disk.
        on_event: Receives each event, synchronously, in the loop's thread.

    Returns:
        The run, an async context manager and an async iterator of `TaskOutcome`. Failures of
        tasks are outcomes. What keeps the run from beginning is raised by iterating, by `wait`
        or by leaving the block.

    Raises:
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    check_client(client)
    wanted = Wanted.of(selection, spec, images, checked_options(options, MirrorOptions))
    work = MirrorRun(client, checked_path(dest), wanted)
    return Run(work.work, on_event)


async def mirror(
    client: CvatClient,
    dest: PathText,
    selection: Selection | None = None,
    spec: ExportSpec | str | None = None,
    *,
    images: bool | None = None,
    options: MirrorOptions | None = None,
    on_event: EventCallback | None = None,
) -> RunReport:
    """Mirror tasks into a destination. Afterwards it holds what the server has.

    The arguments are those of `open_mirror`.

    Returns:
        The report. Failures of tasks are in it, and are never raised; see
        `RunReport.raise_for_failures`.

    Raises:
        ChangeRefusedError: The destination remembers another value, and `change` is not set.
        ConfigError: An option cannot be used, or the destination belongs to another server.
        StoreLockedError: Another mirror is at work on the destination.
        StoreError: The destination cannot be used.
        AsyncCvatError: The server cannot be reached, or refuses the user or the listing.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    async with open_mirror(
        client, dest, selection, spec, images=images, options=options, on_event=on_event
    ) as run:
        return await run.wait()
