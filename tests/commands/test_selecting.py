"""Projects by name, excluded names and limits select the same in every command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_serving import QUICK, actions, serving

import asynccvat as ac
from asynccvat.core.plans.copy_steps import CopyTask
from asynccvat.errors import ChangeRefusedError, ConfigError

pytestmark = pytest.mark.anyio

BACKUP = ac.BackupOptions(durable=False)


def lasting(place: Path) -> dict[str, Any]:
    """Return the selection that a destination remembers."""
    identity = json.loads((place / ".asynccvat" / "destination.json").read_bytes())
    found: dict[str, Any] = identity["settings"]["selection"]
    return found


async def test_a_project_is_found_by_its_name_with_one_call_and_remembered_by_its_id(
    data: Path,
) -> None:
    async with serving(6, projects=3) as serve:
        selection = ac.Selection(projects=["project-2", 3])
        report = await ac.mirror(serve.client, data, selection, options=QUICK)
        assert set(actions(report)) == {3, 4, 5, 6}
        assert len(serve.calls("GET", "/api/projects")) == 1
        assert lasting(data) == {"project_ids": [2, 3]}
        again = await ac.mirror(serve.client, data, selection, options=QUICK)
        assert set(actions(again).values()) == {("kept", "unchanged")}
        other = ac.Selection(projects=["project-1"])
        with pytest.raises(ChangeRefusedError, match="project 1"):
            await ac.mirror(serve.client, data, other, options=QUICK)


async def test_a_name_that_no_project_or_several_have_is_refused_before_anything_is_done(
    data: Path,
) -> None:
    async with serving(4, projects=2) as serve:
        with pytest.raises(ConfigError, match=r"no project 'Project-1' .*Did you mean 'project-1'"):
            await ac.mirror(serve.client, data, ac.Selection(projects=["Project-1"]), options=QUICK)
        assert not data.exists()
        twin = replace(serve.server.projects[2], name="project-1")
        serve.server.world.projects[2] = twin
        with pytest.raises(ConfigError, match=r"2 projects named 'project-1': 1, 2\. Give the id"):
            await serve.client.tasks(ac.Selection(projects=["project-1"]))
        jobs = ac.JobSelection(projects=["project-1"])
        with pytest.raises(ConfigError, match="2 projects named"):
            await serve.client.jobs(jobs)


async def test_lists_take_names_of_projects() -> None:
    async with serving(4, projects=2) as serve:
        tasks = ac.Selection(projects=["project-2"])
        assert [task.id for task in (await serve.client.tasks(tasks)).tasks] == [3, 4]
        assert [task.id async for task in serve.client.iter_tasks(tasks)] == [3, 4]
        jobs = await serve.client.jobs(ac.JobSelection(projects=["project-2"]))
        assert {job.task_id for job in jobs} == {3, 4}


async def test_excluded_names_are_remembered_and_counted_as_a_change(data: Path) -> None:
    async with serving(4) as serve:
        selection = ac.Selection(exclude=["*-00002", "street-00003"])
        plan = await ac.plan_mirror(serve.client, data, selection)
        assert "all tasks, without '*-00002' and 'street-00003'" in plan.description
        report = await ac.mirror(serve.client, data, selection, options=QUICK)
        assert set(actions(report)) == {1, 4}
        assert set(actions(await ac.mirror(serve.client, data, options=QUICK))) == {1, 4}
        with pytest.raises(ChangeRefusedError, match=r"tasks without .* tasks without 'x'"):
            await ac.mirror(serve.client, data, ac.Selection(exclude=["x"]), options=QUICK)
        widened = replace(QUICK, change=True, everything=True)
        assert len(actions(await ac.mirror(serve.client, data, options=widened))) == 4


async def test_a_limit_holds_for_one_run_and_lets_nothing_look_gone(data: Path) -> None:
    async with serving(6, projects=2) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        few = await ac.mirror(serve.client, data, ac.Selection(limit=2), options=QUICK)
        assert set(actions(few)) == {1, 2}
        assert few.warnings == ()
        assert len(actions(await ac.mirror(serve.client, data, options=QUICK))) == 6
        prune = replace(QUICK, prune=True)
        with pytest.raises(ConfigError, match="--prune contradicts --limit"):
            await ac.mirror(serve.client, data, ac.Selection(limit=2), options=prune)


async def test_a_first_run_with_a_limit_remembers_the_rest_of_its_selection(data: Path) -> None:
    async with serving(6, projects=2) as serve:
        trial = ac.Selection(projects=["project-2"], limit=1)
        assert set(actions(await ac.mirror(serve.client, data, trial, options=QUICK))) == {4}
        assert lasting(data) == {"project_ids": [2]}
        assert set(actions(await ac.mirror(serve.client, data, options=QUICK))) == {4, 5, 6}


async def test_a_limit_reads_no_more_of_the_list_than_it_needs() -> None:
    async with serving(300) as serve:
        selection = ac.Selection(limit=3, exclude=["street-00002"])
        listing = await serve.client.tasks(selection, page_size=100)
        assert [task.id for task in listing.tasks] == [1, 3, 4]
        assert listing.complete
        assert len(serve.calls("GET", "/api/tasks")) <= 2
        assert [task.id async for task in serve.client.iter_tasks(selection)] == [1, 3, 4]
        assert len(await serve.client.jobs(ac.JobSelection(limit=2))) == 2
        assert len(await serve.client.projects(ac.ProjectSelection(limit=1))) == 1


@pytest.mark.parametrize("target", ["projects", "jobs"])
async def test_projects_and_jobs_are_limited_and_excluded(data: Path, target: str) -> None:
    options = replace(QUICK, target=target)
    async with serving(4, projects=2) as serve:
        selection = ac.Selection(exclude=["project-1", "street-00001"], limit=1)
        report = await ac.mirror(serve.client, data, selection, options=options)
        (outcome,) = report.outcomes
        assert outcome.ok
        assert outcome.task_id == 2


@pytest.mark.parametrize("projects", [False, True])
async def test_backups_are_limited_and_excluded(data: Path, projects: bool) -> None:
    async with serving(4, projects=2) as serve:
        selection = ac.Selection(projects=["project-1", "project-2"], exclude=["street-00001"])
        options = replace(BACKUP, projects=projects)
        limited = replace(selection, limit=1)
        report = await ac.backup(serve.client, data, limited, options=options)
        assert [one.task_id for one in report.outcomes] == [1 if projects else 2]
        assert lasting(data) == {"project_ids": [1, 2], "exclude": ["street-00001"]}
        rest = await ac.backup(serve.client, data, options=options)
        assert len(rest.outcomes) == (2 if projects else 3)
        assert rest.warnings == ()


async def test_deletions_take_names_of_projects_and_leave_what_is_excluded() -> None:
    async with serving(4, projects=2) as serve:
        selection = ac.Selection(projects=["project-2"], exclude=["*3"])
        plan = await ac.plan_delete(serve.client, selection)
        assert [step.id for step in plan.deletions] == [4]
        whole = ac.DeleteOptions(projects=True)
        plan = await ac.plan_delete(serve.client, selection, options=whole)
        assert [step.id for step in plan.deletions] == [2]
        limited = replace(selection, exclude=None, limit=1)
        assert [step.id for step in (await ac.plan_delete(serve.client, limited)).deletions] == [3]


async def test_copies_take_names_of_projects_excluded_names_and_limits(tmp_path: Path) -> None:
    options = ac.CopyOptions(durable=False, state=tmp_path / "state")
    async with serving(4, projects=2) as here, serving(0) as there:
        selection = ac.Selection(projects=["project-2"], exclude=["*3"])
        plan = await ac.plan_copy(here.client, there.client, selection, options=options)
        assert [step.task.id for step in plan.of(CopyTask)] == [4]
        plan = await ac.plan_copy(here.client, there.client, ac.Selection(limit=1), options=options)
        assert [step.task.id for step in plan.of(CopyTask)] == [1]
        prune = replace(options, prune=True)
        with pytest.raises(ConfigError, match="--prune contradicts --limit"):
            await ac.plan_copy(here.client, there.client, ac.Selection(limit=1), options=prune)


async def test_a_comparison_with_the_server_takes_no_limit(data: Path) -> None:
    async with serving(4, projects=2) as serve:
        selection = ac.Selection(projects=["project-2"], exclude=["*4"])
        await ac.mirror(serve.client, data, selection, options=QUICK)
        report = await ac.verify(
            data, client=serve.client, against_server=True, selection=selection
        )
        assert report.ok
        with pytest.raises(ConfigError, match=r"needs the whole list\. Remove --limit"):
            await ac.verify(
                data, client=serve.client, against_server=True, selection=ac.Selection(limit=1)
            )
