"""Whatever annotations a task has, its JSON becomes what the simulator exports of it."""

from __future__ import annotations

import pytest
from conversion_records import comparable
from hypothesis import given
from simulated_tasks import SimulatedTask, simulated_tasks

from asynccvat.core.convert.formats import convert_task
from asynccvat.core.convert.task_json import read_task_json


@pytest.mark.parametrize("format_name", ["CVAT for images 1.1", "CVAT for video 1.1"])
@given(simulated_tasks())
def test_any_task_becomes_what_the_simulator_exports(format_name: str, task: SimulatedTask) -> None:
    source = read_task_json(task.files)
    found = {one.path: b"".join(one.chunks) for one in convert_task(source, format_name)}
    exported = task.exported(format_name)
    assert found.keys() == exported.keys()
    for path, content in exported.items():
        assert comparable(path, found[path]).decode() == comparable(path, content).decode()
