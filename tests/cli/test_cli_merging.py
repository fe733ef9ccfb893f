"""`asynccvat merge`: one data set of the tasks of mirrors, seen from the shell."""

from __future__ import annotations

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
    """A mirror of COCO with images in `data`; no server is needed any more."""
    with serve_in_thread(SimulatorOptions(tasks=3, frames=2)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        options = ("--format", "COCO 1.0", "--images", "--no-fsync", "--quiet")
        assert shell("mirror", "data", *options).code == 0
        monkeypatch.delenv("CVAT_URL")
        yield


@pytest.mark.usefixtures("mirrored")
def test_the_counts_are_a_table_and_the_files_a_summary(shell: Shell) -> None:
    merge = ("merge", "data", "--to", "coco", "--out", "set", "--split", "train=0.5,val=0.5")
    ended = shell(*merge)
    assert ended.code == 0
    assert ended.out.splitlines()[:3] == [
        "part\ttasks\timages\tempty\tobjects",
        "train\t2\t4\t0\t10",
        "val\t1\t2\t0\t5",
    ]
    assert "car\t8\t4" in ended.out
    assert ended.err == "set: 3 tasks merged; 2 files of annotations written, 6 images linked\n"
    again = shell(*merge)
    assert again.err == ("set: 3 tasks merged; 0 files of annotations written, 8 files unchanged\n")


@pytest.mark.usefixtures("mirrored")
def test_labels_are_a_list(shell: Shell) -> None:
    ended = shell(
        "merge", "data", "--to", "coco", "-o", "set", "--labels", "dot, car", "--images", "copy",
        "-t", "2", "--json",
    )  # fmt: skip
    assert ended.json["labels"] == ["dot", "car"]
    assert ended.json["files"]["copied"] == 2
    fewer = shell("merge", "data", "--to", "coco", "-o", "set", "-t", "1")
    assert "2 files removed" in fewer.err


@pytest.mark.usefixtures("mirrored")
def test_tasks_that_fail_are_named_and_end_with_code_1(shell: Shell) -> None:
    Path("data/task2/annotations/instances_default.json").write_bytes(b"{}")
    ended = shell("merge", "data", "--to", "coco", "--out", "set")
    assert ended.code == 1
    assert ended.err.startswith("task 2: cannot merge the task: annotations/instances_default.json")
    assert "2 tasks merged, 1 failed" in ended.err
    yolo = shell("merge", "data", "--to", "yolo", "--out", "other")
    assert yolo.code == 1
    assert "tasks 1, 2, 3: cannot merge the task: its files are in 'COCO 1.0'." in yolo.err
    assert yolo.err.endswith("other: there is nothing to merge, so it stays as it is\n")


@pytest.mark.usefixtures("mirrored")
@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--split", "train=2"), "'2' is no share between 0 and 1"),
        (("--state", "done"), "'done' is no state of a job"),
        (("--min-area", "-1"), "--min-area"),
        (("--split-by", "image"), "needs shares"),
    ],
)
def test_wrong_options_are_refused(shell: Shell, options: tuple[str, ...], why: str) -> None:
    ended = shell("merge", "data", "--to", "coco", "--out", "set", *options)
    assert ended.code == 2
    assert why in ended.err
    assert not Path("set").exists()
