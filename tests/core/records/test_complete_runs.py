"""The note of a complete run is read as it was written, or not at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.records.complete_runs import (
    CompleteRun,
    decode_complete_run,
    encode_complete_run,
)
from asynccvat.core.records.lasting_selections import LastingSelection
from asynccvat.core.records.remembered import Remembered

SETTINGS = st.builds(
    Remembered,
    format=st.none() | st.text(),
    history=st.none() | st.floats(0, 1e9),
    selection=st.none()
    | st.builds(
        LastingSelection,
        project_ids=st.none() | st.lists(st.integers(1, 99)).map(tuple),
        exclude=st.none() | st.lists(st.text()).map(tuple),
    ),
)
RUNS = st.builds(
    CompleteRun,
    version=st.just(1),
    since=st.text(),
    settings=SETTINGS,
    unfinished=st.lists(st.integers(1, 99)).map(tuple),
)


@given(RUNS)
def test_a_note_is_read_as_it_was_written(run: CompleteRun) -> None:
    content = encode_complete_run(run)
    assert decode_complete_run(content) == run
    assert json.loads(content)["version"] == 1


@pytest.mark.parametrize(
    "content",
    [None, b"", b"{", b"[]", b'{"version":2,"since":"2026-01-01T00:00:00Z","settings":{}}'],
)
def test_what_is_missing_damaged_or_newer_is_no_note(content: bytes | None) -> None:
    assert decode_complete_run(content) is None
