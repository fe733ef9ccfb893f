"""Archives that stay one file: checked member by member, continued, and never trusted."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from archive_site import RESULT, ArchiveSite, numbered
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from asynccvat.aio.threads import in_thread
from asynccvat.archives import ArchiveReader
from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.records.backups import TargetState
from asynccvat.core.targets import TargetKind
from asynccvat.errors import (
    ArchiveLimitError,
    IntegrityError,
    ProtocolError,
    TransportError,
    TruncatedArchiveError,
    UnsafePathError,
)
from asynccvat.events import Event, TransferProgress, TransferStarted
from asynccvat.fs import files
from asynccvat.store import StagedBackup
from asynccvat.store.backup_store import BackupStore

pytestmark = pytest.mark.anyio

MEMBERS = {"task.json": b"{}" * 40} | numbered("data/", [3000] * 12)
STATE = TargetState(updated_date="v1", jobs="j", media="m")
FIRST, SECOND = "2026-11-29T03:12:00+00:00", "2026-11-30T03:12:00+00:00"


def pack(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def damaged(archive: bytes, content: bytes) -> bytes:
    at = archive.index(content)
    return archive[:at] + bytes([archive[at] ^ 1]) + archive[at + 1 :]


@pytest.fixture
async def backups(tmp_path: Path, site: ArchiveSite) -> AsyncIterator[BackupStore]:
    async with BackupStore.open(tmp_path / "backups", origin=site.url, durable=False) as opened:
        yield opened


async def stage(backups: BackupStore, at: str = FIRST, **changes: Any) -> StagedBackup:
    given: dict[str, Any] = {"state": STATE, "lightweight": False, "requested_at": at} | changes
    return await backups.stage(TargetKind.TASK, 147, given.pop("state"), **given)


def content_of(staged: StagedBackup) -> bytes:
    with staged.open_part() as fd:
        size = 1 << 22
        buffer = memoryview(bytearray(size))
        return bytes(buffer[: files.read_into(fd, buffer)])


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
async def test_a_whole_archive_becomes_the_same_file(
    *,
    site: ArchiveSite,
    backups: BackupStore,
    make_reader: Any,
    events: list[Event],
    ranges: bool,
    method: int,
) -> None:
    site.content, site.ranges = pack(MEMBERS, method), ranges
    staged = await stage(backups)

    read = await make_reader().read(RESULT, staged)

    assert content_of(staged) == site.content
    assert {(one.path, one.size, one.crc) for one in read.members} == {
        (name, len(content), zlib.crc32(content)) for name, content in MEMBERS.items()
    }
    assert read.transferred == site.sent == len(site.content)
    assert sum(e.transferred for e in events if isinstance(e, TransferProgress)) == len(
        site.content
    )


async def test_a_small_archive_is_one_request(
    site: ArchiveSite, backups: BackupStore, make_reader: Any
) -> None:
    site.content = pack({"task.json": b"{}"})
    staged = await stage(backups)

    await make_reader().read(RESULT, staged)

    assert len(site.requests) == 1
    assert content_of(staged) == site.content


async def test_a_long_directory_takes_another_request(
    site: ArchiveSite, backups: BackupStore, make_reader: Any
) -> None:
    site.content = pack(numbered("data/", [10] * 200))
    staged = await stage(backups)

    read = await make_reader().read(RESULT, staged)

    assert len(read.members) == 200
    assert content_of(staged) == site.content
    assert site.sent == len(site.content)


async def test_a_broken_connection_is_continued(
    site: ArchiveSite, backups: BackupStore, make_reader: Any
) -> None:
    site.content = pack(MEMBERS)
    site.cuts = {1: 9000, 2: 7000}
    staged = await stage(backups)

    await make_reader().read(RESULT, staged)

    assert content_of(staged) == site.content
    assert site.sent == len(site.content)
    assert {request.if_range for request in site.requests[1:]} == {'"1"'}


async def part_of(site: ArchiveSite, backups: BackupStore, make_reader: Any) -> bytes:
    """Read an archive up to a broken connection, and give up."""
    site.content = pack(MEMBERS)
    site.cuts = {1: 20_000}
    staged = await stage(backups)
    with pytest.raises(TransportError):
        await make_reader(retries=0).read(RESULT, staged)
    site.cuts = {}
    part = content_of(staged)
    assert 0 < len(part) <= 20_000
    await backups.abandon(staged, keep=True)
    site.requests.clear()
    return part


async def test_a_later_process_goes_on_after_the_bytes_on_disk(
    site: ArchiveSite, backups: BackupStore, make_reader: Any, events: list[Event]
) -> None:
    part = await part_of(site, backups, make_reader)
    events.clear()
    staged = await stage(backups, SECOND)

    read = await make_reader().read(RESULT, staged)

    assert content_of(staged) == site.content
    assert site.sent == read.transferred == len(site.content) - len(part)
    assert read.reused == len(part)
    assert staged.requested_at == FIRST  # the bytes are as old as their request
    assert next(e for e in events if isinstance(e, TransferStarted)).reused == len(part)


async def test_only_the_same_result_is_continued(
    site: ArchiveSite, backups: BackupStore, make_reader: Any
) -> None:
    await part_of(site, backups, make_reader)
    site.etag = '"2"'  # even if the bytes were the same: nothing says so
    staged = await stage(backups, SECOND)

    await make_reader().read(RESULT, staged)

    assert content_of(staged) == site.content
    assert site.sent == len(site.content)
    assert staged.requested_at == SECOND


@pytest.mark.parametrize("etag", ["", 'W/"1"'])
async def test_without_a_strong_etag_nothing_is_continued(
    site: ArchiveSite, backups: BackupStore, make_reader: Any, etag: str
) -> None:
    site.etag = etag
    await part_of(site, backups, make_reader)
    staged = await stage(backups, SECOND)

    await make_reader().read(RESULT, staged)

    assert content_of(staged) == site.content
    assert site.sent == len(site.content)


async def test_damaged_bytes_on_disk_are_fetched_again(
    site: ArchiveSite, backups: BackupStore, make_reader: Any
) -> None:
    part = await part_of(site, backups, make_reader)
    staged = await stage(backups, SECOND)
    staged.path.write_bytes(damaged(part, MEMBERS["data/0001.bin"]))

    await make_reader(retries=0).read(RESULT, staged)

    assert content_of(staged) == site.content


async def test_more_bytes_on_disk_than_the_result_has_are_not_continued(
    site: ArchiveSite, backups: BackupStore, make_reader: Any
) -> None:
    await part_of(site, backups, make_reader)
    staged = await stage(backups, SECOND)
    staged.path.write_bytes(site.content + b"more")

    await make_reader().read(RESULT, staged)

    assert content_of(staged) == site.content


async def test_a_directory_on_disk_is_not_trusted(
    site: ArchiveSite, backups: BackupStore, make_reader: Any
) -> None:
    await part_of(site, backups, make_reader)
    staged = await stage(backups, SECOND)
    staged.path.write_bytes(site.content[:-200] + b"x" * 100)

    await make_reader().read(RESULT, staged)

    assert content_of(staged) == site.content


async def test_an_archive_that_changes_is_begun_anew(
    site: ArchiveSite, backups: BackupStore, make_reader: Any
) -> None:
    other = pack(MEMBERS | {"task.json": b"[]"})
    site.content = pack(MEMBERS)
    site.cuts = {1: 5000}
    site.becomes(2, other, etag='"2"')
    staged = await stage(backups)

    await make_reader().read(RESULT, staged)

    assert content_of(staged) == other


async def test_an_archive_that_changes_each_time_is_given_up(
    site: ArchiveSite, backups: BackupStore, make_reader: Any
) -> None:
    site.content = pack(MEMBERS)
    for number in range(1, 40):
        site.becomes(number, etag=f'"{number + 1}"')
    staged = await stage(backups)

    with pytest.raises(ProtocolError, match="changed 11 times"):
        await make_reader().read(RESULT, staged)


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_damaged_archive_is_fetched_once_more_and_refused(
    site: ArchiveSite, backups: BackupStore, make_reader: Any, ranges: bool
) -> None:
    site.content, site.ranges = damaged(pack(MEMBERS), MEMBERS["data/0003.bin"]), ranges
    staged = await stage(backups)

    with pytest.raises(IntegrityError, match=r"data/0003\.bin"):
        await make_reader().read(RESULT, staged)
    assert sum(request.start == 0 for request in site.requests) == 2


async def test_a_cut_archive_is_no_backup(
    site: ArchiveSite, backups: BackupStore, make_reader: Any
) -> None:
    site.content = pack(MEMBERS)[:-30]
    staged = await stage(backups)

    with pytest.raises((TruncatedArchiveError, IntegrityError)):
        await make_reader().read(RESULT, staged)


async def test_a_body_that_broke_off_without_ranges_begins_anew(
    site: ArchiveSite, backups: BackupStore, make_reader: Any
) -> None:
    site.content, site.ranges = pack(MEMBERS), False
    site.cuts = {0: 9000}
    staged = await stage(backups)

    await make_reader().read(RESULT, staged)

    assert content_of(staged) == site.content
    assert staged.origin() is None


async def test_limits_and_unsafe_names_are_refused(
    site: ArchiveSite, backups: BackupStore, make_reader: Any
) -> None:
    site.content = pack({"../task.json": b"{}"})
    staged = await stage(backups)
    with pytest.raises(UnsafePathError):
        await make_reader().read(RESULT, staged)
    site.content = pack(MEMBERS)
    for site.ranges in (True, False):
        with pytest.raises(ArchiveLimitError, match="--max-size"):
            await make_reader(limits=ArchiveLimits(total_size=1000, directory_size=2000)).read(
                RESULT, staged
            )


async def test_an_answer_that_is_no_zip_is_refused(
    site: ArchiveSite, backups: BackupStore, make_reader: Any
) -> None:
    site.content, site.ranges = b"<html>no backup</html>", False
    staged = await stage(backups)

    with pytest.raises(ProtocolError, match="no zip archive"):
        await make_reader().read(RESULT, staged)


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    sizes=st.lists(st.integers(0, 4000), min_size=1, max_size=8),
    here=st.integers(0, 40_000),
    flipped=st.none() | st.integers(0, 40_000),
)
@example(sizes=[25, 760, 443], here=1306, flipped=880)  # a method that is not supported
async def test_whatever_is_on_disk_the_file_ends_as_the_archive(
    *,
    site: ArchiveSite,
    backups: BackupStore,
    make_reader: Any,
    sizes: list[int],
    here: int,
    flipped: int | None,
) -> None:
    site.content = pack(numbered("data/", sizes))
    part = bytearray(site.content[:here])
    if flipped is not None and part:
        part[flipped % len(part)] ^= 1
    staged = await stage(backups)
    staged.path.write_bytes(part)
    await in_thread(staged.note_origin, RESULT, site.etag, len(site.content))

    reader: ArchiveReader = make_reader()
    try:
        await reader.read(RESULT, staged)
        # A flipped bit in a member's time is no error, so the members are compared.
        with zipfile.ZipFile(BytesIO(content_of(staged))) as archive:
            assert archive.testzip() is None
            for name, content in numbered("data/", sizes).items():
                assert archive.read(name) == content
    finally:
        await backups.abandon(staged, keep=False)


@pytest.mark.parametrize("at", range(4, 30))
async def test_a_damaged_header_on_disk_fails_no_backup(
    site: ArchiveSite, backups: BackupStore, make_reader: Any, at: int
) -> None:
    site.content = pack(MEMBERS)
    part = bytearray(site.content[:5000])
    part[at] ^= 1
    staged = await stage(backups)
    staged.path.write_bytes(part)
    await in_thread(staged.note_origin, RESULT, site.etag, len(site.content))

    await make_reader(retries=0).read(RESULT, staged)

    with zipfile.ZipFile(BytesIO(content_of(staged))) as archive:
        assert archive.testzip() is None
