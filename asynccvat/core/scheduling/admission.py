"""How many exports may be in flight at the server now.

Enough that its workers never wait for us between two looks, and no more: what is queued at the
server delays its other users and cannot be reordered.
"""

from __future__ import annotations

import math

from asynccvat.core.scheduling.polling import lead_seconds, look_interval
from asynccvat.core.scheduling.server_model import ServerModel

FIRST_LIMIT = 4
MOST_IN_FLIGHT = 64
# Where a server tells no dates, nothing can be learned of it.
_LIMIT_WITHOUT_DATES = 16


def exports_allowed(model: ServerModel, fixed: int | None = None) -> int:
    """How many exports may be in flight.

    With W workers that an export occupies for S seconds, W * (interval + lead) / S exports end
    from one look until the next has brought new ones; as many must lie in the queue, and one
    more bridges what the prediction is wrong by.

    Args:
        model: What is known of the server.
        fixed: The user's own choice, which is obeyed.
    """
    if fixed is not None:
        return fixed
    if model.export_seconds is None:
        return min(FIRST_LIMIT + model.ended // 2, _LIMIT_WITHOUT_DATES)
    each = max(model.occupied_seconds, 0.001)
    ended = model.workers * (look_interval(model) + lead_seconds(model)) / each
    surprises = model.spread / each * math.sqrt(ended * model.workers)
    wanted = model.workers + math.ceil(ended + surprises) + 1
    # Each step at most doubles what is known to be used: a few lucky first exports from the
    # server's cache must not flood a queue that others share.
    ceiling = max(FIRST_LIMIT, 2 * model.ended + FIRST_LIMIT)
    # The first exports that end tell of one worker, and not yet of the others.
    least = FIRST_LIMIT if model.is_learning else 2
    return max(least, min(wanted, ceiling, MOST_IN_FLIGHT))
