"""Deletions of tasks and projects: counted, read again, noted."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from engine_serving import Serving, serving

import asynccvat as ac
from asynccvat import errors
from asynccvat.models import DeletePlan
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cvat() -> AsyncIterator[Serving]:
    async with serving(4) as running:
        yield running


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def some(*ids: int) -> ac.Selection:
    return ac.Selection(task_ids=ids)


def options(log: Path, **given: Any) -> ac.DeleteOptions:
    base: dict[str, Any] = {"durable": False, "log": log, "retries": 2}
    return ac.DeleteOptions(**(base | given))


def noted(log: Path) -> list[tuple[str, int]]:
    return [
        (line["what"], line["id"]) for line in map(json.loads, log.read_text().splitlines()[1:])
    ]


def actions(report: ac.RunReport) -> dict[int, str]:
    return {one.task_id: f"{one.action}: {one.reason}" for one in report.outcomes}


async def test_tasks_go_and_the_log_has_a_line_before_and_after(cvat: Serving, log: Path) -> None:
    plan = await ac.plan_delete(cvat.client, some(1, 2), options=options(log))
    assert plan.count == 2
    assert not log.exists()
    assert not cvat.calls("DELETE")
    report = await ac.delete(cvat.client, some(1, 2), expect=2, options=options(log))
    assert report.ok
    assert actions(report) == {1: "deleted: selected", 2: "deleted: selected"}
    assert sorted(cvat.server.tasks) == [3, 4]
    assert noted(log) == [("delete", 1), ("deleted", 1), ("delete", 2), ("deleted", 2)]


async def test_another_number_deletes_nothing(cvat: Serving, log: Path) -> None:
    report = await ac.delete(cvat.client, some(1, 2), expect=3, options=options(log))
    assert not report.ok
    assert "2 tasks would go, and --expect is 3" in str(report.guard)
    assert not cvat.calls("DELETE")


async def test_wrong_arguments_are_refused(cvat: Serving, log: Path) -> None:
    with pytest.raises(errors.ConfigError, match="needs a filter"):
        await ac.delete(cvat.client, ac.Selection(), expect=4, options=options(log))
    with pytest.raises(errors.ConfigError, match="needs a filter"):
        await ac.plan_delete(cvat.client, None)  # type: ignore[arg-type]
    for expect in (True, "4", None):
        with pytest.raises(TypeError, match="expect must be a number"):
            await ac.delete(cvat.client, some(1), expect=expect)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="plan must be a DeletePlan"):
        await ac.delete(cvat.client, some(1), expect=1, plan={})  # type: ignore[arg-type]


async def test_what_changed_since_the_dry_run_stays(cvat: Serving, log: Path) -> None:
    plan = await ac.plan_delete(cvat.client, some(1, 2), options=options(log))
    cvat.server.edit_task(2)
    report = await ac.delete(cvat.client, some(1, 2), expect=2, plan=plan, options=options(log))
    assert actions(report) == {1: "deleted: selected", 2: "passed over: changed"}
    assert 2 in cvat.server.tasks
    assert not report.ok
    assert [one.task_id for one in report.passed_over] == [2]
    with pytest.raises(
        ac.TasksFailedError, match=r"1 of 2 tasks were passed over\. The first: task 2"
    ):
        report.raise_for_failures()
    # Again, after what was done: the number stays that of the dry run.
    report = await ac.delete(cvat.client, some(1, 2), expect=2, plan=plan, options=options(log))
    assert actions(report) == {1: "skipped: gone", 2: "passed over: changed"}


async def test_what_left_the_selection_stays(cvat: Serving, log: Path) -> None:
    (task,) = (await cvat.client.tasks(some(1))).tasks
    selection = ac.Selection(name=task.name)
    plan = await ac.plan_delete(cvat.client, selection, options=options(log))
    cvat.server.rename_task(1, "another name")
    shown = await ac.plan_delete(cvat.client, selection, expect=1, plan=plan, options=options(log))
    assert [(step.id, str(step.reason)) for step in shown.steps] == [(1, "not selected")]
    report = await ac.delete(cvat.client, selection, expect=1, plan=plan, options=options(log))
    assert actions(report) == {1: "passed over: not selected"}
    assert 1 in cvat.server.tasks


async def test_what_is_gone_since_the_dry_run_is_no_failure(cvat: Serving, log: Path) -> None:
    (task,) = (await cvat.client.tasks(some(1))).tasks
    selection = ac.Selection(name=task.name)
    plan = await ac.plan_delete(cvat.client, selection, options=options(log))
    cvat.server.delete_task(1)
    report = await ac.delete(cvat.client, selection, expect=1, plan=plan, options=options(log))
    assert actions(report) == {1: "skipped: gone"}
    assert report.outcomes[0].name == task.name
    assert report.ok


async def test_a_plan_says_whether_its_number_would_be_refused(cvat: Serving, log: Path) -> None:
    plan = await ac.plan_delete(cvat.client, some(1, 2), expect=3, options=options(log))
    assert "2 tasks would go, and --expect is 3" in str(plan.guard)
    right = await ac.plan_delete(cvat.client, some(1), expect=1, options=options(log))
    assert right.guard is None
    for wrong in ({"expect": "3"}, {"plan": "plan.json"}):
        with pytest.raises(TypeError):
            await ac.plan_delete(cvat.client, some(1), **wrong)  # type: ignore[arg-type]


async def test_what_changes_during_the_run_stays(cvat: Serving, log: Path) -> None:
    def on_event(event: object) -> None:
        if type(event).__name__ == "Planned":
            cvat.server.world.edit_task(1)
            cvat.server.world.delete_task(2)

    report = await ac.delete(
        cvat.client, some(1, 2, 3), expect=3, options=options(log), on_event=on_event
    )
    assert actions(report) == {
        1: "passed over: changed",
        2: "skipped: gone",
        3: "deleted: selected",
    }
    assert sorted(cvat.server.tasks) == [1, 4]
    assert noted(log)[:2] == [("passed over", 1), ("gone", 2)]


async def test_tasks_with_open_issues_stay(cvat: Serving, log: Path) -> None:
    (job,) = await cvat.client.jobs(ac.JobSelection(task_ids=[1]))
    (other,) = await cvat.client.jobs(ac.JobSelection(task_ids=[2]))
    cvat.server.add_issue(job.id, "look")
    cvat.server.add_issue(other.id, "done", resolved=True)
    report = await ac.delete(cvat.client, some(1, 2), expect=1, options=options(log))
    assert actions(report) == {1: "passed over: open issues", 2: "deleted: selected"}
    given = options(log, lose_issues=True)
    assert (await ac.delete(cvat.client, some(1), expect=1, options=given)).ok
    assert sorted(cvat.server.tasks) == [3, 4]


async def test_only_backed_up_tasks_go(cvat: Serving, log: Path, tmp_path: Path) -> None:
    dest = tmp_path / "backups"
    given = options(log, require_backup=dest)
    with pytest.raises(errors.ConfigError, match="holds no backups"):
        await ac.plan_delete(cvat.client, some(1), options=given)
    await ac.backup(cvat.client, dest, some(1, 2, 3), options=ac.BackupOptions(durable=False))
    cvat.server.edit_task(2)
    damaged = next((dest / "task3").glob("*.zip"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 255
    damaged.write_bytes(content)
    plan = await ac.plan_delete(cvat.client, some(1, 2, 3, 4), options=given)
    assert {step.id: step.detail for step in plan.steps if step.detail} == {
        2: "it has no full backup of its present state",
        3: f"it has a full backup, but 'task3/{damaged.name}' is damaged or gone",
        4: "it has no full backup",
    }
    report = await ac.delete(cvat.client, some(1, 2, 3, 4), expect=1, options=given)
    assert sorted(cvat.server.tasks) == [2, 3, 4]
    assert report.count(ac.Action.DELETED) == 1


async def test_a_backup_that_goes_during_the_run_keeps_its_task(
    cvat: Serving, log: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "backups"
    await ac.backup(cvat.client, dest, some(1), options=ac.BackupOptions(durable=False))

    (made,) = (dest / "task1").glob("*.zip")

    def on_event(event: object) -> None:
        if type(event).__name__ == "Planned":
            remover = threading.Thread(target=made.unlink)
            remover.start()
            remover.join()

    given = options(log, require_backup=dest)
    report = await ac.delete(cvat.client, some(1), expect=1, options=given, on_event=on_event)
    assert actions(report) == {1: "passed over: no backup"}
    assert 1 in cvat.server.tasks


async def test_a_lost_answer_is_looked_up(cvat: Serving, log: Path) -> None:
    cvat.server.faults.add(Fault("DELETE", r"/api/tasks/1$", times=2, lose_answer=True))
    report = await ac.delete(cvat.client, some(1), expect=1, options=options(log))
    assert actions(report) == {1: "deleted: selected"}
    assert noted(log) == [("delete", 1), ("deleted", 1)]


async def test_projects_go_with_their_tasks(cvat: Serving, log: Path, tmp_path: Path) -> None:
    projects = await cvat.client.projects()
    chosen = projects[0].id
    inside = [one.id for one in cvat.server.tasks.values() if one.project_id == chosen]
    assert inside
    selection = ac.Selection(project_ids=[chosen])
    given = options(log, projects=True)
    plan: DeletePlan = await ac.plan_delete(cvat.client, selection, options=given)
    assert plan.count == 1 + len(inside)
    assert plan.to_json()["steps"][0]["project_id"] == chosen
    dest = tmp_path / "backups"
    only = ac.Selection(task_ids=inside)
    await ac.backup(cvat.client, dest, only, options=ac.BackupOptions(durable=False))
    safe = options(log, projects=True, require_backup=dest)

    cvat.server.edit_task(inside[0])
    report = await ac.delete(cvat.client, selection, expect=plan.count, plan=plan, options=given)
    assert actions(report) == {chosen: "passed over: changed"}
    report = await ac.delete(cvat.client, selection, expect=0, options=safe)
    assert actions(report) == {chosen: "passed over: no backup"}
    await ac.backup(cvat.client, dest, only, options=ac.BackupOptions(durable=False))
    report = await ac.delete(cvat.client, selection, expect=plan.count, options=safe)
    assert actions(report) == {chosen: "deleted: selected"}
    assert not set(inside) & set(cvat.server.tasks)
    # Again, where no project of the selection is left.
    report = await ac.delete(cvat.client, selection, expect=plan.count, plan=plan, options=given)
    assert actions(report) == {chosen: "skipped: gone"}
    assert report.ok


@pytest.mark.parametrize("name", ["concurrency", "transfers", "queue_timeout"])
def test_what_limits_queues_and_transfers_is_no_option_of_deletions(name: str) -> None:
    given: dict[str, Any] = {name: 3}
    with pytest.raises(TypeError, match=name):
        ac.DeleteOptions(**given)
