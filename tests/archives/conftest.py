"""Fixtures: an archive's server, a store, and a reader that never waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from archive_site import ArchiveSite, FakeTime, archive_site
from blockbuster import BlockBuster, blockbuster_ctx

from asynccvat.archives import ArchiveReader, session
from asynccvat.client import CvatClient
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.wire.ranges import RangeOptions
from asynccvat.events import Event, TransferStarted
from asynccvat.http.retry_after import Timing
from asynccvat.store import MirrorStore, Staging

TASK = 147


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """Fail when anything blocks the event loop."""
    with blockbuster_ctx("asynccvat") as guard:
        yield guard


@pytest.fixture
async def site() -> AsyncIterator[ArchiveSite]:
    async with archive_site(b"") as running:
        yield running


@pytest.fixture
async def client(site: ArchiveSite) -> AsyncIterator[CvatClient]:
    async with CvatClient(site.url, token="secret", trust_environment=False) as opened:
        yield opened


@pytest.fixture
async def store(tmp_path: Path, site: ArchiveSite) -> AsyncIterator[MirrorStore]:
    async with MirrorStore.open(
        tmp_path / "dest", origin=site.url, organization=None, durable=False
    ) as opened:
        yield opened


@pytest.fixture
async def staging(store: MirrorStore) -> Staging:
    return await store.stage(TASK)


@pytest.fixture(params=["ranges", "memory", "spool"])
def way(request: pytest.FixtureRequest, site: ArchiveSite, monkeypatch: pytest.MonkeyPatch) -> str:
    """How archives come: in ranges, or whole, and then into memory or into a spool."""
    site.ranges = request.param == "ranges"
    if request.param == "spool":
        monkeypatch.setattr(session, "IN_MEMORY", 0)
    return str(request.param)


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def break_once_read(site: ArchiveSite) -> Callable[[Event], None]:
    """Let the site's cuts happen only while a body is read; an event callback."""
    may_break = site.may_break = anyio.Event()

    def emit(event: Event) -> None:
        if isinstance(event, TransferStarted):
            may_break.set()

    return emit


@pytest.fixture
def make_reader(
    client: CvatClient, store: MirrorStore, fake_time: FakeTime, events: list[Event]
) -> Any:
    """Make a reader; `ranges` are small ones, one request at a time, unless given."""

    def make(
        ranges: RangeOptions | None = None,
        emit: Callable[[Event], None] = events.append,
        **options: Any,
    ) -> ArchiveReader:
        return ArchiveReader(
            client,
            MirrorOptions(**options),
            store.rules,
            emit,
            ranges=ranges or RangeOptions(tail=2000, parallel=1),
            timing=Timing(clock=fake_time.clock, sleep=fake_time.sleep, jitter=lambda: 1.0),
        )

    return make
