"""An import of ours whose end was not noted is recognized, and no other import is taken for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from asynccvat.core.records.upload_intents import (
    UploadIntent,
    decode_intent,
    encode_intent,
    is_own_change,
    next_intent,
)
from asynccvat.core.requests import ServerRequest

AT = datetime(2026, 1, 1, 2, 0, 0, tzinfo=UTC)
INTENT = UploadIntent(mirrored_date="u1", requested=(AT - timedelta(hours=1), AT))


def seconds(count: float) -> datetime:
    return AT + timedelta(seconds=count)


def request(**dates: datetime | None) -> ServerRequest:
    known: dict[str, Any] = {
        "created": seconds(0.5),
        "started": seconds(1),
        "finished": seconds(3),
        **dates,
    }
    return ServerRequest(id="r", **{f"{name}_date": date for name, date in known.items()})


@pytest.mark.parametrize(
    ("found", "updated", "ours"),
    [
        (request(), seconds(2), True),
        (request(started=None), seconds(0.7), True),
        (request(), seconds(0.7), False),
        (request(), seconds(3.5), False),
        (request(finished=None), seconds(2), False),
        (request(created=None), seconds(2), False),
        (request(created=seconds(-5)), seconds(2), False),
        (
            request(created=seconds(90), started=seconds(90), finished=seconds(99)),
            seconds(95),
            False,
        ),
    ],
    ids=[
        *("within", "no start", "before it", "after it", "no end", "no creation"),
        *("earlier import", "later import"),
    ],
)
def test_only_an_import_right_after_the_intent_that_ended_with_this_state_is_ours(
    found: ServerRequest, updated: datetime, ours: bool
) -> None:
    assert is_own_change(INTENT, updated.isoformat(), [found]) is ours
    assert is_own_change(INTENT, updated.isoformat(), []) is False
    assert is_own_change(INTENT, "yesterday", [found]) is False


def test_an_intent_remembers_the_requests_since_the_task_was_mirrored() -> None:
    intent = next_intent(None, "u1", AT)
    for count in range(1, 30):
        intent = next_intent(intent, "u1", seconds(count))
    assert intent.requested == tuple(map(seconds, range(10, 30)))
    assert next_intent(intent, "u2", AT).requested == (AT,)
    assert decode_intent(encode_intent(intent)) == intent
    for unknown in (None, b"", b"{}", b'{"version":2,"mirrored_date":"u1"}'):
        assert decode_intent(unknown) is None
