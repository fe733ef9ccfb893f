"""What a run creates follows from the media, the journal and the server's tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from asynccvat.core.media.kinds import MediaKind
from asynccvat.core.models import Owner, Task
from asynccvat.core.options.create import CreateOptions
from asynccvat.core.plans.create import (
    CreatePlan,
    CreateReason,
    CreateStep,
    CreateStepKind,
    KnownTasks,
    plan_creations,
)
from asynccvat.core.plans.create_units import ListedFile, MediaUnit, find_units
from asynccvat.core.records.creations import (
    Annotated,
    Annotating,
    CreationJournal,
    Discarding,
    Finishing,
    Line,
    ProjectAsked,
    ProjectMade,
    SendingBegun,
    TaskAsked,
    TaskDone,
    TaskMade,
    read_journal,
)
from asynccvat.errors import StoreError, UploadTooLargeError

ME, OTHER = Owner(id=1), Owner(id=2)
KINDS, REASONS = CreateStepKind, CreateReason


def unit(*more: str, size: int = 10) -> MediaUnit:
    files = [ListedFile("cam/1.jpg", size, 1), *(ListedFile(path, 1, 1) for path in more)]
    return find_units(files, "src", CreateOptions())[0]


ASKED = TaskAsked(5, "cam", "cam", unit().fingerprint, 100)
MADE = TaskMade(5, "cam", 101)
SENDING = SendingBegun(5, "cam", "file", "/address")
FINISHING = Finishing(5, "cam")
DONE = TaskDone(5, "cam", 1)


def task(task_id: int = 101, *, size: int | None = None, owner: Owner | None = ME) -> Task:
    return Task(id=task_id, name="cam", project_id=5, size=size, owner=owner)


def planned(
    lines: Sequence[Line],
    tasks: Sequence[Task] = (),
    media: MediaUnit | None = None,
    **options: Any,
) -> CreateStep:
    journal = CreationJournal()
    for line in lines:
        journal.note(line)
    known = KnownTasks({one.id: one for one in tasks}, 5, 1)
    (step,) = plan_creations([media or unit()], journal, known, CreateOptions(**options))
    return step


@pytest.mark.parametrize(
    ("lines", "tasks", "kind", "reason", "task_id"),
    [
        ([], [], KINDS.CREATE, REASONS.NEW, None),
        ([], [task(7, size=3)], KINDS.REFUSE, REASONS.SAME_NAME, 7),
        # The answer of the call that makes the task may have been lost.
        ([ASKED], [], KINDS.CREATE, REASONS.NEW, None),
        ([ASKED], [task()], KINDS.FINISH, REASONS.UNFINISHED, 101),
        ([ASKED], [task(), task(102)], KINDS.REFUSE, REASONS.UNCERTAIN, None),
        ([ASKED], [task(99)], KINDS.REFUSE, REASONS.SAME_NAME, 99),
        ([ASKED], [task(owner=OTHER)], KINDS.REFUSE, REASONS.SAME_NAME, 101),
        ([ASKED], [task(owner=None)], KINDS.FINISH, REASONS.UNFINISHED, 101),
        ([ASKED], [task(size=3)], KINDS.REFUSE, REASONS.SAME_NAME, 101),
        # It is there, without frames.
        ([ASKED, MADE], [task()], KINDS.FINISH, REASONS.UNFINISHED, 101),
        ([ASKED, MADE], [], KINDS.CREATE, REASONS.NEW, None),
        ([ASKED, MADE, SENDING], [task()], KINDS.FINISH, REASONS.UNFINISHED, 101),
        ([ASKED, MADE, SENDING], [task(size=0)], KINDS.FINISH, REASONS.UNFINISHED, 101),
        ([ASKED, MADE, SENDING, FINISHING], [task(size=0)], KINDS.FINISH, REASONS.UNFINISHED, 101),
        ([ASKED, MADE, SENDING, FINISHING], [task(size=1)], KINDS.FINISH, REASONS.UNFINISHED, 101),
        ([ASKED, MADE, Discarding(5, "cam")], [task()], KINDS.REPLACE, REASONS.NO_FRAMES, 101),
        ([ASKED, MADE, Discarding(5, "cam")], [], KINDS.CREATE, REASONS.NEW, None),
        # It is done.
        ([ASKED, MADE, FINISHING, DONE], [task(size=1)], KINDS.SKIP, REASONS.UNCHANGED, 101),
        ([ASKED, MADE, FINISHING, DONE], [], KINDS.REFUSE, REASONS.GONE, 101),
    ],
)
def test_each_state_of_a_task_has_one_step(
    lines: list[Line],
    tasks: list[Task],
    kind: CreateStepKind,
    reason: CreateReason,
    task_id: int | None,
) -> None:
    step = planned(lines, tasks)
    assert (step.kind, step.reason, step.task_id) == (kind, reason, task_id)
    assert (step.problem is not None) == (kind is KINDS.REFUSE)


def test_files_that_changed_replace_an_unfinished_task_and_refuse_a_finished_one() -> None:
    changed = unit(size=11)
    made = planned([ASKED, MADE], [task()], changed)
    assert (made.kind, made.reason) == (KINDS.REPLACE, REASONS.CHANGED)
    last: Line
    for last in (DONE, FINISHING):
        done = planned([ASKED, MADE, last], [task(size=1)], changed)
        assert (done.kind, done.reason) == (KINDS.REFUSE, REASONS.CHANGED)


def test_a_task_that_was_found_by_its_name_alone_is_never_replaced() -> None:
    step = planned([ASKED], [task()], unit(size=11))
    assert (step.kind, step.reason, step.task_id) == (KINDS.REFUSE, REASONS.UNCERTAIN, 101)
    assert "delete it and run again" in str(step.problem)


def test_annotations_that_were_not_imported_are_imported_later() -> None:
    media = unit("cam/annotations.xml")
    lines: list[Line] = [ASKED, MADE, DONE]
    assert planned(lines, [task(size=1)], media).kind is KINDS.ANNOTATE
    assert planned([*lines, Annotating(5, "cam")], [task(size=1)], media).kind is KINDS.ANNOTATE
    lines += [Annotating(5, "cam"), Annotated(5, "cam")]
    assert planned(lines, [task(size=1)], media).kind is KINDS.SKIP


def test_a_task_that_is_gone_is_created_again_on_request() -> None:
    step = planned([ASKED, MADE, DONE], again=True)
    assert (step.kind, step.reason) == (KINDS.CREATE, REASONS.GONE)


def test_a_second_task_of_a_name_is_created_on_request() -> None:
    assert planned([], [task(7, size=3)], same_name=True).kind is KINDS.CREATE


def test_the_tasks_of_other_projects_do_not_matter() -> None:
    other = Task(id=7, name="cam", project_id=6, size=3)
    assert planned([], [other]).kind is KINDS.CREATE


def test_media_that_cannot_be_used_are_refused_with_the_number_of_their_problems() -> None:
    step = planned([], media=unit("cam/a.docx", "cam/b.docx"))
    assert (step.kind, step.reason) == (KINDS.REFUSE, REASONS.FILES)
    assert str(step.problem) == (
        "cannot create a task of 'cam': 'cam/a.docx' is neither media nor annotations (and 1 "
        "more). Remove it, or give --skip-others. Nothing was sent."
    )


@pytest.mark.parametrize(("key", "shown"), [("cam", "cam"), (".", "images"), (".#2", "images-2")])
def test_images_of_the_source_itself_are_called_by_their_name(key: str, shown: str) -> None:
    media = replace(unit("cam/a.docx"), key=key, name="images-2" if "#" in key else "images")
    assert f"cannot create a task of '{shown}': " in str(planned([], media=media).problem)


def test_frames_outside_the_media_are_refused() -> None:
    assert "none of its frames is from" in str(planned([], start_frame=1).problem)
    three = unit("cam/2.jpg", "cam/3.jpg")
    assert "none of its 3 frames is from" in str(planned([], media=three, start_frame=3).problem)


def test_a_plan_is_told_as_json() -> None:
    steps = (planned([]), planned([ASKED, MADE, DONE], [task(size=1)], unit("cam/annotations.xml")))
    plan = CreatePlan(steps, "project 5")
    assert repr(plan) == "CreatePlan(create=1, annotate=1)"
    assert plan.of(KINDS.CREATE) == steps[:1]
    described = plan.to_json()
    assert described["counts"] == {"create": 1, "annotate": 1}
    assert described["steps"][0] == {
        "step": "create",
        "task_id": None,
        "name": "cam",
        "path": "cam",
        "reason": "new",
        "media": "image",
        "files": 1,
        "frames": 1,
        "bytes": 10,
    }
    assert described["steps"][1]["annotations"] == "cam/annotations.xml"
    refused = planned([], media=unit("cam/a.docx")).to_json()
    assert refused["problems"]
    assert refused["error"].startswith("cannot create")


def test_a_journal_is_read_as_it_was_written() -> None:
    lines: list[Line] = [
        ProjectAsked("streets", 4),
        ProjectMade("streets", 5),
        ProjectAsked("harbour", 5),
        ASKED,
        MADE,
        SENDING,
    ]
    journal = read_journal([msgspec.to_builtins(line) for line in lines])
    assert journal.projects == {"streets": (0, 5), "harbour": (5, None)}
    assert journal.creation(5, "cam").upload == ("file", "/address")
    assert journal.creation(6, "cam").task_id is None
    assert KnownTasks({101: task()}, 5, 1).highest_id == 101


def test_a_line_that_is_none_is_refused_with_its_number() -> None:
    with pytest.raises(StoreError, match="line 2 cannot be read"):
        read_journal([{"line": "dance"}])


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["cam/1.jpg", "cam/ü.jpg"], "of 'cam': it has 20,{0} bytes, and the server takes"),
        (["drive.mp4"], "of 'drive.mp4': it has 20,000 bytes, and the server takes"),
    ],
    ids=["images", "video"],
)
def test_a_unit_above_the_upload_limit_is_refused_at_the_byte(files: list[str], said: str) -> None:
    size = 20_000 // len(files)
    (one,) = find_units([ListedFile(path, size, 1) for path in files], "src", CreateOptions())

    def step(limit: int) -> CreateStep:
        known = KnownTasks({}, 5, 1)
        given = CreateOptions(upload_limit=limit)
        (found,) = plan_creations([one], CreationJournal(), known, given)
        return found

    assert step(one.sent_size).kind is KINDS.CREATE
    refused = step(one.sent_size - 1)
    assert (refused.kind, refused.reason) == (KINDS.REFUSE, REASONS.TOO_LARGE)
    problem = refused.problem
    assert isinstance(problem, UploadTooLargeError)
    assert (problem.size, problem.most) == (one.sent_size, one.sent_size - 1)
    assert said.format(f"{one.sent_size - 20_000:03}") in str(problem)
    assert "--upload-limit" in str(problem)


FOLDERS = [ListedFile(f"{folder}/{n}.jpg", 9, 1) for folder in ("a", "b") for n in range(4)]


@pytest.mark.parametrize(
    ("before", "now", "refused"),
    [
        ({}, {}, {}),
        ({"split": 2}, {"split": 2}, {}),
        ({}, {"split": 2}, dict.fromkeys(["a#1", "a#2", "b#1", "b#2"], "grouped otherwise")),
        ({"split": 2}, {}, {"a": "grouped otherwise", "b": "grouped otherwise"}),
        ({"split": 3}, {"split": 2}, {f"{one}#{n}": "changed" for one in "ab" for n in (1, 2)}),
        ({"split": 4}, {"split": 2}, {
            "a#1": "changed", "a#2": "grouped otherwise",
            "b#1": "changed", "b#2": "grouped otherwise",
        }),
        ({}, {"single": True}, {".": "grouped otherwise"}),
        ({"single": True}, {}, {"a": "grouped otherwise", "b": "grouped otherwise"}),
        ({"single": True, "split": 4}, {"single": True}, {".": "grouped otherwise"}),
    ],
    ids=str,
)  # fmt: skip
def test_images_that_a_task_has_already_are_not_sent_again(
    before: dict[str, Any], now: dict[str, Any], refused: dict[str, str]
) -> None:
    """Those of a video are, as it makes one task in any grouping."""
    video = ListedFile("drive.mp4", 9, 1)

    def units(files: Sequence[ListedFile], **grouping: Any) -> Sequence[MediaUnit]:
        return find_units([*files, video], "src", CreateOptions(**grouping))

    journal = CreationJournal()
    tasks: dict[int, Task] = {}
    for number, one in enumerate(units(FOLDERS, **before), 1):
        grouping = before if one.kind is MediaKind.IMAGE else {"single": None}
        asked = {"single": False, **grouping}
        journal.note(TaskAsked(5, one.key, one.name, one.fingerprint, 0, **asked))
        journal.note(TaskMade(5, one.key, number))
        journal.note(TaskDone(5, one.key, len(one.files)))
        tasks[number] = Task(id=number, name=one.name, project_id=5, size=len(one.files))
    known, options = KnownTasks(tasks, 5, 1), CreateOptions(**now)
    steps = plan_creations(units(FOLDERS, **now), journal, known, options)
    assert {one.unit.key: str(one.reason) for one in steps if one.kind is KINDS.REFUSE} == refused
    assert all(one.problem is not None and one.task_id for one in steps if one.unit.key in refused)
    # Nothing is in the way of tasks in another project, or after those are deleted.
    for elsewhere in (KnownTasks({}, 6, 1), KnownTasks({}, 5, 1)):
        again = plan_creations(
            units(FOLDERS, **now), journal, elsewhere, CreateOptions(again=True, **now)
        )
        assert {one.kind for one in again} == {KINDS.CREATE}


def test_a_new_part_of_a_folder_that_changed_is_refused() -> None:
    options = CreateOptions(split=2)
    journal = CreationJournal()
    (first,) = find_units(FOLDERS[1:3], "src", options)
    journal.note(TaskAsked(5, "a#1", "a-1", first.fingerprint, 0, single=False, split=2))
    journal.note(TaskMade(5, "a#1", 1))
    journal.note(TaskDone(5, "a#1", 2))
    known = KnownTasks({1: Task(id=1, name="a-1", project_id=5, size=2)}, 5, 1)
    more = find_units(FOLDERS[:4], "src", options)
    assert [(one.kind, one.reason) for one in plan_creations(more, journal, known, options)] == [
        (KINDS.REFUSE, REASONS.CHANGED),
        (KINDS.REFUSE, REASONS.CHANGED),
    ]
    assert "'a#1', whose files changed since" in str(
        plan_creations(more, journal, known, options)[1].problem
    )
