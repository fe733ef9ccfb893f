"""A project of fifty tasks, copied, changed and copied again: the same on both sides."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from two_servers import TwoServers, two_servers

from asynccvat.client import internals
from asynccvat.core.outcomes import Action
from asynccvat.simulator.formats.archives import export_archive
from asynccvat.simulator.world.annotations import Attribute, Label
from asynccvat.simulator.world.tasks import Task

pytestmark = pytest.mark.anyio

TASKS = 50
HEAD, FOOT = (
    Label(number, name, "#00ff00", "points", (), None)
    for number, name in ((901, "head"), (902, "foot"))
)
TALL = Attribute(901, "tall", False, "checkbox", "false", ("false",))
NODE = '<circle r="1.5" data-type="element node" data-node-id="1" data-label-id="901"></circle>'
BODY = Label(900, "body", "#ff0000", "skeleton", (TALL,), None, sublabels=(HEAD, FOOT), svg=NODE)


def body(frame: int) -> dict[str, Any]:
    """A skeleton with an attribute and two points."""
    points = [
        {"label_id": label, "type": "points", "frame": frame, "points": [x, 5.0]}
        for label, x in ((901, 1.5), (902, 7.0))
    ]
    return {
        "label_id": 900,
        "type": "skeleton",
        "frame": frame,
        "points": [],
        "attributes": [{"spec_id": 901, "value": "true"}],
        "elements": points,
    }


async def annotate(both: TwoServers) -> None:
    """Give every fifth task at the source a skeleton beside what it has."""
    project = both.old.world.projects[1]
    both.old.world.change_project(1, labels=(*project.labels, BODY))
    for task_id in range(5, TASKS + 1, 5):
        content = msgspec.json.decode((await both.source.annotations(task_id)).raw)
        content["shapes"] = [
            *(
                {key: value for key, value in one.items() if key != "id"}
                for one in content["shapes"]
            ),
            body(0),
        ]
        content["tags"] = [
            {key: value for key, value in one.items() if key != "id"} for one in content["tags"]
        ]
        content["tracks"] = []
        await internals(both.source).replace_annotations(task_id, msgspec.json.encode(content))


def xml_of(task: Task) -> str:
    """The annotations of a task as CVAT XML, without ids and without what is each server's own."""
    name = "CVAT for video 1.1" if task.mode == "interpolation" else "CVAT for images 1.1"
    with zipfile.ZipFile(io.BytesIO(export_archive(task, name, save_images=False))) as archive:
        root = ET.fromstring(archive.read("annotations.xml"))
    for meta in root.findall("meta"):
        root.remove(meta)
    for element in root.iter():
        element.attrib.pop("id", None)
        element.attrib.pop("task_id", None)
    return ET.tostring(root, encoding="unicode")


async def test_a_project_of_fifty_tasks_is_the_same_on_both_sides(tmp_path: Path) -> None:
    async with two_servers(
        tmp_path, tasks=TASKS, frames=2, video_tasks=5, subsets=("Train", "Test", "")
    ) as both:
        await annotate(both)
        report = await both.copy()
        assert report.ok, report.failures
        assert report.count(Action.COPIED) == TASKS
        await both.assert_equal(report)
        skeletons = 0
        for outcome in report.outcomes:
            old = both.old.world.tasks[outcome.task_id]
            new = both.new.world.tasks[outcome.new_id or 0]
            assert (new.name, new.subset, new.project_id) == (old.name, old.subset, 1)
            assert xml_of(new) == xml_of(old)
            skeletons += "<skeleton" in xml_of(new)
            assert [frame.data() for frame in new.frames()] == [
                frame.data() for frame in old.frames()
            ]
        assert skeletons == TASKS // 5

        copies = {outcome.task_id: outcome.new_id for outcome in report.outcomes}
        both.old.edit_task(7)
        both.old.delete_task(8)
        second = await both.copy()
        assert {one.task_id for one in second.outcomes if one.action is Action.COPIED} == {7}
        assert any("deleted at the source: 8." in warning for warning in second.warnings)
        assert len(both.new.world.tasks) == TASKS
        third = await both.copy(prune=True, expect=1)
        assert [one.task_id for one in third.outcomes if one.action is Action.REMOVED] == [8]
        assert len(both.new.world.tasks) == TASKS - 1

        both.old.edit_task(9)
        both.new.edit_task(copies[9] or 0)
        (failure,) = (await both.copy()).failures
        assert failure.task_id == 9
        assert len(both.new.world.tasks) == TASKS - 1
