"""Long spans, whose bodies are taken over from aiohttp: the same promises as for others."""

from __future__ import annotations

import random
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from archive_site import RESULT, ArchiveSite
from blockbuster import BlockBuster

from asynccvat.core.wire.ranges import RangeOptions
from asynccvat.errors import DiskFullError, IntegrityError, ReadError
from asynccvat.events import Event, Retrying, TransferProgress
from asynccvat.fs import files
from asynccvat.http import BodyReceiver
from asynccvat.store import Staging

pytestmark = pytest.mark.anyio

_CHANCE = random.Random(3)
MEMBERS = {
    f"images/{number:02d}.bin": _CHANCE.randbytes(size)
    for number, size in enumerate((300_000, 1_500_000, 7, 0, 900_000, 65_536, 2_000_000) * 2)
}
ONE = RangeOptions(tail=2000, parallel=1)
SEVERAL = RangeOptions(tail=2000, parallel=2, divide_from=1)


def pack(method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in MEMBERS.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(autouse=True)
def body_receivers(monkeypatch: pytest.MonkeyPatch) -> list[BodyReceiver]:
    """The body receivers that were made. Without one, a test here would show nothing."""
    made: list[BodyReceiver] = []
    original = BodyReceiver.__init__

    def note(self: BodyReceiver, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        original(self, *args, **kwargs)

    monkeypatch.setattr(BodyReceiver, "__init__", note)
    return made


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("ranges", [ONE, SEVERAL])
async def test_they_come_whole_and_no_byte_twice(
    site: ArchiveSite,
    staging: Staging,
    make_reader: Any,
    events: list[Event],
    body_receivers: list[BodyReceiver],
    *,
    ranges: RangeOptions,
    method: int,
) -> None:
    site.content = pack(method)

    read = await make_reader(ranges).read(RESULT, staging)

    assert tree(staging.tree) == MEMBERS
    assert len(body_receivers) == ranges.parallel
    assert read.transferred == len(site.content)
    told = sum(event.transferred for event in events if isinstance(event, TransferProgress))
    assert told == len(site.content)


async def test_a_broken_one_resumes_where_it_broke(
    site: ArchiveSite, staging: Staging, make_reader: Any, events: list[Event]
) -> None:
    site.content = pack()
    site.cuts = {1: 4_321_000}

    read = await make_reader().read(RESULT, staging)

    assert tree(staging.tree) == MEMBERS
    first, second = site.requests[1:]
    assert second.start == 4_321_000
    assert read.transferred == len(site.content)
    (retrying,) = (event for event in events if isinstance(event, Retrying))
    assert "broke off before its end" in retrying.error
    assert first.if_range == second.if_range == '"1"'


async def test_one_that_keeps_breaking_is_given_up(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = pack()
    site.cuts = dict.fromkeys(range(1, 20), 100)

    with pytest.raises(ReadError):
        await make_reader(retries=2).read(RESULT, staging)

    assert len(site.requests) == 4


async def test_a_damaged_member_is_fetched_again(
    site: ArchiveSite, staging: Staging, make_reader: Any, body_receivers: list[BodyReceiver]
) -> None:
    whole = pack()
    damaged = bytearray(whole)
    damaged[1_000_000] ^= 1
    site.content = bytes(damaged)
    site.becomes(2, whole, etag='"1"')

    await make_reader().read(RESULT, staging)

    assert tree(staging.tree) == MEMBERS
    assert len(body_receivers) == 2


async def test_a_lasting_damage_is_an_error(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    damaged = bytearray(pack())
    damaged[1_000_000] ^= 1
    site.content = bytes(damaged)

    with pytest.raises(IntegrityError, match="CRC-32") as raised:
        await make_reader().read(RESULT, staging)

    assert raised.value.member == "images/01.bin"
    assert "images/01.bin" not in tree(staging.tree)


async def test_a_full_disk_counts_for_more_than_a_broken_connection(
    site: ArchiveSite, staging: Staging, make_reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.content = pack()
    site.cuts = {1: 2_000_000}
    real = files.write

    def write(fd: int, data: bytes | memoryview) -> None:
        if len(tree(staging.tree)) > 1:
            raise OSError(28, "No space left on device")
        real(fd, data)

    monkeypatch.setattr(files, "write", write)

    with pytest.raises(DiskFullError):
        await make_reader().read(RESULT, staging)

    left = tree(staging.tree)
    assert set(left) == {"images/00.bin"}
    assert left["images/00.bin"] == MEMBERS["images/00.bin"]


async def test_a_cancellation_leaves_whole_members_only(
    site: ArchiveSite,
    staging: Staging,
    make_reader: Any,
    no_blocking_calls: BlockBuster,
) -> None:
    no_blocking_calls.deactivate()  # the test itself looks at the tree
    site.content = pack()
    site.cuts = {1: 4_000_000}
    site.may_break = anyio.Event()

    async with anyio.create_task_group() as group:
        group.start_soon(make_reader().read, RESULT, staging)
        while "images/02.bin" not in tree(staging.tree):
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    site.may_break.set()

    left = tree(staging.tree)
    assert all(MEMBERS[name] == content for name, content in left.items())


async def test_a_limited_bandwidth_is_kept_piece_by_piece(
    site: ArchiveSite,
    staging: Staging,
    make_reader: Any,
    body_receivers: list[BodyReceiver],
    fake_time: Any,
) -> None:
    site.content = pack()

    await make_reader(bandwidth=1_000_000).read(RESULT, staging)

    assert tree(staging.tree) == MEMBERS
    assert body_receivers == []
    assert sum(fake_time.slept) == pytest.approx(len(site.content) / 1_000_000 - 0.25, abs=0.5)
