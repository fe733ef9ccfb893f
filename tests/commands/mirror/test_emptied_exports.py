"""Check that an export without annotations, where there were some, is not taken in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from engine_serving import QUICK, actions, data, outcome, receipt_head, serving

import asynccvat as ac
from asynccvat.simulator.world.content import GeneratedContent

__all__ = ["data"]

pytestmark = pytest.mark.anyio

FORMATS = (
    "CVAT for images 1.1",
    "CVAT for video 1.1",
    "COCO 1.0",
    "Datumaro 1.0",
    "PASCAL VOC 1.1",
    "Ultralytics YOLO Detection 1.0",
)
EMPTY = GeneratedContent(boxes_per_frame=0)


@pytest.mark.parametrize("name", FORMATS)
async def test_a_task_that_was_emptied_on_the_server_is_fetched_with_a_warning(
    data: Path, name: str
) -> None:
    async with serving(2) as serve:
        await ac.mirror(serve.client, data, spec=name, options=QUICK)
        held = receipt_head(data, 1)["annotations"]
        assert held >= 4
        serve.server.change_task(1, content=EMPTY)
        serve.server.edit_task(2)
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert actions(report) == {1: ("fetched", "changed"), 2: ("fetched", "changed")}
        (warning,) = outcome(report, 1).warnings
        assert warning == (
            f"the export holds no annotation, and the one before held {held}. If that is not "
            "meant, look at it in CVAT."
        )
        assert outcome(report, 2).warnings == ()
        assert receipt_head(data, 1)["annotations"] == 0
        # Once it is known, it is no news.
        serve.server.change_task(1, content=EMPTY)
        again = await ac.mirror(serve.client, data, options=QUICK)
        assert outcome(again, 1).warnings == ()


async def test_annotations_are_counted_where_images_are_reused(data: Path) -> None:
    spec = ac.ExportSpec("COCO 1.0", images=True)
    large = GeneratedContent(frame_bytes=3_000_000)
    async with serving(1) as serve:
        serve.server.change_task(1, content=large)
        await ac.mirror(serve.client, data, spec=spec, options=QUICK)
        emptied = replace(large, boxes_per_frame=0)
        chunks = serve.server.tasks[1].chunks_updated_date
        serve.server.change_task(1, content=emptied, chunks_updated_date=chunks)
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert "save_images=false" in serve.calls("POST", "dataset/export")[-1].query
        assert "the export holds no annotation" in outcome(report, 1).warnings[0]


async def test_after_an_upload_the_count_is_open_until_the_next_export(data: Path) -> None:
    async with serving(1) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        path = data / "task1/annotations.xml"
        path.write_text(path.read_text().replace('occluded="0"', 'occluded="1"'))
        report = await ac.upload(serve.client, data, options=ac.UploadOptions(durable=False))
        assert report.ok
        assert receipt_head(data, 1)["annotations"] is None
        await ac.mirror(serve.client, data, options=QUICK)
        assert receipt_head(data, 1)["annotations"] > 0


@pytest.mark.parametrize("history", [None, 86400.0], ids=["without history", "with history"])
async def test_a_run_that_empties_many_tasks_has_one_warning_for_all(
    data: Path, history: float | None
) -> None:
    options = replace(QUICK, history=history)
    async with serving(8) as serve:
        await ac.mirror(serve.client, data, options=options)
        for task_id in (1, 2):
            serve.server.change_task(task_id, content=EMPTY)
        few = await ac.mirror(serve.client, data, options=QUICK)
        assert few.warnings == ()
        before = (data / "task3" / "annotations.xml").read_bytes()
        for task_id in (3, 4, 5, 6, 7, 8):
            serve.server.change_task(task_id, content=EMPTY)
        many = await ac.mirror(serve.client, data, options=QUICK)
        where = (
            "What they held is in .asynccvat/history/."
            if history
            else "What they held is not kept here: --history 30d keeps what later runs replace."
        )
        assert many.warnings[0] == (
            "6 of 6 fetched tasks hold no annotation any more: 3, 4, 5, 6, 7 and 1 more. If that "
            f"is not meant, look at them in CVAT. {where}"
        )
        assert outcome(many, 3).to_json()["emptied"] is True
        kept = sorted((data / ".asynccvat").glob("history/3/*/annotations.xml"))
        assert [path.read_bytes() for path in kept] == ([before] if history else [])
