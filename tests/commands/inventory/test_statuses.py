"""The status of a destination during runs, and after each end that a run can have."""

from __future__ import annotations

import json
import os
from pathlib import Path

import anyio
import pytest
from engine_serving import connected, serving, until

import asynccvat as ac
from asynccvat.models import RunEnd
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio

QUICK = ac.MirrorOptions(durable=False)
NOTE = ".asynccvat/last-run.json"


async def last_end(dest: Path) -> RunEnd | None:
    run = (await ac.status(dest)).last_run
    assert run is not None
    assert (run.ended_at is None) == (run.end is None)
    return run.end


async def test_a_run_under_way_is_told_and_so_is_its_interruption(data: Path) -> None:
    async with serving(4) as serve:
        serve.server.pause_exports()
        async with ac.open_mirror(serve.client, data, options=QUICK) as run:
            await until(lambda: len(serve.server.requests) == 4)
            status = await ac.status(data)
            assert (status.is_running, status.was_killed, status.is_green) == (True, False, False)
            assert f"process {os.getpid()} on " in str(status.writer)
            run.cancel()
            await run.wait()
        assert await last_end(data) is RunEnd.INTERRUPTED
        serve.server.release_exports()
        await ac.mirror(serve.client, data, options=QUICK)
        assert await last_end(data) is RunEnd.COMPLETE
        assert (await ac.status(data)).is_green


async def test_a_run_in_a_cancelled_scope_was_interrupted(data: Path) -> None:
    async with serving(2) as serve:
        serve.server.pause_exports()
        with anyio.CancelScope() as scope:
            async with ac.open_mirror(serve.client, data, options=QUICK):
                await until(lambda: len(serve.server.requests) == 2)
                scope.cancel()
                await anyio.sleep_forever()
        assert await last_end(data) is RunEnd.INTERRUPTED


async def test_a_run_whose_process_is_gone_was_killed(data: Path) -> None:
    async with serving(1) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
    note = json.loads((data / NOTE).read_bytes())
    (data / NOTE).write_text(json.dumps(note | {"ended_at": None, "end": None}))
    # The name of the process that held the lock stays in the file.
    owner = json.loads((data / ".asynccvat/lock").read_bytes())
    (data / ".asynccvat/lock").write_text(json.dumps(owner | {"process_start": "earlier 1"}))
    status = await ac.status(data)
    assert (status.is_running, status.was_killed) == (False, True)
    assert status.to_json()["last_run"]["end"] == "killed"


async def test_a_run_that_cannot_list_was_stopped_and_says_why(data: Path) -> None:
    async with serving(2) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        serve.server.faults.add(Fault(path="/api/tasks", status=403, times=None))
        with pytest.raises(ac.PermissionDeniedError):
            await ac.mirror(serve.client, data, options=QUICK)
    status = await ac.status(data)
    assert status.last_run is not None
    assert status.last_run.end is RunEnd.STOPPED
    assert "403" in str(status.last_run.error)
    assert status.targets == 2


async def test_a_refused_run_and_a_repair_leave_the_note_of_the_last_one(data: Path) -> None:
    async with serving(2) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        before = (data / NOTE).read_bytes()
        with pytest.raises(ac.ConfigError):
            await ac.mirror(serve.client, data, spec="COCO 1.0", options=QUICK)
        (data / "task1/annotations.xml").unlink()
        assert (await ac.verify(data, client=serve.client, repair=True)).ok
        assert (data / NOTE).read_bytes() == before


async def test_a_disk_that_takes_no_note_stops_no_run(data: Path) -> None:
    (data / NOTE).mkdir(parents=True)
    async with serving(2) as serve:
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok
    assert (await ac.status(data)).targets == 2


async def test_a_receipt_that_cannot_be_read_is_a_warning(data: Path) -> None:
    async with serving(2) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
    (data / ".asynccvat/receipts/1.json").write_text("{")
    status = await ac.status(data)
    assert (status.targets, status.is_green) == (1, False)
    assert "receipts/1.json cannot be used" in status.warnings[0]


async def test_a_mirror_of_jobs_says_so(data: Path) -> None:
    async with serving(2) as serve:
        await ac.mirror(serve.client, data, options=ac.MirrorOptions(target="jobs", durable=False))
        status = await ac.status(data)
        assert (status.holds, status.is_green) == ("jobs", True)
        room = await ac.disk_usage(data)
        assert {str(one.owner.target) for one in room.targets} == {"job"}
        difference = await ac.diff(serve.client, data)
        assert difference.is_current


async def test_what_was_put_aside_is_neither_restored_nor_purged_during_a_run(data: Path) -> None:
    async with serving(2) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        file = data / "task1/annotations.xml"
        file.write_bytes(b"mine")
        serve.server.edit_task(1)
        await ac.mirror(serve.client, data, options=QUICK)
        (item,) = await ac.kept(data)
        serve.server.edit_task(2)
        serve.server.pause_exports()
        async with ac.open_mirror(serve.client, data, options=QUICK) as run:
            await until(
                lambda: any(one.status == "queued" for one in serve.server.requests.values())
            )
            assert await ac.kept(data) == (item,)
            with pytest.raises(ac.StoreLockedError):
                await ac.restore_kept(data, [item.name])
            with pytest.raises(ac.StoreLockedError):
                await ac.purge_kept(data, [item.name])
            serve.server.release_exports()
            assert (await run.wait()).ok
        (done,) = await ac.restore_kept(data, [item.name])
        assert (done.folder, file.read_bytes()) == ("task1", b"mine")
        assert done.put_aside is not None
        assert [one.name for one in await ac.purge_kept(data, kinds=["kept"])] == [done.put_aside]


async def test_what_goes_has_to_be_chosen(data: Path) -> None:
    async with serving(1) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        with pytest.raises(ac.ConfigError, match="nothing is chosen"):
            await ac.purge_kept(data)
        with pytest.raises(ac.ConfigError, match="names is empty"):
            await ac.restore_kept(data, [])
        with pytest.raises(ac.ConfigError, match="'all' is not a valid KeptKind"):
            await ac.kept(data, kinds=["all"])
        with pytest.raises(TypeError, match="a list of names"):
            await ac.kept(data, "kept/x")
        backups = data.with_name("backups")
        await ac.backup(serve.client, backups, options=ac.BackupOptions(durable=False))
        with pytest.raises(ac.ConfigError, match=r"cannot look into .* it holds backups"):
            await ac.kept(backups)
        assert (await ac.status(backups)).holds == "backups"


async def test_a_mirror_of_another_server_is_not_compared(data: Path) -> None:
    async with serving(1) as serve, serving(1) as other:
        await ac.mirror(serve.client, data, options=QUICK)
        async with connected(other.server) as client:
            with pytest.raises(ac.ConfigError, match="needs one of its own"):
                await ac.diff(client, data)
