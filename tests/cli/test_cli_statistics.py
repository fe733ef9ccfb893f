"""`asynccvat stats`: what a mirror as JSON holds, seen from the shell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asynccvat.simulator import SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell


@pytest.fixture(autouse=True)
def _mirrored(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror as JSON in `raw`; no server is needed any more."""
    with serve_in_thread(SimulatorOptions(tasks=2, frames=2)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        assert shell("mirror", "raw", "--format", "json", "--no-fsync", "--quiet").code == 0
        monkeypatch.delenv("CVAT_URL")


def test_labels_are_a_table_with_a_summary(shell: Shell) -> None:
    ended = shell("stats", "raw")
    assert ended.code == 0
    head, *rows = ended.out.splitlines()
    assert head == "label\tkind\tobjects\ttracks\ton frames\tsmall\tmedium\tlarge"
    objects = sum(int(row.split("\t")[2]) for row in rows)
    assert f"raw: 2 tasks; 4 images (0 empty); {objects} objects, seen " in ended.err
    assert "sizes of images: 640 x 480 (4)\n" in ended.err


def test_tasks_are_a_table(shell: Shell) -> None:
    ended = shell("stats", "raw", "--by", "task", "-t", "2")
    head, row = ended.out.splitlines()
    assert head == "task\timages\tempty\tdeleted\tobjects\ttracks\ton frames\tname"
    assert row.startswith("2\t2\t0\t0\t")


def test_the_json_has_totals_and_tasks(shell: Shell) -> None:
    found = shell("stats", "raw", "--json").json
    assert (found["version"], found["counted"], found["failed"]) == (1, 2, 0)
    objects = [one["objects"] for one in found["tasks"]]
    assert found["total"]["objects"] == sum(objects)


def test_a_task_that_cannot_be_counted_is_named_and_ends_with_code_1(shell: Shell) -> None:
    Path("raw/task1/annotations.json").unlink()
    ended = shell("stats", "raw")
    assert ended.code == 1
    assert "task 1: cannot count the task: annotations.json is missing." in ended.err
    assert "raw: 1 task; 2 images" in ended.err


def test_a_page_is_written(shell: Shell) -> None:
    assert shell("stats", "raw", "--page", "stats.html").code == 0
    assert Path("stats.html").read_text("utf-8").startswith("<!doctype html>")
    refused = shell("stats", "raw", "--page", "nowhere/stats.html")
    assert refused.code == 2
    assert "--page" in refused.err
