"""Check that a mirror as JSON goes back to its tasks, and that nothing is lost on the way."""

from __future__ import annotations

import dataclasses
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_serving import (
    QUICK,
    Log,
    Serving,
    actions,
    data,
    error,
    log,
    outcome,
    serving,
    stack,
)

import asynccvat as ac
from asynccvat import errors
from asynccvat.simulator import Fault
from asynccvat.simulator.world.annotations import Annotations, Attribute, Label

__all__ = ["data", "log", "stack"]

pytestmark = pytest.mark.anyio

UPLOAD = ac.UploadOptions(durable=False)
NAME = "annotations.json"
PUT: Any = {"method": "PUT", "path": "/annotations"}

COLOR = Attribute(1, "color", False, "select", "red", ("red", "blue"))
PLATE = Attribute(2, "plate", True, "text", "", ("",))
CAR = Label(9, "car", "#ff0000", "any", (COLOR, PLATE), None)
HEAD, FOOT = (
    Label(number, name, "#00ff00", "points", (), None)
    for number, name in ((11, "head"), (12, "foot"))
)
BODY = Label(10, "body", "#0000ff", "skeleton", (), None, sublabels=(HEAD, FOOT), svg="<circle/>")


def of_car(type_: str, points: list[float], **more: Any) -> dict[str, Any]:
    attributes = [{"spec_id": 1, "value": "blue"}, {"spec_id": 2, "value": "Ä<&>"}]
    value: dict[str, Any] = {"label_id": 9, "type": type_, "frame": 1, "points": points}
    return value | {"attributes": attributes} | more


def of_track(frame: int, *, outside: bool = False, **more: Any) -> dict[str, Any]:
    return {"type": "rectangle", "frame": frame, "points": [1, 2, 3, 4], "outside": outside} | more


EVERYTHING: dict[str, list[dict[str, Any]]] = {
    "tags": [{"label_id": 9, "frame": 2, "attributes": [{"spec_id": 1, "value": "red"}]}],
    "shapes": [
        of_car("rectangle", [1.25, 2, 30, 40], rotation=12.5, group=3, z_order=-1),
        of_car("polygon", [1, 1, 5, 1, 5, 5], group=3, occluded=True),
        of_car("polyline", [0, 0, 7, 7.5]),
        of_car("points", [4, 5, 6, 7]),
        of_car("ellipse", [50, 60, 80, 40], rotation=45.0),
        of_car("cuboid", [float(n) for n in range(16)]),
        of_car("mask", [2, 3, 3, 1, 1, 4, 2]),
        {
            "label_id": 10,
            "type": "skeleton",
            "frame": 3,
            "points": [],
            "elements": [
                {"label_id": 11, "type": "points", "frame": 3, "points": [1, 5], "occluded": True},
                {"label_id": 12, "type": "points", "frame": 3, "points": [2, 5], "outside": True},
            ],
        },
    ],
    "tracks": [
        {
            "label_id": 9,
            "frame": 0,
            "group": 4,
            "attributes": [{"spec_id": 1, "value": "blue"}],
            "shapes": [
                of_track(0, attributes=[{"spec_id": 2, "value": "A 1"}]),
                of_track(1, outside=True),
                of_track(3, occluded=True, attributes=[{"spec_id": 2, "value": "B 2"}]),
                of_track(4, outside=True),
            ],
        },
        {
            "label_id": 10,
            "frame": 0,
            "shapes": [of_track(0) | {"type": "skeleton", "points": []}],
            "elements": [
                {
                    "label_id": number,
                    "frame": 0,
                    "shapes": [
                        of_track(0) | {"type": "points", "points": [number, 5]},
                        of_track(4, outside=True) | {"type": "points", "points": [number, 9]},
                    ],
                }
                for number in (11, 12)
            ],
        },
    ],
}
"""Annotations of every kind."""


def without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_ids(one) for name, one in value.items() if name != "id"}
    return [without_ids(one) for one in value] if isinstance(value, list) else value


def held(data: Path, task_id: int = 1) -> Any:
    return json.loads((data / f"task{task_id}" / NAME).read_bytes())


def edit(data: Path, task_id: int = 1) -> None:
    """Remove the first shape of a mirrored task."""
    value = held(data, task_id)
    del value["shapes"][0]
    (data / f"task{task_id}" / NAME).write_text(json.dumps(value))


async def mirrored(stack: AsyncExitStack, data: Path, tasks: int = 2, **options: Any) -> Serving:
    serve = await stack.enter_async_context(serving(tasks, **options))
    assert (await ac.mirror(serve.client, data, None, "json", options=QUICK)).ok
    return serve


@pytest.mark.parametrize("version", ["2.54.1", "2.64.0"])
async def test_annotations_of_every_kind_come_back_to_an_emptied_task(
    data: Path, stack: AsyncExitStack, version: str
) -> None:
    serve = await stack.enter_async_context(serving(1, frames=5, projects=0, version=version))
    serve.server.change_task(1, labels=(CAR, BODY), given=Annotations())
    await serve.annotate(1, **EVERYTHING)
    await ac.mirror(serve.client, data, None, "json", options=QUICK)
    before = held(data)
    assert [len(before[kind]) for kind in EVERYTHING] == [1, 8, 2]

    await serve.annotate(1, tags=[], shapes=[], tracks=[])
    back = replace(UPLOAD, overwrite=True, force=True)
    report = await ac.upload(serve.client, data, options=back)
    assert actions(report)[1] == ("uploaded", "forced")
    assert outcome(report, 1).warnings == ()
    await ac.mirror(serve.client, data, options=QUICK)
    after = held(data)
    assert without_ids(after) == without_ids(before)
    assert after != before


async def test_annotations_come_to_another_server_by_the_names_of_labels(
    data: Path, stack: AsyncExitStack
) -> None:
    here = await stack.enter_async_context(serving(1, frames=5, projects=0))
    here.server.change_task(1, labels=(CAR, BODY), given=Annotations())
    await here.annotate(1, **EVERYTHING)
    await ac.mirror(here.client, data, None, "json", options=QUICK)

    there = await stack.enter_async_context(serving(2, frames=5, projects=0))
    labels = tuple(renumbered(label) for label in (BODY, CAR))
    there.server.change_task(2, labels=labels, given=Annotations())
    file = {2: data / "task1"}
    report = await ac.upload(there.client, file, format="json", options=UPLOAD)
    assert report.ok, report.failures
    assert outcome(report, 2).warnings == ()
    arrived = json.loads((await there.client.annotations(2)).raw)
    assert lowered(without_ids(arrived)) == without_ids(held(data))


def renumbered(label: Label) -> Label:
    """Return a label as another server has it."""
    return dataclasses.replace(
        label,
        id=label.id + 100,
        attributes=tuple(dataclasses.replace(one, id=one.id + 100) for one in label.attributes),
        sublabels=tuple(map(renumbered, label.sublabels)),
    )


def lowered(value: Any) -> Any:
    """Return JSON with the ids of labels and attributes that `renumbered` raised."""
    if isinstance(value, list):
        return [lowered(one) for one in value]
    if not isinstance(value, dict):
        return value
    raised = ("label_id", "spec_id")
    return {name: one - 100 if name in raised else lowered(one) for name, one in value.items()}


async def test_a_task_without_the_labels_is_refused(data: Path, stack: AsyncExitStack) -> None:
    here = await mirrored(stack, data, 1)
    del here
    there = await stack.enter_async_context(serving(1, projects=0))
    there.server.change_task(1, labels=(BODY,), given=Annotations())
    report = await ac.upload(there.client, {1: data / "task1"}, format="json", options=UPLOAD)
    assert isinstance(error(report, 1), errors.ForeignAnnotationsError)
    assert there.calls("PUT") == []


@pytest.mark.parametrize("content", ["[", "{}", '[{"id": 1}]'])
async def test_labels_that_cannot_be_read_are_named(
    data: Path, stack: AsyncExitStack, content: str
) -> None:
    await mirrored(stack, data, 1)
    (data / "task1/labels.json").write_text(content)
    there = await stack.enter_async_context(serving(1))
    there.server.change_task(1, given=Annotations())
    report = await ac.upload(there.client, {1: data / "task1"}, format="json", options=UPLOAD)
    assert isinstance(error(report, 1), errors.UploadError)
    assert there.calls("PUT") == []


async def test_an_edit_goes_back_and_its_task_alone_is_read_again(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data)
    edit(data)
    wanted = without_ids(held(data))
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert actions(report) == {1: ("uploaded", "edited"), 2: ("skipped", "unchanged")}
    assert serve.calls("POST", "/annotations") == []
    again = await ac.mirror(serve.client, data, options=QUICK)
    assert actions(again) == {1: ("fetched", "uploaded"), 2: ("kept", "unchanged")}
    assert without_ids(held(data)) == wanted
    third = await ac.mirror(serve.client, data, options=QUICK)
    assert {action for action, _ in actions(third).values()} == {"kept"}


async def test_what_is_replaced_is_kept_and_can_be_put_back(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data, 1)
    before = held(data)
    edit(data)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    kept = outcome(report, 1).kept
    assert kept is not None
    assert json.loads(Path(kept).read_bytes()) == before
    change = outcome(report, 1).annotations
    assert change is not None
    left = change.before - 1
    assert (change.in_file, change.after) == (left, left)
    assert (await ac.undo_upload(serve.client, data, [1], options=UPLOAD)).ok
    await ac.mirror(serve.client, data, options=QUICK)
    assert without_ids(held(data)) == without_ids(before)


async def test_a_task_that_changed_since_is_refused(data: Path, stack: AsyncExitStack) -> None:
    serve = await mirrored(stack, data, 1)
    edit(data)
    serve.server.edit_task(1)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert isinstance(error(report, 1), errors.TaskChangedError)
    assert serve.calls("PUT") == []


async def test_a_change_right_before_the_call_is_noticed(
    data: Path, stack: AsyncExitStack, log: Log
) -> None:
    serve = await mirrored(stack, data, 1)
    edit(data)
    log.on(ac.events.Planned, lambda _event: serve.server.edit_task(1))
    report = await ac.upload(serve.client, data, options=UPLOAD, on_event=log)
    assert isinstance(error(report, 1), errors.TaskChangedError)
    assert serve.calls("PUT") == []


async def test_an_own_upload_is_no_conflict(data: Path, stack: AsyncExitStack) -> None:
    serve = await mirrored(stack, data, 1)
    for _ in range(2):
        edit(data)
        report = await ac.upload(serve.client, data, options=UPLOAD)
        assert actions(report)[1] == ("uploaded", "edited"), report.failures


async def test_an_upload_of_which_nothing_was_noted_is_finished_by_the_next(
    data: Path, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = await mirrored(stack, data, 1)
    edit(data)
    read, calls = serve.client.annotations, 0

    async def lost(task_id: int) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise errors.TransportError("the connection was lost", step="annotations")
        return await read(task_id)

    with monkeypatch.context() as patch:
        patch.setattr(serve.client, "annotations", lost)
        report = await ac.upload(serve.client, data, options=UPLOAD)
    assert isinstance(error(report, 1), errors.ImportUncertainError)
    assert len(serve.calls("PUT")) == 1
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert actions(report)[1] == ("uploaded", "edited"), report.failures


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(**PUT, lose_answer=True), None),
        (Fault(**PUT, drop=True, times=1), None),
        (Fault(**PUT, drop=True, times=None), ac.TransportError),
        (Fault(**PUT, status=502, times=None), errors.ServerError),
        (Fault(**PUT, drop=True, edit_task=1), errors.ImportUncertainError),
        (Fault(**PUT, status=403), ac.PermissionDeniedError),
        (
            Fault(**PUT, status=400, body='{"shapes":[{"label_id":["invalid"]}]}'),
            errors.UploadError,
        ),
    ],
    ids=["lost answer", "lost once", "lost call", "502", "changed meanwhile", "403", "label"],
)
async def test_a_broken_upload_says_what_the_task_holds(
    data: Path, stack: AsyncExitStack, fault: Fault, kind: type[Exception] | None
) -> None:
    serve = await mirrored(stack, data, 1)
    edit(data)
    serve.server.faults.add(fault)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    if kind is None:
        assert report.ok, report.failures
        return
    assert isinstance(error(report, 1), kind)
    if kind is errors.ImportUncertainError:
        assert "puts it back" in str(error(report, 1))


async def test_annotations_that_the_server_leaves_out_are_a_warning(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data, 1)
    value = held(data)
    value["shapes"][0]["frame"] = 99
    (data / "task1" / NAME).write_text(json.dumps(value))
    report = await ac.upload(serve.client, data, options=UPLOAD)
    (warning,) = outcome(report, 1).warnings
    assert "1 of" in warning
    assert "missing" in warning


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"tags": [], "shapes": []}', "no 'tracks'"),
        ('{"shapes": [', "cut short"),
        ('{"shapes": [}', "not JSON"),
        ("<annotations/>", "it is XML"),
        ('{"tags": [], "shapes": [], "tracks": []}', "holds no annotation"),
    ],
)
async def test_a_file_that_would_empty_the_task_is_refused(
    data: Path, stack: AsyncExitStack, content: str, said: str
) -> None:
    serve = await mirrored(stack, data, 1)
    (data / "task1" / NAME).write_text(content)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert said in str(error(report, 1))
    assert serve.calls("PUT") == []


async def test_a_long_file_that_is_no_json_is_refused(data: Path, stack: AsyncExitStack) -> None:
    serve = await mirrored(stack, data, 1)
    (data / "task1" / NAME).write_text('{"shapes": [' + "1 " * 70_000 + "]}")
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert isinstance(error(report, 1), errors.UploadError)
    assert serve.calls("PUT") == []


async def test_a_dry_run_tells_what_would_be_uploaded(data: Path, stack: AsyncExitStack) -> None:
    serve = await mirrored(stack, data)
    edit(data)
    plan = await ac.plan_upload(serve.client, data, options=UPLOAD)
    assert dict(plan.counts) == {"upload": 1, "skip": 1}
    assert serve.calls("PUT") == []


async def test_a_named_file_goes_to_a_task_as_json(tmp_path: Path, stack: AsyncExitStack) -> None:
    serve = await stack.enter_async_context(serving(1))
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"tags": [], "shapes": [serve.box(1)], "tracks": []}))
    options = replace(UPLOAD, backup=False, lossy=True)
    report = await ac.upload(serve.client, {1: file}, format="json", options=options)
    assert report.ok, report.failures
    counts = (await serve.client.annotations(1)).counts
    assert (counts.shapes, counts.total) == (1, 1)


async def test_a_folder_of_a_mirror_goes_to_another_task_in_its_format(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data)
    report = await ac.upload(serve.client, {2: data / "task1"}, options=UPLOAD)
    assert report.ok, report.failures
    assert without_ids(json.loads((await serve.client.annotations(2)).raw)) == without_ids(
        held(data, 1)
    )


async def test_the_mirror_of_another_server_needs_a_format(
    data: Path, stack: AsyncExitStack
) -> None:
    await mirrored(stack, data, 1)
    there = await stack.enter_async_context(serving(1))
    report = await ac.upload(there.client, {1: data / "task1"}, options=UPLOAD)
    assert "it holds CVAT's JSON" in str(error(report, 1))
    assert "Give --format json." in str(error(report, 1))


async def test_edits_of_ground_truth_are_not_passed_over_in_silence(
    data: Path, stack: AsyncExitStack, log: Log
) -> None:
    serve = await stack.enter_async_context(serving(1, frames=3))
    truth = serve.server.add_job(1, "ground_truth", [1, 2])
    await ac.mirror(serve.client, data, None, "json", options=QUICK)
    file = data / f"task1/annotations-job{truth.id}.json"
    assert (await ac.upload(serve.client, data, options=UPLOAD, on_event=log)).ok
    assert log.of(ac.events.Warned) == []
    file.write_text("{}")
    report = await ac.upload(serve.client, data, options=UPLOAD, on_event=log)
    assert actions(report)[1] == ("skipped", "unchanged")
    (warned,) = log.of(ac.events.Warned)
    assert file.name in warned.message
    assert "Make these changes in CVAT." in warned.message


async def test_a_single_import_as_json_is_refused(tmp_path: Path, stack: AsyncExitStack) -> None:
    serve = await stack.enter_async_context(serving(1))
    file = tmp_path / "mine.json"
    file.write_text("{}")
    with pytest.raises(ac.ConfigError, match="has no importer"):
        await ac.upload_annotations(serve.client, 1, file, format="json")
