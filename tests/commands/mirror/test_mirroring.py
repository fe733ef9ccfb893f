"""Check mirrors: they hold what the server has, and a second run costs the listing only."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_serving import (
    QUICK,
    Log,
    actions,
    connected,
    error,
    files,
    outcome,
    receipt_head,
    serving,
    staged,
)

import asynccvat as ac
from asynccvat.events import DestinationSettled, ListingRead, Planned, RunStarted

pytestmark = pytest.mark.anyio

IMAGES = ac.ExportSpec("CVAT for images 1.1", images=True)
COCO = ac.ExportSpec("COCO 1.0")


@pytest.mark.parametrize("spec", [ac.ExportSpec(), IMAGES, COCO], ids=["cvat", "images", "coco"])
async def test_every_task_lands_equal_to_the_servers_archives(
    data: Path, spec: ac.ExportSpec
) -> None:
    async with serving(6, unicode_tasks=1, subsets=("", "Train")) as serve:
        report = await ac.mirror(serve.client, data, spec=spec, options=QUICK)
        assert report.ok
        assert actions(report) == dict.fromkeys(range(1, 7), ("fetched", "new"))
        assert files(data) == await serve.archives(spec)
        assert staged(data) == []


async def test_a_durable_mirror_holds_the_same(data: Path) -> None:
    async with serving(2) as serve:
        assert (await ac.mirror(serve.client, str(data))).ok
        assert files(data) == await serve.archives()


async def test_an_outcome_counts_files_and_bytes(data: Path) -> None:
    async with serving(1) as serve:
        report = await ac.mirror(serve.client, data, spec=IMAGES, options=QUICK)
        one = outcome(report, 1)
        held = files(data / "task1")
        assert one.path == data / "task1"
        assert one.name == serve.server.tasks[1].name
        assert (one.files, one.bytes) == (len(held), sum(map(len, held.values())))
        assert report.transferred == one.transferred > one.bytes
        assert report.requests == len(serve.server.calls)
        assert one.seconds > 0
        assert report.seconds >= one.seconds


async def test_a_receipt_says_what_was_claimed(data: Path) -> None:
    async with serving(1) as serve:
        await ac.mirror(serve.client, data, spec=COCO, options=QUICK)
        (task,) = (await serve.client.tasks()).tasks
        head = receipt_head(data, 1)
        assert (head["task_id"], head["task_name"], head["folder"]) == (1, task.name, "task1")
        assert (head["format"], head["images"]) == ("COCO 1.0", False)
        assert (head["updated_date"], head["origin"]) == (task.updated_date, serve.server.url)


async def test_a_second_run_costs_the_listing_and_nothing_else(data: Path) -> None:
    async with serving(5) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        before, seen = files(data, own=True), len(serve.server.calls)
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert report.ok
        assert set(actions(report).values()) == {("kept", "unchanged")}
        assert {call.path for call in serve.server.calls[seen:]} == {"/api/tasks"}
        assert report.requests == len(serve.server.calls) - seen
        after = files(data, own=True)
        for name in ("lock", "last-run.json", "complete-run.json"):
            before.pop(f".asynccvat/{name}")
            after.pop(f".asynccvat/{name}")
        assert after == before


async def test_an_empty_server_is_an_empty_mirror(data: Path) -> None:
    async with serving(0, projects=0) as serve:
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert report.ok
        assert report.outcomes == ()
        assert files(data) == {}


async def test_a_task_without_data_is_skipped_with_a_warning(data: Path) -> None:
    async with serving(3, tasks_without_data=1) as serve:
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert report.ok
        assert actions(report)[3] == ("skipped", "no data")
        assert "no data" in outcome(report, 3).warnings[0]
        assert serve.calls("POST", "/api/tasks/3") == []
        assert files(data) == await serve.archives()


async def test_the_longest_exports_begin_first(data: Path, log: Log) -> None:
    async with serving(2) as serve:
        serve.server.add_task("long", frames=40)
        await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        asked = [call.task_id for call in serve.calls("POST", "dataset/export")]
        assert asked == [3, 1, 2]


async def test_the_events_of_a_run_begin_with_the_listing_and_the_plan(
    data: Path, log: Log
) -> None:
    async with serving(2) as serve:
        await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        mirrors = "all tasks, CVAT, without images"
        assert isinstance(log.events[0], RunStarted)
        assert log.events[1:4] == [
            DestinationSettled(f"{data}/ mirrors {serve.client.origin}: {mirrors}"),
            ListingRead(2, complete=True),
            Planned(fetch=2, keep=0, skip=0, move=0, remove=0, refuse=0),
        ]
        for kind in (
            "export_requested",
            "export_finished",
            "transfer_progress",
            "transfer_finished",
            "task_done",
        ):
            assert log.names.count(kind) == 2, kind
        assert log.names[-1] == "run_finished"


# What is selected


async def test_only_what_was_selected_is_mirrored(data: Path) -> None:
    async with serving(6, projects=2, subsets=("a", "b", "c")) as serve:
        tasks = serve.server.tasks
        project = tasks[4].project_id
        assert project is not None
        selections = {
            "ids": (ac.Selection(task_ids=[2, 5]), {2, 5}),
            "project": (
                ac.Selection(project_ids=[project]),
                {one.id for one in tasks.values() if one.project_id == project},
            ),
            "status": (
                ac.Selection(status="completed"),
                {one.id for one in tasks.values() if one.status == "completed"},
            ),
            "subset": (
                ac.Selection(subset="b"),
                {one.id for one in tasks.values() if one.subset == "b"},
            ),
            "name": (ac.Selection(name=tasks[3].name), {3}),
            "filter": (ac.Selection(filter='{"in":[{"var":"id"},[1,6]]}'), {1, 6}),
        }
        for name, (selection, wanted) in selections.items():
            report = await ac.mirror(serve.client, data / name, selection, options=QUICK)
            assert set(actions(report)) == wanted, name
            assert report.ok
            assert {path.name for path in (data / name).glob("task*")} == {
                f"task{task_id}" for task_id in wanted
            }


async def test_an_id_that_is_not_there_fails_alone(data: Path) -> None:
    async with serving(2) as serve:
        report = await ac.mirror(serve.client, data, ac.Selection(task_ids=[2, 77]), options=QUICK)
        assert actions(report) == {2: ("fetched", "new"), 77: ("failed", "not found")}
        assert isinstance(error(report, 77), ac.NotFoundError)
        assert "task 77" in str(error(report, 77))
        assert not report.ok


async def test_an_id_that_another_filter_leaves_out_is_no_failure(data: Path) -> None:
    async with serving(3) as serve:
        status = serve.server.tasks[1].status
        selection = ac.Selection(task_ids=[1, 2, 3], status=status)
        report = await ac.mirror(serve.client, data, selection, options=QUICK)
        assert set(actions(report)) == {1}
        assert report.ok


async def test_a_project_that_is_not_there_ends_the_run(data: Path) -> None:
    async with serving(1) as serve:
        with pytest.raises(ac.NotFoundError, match="no project 99"):
            await ac.mirror(serve.client, data, ac.Selection(project_ids=[99]), options=QUICK)


async def test_organizations_have_separate_mirrors(data: Path) -> None:
    async with serving(4) as serve:
        serve.server.add_organization("lab", (1, 2))
        serve.server.add_organization("plant", (3,))
        for slug, wanted in (("lab", {1, 2}), ("plant", {3}), ("", {4})):
            async with connected(serve.server, organization=slug) as client:
                place = data / (slug or "personal")
                report = await ac.mirror(client, place, options=QUICK)
                assert set(actions(report)) == wanted
                assert receipt_head(place, min(wanted))["organization"] == slug


async def test_an_organization_that_is_unknown_is_named(data: Path) -> None:
    async with serving(1, client={"organization": "nowhere"}) as serve:
        with pytest.raises(ac.ConfigError, match="nowhere"):
            await ac.mirror(serve.client, data, options=QUICK)
        assert files(data) == {}


async def test_a_read_only_access_token_may_mirror(data: Path) -> None:
    async with serving(2) as serve:
        token = serve.server.create_access_token(read_only=True)
        async with connected(serve.server, token=token) as client:
            assert (await ac.mirror(client, data, options=QUICK)).ok


# What is planned


async def test_a_plan_changes_nothing(data: Path) -> None:
    async with serving(3, tasks_without_data=1) as serve:
        plan = await ac.plan_mirror(serve.client, data)
        assert dict(plan.counts) == {"fetch": 2, "skip": 1}
        assert not data.exists()
        await ac.mirror(serve.client, data, options=QUICK)
        before = files(data, own=True)
        serve.server.edit_task(2)
        exported = len(serve.calls("POST", "dataset/export"))
        plan = await ac.plan_mirror(serve.client, data)
        assert [
            (one["task_id"], one["step"], one["reason"]) for one in plan.to_json()["steps"]
        ] == [
            (1, "keep", "unchanged"),
            (2, "fetch", "changed"),
            (3, "skip", "no data"),
        ]
        assert files(data, own=True) == before
        assert len(serve.calls("POST", "dataset/export")) == exported
