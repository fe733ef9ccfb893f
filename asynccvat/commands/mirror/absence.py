"""Ask the server about mirrored tasks that are not in the listing."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from asynccvat.aio.task_groups import task_group
from asynccvat.client import CvatClient
from asynccvat.core.options import MirrorOptions
from asynccvat.core.plans.removals import Presence, exceeds
from asynccvat.core.selections.selection import Selection
from asynccvat.errors import AsyncCvatError, NotFoundError, PermissionDeniedError

_CONFIRMATIONS_AT_ONCE = 4


async def presence_of(
    client: CvatClient,
    candidates: Sequence[int],
    selection: Selection,
    *,
    folders: int,
    options: MirrorOptions,
) -> dict[int, Presence]:
    """Ask about each candidate for removal: by lists, then by a call for each absent one.

    Args:
        client: The server.
        candidates: The mirrored tasks that are not in the listing.
        selection: What was listed.
        folders: How many folders the mirror has.
        options: If more are absent than may be removed, no calls are made.
    """
    try:
        absent = await absent_from_lists(client, candidates, selection)
    except AsyncCvatError:
        return dict.fromkeys(candidates, Presence.UNKNOWN)
    presence = dict.fromkeys(candidates, Presence.ELSEWHERE)
    presence |= dict.fromkeys(absent, Presence.ABSENT)
    if exceeds(len(absent), folders, options):
        return presence
    limiter = anyio.CapacityLimiter(_CONFIRMATIONS_AT_ONCE)

    async def confirm(task_id: int) -> None:
        async with limiter:
            presence[task_id] = await _confirmed(client, task_id)

    async with task_group() as group:
        for task_id in absent:
            group.start_soon(confirm, task_id)
    return presence


async def absent_from_lists(
    client: CvatClient, candidates: Sequence[int], selection: Selection
) -> list[int]:
    """Return the candidates that no list has, in ascending order.

    Raises:
        AsyncCvatError: The server cannot be asked.
    """
    if not candidates or selection == Selection():
        # The listing held every task that the user may see.
        return sorted(candidates)
    listing = await client.tasks(Selection(task_ids=candidates))
    return list(listing.missing)


async def _confirmed(client: CvatClient, task_id: int) -> Presence:
    """Request one task, since only a 404 permits a removal."""
    try:
        await client.task(task_id)
    except NotFoundError:
        return Presence.GONE
    except PermissionDeniedError:
        return Presence.FORBIDDEN
    except AsyncCvatError:
        return Presence.UNKNOWN
    return Presence.ELSEWHERE
