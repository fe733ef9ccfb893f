"""How long to wait: between two polls, for a list, and for a probe.

All values are seconds. `polling` decides by them which poll is next, `admission` how many requests
may be in flight.
"""

from __future__ import annotations

from asynccvat.core.scheduling.server_model import ServerModel

SHORTEST_INTERVAL = 0.25
LONGEST_INTERVAL = 5.0
# After a poll that found no request ended.
SHORTEST_PAUSE = 0.1
# Assumed length of an export before any was seen.
FIRST_POLL = 0.3
# The two clocks are compared by calls, which take some time on their way.
CLOCK_SLACK = 0.03
# A list that takes much longer is given up: single calls cost less then.
_LONGEST_LIST = 1.5
_LONGEST_PROBE = 1.0
_EXPORTS_PER_POLL = 8
# When a request has ended, earlier ones may still run on the other workers. With this many per
# worker, these are few.
_EXPORTS_PER_POLL_AND_WORKER = 4
_SOONER_IF_IDLE = 4


def poll_interval(model: ServerModel) -> float:
    """Seconds between two polls in the middle of a run.

    Long enough that a poll finds several requests ended, and that polling stays a small share of
    all calls. Short enough that no result waits for long.
    """
    if model.is_learning:
        return SHORTEST_INTERVAL
    batch = exports_per_poll(model) * model.occupied_seconds / model.workers
    if model.is_idle:
        # The server could run more than was requested: find out soon how much more.
        batch /= _SOONER_IF_IDLE
    return clamp(batch, SHORTEST_INTERVAL, LONGEST_INTERVAL)


def lead_seconds(model: ServerModel) -> float:
    """Seconds from the time for a poll until new requests are in the server's queue.

    These are the times of the poll and of the calls for new requests. The calls take longer, since
    the archives that the poll found are read at the same time.
    """
    return (3 + exports_per_poll(model) / 4) * (model.call_seconds or 0.0) + CLOCK_SLACK


def probe_patience(model: ServerModel) -> float:
    """Seconds to wait for a probe. Its answer normally comes at once."""
    return _LONGEST_PROBE + 10 * (model.call_seconds or 0.0)


def list_patience(model: ServerModel) -> float:
    """Seconds after which a list is given up. Its cost grows with the server's memory."""
    return _LONGEST_LIST + 10 * (model.call_seconds or 0.0)


def exports_per_poll(model: ServerModel) -> int:
    """How many requests should have ended between two polls."""
    return max(_EXPORTS_PER_POLL, _EXPORTS_PER_POLL_AND_WORKER * model.workers)


def clamp(value: float, least: float, most: float) -> float:
    """Return the value, moved into the bounds."""
    return max(least, min(value, most))
