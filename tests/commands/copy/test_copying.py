"""Copies between two servers: what arrives, what a second run does, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import pytest
from pauses import pause_before
from two_servers import QUICK, TwoServers, client_of, two_servers

import asynccvat
from asynccvat import CopyOptions, Selection
from asynccvat.core.outcomes import Action, RunReport
from asynccvat.errors import (
    ConfigError,
    CopyChangedError,
    NotFoundError,
    PermissionDeniedError,
    StoreError,
)
from asynccvat.events import Event, ExportRequested, ImportRequested, Planned
from asynccvat.models import CopyReason, TaskListing
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions, UserSpec

pytestmark = pytest.mark.anyio


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[TwoServers]:
    async with two_servers(tmp_path / "state", subsets=("Train", ""), video_tasks=1) as servers:
        servers.add_project()
        yield servers


def report_ids(report: RunReport) -> list[int]:
    return [one.task_id for one in report.outcomes]


def reasons(report: RunReport) -> dict[int, tuple[str, str]]:
    return {one.task_id: (str(one.action), one.reason) for one in report.outcomes}


async def test_tasks_arrive_in_their_project_with_everything(both: TwoServers) -> None:
    report = await both.copy()
    assert report.ok
    assert report.count(Action.COPIED) == 4
    await both.assert_equal(report)
    for outcome in report.outcomes:
        assert outcome.new_id is not None
        old, new = both.old.world.tasks[outcome.task_id], both.new.world.tasks[outcome.new_id]
        assert (new.name, new.subset, new.size) == (old.name, old.subset, old.size)
        assert new.project_id == 1
        assert outcome.location == f"{both.new.url}/tasks/{new.id}"
        assert outcome.compared is not None
        assert outcome.compared.differences == ()
        assert outcome.transferred == outcome.bytes > 0


async def test_a_second_run_copies_nothing(both: TwoServers) -> None:
    await both.copy()
    report = await both.copy()
    assert set(reasons(report).values()) == {("kept", "unchanged")}
    assert both.restores() == 4


async def test_a_plan_changes_nothing(both: TwoServers) -> None:
    plan = await both.plan()
    assert plan.counts == {"copy": 4}
    assert not both.state.exists()
    assert not both.new.world.tasks


async def test_a_changed_task_replaces_its_copy(both: TwoServers) -> None:
    first = {one.task_id: one.new_id for one in (await both.copy()).outcomes}
    both.old.edit_task(1)
    report = await both.copy()
    assert reasons(report)[1] == ("copied", "changed")
    assert both.restores() == 4
    assert first[1] not in both.new.world.tasks
    await both.assert_equal(report)


async def test_a_deleted_task_is_named_and_its_copy_goes_with_the_expected_number(
    both: TwoServers,
) -> None:
    await both.copy()
    both.old.delete_task(2)
    report = await both.copy()
    assert report.ok
    assert any("deleted at the source: 2." in warning for warning in report.warnings)
    refused = await both.copy(prune=True)
    assert refused.guard is not None
    assert not refused.ok
    assert both.restores() == 4
    pruned = await both.copy(prune=True, expect=1)
    assert reasons(pruned)[2] == ("removed", "gone")
    assert both.restores() == 3
    assert (await both.copy()).ok


async def test_a_task_that_both_sides_lack_is_named_no_more(both: TwoServers) -> None:
    first = {one.task_id: one.new_id or 0 for one in (await both.copy()).outcomes}
    both.old.delete_task(2)
    both.new.delete_task(first[2])
    both.new.delete_task(first[1])
    report = await both.copy()
    assert reasons(report)[1] == ("copied", "missing")
    assert not any("deleted at the source" in warning for warning in report.warnings)
    await both.copy()
    before = len(both.new.calls)
    assert (await both.copy(prune=True, expect=0)).ok
    asked = [call.path for call in both.new.calls[before:]]
    assert not {f"/api/tasks/{first[1]}", f"/api/tasks/{first[2]}"} & set(asked)


async def test_a_copy_that_was_changed_at_the_target_is_not_replaced(both: TwoServers) -> None:
    first = {one.task_id: one.new_id for one in (await both.copy()).outcomes}
    copy = first[3]
    assert copy is not None
    both.old.edit_task(3)
    both.new.edit_task(copy)
    report = await both.copy()
    (failure,) = report.failures
    assert failure.reason == CopyReason.EDITED
    assert "so did its copy at the target: its annotations changed" in str(failure.error)
    assert str(failure.error).count(f" (id {copy} at the target). ") == 1
    assert copy in both.new.world.tasks
    assert (await both.copy(overwrite=True)).ok
    assert copy not in both.new.world.tasks


async def test_work_on_the_jobs_of_a_copy_protects_it(both: TwoServers) -> None:
    first = {one.task_id: one.new_id for one in (await both.copy()).outcomes}
    both.old.edit_task(1)
    copy = both.new.world.tasks[first[1] or 0]
    both.new.world.change_job(copy.jobs()[0].id, state="completed")
    (failure,) = (await both.copy()).failures
    assert "stages, states or assignees" in str(failure.error)


async def test_a_changed_copy_of_an_unchanged_task_is_compared(both: TwoServers) -> None:
    first = {one.task_id: one.new_id for one in (await both.copy()).outcomes}
    both.new.edit_task(first[3] or 0)
    report = await both.copy()
    (failure,) = report.failures
    assert failure.task_id == 3
    assert failure.compared is not None
    assert "shapes instead of" in str(failure.error)
    both.new.rename_task(first[1] or 0, "renamed")
    warnings = {one.task_id: one.warnings for one in (await both.copy()).outcomes}
    assert "name, subset or frames" in warnings[1][0]


async def test_each_copy_that_is_compared_is_in_the_total(both: TwoServers) -> None:
    first = {one.task_id: one.new_id for one in (await both.copy()).outcomes}
    both.new.edit_task(first[3] or 0)
    both.old.edit_task(1)
    both.old.delete_task(2)
    planned: list[Planned] = []

    def on_event(event: Event) -> None:
        if isinstance(event, Planned):
            planned.append(event)

    await asynccvat.copy(
        both.source, both.target, options=both.options(prune=True), on_event=on_event
    )
    (plan,) = planned
    assert (plan.upload, plan.keep, plan.remove, plan.refuse) == (2, 1, 0, 0)


async def test_a_copy_that_was_deleted_at_the_target_is_made_again(both: TwoServers) -> None:
    first = {one.task_id: one.new_id for one in (await both.copy()).outcomes}
    both.new.delete_task(first[4] or 0)
    report = await both.copy()
    assert reasons(report)[4] == ("copied", "missing")
    assert both.restores() == 4


async def test_only_the_selected_tasks_are_copied_and_the_others_are_not_gone(
    both: TwoServers,
) -> None:
    await both.copy()
    report = await both.copy(Selection(task_ids=[1, 2]), prune=True)
    assert report.ok
    assert len(report.outcomes) == 2
    assert both.restores() == 4


async def test_a_run_for_one_task_asks_for_no_other(both: TwoServers) -> None:
    first = {one.task_id: one.new_id for one in (await both.copy()).outcomes}
    both.old.delete_task(2)
    before = len(both.old.calls), len(both.new.calls)
    report = await both.copy(Selection(task_ids=[1]))
    assert report.ok
    assert not report.warnings
    lists = [
        unquote(call.query)
        for calls in (both.old.calls[before[0] :], both.new.calls[before[1] :])
        for call in calls
        if call.path == "/api/tasks"
    ]
    here, there = lists
    assert '"id"},[1]' in here
    assert f'"id"}},[{first[1]}]' in there
    deleted = await both.copy(Selection(task_ids=[2]))
    assert any("deleted at the source: 2." in warning for warning in deleted.warnings)


async def test_a_project_is_made_with_its_labels_once(tmp_path: Path) -> None:
    async with two_servers(tmp_path, projects=2) as both:
        plan = await both.plan()
        assert [project["make"] for project in plan.to_json()["projects"]] == [
            "project-1",
            "project-2",
        ]
        report = await both.copy()
        assert report.ok
        await both.assert_equal(report)
        assert [project.name for project in both.new.world.projects.values()] == [
            "project-1",
            "project-2",
        ]
        for old, new in zip(
            both.old.world.projects.values(), both.new.world.projects.values(), strict=True
        ):
            assert [label.name for label in new.labels] == [label.name for label in old.labels]
        assert (await both.copy()).count(Action.KEPT) == 4
        assert len(both.new.world.projects) == 2


async def test_a_project_whose_creation_was_not_answered_is_made_once(tmp_path: Path) -> None:
    async with two_servers(tmp_path) as both:
        both.fail(Fault(path="/api/projects$", method="POST", lose_answer=True))
        assert (await both.copy()).ok
        assert len(both.new.world.projects) == 1


@pytest.mark.parametrize("there", [0, 1])
async def test_two_projects_of_one_name_at_the_source_stay_two(tmp_path: Path, there: int) -> None:
    async with two_servers(tmp_path, projects=2) as both:
        both.old.world.change_project(2, name="project-1")
        for _ in range(there):
            both.new.world.add_project("project-1", both.old.world.projects[1].labels)
        # As if a run was killed between the two.
        first = [task.id for task in both.old.world.tasks.values() if task.project_id == 1]
        assert (await both.copy(Selection(task_ids=first))).ok
        both.fail(Fault(path="/api/projects$", method="POST", lose_answer=True))
        report = await both.copy()
        assert report.ok, report.failures
        pairs = {
            (
                both.old.world.tasks[one.task_id].project_id,
                both.new.world.tasks[one.new_id or 0].project_id,
            )
            for one in report.outcomes
        }
        assert pairs == {(1, 1), (2, 2)}
        assert len(both.new.world.projects) == 2


async def test_a_project_that_cannot_be_made_stops_no_other(tmp_path: Path) -> None:
    async with two_servers(tmp_path, projects=2) as both:
        both.fail(Fault(path="/api/projects$", method="POST", status=400, body='["No colour"]'))
        report = await both.copy()
        assert {one.reason for one in report.failures} == {CopyReason.PROJECT}
        assert "did not make project 'project-1': " in str(report.failures[0].error)
        assert "No colour" in str(report.failures[0].error)
        assert report.count(Action.COPIED) == 2
        again = await both.copy()
        assert again.ok
        assert again.count(Action.COPIED) == 2


async def test_a_user_who_may_make_no_project_is_told_once(tmp_path: Path) -> None:
    async with two_servers(tmp_path, projects=2) as both:
        both.fail(Fault(path="/api/projects$", method="POST", status=403, times=None))
        with pytest.raises(PermissionDeniedError, match="cannot create a project"):
            await both.copy()
        assert not both.new.world.tasks


async def test_a_project_of_the_source_that_its_user_may_not_see_stops_no_other(
    tmp_path: Path,
) -> None:
    async with two_servers(tmp_path, projects=2) as both:
        both.fail(Fault(path="/api/projects/1$", status=403, times=None), at="old")
        report = await both.copy()
        assert {one.task_id for one in report.failures} == {
            task.id for task in both.old.world.tasks.values() if task.project_id == 1
        }
        assert "for its project 1 cannot be found" in str(report.failures[0].error)
        assert report.count(Action.COPIED) == 2


async def test_tasks_go_into_a_named_project(both: TwoServers) -> None:
    labels = both.old.world.projects[1].labels
    made = both.new.world.add_project("everything", labels)
    report = await both.copy(into_project="everything")
    assert report.ok
    assert {task.project_id for task in both.new.world.tasks.values()} == {made.id}
    by_id = await both.plan(into_project=str(made.id))
    assert by_id.counts == {"keep": 4}
    with pytest.raises(ConfigError, match=r"'nothing' at .* with the settings of --to shows"):
        await both.plan(into_project="nothing")
    with pytest.raises(ConfigError, match=r"'nothing' at .* with the settings of --from shows"):
        await both.plan(Selection(projects=["nothing"]))


async def test_a_project_without_a_label_refuses_the_tasks(tmp_path: Path) -> None:
    async with two_servers(tmp_path) as both:
        project = both.old.world.projects[1]
        both.new.world.add_project(project.name, project.labels[1:])
        report = await both.copy()
        assert len(report.failures) == 4
        assert "it has no label 'car'" in str(report.failures[0].error)
        assert not both.new.world.tasks


async def test_two_projects_of_one_name_are_not_guessed_between(both: TwoServers) -> None:
    both.add_project()
    report = await both.copy()
    assert "the target has 2 projects named 'project-1': 1, 2." in str(report.failures[0].error)


async def test_a_project_stays_known_after_it_was_renamed(both: TwoServers) -> None:
    await both.copy(Selection(task_ids=[1]))
    both.new.world.change_project(1, name="another")
    assert (await both.copy()).ok
    assert {task.project_id for task in both.new.world.tasks.values()} == {1}


async def test_tasks_that_another_copy_made_are_not_copied_twice(both: TwoServers) -> None:
    await both.copy()
    elsewhere = replace(both, state=both.state.with_name("elsewhere"))
    report = await elsewhere.copy()
    assert {one.reason for one in report.failures} == {CopyReason.EXISTING}
    assert both.restores() == 4
    assert (await elsewhere.copy(Selection(task_ids=[1]), duplicate=True)).ok
    assert both.restores() == 5


async def test_stages_and_states_of_jobs_are_copied_on_request(both: TwoServers) -> None:
    report = await both.copy(states=True)
    for outcome in report.outcomes:
        old = both.old.world.tasks[outcome.task_id].jobs()
        new = both.new.world.tasks[outcome.new_id or 0].jobs()
        assert [(one.stage, one.state) for one in new] == [(one.stage, one.state) for one in old]
    assert not any("stages" in warning for warning in report.warnings)
    assert (await both.copy(states=True)).count(Action.KEPT) == 4


async def test_states_of_jobs_that_change_are_set_at_the_copy_that_stands(
    both: TwoServers,
) -> None:
    first = {one.task_id: one.new_id or 0 for one in (await both.copy()).outcomes}
    job = both.old.world.tasks[1].jobs()[0].id
    both.old.world.change_job(job, state="rejected")
    assert (await both.plan()).counts == {"keep": 4}
    plan = await both.plan(states=True)
    assert {step["step"] for step in plan.to_json()["steps"]} == {"update"}
    report = await both.copy(states=True)
    assert reasons(report)[1] == ("updated", "states of jobs")
    assert report.ok
    assert both.new.world.tasks[first[1]].jobs()[0].state == "rejected"
    assert (await both.plan(states=True)).counts == {"keep": 4}
    assert (await both.plan()).counts == {"keep": 4}
    both.old.world.change_job(job, state="completed")
    assert reasons(await both.copy(states=True)) == {
        1: ("updated", "states of jobs"),
        **dict.fromkeys((2, 3, 4), ("kept", "unchanged")),
    }
    assert set(both.new.world.tasks) == set(first.values())


async def test_states_of_jobs_are_set_at_what_an_interrupted_run_made(both: TwoServers) -> None:
    both.fail(Fault(path=r"/api/tasks/1/annotations", status=403))
    assert not (await both.copy(Selection(task_ids=[1]))).ok
    both.old.world.change_job(both.old.world.tasks[1].jobs()[0].id, state="rejected")
    report = await both.copy(Selection(task_ids=[1]), states=True)
    assert reasons(report)[1] == ("copied", "interrupted")
    assert both.new.world.tasks[1].jobs()[0].state == "rejected"
    assert (await both.plan(Selection(task_ids=[1]), states=True)).counts == {"keep": 1}


async def test_states_of_jobs_are_not_set_at_a_copy_that_was_changed(both: TwoServers) -> None:
    first = {one.task_id: one.new_id or 0 for one in (await both.copy(states=True)).outcomes}
    both.old.world.change_job(both.old.world.tasks[1].jobs()[0].id, state="rejected")
    mine = both.new.world.tasks[first[1]].jobs()[0].id
    both.new.world.change_job(mine, state="completed")
    (failure,) = (await both.copy(states=True)).failures
    assert "are not set, since its copy was changed at the target: its jobs" in str(failure.error)
    assert reasons(await both.copy(states=True, overwrite=True))[1][0] == "updated"
    assert both.new.world.tasks[first[1]].jobs()[0].state == "rejected"


async def test_states_of_jobs_are_not_set_at_a_copy_that_is_changed_meanwhile(
    both: TwoServers,
) -> None:
    first = {one.task_id: one.new_id or 0 for one in (await both.copy(states=True)).outcomes}
    both.old.world.change_job(both.old.world.tasks[1].jobs()[0].id, state="rejected")
    mine = both.new.world.tasks[first[1]].jobs()[0].id

    def on_event(event: Event) -> None:
        if isinstance(event, Planned):
            both.new.world.change_job(mine, state="completed")

    report = await asynccvat.copy(
        both.source, both.target, options=both.options(states=True), on_event=on_event
    )
    said = str(report.failures[0].error)
    assert "a copy of task 1, keeps the stages and states of its jobs: its jobs have" in said
    assert both.new.world.tasks[first[1]].jobs()[0].state == "completed"


async def test_states_of_jobs_are_not_set_at_a_copy_that_is_changed_during_a_pause(
    both: TwoServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = {one.task_id: one.new_id or 0 for one in (await both.copy(states=True)).outcomes}
    both.old.world.change_job(both.old.world.tasks[1].jobs()[0].id, state="rejected")
    mine = both.new.world.tasks[first[1]].jobs()[0].id

    async def complete() -> None:
        both.new.world.change_job(mine, state="completed")

    calls = pause_before(monkeypatch, both.target, "PATCH", f"/jobs/{mine}", complete)
    report = await both.copy(states=True)
    assert len(calls) == 1
    assert isinstance(report.failures[0].error, CopyChangedError)
    assert both.new.world.tasks[first[1]].jobs()[0].state == "completed"


async def test_setting_the_state_of_a_job_is_tried_again(both: TwoServers) -> None:
    first = {one.task_id: one.new_id or 0 for one in (await both.copy(states=True)).outcomes}
    both.old.world.change_job(both.old.world.tasks[1].jobs()[0].id, state="rejected")
    both.new.faults.add(Fault("PATCH", r"/jobs/\d+$", status=500, times=2))
    assert reasons(await both.copy(states=True))[1][0] == "updated"
    assert both.new.world.tasks[first[1]].jobs()[0].state == "rejected"


async def test_a_copy_whose_jobs_were_set_is_still_known_to_be_changed(both: TwoServers) -> None:
    first = {one.task_id: one.new_id or 0 for one in (await both.copy(states=True)).outcomes}
    both.old.world.change_job(both.old.world.tasks[3].jobs()[0].id, state="rejected")
    both.new.edit_task(first[3])
    (failure,) = (await both.copy(states=True, overwrite=True)).failures
    assert "differs: it has" in str(failure.error)
    assert failure.new_id == first[3]
    assert both.new.world.tasks[first[3]].jobs()[0].state == "rejected"
    assert (await both.plan(states=True)).counts == {"keep": 4}
    both.old.edit_task(3)
    (failure,) = (await both.copy(states=True)).failures
    assert failure.reason == CopyReason.EDITED
    assert first[3] in both.new.world.tasks


async def test_tasks_outside_projects_stay_outside(tmp_path: Path) -> None:
    async with two_servers(tmp_path, projects=0) as both:
        assert (await both.copy()).ok
        assert {task.project_id for task in both.new.world.tasks.values()} == {None}
        elsewhere = replace(both, state=tmp_path / "elsewhere")
        assert {one.reason for one in (await elsewhere.copy()).failures} == {CopyReason.EXISTING}
        made = both.new.world.add_project("all", both.old.world.tasks[1].labels)
        await both.copy(Selection(task_ids=[1]), into_project="all")
        assert made.id == 1


async def test_a_backup_above_the_upload_limit_is_refused_before_a_byte_is_sent(
    both: TwoServers,
) -> None:
    report = await both.copy(upload_limit=1000)
    assert len(report.failures) == 4
    assert "1,000 at most. Nothing was sent" in str(report.failures[0].error)
    assert not any(call.method == "PATCH" for call in both.new.calls)
    assert not both.new.world.tasks


async def test_a_target_that_takes_no_more_tasks_ends_the_run(tmp_path: Path) -> None:
    full = SimulatorOptions(tasks=0, projects=0, most_tasks=2)
    async with two_servers(tmp_path, new=full, tasks=30) as both:
        both.add_project()
        report = await both.copy(concurrency=2)
        assert isinstance(report.stopped_by, PermissionDeniedError)
        assert "Maximum number of tasks reached: 2" in str(report.stopped_by)
        assert reasons(report) == dict.fromkeys(report_ids(report), ("copied", "new"))
        assert both.restores() == len(report.outcomes) >= 2
        backups = [call for call in both.old.calls if call.path.endswith("/backup/export")]
        assert len(backups) < 30


async def test_a_token_that_only_reads_is_refused_before_anything_is_asked_for(
    both: TwoServers,
) -> None:
    token = both.new.create_access_token(read_only=True)
    async with asynccvat.CvatClient(both.new.url, token=token, policy=QUICK) as reader:
        reading = replace(both, target=reader)
        with pytest.raises(PermissionDeniedError, match="read-only"):
            await reading.copy()
        with pytest.raises(PermissionDeniedError, match="read-only"):
            await reading.plan()
    assert not any("/backup" in call.path for call in both.old.calls)


async def test_a_source_of_which_the_user_only_reads_is_copied(both: TwoServers) -> None:
    token = both.old.create_access_token(read_only=True)
    async with asynccvat.CvatClient(both.old.url, token=token, policy=QUICK) as reader:
        assert (await replace(both, source=reader).copy()).ok


async def test_a_task_that_is_deleted_at_the_source_meanwhile_stops_no_other(
    both: TwoServers,
) -> None:

    def on_event(event: Event) -> None:
        if isinstance(event, Planned):
            both.old.delete_task(2)

    report = await asynccvat.copy(
        both.source, both.target, options=both.options(), on_event=on_event
    )
    (failure,) = report.failures
    assert failure.task_id == 2
    assert isinstance(failure.error, NotFoundError)
    assert report.count(Action.COPIED) == 3
    assert (await both.copy()).ok


async def test_a_project_that_is_deleted_at_the_target_meanwhile_is_made_in_the_next_run(
    both: TwoServers,
) -> None:
    report = await copy_while(both, lambda: both.new.world.delete_project(1))
    assert report.failures
    assert all("cannot be moved into project 1" in str(one.error) for one in report.failures)
    again = await both.copy()
    assert again.ok
    assert both.restores() == 4
    assert {task.project_id for task in both.new.world.tasks.values()} == {2}


async def test_one_task_is_copied_to_two_targets_at_once(both: TwoServers, tmp_path: Path) -> None:
    async with (
        SimulatedServer(SimulatorOptions(tasks=0, projects=0)) as server,
        client_of(server) as third,
        client_of(both.old) as source,
    ):
        other = replace(both, new=server, source=source, target=third, state=tmp_path / "third")
        reports = await asyncio.gather(both.copy(), other.copy())
        assert all(report.ok for report in reports)
        for side, report in zip((both, other), reports, strict=True):
            assert side.restores() == 4
            await side.assert_equal(report)


async def test_the_servers_own_limit_is_told(tmp_path: Path) -> None:
    small = SimulatorOptions(tasks=0, projects=0, upload_limit=1000)
    async with two_servers(tmp_path, new=small) as both:
        both.add_project()
        report = await both.copy(Selection(task_ids=[1]))
        assert "takes no file of more than 1,000 bytes" in str(report.failures[0].error)


async def test_tasks_without_data_and_unknown_ids_are_told(tmp_path: Path) -> None:
    async with two_servers(tmp_path, tasks_without_data=1) as both:
        both.add_project()
        found = reasons(await both.copy())
        assert found[4] == ("skipped", "no data")
        report = await both.copy(Selection(task_ids=[99]))
        assert reasons(report) == {99: ("failed", "not found")}


async def test_one_state_folder_is_for_one_copy(both: TwoServers) -> None:
    await both.copy(Selection(task_ids=[1]))
    with pytest.raises(StoreError, match="holds the copies of"):
        await asynccvat.copy(both.target, both.source, options=both.options())
    async with client_of(both.new, organization="") as mine:
        with pytest.raises(StoreError, match="not the copies of the personal workspace at http"):
            await asynccvat.copy(both.source, mine, options=both.options())
    async with client_of(both.old) as source:
        same = asynccvat.CvatClient(
            both.old.url, username="admin", password=both.old.password, organization=""
        )
        async with same:
            with pytest.raises(ConfigError, match="is the state of a copy from"):
                await asynccvat.copy(same, both.target, options=both.options())
        with pytest.raises(ConfigError, match="both sides are"):
            await asynccvat.copy(source, both.source, options=CopyOptions())


async def test_the_state_lies_in_the_users_folder_by_default(
    both: TwoServers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("HOME", str(tmp_path))
    options = CopyOptions(durable=False, default_project_id=1)
    assert (await asynccvat.copy(both.source, both.target, options=options)).ok
    assert list(tmp_path.rglob("copies.jsonl"))


async def test_outcomes_come_as_they_are_done(both: TwoServers) -> None:
    async with asynccvat.open_copy(both.source, both.target, options=both.options()) as run:
        seen = [outcome.task_id async for outcome in run]
    assert sorted(seen) == [1, 2, 3, 4]
    assert run.report.to_json()["tasks"][0]["compared"]["differences"] == []


async def test_a_copy_that_its_user_may_not_see_is_not_made_twice(tmp_path: Path) -> None:
    ann = UserSpec("ann", "secret")
    empty = SimulatorOptions(tasks=0, projects=0, users=(ann,))
    async with two_servers(tmp_path / "state", projects=0, new=empty) as both:
        await both.copy(Selection(task_ids=[1, 2]))
        both.old.edit_task(1)
        both.old.delete_task(2)
        async with asynccvat.CvatClient(
            both.new.url, username="ann", password="secret", policy=QUICK
        ) as other:
            hers = replace(both, target=other)
            report = await hers.copy(Selection(task_ids=[1, 2]), prune=True, expect=0)
        assert {one.reason for one in report.failures} == {"forbidden", "edited"}
        assert both.restores() == 2


async def test_a_target_that_is_down_ends_the_run(both: TwoServers) -> None:
    both.fail(Fault(path="/api/tasks/backup", status=502, times=None))
    both.fail(Fault(path="/api/server/about", nth=2, times=None, status=502))
    report = await both.copy(wait_for_server=0)
    assert not report.ok
    assert not both.new.world.tasks


async def test_an_incomplete_listing_is_told(both: TwoServers) -> None:
    listed = both.source.tasks

    async def partly(selection: Selection) -> TaskListing:
        return replace(await listed(selection), complete=False)

    both.source.tasks = partly  # type: ignore[method-assign, assignment]
    report = await both.copy()
    assert not report.listing_complete
    assert any("listing of the source is incomplete" in one for one in report.warnings)


async def test_a_project_of_the_target_that_was_deleted_is_made_anew(both: TwoServers) -> None:
    await both.copy(Selection(task_ids=[1]))
    both.new.world.delete_project(1)
    report = await both.copy()
    assert report.ok
    assert {task.project_id for task in both.new.world.tasks.values()} == {2}


async def test_what_stays_behind_is_named(
    both: TwoServers,
) -> None:
    user = both.old.world.tasks[1].owner
    both.old.world.change_job(both.old.world.tasks[1].jobs()[0].id, assignee=user)
    plan = await both.plan()
    assert any("do not carry assignees: task 1." in warning for warning in plan.warnings)


async def test_tasks_go_from_one_organization_to_another(both: TwoServers) -> None:
    both.old.world.add_organization("acme")

    def of(organization: str | None) -> asynccvat.CvatClient:
        return asynccvat.CvatClient(
            both.old.url,
            username=both.old.username,
            password=both.old.password,
            organization=organization,
            policy=QUICK,
        )

    async with of("") as mine, of("acme") as theirs, of(None) as everything:
        here = replace(both, source=mine, target=theirs)
        report = await here.copy()
        assert report.ok, report.failures
        acme = {task.id for task in (await theirs.tasks()).tasks}
        assert acme == {outcome.new_id for outcome in report.outcomes}
        assert len(acme) == 4
        assert (await here.copy()).count(Action.KEPT) == 4
        for sides in ((everything, theirs), (mine, everything)):
            with pytest.raises(ConfigError, match="is the personal workspace"):
                await asynccvat.copy(*sides, options=both.options())


async def copy_while(both: TwoServers, act: Callable[[], object], **options: Any) -> RunReport:
    """Copy, and do something once the first restore is under way."""
    acted: list[Event] = []

    def on_event(event: Event) -> None:
        if isinstance(event, ImportRequested) and not acted:
            acted.append(event)
            act()

    return await asynccvat.copy(
        both.source, both.target, options=both.options(**options), on_event=on_event
    )


async def test_a_copy_that_is_changed_while_its_task_is_copied_stays(both: TwoServers) -> None:
    first = {one.task_id: one.new_id or 0 for one in (await both.copy()).outcomes}
    both.old.edit_task(3)
    report = await copy_while(both, lambda: both.new.edit_task(first[3]))
    (failure,) = report.failures
    assert isinstance(failure.error, CopyChangedError)
    assert both.restores() == 5
    again = await both.copy()
    said = str(again.failures[0].error)
    assert said.startswith("task 3: its copy is not removed: its annotations changed (id")
    assert f" (id {first[3]} at the target). " in said
    assert (await both.copy(overwrite=True)).ok
    assert both.restores() == 4


async def test_a_copy_that_is_changed_during_a_pause_before_its_removal_stays(
    both: TwoServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = {one.task_id: one.new_id or 0 for one in (await both.copy()).outcomes}
    both.old.edit_task(3)

    async def edit() -> None:
        both.new.edit_task(first[3])

    calls = pause_before(monkeypatch, both.target, "DELETE", f"/tasks/{first[3]}", edit)
    (failure,) = (await both.copy()).failures
    assert len(calls) == 1
    assert isinstance(failure.error, CopyChangedError)
    assert first[3] in both.new.world.tasks


async def test_a_copy_that_is_changed_between_two_tries_of_its_removal_stays(
    both: TwoServers,
) -> None:
    first = {one.task_id: one.new_id or 0 for one in (await both.copy()).outcomes}
    both.old.edit_task(3)
    both.new.faults.add(Fault("DELETE", r"/tasks/\d+$", status=500, edit_task=first[3]))
    (failure,) = (await both.copy()).failures
    assert isinstance(failure.error, CopyChangedError)
    assert first[3] in both.new.world.tasks


async def test_a_removal_of_a_copy_is_tried_again(both: TwoServers) -> None:
    await both.copy()
    both.old.edit_task(3)
    both.new.faults.add(Fault("DELETE", r"/tasks/\d+$", status=500, times=2))
    assert (await both.copy()).ok
    assert both.restores() == 4


async def test_a_copy_that_is_deleted_while_its_task_is_copied_is_no_failure(
    both: TwoServers,
) -> None:
    first = {one.task_id: one.new_id or 0 for one in (await both.copy()).outcomes}
    both.old.edit_task(3)
    assert (await copy_while(both, lambda: both.new.delete_task(first[3]))).ok
    assert both.restores() == 4


async def test_a_copy_that_cannot_be_moved_is_moved_by_the_next_run(both: TwoServers) -> None:
    both.fail(Fault(method="PATCH", path=r"/api/tasks/\d+$", status=400, body='["No room"]'))
    report = await both.copy(Selection(task_ids=[1]))
    assert "cannot be moved into project 1" in str(report.failures[0].error)
    again = await both.copy(Selection(task_ids=[1]))
    assert reasons(again)[1] == ("copied", "interrupted")
    assert both.restores() == 1
    assert both.new.world.tasks[1].project_id == 1


async def test_the_source_makes_as_many_backups_ready_as_may_be_in_flight(tmp_path: Path) -> None:
    requested: set[int] = set()
    never: dict[str, Any] = {
        "costs": True,
        "latency": 0.0,
        "login_seconds": 0.0,
        "export_seconds": 3600.0,
    }
    async with two_servers(tmp_path / "state", tasks=12, **never) as servers:
        options = servers.options(concurrency=10, transfers=1)
        async with asynccvat.open_copy(servers.source, servers.target, options=options) as run:
            with anyio.fail_after(20):
                async for event in run.events():
                    if isinstance(event, ExportRequested):
                        requested.add(event.task_id)
                    if len(requested) == 10:
                        run.cancel()
    assert len(requested) == 10
