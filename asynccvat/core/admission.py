"""How many exports may be in flight at the server now.

Enough that its workers never wait for us between two polls, and no more: what is queued at the
server delays its other users and cannot be reordered.
"""

from __future__ import annotations

import math

from asynccvat.core.servermodel import ServerModel

FIRST_LIMIT = 4
MOST_IN_FLIGHT = 64


def exports_allowed(model: ServerModel, poll_interval: float, fixed: int | None = None) -> int:
    """How many exports may be in flight.

    With W workers and S seconds an export, W * (interval + call) / S exports end between two
    looks; as many must lie in the queue, and one more bridges the time that asking takes.

    Args:
        model: What is known of the server.
        poll_interval: Seconds from one look at the requests to the next.
        fixed: The user's own choice, which is obeyed.
    """
    if fixed is not None:
        return fixed
    if model.export_seconds is None:
        return FIRST_LIMIT
    between_looks = poll_interval + (model.call_seconds or 0.0)
    service = max(model.export_seconds, 0.001)
    wanted = math.ceil(model.workers * (1 + between_looks / service)) + 1
    # Each step at most doubles what is known to be used: a few lucky first exports from the
    # server's cache must not flood a queue that others share.
    ceiling = max(FIRST_LIMIT, 2 * len(model.exports) + FIRST_LIMIT)
    return max(2, min(wanted, ceiling, MOST_IN_FLIGHT))
