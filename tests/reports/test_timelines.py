"""What a task did when, as the events of its run tell it."""

from __future__ import annotations

import pytest
from logs import Record, at_time, outcome, phases, timeline_of

from asynccvat.reports.server_work import most_at_once
from asynccvat.reports.timeline import Pause, Phase

REQUESTED: Record = (1.0, "export_requested", {"task_id": 5, "rq_id": "x", "created": True})
DONE: Record = (9.0, "task_done", outcome(5))


def test_the_dates_of_the_server_divide_its_time_into_waiting_and_work() -> None:
    """The news of the end comes later than the end, and the server's clock is an hour ahead."""
    timeline = timeline_of(
        [
            (0.0, "export_requested", {"task_id": 1}),
            (1.0, "export_finished", {"task_id": 1, "seconds": 0.5, "ended_at": at_time(1.0)}),
            REQUESTED,
            (6.0, "export_finished", {"task_id": 5, "seconds": 2.0, "ended_at": at_time(5.0)}),
            (7.0, "transfer_started", {"task_id": 5, "size": 10, "reused": 0}),
            (8.0, "transfer_finished", {"task_id": 5}),
            DONE,
        ]
    )
    assert phases(timeline.lines[0]) == [
        (Phase.WAITING, 1.0, 3.0),
        (Phase.WORKING, 3.0, 5.0),
        (Phase.WAITING, 5.0, 7.0),
        (Phase.TRANSFERRING, 7.0, 8.0),
        (Phase.COMMITTING, 8.0, 9.0),
    ]
    assert timeline.estimated == 0


def test_without_dates_a_stay_at_the_server_is_one_phase() -> None:
    timeline = timeline_of(
        [REQUESTED, (6.0, "export_finished", {"task_id": 5, "seconds": None}), DONE]
    )
    assert phases(timeline.lines[0]) == [
        (Phase.AT_SERVER, 1.0, 6.0),
        (Phase.WAITING, 6.0, 9.0),
    ]


def test_a_worker_that_was_seen_at_work_had_the_request_from_then_on() -> None:
    timeline = timeline_of(
        [
            REQUESTED,
            (4.0, "export_started", {"task_id": 5}),
            (6.0, "export_finished", {"task_id": 5, "seconds": None}),
            DONE,
        ]
    )
    assert phases(timeline.lines[0])[:2] == [(Phase.WAITING, 1.0, 4.0), (Phase.WORKING, 4.0, 6.0)]


def test_one_that_was_seen_at_work_takes_the_usual_time() -> None:
    timeline = timeline_of(
        [
            (0.0, "export_requested", {"task_id": 1}),
            (2.0, "export_finished", {"task_id": 1, "seconds": 1.0, "ended_at": at_time(2.0)}),
            REQUESTED,
            (3.0, "export_started", {"task_id": 5}),
            (8.0, "export_finished", {"task_id": 5, "seconds": None}),
            DONE,
        ]
    )
    assert phases(timeline.lines[0]) == [
        (Phase.WAITING, 1.0, 3.0),
        (Phase.WORKING, 3.0, 4.0),
        (Phase.WAITING, 4.0, 9.0),
    ]


def test_work_that_begins_again_leaves_one_wait() -> None:
    timeline = timeline_of(
        [
            (0.0, "task_started", {"task_id": 5, "name": "street"}),
            (2.0, "task_started", {"task_id": 5, "name": "street"}),
            (4.0, "task_done", outcome(5, failed=True)),
        ]
    )
    assert phases(timeline.lines[0]) == [(Phase.WAITING, 0.0, 4.0)]


def test_predicted_exports_follow_each_other_on_the_workers_that_were_seen() -> None:
    """One worker, two seconds an export: three that were requested at once end one by one."""
    timeline = timeline_of(
        [
            *[(0.0, "export_requested", {"task_id": id_}) for id_ in (1, 2, 3)],
            (2.0, "export_finished", {"task_id": 1, "seconds": 2.0, "ended_at": at_time(2.0)}),
            (7.0, "export_finished", {"task_id": 2, "seconds": None}),
            (7.0, "export_finished", {"task_id": 3, "seconds": None}),
            *[(8.0, "task_done", outcome(id_)) for id_ in (1, 2, 3)],
        ]
    )
    work = [
        (span.start, span.end)
        for line in timeline.lines
        for span in line.spans
        if span.phase is Phase.WORKING
    ]
    assert work == [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0)]
    assert timeline.estimated == 2


def test_news_that_one_worker_could_not_bring_mean_that_there_are_two() -> None:
    timeline = timeline_of(
        [
            *[(0.0, "export_requested", {"task_id": id_}) for id_ in (1, 2)],
            (4.0, "export_finished", {"task_id": 1, "seconds": 4.0, "ended_at": at_time(4.0)}),
            (5.0, "export_finished", {"task_id": 2, "seconds": None}),
            (6.0, "task_done", outcome(2)),
        ]
    )
    assert phases(timeline.lines[0]) == [(Phase.WORKING, 0.0, 4.0), (Phase.WAITING, 4.0, 6.0)]


def test_an_estimate_never_has_a_worker_at_work_after_the_news_of_its_end() -> None:
    ids = range(1, 42)
    exact = {"seconds": 4.0, "ended_at": at_time(4.0)}
    timeline = timeline_of(
        [
            *[(0.0, "export_requested", {"task_id": id_}) for id_ in ids],
            (4.0, "export_finished", {"task_id": 1, **exact}),
            *[(4.0 * id_ - 1, "export_finished", {"task_id": id_, "seconds": None}) for id_ in ids],
        ]
    )
    work = [
        (round(span.start, 3), round(span.end, 3))
        for line in timeline.lines
        for span in line.spans
        if span.phase is Phase.WORKING
    ]
    assert work[:3] == [(0.0, 4.0), (4.0, 7.0), (7.0, 11.0)]
    assert most_at_once(work) == 1


def test_after_a_retry_the_phase_goes_on() -> None:
    timeline = timeline_of(
        [
            (1.0, "transfer_started", {"task_id": 5, "size": 10, "reused": 0}),
            (2.0, "retrying", {"task_id": 5, "step": "download", "error": "cut", "delay": 3.0}),
            (7.0, "transfer_finished", {"task_id": 5}),
            DONE,
        ]
    )
    assert phases(timeline.lines[0]) == [
        (Phase.TRANSFERRING, 1.0, 2.0),
        (Phase.RETRYING, 2.0, 5.0),
        (Phase.TRANSFERRING, 5.0, 7.0),
        (Phase.COMMITTING, 7.0, 9.0),
    ]
    assert timeline.lines[0].retries == 1


def test_bytes_that_come_during_a_retry_end_it() -> None:
    timeline = timeline_of(
        [
            (1.0, "retrying", {"task_id": 5, "step": "download", "error": "cut", "delay": 9.0}),
            (2.0, "transfer_progress", {"task_id": 5, "transferred": 10}),
            (3.0, "transfer_finished", {"task_id": 5}),
        ]
    )
    assert phases(timeline.lines[0]) == [(Phase.RETRYING, 1.0, 2.0), (Phase.TRANSFERRING, 2.0, 3.0)]
    assert timeline.bytes.total == 10


def test_an_upload_is_sent_then_imported_then_checked() -> None:
    timeline = timeline_of(
        [
            (0.0, "task_started", {"task_id": 5, "name": "street"}),
            (1.0, "upload_started", {"task_id": 5, "size": 10}),
            (1.5, "upload_progress", {"task_id": 5, "sent": 10}),
            (2.0, "import_requested", {"task_id": 5, "rq_id": "x"}),
            (3.0, "import_started", {"task_id": 5}),
            (4.0, "import_finished", {"task_id": 5, "seconds": None}),
            (5.0, "task_done", outcome(5)),
        ]
    )
    assert phases(timeline.lines[0]) == [
        (Phase.WAITING, 0.0, 1.0),
        (Phase.TRANSFERRING, 1.0, 2.0),
        (Phase.WAITING, 2.0, 3.0),
        (Phase.WORKING, 3.0, 4.0),
        (Phase.COMMITTING, 4.0, 5.0),
    ]
    assert timeline.work == {"import"}


def test_a_task_without_outcome_is_there_with_its_name_and_phases() -> None:
    timeline = timeline_of(
        [
            (0.0, "task_started", {"task_id": 5, "name": "street"}),
            REQUESTED,
            (4.0, "warned", {"message": "disk almost full"}),
        ]
    )
    (line,) = timeline.lines
    assert (line.name, line.end, line.failed) == ("street", None, False)
    assert phases(line) == [(Phase.WAITING, 0.0, 1.0), (Phase.AT_SERVER, 1.0, 4.0)]
    assert timeline.warnings == ["disk almost full"]


@pytest.mark.parametrize("target", ["task", "project", "job"])
def test_a_line_is_about_what_the_events_are_about(target: str) -> None:
    key = f"{target}_id"
    done = {key: 7, "name": "x", "action": "fetched", "reason": "new"}
    if target == "job":
        done["task_id"] = 3  # outcomes of jobs name their task, too
    timeline = timeline_of([(0.0, "export_requested", {key: 7}), (1.0, "task_done", done)])
    (line,) = timeline.lines
    assert (line.target, line.id, line.start, line.end) == (target, 7, 0.0, 1.0)


def test_the_same_task_in_two_steps_of_a_run_file_has_two_lines() -> None:
    timeline = timeline_of(
        [
            (0.0, "export_requested", {"task_id": 5, "step_number": 1}),
            (1.0, "task_done", outcome(5) | {"step_number": 1}),
            (2.0, "upload_started", {"task_id": 5, "size": 1, "step_number": 2}),
            (3.0, "task_done", outcome(5) | {"step_number": 2}),
        ]
    )
    assert [(line.step, line.start) for line in timeline.lines] == [(1, 0.0), (2, 2.0)]


def test_an_outage_is_one_pause_from_the_last_answer_to_the_next() -> None:
    timeline = timeline_of(
        [
            (0.0, "run_started", {"transfers": 8, "target": "task"}),
            (10.0, "server_unreachable", {"seconds": 5.0, "wait": 600.0, "error": "refused"}),
            (20.0, "server_unreachable", {"seconds": 15.0, "wait": 600.0, "error": "refused"}),
            (25.0, "server_back", {"seconds": 20.0}),
            (30.0, "server_paused", {"seconds": 60.0}),
            (40.0, "warned", {"message": "x"}),
        ]
    )
    assert timeline.pauses == [
        Pause(5.0, 25.0, "The server did not answer"),
        Pause(30.0, 40.0, "The server asked for a pause"),
    ]


def test_a_date_that_cannot_be_read_is_as_good_as_none() -> None:
    finished = {"task_id": 5, "seconds": 2.0, "ended_at": "noon"}
    timeline = timeline_of([REQUESTED, (6.0, "export_finished", finished), DONE])
    assert phases(timeline.lines[0])[:2] == [(Phase.WAITING, 1.0, 4.0), (Phase.WORKING, 4.0, 6.0)]


def test_events_of_no_task_make_no_line() -> None:
    retry = {"task_id": None, "step": "login", "error": "cut", "delay": 1.0}
    assert timeline_of([(0.0, "retrying", retry)]).lines == []


def test_events_of_a_newer_version_of_asynccvat_are_passed_over() -> None:
    timeline = timeline_of([REQUESTED, (2.0, "thumbnail_made", {"task_id": 5}), DONE])
    assert phases(timeline.lines[0]) == [(Phase.AT_SERVER, 1.0, 9.0)]


def test_the_clocks_of_the_two_servers_of_a_copy_are_apart() -> None:
    timeline = timeline_of(
        [
            (0.0, "export_requested", {"task_id": 5}),
            (2.0, "export_finished", {"task_id": 5, "seconds": 1.0, "ended_at": at_time(2.0)}),
            (2.0, "upload_started", {"task_id": 5, "size": 1}),
            (3.0, "import_requested", {"task_id": 5}),
            (6.0, "import_finished", {"task_id": 5, "seconds": 2.0, "ended_at": at_time(9000.0)}),
            DONE,
        ]
    )
    work = [found[1:] for found in phases(timeline.lines[0]) if found[0] is Phase.WORKING]
    assert work == [(1.0, 2.0), (4.0, 6.0)]
