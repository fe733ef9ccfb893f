"""Uploads arrive through gateways that refuse large requests, or say what to change there."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_serving import Serving, data, error, serving

import asynccvat as ac

__all__ = ["data"]

pytestmark = pytest.mark.anyio

QUICK = ac.UploadOptions(durable=False, backup=False)
CVAT = "annotations.xml"
MIB = 1 << 20


async def enlarged(serve: Serving, folder: Path, task_id: int, size: int) -> Path:
    """Write a task's annotations, filled up with spaces to a size."""
    content = (await serve.archive(task_id))[CVAT]
    place = folder / f"task{task_id}" / CVAT
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(
        content.replace(b"</annotations>", b"").ljust(size - 15) + b"</annotations>\n"
    )
    assert place.stat().st_size == size
    return place


async def test_pieces_become_shorter_until_the_gateway_takes_them(data: Path) -> None:
    async with serving(2, largest_body=MIB) as serve:
        await enlarged(serve, data, 1, 69 * MIB)
        await enlarged(serve, data, 2, 3 * MIB)
        report = await ac.upload(serve.client, data, [1], options=QUICK)
        assert [one.failure for one in report.outcomes] == [""]
        pieces = serve.calls("PATCH")
        assert [one.status for one in pieces[:2]] == [413, 204]
        assert sum(one.status == 413 for one in pieces) == 1
        assert sum(one.bytes_received for one in pieces if one.status == 204) == 69 * MIB
        # The client remembers the length for its other files.
        before = len(serve.server.calls)
        assert (await ac.upload(serve.client, data, [2], options=QUICK)).ok
        assert {one.status for one in serve.calls("PATCH", since=before)} == {204}


async def test_a_small_file_that_is_refused_in_one_request_goes_in_pieces(data: Path) -> None:
    async with serving(2, largest_body=200_000) as serve:
        for task_id in (1, 2):
            await enlarged(serve, data, task_id, 300_000)
        assert (await ac.upload(serve.client, data, [1], options=QUICK)).ok
        assert sum(one.status == 413 for one in serve.server.calls) == 1
        assert (await ac.upload(serve.client, data, [2], options=QUICK)).ok
        assert sum(one.status == 413 for one in serve.server.calls) == 1


@pytest.mark.parametrize("size", [5_000, 100_000, 2 * MIB])
async def test_a_gateway_that_takes_nothing_is_named_with_what_to_change(
    data: Path, size: int
) -> None:
    async with serving(1, largest_body=4_000) as serve:
        await enlarged(serve, data, 1, size)
        before = serve.server.tasks[1].updated_date
        report = await ac.upload(serve.client, data, options=QUICK)
        text = str(error(report, 1))
        assert "refuses a request of" in text
        assert "413" in text
        assert "client_max_body_size" in text
        assert serve.client.origin in text
        assert serve.server.tasks[1].updated_date == before
        assert len(serve.calls("PATCH")) <= 6
