"""Failures of one cause are one group, whatever tasks they are about."""

from __future__ import annotations

from asynccvat import errors
from asynccvat.core.outcomes import Action, FailedOutcome, TaskOutcome
from asynccvat.core.targets import TargetKind
from asynccvat.progress import group_failures


def failed(
    task_id: int, error: errors.AsyncCvatError, target: TargetKind = TargetKind.TASK, name: str = ""
) -> TaskOutcome:
    return FailedOutcome(
        task_id=task_id,
        target=target,
        name=name,
        action=Action.FAILED,
        reason="new",
        location=f"data/task{task_id}",
        error=error,
    )


def test_failures_are_grouped_by_cause_the_most_frequent_first() -> None:
    outcomes = [
        failed(1, errors.ArchiveError("task 1: 'a.xml' is cut short after 17 bytes")),
        *(failed(n, errors.ExportFailedError(f"cannot export task {n}: no data")) for n in (4, 9)),
        TaskOutcome(task_id=5, action=Action.FETCHED, reason="new"),
        failed(17, errors.ExportFailedError("cannot export task 17: no data")),
        failed(2, errors.ArchiveError("task 2: 'a.xml' is cut short after 1,024 bytes")),
    ]
    first, second = group_failures(outcomes)
    assert (first.cause, first.ids) == ("cannot export the task: no data", (4, 9, 17))
    assert (second.cause, second.ids) == ("'a.xml' is cut short after ... bytes", (1, 2))
    assert group_failures(()) == ()


def test_a_cause_that_met_one_task_is_its_whole_message() -> None:
    (group,) = group_failures([failed(4, errors.ExportFailedError("no data"))])
    assert (group.cause, group.ids) == ("task 4: no data", (4,))


def test_names_and_places_of_tasks_do_not_make_causes_differ() -> None:
    outcomes = [
        failed(n, errors.StoreError(f"cannot write 'data/task{n}' of 'cam-{n}'"), name=f"cam-{n}")
        for n in (1, 2)
    ]
    (group,) = group_failures(outcomes)
    assert group.cause == "cannot write '...' of '...'"


def test_the_same_words_of_another_kind_of_error_or_target_are_another_cause() -> None:
    outcomes = [
        failed(1, errors.ExportFailedError("no")),
        failed(2, errors.ArchiveError("no")),
        failed(3, errors.ArchiveError("no"), TargetKind.JOB),
    ]
    assert [group.target for group in group_failures(outcomes)] == ["task", "task", "job"]


def test_files_without_a_task_have_no_ids() -> None:
    outcomes = [failed(0, errors.MediaFileError("cam1 is empty")) for _ in range(2)]
    (group,) = group_failures(outcomes)
    assert (group.ids, len(group.outcomes)) == ((), 2)
