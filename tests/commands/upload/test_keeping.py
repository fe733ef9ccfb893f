"""Uploads keep what they replace: whole, before the import starts, and somebody's work for ever."""

from __future__ import annotations

import errno
import json
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from engine_serving import (
    QUICK,
    Log,
    Serving,
    data,
    error,
    kept,
    log,
    outcome,
    serving,
    stack,
)

import asynccvat as ac
from asynccvat.core.records.replaced import content_digest
from asynccvat.errors import DiskFullError, ImportFailedError, StoreError, UploadError
from asynccvat.events import ImportRequested
from asynccvat.fs import files as effects
from asynccvat.simulator import Fault

__all__ = ["data", "log", "stack"]

pytestmark = pytest.mark.anyio

CVAT = "annotations.xml"
UPLOAD = ac.UploadOptions(durable=False)


def edit(path: Path, old: str = 'occluded="0"', new: str = 'occluded="1"') -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def turn(path: Path) -> None:
    """Edit a file to and fro."""
    there = ('occluded="0"', 'occluded="1"')
    edit(path, *(there if there[0] in path.read_text("utf-8") else reversed(there)))


async def mirrored(stack: AsyncExitStack, data: Path, tasks: int = 1) -> Serving:
    serve = await stack.enter_async_context(serving(tasks))
    assert (await ac.mirror(serve.client, data, options=QUICK)).ok
    return serve


async def emptied(serve: Serving, task_id: int) -> None:
    """Remove all annotations of a task, as another program may."""
    await serve.client.login()
    key = serve.server.accounts.token_of(serve.server.accounts.by_id[1])
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Token {key}"}) as session,
        session.delete(f"{serve.server.url}/api/tasks/{task_id}/annotations") as answer,
    ):
        assert answer.status == 204


async def held(serve: Serving, task_id: int = 1) -> str:
    """Return the digest of what the server holds."""
    return content_digest((await serve.client.annotations(task_id)).raw)


def replaced(place: Path, task_id: int = 1) -> list[Path]:
    """Return the kept states of a task, the oldest first."""
    return sorted(place.glob(f"{task_id}-2*.json"))


def own(place: Path) -> Path:
    return place / ".asynccvat" / "replaced"


async def test_an_upload_keeps_the_servers_own_json_before_it_replaces_it(
    data: Path, stack: AsyncExitStack, log: Log
) -> None:
    serve = await mirrored(stack, data)
    before = (await serve.client.annotations(1)).raw
    seen: list[list[bytes]] = []
    log.on(
        ImportRequested,
        lambda _event: seen.append([path.read_bytes() for path in replaced(own(data))]),
    )
    edit(data / "task1" / CVAT)
    report = await ac.upload(serve.client, data, options=UPLOAD, on_event=log)
    (path,) = replaced(own(data))
    assert path.read_bytes() == before
    assert seen == [[before]]
    assert outcome(report, 1).kept == str(path)
    assert report.to_json()["tasks"][0]["kept"] == str(path)
    # The mirror goes on as if it were not there.
    assert (await ac.mirror(serve.client, data, options=QUICK)).ok
    assert (await ac.verify(data)).ok
    assert kept(data) == {}


async def test_outside_a_mirror_nothing_is_replaced_that_nothing_keeps(tmp_path: Path) -> None:
    async with serving(2) as serve:
        await emptied(serve, 2)
        (tmp_path / "a.xml").write_bytes((await serve.archive(1))[CVAT])
        pairs = dict.fromkeys((1, 2), tmp_path / "a.xml")
        before = await held(serve)
        report = await ac.upload(serve.client, pairs, options=UPLOAD)
        refused = error(report, 1)
        assert isinstance(refused, UploadError)
        assert "6 shapes and 1 tag" in str(refused)
        assert "--backup-dir" in str(refused)
        assert "--no-backup" in str(refused)
        assert await held(serve) == before
        # Where there is nothing, nothing is replaced.
        assert outcome(report, 2).action == "uploaded"
        assert len(serve.server.imports) == 1


async def test_a_backup_folder_keeps_the_tasks_of_one_server(tmp_path: Path) -> None:
    keeping = ac.UploadOptions(durable=True, backup_dir=tmp_path / "replaced" / "here")
    async with serving(1) as serve, serving(1) as other:
        (tmp_path / "a.xml").write_bytes((await serve.archive(1))[CVAT])
        before = (await serve.client.annotations(1)).raw
        report = await ac.upload(serve.client, {1: tmp_path / "a.xml"}, options=keeping)
        (path,) = replaced(tmp_path / "replaced" / "here")
        assert outcome(report, 1).kept == str(path)
        assert path.read_bytes() == before
        with pytest.raises(ac.ConfigError, match="it holds those of"):
            await ac.upload(other.client, {1: tmp_path / "a.xml"}, options=keeping)
        server = path.parent / "server.json"
        for content, says in (
            (b'{"version":9}', "a newer asynccvat wrote it"),
            (b"{", "damaged"),
        ):
            server.write_bytes(content)
            with pytest.raises(ac.ConfigError, match=says):
                await ac.upload(serve.client, {1: tmp_path / "a.xml"}, options=keeping)
        assert other.server.imports == []


@pytest.mark.parametrize("inside", ["", "task1", "task1/replaced", "replaced"])
async def test_a_backup_folder_in_a_mirror_is_refused_since_no_undo_would_find_it(
    data: Path, tmp_path: Path, stack: AsyncExitStack, inside: str
) -> None:
    serve = await mirrored(stack, data)
    (tmp_path / "a.xml").write_bytes((data / "task1" / CVAT).read_bytes())
    names = sorted(data.rglob("*"))
    keeping = ac.UploadOptions(durable=False, backup_dir=data / inside)
    pairs = {1: tmp_path / "a.xml"}
    for attempt in (
        lambda: ac.upload(serve.client, pairs, options=keeping),
        lambda: ac.plan_upload(serve.client, pairs, options=keeping),
        lambda: ac.upload_annotations(
            serve.client, 1, tmp_path / "a.xml", backup_dir=data / inside
        ),
    ):
        with pytest.raises(ac.ConfigError, match="which holds a mirror or backups"):
            await attempt()
    assert sorted(data.rglob("*")) == names
    assert serve.server.imports == []


async def test_a_single_import_that_removes_much_is_a_warning_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(1) as serve:
        await serve.annotate(1, shapes=[serve.box(1)])
        (tmp_path / "a.xml").write_bytes((await serve.archive(1))[CVAT])
        await serve.annotate(1, shapes=[serve.box(1)] * 3)
        await ac.upload_annotations(serve.client, 1, tmp_path / "a.xml", backup=False)
    assert "task 1: the task had 3 annotations, and has 1 now" in caplog.messages


async def test_one_file_alone_is_held_to_the_same(tmp_path: Path) -> None:
    async with serving(1) as serve:
        (tmp_path / "a.xml").write_bytes((await serve.archive(1))[CVAT])
        with pytest.raises(UploadError, match="--backup-dir"):
            await ac.upload_annotations(serve.client, 1, tmp_path / "a.xml")
        assert serve.server.imports == []
        before = (await serve.client.annotations(1)).raw
        await ac.upload_annotations(
            serve.client, 1, tmp_path / "a.xml", backup_dir=tmp_path / "replaced"
        )
        assert [path.read_bytes() for path in replaced(tmp_path / "replaced")] == [before]


async def test_without_a_backup_nothing_is_kept_in_a_mirror_either(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data)
    edit(data / "task1" / CVAT)
    for_good = ac.UploadOptions(durable=False, backup=False)
    report = await ac.upload(serve.client, data, options=for_good)
    assert outcome(report, 1).kept is None
    assert replaced(own(data)) == []


async def test_a_persons_work_is_never_pushed_out_by_nightly_uploads(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data)
    overwriting = ac.UploadOptions(durable=False, overwrite=True)
    persons = [(await serve.client.annotations(1)).raw]
    for night in range(14):
        if night == 2:
            serve.server.edit_task(1)
            persons.append((await serve.client.annotations(1)).raw)
        turn(data / "task1" / CVAT)
        assert (await ac.upload(serve.client, data, options=overwriting)).ok
    there = replaced(own(data))
    assert [path.read_bytes() for path in there if ".own." not in path.name] == persons
    assert len(there) == 12
    assert [".own." in path.name for path in there[2:]] == [True] * 10


async def test_a_change_right_after_the_import_counts_as_a_persons_work(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data)
    turn(data / "task1" / CVAT)
    # It comes before the upload reads what it left.
    serve.server.faults.add(Fault(method="GET", path=r"/1/annotations$", nth=2, edit_task=1))
    assert (await ac.upload(serve.client, data, options=UPLOAD)).ok
    theirs = (await serve.client.annotations(1)).raw
    turn(data / "task1" / CVAT)
    overwriting = ac.UploadOptions(durable=False, overwrite=True)
    assert (await ac.upload(serve.client, data, options=overwriting)).ok
    newest = replaced(own(data))[-1]
    assert newest.read_bytes() == theirs
    assert ".own." not in newest.name


async def test_what_another_import_leaves_meanwhile_is_kept_too(
    tmp_path: Path, stack: AsyncExitStack
) -> None:
    serve = await stack.enter_async_context(serving(1))
    content = (await serve.archive(1))[CVAT]
    (tmp_path / "a.xml").write_bytes(content)
    (tmp_path / "b.xml").write_bytes(content.replace(b'occluded="0"', b'occluded="1"'))
    mine = ac.UploadOptions(durable=False, backup_dir=tmp_path / "mine")
    theirs = ac.UploadOptions(durable=False, backup=False)
    serve.server.pause_imports()
    async with (
        ac.open_upload(serve.client, {1: tmp_path / "b.xml"}, options=theirs) as other,
    ):
        async for event in other.events():
            if isinstance(event, ImportRequested):
                break
        async with ac.open_upload(serve.client, {1: tmp_path / "a.xml"}, options=mine) as run:
            async for event in run.events():
                if isinstance(event, ac.events.Retrying):
                    serve.server.release_imports()
            assert (await run.wait()).ok
        assert (await other.wait()).ok
    digests = [content_digest(path.read_bytes()) for path in replaced(tmp_path / "mine")]
    assert len(digests) == 2, "the state before, and that of the other import"
    assert len({*digests, await held(serve)}) == 3 or digests[0] == await held(serve)


async def test_a_task_that_another_import_changes_meanwhile_is_refused(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data)
    edit(data / "task1" / CVAT)
    other = data.parent / "b.xml"
    other.write_bytes((await serve.archive(1))[CVAT])
    serve.server.pause_imports()
    theirs = ac.UploadOptions(durable=False, backup=False)
    async with ac.open_upload(serve.client, {1: other}, options=theirs) as first:
        async for event in first.events():
            if isinstance(event, ImportRequested):
                break
        async with ac.open_upload(serve.client, data, options=UPLOAD) as run:
            async for event in run.events():
                if isinstance(event, ac.events.Retrying):
                    serve.server.release_imports()
            report = await run.wait()
        await first.wait()
    assert isinstance(error(report, 1), ac.errors.TaskChangedError)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("name", ["write", "rename", "open_for_writing", "fsync"])
async def test_an_import_never_starts_before_the_state_is_on_disk(
    data: Path, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    serve = await mirrored(stack, data)
    edit(data / "task1" / CVAT)
    effect: Any = getattr(effects, name)

    def failing(*args: Any, **kwargs: Any) -> Any:
        if own(data).exists():
            raise OSError(number, os.strerror(number))
        return effect(*args, **kwargs)

    monkeypatch.setattr(effects, name, failing)
    report = await ac.upload(serve.client, data)
    if number == errno.ENOSPC:
        # The next task would fail in the same way.
        assert isinstance(report.stopped_by, DiskFullError)
    else:
        assert isinstance(error(report, 1), StoreError)
    assert serve.server.imports == []


async def test_the_first_uploads_of_a_mirror_may_make_the_folder_at_once(
    data: Path, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = await mirrored(stack, data)
    edit(data / "task1" / CVAT)
    mkdir = effects.mkdir

    def second(name: str, *, dir_fd: int) -> None:
        if name == "replaced":
            mkdir(name, dir_fd=dir_fd)  # another thread was faster
        mkdir(name, dir_fd=dir_fd)

    monkeypatch.setattr(effects, "mkdir", second)
    assert (await ac.upload(serve.client, data, options=UPLOAD)).ok
    assert len(replaced(own(data))) == 1


async def test_a_failed_import_says_that_the_task_is_as_it_was(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data)
    edit(data / "task1" / CVAT)
    serve.server.faults.add(Fault(importing="fail", message="Boom\n"))
    text = str(error(await ac.upload(serve.client, data, options=UPLOAD), 1))
    assert text.endswith("Boom. The task is as it was before.")


async def test_an_import_that_left_something_else_says_how_to_take_it_back(
    data: Path, stack: AsyncExitStack, log: Log
) -> None:
    serve = await mirrored(stack, data)
    edit(data / "task1" / CVAT)
    serve.server.faults.add(Fault(importing="fail", message="Boom\n"))
    log.on(ImportRequested, lambda _event: serve.server.edit_task(1))
    report = await ac.upload(serve.client, data, options=UPLOAD, on_event=log)
    failure = error(report, 1)
    assert isinstance(failure, ImportFailedError)
    assert f"`asynccvat upload --undo -t 1 -i {data} --overwrite` puts it back" in str(failure)


async def test_a_kept_state_is_json_that_anyone_can_read(data: Path, stack: AsyncExitStack) -> None:
    serve = await mirrored(stack, data)
    edit(data / "task1" / CVAT)
    assert (await ac.upload(serve.client, data, options=UPLOAD)).ok
    (path,) = replaced(own(data))
    assert {"version", "tags", "shapes", "tracks"} <= json.loads(path.read_bytes()).keys()
    note = json.loads((own(data) / "1.last-upload.json").read_bytes())
    assert note["version"] == 1
    assert note["digest"] == await held(serve)


async def test_an_unknown_label_is_a_failure_that_says_what_to_do(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await mirrored(stack, data)
    edit(data / "task1" / CVAT, 'label="', 'label="x')
    text = str(error(await ac.upload(serve.client, data, options=UPLOAD), 1))
    assert "is not registered for this task. Add the label to the task or its project" in text
    assert text.endswith("or rename it in the file. The task is as it was before.")


async def test_folders_that_another_task_makes_at_the_same_moment_are_used(
    data: Path, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    lstat = effects.lstat

    def too_early(name: str, *, dir_fd: int) -> os.stat_result | None:
        """Look before the folder is there, though it is made by then."""
        return None if name in ("replaced", "archives") else lstat(name, dir_fd=dir_fd)

    serve = await stack.enter_async_context(serving(2))
    monkeypatch.setattr(effects, "lstat", too_early)
    keeping = ac.MirrorOptions(durable=False, keep_archive=True)
    assert (await ac.mirror(serve.client, data, options=keeping)).ok
    forced = ac.UploadOptions(durable=False, force=True)
    report = await ac.upload(serve.client, data, options=forced)
    assert report.ok, report.failures
    assert [len(replaced(own(data), task_id)) for task_id in (1, 2)] == [1, 1]
