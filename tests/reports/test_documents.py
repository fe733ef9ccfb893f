"""The data of a page: figures, failures by cause, names that are safe to show."""

from __future__ import annotations

from typing import Any

import pytest
from logs import Record, a_mirror, outcome, timeline_of

from asynccvat.reports.document import FAILED_LINES, MOST_LINES, SLOWEST_LINES, document

STARTED = "2026-11-30T12:00:00Z"


def data_of(records: list[Record]) -> dict[str, Any]:
    return document(timeline_of(records), STARTED)


def ended(**fields: Any) -> Record:
    return (9.0, "run_finished", {"ok": False, "seconds": 9.0, **fields})


def test_the_head_counts_what_became_of_the_tasks() -> None:
    head = data_of(a_mirror(5, failed=[2]))["head"]
    assert head["counts"] == {"fetched": 4, "failed": 1}
    assert (head["tasks"], head["transferred"], head["requests"]) == (5, 5000, 15)
    assert (head["state"], head["noun"], head["startedAt"]) == ("failed", "task", STARTED)


def test_datasets_are_counted_as_datasets_though_they_go_into_a_project() -> None:
    begun: Record = (0.0, "command_started", {"command": "import-dataset"})
    done: Record = (1.0, "task_done", {"project_id": 1, "action": "imported", "reason": "new"})
    assert data_of([begun, done])["head"]["noun"] == "dataset"


@pytest.mark.parametrize(
    ("records", "state", "words"),
    [
        (a_mirror(2), "done", ""),
        (a_mirror(2)[:-1], "unfinished", "The log ends"),
        ([ended(interrupted=True)], "interrupted", "Run the same command again"),
        ([ended(interrupted=True, stopped_by={"message": "disk full"})], "stopped", "disk full"),
        ([ended(guard="12 folders would go")], "refused", "12 folders would go"),
        ([ended()], "incomplete", "warnings"),
    ],
)
def test_the_head_says_how_the_run_ended(records: list[Record], state: str, words: str) -> None:
    head = data_of(records)["head"]
    assert head["state"] == state
    assert words in head["explanation"]


def begun(**fields: Any) -> Record:
    """The event of a typed command."""
    return (0.0, "command_started", {"command": "mirror", **fields})


RETRY = {"task": "asynccvat mirror data/ -t"}


def test_a_failure_has_the_command_that_retries_it() -> None:
    data = data_of(
        [begun(again="asynccvat mirror data/", retry=RETRY), *a_mirror(9, failed=[2, 7])]
    )
    assert [group["retry"] for group in data["failures"]] == ["asynccvat mirror data/ -t 2,7"]
    assert data["retryAll"] == ""


def failed_task(id_: int, kind: str, **fields: Any) -> Record:
    """The event of a task that failed in one way."""
    error = {"type": kind, "message": f"it failed by {kind}"}
    return (1.0, "task_done", {"task_id": id_, "action": "failed", "error": error, **fields})


def test_one_command_retries_the_failures_of_several_causes() -> None:
    some = [
        failed_task(4, "ExportError"),
        failed_task(5, "StoreError"),
        failed_task(4, "StoreError"),
    ]
    data = data_of([begun(again="asynccvat mirror data/", retry=RETRY), *some])
    assert data["retryAll"] == "asynccvat mirror data/ -t 4,5"


@pytest.mark.parametrize(
    "known",
    [
        {"retry": {"project": "asynccvat backup d --project-id"}},
        {"retry": {}},
        {"retry": "damaged"},
        {},
    ],
)
def test_failures_that_ids_do_not_choose_are_retried_by_the_whole_command(
    known: dict[str, Any],
) -> None:
    data = data_of(
        [begun(again="asynccvat upload -i data/", **known), failed_task(4, "StoreError")]
    )
    assert [group["retry"] for group in data["failures"]] == [""]
    assert data["retryAll"] == "asynccvat upload -i data/"


def test_failures_without_an_id_have_no_command_of_their_own() -> None:
    data = data_of([begun(again="", retry=RETRY), failed_task(0, "StoreError")])
    assert [group["retry"] for group in data["failures"]] == [""]
    assert data["retryAll"] == ""


def test_a_command_that_cannot_be_shown_as_it_is_is_not_shown() -> None:
    retry = {"task": "asynccvat mirror 'two\nlines' -t"}
    data = data_of(
        [begun(again="asynccvat mirror " + 3000 * "x", retry=retry), *a_mirror(3, failed=[1])]
    )
    assert [group["retry"] for group in data["failures"]] == [""]


def problem(id_: int | None, kind: str, file: str) -> Record:
    """The event of a problem that a verification found."""
    fields = {"kind": kind, "path": f"task{id_}/{file}", "task_id": id_, "reason": "not found"}
    return (1.0, "problem_found", fields)


def verified(**fields: Any) -> Record:
    """The event of the end of a verification."""
    return (9.0, "verify_finished", {"ok": False, "tasks": 5, "bytes": 700, **fields})


def test_problems_of_a_verification_are_failures_and_the_other_tasks_are_intact() -> None:
    found = [problem(2, "missing", "a.jpg"), problem(3, "missing", "b.jpg")]
    data = data_of([*found, problem(3, "corrupted", "c.jpg"), verified(seconds=9.0)])
    head = data["head"]
    assert head["counts"] == {"failed": 2, "intact": 3}
    assert (head["tasks"], head["transferred"], head["seconds"]) == (5, 700, 9.0)
    assert data["table"]["name"] == ["task2/a.jpg", "task3/b.jpg"]
    (group,) = data["failures"]
    assert (group["count"], group["ids"]) == (2, [2, 3])
    assert group["message"].endswith("not found")


def test_notes_and_warnings_of_a_verification_are_warnings_once() -> None:
    warned: Record = (1.0, "warned", {"message": "guessed"})
    end = verified(ok=True, warnings=["guessed", "other"])
    data = data_of([problem(2, "foreign", "notes.txt"), warned, end])
    assert data["warnings"] == ["foreign: task2/notes.txt: not found", "guessed", "other"]
    assert (data["head"]["state"], data["head"]["counts"]) == ("done", {"intact": 5})


def test_a_task_that_was_repaired_has_no_problem_any_more() -> None:
    repaired: Record = (2.0, "task_done", outcome(2))
    data = data_of([problem(2, "missing", "a.jpg"), repaired, verified(ok=True)])
    assert data["head"]["counts"] == {"intact": 4, "fetched": 1}
    assert data["failures"] == []


def test_a_problem_of_no_task_is_a_failure_too() -> None:
    data = data_of([problem(None, "unreadable", ""), verified(tasks=0)])
    assert [group["count"] for group in data["failures"]] == [1]


def test_the_head_of_a_run_that_was_cut_short_counts_what_was_planned() -> None:
    plan = {"fetch": 40, "keep": 3, "skip": 0, "move": 1, "remove": 0, "refuse": 0, "upload": 0}
    kept = {"task_id": 99, "action": "kept", "reason": "unchanged"}
    records: list[Record] = [(0.0, "planned", plan), (0.0, "task_done", kept), *a_mirror(5)[:-4]]
    head = data_of(records)["head"]
    assert (head["planned"], head["done"], head["counts"]["unfinished"]) == (41, 4, 1)


def test_failures_that_differ_in_ids_alone_are_one_group() -> None:
    other = {"action": "failed", "error": {"type": "StoreError", "message": "disk full"}}
    records = a_mirror(20, failed=range(3, 17))
    records.insert(-1, (19.0, "task_done", outcome(21) | other))
    first, second = data_of(records)["failures"]
    assert (first["error"], first["count"]) == ("ExportFailedError", 14)
    assert first["message"] == "the server could not export the task"
    assert first["ids"] == list(range(3, 17))
    assert (second["error"], second["count"]) == ("StoreError", 1)


def test_every_task_has_a_row_with_what_is_known_of_it() -> None:
    table = data_of(a_mirror(3, failed=[2]))["table"]
    assert table["id"] == [1, 2, 3]
    assert table["name"] == ["street-00001", "street-00002", "street-00003"]
    assert [table["words"][number] for number in table["action"]] == [
        "fetched",
        "failed",
        "fetched",
    ]
    assert table["start"] == [0, 1000, 2000]
    assert table["took"] == [800, 800, 800]
    assert table["notes"] == {"1": "ExportFailedError: the server could not export task 2"}


def test_spans_are_flat_lists_of_phase_start_and_length() -> None:
    lines = data_of(a_mirror(1))["lines"]
    assert lines["rows"] == [0]
    assert lines["spans"] == [[1, 0, 250, 2, 250, 250, 3, 500, 200, 4, 700, 100]]


def test_of_too_many_tasks_the_slowest_and_the_failed_ones_have_a_line() -> None:
    tasks = MOST_LINES + 1
    records = a_mirror(tasks, failed=range(1, 21), gap=0.01)
    slow = [
        (at + 100 if name == "task_done" and fields["task_id"] == 500 else at, name, fields)
        for at, name, fields in records
    ]
    data = data_of(slow)
    rows = data["lines"]["rows"]
    table = data["table"]
    assert not data["lines"]["all"]
    assert SLOWEST_LINES <= len(rows) <= SLOWEST_LINES + FAILED_LINES
    shown = {table["id"][row] for row in rows}
    assert {500, *range(1, 21)} <= shown
    assert len(table["id"]) == tasks


def test_unchanged_tasks_are_in_the_table_and_not_in_the_time_line() -> None:
    kept = {"task_id": 7, "name": "x", "action": "kept", "reason": "unchanged"}
    data = data_of([(0.0, "task_done", kept), (1.0, "run_finished", {"ok": True, "seconds": 1.0})])
    assert data["table"]["id"] == [7]
    assert data["lines"] == {"all": True, "rows": [], "spans": []}
    # The page says it as the summary does: kept is what was put aside.
    assert data["head"]["counts"] == {"unchanged": 1}
    assert data["table"]["words"][data["table"]["action"][0]] == "unchanged"


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\u200f", "\x1b", "\x00", "\ud800", "\n"])
def test_marks_that_change_how_other_text_is_shown_are_replaced(mark: str) -> None:
    done = outcome(1, name=f"a{mark}b")
    (name,) = data_of([(0.0, "task_done", done)])["table"]["name"]
    assert name == ("a b" if mark == "\n" else "a\N{REPLACEMENT CHARACTER}b")


def test_a_very_long_name_is_cut() -> None:
    (name,) = data_of([(0.0, "task_done", outcome(1, name="x" * 5000))])["table"]["name"]
    assert len(name) == 300


def test_the_time_of_the_run_goes_to_what_it_waited_for() -> None:
    plan = {"fetch": 2, "keep": 0, "skip": 0, "move": 0, "remove": 0, "refuse": 0, "upload": 0}
    first, second = {"task_id": 1}, {"task_id": 2}
    records: list[Record] = [
        (0.0, "run_started", {"transfers": 8, "target": "task"}),
        (1.0, "planned", plan),
        (1.0, "export_requested", {**first, "rq_id": "x", "created": True}),
        (4.0, "server_unreachable", {"seconds": 0.0, "wait": 600.0, "error": "refused"}),
        (6.0, "server_back", {"seconds": 2.0}),
        (7.0, "export_finished", {**first, "seconds": 1.0, "ended_at": None}),
        (7.0, "transfer_started", {**first, "size": 100, "reused": 0}),
        (7.0, "export_requested", {**second, "rq_id": 7, "created": "a damaged event"}),
        (7.5, "transfer_finished", first),
        (8.0, "task_done", {**first, "action": "fetched", "reason": "new"}),
        ended(),
    ]
    data = data_of(records)
    assert data["waits"] == [
        ["server", "the server's exports", 4.0],
        ["outage", "no answer from the server", 2.0],
        ["lists", "reading lists", 1.0],
        ["other", "other calls of the server", 1.0],
        ["network", "the network", 0.5],
        ["disk", "the disk", 0.5],
    ]


def test_a_page_about_several_steps_names_their_file_and_not_one_of_their_folders() -> None:
    command = (0.0, "command_started", {"command": "run", "place": "steps.yaml"})
    settled = {"description": "data/ mirrors all tasks"}
    alone = [(0.0, "command_started", {"command": "mirror", "place": "data"})]
    assert data_of([*alone, (0.1, "destination_settled", settled)])["head"]["place"] == (
        "data/ mirrors all tasks"
    )
    of_step = (0.1, "destination_settled", settled | {"step_number": 2})
    assert data_of([command, of_step])["head"]["place"] == "steps.yaml"


def test_the_steps_of_a_run_file_add_up_what_they_waited_for() -> None:
    step = [(0.0, "run_started", {"transfers": 8, "target": "project"}), *a_mirror(3)]
    later = [(at + 10.0, name, fields) for at, name, fields in step]
    assert data_of(step)["waits"] == [["lists", "reading lists", 3.0]]
    # Between the steps, nothing was waited for.
    assert data_of([*step, *later])["waits"] == [["lists", "reading lists", 6.0]]
