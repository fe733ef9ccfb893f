"""The annotations of a backup come back into the task that lives, and what they replace is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio.lowlevel
import pytest
from engine_serving import Serving, actions, error, serving
from restoring import backup, store_backup

import asynccvat as ac
from asynccvat.client import internals
from asynccvat.core.backups.annotations import essence
from asynccvat.core.records.replaced import content_digest
from asynccvat.core.specs import BackupSpec

pytestmark = pytest.mark.anyio


async def back_up(serve: Serving, dest: Path, task_id: int, **more: Any) -> None:
    """Store the backup that the server makes of a task."""
    accepted = await serve.client.request_export(task_id, BackupSpec())
    while not (request := await serve.client.request(accepted.rq_id)).ended:
        await anyio.lowlevel.checkpoint()
    assert request.result_url is not None, request.message
    async with internals(serve.client).open_result(request.result_url) as stream:
        content = b"".join([chunk async for chunk in stream.chunks()])
    store_backup(dest, task_id, content, origin=serve.client.origin, **more)


async def restored(serve: Serving, dest: Path, *task_ids: int, **more: Any) -> ac.RunReport:
    options = ac.RestoreOptions(backup_dir=dest.parent / "replaced", durable=False, **more)
    return await ac.restore_annotations(serve.client, dest, task_ids, options=options)


async def digest(serve: Serving, task_id: int) -> str:
    return content_digest(essence((await serve.client.annotations(task_id)).raw))


async def test_annotations_come_back_and_what_they_replace_is_kept(tmp_path: Path) -> None:
    dest = tmp_path / "backups"
    async with serving(2) as serve:
        before = await digest(serve, 1)
        assert (await serve.client.annotations(1)).counts.total
        await back_up(serve, dest, 1)
        assert actions(await restored(serve, dest, 1)) == {1: ("skipped", "unchanged")}
        await serve.annotate(1, shapes=[serve.box(1)])
        changed = await digest(serve, 1)
        report = await restored(serve, dest, 1)
        assert "it has 1 shape, which are not those of the backup" in str(error(report, 1))
        assert await digest(serve, 1) == changed
        report = await restored(serve, dest, 1, overwrite=True)
        assert actions(report) == {1: ("uploaded", "from a backup")}
        assert await digest(serve, 1) == before
        # The way back.
        undone = await ac.undo_upload(serve.client, tmp_path / "replaced", [1])
        assert undone.ok, undone.failures
        assert await digest(serve, 1) == changed


async def test_a_task_that_was_emptied_needs_no_overwrite(tmp_path: Path) -> None:
    dest = tmp_path / "backups"
    async with serving(2) as serve:
        before = await digest(serve, 2)
        await back_up(serve, dest, 2)
        await serve.annotate(2, shapes=[])
        plan = await ac.plan_restore_annotations(
            serve.client, dest, [2], options=ac.RestoreOptions(backup_dir=tmp_path / "replaced")
        )
        assert plan.counts == {"put back": 1}
        assert (await restored(serve, dest, 2)).ok
        assert await digest(serve, 2) == before


async def test_what_cannot_come_back_is_refused_before_anything_is_replaced(
    tmp_path: Path,
) -> None:
    dest = tmp_path / "backups"
    jobs = [{"type": "annotation", "start_frame": 0, "stop_frame": 1}] * 2
    async with serving(5) as serve:
        label = {"name": "unknown", "type": "any", "attributes": [], "sublabels": []}
        here: Any = {"origin": serve.client.origin}
        frames = (await serve.client.task(2)).size or 0
        cat = backup("x", labels=[label], frames=frames)
        store_backup(dest, 1, cat.replace(b'"label": "car"', b'"label": "cat"'), **here)
        store_backup(dest, 2, backup("x", jobs=jobs, frames=frames), **here)
        store_backup(dest, 3, b"no zip", **here)
        store_backup(dest, 4, backup("x"), lightweight=True, **here)
        store_backup(dest, 99, backup("x"), **here)
        report = await restored(serve, dest, 1, 2, 3, 4, 99, overwrite=True)
        said = {one.task_id: str(one.error) for one in report.failures}
        assert "is damaged" in said[1] or "no label 'cat'" in said[1]
        assert "its jobs share frames" in said[2]
        assert "it is no zip" in said[3]
        assert "lightweight backups alone" in said[4]
        assert "99" in said[99]
        assert not serve.calls("PUT", "annotations")


async def test_annotations_of_another_task_are_refused(tmp_path: Path) -> None:
    dest = tmp_path / "backups"
    async with serving(2) as serve:
        await back_up(serve, dest, 1, stamp="2026-11-29T031200Z")
        (mine,) = (dest / "task1").iterdir()
        store_backup(dest, 1, mine.read_bytes(), origin="https://other.example.com")
        frames = (await serve.client.task(2)).size or 0
        longer = backup("x", frames=frames + 1)
        store_backup(dest, 2, longer, origin=serve.client.origin)
        report = await restored(serve, dest, 1, 2, overwrite=True)
        assert "is of task 1 at https://other.example.com" in str(error(report, 1))
        assert f"has {frames + 1} frames, and the task {frames}." in str(error(report, 2))
        assert not serve.calls("PUT", "annotations")


async def test_nothing_is_replaced_that_nothing_keeps(tmp_path: Path) -> None:
    dest = tmp_path / "backups"
    store_backup(dest, 1, backup("x"))
    async with serving(1) as serve:
        with pytest.raises(ac.ConfigError, match="and nothing keeps it"):
            await ac.restore_annotations(serve.client, dest, [1])
        lone = tmp_path / "lone.zip"
        lone.write_bytes(backup("x"))
        with pytest.raises(ac.ConfigError, match="the zip of one backup"):
            await restored(serve, lone, 1)
