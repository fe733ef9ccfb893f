"""Dates as CVAT writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


def stamp(when: datetime | None) -> str | None:
    """`2026-11-23T11:42:53.052710Z`: Django REST framework's form of a date in UTC."""
    return None if when is None else when.isoformat().replace("+00:00", "Z")
