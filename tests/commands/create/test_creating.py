"""Tasks are made of folders, videos and zips: as asked, each once, and with all their frames."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from creating import PROJECT, QUICK, frame_names, images, new_tasks, write
from engine_serving import Log, Serving, actions, error, log, serving
from media_files import avi, large_png, matroska, png

import asynccvat as ac
from asynccvat import errors, events
from asynccvat.commands.create import run as create_run
from asynccvat.commands.create.project import find_target
from asynccvat.models import CreateReason
from asynccvat.simulator import Fault

__all__ = ["log"]

pytestmark = pytest.mark.anyio


def options(**given: Any) -> ac.CreateOptions:
    return ac.CreateOptions(durable=False, **given)


async def create(serve: Serving, source: Path, **given: Any) -> ac.RunReport:
    given = {"project": PROJECT, "options": QUICK, **given}
    return await ac.create(serve.client, source, **given)


async def test_each_folder_becomes_a_task_with_all_its_images(tmp_path: Path, log: Log) -> None:
    source = images(tmp_path, cam1=12, cam2=1)
    write(tmp_path, {"cam2/left/\u00fc 1.png": png()})
    async with serving(1) as serve:
        report = await create(serve, source, options=options(subset="train"), on_event=log)
        assert report.ok, report.failures
        tasks = await new_tasks(serve, 1)
        assert {
            name: (task.size, task.subset, task.project_id) for name, task in tasks.items()
        } == {
            "cam1": (12, "train", PROJECT),
            "cam2": (2, "train", PROJECT),
        }
        names = await frame_names(serve, tasks["cam1"].id)
        assert names == [f"{number}.png" for number in range(12)]
        assert await frame_names(serve, tasks["cam2"].id) == ["0.png", "left/\u00fc 1.png"]
        assert actions(report) == {
            task.id: ("created", CreateReason.NEW) for task in tasks.values()
        }
        sent = sum(event.sent for event in log.of(events.UploadProgress))
        assert sent == sum(event.size for event in log.of(events.UploadStarted))
        assert report.transferred == sent


async def test_the_server_holds_the_bytes_that_were_sent(tmp_path: Path) -> None:
    source = images(tmp_path, cam1=3)
    write(source, {"cam1/left/big.png": large_png(1_100_000)})
    async with serving(1) as serve:
        assert (await create(serve, source)).ok
        exported = await serve.archive(2, ac.ExportSpec("CVAT for images 1.1", images=True))
    assert {
        name.removeprefix("images/"): data for name, data in exported.items() if "png" in name
    } == {
        path.relative_to(source / "cam1").as_posix(): path.read_bytes()
        for path in (source / "cam1").rglob("*.png")
    }


async def test_a_second_run_creates_further_folders_alone(tmp_path: Path) -> None:
    source = images(tmp_path, cam1=2)
    async with serving(1) as serve:
        assert (await create(serve, source)).ok
        images(tmp_path, cam2=2)
        report = await create(serve, source)
        assert report.ok
        assert sorted((one.action, one.path) for one in report.outcomes) == [
            ("created", source / "cam2"),
            ("skipped", source / "cam1"),
        ]
        assert sorted(await new_tasks(serve, 1)) == ["cam1", "cam2"]


async def test_a_folder_that_changed_is_named_and_nothing_is_done(tmp_path: Path) -> None:
    source = images(tmp_path, cam1=2)
    async with serving(1) as serve:
        assert (await create(serve, source)).ok
        images(tmp_path, cam1=3)
        calls = len(serve.server.calls)
        report = await create(serve, source)
        assert "its files or their order changed since task 2 was made" in str(error(report, 2))
        assert not [one for one in serve.server.calls[calls:] if one.method != "GET"]


async def test_damaged_files_are_named_and_other_folders_are_created(tmp_path: Path) -> None:
    source = images(tmp_path, good=1, bad=2)
    write(tmp_path, {"bad/1.png": png()[:-3], "bad/2.jpg": png()})
    async with serving(1) as serve:
        report = await create(serve, source)
        assert list(await new_tasks(serve, 1)) == ["good"]
        (failed,) = report.failures
        assert failed.failure == (
            "cannot create a task of 'bad': 'bad/1.png' is cut off (and 1 more). Nothing was sent."
        )
        assert failed.warnings == (
            "'bad/2.jpg' is a PNG file, though it is named '.jpg': rename it to '.png'",
        )


async def test_a_plan_tells_tasks_frames_and_bytes_and_changes_nothing(tmp_path: Path) -> None:
    source = images(tmp_path, cam1=5)
    async with serving(1) as serve:
        plan = await ac.plan_create(
            serve.client, source, project=PROJECT, options=options(split=2, frame_step=2)
        )
        described = plan.to_json()
        assert [(one["name"], one["files"], one["frames"]) for one in described["steps"]] == [
            ("cam1-1", 2, 1),
            ("cam1-2", 2, 1),
            ("cam1-3", 1, 1),
        ]
        assert {call.method for call in serve.server.calls} <= {"GET", "POST"}
        assert not serve.calls("POST /api/tasks")
        assert not (source / ".asynccvat").exists()


async def test_frames_and_jobs_are_as_asked(tmp_path: Path) -> None:
    source = images(tmp_path, cam1=9)
    chosen = options(
        start_frame=1, stop_frame=7, frame_step=2, segment_size=2, overlap=0, image_quality=55
    )
    async with serving(1) as serve:
        report = await create(serve, source, options=chosen)
        assert report.ok, report.failures
        (task,) = (await new_tasks(serve, 1)).values()
        assert (task.size, task.segment_size, task.image_quality) == (4, 2, 55)
        assert await frame_names(serve, task.id) == ["1.png", "3.png", "5.png", "7.png"]
        jobs = await serve.client.jobs(ac.JobSelection(task_ids=[task.id]))
        assert [job.frame_count for job in jobs] == [2, 2]


async def test_a_zip_becomes_a_task(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "more.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/10.png", png())
        archive.writestr("a/9.png", png(5))
    async with serving(1) as serve:
        report = await create(serve, tmp_path / "more.zip")
        assert report.ok, report.failures
        (task,) = (await new_tasks(serve, 1)).values()
        assert (task.name, task.size) == ("more", 2)
        assert await frame_names(serve, task.id) == ["a/9.png", "a/10.png"]


async def test_videos_become_tasks_with_the_frames_that_the_server_counts(tmp_path: Path) -> None:
    source = write(tmp_path, {"drive.avi": avi(), "cam1/clip.mkv": matroska(), "cam1/1.png": png()})
    async with serving(1) as serve:
        report = await create(serve, source, options=options(frame_step=1))
        assert report.ok, report.failures
        tasks = await new_tasks(serve, 1)
        assert {name: task.mode for name, task in tasks.items()} == {
            "drive": "interpolation",
            "cam1/clip": "interpolation",
            "cam1": "annotation",
        }
        assert tasks["drive"].size == 30


async def test_annotations_beside_the_images_are_imported(tmp_path: Path) -> None:
    source = images(tmp_path, cam1=2, cam2=1)
    async with serving(1) as serve:
        label = serve.server.tasks[1].labels[0].name
        write(
            tmp_path,
            {
                "cam1/annotations.xml": f"""<?xml version="1.0"?><annotations>
                <image id="1" name="1.png" width="3" height="3"><box label="{label}"
                xtl="0" ytl="0" xbr="1" ybr="1" occluded="0"/></image></annotations>""".encode()
            },
        )
        report = await create(serve, source)
        assert report.ok, report.failures
        tasks = await new_tasks(serve, 1)
        counts = (await serve.client.annotations(tasks["cam1"].id)).counts
        assert counts.shapes == 1
        (annotated,) = [one for one in report.outcomes if one.annotations is not None]
        assert (annotated.action, annotated.name) == ("created", "cam1")
        calls = len(serve.server.calls)
        assert {one.action for one in (await create(serve, source)).outcomes} == {"skipped"}
        assert not [one for one in serve.server.calls[calls:] if one.method != "GET"]


async def test_coco_beside_the_images_is_imported(tmp_path: Path) -> None:
    source = images(tmp_path, cam1=2)
    async with serving(1) as serve:
        label = serve.server.tasks[1].labels[0].name
        coco = {
            "images": [{"id": 1, "file_name": "1.png", "width": 3, "height": 3}],
            "categories": [{"id": 1, "name": label}],
            "annotations": [
                {
                    "id": 1,
                    "image_id": 1,
                    "category_id": 1,
                    "bbox": [0, 0, 1, 1],
                    "segmentation": [],
                    "iscrowd": 0,
                    "area": 1,
                }
            ],
        }
        write(source, {"cam1/instances_train.json": json.dumps(coco).encode()})
        report = await create(serve, source)
        assert report.ok, report.failures
        assert (await serve.client.annotations(2)).counts.shapes == 1


async def test_annotations_that_cannot_be_imported_fail_and_are_tried_again(
    tmp_path: Path,
) -> None:
    source = images(tmp_path, cam1=1)
    write(tmp_path, {"cam1/annotations.xml": b"<annotations><image/></annotations>"})
    async with serving(1) as serve:
        serve.server.faults.add(Fault(importing="fail", message="no such label"))
        report = await create(serve, source)
        assert "no such label" in str(error(report, 2))
        serve.server.faults.clear()
        plan = await ac.plan_create(serve.client, source, project=PROJECT, options=QUICK)
        assert plan.counts == {"annotate": 1}
        left = await create(serve, source, options=options(annotations=False))
        assert actions(left) == {2: ("skipped", CreateReason.UNCHANGED)}


async def test_a_project_is_made_once_with_its_labels(tmp_path: Path) -> None:
    source = images(tmp_path, cam1=1)
    labels = tmp_path.parent / f"{tmp_path.name}.txt"
    labels.write_text("car\n\nbus\n")
    async with serving(1) as serve:
        report = await create(serve, source, project="Harbour", labels=labels)
        assert report.ok, report.failures
        (project,) = await serve.client.projects(ac.ProjectSelection(name="Harbour"))
        (task,) = (await new_tasks(serve, 1)).values()
        assert task.project_id == project.id
        images(tmp_path, cam2=1)
        assert (await create(serve, source, project="Harbour", labels=["car"])).ok
        assert len(await serve.client.projects(ac.ProjectSelection(name="Harbour"))) == 1
        with pytest.raises(errors.ConfigError, match="lacks labels that were given: boat"):
            await create(serve, source, project="Harbour", labels=["boat"])


async def test_a_project_that_another_run_makes_meanwhile_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = images(tmp_path, cam1=2)
    others: list[ac.RunReport] = []

    async with serving(1) as serve:

        async def find(*given: Any) -> Any:
            target = await find_target(*given)
            if not others:  # the other run begins and ends before this one has the journal
                monkeypatch.undo()
                others.append(await create(serve, source, project="Harbour", labels=["cone"]))
            return target

        monkeypatch.setattr(create_run, "find_target", find)
        report = await create(serve, source, project="Harbour", labels=["cone"])
        assert others[0].ok
        assert report.count(ac.Action.SKIPPED) == 1
        assert [one.name for one in await serve.client.projects()].count("Harbour") == 1


async def test_labels_of_another_project_are_taken(tmp_path: Path) -> None:
    source = images(tmp_path, cam1=1)
    async with serving(1) as serve:
        theirs = [label.name for label in serve.server.tasks[1].labels]
        report = await create(serve, source, project=None, labels_from=PROJECT)
        assert report.ok, report.failures
        (task,) = (await new_tasks(serve, 1)).values()
        assert task.project_id is None
        assert [label.name for label in serve.server.tasks[task.id].labels] == theirs
        assert (await create(serve, source, project=None, labels_from=PROJECT)).ok
        assert len(await new_tasks(serve, 1)) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"project": "Nowhere"}, "there is no project 'Nowhere'"),
        ({"project": 99}, "there is no project 99"),
        ({"project": " "}, "the project's name is empty"),
        ({"project": None}, "tasks need labels"),
        ({"labels": ["a"], "labels_from": 1}, "labels are given twice"),
        ({"project": None, "labels_from": "Nowhere"}, "there is no project 'Nowhere'"),
        ({"project": None, "labels": "missing.txt"}, "cannot read labels from 'missing.txt'"),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    source = images(tmp_path, cam1=1)
    async with serving(1) as serve:
        with pytest.raises(ac.AsyncCvatError, match=said):
            await create(serve, source, **given)
        assert not serve.calls("POST /api/tasks")


async def test_arguments_of_other_types_are_refused(tmp_path: Path) -> None:
    async with serving(1) as serve:
        with pytest.raises(TypeError, match="project must be an id or a name"):
            await create(serve, tmp_path, project=True)


async def test_labels_in_damaged_files_are_refused(tmp_path: Path) -> None:
    source = images(tmp_path, cam1=1)
    labels = tmp_path.parent / f"{tmp_path.name}.json"
    async with serving(1) as serve:
        for content in (b'["a"', b"\xff\xfe", b"[]"):
            labels.write_bytes(content)
            with pytest.raises(errors.ConfigError, match="cannot read labels"):
                await create(serve, source, project=None, labels=labels)
        labels.write_bytes(b'[{"name": "car", "id": 7}]')
        assert (await create(serve, source, project=None, labels=labels)).ok


async def test_a_name_that_the_project_has_is_refused_unless_permitted(tmp_path: Path) -> None:
    async with serving(1) as serve:
        name = serve.server.tasks[1].name
        source = write(tmp_path, {f"{name}/1.png": png()})
        report = await create(serve, source)
        assert "--same-name" in str(error(report, 1))
        assert (await create(serve, source, options=options(same_name=True))).ok
        assert len(serve.server.tasks) == 2


async def test_a_task_that_is_gone_is_created_again_on_request(tmp_path: Path) -> None:
    source = images(tmp_path, cam1=1)
    async with serving(1) as serve:
        assert (await create(serve, source)).ok
        serve.server.delete_task(2)
        assert "--again" in str(error(await create(serve, source), 2))
        report = await create(serve, source, options=options(again=True))
        assert report.ok, report.failures
        assert list(await new_tasks(serve, 1)) == ["cam1"]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, '["tasks limit reached"]', "tasks limit reached"),
        (400, '["Project matching query does not exist."]', "project 1 does not exist any more"),
    ],
)
async def test_a_refusal_of_every_task_ends_the_run_with_one_line(
    tmp_path: Path, status: int, body: str, said: str
) -> None:
    source = images(tmp_path, **{f"cam{number}": 1 for number in range(40)})
    async with serving(1) as serve:
        serve.server.faults.add(
            Fault(method="POST", path=r"^/api/tasks$", status=status, body=body)
        )
        report = await create(serve, source, options=options(transfers=1, concurrency=1))
        assert said in str(report.stopped_by)
        assert len(serve.calls("POST /api/tasks")) < 5
        assert not report.failures


async def test_a_zip_goes_on_where_the_server_has_it(tmp_path: Path) -> None:
    source = write(tmp_path, {"cam1/1.png": png(data=bytes(range(256)) * 20_000)})
    noise = tmp_path / "cam1" / "2.png"
    content = png()
    noise.write_bytes(content[:33] + b"\x00\x30\x00\x00teXt" + bytes(3_145_728 + 4) + content[33:])
    async with serving(1) as serve:
        serve.server.faults.add(Fault(method="PATCH", nth=2, drop=True))
        report = await create(serve, source)
        assert report.ok, report.failures
        whole = sum(one.bytes_received for one in serve.calls("PATCH") if one.status == 204)
        assert report.transferred < whole + (1 << 21)


async def test_two_projects_have_the_same_folder_each(tmp_path: Path) -> None:
    source = images(tmp_path, cam1=1)
    async with serving(2, projects=2) as serve:
        assert (await create(serve, source)).ok
        assert (await create(serve, source, project=2)).ok
        projects = [one.project_id for one in serve.server.tasks.values() if one.name == "cam1"]
        assert set(projects) == {1, 2}


async def test_media_above_the_upload_limit_are_refused_before_a_task_is_made(
    tmp_path: Path,
) -> None:
    source = images(tmp_path, small=1)
    write(source, {"large/1.png": large_png(40_000), "large/2.png": large_png(41_000)})
    async with serving(1, upload_limit=50_000) as serve:
        report = await create(serve, source, options=options(upload_limit=50_000))
        assert sorted(await new_tasks(serve, 1)) == ["small"]
        (failed,) = report.failures
        assert failed.reason == CreateReason.TOO_LARGE
        assert isinstance(failed.error, errors.UploadTooLargeError)
        assert len(serve.calls("POST", "/api/tasks")) == 2  # the small one, and its data
        assert failed.path == source / "large"
        halves = await create(serve, source, options=options(upload_limit=50_000, split=1))
        assert not [one for one in halves.failures if "large" in one.name]


async def test_a_task_that_the_server_takes_no_data_for_does_not_stay(tmp_path: Path) -> None:
    source = write(tmp_path, {"large/1.png": large_png(1_100_000)})
    async with serving(1, upload_limit=1_050_000) as serve:
        report = await create(serve, source)
        (failed,) = report.failures
        assert "takes no file of more than 1,050,000 bytes" in str(failed.error)
        assert failed.task_id == 0
        assert not await new_tasks(serve, 1)
        assert (await create(serve, source)).failures
        assert not await new_tasks(serve, 1)


async def test_images_are_not_sent_again_in_another_grouping(tmp_path: Path) -> None:
    source = images(tmp_path, cam1=4)
    async with serving(1) as serve:
        assert (await create(serve, source)).ok
        calls = len(serve.server.calls)
        report = await create(serve, source, options=options(split=2))
        assert [one.reason for one in report.failures] == [CreateReason.GROUPED] * 2
        assert "made of 'cam1' with another --split or --single" in str(report.failures[0].error)
        assert not [one for one in serve.server.calls[calls:] if one.method != "GET"]
        serve.server.delete_task(2)
        assert (await create(serve, source, options=options(split=2))).ok
        assert sorted(await new_tasks(serve, 1)) == ["cam1-1", "cam1-2"]


async def test_frames_are_in_the_order_that_a_file_names(tmp_path: Path) -> None:
    source = images(tmp_path / "src", a=4, b=2)
    write(source, {"a/related_images/3_png/side.png": png(), "pack.zip": zipped("2.png", "10.png")})
    listed = ["a/3.png", "./a/0.png", "a/2.png", "a/1.png", "b/1.png", "b/0.png"]
    file = tmp_path / "order.txt"
    file.write_bytes("\r\n".join(["\ufeff" + listed[0], *listed[1:], ""]).encode())
    async with serving(1) as serve:
        report = await create(serve, source, order=file, options=options(frame_step=2))
        assert report.ok, report.failures
        tasks = await new_tasks(serve, 1)
        assert await frame_names(serve, tasks["a"].id) == ["3.png", "2.png"]
        assert await frame_names(serve, tasks["b"].id) == ["1.png"]
        again = await create(serve, source, order=listed, options=options(frame_step=2))
        assert {one.action for one in again.outcomes} == {"skipped"}
        other = await create(serve, source, options=options(frame_step=2))
        assert {one.reason for one in other.failures} == {CreateReason.CHANGED}


async def test_an_order_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    source = images(tmp_path / "src", a=2, b=1)
    async with serving(1) as serve:
        report = await create(serve, source, order=["a/0.png", "b/0.png"])
        assert list(await new_tasks(serve, 1)) == ["b"]
        (failed,) = report.failures
        assert "'a/1.png' is not named in the order" in str(failed.error)
        for order, said in (
            (["a/0.png", "a/0.png"], "cannot use the order: it names 'a/0.png' twice"),
            ([], "it names no images"),
            (["a/0.png", "c.png", "d.png"], r"names 'c.png' \(and 1 more\), which is no image"),
            (tmp_path / "gone.txt", "cannot read --order .*No such file"),
            (write(tmp_path, {"latin.txt": b"\xfc"}) / "latin.txt", "not UTF-8"),
        ):
            with pytest.raises(errors.ConfigError, match=said):
                await create(serve, source, order=order)
        with pytest.raises(errors.ConfigError, match="Remove --order or --sorting"):
            await create(serve, source, order=["a/0.png"], options=options(sorting="random"))


async def test_frames_in_another_order_than_asked_are_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = images(tmp_path, a=2)
    told = ac.CreateOptions.data_options

    def natural(given: ac.CreateOptions, *, ordered: bool) -> dict[str, object]:
        del ordered
        return told(given)

    monkeypatch.setattr(ac.CreateOptions, "data_options", natural)
    async with serving(1) as serve:
        report = await create(serve, source, order=["a/1.png", "a/0.png"])
        assert "frame 0 is '0.png' instead of '1.png'" in str(error(report, 2))


def zipped(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, png())
    return made.getvalue()
