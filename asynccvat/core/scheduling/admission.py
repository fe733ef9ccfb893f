"""Decide how many requests may be in flight at the server.

Enough that its workers never wait for new requests between two polls, and no more. A longer queue
delays the server's other users, and cannot be reordered.
"""

from __future__ import annotations

import math

from asynccvat.core.scheduling.intervals import lead_seconds, poll_interval
from asynccvat.core.scheduling.server_model import ServerModel

FIRST_LIMIT = 4
MOST_IN_FLIGHT = 64
# If a server sends no dates, nothing can be learned about it.
_LIMIT_WITHOUT_DATES = 16


def exports_allowed(model: ServerModel, fixed: int | None = None) -> int:
    """Return how many requests may be in flight.

    Let each of W workers be occupied by an export for S seconds. Then W * (interval + lead) / S
    exports end from one poll until the next poll's new requests arrive. That many must be queued.
    One more makes up for errors of the prediction.

    Args:
        model: What is known of the server.
        fixed: The limit that the user fixed. It is obeyed.
    """
    if fixed is not None:
        return fixed
    if model.export_seconds is None:
        return min(FIRST_LIMIT + model.ended // 2, _LIMIT_WITHOUT_DATES)
    each = max(model.occupied_seconds, 0.001)
    ended = model.workers * (poll_interval(model) + lead_seconds(model)) / each
    surprises = model.spread / each * math.sqrt(ended * model.workers)
    wanted = model.workers + math.ceil(ended + surprises) + 1
    # The limit at most doubles with the exports that ended. A few quick first results from the
    # server's cache must not flood a queue that others share.
    ceiling = max(FIRST_LIMIT, 2 * model.ended + FIRST_LIMIT)
    # The first exports that end show one worker, and not yet the others.
    least = FIRST_LIMIT if model.is_learning else 2
    return max(least, min(wanted, ceiling, MOST_IN_FLIGHT))
