"""The tasks that failed, as a destination remembers them for the next run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from destinations import ORIGIN
from engine_serving import QUICK, Log, serving
from hypothesis import given
from hypothesis import strategies as st
from memory_folders import in_memory

import asynccvat as ac
from asynccvat.events import ExportRequested
from asynccvat.fs import files
from asynccvat.simulator import Fault
from asynccvat.store import MirrorStore
from asynccvat.store.failures import FAILED_NAME

pytestmark = pytest.mark.anyio


def written(data: Path) -> Path:
    return data / ".asynccvat" / FAILED_NAME


async def test_a_task_that_failed_is_begun_last_by_the_next_run(tmp_path: Path) -> None:
    data = tmp_path / "data"
    log = Log()
    async with serving(12) as serve:
        serve.server.faults.add(Fault(export="fail", task_id=2, times=2))
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert [one.task_id for one in report.failures] == [2]
        assert written(data).read_bytes() == b'{"version":1,"task_ids":[2]}\n'
        options = replace(QUICK, force=True)
        report = await ac.mirror(serve.client, data, options=options, on_event=log)
        assert [one.task_id for one in report.failures] == [2]
        assert [event.task_id for event in log.of(ExportRequested)][-1] == 2
        # A run of other tasks does not forget it.
        others = ac.Selection(task_ids=[3, 4])
        assert (await ac.mirror(serve.client, data, selection=others, options=options)).ok
        assert b"[2]" in written(data).read_bytes()
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok
        assert not written(data).exists()


@pytest.mark.parametrize("content", [b"", b"[", b'{"version":2,"task_ids":[2]}', b"\xff", b"[1]"])
async def test_a_file_that_cannot_be_understood_counts_as_missing(
    tmp_path: Path, content: bytes
) -> None:
    data = tmp_path / "data"
    async with serving(2) as serve:
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok
        written(data).write_bytes(content)
        serve.server.edit_task(1)
        serve.server.faults.add(Fault(export="fail", task_id=1))
        assert not (await ac.mirror(serve.client, data, options=QUICK)).ok
        assert b"[1]" in written(data).read_bytes()


async def test_a_failure_to_write_it_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    real = files.rename

    def failing(name: str, *args: object, **more: object) -> None:
        if name == FAILED_NAME + ".part":
            raise PermissionError(13, "Permission denied")
        real(name, *args, **more)  # type: ignore[arg-type]

    async with serving(2) as serve:
        serve.server.faults.add(Fault(export="fail", task_id=1))
        monkeypatch.setattr(files, "rename", failing)
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert report.stopped_by is None
        (warning,) = report.warnings
        assert warning.startswith(f"cannot write failed.json in '{data}': Permission denied. ")


@given(st.lists(st.frozensets(st.integers(1, 2**40), max_size=5), max_size=4))
async def test_what_was_written_last_is_read(sets: list[frozenset[int]]) -> None:
    with in_memory() as folder:
        for tasks in sets:
            async with MirrorStore.open(folder / "data", origin=ORIGIN, organization=None) as store:
                await store.failures.write(tasks)
                assert await store.failures.read() == tasks
