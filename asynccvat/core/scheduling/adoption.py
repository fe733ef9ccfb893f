"""Decide whether an export that another client began may be used for a task.

A receipt claims the state that the listing showed. An export that began before the listing was
read can hold an older state. The receipt's claim would then be wrong until the task changes again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from asynccvat.core.requests import ServerRequest

# The Date header has whole seconds only.
_DATE_RESOLUTION = timedelta(seconds=1)


def may_adopt(request: ServerRequest, *, listed_at: datetime | None, seen_queued: bool) -> bool:
    """Whether an export began after the listing was read.

    Args:
        request: The request as the server shows it now.
        listed_at: The `Date` of the listing's answer, on the server's clock.
        seen_queued: Whether an answer after the listing showed the request still queued.
    """
    if seen_queued:
        return True
    if listed_at is None or request.started_date is None:
        return False
    return request.started_date > listed_at + _DATE_RESOLUTION
