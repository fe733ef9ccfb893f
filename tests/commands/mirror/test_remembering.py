"""A destination knows what it is: later runs repeat the first, and change it on purpose only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from engine_serving import QUICK, actions, files, receipt_head, serving

import asynccvat as ac
from asynccvat.errors import ChangeRefusedError, ConfigError

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Destinations")]

COCO = ac.ExportSpec("COCO 1.0", images=True)
CHANGE = replace(QUICK, change=True)


def settings(data: Path) -> dict[str, object] | None:
    identity = json.loads((data / ".asynccvat" / "destination.json").read_bytes())
    found: dict[str, object] | None = identity.get("settings")
    return found


def as_of_an_earlier_version(data: Path) -> None:
    """Leave of `destination.json` what earlier versions wrote."""
    path = data / ".asynccvat" / "destination.json"
    identity = json.loads(path.read_bytes())
    del identity["settings"]
    path.write_text(json.dumps(identity))


async def test_a_run_without_options_repeats_the_first_one(data: Path) -> None:
    async with serving(4, projects=2) as serve:
        selection = ac.Selection(project_ids=[1])
        options = replace(QUICK, folder_prefix="t_")
        first = await ac.mirror(serve.client, data, selection, COCO, options=options)
        before = files(data)
        again = await ac.mirror(serve.client, data, options=QUICK)
        assert set(actions(again).values()) == {("kept", "unchanged")}
        assert actions(again).keys() == actions(first).keys() != set()
        assert len(actions(again)) < len(serve.server.tasks)
        assert files(data) == before
        plan = await ac.plan_mirror(serve.client, data)
        assert plan.counts == {"keep": len(first.outcomes)}
        assert plan.description == (
            f"{data}/ mirrors {serve.client.origin}: project 1, COCO 1.0, with images, "
            "folders like 't_147'"
        )
        assert plan.to_json()["description"] == plan.description


@pytest.mark.parametrize("early", [False, True], ids=["remembered", "from receipts"])
async def test_another_format_destroys_nothing_without_change(data: Path, early: bool) -> None:
    async with serving(2) as serve:
        await ac.mirror(serve.client, data, spec=COCO, options=QUICK)
        before = files(data)
        if early:
            as_of_an_earlier_version(data)
        since = len(serve.server.calls)
        with pytest.raises(
            ChangeRefusedError,
            match=r"as COCO 1.0, and this run would make it as Datumaro 1.0\. Leave",
        ):
            await ac.mirror(serve.client, data, spec="Datumaro 1.0", options=QUICK)
        with pytest.raises(
            ChangeRefusedError, match="with images, and this run would make it without images"
        ):
            await ac.plan_mirror(serve.client, data, images=False)
        assert files(data) == before
        assert serve.server.calls[since:] == []
        assert (await ac.mirror(serve.client, data, options=QUICK)).counts == {"kept": 2}
        assert settings(data) == {
            "format": "COCO 1.0",
            "images": True,
            "folder_prefix": "task",
            "selection": {},
        }
        changed = await ac.mirror(serve.client, data, spec="Datumaro 1.0", options=CHANGE)
        assert set(actions(changed).values()) == {("fetched", "spec")}
        assert receipt_head(data, 1)["images"] is True
        assert (await ac.mirror(serve.client, data, options=QUICK)).counts == {"kept": 2}


async def test_another_selection_is_refused_and_named_tasks_are_not(data: Path) -> None:
    async with serving(4, projects=2) as serve:
        everything = await ac.mirror(serve.client, data, ac.Selection(task_ids=[2]), options=QUICK)
        assert everything.counts == {"fetched": 1}
        first = await ac.mirror(serve.client, data, ac.Selection(project_ids=[1]), options=QUICK)
        assert first.ok
        with pytest.raises(
            ChangeRefusedError, match="for project 1, and this run would make it for project 2"
        ):
            await ac.mirror(serve.client, data, ac.Selection(project_ids=[2]), options=QUICK)
        named = await ac.mirror(serve.client, data, ac.Selection(task_ids=[2]), options=QUICK)
        assert actions(named) == {2: ("kept", "unchanged")}
        assert (await ac.plan_mirror(serve.client, data)).description.endswith(
            "project 1, CVAT, without images"
        )
        options = replace(CHANGE, everything=True)
        assert len((await ac.mirror(serve.client, data, options=options)).outcomes) == 4
        assert len((await ac.mirror(serve.client, data, options=QUICK)).outcomes) == 4


async def test_a_destination_without_tasks_is_bound_to_nothing(data: Path) -> None:
    async with serving(2) as serve:
        mistyped = ac.Selection(name="street-99")
        assert (await ac.mirror(serve.client, data, mistyped, options=QUICK)).outcomes == ()
        report = await ac.mirror(
            serve.client, data, ac.Selection(name="street-00001"), COCO, options=QUICK
        )
        assert report.counts == {"fetched": 1}
        assert settings(data) == {
            "format": "COCO 1.0",
            "images": True,
            "folder_prefix": "task",
            "selection": {"name": "street-00001"},
        }


async def test_what_is_remembered_is_written_only_if_it_changes(data: Path) -> None:
    path = data / ".asynccvat" / "destination.json"
    async with serving(2) as serve:
        selection = ac.Selection(project_ids=[1], name="street-*")
        options = replace(QUICK, history=1.5, keep_archive=True)
        await ac.mirror(serve.client, data, selection, COCO, options=options)
        written = path.stat().st_ino
        await ac.mirror(serve.client, data, selection, COCO, options=options)
        await ac.mirror(serve.client, data, options=QUICK)
        assert path.stat().st_ino == written


@pytest.mark.parametrize("damage", [None, b'{"version":1', b'{"version":1,"settings":3}'])
async def test_where_the_selection_was_lost_no_run_widens_it(
    data: Path, damage: bytes | None
) -> None:
    path = data / ".asynccvat" / "destination.json"
    async with serving(4, projects=2) as serve:
        project = ac.Selection(project_ids=[1])
        await ac.mirror(serve.client, data, project, COCO, options=QUICK)
        before = files(data)
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage)
        said = "Give its selection once more, such as --project-id, or --everything"
        for selection in (None, ac.Selection(updated_since="2026-01-01")):
            with pytest.raises(ConfigError, match=said):
                await ac.plan_mirror(serve.client, data, selection)
            with pytest.raises(ConfigError, match=said):
                await ac.mirror(serve.client, data, selection, options=QUICK)
        only = ac.Selection(task_ids=[1])
        assert (await ac.mirror(serve.client, data, only, options=QUICK)).counts == {"kept": 1}
        with pytest.raises(ConfigError, match=said):
            await ac.mirror(serve.client, data, options=QUICK)
        assert files(data) == before
        await ac.mirror(serve.client, data, project, options=QUICK)
        assert (await ac.mirror(serve.client, data, options=QUICK)).counts == {"kept": 2}
        assert files(data) == before
        assert settings(data) == {
            "format": "COCO 1.0",
            "images": True,
            "folder_prefix": "task",
            "selection": {"project_ids": [1]},
        }


async def test_settings_of_a_newer_version_are_left_as_they_are(data: Path) -> None:
    async with serving(1) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        path = data / ".asynccvat" / "destination.json"
        identity = json.loads(path.read_bytes())
        identity["settings"]["colour"] = "red"
        identity["since"] = 2027
        path.write_text(json.dumps(identity))
        await ac.mirror(serve.client, data, spec="COCO 1.0", options=CHANGE)
        changed = json.loads(path.read_bytes())
        assert (changed["since"], changed["settings"]["colour"]) == (2027, "red")
        assert changed["settings"]["format"] == "COCO 1.0"


async def test_a_repair_fetches_as_receipts_say_and_changes_no_setting(data: Path) -> None:
    async with serving(2) as serve:
        await ac.mirror(serve.client, data, spec="COCO 1.0", options=QUICK)
        before = settings(data)
        options = replace(CHANGE, folder_prefix="t_")
        only = ac.Selection(task_ids=[2])
        await ac.mirror(serve.client, data, only, COCO, options=options)
        (data / "task1" / "annotations" / "instances_default.json").write_text("{")
        report = await ac.verify(data, client=serve.client, repair=True)
        assert report.ok
        assert receipt_head(data, 1)["images"] is False
        assert settings(data) != before
        assert settings(data) == {
            "format": "COCO 1.0",
            "images": True,
            "folder_prefix": "t_",
            "selection": {},
        }


async def test_an_upload_finds_folders_by_the_prefix_that_is_remembered(data: Path) -> None:
    async with serving(2) as serve:
        options = replace(QUICK, folder_prefix="t_")
        await ac.mirror(serve.client, data, ac.Selection(task_ids=[1]), options=options)
        (data / "t_2").mkdir()
        (data / "t_2" / "annotations.xml").write_bytes(
            (data / "t_1" / "annotations.xml").read_bytes()
        )
        plan = await ac.plan_upload(serve.client, data, [2])
        assert [step.path for step in plan.steps] == [data / "t_2" / "annotations.xml"]


async def test_history_is_remembered_and_needs_a_word_to_change_only_once_it_is_on(
    data: Path,
) -> None:
    async with serving(1) as serve:
        await ac.mirror(serve.client, data, spec="COCO 1.0", options=QUICK)
        assert "history" not in (settings(data) or {})
        await ac.mirror(serve.client, data, options=replace(QUICK, history=30 * 86400.0))
        before = files(data)
        serve.server.edit_task(1)
        await ac.mirror(serve.client, data, options=QUICK)
        (version,) = (data / ".asynccvat" / "history" / "1").iterdir()
        assert files(version, own=True) == {
            path.removeprefix("task1/"): content for path, content in before.items()
        }
        with pytest.raises(
            ChangeRefusedError, match="with history 30d, and this run would make it with no history"
        ):
            await ac.mirror(serve.client, data, options=replace(QUICK, history=0.0))
        await ac.mirror(serve.client, data, options=replace(CHANGE, history=0.0))
        assert "history" not in (settings(data) or {})
        assert version.is_dir()


async def test_archives_that_are_kept_are_not_lost_by_a_run_that_does_not_say_so(
    data: Path,
) -> None:
    async with serving(2) as serve:
        await ac.mirror(serve.client, data, options=replace(QUICK, keep_archive=True))
        serve.server.edit_task(1)
        again = await ac.mirror(serve.client, data, options=QUICK)
        assert again.counts == {"fetched": 1, "kept": 1}
        archives = data / ".asynccvat" / "archives"
        assert sorted(path.name for path in archives.iterdir()) == ["1.zip", "2.zip"]
        with pytest.raises(
            ChangeRefusedError,
            match="with archives kept, and this run would make it with archives not kept",
        ):
            await ac.mirror(serve.client, data, options=replace(QUICK, keep_archive=False))
        serve.server.edit_task(1)
        await ac.mirror(serve.client, data, options=replace(CHANGE, keep_archive=False))
        assert sorted(path.name for path in archives.iterdir()) == ["2.zip"]


@pytest.mark.parametrize("history", [-1.0, "30d", True])
def test_a_history_of_no_duration_is_refused(history: object) -> None:
    with pytest.raises(ac.ConfigError, match="history must be a number of seconds, or 0 for none"):
        ac.MirrorOptions(history=history)  # type: ignore[arg-type]
