"""The note of a run says how it ended, and has no end before that."""

from __future__ import annotations

import pytest

from asynccvat.core.outcomes import Action, FailedOutcome, TaskOutcome
from asynccvat.core.records.last_run import (
    LastRun,
    RunEnd,
    decode_last_run,
    encode_last_run,
    ended,
)
from asynccvat.errors import StoreError

BEGUN = LastRun(verb="mirror", began_at="2026-01-01T00:00:00Z")
AT = "2026-01-01T00:01:00Z"
FETCHED = TaskOutcome(task_id=1, name="", action=Action.FETCHED, reason="new")
FAILED = FailedOutcome(
    task_id=2, name="", action=Action.FAILED, reason="new", error=StoreError("no")
)


def test_a_run_that_has_ended_says_how() -> None:
    done = ended(BEGUN, [FETCHED, FETCHED], at=AT, whole=True)
    assert (done.end, done.ended_at, done.counts) == (RunEnd.COMPLETE, AT, {"fetched": 2})
    assert ended(BEGUN, [FETCHED, FAILED], at=AT, whole=True).end is RunEnd.INCOMPLETE
    assert ended(BEGUN, [FETCHED], at=AT, whole=False).end is RunEnd.INCOMPLETE
    assert ended(BEGUN, [], at=AT, whole=True, interrupted=True).end is RunEnd.INTERRUPTED
    stopped = ended(BEGUN, [], at=AT, whole=True, interrupted=True, error=StoreError("full"))
    assert (stopped.end, stopped.error) == (RunEnd.STOPPED, "full")


def test_a_note_is_read_as_it_was_written() -> None:
    for run in (BEGUN, ended(BEGUN, [FETCHED], at=AT, whole=True)):
        assert decode_last_run(encode_last_run(run)) == run


@pytest.mark.parametrize(
    "content",
    [None, b"", b"{", b'{"verb":"mirror"}', b'{"version":2,"verb":"mirror","began_at":"x"}'],
)
def test_a_note_that_cannot_be_read_counts_as_missing(content: bytes | None) -> None:
    assert decode_last_run(content) is None
