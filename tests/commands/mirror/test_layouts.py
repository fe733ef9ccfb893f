"""Check mirrors whose folders are named by a layout, and follow the names on the server."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from destinations import ignore_case
from engine_serving import (
    QUICK,
    Log,
    Serving,
    actions,
    error,
    files,
    kept,
    outcome,
    receipt_head,
    serving,
    staged,
)

import asynccvat as ac
from asynccvat.errors import ChangeRefusedError, ConfigError, ForeignFolderError
from asynccvat.events import DestinationSettled, Planned

pytestmark = pytest.mark.anyio

TEXT = "{project}/{subset}/task{id}-{name}"
LAYOUT = replace(QUICK, layout=TEXT)
XML = "annotations.xml"
FIRST = "project-1/default/task1-street-00001"
SECOND = "project-1/default/task2-street-00002"


@pytest.fixture
async def serve(data: Path) -> AsyncIterator[Serving]:
    """A server of two tasks in one project, mirrored once by a layout."""
    async with serving(2) as started:
        await mirrored(started, data, LAYOUT)
        yield started


async def mirrored(serve: Serving, data: Path, options: ac.MirrorOptions = QUICK) -> ac.RunReport:
    report = await ac.mirror(serve.client, data, options=options)
    assert report.ok, report.failures
    return report


def places(data: Path) -> dict[int, str]:
    """Return the folder of each receipt, which must be there."""
    ids = sorted(int(path.stem) for path in (data / ".asynccvat" / "receipts").glob("*.json"))
    found = {task_id: str(receipt_head(data, task_id)["folder"]) for task_id in ids}
    assert all((data / folder).is_dir() for folder in found.values())
    return found


def around(data: Path) -> set[str]:
    """Return the folders that hold no file, which no mirror should leave."""
    return {
        path.relative_to(data).as_posix()
        for path in data.rglob("*")
        if path.is_dir() and ".asynccvat" not in path.parts and not any(path.iterdir())
    }


async def test_a_layout_names_the_folders_and_the_destination_remembers_it(
    serve: Serving, data: Path, log: Log
) -> None:
    assert places(data) == {1: FIRST, 2: SECOND}
    assert files(data / FIRST) == await serve.archive(1)
    identity = json.loads((data / ".asynccvat/destination.json").read_bytes())
    assert (identity["version"], identity["settings"]["layout"]) == (3, TEXT)
    assert "folder_prefix" not in identity["settings"]
    assert receipt_head(data, 1)["version"] == 4
    before = len(serve.server.calls)
    report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
    assert set(actions(report).values()) == {("kept", "unchanged")}
    (settled,) = log.of(DestinationSettled)
    assert f"folders like {TEXT!r}" in settled.description
    # The names of projects cost one list.
    assert len(serve.calls("GET", since=before)) == 2


async def test_a_renamed_task_moves_and_is_not_fetched_again(serve: Serving, data: Path) -> None:
    (data / FIRST / "mine.txt").write_text("mine")
    (data / FIRST / XML).write_text("an edit")
    serve.server.world.change_task(1, name="left/cam")
    before = len(serve.calls("dataset"))
    plan = await ac.plan_mirror(serve.client, data, options=QUICK)
    details = {step["task_id"]: step.get("detail") for step in plan.to_json()["steps"]}
    report = await mirrored(serve, data)
    new = "project-1/default/task1-left%2Fcam"
    assert actions(report) == {1: ("moved", "renamed"), 2: ("kept", "unchanged")}
    (warning,) = outcome(report, 1).warnings
    assert warning.startswith("edited here, ")
    assert details == {1: warning, 2: None}
    assert outcome(report, 1).path == data / new
    assert places(data) == {1: new, 2: SECOND}
    assert files(data / new) == {XML: b"an edit", "mine.txt": b"mine"}
    assert (receipt_head(data, 1)["task_name"], kept(data), staged(data)) == ("left/cam", {}, [])
    assert len(serve.calls("dataset")) == before
    assert actions(await mirrored(serve, data))[1] == ("kept", "edited")


async def test_a_task_that_was_renamed_and_annotated_is_fetched_into_the_new_folder(
    serve: Serving, data: Path
) -> None:
    serve.server.world.change_task(1, name="left")
    serve.server.edit_task(1)
    report = await mirrored(serve, data)
    assert actions(report)[1] == ("fetched", "changed")
    assert places(data)[1] == "project-1/default/task1-left"
    assert files(data / places(data)[1]) == await serve.archive(1)
    assert not (data / FIRST).exists()


async def test_a_label_that_changed_with_the_name_is_noticed(serve: Serving, data: Path) -> None:
    world = serve.server.world
    labels = world.projects[1].labels
    world.change_project(1, labels=(replace(labels[0], color="#123456"), *labels[1:]))
    world.change_task(1, name="left")
    assert actions(await mirrored(serve, data)) == {
        1: ("fetched", "changed"),
        2: ("fetched", "changed"),
    }


async def test_deleted_frames_are_noticed_beside_another_name(serve: Serving, data: Path) -> None:
    serve.server.world.change_task(1, name="left", deleted_frames=(1,))
    assert actions(await mirrored(serve, data))[1] == ("fetched", "changed")


async def test_without_an_answer_of_the_server_a_renamed_task_is_fetched(
    serve: Serving, data: Path
) -> None:
    serve.server.world.change_task(1, name="left")
    serve.server.faults.add(ac.simulator.Fault(path="/api/labels", status=403, times=None))
    assert actions(await mirrored(serve, data))[1] == ("fetched", "changed")
    assert places(data)[1] == "project-1/default/task1-left"
    assert receipt_head(data, 1)["content"] is None


@pytest.mark.parametrize(
    ("layout", "asks"),
    [("task{id}", False), ("{subset}/{organization}/{id}", False)]
    + [(f"{{{field}}}/{{id}}", True) for field in ("name", "project", "project_id")],
)
async def test_only_a_layout_with_names_asks_what_an_export_depends_on(
    data: Path, layout: str, *, asks: bool
) -> None:
    async with serving(2) as serve:
        await mirrored(serve, data, replace(QUICK, layout=layout))
        questions = ("/api/jobs", "/data/meta", "/api/labels")
        asked = [len(serve.calls("GET", path)) for path in questions]
        assert asked == ([2, 2, 1] if asks else [0, 0, 0])
        assert (receipt_head(data, 1)["content"] is not None) == asks


async def test_another_subset_is_fetched_as_formats_name_files_after_it(
    serve: Serving, data: Path
) -> None:
    serve.server.world.change_task(1, subset="Train")
    assert actions(await mirrored(serve, data))[1] == ("fetched", "changed")
    assert places(data)[1] == "project-1/Train/task1-street-00001"


async def test_a_renamed_project_moves_its_tasks_and_leaves_no_empty_folder(
    serve: Serving, data: Path
) -> None:
    serve.server.world.change_project(1, name="Street")
    before = len(serve.calls("dataset"))
    report = await mirrored(serve, data)
    assert set(actions(report).values()) == {("moved", "renamed")}
    assert places(data) == {
        1: "Street/default/task1-street-00001",
        2: "Street/default/task2-street-00002",
    }
    assert sorted(path.name for path in data.iterdir()) == [".asynccvat", "Street"]
    assert len(serve.calls("dataset")) == before


async def test_a_task_moves_with_its_project_if_that_has_the_same_labels(
    serve: Serving, data: Path
) -> None:
    world = serve.server.world
    other = world.add_project("Other", world.projects[1].labels)
    world.change_task(1, project_id=other.id)
    assert actions(await mirrored(serve, data))[1] == ("moved", "renamed")
    assert places(data)[1] == "Other/default/task1-street-00001"
    assert receipt_head(data, 1)["project_id"] == other.id


async def test_two_tasks_that_swap_names_swap_folders(serve: Serving, data: Path) -> None:
    names = [serve.server.tasks[one].name for one in (1, 2)]
    serve.server.world.change_task(1, name=names[1])
    serve.server.world.change_task(2, name=names[0])
    report = await mirrored(serve, data)
    assert set(actions(report).values()) == {("moved", "renamed")}
    assert places(data) == {
        1: "project-1/default/task1-street-00002",
        2: "project-1/default/task2-street-00001",
    }


async def test_names_that_are_one_without_case_do_not_meet(data: Path) -> None:
    options = replace(QUICK, layout="{name}{id}")
    async with serving(12) as serve:
        serve.server.world.change_task(2, name="a1")
        serve.server.world.change_task(12, name="A")
        await mirrored(serve, data, options)
        assert (places(data)[2], places(data)[12]) == ("a12", "A12~12")
        serve.server.world.change_task(2, name="b")
        assert actions(await mirrored(serve, data))[12] == ("kept", "unchanged")
        assert places(data)[12] == "A12~12"


@pytest.mark.parametrize("edits", [False, True])
async def test_a_name_in_another_case_moves_its_folder_where_the_disk_ignores_case(
    serve: Serving, data: Path, monkeypatch: pytest.MonkeyPatch, *, edits: bool
) -> None:
    ignore_case(monkeypatch)
    serve.server.world.change_task(1, name="Street-00001")
    if edits:
        (data / FIRST / "mine.txt").write_text("mine")
    report = await mirrored(serve, data)
    new = "project-1/default/task1-Street-00001"
    assert actions(report) == {1: ("moved", "renamed"), 2: ("kept", "unchanged")}
    assert places(data) == {1: new, 2: SECOND}
    assert (data / new / "mine.txt").exists() == edits
    assert (kept(data), staged(data)) == ({}, [])
    assert actions(await mirrored(serve, data))[2] == ("kept", "unchanged")


async def test_a_project_s_name_in_another_case_is_no_problem_where_the_disk_ignores_case(
    serve: Serving, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignore_case(monkeypatch)
    serve.server.world.change_project(1, name="Project-1")
    report = await mirrored(serve, data)
    assert set(actions(report).values()) == {("moved", "renamed")}
    found = {task_id: str(receipt_head(data, task_id)["folder"]) for task_id in (1, 2)}
    assert found == {1: FIRST.capitalize(), 2: SECOND.capitalize()}
    assert set(actions(await mirrored(serve, data)).values()) == {("kept", "unchanged")}
    assert (await ac.verify(data)).problems == ()
    serve.server.world.change_task(1, name="Street-00001")
    serve.server.edit_task(1)
    assert actions(await mirrored(serve, data))[1] == ("fetched", "changed")
    assert actions(await mirrored(serve, data))[1] == ("kept", "unchanged")
    assert (await ac.verify(data)).problems == ()
    (data / "Other").mkdir()
    (problem,) = (await ac.verify(data)).problems
    assert (problem.kind, problem.path) == ("foreign", "Other/")
    assert (kept(data), staged(data)) == ({}, [])


async def test_a_prefix_in_another_case_moves_the_folders_where_the_disk_ignores_case(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignore_case(monkeypatch)
    async with serving(2) as serve:
        await mirrored(serve, data)
        other = replace(QUICK, folder_prefix="Task", change=True)
        assert set(actions(await mirrored(serve, data, other)).values()) == {("moved", "prefix")}
        assert sorted(path.name for path in data.iterdir()) == [".asynccvat", "Task1", "Task2"]
        (data / "task3").mkdir()
        serve.server.add_task()
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert isinstance(error(report, 3), ForeignFolderError)


async def test_a_dry_run_shows_the_move_and_changes_nothing(serve: Serving, data: Path) -> None:
    serve.server.world.change_task(1, name="left")
    before = files(data, own=True)
    plan = await ac.plan_mirror(serve.client, data, options=QUICK)
    assert plan.counts == {"move": 1, "keep": 1}
    step = plan.to_json()["steps"][0]
    assert (step["step"], step["reason"]) == ("move", "renamed")
    assert step["folder"] == "project-1/default/task1-left"
    assert step["previous_folder"] == FIRST
    assert files(data, own=True) == before


async def test_a_destination_gets_a_layout_on_purpose_and_fetches_nothing(data: Path) -> None:
    async with serving(2) as serve:
        await mirrored(serve, data)
        before = len(serve.calls("dataset"))
        with pytest.raises(ChangeRefusedError, match="with folders by ids alone"):
            await ac.mirror(serve.client, data, options=LAYOUT)
        assert sorted(path.name for path in data.iterdir()) == [".asynccvat", "task1", "task2"]
        report = await mirrored(serve, data, replace(LAYOUT, change=True))
        assert set(actions(report).values()) == {("moved", "layout")}
        assert places(data) == {1: FIRST, 2: SECOND}
        serve.server.world.change_task(1, name="left")
        assert actions(await mirrored(serve, data))[1] == ("moved", "renamed")
        other = replace(QUICK, layout="task{id}", change=True)
        assert set(actions(await mirrored(serve, data, other)).values()) == {("moved", "layout")}
        assert places(data) == {1: "task1", 2: "task2"}
        assert sorted(path.name for path in data.iterdir()) == [".asynccvat", "task1", "task2"]
        assert len(serve.calls("dataset")) == before
        assert around(data) == set()


async def test_folders_that_an_earlier_run_left_for_a_new_layout_are_not_called_renamed(
    serve: Serving, data: Path
) -> None:
    other = replace(QUICK, layout="x{id}", change=True)
    await ac.mirror(serve.client, data, ac.Selection(task_ids=[1]), options=other)
    assert places(data) == {1: "x1", 2: SECOND}
    report = await mirrored(serve, data, replace(QUICK, everything=True, change=True))
    assert actions(report) == {1: ("kept", "unchanged"), 2: ("moved", "layout")}


async def test_a_prefix_is_refused_where_a_layout_names_the_folders(
    serve: Serving, data: Path
) -> None:
    with pytest.raises(ConfigError, match="its folders have the layout"):
        await ac.mirror(serve.client, data, options=replace(QUICK, folder_prefix="t_"))
    with pytest.raises(ConfigError, match="--folder-prefix contradicts --layout"):
        replace(LAYOUT, folder_prefix="t_")


async def test_a_lost_layout_is_asked_for(serve: Serving, data: Path) -> None:
    (data / ".asynccvat/destination.json").unlink()
    with pytest.raises(ConfigError, match="Give its --layout once more"):
        await ac.mirror(serve.client, data, options=replace(QUICK, everything=True))
    report = await mirrored(serve, data, replace(LAYOUT, everything=True))
    assert set(actions(report).values()) == {("kept", "unchanged")}


async def test_a_selection_leaves_the_folders_of_other_tasks_where_they_are(
    serve: Serving, data: Path
) -> None:
    serve.server.world.change_task(1, name="left")
    serve.server.world.change_task(2, name="right")
    report = await ac.mirror(serve.client, data, ac.Selection(task_ids=[2]), options=QUICK)
    assert actions(report) == {2: ("moved", "renamed")}
    assert places(data) == {1: FIRST, 2: "project-1/default/task2-right"}


async def test_a_pruned_task_takes_its_empty_folders_along(serve: Serving, data: Path) -> None:
    serve.server.world.change_task(1, subset="Train")
    await mirrored(serve, data)
    serve.server.delete_task(1)
    report = await mirrored(serve, data, replace(QUICK, prune=True, max_delete=1))
    assert actions(report)[1] == ("removed", "gone")
    assert sorted(path.name for path in (data / "project-1").iterdir()) == ["default"]


@pytest.mark.parametrize("kind", ["file", "link", "destination"])
async def test_something_else_on_the_way_is_refused_and_stays(data: Path, kind: str) -> None:
    elsewhere = data.parent / "elsewhere"
    elsewhere.mkdir()
    data.mkdir()
    async with serving(1) as serve:
        if kind == "file":
            (data / "project-1").write_text("mine")
        elif kind == "link":
            (data / "project-1").symlink_to(elsewhere)
        else:
            await mirrored(serve, data / "project-1")
            shutil.move(data / "project-1", elsewhere / "moved")
            await mirrored(serve, data, replace(QUICK, layout="{id}"))
            shutil.move(elsewhere / "moved", data / "project-1")
        report = await ac.mirror(serve.client, data, options=replace(LAYOUT, change=True))
        assert isinstance(error(report, 1), ForeignFolderError)
        assert "Move it away" in str(error(report, 1))
        assert not any(elsewhere.iterdir())


async def test_projects_are_named_by_a_layout(data: Path) -> None:
    options = replace(QUICK, target="projects", layout="{organization}/{name}-{id}")
    async with serving(2) as serve:
        await mirrored(serve, data, options)
        assert places(data) == {1: "personal/project-1-1"}
        serve.server.world.change_project(1, name="Street")
        assert actions(await mirrored(serve, data)) == {1: ("fetched", "changed")}
        assert places(data) == {1: "personal/Street-1"}
        assert sorted(path.name for path in (data / "personal").iterdir()) == ["Street-1"]


async def test_jobs_are_named_by_a_layout_and_found_by_their_tasks(data: Path) -> None:
    options = replace(QUICK, target="jobs", layout="{project}/{subset}/{task_id}-{name}/job{id}")
    async with serving(2) as serve:
        await mirrored(serve, data, options)
        assert places(data) == {
            1: "project-1/default/1-street-00001/job1",
            2: "project-1/default/2-street-00002/job2",
        }
        assert (await ac.verify(data, [2])).tasks == 1
        (data / places(data)[1] / XML).write_text("mine")
        serve.server.edit_task(1)
        serve.server.world.change_task(1, name="left", subset="Train")
        assert actions(await mirrored(serve, data))[1] == ("fetched", "changed")
        assert places(data)[1] == "project-1/Train/1-left/job1"
        assert around(data) == set()
        (item,) = await ac.kept(data)
        assert item.name.startswith("kept/task1-job1-")
        assert item.folder == places(data)[1]
        serve.server.delete_task(2)
        report = await mirrored(serve, data, replace(QUICK, prune=True, max_delete=1))
        assert actions(report)[2] == ("removed", "gone")
        (data / ".asynccvat/destination.json").unlink()
        with pytest.raises(ConfigError, match="Give its --layout once more"):
            await ac.mirror(serve.client, data, options=replace(QUICK, everything=True))


@pytest.mark.usefixtures("serve")
async def test_verification_finds_the_folders_by_their_receipts(data: Path) -> None:
    assert (await ac.verify(data)).problems == ()
    assert (await ac.verify(data, folders=["project-1/*"])).tasks == 2
    assert (await ac.verify(data, folders=["project-1/default"])).tasks == 2
    (data / FIRST / XML).unlink()
    (data / "project-1/mine.txt").write_text("mine")
    found = await ac.verify(data)
    assert {problem.path for problem in found.problems} == {f"{FIRST}/{XML}", "project-1/mine.txt"}


async def test_a_repair_leaves_the_folder_where_its_receipt_says(
    serve: Serving, data: Path
) -> None:
    serve.server.world.change_task(1, name="left")
    (data / FIRST / XML).unlink()
    (data / ".asynccvat/receipts/2.json").write_bytes(b"damaged")
    report = await ac.verify(data, client=serve.client, repair=True)
    assert report.ok, report.failures
    assert places(data) == {1: FIRST, 2: SECOND}
    assert files(data / SECOND) == await serve.archive(2)


async def test_what_was_put_aside_is_restored_after_a_move(serve: Serving, data: Path) -> None:
    (data / FIRST / XML).write_text("mine")
    serve.server.edit_task(1)
    await mirrored(serve, data)
    serve.server.world.change_task(1, name="left")
    await mirrored(serve, data)
    (item,) = await ac.kept(data)
    assert (item.target_id, item.folder) == (1, "project-1/default/task1-left")


async def test_folders_are_found_from_python(serve: Serving, data: Path) -> None:
    assert await ac.folders(data) == {1: data / FIRST, 2: data / SECOND}
    with pytest.raises(ConfigError, match="holds neither a mirror nor backups"):
        await ac.folders(data.parent)
    assert serve.server.tasks.keys() == {1, 2}


async def test_an_upload_finds_the_files_by_the_receipts(serve: Serving, data: Path) -> None:
    file = data / FIRST / XML
    file.write_bytes(file.read_bytes() + b"\n")
    report = await ac.upload(serve.client, data, options=ac.UploadOptions(durable=False))
    assert report.ok, report.failures
    assert actions(report)[1][0] == "uploaded"


async def test_events_count_the_moves(serve: Serving, data: Path, log: Log) -> None:
    serve.server.world.change_task(1, name="left")
    await ac.mirror(serve.client, data, options=QUICK, on_event=log)
    (planned,) = log.of(Planned)
    assert (planned.move, planned.fetch, planned.keep) == (1, 0, 1)
