"""Check that a format of another dimension is never taken for an empty task."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_serving import QUICK, QUICK_DOWNLOAD, actions, error, files, outcome, serving

import asynccvat as ac

pytestmark = pytest.mark.anyio

COCO = ac.ExportSpec("COCO 1.0")
KITTI = ac.ExportSpec("Kitti Raw Format 1.0")


async def test_a_mirror_skips_point_clouds_with_a_word_and_mirrors_the_rest(data: Path) -> None:
    async with serving(3) as serve:
        serve.server.change_task(2, dimension="3d")
        report = await ac.mirror(serve.client, data, spec=COCO, options=QUICK)
        assert report.ok
        assert actions(report)[2] == ("skipped", "dimension")
        (warning,) = outcome(report, 2).warnings
        assert "the task is 3d, and 'COCO 1.0' holds the annotations of 2d tasks only." in warning
        assert "'Kitti Raw Format 1.0'" in warning
        assert serve.calls("POST", "/api/tasks/2") == []
        assert not (data / "task2").exists()
        assert len(files(data)) == 2


async def test_a_task_of_another_dimension_that_was_named_is_refused(data: Path) -> None:
    async with serving(2) as serve:
        report = await ac.mirror(serve.client, data, ac.Selection(task_ids=[1]), KITTI)
        assert actions(report) == {1: ("failed", "dimension")}
        assert "cannot mirror task 1: the task is 2d, and 'Kitti Raw Format 1.0'" in str(
            error(report, 1)
        )
        assert serve.calls("POST", "dataset/export") == []


async def test_a_point_cloud_is_mirrored_in_a_format_of_its_dimension(data: Path) -> None:
    async with serving(1, boxes_per_frame=3) as serve:
        serve.server.change_task(1, dimension="3d")
        report = await ac.mirror(
            serve.client, data, ac.Selection(task_ids=[1]), KITTI, options=QUICK
        )
        assert report.ok
        assert b"<count>6</count>" in files(data)["task1/tracklet_labels.xml"]


async def test_a_mirrored_task_that_turns_out_to_be_of_another_dimension_keeps_its_folder(
    data: Path,
) -> None:
    async with serving(1) as serve:
        await ac.mirror(serve.client, data, spec=COCO, options=QUICK)
        before = files(data)
        serve.server.change_task(1, dimension="3d")
        report = await ac.mirror(serve.client, data, spec=COCO, options=QUICK)
        assert actions(report) == {1: ("kept", "dimension")}
        assert "the task is 3d" in outcome(report, 1).warnings[0]
        assert files(data) == before


async def test_a_download_in_a_format_of_another_dimension_is_refused(tmp_path: Path) -> None:
    async with serving(2) as serve:
        serve.server.change_task(2, dimension="3d")
        paths = {1: tmp_path / "one", 2: tmp_path / "two"}
        report = await ac.download_many(serve.client, paths, COCO, options=QUICK_DOWNLOAD)
        assert actions(report) == {1: ("fetched", "asked for"), 2: ("failed", "asked for")}
        assert "cannot download task 2: the task is 3d" in str(error(report, 2))
        assert not paths[2].exists()
