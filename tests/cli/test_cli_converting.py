"""`asynccvat convert`: what the server would export of a mirror as JSON, seen from the shell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asynccvat.simulator import SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell


@pytest.fixture
def mirrored(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A mirror as JSON in `raw`; no server is needed any more."""
    with serve_in_thread(SimulatorOptions(tasks=2, frames=2)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        mirror = shell("mirror", "raw", "--format", "json", "--no-fsync", "--quiet")
        assert mirror.code == 0
        monkeypatch.delenv("CVAT_URL")
        yield


@pytest.mark.usefixtures("mirrored")
def test_a_mirror_is_converted_and_summarized(shell: Shell) -> None:
    ended = shell("convert", "raw", "--to", "coco", "--out", "coco")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith("coco: 2 tasks converted; 2 files, ")
    images = json.loads(Path("coco/task1/annotations/instances_default.json").read_bytes())
    assert len(images["images"]) == 2
    again = shell("convert", "raw", "--to", "coco", "-o", "coco", "-t", "2")
    assert again.err.startswith("coco: 0 tasks converted, 1 unchanged; 1 file, ")


@pytest.mark.usefixtures("mirrored")
def test_a_task_that_fails_is_named_and_ends_with_code_1(shell: Shell) -> None:
    path = Path("raw/task2/labels.json")
    path.write_bytes(path.read_bytes().replace(b'"color"', b'"colour"'))
    ended = shell("convert", "raw", "--to", "cvat", "--out", "xml", "--json")
    assert ended.code == 1
    assert "task 2: cannot convert the task exactly: labels.json is not as expected" in ended.err
    assert "xml: 1 task converted, 1 failed; 1 file, " in ended.err
    assert ended.json["counts"] == {"converted": 1, "unchanged": 0, "failed": 1}


@pytest.mark.usefixtures("mirrored")
def test_tasks_that_fail_alike_are_one_line(shell: Shell) -> None:
    for path in Path("raw").glob("task*/frames.json"):
        path.unlink()
    ended = shell("convert", "raw", "--to", "coco", "--out", "coco")
    assert ended.code == 1
    assert ended.err.splitlines()[0] == (
        "tasks 1, 2: cannot convert the task exactly: frames.json is missing, so mirror it again "
        "without --no-frames. Export it from the server instead."
    )


@pytest.mark.usefixtures("mirrored")
def test_a_format_that_only_the_server_writes_is_refused(shell: Shell) -> None:
    ended = shell("convert", "raw", "--to", "mot", "--out", "mot")
    assert ended.code == 2
    assert ended.err.startswith(
        "Error: cannot convert to 'mot': only the server writes 'MOT 1.1'. Export the tasks into "
        'another folder with `asynccvat mirror --format "MOT 1.1"`, or choose one of cvat, '
    )
    assert not Path("mot").exists()
