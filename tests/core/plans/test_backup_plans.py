"""What a backup run does: what counts as current, and which backups go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.models import DataMeta, Job, Project, Task, TaskListing
from asynccvat.core.options.backup import BackupOptions
from asynccvat.core.plans.backup import newest, plan_backup
from asynccvat.core.plans.backup_notices import absent_notice, broken_notices, size_notice
from asynccvat.core.plans.backup_states import outdated, project_state, task_state
from asynccvat.core.plans.mirror import Fetch, Keep, Reason
from asynccvat.core.records.backups import (
    BackupCondition,
    BackupReceipt,
    StoredBackup,
    TargetState,
    backup_folder,
    stamp_of,
)
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError

NOW = datetime(2026, 11, 30, 3, 0, tzinfo=UTC)
TASK = Task(id=147, name="street", updated_date="v1", size=5, data=9)
STATE = TargetState(updated_date="v1", jobs="j", media="m")


def backup_of(
    days: float,
    *,
    target_id: int = 147,
    target: TargetKind = TargetKind.TASK,
    lightweight: bool = False,
    condition: BackupCondition = BackupCondition.PRESENT,
    state: TargetState = STATE,
) -> StoredBackup:
    """A backup of so many days ago."""
    at = (NOW - timedelta(days=days)).isoformat()
    receipt = BackupReceipt(
        target=target,
        id=target_id,
        name="street",
        file=f"{backup_folder(target, target_id)}/{stamp_of(at)}.zip",
        size=3,
        digest="0",
        files=1,
        bytes=3,
        lightweight=lightweight,
        state=state,
        origin="https://cvat.example.com",
        requested_at=at,
        committed_at=at,
    )
    return StoredBackup(receipt, condition)


def planned(*backups: StoredBackup, state: TargetState = STATE, **options: Any) -> tuple[str, str]:
    plan = plan_backup(
        TaskListing((TASK,)), {147: state}, backups, BackupOptions(**options), now=NOW
    )
    (step,) = plan.steps
    return type(step).__name__, step.reason


def expired(*backups: StoredBackup, among: Any = None, **options: Any) -> list[float]:
    """The ages in days of the backups that go, when the task is unchanged."""
    plan = plan_backup(
        TaskListing((TASK,)), {147: STATE}, backups, BackupOptions(**options), now=NOW, among=among
    )
    return [
        (NOW - datetime.fromisoformat(one.receipt.requested_at)) / timedelta(days=1)
        for one in plan.expiries
    ]


@pytest.mark.parametrize(
    ("backups", "options", "expected"),
    [
        ((), {}, ("Fetch", Reason.NEW)),
        ((backup_of(1),), {}, ("Keep", Reason.UNCHANGED)),
        ((backup_of(1),), {"force": True}, ("Fetch", Reason.FORCED)),
        ((backup_of(1),), {"lightweight": True}, ("Keep", Reason.UNCHANGED)),
        ((backup_of(1, lightweight=True),), {}, ("Fetch", Reason.LIGHTWEIGHT)),
        ((backup_of(1, lightweight=True),), {"lightweight": True}, ("Keep", Reason.UNCHANGED)),
        ((backup_of(1, condition=BackupCondition.MISSING),), {}, ("Fetch", Reason.MISSING)),
        ((backup_of(1, condition=BackupCondition.CHANGED),), {}, ("Fetch", Reason.DAMAGED)),
        (
            (backup_of(2), backup_of(1, condition=BackupCondition.MISSING)),
            {},
            ("Fetch", Reason.MISSING),
        ),
        (
            (backup_of(2), backup_of(1, condition=BackupCondition.CHANGED)),
            {},
            ("Fetch", Reason.DAMAGED),
        ),
        (
            (backup_of(2, condition=BackupCondition.CHANGED), backup_of(1)),
            {},
            ("Keep", Reason.UNCHANGED),
        ),
        (
            (backup_of(2), backup_of(1, condition=BackupCondition.CHANGED, lightweight=True)),
            {},
            ("Keep", Reason.UNCHANGED),
        ),
        ((backup_of(1, target=TargetKind.PROJECT),), {}, ("Fetch", Reason.NEW)),
    ],
)
def test_a_task_is_backed_up_unless_a_whole_and_current_backup_is_there(
    backups: tuple[StoredBackup, ...], options: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert planned(*backups, **options) == expected


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"updated_date": "v2"}, Reason.CHANGED),
        ({"jobs": "k"}, Reason.JOBS),
        ({"media": "n"}, Reason.MEDIA),
        ({"media": ""}, Reason.MEDIA),
    ],
)
def test_a_change_of_task_jobs_or_media_makes_another_backup(
    changes: dict[str, str], reason: Reason
) -> None:
    given: dict[str, Any] = {"updated_date": "v1", "jobs": "j", "media": "m"} | changes

    assert planned(backup_of(1), state=TargetState(**given)) == ("Fetch", reason)


def test_media_that_nobody_could_tell_of_are_never_the_same() -> None:
    unknown = TargetState(updated_date="v1", jobs="j", media="")

    assert outdated(unknown, unknown) is Reason.MEDIA


def test_tasks_without_data_are_skipped_and_unknown_ones_refused() -> None:
    listing = TaskListing((Task(id=1, name="empty"),), missing=(7,))
    plan = plan_backup(listing, {}, (), BackupOptions(), now=NOW)

    assert dict(plan.counts) == {"refuse": 1, "skip": 1}
    record = plan.to_json()
    assert [step["step"] for step in record["steps"]] == ["skip", "refuse"]
    assert record["steps"][0]["detail"] == "it has no data, so CVAT cannot back it up"


def test_a_plan_tells_what_is_made_and_what_goes() -> None:
    backups = [backup_of(days) for days in (1, 2, 3)]
    changed = TargetState(updated_date="v2", jobs="j", media="m")
    plan = plan_backup(
        TaskListing((TASK,)), {147: changed}, backups, BackupOptions(keep=2), now=NOW
    )

    assert dict(plan.counts) == {"back up": 1, "remove": 2}
    assert repr(plan) == "BackupPlan(back up=1, remove=2)"
    assert plan.of(Fetch)[0].folder == "task147"
    assert plan.of(Keep) == ()
    assert [step["folder"] for step in plan.to_json()["steps"]] == [
        "task147",
        backups[2].receipt.file,
        backups[1].receipt.file,
    ]


# --- the jobs and the media of a task ----------------------------------------------------------


def job(**changes: Any) -> Job:
    given: dict[str, Any] = {"id": 1, "task_id": 147, "stage": "annotation", "state": "new"}
    return Job(**(given | changes))


def test_the_state_of_a_job_is_part_of_a_tasks_state() -> None:
    before = task_state(TASK, [job(), job(id=2)])

    assert before == task_state(TASK, [job(id=2), job()])
    assert before.job_count == 2
    assert outdated(before, task_state(TASK, [job(state="completed"), job(id=2)])) is Reason.JOBS
    assert outdated(before, task_state(TASK, [job()])) is Reason.JOBS


def test_other_data_are_other_media() -> None:
    other = Task(id=147, updated_date="v1", size=5, data=10)

    assert outdated(task_state(TASK, []), task_state(other, [])) is Reason.MEDIA


def test_validation_frames_are_compared_by_what_the_server_says_of_its_media() -> None:
    jobs = [job(), job(id=2, type="ground_truth")]
    first = DataMeta(size=5, chunks_updated_date=NOW)
    later = DataMeta(size=5, chunks_updated_date=NOW + timedelta(1))
    before = task_state(TASK, jobs, first)

    assert outdated(before, task_state(TASK, jobs, first)) is None
    assert outdated(before, task_state(TASK, jobs, later)) is Reason.MEDIA
    assert outdated(before, task_state(TASK, jobs)) is Reason.MEDIA


def test_a_project_changes_with_each_of_its_tasks() -> None:
    project = Project(id=5, updated_date="p1")
    one = task_state(TASK, [job()])
    other = task_state(Task(id=148, updated_date="v2", size=2, data=3), [job(id=2)])
    before = project_state(project, {147: one, 148: other})

    assert (before.frames, before.job_count, before.task_count) == (7, 2, 2)
    assert outdated(before, project_state(project, {148: other, 147: one})) is None
    assert outdated(before, project_state(project, {147: one})) is Reason.JOBS
    changed = task_state(Task(id=148, updated_date="v3", size=2, data=3), [job(id=2)])
    assert outdated(before, project_state(project, {147: one, 148: changed})) is Reason.JOBS
    media = task_state(Task(id=148, updated_date="v2", size=2, data=4), [job(id=2)])
    assert outdated(before, project_state(project, {147: one, 148: media})) is Reason.MEDIA
    unknown = task_state(TASK, [job(type="ground_truth")])
    assert project_state(project, {147: unknown}).media == ""


# --- what goes -----------------------------------------------------------------------------------


def test_nothing_goes_unless_it_is_asked_for() -> None:
    assert expired(*map(backup_of, (1, 100, 1000))) == []


@pytest.mark.parametrize(
    ("keep", "gone"),
    [
        (1, [30, 2]),
        (2, [30]),
        ("7", []),
        ("10d", [30]),
        ("1h", [30, 2]),
    ],
)
def test_the_newest_stay(keep: int | str, gone: list[float]) -> None:
    assert expired(*map(backup_of, (1, 2, 30)), keep=keep) == gone


def test_a_lightweight_backup_never_replaces_a_whole_one() -> None:
    whole = [backup_of(30), backup_of(40)]
    light = [backup_of(1, lightweight=True), backup_of(2, lightweight=True)]

    assert expired(*whole, *light, keep=1) == [40, 2]


def test_the_newest_backup_is_one_that_is_there_and_whole_where_that_is_asked_for() -> None:
    whole, light = backup_of(3), backup_of(2, lightweight=True)
    gone = backup_of(1, condition=BackupCondition.MISSING)

    assert newest([whole, light, gone], whole=False) is light
    assert newest([whole, light, gone], whole=True) is whole
    assert newest([light, gone], whole=True) is None
    assert newest([], whole=False) is None


def test_a_backup_that_is_missing_or_changed_does_not_count() -> None:
    bad = backup_of(1, condition=BackupCondition.CHANGED)
    gone = backup_of(2, condition=BackupCondition.MISSING)

    plan = plan_backup(
        TaskListing(()), {}, [backup_of(30), bad, gone], BackupOptions(keep=1), now=NOW
    )
    assert plan.expiries == ()
    plan = plan_backup(TaskListing(()), {}, [bad, gone], BackupOptions(keep=1), now=NOW)
    assert plan.expiries == ()


def test_another_backup_is_made_of_a_task_whose_last_is_broken_before_older_ones_go() -> None:
    bad = backup_of(1, condition=BackupCondition.CHANGED)
    gone = backup_of(2, condition=BackupCondition.MISSING)

    assert expired(backup_of(30), bad, gone, keep=1) == [30, 2]
    assert expired(backup_of(30), bad, gone, keep=2) == [2]
    assert expired(bad, gone, keep=1) == [2]


def test_zips_that_are_missing_or_changed_are_named_unless_their_receipts_go() -> None:
    gone = [backup_of(days, condition=BackupCondition.MISSING) for days in (5, 4, 3, 2)]
    files = [one.receipt.file for one in gone]

    assert broken_notices([backup_of(1)]) == ()
    (notice,) = broken_notices(gone)
    assert notice == (
        f"4 zips are missing: {files[0]!r}, {files[1]!r}, {files[2]!r} and 1 more. Once a newer "
        "backup is here, a run with --keep removes the receipts."
    )
    assert broken_notices(gone, leaving=files) == ()
    (notice,) = broken_notices([backup_of(1, condition=BackupCondition.CHANGED)])
    assert notice.startswith("1 zip has not the size of its receipt: 'task147/2026-11-29T")
    assert notice.endswith(
        "Once a newer backup is here, delete what is damaged; a run with --keep removes its "
        "receipt."
    )
    (notice,) = broken_notices([backup_of(1, condition=BackupCondition.CHANGED)] * 2)
    assert notice.startswith("2 zips have not the size of the receipts: 'task147/2026-11-29T")


def test_the_receipt_of_a_missing_backup_goes_once_a_newer_one_is_there() -> None:
    gone = backup_of(30, condition=BackupCondition.MISSING)
    changed = backup_of(40, condition=BackupCondition.CHANGED)

    assert expired(changed, gone, backup_of(1), keep=7) == [30]
    assert expired(changed, gone, backup_of(1)) == []


def test_named_tasks_are_the_only_ones_whose_backups_go() -> None:
    backups = [backup_of(days, target_id=target_id) for target_id in (147, 148) for days in (1, 2)]

    assert len(expired(*backups, keep=1)) == 2
    assert len(expired(*backups, keep=1, among=(147,))) == 1


@given(
    ages=st.lists(st.integers(0, 400), min_size=1, max_size=6, unique=True),
    keep=st.integers(1, 5) | st.sampled_from(["1s", "3d", "90d"]),
)
def test_whatever_is_kept_the_newest_stays(ages: list[int], keep: int | str) -> None:
    gone = expired(*map(backup_of, ages), keep=keep)

    assert min(ages) not in gone
    assert set(gone) <= set(ages)


@pytest.mark.parametrize("keep", ["", "a week", "-1", "1.5d"])
def test_what_is_no_retention_is_refused(keep: int | str) -> None:
    with pytest.raises(ConfigError, match=r"keep: .* is neither a number nor a time"):
        BackupOptions(keep=keep)


@pytest.mark.parametrize("keep", ["0", 0, "0d", "00"])
def test_what_keeps_nothing_is_refused(keep: int | str) -> None:
    with pytest.raises(ConfigError, match=r"keep: '.*' keeps nothing. Write at least 1"):
        BackupOptions(keep=keep)


def test_a_zip_that_is_too_large_to_come_back_is_told() -> None:
    assert size_notice(TargetKind.TASK, 25 << 30) is None
    said = size_notice(TargetKind.PROJECT, (25 << 30) + 1)
    assert said is not None
    assert said.startswith("the zip has 26,843,545,601 bytes. A server takes files of at most ")
    assert "Back its tasks up, too." in said
    assert "Back its tasks up" not in (size_notice(TargetKind.TASK, 26 << 30) or "")


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="--full contradicts --lightweight"):
        BackupOptions(full=True, lightweight=True)
    with pytest.raises(ConfigError, match="keep must be a number or a time"):
        BackupOptions(keep=1.5)  # type: ignore[arg-type]
    assert BackupOptions(full=True).target is TargetKind.TASK
    assert BackupOptions(projects=True).target is TargetKind.PROJECT


def test_targets_that_are_gone_are_named() -> None:
    assert absent_notice([], TargetKind.TASK) is None
    assert absent_notice([147], TargetKind.TASK) == (
        "1 task with backups here is not on the server any more, or not visible to this user: "
        "147. The backups stay."
    )
    assert (absent_notice([1, 2], TargetKind.PROJECT) or "").startswith("2 projects with backups")
