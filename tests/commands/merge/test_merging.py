"""Check data sets that are merged of mirrors: content, parts, changes, and what fails alone."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from engine_serving import QUICK, Serving, serving

import asynccvat as ac
from asynccvat import errors
from asynccvat.fs import files
from asynccvat.models import MergedFiles

pytestmark = pytest.mark.anyio

COCO = ac.ExportSpec("COCO 1.0", images=True)
YOLO = ac.ExportSpec("Ultralytics YOLO Detection 1.0", images=True)
XML = ac.ExportSpec("CVAT for images 1.1", images=True)
HALVES = "train=0.5,val=0.5"


@pytest.fixture
async def serve() -> AsyncIterator[Serving]:
    """A server of six tasks."""
    async with serving(6) as started:
        yield started


async def mirrored(serve: Serving, dest: Path, spec: ac.ExportSpec | str) -> Path:
    assert (await ac.mirror(serve.client, dest, spec=spec, options=QUICK)).ok
    return dest


@pytest.fixture
async def raw(serve: Serving, data: Path) -> Path:
    """The tasks as JSON."""
    return await mirrored(serve, data, "json")


def instances(out: Path, part: str = "train") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / f"annotations/instances_{part}.json").read_bytes())
    return found


def by_image(coco: dict[str, Any]) -> dict[str, list[tuple[str, float, list[float]]]]:
    """Return label, area and box of the annotations of each image."""
    names = {one["id"]: one["name"] for one in coco["categories"]}
    files = {one["id"]: one["file_name"] for one in coco["images"]}
    found: dict[str, list[tuple[str, float, list[float]]]] = {name: [] for name in files.values()}
    for one in coco["annotations"]:
        label = names[one["category_id"]]
        found[files[one["image_id"]]].append((label, one["area"], one["bbox"]))
    return found


def edit(path: Path, **changes: Any) -> None:
    """Change the entries of a JSON file: an object, or the objects of a list."""
    document = json.loads(path.read_bytes())
    for one in document if isinstance(document, list) else [document]:
        one.update(changes)
    path.write_text(json.dumps(document))


async def test_json_and_exports_become_the_same_data_set(
    serve: Serving, raw: Path, tmp_path: Path
) -> None:
    exports = await mirrored(serve, tmp_path / "exports", COCO)
    of_json = await ac.merge([raw], tmp_path / "a", to="coco")
    of_exports = await ac.merge([exports], tmp_path / "b", to="coco")
    assert by_image(instances(tmp_path / "a")) == by_image(instances(tmp_path / "b"))
    assert [one.objects for one in of_json.parts] == [one.objects for one in of_exports.parts]
    assert (of_json.tasks, of_json.failed, of_json.parts[0].images) == (6, [], 12)
    assert of_json.warnings == [
        "12 images are only described, as the mirrors have no file of them",
        "coco cannot hold some annotations, so they are left out: 6 points, 6 tag",
    ]
    assert of_exports.warnings == []


async def test_images_of_a_mirror_as_json_come_into_every_format(
    serve: Serving, tmp_path: Path
) -> None:
    source = await mirrored(serve, tmp_path / "source", ac.ExportSpec("CVAT JSON", images=True))
    for to in ("coco", "yolo", "cvat"):
        report = await ac.merge([source], tmp_path / to, to=to)
        assert (report.files.linked, report.parts[0].without_file) == (12, 0)
        [image] = tmp_path.joinpath(to).rglob("task2/street_0001.jpg")
        assert image.samefile(source / "task2/images/street_0001.jpg")
    assert check_as_ultralytics_does(tmp_path / "yolo") == 12


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pycocotools calls numpy the old way
async def test_pycocotools_loads_the_data_set(serve: Serving, tmp_path: Path) -> None:
    module = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    exports = await mirrored(serve, tmp_path / "exports", COCO)
    await ac.merge([exports], tmp_path / "out", to="coco", split=HALVES)
    for part in ("train", "val"):
        loaded = module.COCO(tmp_path / f"out/annotations/instances_{part}.json")
        images = loaded.loadImgs(loaded.getImgIds())
        annotations = loaded.loadAnns(loaded.getAnnIds())
        assert images
        assert annotations
        for image in images:
            assert (tmp_path / f"out/images/{part}" / image["file_name"]).is_file()
        masks = [one for one in annotations if one["segmentation"]]
        assert masks
        for one in masks:
            [image] = loaded.loadImgs([one["image_id"]])
            mask = loaded.annToMask(one)
            assert mask.shape == (image["height"], image["width"])
            assert mask.any()


def check_as_ultralytics_does(out: Path) -> int:
    """Check a data set by the rules of `check_det_dataset` and `verify_image_label`.

    Source: `ultralytics/data/utils.py` of Ultralytics 8.4.190.

    Returns:
        How many images have labels.
    """
    described = yaml.safe_load((out / "data.yaml").read_text())
    assert {"train", "val", "names"} <= set(described)
    assert list(described["names"]) == list(range(len(described["names"])))
    found = 0
    for part in sorted({described["train"], described["val"]}):
        images = [path for path in (out / part).glob("**/*.*") if path.suffix == ".jpg"]
        assert images
        for image in images:
            place = "/labels/".join(str(image).rsplit("/images/", 1))
            lines = Path(place.rsplit(".", 1)[0] + ".txt").read_text().splitlines()
            for line in lines:
                label, *numbers = map(float, line.split())
                assert label in described["names"]
                assert len(numbers) == 4
                assert 0 <= min(numbers) <= max(numbers) <= 1.01
            found += bool(lines)
    return found


async def test_the_data_set_keeps_the_rules_of_ultralytics(serve: Serving, tmp_path: Path) -> None:
    exports = await mirrored(serve, tmp_path / "exports", YOLO)
    for split in (None, HALVES):
        out = tmp_path / f"out {split}"
        report = await ac.merge([exports], out, to="yolo", split=split, task_ids=range(2, 7))
        assert check_as_ultralytics_does(out) == 10
        assert len(report.warnings) == (split is None)


async def test_ultralytics_loads_the_data_set(serve: Serving, tmp_path: Path) -> None:
    data = pytest.importorskip("ultralytics.data", reason="ultralytics needs torch, which is large")
    utils = pytest.importorskip("ultralytics.data.utils")
    exports = await mirrored(serve, tmp_path / "exports", YOLO)
    await ac.merge([exports], tmp_path / "out", to="yolo", split=HALVES)
    described = utils.check_det_dataset(str(tmp_path / "out/data.yaml"), autodownload=False)
    images = sum(
        len(data.YOLODataset(described[part], data=described, task="detect").labels)
        for part in ("train", "val")
    )
    assert images == 12


async def test_json_becomes_labels_of_yolo(raw: Path, tmp_path: Path) -> None:
    report = await ac.merge([raw], tmp_path / "out", to="yolo", task_ids=[2])
    labels = (tmp_path / "out/labels/train/task2/street_0000.txt").read_text().splitlines()
    assert len(labels) == 2
    assert all(line.startswith("0 0.") for line in labels)
    assert report.warnings[1:] == [
        "yolo cannot hold some annotations, so they are left out: 1 polygon, 1 points, 1 tag",
        "Ultralytics needs val, which data.yaml takes from train",
    ]
    fewer = await ac.merge([raw], tmp_path / "out", to="yolo", task_ids=[2], min_area=10**9)
    assert fewer.parts[0].objects.total() == 0
    assert fewer.files == MergedFiles(written=2, unchanged=1)


async def test_json_and_exports_become_the_same_xml(
    serve: Serving, raw: Path, tmp_path: Path
) -> None:
    exports = await mirrored(serve, tmp_path / "exports", XML)
    for source, name in ((raw, "a"), (exports, "b")):
        report = await ac.merge([source], tmp_path / name, to="cvat", task_ids=range(2, 7))
        assert report.parts[0].tasks == 5
    one, other = (tmp_path / f"{name}/train/annotations.xml" for name in "ab")
    assert one.read_text() == other.read_text()
    root = ET.fromstring(one.read_bytes())
    assert [image.get("id") for image in root.iter("image")] == [str(place) for place in range(10)]
    assert {label.findtext("name") for label in root.iter("label")} >= {"car", "person"}
    for image in root.iter("image"):
        assert (tmp_path / "b/train/images" / image.attrib["name"]).is_file()


async def test_the_frames_of_a_video_get_the_names_of_their_files(
    serve: Serving, tmp_path: Path
) -> None:
    exports = await mirrored(serve, tmp_path / "exports", XML)
    path = exports / "task1/annotations.xml"
    text = path.read_text().replace("<mode>annotation<", "<mode>interpolation<")
    path.write_text(text.replace('.jpg" width', '" width'))  # as CVAT names frames of a video
    await ac.merge([exports], tmp_path / "out", to="cvat", task_ids=[1])
    root = ET.parse(tmp_path / "out/train/annotations.xml")
    names = [image.attrib["name"] for image in root.iter("image")]
    assert len(names) == 2
    for name in names:
        assert (tmp_path / "out/train/images" / name).is_file()


async def test_images_of_several_mirrors_keep_apart(serve: Serving, tmp_path: Path) -> None:
    sources = [await mirrored(serve, tmp_path / name, COCO) for name in ("one", "two")]
    report = await ac.merge(sources, tmp_path / "out", to="coco", images="copy")
    assert (report.tasks, report.files.copied) == (12, 24)
    names = [one["file_name"] for one in instances(tmp_path / "out")["images"]]
    assert len(set(names)) == 24
    assert {name.split("/")[0] for name in names} == {"one", "two"}


async def test_a_second_merge_rewrites_only_what_changed(serve: Serving, tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    await mirrored(serve, source, YOLO)
    first = await ac.merge([source], out, to="yolo", split=HALVES)
    assert first.files == MergedFiles(written=13, linked=12)
    second = await ac.merge([source], out, to="yolo", split=HALVES)
    assert second.files == MergedFiles(unchanged=25)
    await serve.annotate(3, shapes=[serve.box(3)])
    await mirrored(serve, source, YOLO)
    third = await ac.merge([source], out, to="yolo", split=HALVES)
    assert (third.files.written, third.files.removed) == (2, 0)
    fewer = await ac.merge([source], out, to="yolo", split=HALVES, task_ids=[2, 3, 4, 5, 6])
    assert (fewer.files.written, fewer.files.removed) == (0, 4)
    assert not list(out.rglob("task1"))


async def test_subsets_and_labels_and_empty_images_are_chosen(raw: Path, tmp_path: Path) -> None:
    for task, subset in ((2, "Train"), (3, "Validation"), (4, "")):
        edit(raw / f"task{task}/task.json", subset=subset)
    report = await ac.merge(
        [raw],
        tmp_path / "out",
        to="coco",
        split_by="subset",
        labels=["person", "car", "ship"],
        only_annotated=True,
        folders=["task[234]"],
    )
    assert {part.name: part.tasks for part in report.parts} == {"train": 2, "val": 1}
    assert sum(part.empty for part in report.parts) == 0
    categories = instances(tmp_path / "out")["categories"]
    assert [one["name"] for one in categories] == ["person", "car", "ship"]
    assert "no task has the label ship" in report.warnings


async def test_only_completed_jobs_are_merged(raw: Path, tmp_path: Path) -> None:
    for path in raw.glob("task*/jobs.json"):
        edit(path, state="new", stage="validation")
    edit(raw / "task2/jobs.json", state="completed", stage="acceptance")
    for states, stages in ((["completed"], []), ([], ["acceptance"])):
        out = tmp_path / "out"
        report = await ac.merge([raw], out, to="coco", states=states, stages=stages)
        assert (report.parts[0].tasks, report.parts[0].images) == (1, 2)


async def test_a_task_that_cannot_be_merged_stops_no_other(
    serve: Serving, raw: Path, tmp_path: Path
) -> None:
    (raw / "task2/frames.json").write_bytes(b"{}")
    told: list[tuple[int, int]] = []
    report = await ac.merge(
        [raw], tmp_path / "out", to="coco", on_merged=lambda *counts: told.append(counts)
    )
    assert [(one.task_id, one.source) for one in report.failed] == [(2, str(raw))]
    assert "frames.json is not as expected" in report.failed[0].why
    assert (report.tasks, told) == (5, [(6, 6)])
    exports = await mirrored(serve, tmp_path / "exports", YOLO)
    given: list[tuple[dict[str, Any], str]] = [
        ({"to": "coco"}, "its files are in 'Ultralytics YOLO Detection 1.0'"),
        ({"to": "yolo", "states": ["completed"]}, "only a mirror as JSON tells"),
        ({"to": "yolo", "min_area": 5}, "do not tell how large objects are"),
    ]
    for options, why in given:
        nothing = await ac.merge([exports], tmp_path / "none", **options)
        assert nothing.tasks == 0
        assert why in nothing.failed[0].why
        assert not list((tmp_path / "none").iterdir())


async def test_a_drive_that_fails_ends_a_merge_and_removes_nothing(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    await ac.merge([raw], out, to="coco")
    before = sorted(out.rglob("*"))
    read = files.read_file

    def fail(name: str, *, dir_fd: int) -> bytes | None:
        if name == "annotations.json":
            raise OSError(errno.EIO, "Input/output error")
        return read(name, dir_fd=dir_fd)

    monkeypatch.setattr(files, "read_file", fail)
    with pytest.raises(errors.DriveError):
        await ac.merge([raw], out, to="coco")
    assert sorted(out.rglob("*")) == before


async def test_tasks_that_are_named_and_not_mirrored_fail(raw: Path, tmp_path: Path) -> None:
    report = await ac.merge([raw], tmp_path / "out", to="coco", task_ids=[1, 9])
    assert (report.tasks, [one.task_id for one in report.failed]) == (1, [9])
    assert "no mirror here holds it" in report.failed[0].why
    counted = await ac.stats(raw, task_ids=[1, 9])
    assert [(one.task_id, one.why is None) for one in counted.tasks] == [(1, True), (9, False)]


async def test_a_subset_that_is_no_part_fails_its_task_alone(raw: Path, tmp_path: Path) -> None:
    edit(raw / "task4/task.json", subset="My subset")
    report = await ac.merge([raw], tmp_path / "out", to="coco", split_by="subset")
    assert (report.tasks, [one.task_id for one in report.failed]) == (5, [4])


async def test_a_data_set_stays_if_the_selection_leaves_nothing(raw: Path, tmp_path: Path) -> None:
    await ac.merge([raw], tmp_path / "out", to="coco")
    report = await ac.merge([raw], tmp_path / "out", to="coco", labels=["Car"], only_annotated=True)
    assert (report.tasks, report.files) == (0, MergedFiles())
    assert len(instances(tmp_path / "out")["images"]) == 12


async def test_a_data_set_stays_if_no_task_can_be_merged(raw: Path, tmp_path: Path) -> None:
    await ac.merge([raw], tmp_path / "out", to="coco")
    for path in raw.glob("task*/labels.json"):
        path.write_bytes(b"{}")
    report = await ac.merge([raw], tmp_path / "out", to="coco")
    assert (report.tasks, report.files) == (0, MergedFiles())
    assert len(instances(tmp_path / "out")["images"]) == 12


async def test_an_edited_file_is_told_and_stays(serve: Serving, tmp_path: Path) -> None:
    source, out = await mirrored(serve, tmp_path / "source", YOLO), tmp_path / "out"
    await ac.merge([source], out, to="yolo")
    (out / "labels/train/task2/street_0000.txt").write_text("mine")
    report = await ac.merge([source], out, to="yolo", task_ids=[3])
    assert "edited, so not removed: labels/train/task2/street_0000.txt" in report.warnings
    with pytest.raises(errors.StoreError, match=r"it was edited|it is not of a merge"):
        await ac.merge([source], out, to="yolo")
    assert (await ac.merge([source], out, to="yolo", overwrite=True)).tasks == 6


async def test_a_name_that_leads_outside_fails_its_task(raw: Path, tmp_path: Path) -> None:
    path = raw / "task2/frames.json"
    media = json.loads(path.read_bytes())
    media["frames"][1]["name"] = "../../../../evil.jpg"
    path.write_text(json.dumps(media))
    report = await ac.merge([raw], tmp_path / "a/b/c", to="yolo", task_ids=[2, 3])
    assert [one.task_id for one in report.failed] == [2]
    assert not list(tmp_path.rglob("evil*"))
    assert [part.tasks for part in report.parts] == [1]
    assert not list((tmp_path / "a/b/c").rglob("task2"))


async def test_a_task_whose_folder_or_image_is_missing_fails_alone(
    serve: Serving, tmp_path: Path
) -> None:
    source = await mirrored(serve, tmp_path / "source", COCO)
    (source / "task2/images/default/street_0001.jpg").unlink()
    shutil.rmtree(source / "task3")
    report = await ac.merge([source], tmp_path / "out", to="coco")
    missing, gone = report.failed
    assert (missing.task_id, gone.task_id, report.tasks) == (2, 3, 4)
    assert "its file 'images/default/street_0001.jpg' is missing. Repair" in missing.why
    assert "No such file" in gone.why
    assert not list((tmp_path / "out").rglob("task2"))
    assert len(instances(tmp_path / "out")["images"]) == 8


async def test_wrong_use_is_refused(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(errors.ConfigError, match="holds a mirror or backups"):
        await ac.merge([raw], raw / "out", to="coco")
    with pytest.raises(errors.ConfigError, match="there is nothing to merge"):
        await ac.merge([], out, to="coco")
    with pytest.raises(errors.ConfigError, match="no such task"):
        await ac.merge([raw], out, to="coco", task_ids=[99])
    with pytest.raises(errors.ConfigError, match="'move' is none of link, copy"):
        await ac.merge([raw], out, to="coco", images="move")
    with pytest.raises(TypeError, match="sources must be a list"):
        await ac.merge(str(raw), out, to="coco")
    with pytest.raises(errors.ConfigError, match="neither a mirror nor backups"):
        await ac.merge([tmp_path / "nothing"], out, to="coco")
    assert not out.exists()


async def test_a_report_is_json(raw: Path, tmp_path: Path) -> None:
    (raw / "task2/frames.json").write_bytes(b"{}")
    report = await ac.merge([raw], tmp_path / "out", to="coco")
    value = json.loads(json.dumps(report.to_json()))
    assert (value["version"], value["format"], value["tasks"]) == (1, "coco", 5)
    assert value["failed"][0]["id"] == 2
    part = value["parts"][0]
    assert (part["name"], part["images"], part["without_file"]) == ("train", 10, 10)
    assert part["objects"] == sum(part["labels"].values())
    assert value["files"]["written"] == 1
