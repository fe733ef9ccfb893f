"""Whatever annotations a task has, its JSON becomes what the simulator exports of it."""

from __future__ import annotations

import json

import pytest
from conversion_records import comparable
from hypothesis import assume, given
from simulated_tasks import SimulatedTask, simulated_tasks

from asynccvat.core.convert.formats import convert_task
from asynccvat.core.convert.task_json import read_task_json
from asynccvat.errors import InexactConversionError


@pytest.mark.parametrize("format_name", ["CVAT for images 1.1", "CVAT for video 1.1"])
@given(simulated_tasks())
def test_any_task_becomes_what_the_simulator_exports(format_name: str, task: SimulatedTask) -> None:
    source = read_task_json(task.files)
    found = {one.path: b"".join(one.chunks) for one in convert_task(source, format_name)}
    exported = task.exported(format_name)
    assert found.keys() == exported.keys()
    for path, content in exported.items():
        assert comparable(path, found[path]).decode() == comparable(path, content).decode()


@given(simulated_tasks())
def test_coco_is_what_the_simulator_exports(task: SimulatedTask) -> None:
    # The simulator draws ellipses by a formula, CVAT and the conversion by OpenCV.
    annotations = task.task.annotations()
    kinds = {one.type for one in annotations.shapes}
    kinds |= {one.shapes[0].type for one in annotations.tracks}
    assume("ellipse" not in kinds)
    try:
        (found,) = convert_task(read_task_json(task.files), "COCO 1.0")
        content = b"".join(found.chunks)
    except InexactConversionError as error:
        assume("shapes of a group" not in error.reason)
        raise
    exported = task.exported("COCO 1.0").get(found.path)
    if exported is None:  # the simulator writes no file for a task without frames
        assert not json.loads(content)["images"]
    else:
        assert json.loads(content)["annotations"] == json.loads(exported)["annotations"]
        assert json.loads(content) == json.loads(exported)
