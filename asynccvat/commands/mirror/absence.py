"""Ask the server about mirrored tasks that are not in the listing."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import anyio

from asynccvat.aio.task_groups import task_group
from asynccvat.client import CvatClient
from asynccvat.client.presence import presence as presence_of_one
from asynccvat.commands.mirror.listing import listed_ids
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.plans.removals import Presence, exceeds
from asynccvat.core.selections.selection import Selection
from asynccvat.core.targets import TargetKind
from asynccvat.errors import AsyncCvatError

_CONFIRMATIONS_AT_ONCE = 4


async def presence_of(
    client: CvatClient,
    candidates: Sequence[int],
    selection: Selection,
    *,
    folders: int,
    options: MirrorOptions,
    target: TargetKind = TargetKind.TASK,
    tasks_of_jobs: Collection[int] = (),
) -> dict[int, Presence]:
    """Ask about each candidate for removal: by lists, then by a call for each absent one.

    Args:
        client: The server.
        candidates: The mirrored tasks that are not in the listing.
        selection: What was listed.
        folders: How many folders the mirror has.
        options: If more are absent than may be removed, no calls are made.
        target: What the candidates are.
        tasks_of_jobs: The tasks of candidates that are jobs.
    """
    try:
        absent = await absent_from_lists(client, candidates, selection, target, tasks_of_jobs)
    except AsyncCvatError:
        return dict.fromkeys(candidates, Presence.UNKNOWN)
    presence = dict.fromkeys(candidates, Presence.ELSEWHERE)
    presence |= dict.fromkeys(absent, Presence.ABSENT)
    if exceeds(len(absent), folders, options):
        return presence
    limiter = anyio.CapacityLimiter(_CONFIRMATIONS_AT_ONCE)

    async def confirm(task_id: int) -> None:
        async with limiter:
            presence[task_id] = await _confirmed(client, target, task_id)

    async with task_group() as group:
        for task_id in absent:
            group.start_soon(confirm, task_id)
    return presence


async def absent_from_lists(
    client: CvatClient,
    candidates: Sequence[int],
    selection: Selection,
    target: TargetKind = TargetKind.TASK,
    tasks_of_jobs: Collection[int] = (),
) -> list[int]:
    """Return the candidates that no list has, in ascending order.

    Raises:
        AsyncCvatError: The server cannot be asked.
    """
    if not candidates or (selection == Selection() and target is TargetKind.TASK):
        # The listing held every task that the user may see.
        return sorted(candidates)
    return sorted(set(candidates) - await listed_ids(client, target, candidates, tasks_of_jobs))


async def _confirmed(client: CvatClient, target: TargetKind, target_id: int) -> Presence:
    """Request one target, since only a 404 permits a removal."""
    try:
        return await presence_of_one(client, target, target_id)
    except AsyncCvatError:
        return Presence.UNKNOWN
