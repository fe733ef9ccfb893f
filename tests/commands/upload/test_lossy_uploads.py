"""Uploads that would lose what a task has are refused, and what came of an upload is told."""

from __future__ import annotations

import io
import json
import zipfile
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from engine_serving import QUICK, Serving, data, error, outcome, receipt_head, serving, stack

import asynccvat as ac
from asynccvat.aio.threads import in_thread
from asynccvat.commands.upload.local_files import find_source
from asynccvat.commands.upload.loss_guard import LossGuard
from asynccvat.core.annotations.files import FileKind
from asynccvat.errors import AnnotationLossError
from asynccvat.models import AnnotationChange, AnnotationCounts
from asynccvat.simulator import Fault

__all__ = ["data", "stack"]

pytestmark = pytest.mark.anyio

UPLOAD = ac.UploadOptions(durable=False)
LOSSY = ac.UploadOptions(durable=False, lossy=True)
EMPTYING = ac.UploadOptions(durable=False, allow_empty=True, backup=False)
FOR_GOOD = ac.UploadOptions(durable=False, backup=False)
OVERWRITE = ac.UploadOptions(durable=False, overwrite=True)
IMAGES = ac.ExportSpec("CVAT for images 1.1")
VIDEO = ac.ExportSpec("CVAT for video 1.1")
CVAT = "annotations.xml"


async def counts(serve: Serving, task_id: int = 1) -> tuple[int, int, int]:
    """Return the tracks, shapes and tags of a task."""
    found = (await serve.client.annotations(task_id)).counts
    return found.tracks, found.shapes, found.tags


def edit(path: Path) -> None:
    text = path.read_text("utf-8")
    path.write_text(text.replace('occluded="0"', 'occluded="1"', 1), "utf-8")


def said(report: ac.RunReport, task_id: int = 1) -> str:
    found = error(report, task_id)
    assert isinstance(found, AnnotationLossError)
    return str(found)


# --- what the format cannot carry -----------------------------------------------------------------


async def test_tracks_are_not_replaced_by_the_shapes_of_the_flavour_for_images(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await stack.enter_async_context(serving(2, frames=3))
    await serve.annotate(1, tracks=[serve.track(1)])
    await ac.mirror(serve.client, data, None, IMAGES, options=QUICK)
    for task_id in (1, 2):
        edit(data / f"task{task_id}" / CVAT)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert said(report) == (
        "cannot upload to task 1: it has 1 track, which CVAT for images 1.1 turns into 3 shapes. "
        "Mirror it as CVAT for video 1.1, or give --lossy."
    )
    assert outcome(report, 1).annotations == AnnotationChange(before=1, in_file=3)
    assert await counts(serve) == (1, 0, 0)
    assert outcome(report, 2).ok  # one refusal stays one
    assert len(serve.calls("POST /api/tasks/1/annotations")) == 0

    lossy = await ac.upload(serve.client, data, options=LOSSY)
    assert outcome(lossy, 1).annotations == AnnotationChange(before=1, in_file=3, after=3)
    assert await counts(serve) == (0, 3, 0)


async def test_shapes_are_not_replaced_by_the_tracks_of_the_flavour_for_videos(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await stack.enter_async_context(serving(1, frames=3))
    await serve.annotate(1, shapes=[serve.box(1)])
    await ac.mirror(serve.client, data, None, VIDEO, options=QUICK)
    edit(data / "task1" / CVAT)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert "it has 1 shape, which CVAT for video 1.1 turns into 1 track. Mirror it as " in (
        said(report)
    )
    assert await counts(serve) == (0, 1, 0)


async def test_the_files_that_macos_adds_to_a_zip_hide_no_loss(
    tmp_path: Path, stack: AsyncExitStack
) -> None:
    serve = await stack.enter_async_context(serving(1, frames=3))
    await serve.annotate(1, tracks=[serve.track(1)])
    xml = (await serve.archive(1, IMAGES))[CVAT]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(CVAT, xml)
        archive.writestr(f"__MACOSX/._{CVAT}", b"\0\5\x16\7")
    report = await ac.upload(serve.client, {1: tmp_path / "a.zip"}, options=FOR_GOOD)
    assert "it has 1 track, which CVAT for images 1.1 turns into 3 shapes" in said(report)
    assert await counts(serve) == (1, 0, 0)


@pytest.mark.parametrize("spec", [IMAGES, VIDEO], ids=str)
async def test_a_task_with_tracks_and_shapes_is_refused_in_both_flavours(
    data: Path, stack: AsyncExitStack, spec: ac.ExportSpec
) -> None:
    serve = await stack.enter_async_context(serving(1, frames=3))
    await serve.annotate(1, tracks=[serve.track(1)], shapes=[serve.box(1)])
    await ac.mirror(serve.client, data, None, spec, options=QUICK)
    edit(data / "task1" / CVAT)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert "Mirror it as CVAT JSON, which carries tracks and shapes, or give --lossy." in (
        said(report)
    )
    assert await counts(serve) == (1, 1, 0)


async def test_tracks_in_the_flavour_that_carries_them_are_replaced(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await stack.enter_async_context(serving(1, frames=3))
    await serve.annotate(1, tracks=[serve.track(1)])
    await ac.mirror(serve.client, data, None, VIDEO, options=QUICK)
    edit(data / "task1" / CVAT)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert outcome(report, 1).annotations == AnnotationChange(1, 1, 1)
    assert await counts(serve) == (1, 0, 0)


async def test_an_xml_with_images_and_tracks_carries_both(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    serve = await stack.enter_async_context(serving(1, frames=3))
    await serve.annotate(1, tracks=[serve.track(1)], shapes=[serve.box(1)])
    both = (await serve.archive(1, VIDEO))[CVAT].replace(b"</annotations>", b"")
    both = both[: both.rindex(b"<track")]  # the shape's
    images = (await serve.archive(1, IMAGES))[CVAT]
    both += images[images.index(b"<image ") :]
    path = tmp_path / "both.xml"
    path.write_bytes(both)
    report = await ac.upload(serve.client, {1: path}, options=FOR_GOOD)
    assert outcome(report, 1).ok, outcome(report, 1).failure


async def test_a_detectors_predictions_do_not_replace_tracks(
    data: Path, stack: AsyncExitStack
) -> None:
    """COCO can carry tracks, but these predictions hold none."""
    serve = await stack.enter_async_context(serving(1, frames=3))
    spec = ac.ExportSpec("COCO 1.0")
    await ac.mirror(serve.client, data, None, spec, options=QUICK)
    path = data / "task1" / "annotations" / "instances_default.json"
    await serve.annotate(1, tracks=[serve.track(1)])
    report = await ac.upload(serve.client, {1: path}, format=spec.format, options=OVERWRITE)
    assert "it has 1 track, and the file holds 7 shapes. Mirror it as " in said(report)
    assert await counts(serve) == (1, 0, 0)


async def test_tags_and_groups_and_attributes_that_yolo_lacks_are_named(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await stack.enter_async_context(serving(1))
    spec = ac.ExportSpec("Ultralytics YOLO Detection 1.0")
    await ac.mirror(serve.client, data, None, spec, options=QUICK)
    labels = min((data / "task1" / "labels").rglob("*.txt"))
    labels.write_text("0 0.5 0.5 0.25 0.25\n")
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert said(report) == (
        "cannot upload to task 1: it has 1 set of points, 1 polygon, 1 tag and 5 annotations with "
        "attributes, which Ultralytics YOLO Detection 1.0 does not carry, so the import would lose "
        "that. Mirror it as CVAT for images 1.1, or give --lossy."
    )


# --- files without annotations --------------------------------------------------------------------


def zipped(**members: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), text)
    return content.getvalue()


EMPTY = {
    "XML": ("CVAT 1.1", "a.xml", b"<annotations><version>1.1</version></annotations>"),
    "XML with frames": (
        "CVAT 1.1",
        "a.xml",
        b'<annotations><image id="0" name="street_0000.jpg"></image></annotations>',
    ),
    "COCO": (
        "COCO 1.0",
        "a.json",
        json.dumps({"images": [{"id": 1}], "categories": [], "annotations": []}).encode(),
    ),
    "Datumaro": (
        "Datumaro 1.0",
        "a.json",
        json.dumps({"items": [{"id": "street_0000", "annotations": []}]}).encode(),
    ),
    "MOTS with labels alone": ("MOTS PNG 1.0", "a.zip", zipped(labels_dot_txt="car\n")),
    "YOLO": (
        "YOLO 1.1",
        "a.zip",
        zipped(obj_dot_data="classes = 1", obj_train_data__street_0000_dot_txt="\n"),
    ),
    "VOC": (
        "PASCAL VOC 1.1",
        "a.zip",
        zipped(
            labelmap_dot_txt="",
            Annotations__street_0000_dot_xml="<annotation><size/></annotation>",
        ),
    ),
}


def importing(format_: str) -> Fault:
    """List an importer that the simulated server need not have: nothing is sent to it."""
    listed = {"importers": [{"name": format_, "ext": "XML, JSON, ZIP", "enabled": True}]}
    return Fault(
        path="/api/server/annotation/formats",
        status=200,
        body=json.dumps({"exporters": [], **listed}),
        content_type="application/vnd.cvat+json",
    )


@pytest.mark.parametrize("case", EMPTY)
async def test_a_file_without_annotations_is_refused_before_a_byte_is_sent(
    stack: AsyncExitStack, tmp_path: Path, case: str
) -> None:
    format_, name, content = EMPTY[case]
    path = tmp_path / name
    path.write_bytes(content)
    serve = await stack.enter_async_context(serving(1))
    serve.server.faults.add(importing(format_))
    before = await counts(serve)
    report = await ac.upload(serve.client, {1: path}, format=format_, options=LOSSY)
    assert said(report) == (
        f"cannot upload to task 1: '{path}' holds no annotations, and the import would remove the "
        "6 shapes and 1 tag of the task. Check the file, or give --allow-empty."
    )
    assert await counts(serve) == before
    assert serve.calls("POST /api/tasks/1/annotations") == []


async def test_a_task_is_emptied_if_that_is_permitted(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    path = tmp_path / "empty.xml"
    path.write_bytes(EMPTY["XML"][2])
    serve = await stack.enter_async_context(serving(1))
    report = await ac.upload(serve.client, {1: path}, options=EMPTYING)
    assert outcome(report, 1).annotations == AnnotationChange(before=7, in_file=0, after=0)
    assert outcome(report, 1).warnings == ()
    again = await ac.upload(serve.client, {1: path}, options=UPLOAD)
    assert again.ok  # there is nothing to lose any more


async def test_appending_replaces_nothing_and_so_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.xml"
    path.write_bytes(EMPTY["XML"][2])
    source = await in_thread(lambda: find_source(path, "CVAT 1.1").inspected())
    has = AnnotationCounts(tracks=3, tags=1)
    await LossGuard(1, source, FileKind.XML, "CVAT 1.1", mode="append").check(has)
    with pytest.raises(AnnotationLossError):
        await LossGuard(1, source, FileKind.XML, "CVAT 1.1").check(has)


async def test_a_dry_run_tells_what_would_be_refused(data: Path, stack: AsyncExitStack) -> None:
    serve = await stack.enter_async_context(serving(3, frames=3))
    await ac.mirror(serve.client, data, None, IMAGES, options=QUICK)
    (data / "task1" / CVAT).write_bytes(EMPTY["XML"][2])
    edit(data / "task2" / CVAT)
    since = len(serve.server.calls)
    plan = await ac.plan_upload(serve.client, data, options=UPLOAD)
    refused = {
        step["task_id"]: step["error"] for step in plan.to_json()["steps"] if "error" in step
    }
    assert plan.counts == {"refuse": 1, "upload": 1, "skip": 1}
    assert "holds no annotations" in refused[1]
    # Nothing is read of a task that is unchanged.
    assert serve.calls("GET /api/tasks/3", since=since) == []


# --- what came of it ------------------------------------------------------------------------------


async def test_the_outcome_tells_how_many_annotations_there_were_and_are(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await stack.enter_async_context(serving(1))
    await ac.mirror(serve.client, data, options=QUICK)
    edit(data / "task1" / CVAT)
    since = len(serve.server.calls)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert outcome(report, 1).to_json()["annotations"] == {"before": 7, "in_file": 7, "after": 7}
    assert len(serve.calls("GET /api/tasks/1/annotations", since=since)) == 2


async def test_losing_more_than_half_is_a_warning(data: Path, stack: AsyncExitStack) -> None:
    serve = await stack.enter_async_context(serving(1))
    await ac.mirror(serve.client, data, options=QUICK)
    path = data / "task1" / CVAT
    text = path.read_text("utf-8")
    start, end = text.index("<polygon"), text.rindex("</image>")
    path.write_text(f"{text[:start]}</image>\n</annotations>\n", "utf-8")
    assert start < end
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert outcome(report, 1).warnings == (
        "the task had 7 annotations, and has 2 now",
        "the task had 1 tag, and has none now",
    )


async def test_an_import_that_leaves_nothing_is_a_failure_and_the_file_stays_an_edit(
    stack: AsyncExitStack, data: Path
) -> None:
    nothing = json.dumps({"version": 0, "tags": [], "shapes": [], "tracks": []})
    emptied = Fault(
        method="GET",
        path="/annotations$",
        nth=2,
        status=200,
        body=nothing,
        content_type="application/vnd.cvat+json",
    )
    serve = await stack.enter_async_context(serving(1))
    serve.server.faults.add(emptied)
    await ac.mirror(serve.client, data, options=QUICK)
    edit(data / "task1" / CVAT)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert said(report) == (
        "the import left task 1 without annotations: it had 7 before, and the file holds 7. "
        "Check the names of images and labels in the file. "
        f"`asynccvat upload --undo -t 1 -i {data}` puts them back."
    )
    assert not report.ok
    told = outcome(report, 1).to_json()
    assert told["annotations"] == {"before": 7, "in_file": 7, "after": 0}
    assert receipt_head(data, 1).get("uploaded_at") is None


async def test_a_plan_says_that_what_a_task_has_cannot_be_read(
    stack: AsyncExitStack, data: Path
) -> None:
    serve = await stack.enter_async_context(serving(1))
    await ac.mirror(serve.client, data, options=QUICK)
    edit(data / "task1" / CVAT)
    assert (await ac.upload(serve.client, data, options=UPLOAD)).ok
    edit(data / "task1" / CVAT)
    refused = Fault(method="GET", path="/annotations$", status=403, times=None)
    serve.server.faults.add(refused)
    for plan in (
        await ac.plan_upload(serve.client, data, options=UPLOAD),
        await ac.plan_undo_upload(serve.client, data, [1], options=UPLOAD),
    ):
        (step,) = plan.to_json()["steps"]
        assert (step["step"], step["reason"]) == ("refuse", "unreadable")


async def test_counts_that_cannot_be_read_afterwards_are_a_warning(
    stack: AsyncExitStack, data: Path
) -> None:
    refused = Fault(method="GET", path="/annotations$", nth=2, status=403)
    serve = await stack.enter_async_context(serving(1))
    serve.server.faults.add(refused)
    await ac.mirror(serve.client, data, options=QUICK)
    edit(data / "task1" / CVAT)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert report.ok
    assert outcome(report, 1).annotations == AnnotationChange(before=7, in_file=7, after=None)
    (warning,) = outcome(report, 1).warnings
    assert warning.startswith("uploaded, but what the task has now cannot be read: ")
