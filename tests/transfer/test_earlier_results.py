"""Check that no earlier result of a request's id is taken for the new one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from engine_serving import QUICK, Serving, files, receipt_head, serving

import asynccvat as ac
from asynccvat.simulator import ExportStart, Fault
from asynccvat.simulator.options import ExportSeconds
from asynccvat.simulator.queues.requests import ExportRequest

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Network faults")]

TASKS = 30
KEEPS_EARLIER = Fault(path="dataset/download", earlier_result=True, times=None)


def at(seconds: float) -> str:
    """An HTTP date, this many seconds from now."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def later_ones_take_longer(start: ExportStart) -> float:
    """Let results be fetched too early, since the first exports take less time."""
    return 0.01 if start.target_id < TASKS / 2 else 0.05


@asynccontextmanager
async def keeping_earlier_results(
    data: Path, *, age: float, seconds: ExportSeconds = later_ones_take_longer
) -> AsyncIterator[Serving]:
    """Serve tasks that were mirrored some time ago, and have all changed since.

    Until a new export has ended, the server sends the earlier result of the same request's id.
    """
    async with serving(
        TASKS,
        costs=True,
        latency=0.0,
        login_seconds=0.0,
        export_seconds=seconds,
        cached_export_seconds=0.0,
    ) as serve:
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok
        for request in serve.server.requests.values():
            assert isinstance(request, ExportRequest)
            assert request.result is not None
            assert request.finished is not None
            request.finished -= timedelta(seconds=age)
            request.result.modified -= int(age)
        for task_id in serve.server.tasks:
            serve.server.edit_task(task_id)
        serve.server.faults.add(KEEPS_EARLIER)
        yield serve


async def check_mirror(serve: Serving, data: Path) -> None:
    """Mirror, and check that no folder holds an earlier state under a new receipt."""
    assert (await ac.mirror(serve.client, data, options=QUICK)).ok
    serve.server.faults.clear()
    assert files(data) == await serve.archives()
    listing = await serve.client.tasks()
    for task in listing.tasks:
        assert receipt_head(data, task.id)["updated_date"] == task.updated_date


@pytest.mark.parametrize("age", [0.0, 1.0, 9.0, 3600.0])
async def test_earlier_results_that_the_server_keeps_are_not_taken(data: Path, age: float) -> None:
    async with keeping_earlier_results(data, age=age) as serve:
        await check_mirror(serve, data)


async def test_results_are_fetched_without_polls_if_earlier_ones_are_old(data: Path) -> None:
    async with keeping_earlier_results(data, age=3600.0, seconds=0.02) as serve:
        serve.server.faults.clear()
        before = len(serve.server.calls)
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok
        assert len(serve.calls("GET", "/api/requests", since=before)) < TASKS
        assert len(serve.calls("GET", "dataset/download", since=before)) < 1.25 * TASKS


INTERFERING: dict[str, dict[str, Any]] = {
    "no Last-Modified": {"path": "dataset/download", "headers": {"Last-Modified": None}},
    "Last-Modified an hour behind": {
        "path": "dataset/download",
        "headers": {"Last-Modified": at(-3600)},
    },
    "Last-Modified an hour ahead": {
        "path": "dataset/download",
        "headers": {"Last-Modified": at(3600)},
    },
    "Last-Modified is no date": {
        "path": "dataset/download",
        "headers": {"Last-Modified": "yesterday"},
    },
    "Date a minute behind": {"headers": {"Date": at(-60)}},
    "Date a minute ahead": {"headers": {"Date": at(60)}},
    "Date of exports stands still": {"path": "dataset/export", "headers": {"Date": at(-7200)}},
    "no list of requests": {"path": r"^/api/requests\?", "status": 500},
}


@pytest.mark.parametrize("name", INTERFERING)
@pytest.mark.parametrize("age", [0.0, 3600.0])
async def test_clocks_and_proxies_that_change_dates_do_no_harm(
    data: Path, name: str, age: float
) -> None:
    async with keeping_earlier_results(data, age=age) as serve:
        serve.server.faults.add(Fault(times=None, **INTERFERING[name]))
        await check_mirror(serve, data)
