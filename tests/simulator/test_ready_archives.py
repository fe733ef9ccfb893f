"""A folder of ready archives becomes tasks whose exports are exactly these files."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest

from asynccvat.simulator.formats.archives import ExportUnavailableError, export_archive
from asynccvat.simulator.formats.ready_archives import add_ready_archives
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.world.world import World

IMAGES, COCO = "CVAT for images 1.1", "COCO 1.0"


def loaded(folder: Path) -> World:
    world = World(SimulatorOptions(tasks=0, projects=0))
    add_ready_archives(world, folder)
    return world


def write_zip(path: Path, *names: str) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return path.read_bytes()


def test_file_names_define_task_format_and_images(tmp_path: Path) -> None:
    plain = write_zip(tmp_path / "task7_coco-10_annotations.zip", "annotations/instances_val.json")
    images = write_zip(
        tmp_path / "task7_coco-10_images.zip", "images/val/a.jpg", "images/val/b.jpg"
    )
    task = loaded(tmp_path).tasks[7]
    assert export_archive(task, COCO, save_images=False) == plain
    assert export_archive(task, COCO, save_images=True) == images
    assert (task.size, task.subset, task.name) == (2, "val", "task7")
    with pytest.raises(ExportUnavailableError, match="no ready archive of task 7 in CVAT"):
        export_archive(task, IMAGES, save_images=False)


def test_an_archive_without_a_format_in_its_name_serves_every_format(tmp_path: Path) -> None:
    (tmp_path / "task3.zip").write_bytes(b"not an archive at all")
    exact = write_zip(tmp_path / "task3_cvat-for-images-11_images.zip", "annotations.xml")
    task = loaded(tmp_path).tasks[3]
    assert export_archive(task, COCO, save_images=True) == b"not an archive at all"
    assert export_archive(task, IMAGES, save_images=False) == b"not an archive at all"
    assert export_archive(task, IMAGES, save_images=True) == exact


def test_other_files_are_ignored(tmp_path: Path) -> None:
    write_zip(tmp_path / "task1.zip", "annotations.xml")
    (tmp_path / "README.md").write_text("task2.zip")
    (tmp_path / "task2.zip.part").write_bytes(b"")
    assert list(loaded(tmp_path).tasks) == [1]


def test_the_folder_becomes_a_further_project(tmp_path: Path) -> None:
    folder = tmp_path / "ready"
    folder.mkdir()
    write_zip(folder / "task2.zip", "annotations.xml")
    world = World(SimulatorOptions(tasks=3, projects=1))
    add_ready_archives(world, folder)
    assert world.projects[2].name == "ready"
    assert [task.id for task in world.project_tasks(2)] == [2]
    assert [task.id for task in world.project_tasks(1)] == [1, 3]


def test_the_newest_archive_dates_the_task(tmp_path: Path) -> None:
    for number, name in enumerate(("task1_coco-10_images.zip", "task1_coco-10_annotations.zip")):
        write_zip(tmp_path / name, "annotations/instances_default.json")
        os.utime(tmp_path / name, (10**9 + number, 10**9 + number))
    task = loaded(tmp_path).tasks[1]
    assert task.updated_date.timestamp() == 10**9 + 1
    assert task.created_date.timestamp() == 10**9


def test_a_cvat_xml_defines_name_size_mode_and_subset(tmp_path: Path) -> None:
    text = "<task><name>a &amp; b</name><size>12</size><mode>interpolation</mode>"
    with zipfile.ZipFile(tmp_path / "task1.zip", "w") as archive:
        archive.writestr("annotations.xml", f"{text}<subset>default</subset></task>")
    task = loaded(tmp_path).tasks[1]
    assert (task.name, task.size, task.mode, task.subset) == ("a & b", 12, "interpolation", "")


def test_an_encrypted_archive_is_served_without_reading_facts(tmp_path: Path) -> None:
    data = bytearray(write_zip(tmp_path / "task1.zip", "annotations.xml"))
    data[6] |= 1  # in the local header, and below in the central directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "task1.zip").write_bytes(data)
    task = loaded(tmp_path).tasks[1]
    assert (task.name, task.size) == ("task1", 1)
    assert export_archive(task, COCO, save_images=False) == data


def test_an_index_overrides_file_names(tmp_path: Path) -> None:
    data = write_zip(tmp_path / "any name.zip", "annotations.xml")
    write_zip(tmp_path / "task9.zip", "annotations.xml")
    entry = {
        "file": "any name.zip",
        "task_id": 4,
        "task_name": "four",
        "format": COCO,
        "save_images": True,
    }
    (tmp_path / "index.json").write_text(json.dumps([entry]))
    world = loaded(tmp_path)
    assert [(task.id, task.name) for task in world.tasks.values()] == [(4, "four")]
    assert export_archive(world.tasks[4], COCO, save_images=True) == data


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("not json", "is not a list of archives"),
        ('[{"file": "x.zip"}]', "is not a list of archives"),
        ("7", "is not a list of archives"),
        (
            '[{"file": "x.zip", "task_id": 1, "task_name": "", "format": "", "save_images": true}]',
            "do not exist: x.zip",
        ),
    ],
)
def test_a_broken_index_is_refused_with_its_path(tmp_path: Path, index: str, words: str) -> None:
    (tmp_path / "index.json").write_text(index)
    with pytest.raises(ValueError, match=words) as caught:
        loaded(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_folder_without_archives_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no archives: name them"):
        loaded(tmp_path)


def test_the_recorded_exports_are_served_unchanged(shared: Path) -> None:
    exports = shared / "contract" / "exports"
    world = loaded(exports)
    index = json.loads((exports / "index.json").read_bytes())
    assert set(world.tasks) == {entry["task_id"] for entry in index}
    for entry in index:
        task = world.tasks[entry["task_id"]]
        assert task.name == entry["task_name"]
        served = export_archive(task, entry["format"], entry["save_images"])
        assert served == (exports / entry["file"]).read_bytes()
    assert world.tasks[10].subset == "Train"
    assert world.tasks[280].size == 8
    assert world.tasks[296].mode == "interpolation"
