"""Reading logs of events, run by run."""

from __future__ import annotations

from datetime import timedelta

import pytest
from logs import BEGAN, a_mirror, log_of

from asynccvat.errors import ConfigError
from asynccvat.reports.log import read_log

COMMAND = (
    0.0,
    "command_started",
    {"command": "mirror", "version": "1", "server": "s", "place": "p", "settings": {}},
)
TWO_RUNS = [
    *log_of(a_mirror(2)),
    *log_of([COMMAND, *a_mirror(3)], began=BEGAN + timedelta(days=1)),
]


@pytest.mark.parametrize(("number", "tasks"), [(-1, 3), (2, 3), (1, 2), (-2, 2)])
def test_a_run_is_chosen_by_its_number(number: int, tasks: int) -> None:
    assert len(read_log(TWO_RUNS, number).timeline.lines) == tasks


def test_a_run_counts_its_time_from_its_own_first_event() -> None:
    run = read_log(TWO_RUNS)
    assert run.started_at == "2026-12-01T12:00:00.000+00:00"
    assert run.timeline.seconds == 3.0


@pytest.mark.parametrize(
    ("number", "words"),
    [(3, "fewer than 3 runs"), (-3, "no run -3"), (0, "no run 0")],
)
def test_a_run_that_is_not_there_is_refused(number: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_log(TWO_RUNS, number)


def test_a_run_that_was_killed_is_a_run_of_its_own() -> None:
    killed = log_of([COMMAND, *a_mirror(5)[:3]])
    again = log_of([COMMAND, *a_mirror(2)], began=BEGAN + timedelta(hours=1))
    assert len(read_log([*killed, *again], 1).timeline.lines) == 1
    assert len(read_log([*killed, *again]).timeline.lines) == 2


def test_the_steps_of_a_run_file_are_one_run() -> None:
    steps = [
        (at, name, {**fields, "step_number": step})
        for step in (1, 2)
        for at, name, fields in a_mirror(2)
    ]
    run = read_log(log_of(steps))
    assert [line.step for line in run.timeline.lines] == [1, 1, 2, 2]
    assert len(run.timeline.ended) == 2


@pytest.mark.parametrize("place", [1, -1])
def test_an_event_that_was_cut_is_passed_over(place: int) -> None:
    lines = log_of(a_mirror(2))
    lines[place] = lines[place][:20]
    assert len(read_log(lines).timeline.lines) == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"[1]", "line 1 is no event"),
        (b"a: 1", "line 1 is no event. Give a file that --log-json wrote"),
        (b'{"tasks": []}', "line 1 is no event"),
        (b'{"at": "2026-11-30T12:00:00Z", "v": 2, "event": "x"}', "version 2"),
        (b'{"at": "noon", "v": 1, "event": "x"}', "'noon' is no time"),
    ],
)
def test_what_is_no_log_of_events_is_refused(line: bytes, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_log([line])


def test_an_empty_log_is_refused() -> None:
    with pytest.raises(ConfigError, match="no event"):
        read_log([b"\n"])
