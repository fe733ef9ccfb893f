"""Dates as CVAT writes them, and a clock that never repeats one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def stamp(when: datetime | None) -> str | None:
    """Format a date as Django REST framework does: `2026-11-23T11:42:53.052710Z`."""
    return None if when is None else when.isoformat().replace("+00:00", "Z")


class RisingClock:
    """A clock whose dates always rise, so that dates order events."""

    def __init__(self) -> None:
        """Start at the current time."""
        self._latest = utc_now()

    def now(self) -> datetime:
        """Return the current time, at least a microsecond after the last date returned."""
        self._latest = max(utc_now(), self._latest + timedelta(microseconds=1))
        return self._latest
