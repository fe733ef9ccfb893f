"""Decide when the next round of a watch is, and whether it lists all tasks."""

from __future__ import annotations

from asynccvat.core.options.watch import WatchOptions

JITTER = 0.1
"""The share by which a wait is longer or shorter, so that many watches spread over time."""

LONGEST_BACKOFF = 900.0
"""Seconds between two rounds in an outage, unless `every` is longer."""

BETWEEN_WAKES = 1.0
"""Seconds from the end of a round until a webhook may begin the next one."""


def wait_after(options: WatchOptions, failures: int, chance: float) -> float:
    """Return the seconds until the next round.

    Args:
        options: How often.
        failures: How many rounds in a row had an error.
        chance: A random number from 0 to 1.
    """
    doubled = options.every * (1 << min(failures, 30))
    base = min(doubled, max(options.every, LONGEST_BACKOFF))
    return base * (1 + JITTER * (2 * chance - 1))


def rounds_until_retry(failures: int) -> int:
    """Return after how many rounds a task is tried again that failed so often in a row."""
    return 1 << min(failures - 1, 5)


def is_time_for_all(options: WatchOptions, now: float, last_full: float) -> bool:
    """Whether a round lists all tasks because of the time since the last one that did.

    Args:
        options: How often.
        now: Seconds of any clock that never goes back.
        last_full: When the last full list was read, by the same clock.
    """
    return now - last_full >= options.full_every
