"""Check mirrors without exports: the same files, what is exported all the same, and audits."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_serving import (
    QUICK,
    Log,
    Serving,
    actions,
    files,
    kept,
    receipt_head,
    serving,
)

import asynccvat as ac
from asynccvat.core.convert.comparable import comparable_xml
from asynccvat.core.models import TaskListing
from asynccvat.core.records.distrusted_rules import DistrustedRules
from asynccvat.errors import DiskFullError
from asynccvat.events import ExportRequested
from asynccvat.simulator import Fault
from asynccvat.simulator.formats import cvat_xml_writer
from asynccvat.store.distrusted_rules import DistrustedNotes
from asynccvat.transfer import converted_source

pytestmark = pytest.mark.anyio

WITHOUT = replace(QUICK, without_exports=True)
POST = ("POST", "/dataset/export")


@pytest.fixture
async def serve() -> AsyncIterator[Serving]:
    """A server of six tasks."""
    async with serving(6, boxes_per_frame=2, version="2.64.0") as started:
        yield started


async def mirror(
    serve: Serving,
    data: Path,
    options: ac.MirrorOptions = WITHOUT,
    spec: str | None = None,
    **more: Any,
) -> ac.RunReport:
    return await ac.mirror(serve.client, data, None, spec, options=options, **more)


def xml(data: Path) -> dict[str, bytes]:
    return {path: comparable_xml(content) for path, content in files(data).items()}


def note(data: Path) -> Path:
    return data / ".asynccvat" / "distrusted-rules.json"


def rules_of(serve: Serving, data: Path) -> dict[int, str | None]:
    return {task_id: receipt_head(data, task_id)["rule"] for task_id in serve.server.tasks}


def play_newer_cvat(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server writes boxes in another way than before."""
    known = cvat_xml_writer._xml_points
    monkeypatch.setattr(
        cvat_xml_writer, "_xml_points", lambda shape: known(shape).replace('xtl="', 'xtl="0')
    )


@pytest.fixture
def newer_cvat(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that writes boxes in another way than the conversion does."""
    play_newer_cvat(monkeypatch)


async def test_the_files_are_those_of_exports(serve: Serving, data: Path, tmp_path: Path) -> None:
    for task_id in (2, 3):
        await serve.annotate(
            task_id, shapes=[serve.box(task_id)], tracks=[] if task_id == 2 else [serve.track(3)]
        )
    report = await mirror(serve, data)
    assert report.ok
    assert report.warnings == ()
    assert len(serve.calls(*POST)) == 1
    exported = tmp_path / "exported"
    await mirror(serve, exported, QUICK)
    assert xml(data) == xml(exported)
    for task_id in serve.server.tasks:
        one, other = (receipt_head(place, task_id) for place in (data, exported))
        assert one["annotations"] == other["annotations"]
        assert one["format"] == other["format"]


async def test_videos_become_tracks_as_by_exports(data: Path, tmp_path: Path) -> None:
    async with serving(4, video_tasks=2) as serve:
        report = await mirror(serve, data, replace(WITHOUT, bandwidth=1 << 30))
        assert report.warnings == ()
        await mirror(serve, tmp_path / "exported", QUICK)
        assert xml(data) == xml(tmp_path / "exported")
        formats = {receipt_head(data, task_id)["format"] for task_id in serve.server.tasks}
        assert formats == {"CVAT for images 1.1", "CVAT for video 1.1"}


async def test_receipts_name_the_rule_except_of_audited_tasks(serve: Serving, data: Path) -> None:
    await mirror(serve, data)
    rules = list(rules_of(serve, data).values())
    assert rules.count(None) == 1
    assert {rule for rule in rules if rule is not None} == {"asynccvat 0.1.0 for CVAT 2.64.0"}


async def test_a_second_run_fetches_nothing_and_lists_no_job(serve: Serving, data: Path) -> None:
    await mirror(serve, data)
    before = len(serve.server.calls)
    report = await mirror(serve, data, QUICK)
    assert set(actions(report).values()) == {("kept", "unchanged")}
    assert serve.calls("/api/jobs", since=before) == []
    assert serve.calls(*POST, since=before) == []


async def test_a_destination_remembers_it_until_told_otherwise(serve: Serving, data: Path) -> None:
    await mirror(serve, data)
    for task_id in (1, 2, 3):
        serve.server.edit_task(task_id)
    before = len(serve.server.calls)
    report = await mirror(serve, data, QUICK)
    assert report.count(ac.Action.FETCHED) == 3
    assert len(serve.calls(*POST, since=before)) == 1
    for task_id in (1, 2, 3):
        serve.server.edit_task(task_id)
    before = len(serve.server.calls)
    await mirror(serve, data, replace(QUICK, without_exports=False))
    assert len(serve.calls(*POST, since=before)) == 3
    assert "without exports" not in (await ac.plan_mirror(serve.client, data)).description


async def test_coco_is_made_without_exports(serve: Serving, data: Path, tmp_path: Path) -> None:
    report = await mirror(serve, data, spec="coco")
    assert report.warnings == ()
    assert len(serve.calls(*POST)) == 1
    await mirror(serve, tmp_path / "exported", QUICK, "coco")
    made, exported = files(data), files(tmp_path / "exported")
    assert made.keys() == exported.keys()
    for path, content in exported.items():
        assert json.loads(made[path]) == json.loads(content)


async def test_what_cannot_be_converted_exactly_is_exported_counted_and_named(
    serve: Serving, data: Path
) -> None:
    await serve.annotate(2, tracks=[serve.track(2)])
    await serve.annotate(5, tracks=[serve.track(5)])
    for task_id in (2, 5):
        serve.server.change_task(task_id, deleted_frames=(1,))
    report = await mirror(serve, data)
    assert report.ok
    (warning,) = report.warnings
    assert warning.startswith("2 tasks (2, 5) were exported, as no exact conversion is known: ")
    assert warning.endswith("it has tracks and deleted frames (2, 5)")
    assert rules_of(serve, data)[2] is None
    assert len(serve.calls(*POST)) == 3


async def test_a_large_task_is_exported(
    serve: Serving, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converted_source, "_MOST_BYTES", 1 << 10)
    report = await mirror(serve, data)
    assert report.ok
    assert len(serve.calls(*POST)) == 6
    assert "its files are larger than 0 MiB" in report.warnings[0]


async def test_with_an_incomplete_list_of_jobs_all_tasks_are_exported(
    serve: Serving, data: Path
) -> None:
    body = '{"count": 6, "next": null, "previous": null, "results": [{"id": 1, "task_id": 1}]}'
    serve.server.faults.add(Fault(path=r"^/api/jobs(\?|$)", status=200, body=body, times=None))
    report = await mirror(serve, data)
    assert report.ok
    (warning,) = report.warnings
    assert warning.startswith("no task is converted: the list of jobs kept changing while it was ")
    assert len(serve.calls(*POST)) == 6
    assert serve.calls("GET", "/annotations") == []
    assert set(rules_of(serve, data).values()) == {None}
    serve.server.faults.clear()
    for task_id in serve.server.tasks:
        serve.server.edit_task(task_id)
    before = len(serve.server.calls)
    assert (await mirror(serve, data)).warnings == ()
    assert len(serve.calls(*POST, since=before)) == 1


async def test_a_task_without_data_fails_no_other(data: Path) -> None:
    async with serving(3, tasks_without_data=1) as serve:
        report = await mirror(serve, data)
        assert report.ok
        assert len(list(data.glob("task*"))) == 2


@pytest.mark.usefixtures("newer_cvat")
async def test_after_a_difference_all_tasks_of_the_run_are_exported(
    serve: Serving, data: Path, tmp_path: Path
) -> None:
    report = await mirror(serve, data)
    assert report.ok
    assert set(rules_of(serve, data).values()) == {None}
    assert {one.task_id for one in report.outcomes} == set(serve.server.tasks)
    assert len(report.outcomes) == 6
    difference = report.warnings[0]
    assert "'asynccvat 0.1.0 for CVAT 2.64.0': task" in difference
    assert "annotations.xml: line" in difference
    assert "'xtl' of <box>: " in difference
    await mirror(serve, tmp_path / "exported", QUICK)
    assert xml(data) == xml(tmp_path / "exported")


async def test_after_a_difference_tasks_of_earlier_runs_are_exported_again(
    serve: Serving, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mirror(serve, data)
    converted = {task_id for task_id, rule in rules_of(serve, data).items() if rule is not None}
    play_newer_cvat(monkeypatch)
    changed = min(converted)
    serve.server.edit_task(changed)
    report = await mirror(serve, data, replace(QUICK, since_last_run=True))
    assert report.ok
    assert set(rules_of(serve, data).values()) == {None}
    again = {one for one, (_, why) in actions(report).items() if why == "audit"}
    assert again == converted - {changed}
    for task_id in converted:
        assert b'xtl="0' in (data / f"task{task_id}" / "annotations.xml").read_bytes()


@pytest.mark.usefixtures("newer_cvat")
async def test_a_rule_with_a_difference_is_not_used_again(serve: Serving, data: Path) -> None:
    await mirror(serve, data)
    assert json.loads(note(data).read_bytes())["found"]
    for _ in range(2):
        serve.server.edit_task(1)
        serve.server.edit_task(2)
        before = len(serve.server.calls)
        report = await mirror(serve, data)
        assert len(serve.calls(*POST, since=before)) == 2
        assert serve.calls("GET", "/annotations", since=before) == []
        (warning,) = report.warnings
        assert warning.startswith("nothing is converted with the rule 'asynccvat 0.1.0 for CVAT")
    assert json.loads(note(data).read_bytes())["pending"] is False


def refuse_notes(monkeypatch: pytest.MonkeyPatch, error: ac.StoreError, times: int) -> None:
    """Let the note of distrusted rules fail to be written that many times."""
    write = DistrustedNotes.write
    failures = [error] * times

    async def refused(notes: DistrustedNotes, rules: DistrustedRules) -> None:
        if failures:
            raise failures.pop()
        await write(notes, rules)

    monkeypatch.setattr(DistrustedNotes, "write", refused)


@pytest.mark.usefixtures("newer_cvat")
async def test_a_difference_that_could_not_be_noted_at_first_is_noted_at_the_end(
    serve: Serving, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_notes(monkeypatch, ac.StoreError("cannot write it: EIO"), 1)
    report = await mirror(serve, data)
    assert len(report.failures) == 1
    assert "Tasks are exported until a newer asynccvat or CVAT is there." in report.warnings[0]
    assert json.loads(note(data).read_bytes())["found"]
    assert (await mirror(serve, data)).ok
    assert set(rules_of(serve, data).values()) == {None}


@pytest.mark.usefixtures("newer_cvat")
@pytest.mark.parametrize("kind", [ac.StoreError, DiskFullError])
async def test_a_difference_that_cannot_be_noted_ends_the_run_which_says_so(
    serve: Serving, data: Path, monkeypatch: pytest.MonkeyPatch, kind: type[ac.StoreError]
) -> None:
    refuse_notes(monkeypatch, kind("cannot write it: no."), 2)
    report = await mirror(serve, data)
    assert isinstance(report.stopped_by, kind)
    (warning,) = [one for one in report.warnings if one.startswith("a conversion differs")]
    assert warning.endswith(
        "This could not be noted (cannot write it: no), so later runs do not know it, and what was "
        "converted stays. Run again with --force --with-exports."
    )
    assert "Tasks are exported" not in warning
    assert not note(data).exists()


@pytest.mark.usefixtures("newer_cvat")
async def test_a_run_that_a_full_disk_stops_notes_its_difference(
    serve: Serving, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_notes(monkeypatch, DiskFullError("no room"), 1)
    report = await mirror(serve, data)
    assert not report.ok
    assert report.warnings[0].startswith("a conversion differs from the export of the server")
    assert json.loads(note(data).read_bytes())["pending"] is True
    assert (await mirror(serve, data)).ok
    assert set(rules_of(serve, data).values()) == {None}


async def test_a_run_continues_what_a_killed_one_left_to_export_again(
    serve: Serving, data: Path
) -> None:
    await mirror(serve, data)
    rules = rules_of(serve, data)
    left = {task_id for task_id, rule in rules.items() if rule is not None}
    found = {rule: "task 1, a.xml: line 2" for rule in rules.values() if rule is not None}
    note(data).write_text(json.dumps({"version": 1, "found": found, "pending": True}))
    (data / f"task{min(left)}" / "annotations.xml").write_bytes(b"edited")
    report = await mirror(serve, data)
    assert report.ok
    assert {one for one, (_, why) in actions(report).items() if why == "audit"} == left
    assert set(rules_of(serve, data).values()) == {None}
    assert b"edited" in kept(data).values()


async def test_after_an_upgrade_the_rest_is_exported_before_anything_is_converted(
    serve: Serving, data: Path
) -> None:
    await mirror(serve, data)
    left = {task_id for task_id, rule in rules_of(serve, data).items() if rule is not None}
    found = {"asynccvat 0.0.9 for CVAT 2.64.0": "task 1, a.xml: line 2"}
    note(data).write_text(json.dumps({"version": 1, "found": found, "pending": True}))
    for _ in range(2):
        serve.server.edit_task(1)
        serve.server.edit_task(2)
        report = await mirror(serve, data)
        assert report.ok
    assert len(left) == 5
    rules = rules_of(serve, data)
    assert {one for one, rule in rules.items() if rule is not None} < {1, 2}
    assert len({rules[1], rules[2]}) == 2


async def test_what_fails_to_be_exported_again_is_left_to_the_next_run(
    serve: Serving, data: Path
) -> None:
    await mirror(serve, data)
    left = sorted(one for one, rule in rules_of(serve, data).items() if rule is not None)
    note(data).write_text(json.dumps({"version": 1, "found": {"old": "x"}, "pending": True}))
    serve.server.faults.add(Fault(export="fail", task_id=left[0], message="no", times=None))
    report = await mirror(serve, data)
    assert [one.task_id for one in report.failures] == [left[0]]
    assert (data / f"task{left[0]}" / "annotations.xml").exists()
    serve.server.faults.clear()
    report = await mirror(serve, data)
    assert {one for one, (_, why) in actions(report).items() if why == "audit"} == {left[0]}
    assert json.loads(note(data).read_bytes())["pending"] is False


@pytest.mark.parametrize("prune", [False, True])
async def test_a_task_that_is_gone_is_not_exported_again(
    serve: Serving, data: Path, *, prune: bool
) -> None:
    await mirror(serve, data)
    rules = rules_of(serve, data)
    found = {rule: "task 1, a.xml: line 2" for rule in rules.values() if rule is not None}
    note(data).write_text(json.dumps({"version": 1, "found": found, "pending": True}))
    gone = min(one for one, rule in rules.items() if rule is not None)
    serve.server.delete_task(gone)
    report = await mirror(serve, data, replace(WITHOUT, prune=prune))
    assert report.ok
    assert (data / f"task{gone}").exists() is not prune
    told = f"task {gone} was converted before, perhaps wrongly, and deleted on the server since."
    assert report.warnings[-1].startswith(told) is not prune
    assert json.loads(note(data).read_bytes())["pending"] is False


def hide(monkeypatch: pytest.MonkeyPatch, hidden: int, *, complete: bool) -> None:
    """Let no list of tasks have this one."""
    known = ac.CvatClient.tasks

    async def tasks(client: ac.CvatClient, *args: Any, **more: Any) -> TaskListing:
        listing = await known(client, *args, **more)
        rest = tuple(task for task in listing.tasks if task.id != hidden)
        return replace(listing, tasks=rest, complete=complete)

    monkeypatch.setattr(ac.CvatClient, "tasks", tasks)


@pytest.mark.parametrize("complete", [True, False])
async def test_a_task_that_no_list_has_is_exported_again_all_the_same(
    serve: Serving, data: Path, monkeypatch: pytest.MonkeyPatch, *, complete: bool
) -> None:
    await mirror(serve, data)
    converted = [task_id for task_id, rule in rules_of(serve, data).items() if rule is not None]
    play_newer_cvat(monkeypatch)
    serve.server.edit_task(converted[1])
    hide(monkeypatch, converted[0], complete=complete)
    report = await mirror(serve, data)
    assert actions(report)[converted[0]] == ("fetched", "audit")
    assert set(rules_of(serve, data).values()) == {None}
    assert json.loads(note(data).read_bytes())["pending"] is False


async def test_a_task_that_cannot_be_asked_for_is_exported_again_by_a_later_run(
    serve: Serving, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mirror(serve, data)
    converted = [task_id for task_id, rule in rules_of(serve, data).items() if rule is not None]
    play_newer_cvat(monkeypatch)
    serve.server.edit_task(converted[1])
    with monkeypatch.context() as at_first:
        hide(at_first, converted[0], complete=True)
        serve.server.faults.add(Fault(path=f"/api/tasks/{converted[0]}$", status=403, times=None))
        report = await mirror(serve, data)
    assert report.warnings[-1] == (
        f"task {converted[0]} was converted before, and could not be exported again yet. Nothing "
        "is converted until then. Run again."
    )
    assert json.loads(note(data).read_bytes())["pending"] is True
    serve.server.faults.clear()
    report = await mirror(serve, data)
    assert actions(report)[converted[0]] == ("fetched", "audit")
    assert set(rules_of(serve, data).values()) == {None}
    assert json.loads(note(data).read_bytes())["pending"] is False


async def test_a_task_that_changes_during_its_audit_is_no_difference(
    serve: Serving, data: Path, log: Log
) -> None:
    log.on(ExportRequested, lambda event: serve.server.edit_task(event.task_id))
    serve.server.pause_exports()
    log.on(ExportRequested, lambda _: serve.server.release_exports())
    report = await mirror(serve, data, on_event=log)
    assert report.ok
    assert not note(data).exists()
    (warning,) = report.warnings
    assert warning.startswith("no conversion was audited: task ")


async def test_an_audit_whose_export_fails_once_is_made_all_the_same(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = cvat_xml_writer._xml_points
    monkeypatch.setattr(
        cvat_xml_writer, "_xml_points", lambda shape: known(shape).replace('cx="', 'cx="0')
    )
    async with serving(41, boxes_per_frame=1, version="2.64.0") as serve:
        label = serve.server.tasks[1].labels[0].id
        ellipse = {"label_id": label, "type": "ellipse", "frame": 0, "points": [50, 60, 80, 40]}
        await serve.annotate(1, shapes=[ellipse])
        serve.server.faults.add(Fault(export="kill", task_id=1, times=1))
        # One at a time: the ellipse, which no other task has, is read first, and audited.
        report = await mirror(serve, data, replace(WITHOUT, concurrency=1))
        assert report.ok
        assert b'cx="0' in (data / "task1" / "annotations.xml").read_bytes()
        assert set(rules_of(serve, data).values()) == {None}
        assert "a conversion differs from the export of the server" in report.warnings[0]


async def test_a_run_whose_audits_all_fail_says_so(serve: Serving, data: Path) -> None:
    serve.server.faults.add(Fault(export="fail", message="no", times=None))
    report = await mirror(serve, data)
    assert len(report.failures) == 1
    (warning,) = report.warnings
    assert warning.startswith("no conversion was audited: no export of a converted task could be ")


async def test_a_damaged_note_stops_the_run(serve: Serving, data: Path) -> None:
    await mirror(serve, data)
    note(data).write_text("{")
    with pytest.raises(ac.StoreError, match="distrusted-rules"):
        await mirror(serve, data)


async def test_a_repair_exports(serve: Serving, data: Path) -> None:
    await mirror(serve, data)
    task_id = min(one for one, rule in rules_of(serve, data).items() if rule is not None)
    (data / f"task{task_id}" / "annotations.xml").unlink()
    before = len(serve.server.calls)
    await ac.verify(data, repair=True, client=serve.client)
    assert len(serve.calls(*POST, since=before)) == 1
    assert rules_of(serve, data)[task_id] is None


@pytest.mark.parametrize(
    ("given", "more", "wrong"),
    [
        ({"images": True}, {}, "--images"),
        ({}, {"keep_archive": True}, "--keep-archive"),
        ({}, {"target": "jobs"}, "--as jobs"),
        ({"spec": "YOLO 1.1"}, {}, "--format 'YOLO 1.1'"),
        ({"spec": "json"}, {}, "--format 'CVAT JSON'"),
    ],
)
async def test_what_only_exports_have_is_refused(
    serve: Serving, data: Path, given: Any, more: Any, wrong: str
) -> None:
    with pytest.raises(ac.ConfigError) as refused:
        await mirror(serve, data, replace(WITHOUT, **more), **given)
    assert str(refused.value).startswith(f"cannot mirror with {wrong} and --without-exports: ")
    assert str(refused.value).endswith("Add --with-exports.")
