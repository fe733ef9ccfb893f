"""Archives from servers without ranges: into a file without a name, and from there to the tree."""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from aiohttp import web
from archive_site import RESULT, ArchiveSite, keeping, numbered
from blockbuster import BlockBuster

from asynccvat.archives import session, spool
from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.wire.ranges import RangeOptions
from asynccvat.errors import (
    ArchiveLimitError,
    DiskFullError,
    IntegrityError,
    ProtocolError,
    ReadError,
    StoreError,
    TruncatedArchiveError,
    UnsafePathError,
)
from asynccvat.events import Event, TransferProgress, TransferStarted
from asynccvat.fs import files
from asynccvat.fs.zip_files import directory_of_file
from asynccvat.http import BodyReceiver
from asynccvat.store import Staging

pytestmark = pytest.mark.anyio

MEMBERS = {"annotations.xml": b"<annotations/>" * 40} | numbered("images/", [3000] * 12)
SPARE = 16 * 2**20


@pytest.fixture(autouse=True)
def no_ranges(site: ArchiveSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without ranges, and archives too large for memory."""
    site.ranges = False
    monkeypatch.setattr(session, "IN_MEMORY", 0)


def pack(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def damaged(archive: bytes, content: bytes) -> bytes:
    at = archive.index(content)
    return archive[:at] + bytes([archive[at] ^ 1]) + archive[at + 1 :]


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def open_handles() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def check_area(staging: Staging) -> None:
    """Beside the tree there is nothing: the spool has no name."""
    assert [path.name for path in staging.tree.parent.iterdir()] == ["tree"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("parallel", [1, 3])
async def test_the_archive_is_spooled_and_read(
    *,
    method: int,
    parallel: int,
    site: ArchiveSite,
    staging: Staging,
    make_reader: Any,
    events: list[Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spool, "PIECE_BYTES", 5000)
    monkeypatch.setattr(spool, "_READ_BYTES", 700)
    site.content = pack(MEMBERS, method)
    ranges = RangeOptions(tail=100, parallel=parallel, divide_from=1)

    read = await make_reader(ranges).read(RESULT, staging)

    assert tree(staging.tree) == MEMBERS
    assert [record.path for record in read.members] == list(MEMBERS)
    assert len(site.requests) == 1
    assert read.transferred == len(site.content)
    assert events[0] == TransferStarted(staging.task_id, len(site.content), 0)
    told = sum(event.transferred for event in events if isinstance(event, TransferProgress))
    assert told == len(site.content)
    check_area(staging)


async def test_a_small_archive_needs_no_spool(
    site: ArchiveSite, staging: Staging, make_reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()

    def refuse(_: Staging) -> None:
        raise AssertionError

    monkeypatch.setattr(Staging, "open_spool", refuse)
    site.content = pack(MEMBERS)

    await make_reader().read(RESULT, staging)

    assert tree(staging.tree) == MEMBERS


async def test_a_body_without_a_length_is_spooled(
    site: ArchiveSite, staging: Staging, make_reader: Any, events: list[Event]
) -> None:
    whole = pack(MEMBERS)
    site.turns = {0: chunked([whole[:9000], whole[9000:]])}

    await make_reader().read(RESULT, staging)

    assert tree(staging.tree) == MEMBERS
    assert events[0] == TransferStarted(staging.task_id, None, 0)


def chunked(pieces: list[bytes], kind: str = "application/zip") -> Any:
    """An answer whose length is not told."""

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
            await anyio.lowlevel.checkpoint()

    async def answer() -> web.Response:
        return web.Response(body=body(), content_type=kind)

    return answer


async def test_a_long_body_is_taken_off_its_connection(
    site: ArchiveSite, staging: Staging, make_reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drained = []
    drain = BodyReceiver.drain

    def note(self: BodyReceiver, consume: Any) -> None:
        drained.append(consume)
        drain(self, consume)

    monkeypatch.setattr(BodyReceiver, "drain", note)
    members = numbered("images/", [500_000] * 12)
    site.content = pack(members)

    await make_reader().read(RESULT, staging)

    assert tree(staging.tree) == members
    assert len(drained) == 1


async def test_a_stored_member_whose_header_has_no_length_is_read(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    class Unseekable(BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    buffer = Unseekable()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("m", b"PK\7\10" * 9)
    site.content = buffer.getvalue()

    await make_reader().read(RESULT, staging)

    assert tree(staging.tree) == {"m": b"PK\7\10" * 9}


async def test_what_a_kill_left_of_a_spool_is_no_obstacle(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    (staging.tree.parent / "spool").write_bytes(b"left between its making and its unlinking")
    site.content = pack(MEMBERS)

    await make_reader().read(RESULT, staging)

    assert tree(staging.tree) == MEMBERS
    check_area(staging)


# Breaks


async def test_a_body_that_breaks_starts_over(
    site: ArchiveSite, staging: Staging, make_reader: Any, break_once_read: Any
) -> None:
    site.content = pack(MEMBERS)
    site.cuts = {0: 10_000}

    read = await make_reader(emit=break_once_read).read(RESULT, staging)

    assert tree(staging.tree) == MEMBERS
    assert len(site.requests) == 2
    assert read.transferred == 10_000 + len(site.content)


async def test_ranges_that_appear_after_a_break_are_used(
    site: ArchiveSite, staging: Staging, make_reader: Any, break_once_read: Any
) -> None:
    site.content = pack(MEMBERS)
    site.cuts = {0: 20_000}

    async def allow() -> None:
        site.ranges = True

    site.turns = {1: allow}

    await make_reader(emit=break_once_read).read(RESULT, staging)

    assert tree(staging.tree) == MEMBERS
    assert site.requests[-1].status == 206


async def test_a_body_that_goes_on_breaking_is_given_up(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = pack(MEMBERS)
    site.cuts = dict.fromkeys(range(20), 7000)

    with pytest.raises(ReadError):
        await make_reader(retries=1).read(RESULT, staging)

    assert len(site.requests) == 2
    assert tree(staging.tree) == {}
    check_area(staging)


# Bad archives


async def test_a_damaged_archive_is_fetched_again_once(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = damaged(pack(MEMBERS), MEMBERS["images/0003.bin"])

    with pytest.raises(IntegrityError, match=r"images/0003\.bin"):
        await make_reader().read(RESULT, staging)

    assert len(site.requests) == 2
    assert "images/0003.bin" not in tree(staging.tree)


async def test_whole_members_of_a_damaged_archive_are_not_written_twice(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    right = pack(MEMBERS)
    site.content = damaged(right, MEMBERS["images/0003.bin"])
    first: dict[str, int] = {}

    async def repair() -> None:
        site.content = right
        for name in tree(staging.tree):
            first[name] = (staging.tree / name).stat().st_ino

    site.turns = {1: repair}

    await make_reader().read(RESULT, staging)

    assert tree(staging.tree) == MEMBERS
    assert len(first) == 4
    assert all((staging.tree / name).stat().st_ino == inode for name, inode in first.items())


@pytest.mark.parametrize(
    ("members", "limits", "error"),
    [
        ({"../outside": b"x" * 4000}, {}, UnsafePathError),
        ({}, {"total_size": 10_000}, ArchiveLimitError),
        ({}, {"members": 3}, ArchiveLimitError),
    ],
)
async def test_a_bad_archive_is_refused_before_a_member_is_written(
    *,
    members: dict[str, bytes],
    limits: dict[str, int],
    error: type[Exception],
    site: ArchiveSite,
    staging: Staging,
    make_reader: Any,
) -> None:
    site.content = pack(MEMBERS | members)

    with pytest.raises(error):
        await make_reader(limits=ArchiveLimits(**limits)).read(RESULT, staging)

    assert len(site.requests) == 1
    assert list(staging.tree.iterdir()) == []
    check_area(staging)


@pytest.mark.parametrize("told", [True, False])
async def test_a_body_beyond_the_limits_is_not_spooled_to_its_end(
    told: bool,
    site: ArchiveSite,
    staging: Staging,
    make_reader: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = 0
    write = files.write

    def counted(fd: int, data: bytes | memoryview) -> None:
        nonlocal written
        written += len(data)
        write(fd, data)

    monkeypatch.setattr(files, "write", counted)
    site.content = b"PK" + bytes(2_000_000)
    if not told:
        pieces = [site.content[at : at + 1000] for at in range(0, len(site.content), 1000)]
        site.turns = {0: chunked(pieces)}
    limits = ArchiveLimits(total_size=10_000, directory_size=20_000)

    with pytest.raises(ArchiveLimitError, match="could have 50000 at most"):
        await make_reader(limits=limits).read(RESULT, staging)

    assert written <= (0 if told else 50_000)
    assert len(site.requests) == 1


@pytest.mark.parametrize("content", [b"<html>502 Bad Gateway</html>", b"P", b"X"])
async def test_what_does_not_begin_as_an_archive_is_not_spooled(
    content: bytes, site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = content

    with pytest.raises(TruncatedArchiveError if content == b"P" else ProtocolError):
        await make_reader().read(RESULT, staging)

    assert tree(staging.tree) == {}


# The disk


async def test_too_little_room_for_the_archive_is_found_before_it_is_spooled(
    site: ArchiveSite, staging: Staging, make_reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.content = pack(MEMBERS)
    monkeypatch.setattr(files, "free_bytes", lambda _: SPARE + 30_000)
    monkeypatch.setattr(files, "write", None)

    with pytest.raises(DiskFullError, match="147"):
        await make_reader().read(RESULT, staging)

    assert tree(staging.tree) == {}


async def test_a_kept_archive_needs_room_for_itself_and_its_members_before_its_first_byte(
    site: ArchiveSite,
    staging: Staging,
    make_reader: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site.content = pack(MEMBERS)
    monkeypatch.setattr(files, "free_bytes", lambda _: SPARE + len(site.content) * 3 // 2)
    monkeypatch.setattr(files, "write", None)

    with pytest.raises(DiskFullError, match="147"):
        await make_reader().read(RESULT, staging, keep_archive=keeping(tmp_path / "kept.zip"))

    assert tree(staging.tree) == {}
    assert not (tmp_path / "kept.zip").exists()


async def test_too_little_room_for_the_members_is_found_before_one_is_written(
    site: ArchiveSite, staging: Staging, make_reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Dense, so that there is room enough for the archive.
    site.content = pack({"zeros": bytes(1_000_000)}, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(files, "free_bytes", lambda _: SPARE + 100_000)

    with pytest.raises(DiskFullError):
        await make_reader().read(RESULT, staging)

    assert list(staging.tree.iterdir()) == []


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("kept", [True, False])
async def test_a_disk_that_fills_up_while_spooling_leaves_nothing(
    *,
    told: bool,
    kept: bool,
    site: ArchiveSite,
    staging: Staging,
    make_reader: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site.content = pack(MEMBERS)
    if not told:
        site.turns = {0: chunked([site.content[:9000], site.content[9000:]])}
    write = files.write
    written = 0

    def fill(fd: int, data: bytes | memoryview) -> None:
        nonlocal written
        written += len(data)
        if written > 20_000:
            write(fd, data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(fd, data)

    monkeypatch.setattr(files, "write", fill)
    before = open_handles()

    with pytest.raises(DiskFullError, match=r"task 147: .*the archive"):
        await make_reader().read(
            RESULT, staging, keep_archive=keeping(tmp_path / "kept.zip") if kept else None
        )

    assert tree(staging.tree) == {}
    check_area(staging)
    assert not (tmp_path / "kept.zip").exists()
    assert open_handles() <= before + 2


async def test_a_spool_that_cannot_be_made_fails_the_task(
    site: ArchiveSite, staging: Staging, make_reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.content = pack(MEMBERS)
    unlink = files.unlink

    def refuse(name: str, *, dir_fd: int) -> None:
        unlink(name, dir_fd=dir_fd)
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)

    monkeypatch.setattr(files, "unlink", refuse)
    before = open_handles()

    with pytest.raises(StoreError, match="Permission denied"):
        await make_reader().read(RESULT, staging)

    assert open_handles() <= before + 2


async def test_an_archive_that_is_kept_is_its_own_spool(
    *,
    site: ArchiveSite,
    staging: Staging,
    make_reader: Any,
    tmp_path: Path,
    break_once_read: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: Staging) -> None:
        raise AssertionError

    monkeypatch.setattr(Staging, "open_spool", refuse)
    site.content = pack(MEMBERS)
    site.cuts = {0: 10_000}
    kept = tmp_path / "kept.zip"

    await make_reader(emit=break_once_read).read(RESULT, staging, keep_archive=keeping(kept))

    assert tree(staging.tree) == MEMBERS
    assert kept.read_bytes() == site.content


async def test_a_kept_archive_that_somebody_shortens_meanwhile_fails_the_task(
    *,
    site: ArchiveSite,
    staging: Staging,
    make_reader: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_blocking_calls: BlockBuster,
) -> None:
    no_blocking_calls.deactivate()
    site.content = pack(MEMBERS)
    kept = tmp_path / "kept.zip"

    def shorten(*args: Any, **kwargs: Any) -> Any:
        directory = directory_of_file(*args, **kwargs)
        os.truncate(kept, 20_000)
        return directory

    monkeypatch.setattr(session, "directory_of_file", shorten)

    with pytest.raises(StoreError, match="became shorter"):
        await make_reader().read(RESULT, staging, keep_archive=keeping(kept))

    assert not kept.exists()


# Cancellations


@pytest.mark.parametrize("extracting", [True, False])
async def test_a_cancellation_leaves_whole_members_and_no_spool(
    extracting: bool,
    site: ArchiveSite,
    staging: Staging,
    make_reader: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site.content = pack(MEMBERS)
    before = open_handles()
    cut_off = anyio.Event()
    stuck = site.may_break = anyio.Event()
    if not extracting:
        site.cuts = {0: 10_000}
    if extracting:
        monkeypatch.setattr(spool, "PIECE_BYTES", 5000)
        extract = spool.extract_piece
        pieces = 0

        def note(*args: Any) -> None:
            nonlocal pieces
            extract(*args)
            pieces += 1
            if pieces == 3:
                anyio.from_thread.run_sync(cut_off.set)

        monkeypatch.setattr(session, "extract_piece", note)

    def tell(event: Event) -> None:
        if isinstance(event, TransferStarted) and not extracting:
            cut_off.set()

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: make_reader(emit=tell).read(RESULT, staging))
        await cut_off.wait()
        group.cancel_scope.cancel()
    stuck.set()

    left = tree(staging.tree)
    assert all(MEMBERS[name] == content for name, content in left.items())
    assert bool(left) == extracting
    check_area(staging)
    assert open_handles() <= before + 2
