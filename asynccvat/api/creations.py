"""Create tasks from images, videos and zips: `create`. `commands.create` does the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from asynccvat.api.arguments import PathText, check_client, checked_options, checked_path
from asynccvat.client import CvatClient
from asynccvat.commands.create.run import CreateRun
from asynccvat.core.options.create import CreateOptions
from asynccvat.core.outcomes import RunReport
from asynccvat.core.plans.create import CreatePlan
from asynccvat.transfer.run import EventCallback, Run

Labels = PathText | Sequence[str | Mapping[str, Any]]
"""A file with labels, their names, or labels as CVAT's "Raw" tab shows them."""

Order = PathText | Sequence[str]
"""A file with a path on each line, or paths."""


async def plan_create(
    client: CvatClient,
    source: PathText,
    *,
    project: int | str | None = None,
    labels: Labels | None = None,
    labels_from: int | str | None = None,
    order: Order | None = None,
    options: CreateOptions | None = None,
) -> CreatePlan:
    """Plan what `create` would do, with reasons. Nothing is changed, here or at the server.

    All media are checked as far as that is possible without a decoder. The arguments are those of
    `open_create`, the errors those of `create`.
    """
    return await _creates(client, source, project, labels, labels_from, order, options).plan()


def open_create(
    client: CvatClient,
    source: PathText,
    *,
    project: int | str | None = None,
    labels: Labels | None = None,
    labels_from: int | str | None = None,
    order: Order | None = None,
    options: CreateOptions | None = None,
    on_event: EventCallback | None = None,
) -> Run:
    """Create tasks, and read each outcome as soon as the task's frames are counted.

    Use the run with `async with`. A journal next to the media notes each step before the server
    is asked for it. So a run that was killed can be run again, and makes no task twice.

    Args:
        client: The server.
        source: A folder with images, or with their folders, videos or zips; or one video or zip.
        project: The project, by its id or name. With labels, a project of that name is made if
            there is none. None creates tasks outside projects.
        labels: The labels of a new project, or of tasks outside projects: a file, or a list.
        labels_from: The project whose labels are taken instead, by its id or name.
        order: The order of the images, each of which has to be named: their paths below the
            source, or a file with a path on each line. None for that of `options.sorting`.
        options: What becomes one task, and what CVAT makes of the media.
        on_event: Receives each event, synchronously, in the loop's thread.

    Returns:
        The run, as from `open_mirror`. `new_id` of an outcome is the task. Media that cannot be
        used fail before any of them is sent, each folder alone.

    Raises:
        ConfigError: The arguments contradict each other.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    return Run(
        _creates(client, source, project, labels, labels_from, order, options).work, on_event
    )


async def create(
    client: CvatClient,
    source: PathText,
    *,
    project: int | str | None = None,
    labels: Labels | None = None,
    labels_from: int | str | None = None,
    order: Order | None = None,
    options: CreateOptions | None = None,
    on_event: EventCallback | None = None,
) -> RunReport:
    """Create tasks from images, videos and zips, many at a time, each at most once.

    The arguments are those of `open_create`.

    Returns:
        The report. Failures of tasks are in it, and are never raised; see
        `RunReport.raise_for_failures`.

    Raises:
        ConfigError: The source holds no media, there is no such project, or labels lack.
        StoreLockedError: Another process creates tasks of the source.
        StoreError: The journal cannot be used.
        AsyncCvatError: The server cannot be reached, or refuses the user.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    async with open_create(
        client,
        source,
        project=project,
        labels=labels,
        labels_from=labels_from,
        order=order,
        options=options,
        on_event=on_event,
    ) as run:
        return await run.wait()


def _creates(  # noqa: PLR0917 - as the verbs have them, for one place that checks them
    client: CvatClient,
    source: PathText,
    project: int | str | None,
    labels: Labels | None,
    labels_from: int | str | None,
    order: Order | None,
    options: CreateOptions | None,
) -> CreateRun:
    check_client(client)
    for name, value in (("project", project), ("labels_from", labels_from)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | str)):
            raise TypeError(f"{name} must be an id or a name, not {value!r}")
    return CreateRun(
        client,
        checked_path(source),
        project=project,
        labels=checked_path(labels) if isinstance(labels, str | PathLike) else labels,
        labels_from=labels_from,
        order=checked_path(order) if isinstance(order, str | PathLike) else order,
        options=checked_options(options, CreateOptions),
    )
