"""A large task takes little memory beside its annotations, and little time beside its JSON."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from task_files import files_of

from asynccvat.core.convert.formats import CONVERTED_FORMATS, convert_task
from asynccvat.core.convert.task_json import TaskJson, read_task_json

BOXES = 10_000
FRAMES = 500
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The JSON of a task with many boxes."""
    recorded = json.loads(Path(__file__).with_name("recorded_264.json").read_bytes())
    raw: dict[str, Any] = recorded["4"]["raw"]
    box = raw["annotations"]["shapes"][0]
    raw["annotations"]["shapes"] = [
        {**box, "id": place, "frame": place % FRAMES, "points": [1.5, place % 469 / 8, 300.25, 470]}
        for place in range(BOXES)
    ]
    frame = raw["meta"]["frames"][0]
    names = [{**frame, "name": f"{place:05}.jpg"} for place in range(FRAMES)]
    raw["meta"].update(size=FRAMES, stop_frame=FRAMES - 1, frames=names)
    return files_of(raw)


@pytest.fixture(scope="module")
def source(files: dict[str, bytes]) -> TaskJson:
    return read_task_json(files)


@pytest.mark.parametrize("format_name", CONVERTED_FORMATS)
def test_only_a_few_chunks_are_in_memory(format_name: str, source: TaskJson) -> None:
    tracemalloc.start()
    try:
        written = largest = 0
        for one in convert_task(source, format_name):
            for chunk in one.chunks:
                written += len(chunk)
                largest = max(largest, len(chunk))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert written > BOXES * 20
    assert largest < 0.25 * MEGABYTE
    assert peak < 4 * MEGABYTE


def test_annotations_take_less_memory_than_three_times_their_json(files: dict[str, bytes]) -> None:
    tracemalloc.start()
    try:
        read_task_json(files)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(files["annotations.json"])


def seconds(act: Callable[[], object]) -> float:
    """Return the processor time of the quickest of a few calls."""
    times = []
    for _ in range(4):
        started = time.process_time()
        act()
        times.append(time.process_time() - started)
    return min(times)


@pytest.mark.parametrize("format_name", ["CVAT for images 1.1", "CVAT for video 1.1", "COCO 1.0"])
def test_a_conversion_takes_not_much_longer_than_to_parse_the_json(
    format_name: str, files: dict[str, bytes]
) -> None:
    def convert() -> None:
        for one in convert_task(read_task_json(files), format_name):
            for _ in one.chunks:
                pass

    parsed = seconds(lambda: json.loads(files["annotations.json"]))
    assert seconds(convert) < 12 * parsed
