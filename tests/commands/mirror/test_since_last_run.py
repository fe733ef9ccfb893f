"""`--since-last-run` looks at what changed since the last complete run, or failed in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from engine_serving import QUICK, Serving, actions, files, serving

import asynccvat as ac
from asynccvat.errors import ConfigError
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio

SINCE = replace(QUICK, since_last_run=True)


def note(data: Path) -> Path:
    return data / ".asynccvat" / "complete-run.json"


def long_ago(data: Path) -> None:
    """Set the note's time between the tasks' dates and now, as hours after the run."""
    found = json.loads(note(data).read_bytes())
    note(data).write_text(json.dumps({**found, "since": "2026-06-01T00:00:00Z"}))


def change(serve: Serving, task_id: int) -> None:
    serve.server.edit_task(task_id)


async def test_only_what_changed_is_listed_and_fetched(data: Path) -> None:
    async with serving(6) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        before = files(data)
        long_ago(data)
        quiet = await ac.mirror(serve.client, data, options=SINCE)
        assert actions(quiet) == {}
        assert quiet.warnings == ()
        assert files(data) == before
        change(serve, 4)
        plan = await ac.plan_mirror(serve.client, data, options=SINCE)
        assert plan.counts == {"fetch": 1}
        assert "; this run: tasks updated since " in plan.description
        report = await ac.mirror(serve.client, data, options=SINCE)
        assert actions(report) == {4: ("fetched", "changed")}


async def test_a_quiet_run_asks_for_one_list_of_tasks(data: Path) -> None:
    async with serving(40) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        long_ago(data)
        calls = len(serve.calls("GET", "/api/tasks"))
        await ac.mirror(serve.client, data, options=SINCE)
        assert len(serve.calls("GET", "/api/tasks")) == calls + 1


async def test_a_quiet_run_with_a_name_warns_of_nothing_and_asks_no_more(data: Path) -> None:
    async with serving(3) as serve:
        named = ac.Selection(name="street-*", owner=serve.server.username)
        await ac.mirror(serve.client, data, named, options=QUICK)
        long_ago(data)
        calls = len(serve.calls("GET", "/api/tasks"))
        report = await ac.mirror(serve.client, data, options=SINCE)
        assert (actions(report), report.warnings) == ({}, ())
        assert len(serve.calls("GET", "/api/tasks")) == calls + 1


async def test_a_change_of_an_excluded_task_alone_is_quiet_too(data: Path) -> None:
    async with serving(3) as serve:
        wanted = ac.Selection(exclude=[serve.server.tasks[3].name])
        await ac.mirror(serve.client, data, wanted, options=QUICK)
        long_ago(data)
        change(serve, 3)
        report = await ac.mirror(serve.client, data, options=SINCE)
        assert (actions(report), report.warnings) == ({}, ())


async def test_what_failed_or_had_no_data_is_always_included(data: Path) -> None:
    async with serving(5, tasks_without_data=1) as serve:
        fault = Fault(export="fail", task_id=2, message="ValueError: no", times=None)
        serve.server.faults.add(fault)
        first = await ac.mirror(serve.client, data, options=QUICK)
        unfinished = [one.task_id for one in first.outcomes if one.reason == "no data"]
        assert json.loads(note(data).read_bytes())["unfinished"] == sorted([2, *unfinished])
        long_ago(data)
        again = await ac.mirror(serve.client, data, options=SINCE)
        assert set(actions(again)) == {2, *unfinished}
        assert not again.ok
        long_ago(data)
        serve.server.faults.clear()
        fetched = await ac.mirror(serve.client, data, options=SINCE)
        assert actions(fetched)[2][0] == "fetched"
        assert json.loads(note(data).read_bytes()).get("unfinished", []) == unfinished


async def test_a_run_that_is_not_complete_is_not_noted(data: Path) -> None:
    async with serving(4) as serve:
        for narrowed in (
            ac.Selection(task_ids=[1]),
            ac.Selection(limit=2),
            ac.Selection(updated_since="2020-01-01"),
        ):
            await ac.mirror(serve.client, data, narrowed, options=QUICK)
            assert not note(data).exists()
        plan = await ac.plan_mirror(serve.client, data, options=SINCE)
        assert plan.description.endswith(
            "; this run: all, as no complete run with these settings is noted"
        )
        assert len(plan.steps) == 4


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_text("{")])
async def test_without_a_readable_note_all_tasks_are_looked_at(
    data: Path, spoil: Callable[[Path], Any]
) -> None:
    async with serving(3) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        spoil(note(data))
        assert len(actions(await ac.mirror(serve.client, data, options=SINCE))) == 3
        assert note(data).exists()


async def test_other_settings_look_at_all_tasks(data: Path) -> None:
    async with serving(4, projects=2) as serve:
        await ac.mirror(serve.client, data, ac.Selection(projects=["project-1"]), options=QUICK)
        long_ago(data)
        wider = replace(SINCE, change=True)
        both = ac.Selection(projects=["project-1", "project-2"])
        assert set(actions(await ac.mirror(serve.client, data, both, options=wider))) == {
            1,
            2,
            3,
            4,
        }


async def test_settings_that_return_look_at_all_tasks(data: Path) -> None:
    async with serving(3) as serve:
        await ac.mirror(serve.client, data, spec="COCO 1.0", options=QUICK)
        long_ago(data)
        changing = replace(QUICK, change=True)
        one = ac.Selection(task_ids=[2])
        await ac.mirror(serve.client, data, one, "CVAT for images 1.1", options=changing)
        back = replace(SINCE, change=True)
        report = await ac.mirror(serve.client, data, spec="COCO 1.0", options=back)
        assert actions(report)[2] == ("fetched", "spec")


async def test_the_note_begins_before_the_run_did(data: Path) -> None:
    async with serving(1) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        since = ac.Selection(updated_since=json.loads(note(data).read_bytes())["since"])
        ended = serve.client.server_date
        assert ended is not None
        margin = timedelta(minutes=10)
        assert since == ac.Selection(updated_since=str(since.updated_since))
        assert str(since.updated_since) <= (ended - margin).isoformat().replace("+00:00", "Z")


async def test_pruning_still_asks_for_each_folder(data: Path) -> None:
    async with serving(4) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        long_ago(data)
        serve.server.delete_task(3)
        report = await ac.mirror(serve.client, data, options=replace(SINCE, prune=True))
        assert actions(report)[3] == ("removed", "gone")


@pytest.mark.parametrize(
    ("selection", "flag"),
    [
        (ac.Selection(task_ids=[1]), "--task-id"),
        (ac.Selection(updated_since="2026-01-01"), "--updated-since"),
    ],
)
async def test_what_says_otherwise_which_tasks_is_refused(
    data: Path, selection: ac.Selection, flag: str
) -> None:
    async with serving(1) as serve:
        with pytest.raises(ConfigError, match=f"--since-last-run contradicts {flag}"):
            await ac.mirror(serve.client, data, selection, options=SINCE)
        for target in ("projects", "jobs"):
            options = replace(SINCE, target=target)
            with pytest.raises(ConfigError, match=f"cannot mirror {target} with --since-last-run"):
                await ac.plan_mirror(serve.client, data, options=options)
