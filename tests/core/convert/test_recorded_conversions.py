"""A task's JSON becomes exactly what a real CVAT 2.64 exported of it at the same moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conversion_records import FIXTURE, comparable, condensed, digest, recorded_pairs
from task_files import files_of

from asynccvat.core.convert.formats import convert_task
from asynccvat.core.convert.task_json import read_task_json

CONDENSED: dict[str, Any] = json.loads(FIXTURE.read_text(encoding="utf-8"))
PAIRS = [
    (number, format_name) for number, task in CONDENSED.items() for format_name in task["exports"]
]


def converted(raw: dict[str, Any], format_name: str) -> dict[str, bytes]:
    source = read_task_json(files_of(raw))
    return {one.path: b"".join(one.chunks) for one in convert_task(source, format_name)}


@pytest.mark.parametrize(("number", "format_name"), PAIRS)
def test_a_recorded_task_becomes_what_was_exported(number: str, format_name: str) -> None:
    task = CONDENSED[number]
    found = converted(task["raw"], format_name)
    digests = {path: digest(path, content) for path, content in found.items()}
    assert digests == task["exports"][format_name]


def test_every_recorded_pair_is_equal(shared: Path) -> None:
    pairs = list(recorded_pairs(shared / "contract" / "exports-2.64"))
    assert len(pairs) == 36
    for _, raw, format_name, exported in pairs:
        found = converted(raw, format_name)
        assert found.keys() == exported.keys()
        for path, content in exported.items():
            assert comparable(path, found[path]) == comparable(path, content)


def test_coco_is_equal_to_the_last_byte(shared: Path) -> None:
    for _, raw, format_name, exported in recorded_pairs(shared / "contract" / "exports-2.64"):
        if format_name == "COCO 1.0":
            assert converted(raw, format_name) == exported


def test_the_condensed_copy_is_up_to_date(shared: Path) -> None:
    assert condensed(shared / "contract" / "exports-2.64") == FIXTURE.read_text(encoding="utf-8")
