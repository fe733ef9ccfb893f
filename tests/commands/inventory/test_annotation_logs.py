"""The log of a task's annotations, and differences between states, in real mirrors."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_serving import QUICK, Serving, serving

import asynccvat as ac
from asynccvat import errors

pytestmark = pytest.mark.anyio

HISTORY = replace(QUICK, history=10_000 * 86_400)


@pytest.fixture
async def serve(data: Path) -> AsyncIterator[Serving]:
    """A server of three tasks, mirrored once as JSON with a history."""
    async with serving(3) as started:
        assert (await ac.mirror(started.client, data, spec="json", options=HISTORY)).ok
        yield started


async def change(
    serve: Serving, data: Path, task: int, edit: Callable[[list[dict[str, Any]]], object]
) -> str:
    """Change the shapes of a task at the server, mirror it, and return its new date."""
    content = json.loads((await serve.client.annotations(task)).raw)
    edit(content["shapes"])
    file = data.parent / "edited.json"
    file.write_text(json.dumps(content))
    options = ac.UploadOptions(backup=False, durable=False)
    uploaded = await ac.upload(
        serve.client, {task: file}, format="json", options=replace(options, overwrite=True)
    )
    assert uploaded.ok
    assert (await ac.mirror(serve.client, data, options=HISTORY)).ok
    return str(json.loads((data / f"task{task}" / "task.json").read_bytes())["updated_date"])


async def test_a_log_has_each_state_with_what_changed(serve: Serving, data: Path) -> None:
    begun = await ac.annotation_log(data, 2)
    assert [(one.version, one.difference, one.why) for one in begun.entries] == [(None, None, None)]
    held = begun.entries[0].total
    dates = [
        await change(serve, data, 2, lambda shapes: shapes.pop()),
        await change(serve, data, 2, lambda shapes: shapes.append({**shapes[0], "frame": 1})),
    ]
    log = await ac.annotation_log(data, 2)
    assert [one.total for one in log.entries] == [held, held - 1, held]
    assert [one.since for one in log.entries[1:]] == dates
    assert [str(one.difference) for one in log.entries[1:]] == ["1 removed", "1 added"]
    assert log.entries[2].version is None
    assert (log.task_id, log.name) == (2, begun.name)


async def test_versions_are_compared_by_their_dates(serve: Serving, data: Path) -> None:
    first = (await ac.annotation_log(data, 1)).entries[0].since
    await change(serve, data, 1, lambda shapes: shapes.pop() if shapes else shapes.append(BOX))
    found = await ac.diff_annotations(f"1@{first[:10]}", "1", dest=data)
    assert [one.difference.count for one in found.tasks if one.difference] == [1]
    assert not found.is_same
    assert (await ac.diff_annotations("1@9000-01-01", "1", dest=data)).is_same
    with pytest.raises(errors.ConfigError, match="are kept from before 1999-01-01"):
        await ac.diff_annotations("1@1999-01-01", "1", dest=data)
    with pytest.raises(errors.ConfigError, match="does not hold task 9 as JSON"):
        await ac.diff_annotations("9", "1", dest=data)


BOX = {
    "label_id": 5,
    "frame": 0,
    "type": "rectangle",
    "points": [1, 1, 9, 9],
    "occluded": False,
    "attributes": [],
    "group": 0,
    "source": "manual",
}


async def test_an_edited_file_is_told_and_its_first_state_is_lost_when_it_is_replaced(
    serve: Serving, data: Path
) -> None:
    path = data / "task2" / "annotations.json"
    path.write_bytes(path.read_bytes().replace(b'"shapes"', b' "shapes"'))
    (entry,) = (await ac.annotation_log(data, 2)).entries
    assert entry.why == "annotations.json was edited here"
    with pytest.raises(errors.ConfigError, match=r"and was edited here\. Mirror the task again"):
        await ac.diff_annotations("2@9000-01-01", "2", dest=data)
    await change(serve, data, 2, lambda shapes: shapes.pop())
    lost, current = (await ac.annotation_log(data, 2)).entries
    assert "so the server's own is lost" in (lost.why or "")
    assert (current.why, current.difference) == (None, None)
    with pytest.raises(errors.ConfigError, match="are lost"):
        await ac.diff_annotations(f"2@{lost.since}", "2", dest=data)


@pytest.mark.usefixtures("serve")
async def test_folders_of_tasks_are_compared_task_by_task(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(data, other)
    assert (await ac.diff_annotations(data, other)).is_same
    shutil.rmtree(other / "task1")
    (other / "task3" / "annotations.json").write_bytes(b"[")
    content = json.loads((other / "task2" / "annotations.json").read_bytes())
    content["shapes"][0]["occluded"] = not content["shapes"][0]["occluded"]
    (other / "task2" / "annotations.json").write_text(json.dumps(content))
    found = await ac.diff_annotations(data, other)
    assert (found.only_first, found.only_second) == (["task1"], [])
    assert [one.folder for one in found.failed] == ["task3"]
    (differs,) = (one.difference for one in found.tasks if one.difference is not None)
    assert [one.fields for one in differs.changed] == [("occluded",)]


@pytest.mark.usefixtures("serve")
async def test_files_are_compared_with_the_labels_that_either_has(
    data: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone.json"
    shutil.copy(data / "task2" / "annotations.json", alone)
    assert (await ac.diff_annotations(alone, data / "task2")).is_same
    assert (await ac.diff_annotations(str(alone), alone)).is_same
    with pytest.raises(errors.ConfigError, match="one is a task, the other is a folder of tasks"):
        await ac.diff_annotations(data, alone)
    with pytest.raises(errors.ConfigError, match=r"holds no annotations\.json"):
        await ac.diff_annotations(tmp_path / "nothing", alone)
    alone.write_bytes(b"[")
    with pytest.raises(errors.AnnotationFileError, match="not CVAT's JSON of annotations"):
        await ac.diff_annotations(alone, data / "task2")


@pytest.mark.usefixtures("serve")
async def test_ids_of_another_server_are_not_compared(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(data / "task2", other)
    content = json.loads((other / "annotations.json").read_bytes())
    numbers = [one["id"] for one in content["shapes"]]
    for one, number in zip(content["shapes"], numbers[::-1], strict=True):
        one["id"] = number
    (other / "annotations.json").write_text(json.dumps(content))
    assert not (await ac.diff_annotations(data / "task2", other)).is_same
    task = json.loads((other / "task.json").read_bytes())
    (other / "task.json").write_text(json.dumps({**task, "url": "http://else/api/tasks/2"}))
    assert (await ac.diff_annotations(data / "task2", other)).is_same


async def test_a_mirror_of_another_format_has_no_log(data: Path) -> None:
    async with serving(1) as started:
        await ac.mirror(started.client, data, options=QUICK)
    with pytest.raises(errors.ConfigError, match="does not hold task 1 as JSON"):
        await ac.annotation_log(data, 1)
