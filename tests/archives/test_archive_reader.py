"""Archives over HTTP into staged trees: ranges, breaks, changes and refusals."""

from __future__ import annotations

import errno
import json
import os
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from archive_site import RESULT, ArchiveSite, FakeTime, keeping, numbered
from blockbuster import BlockBuster

from asynccvat.archives import StagedArchive, receiving
from asynccvat.archives.kept_copy import archive_copy
from asynccvat.core.wire.ranges import RangeOptions
from asynccvat.core.zip import ArchiveLimits
from asynccvat.errors import (
    ArchiveLimitError,
    DiskFullError,
    ExportExpiredError,
    ExportNotReadyError,
    IntegrityError,
    PermissionDeniedError,
    ProtocolError,
    ReadError,
    StoreError,
    TruncatedArchiveError,
    UnsafePathError,
)
from asynccvat.events import Event, Retrying, TransferProgress, TransferStarted
from asynccvat.fs import files
from asynccvat.store import Staging

pytestmark = pytest.mark.anyio

SMALL = RangeOptions(tail=2000, parallel=1)
MEMBERS = {"annotations.xml": b"<annotations/>" * 40} | numbered("images/train/", [3000] * 12)


def pack(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive; names that end in a slash are directories."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return buffer.getvalue()


def tree(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def folders(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_dir()}


def check_read(read: StagedArchive, staging: Staging, members: dict[str, bytes]) -> None:
    """The tree holds just these members, and so do the records."""
    wanted = {name: content for name, content in members.items() if not name.endswith("/")}
    assert tree(staging.tree) == wanted
    assert [record.path for record in read.members] == list(wanted)
    for record in read.members:
        status = (staging.tree / record.path).stat()
        content = wanted[record.path]
        assert (record.size, record.crc) == (len(content), zlib.crc32(content))
        assert record.mtime_ns == status.st_mtime_ns
        assert record.size == status.st_size


def open_handles() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, no paths


# The plain ways


async def test_a_small_archive_comes_in_one_request(
    site: ArchiveSite, staging: Staging, make_reader: Any, events: list[Event]
) -> None:
    site.content = pack(MEMBERS)

    read = await make_reader(RangeOptions()).read(RESULT, staging)

    check_read(read, staging, MEMBERS)
    assert [request.range for request in site.requests] == ["bytes=-262144"]
    assert read.transferred == len(site.content)
    size = len(site.content)
    assert events == [TransferStarted(147, size, 0), TransferProgress(147, size)]


async def test_an_empty_zip_archive_makes_an_empty_tree(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = pack({})

    read = await make_reader().read(RESULT, staging)

    check_read(read, staging, {})


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
async def test_a_larger_archive_comes_tail_first_and_no_byte_twice(
    method: int, site: ArchiveSite, staging: Staging, make_reader: Any, events: list[Event]
) -> None:
    site.content = pack(MEMBERS | {"big.bin": os.urandom(9000)}, method)
    members = MEMBERS | {"big.bin": site.content and tree_of(site.content)["big.bin"]}

    read = await make_reader(SMALL).read(RESULT, staging)

    check_read(read, staging, members)
    assert [request.range for request in site.requests] == [
        "bytes=-2000",
        f"bytes=0-{len(site.content) - 2001}",
    ]
    assert site.requests[1].if_range == site.etag
    assert read.transferred == len(site.content)
    assert TransferStarted(147, len(site.content), 0) in events
    progress = [event.transferred for event in events if isinstance(event, TransferProgress)]
    assert sum(progress) == len(site.content)


def tree_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return {
            info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()
        }


async def test_members_that_lie_in_the_tail_are_not_fetched(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = pack(MEMBERS)

    read = await make_reader(RangeOptions(tail=20_000, parallel=1)).read(RESULT, staging)

    check_read(read, staging, MEMBERS)
    assert read.transferred == len(site.content)


async def test_a_longer_tail_is_fetched_if_the_directory_is_longer(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    members = numbered("images/", [200] * 100)
    site.content = pack(members)

    read = await make_reader(RangeOptions(tail=500, parallel=1)).read(RESULT, staging)

    check_read(read, staging, members)
    assert len(site.requests) == 3
    assert read.transferred == len(site.content)


async def test_a_large_archive_is_fetched_by_several_requests_at_once(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = pack(MEMBERS)

    read = await make_reader(RangeOptions(tail=2000, parallel=4, divide_from=1000)).read(
        RESULT, staging
    )

    check_read(read, staging, MEMBERS)
    assert len(site.requests) == 5
    assert read.transferred == len(site.content)


@pytest.mark.usefixtures("way")
async def test_what_comes_in_many_batches_is_written_in_order(
    site: ArchiveSite,
    staging: Staging,
    make_reader: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(receiving, "_BATCH_BYTES", 10_000)
    members = numbered("images/", [200_000] * 20)
    site.content = pack(members)

    read = await make_reader(RangeOptions(tail=5000, parallel=2, divide_from=1_000_000)).read(
        RESULT, staging
    )

    check_read(read, staging, members)


@pytest.mark.usefixtures("way")
async def test_directories_of_the_archive_are_made(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    members = {"empty/": b"", "a/b/": b""} | MEMBERS
    site.content = pack(members)

    read = await make_reader().read(RESULT, staging)

    check_read(read, staging, members)
    assert folders(staging.tree) == {"empty", "a", "a/b", "images", "images/train"}


async def test_many_folders_keep_few_handles_open(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    members = {f"a/{number}/b/{number}.txt": b"x" * number for number in range(40)}
    site.content = pack(members)
    before = open_handles()

    read = await make_reader(RangeOptions()).read(RESULT, staging)

    check_read(read, staging, members)
    assert open_handles() <= before + 2  # the client's connection


async def test_recorded_archives_give_what_zipfile_reads(
    site: ArchiveSite, store: Any, make_reader: Any, shared: Path, no_blocking_calls: BlockBuster
) -> None:
    no_blocking_calls.deactivate()  # the test itself reads files
    exports = shared / "contract" / "exports"
    recorded = json.loads((exports / "index.json").read_text())
    assert recorded
    for number, entry in enumerate(recorded, start=1000):
        site.content = (exports / entry["file"]).read_bytes()
        for ranges in (RangeOptions(), RangeOptions(tail=4000, divide_from=20_000)):
            staging = await store.stage(number)
            read = await make_reader(ranges).read(RESULT, staging)
            check_read(read, staging, tree_of(site.content))
            await store.abandon(staging, keep=False)


# Breaks


async def test_a_broken_range_resumes_where_it_broke(
    site: ArchiveSite, staging: Staging, make_reader: Any, events: list[Event]
) -> None:
    site.content = pack(MEMBERS)
    site.cuts = {1: 10_001, 2: 1}

    read = await make_reader().read(RESULT, staging)

    check_read(read, staging, MEMBERS)
    last = len(site.content) - 2001
    assert [request.range for request in site.requests] == [
        "bytes=-2000",
        f"bytes=0-{last}",
        f"bytes=10001-{last}",
        f"bytes=10002-{last}",
    ]
    assert all(request.if_range == site.etag for request in site.requests[1:])
    assert read.transferred == len(site.content)
    assert [event.step for event in events if isinstance(event, Retrying)] == ["download"] * 2


async def test_a_weak_etag_makes_no_condition(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content, site.etag = pack(MEMBERS), 'W/"1"'

    read = await make_reader().read(RESULT, staging)

    check_read(read, staging, MEMBERS)
    assert site.requests[1].if_range == ""


async def test_a_connection_that_keeps_breaking_is_given_up(
    site: ArchiveSite, staging: Staging, make_reader: Any, fake_time: FakeTime
) -> None:
    site.content = pack(MEMBERS)
    site.cuts = dict.fromkeys(range(1, 20), 5000)
    before = open_handles()

    with pytest.raises(ReadError) as raised:
        await make_reader(retries=2).read(RESULT, staging)

    assert raised.value.task_id == 147
    assert len(fake_time.slept) == 2
    # 15,000 bytes came: whole members stay for the next time, and nothing of the others.
    left = tree(staging.tree)
    assert left
    assert all(MEMBERS[name] == content for name, content in left.items())
    assert open_handles() <= before + 2


async def test_a_tail_that_breaks_is_fetched_again(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = pack(MEMBERS)
    site.cuts = {0: 100}

    read = await make_reader().read(RESULT, staging)

    check_read(read, staging, MEMBERS)


# Changes


async def test_another_etag_of_equal_bytes_costs_one_more_tail(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = pack(MEMBERS)
    site.cuts = {1: 12_345}
    site.becomes(2, etag='"2"')

    read = await make_reader().read(RESULT, staging)

    check_read(read, staging, MEMBERS)
    assert [request.status for request in site.requests] == [206, 206, 200, 206, 206]
    assert site.requests[4].range.startswith("bytes=12345-")
    assert site.requests[4].if_range == '"2"'
    assert read.transferred == len(site.content) + 2000


async def test_of_a_changed_archive_only_what_differs_is_fetched(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    old = {"gone/": b"", "gone/too.txt": b"too" * 800, "kept.txt": b"kept" * 800} | MEMBERS
    new = {"kept.txt": b"kept" * 800, "gone": b"a file now"} | MEMBERS
    new["images/train/0001.bin"] = b"other" * 700
    site.content = pack(old)
    site.cuts = {1: 20_000}
    site.becomes(2, pack(new), etag='"2"')

    read = await make_reader(RangeOptions(tail=2500, parallel=1, request_bytes=0)).read(
        RESULT, staging
    )

    check_read(read, staging, new)
    assert folders(staging.tree) == {"images", "images/train"}
    assert sum(request.sent for request in site.requests[3:]) < len(site.content) - 9000


async def test_an_archive_that_shrank_is_read_again(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = pack(MEMBERS)
    site.heeds_if_range = False
    site.cuts = {1: 30_000}
    smaller = {"annotations.xml": b"<annotations/>"}
    site.becomes(2, pack(smaller), etag='"2"')

    read = await make_reader().read(RESULT, staging)

    assert site.requests[2].status == 416
    check_read(read, staging, smaller)


async def test_a_range_of_another_archive_is_not_taken(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content, site.etag = pack(MEMBERS), ""
    site.heeds_if_range = False
    longer = {"new.txt": b"new" * 1000} | MEMBERS
    site.cuts = {1: 9000}
    site.becomes(2, pack(longer), etag="")

    read = await make_reader().read(RESULT, staging)

    check_read(read, staging, longer)


async def test_an_archive_that_changes_every_time_is_given_up(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = pack(MEMBERS)
    for number in range(1, 100, 2):
        site.becomes(number, etag=f'"{number + 1}"')

    with pytest.raises(ProtocolError, match="the archive changed 11 times") as raised:
        await make_reader().read(RESULT, staging)

    assert raised.value.task_id == 147


NOT_READY = (400, "The export process is not finished", "text/html")
EXPIRED = (404, '"The exported file has expired, please retry exporting"', "application/json")


@pytest.mark.parametrize(
    ("refusal", "error"), [(NOT_READY, ExportNotReadyError), (EXPIRED, ExportExpiredError)]
)
async def test_the_next_export_resumes_a_result_that_is_gone(
    refusal: tuple[int, str, str],
    error: type[Exception],
    site: ArchiveSite,
    staging: Staging,
    make_reader: Any,
) -> None:
    site.content = pack(MEMBERS)
    site.cuts = {1: 20_000}
    site.refuses(2, *refusal)
    reader = make_reader()
    with pytest.raises(error):
        await reader.read(RESULT, staging)
    site.etag = '"2"'

    read = await reader.read(RESULT, staging)

    check_read(read, staging, MEMBERS)
    # The member that was under way is fetched from its start.
    assert read.transferred < len(site.content) - 20_000 + 3100 + 2000


# Bad archives


@pytest.mark.usefixtures("way")
async def test_what_is_no_archive_is_a_protocol_error(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = b"<html>502 Bad Gateway</html>"

    with pytest.raises(ProtocolError, match="starts with b'<html>502") as raised:
        await make_reader().read(RESULT, staging)

    assert raised.value.task_id == 147
    assert tree(staging.tree) == {}


async def test_a_compressed_transfer_is_refused(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content, site.encoding = pack(MEMBERS), "gzip"

    with pytest.raises(ProtocolError):
        await make_reader().read(RESULT, staging)


async def test_an_empty_answer_is_a_truncated_archive(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = b""

    with pytest.raises(TruncatedArchiveError, match="empty"):
        await make_reader().read(RESULT, staging)


async def test_refusals_pass_through(site: ArchiveSite, staging: Staging, make_reader: Any) -> None:
    site.content = pack(MEMBERS)
    refused = '{"detail":"You do not have permission to perform this action."}'
    site.refuses(1, 403, refused, "application/vnd.cvat+json")

    with pytest.raises(PermissionDeniedError):
        await make_reader().read(RESULT, staging)

    site.refuses(2, 403, refused, "application/vnd.cvat+json")
    with pytest.raises(PermissionDeniedError):
        await make_reader().read(RESULT, staging)


def damaged(content: bytes, member: str) -> bytes:
    """Flip a bit in the middle of a member's data."""
    at = content.index(MEMBERS[member]) + len(MEMBERS[member]) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


async def test_a_damaged_member_is_fetched_again_and_nothing_else(
    site: ArchiveSite, staging: Staging, make_reader: Any, events: list[Event]
) -> None:
    good = pack(MEMBERS)
    site.content = damaged(good, "images/train/0011.bin")

    async def repair() -> None:
        site.content = good

    site.turns = {2: repair}

    read = await make_reader(RangeOptions(tail=2000, parallel=1)).read(RESULT, staging)

    check_read(read, staging, MEMBERS)
    assert site.requests[3].sent < 3100
    assert [event.step for event in events if isinstance(event, Retrying)] == ["extract"]


@pytest.mark.parametrize("ranges", [RangeOptions(), SMALL])
async def test_a_lasting_damage_names_the_task_and_the_member(
    ranges: RangeOptions, site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = damaged(pack(MEMBERS), "images/train/0003.bin")

    with pytest.raises(IntegrityError) as raised:
        await make_reader(ranges).read(RESULT, staging)

    assert (raised.value.task_id, raised.value.member) == (147, "images/train/0003.bin")
    assert "images/train/0003.bin" not in tree(staging.tree)


async def test_an_unsafe_name_stops_a_large_archive_before_the_first_write(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = pack(MEMBERS | {"../outside": b"x" * 4000})

    with pytest.raises(UnsafePathError) as raised:
        await make_reader().read(RESULT, staging)

    assert raised.value.task_id == 147
    assert len(site.requests) == 1
    assert tree(staging.tree) == {}


async def test_limits_stop_an_archive_before_the_first_write(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = pack(MEMBERS)

    with pytest.raises(ArchiveLimitError):
        await make_reader(limits=ArchiveLimits(total_size=10_000)).read(RESULT, staging)

    assert len(site.requests) == 1
    assert tree(staging.tree) == {}


# The disk


@pytest.mark.usefixtures("way")
async def test_too_little_room_is_found_before_the_first_write(
    site: ArchiveSite,
    staging: Staging,
    make_reader: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site.content = pack(MEMBERS)
    monkeypatch.setattr(files, "free_bytes", lambda _: 16 * 2**20 + 30_000)

    with pytest.raises(DiskFullError) as raised:
        await make_reader().read(RESULT, staging)

    assert raised.value.task_id == 147
    assert tree(staging.tree) == {}


async def test_a_disk_that_fills_up_leaves_no_part_of_a_member(
    site: ArchiveSite, staging: Staging, make_reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.content = pack(MEMBERS)
    real = files.write
    written = 0

    def write(fd: int, data: bytes | memoryview) -> None:
        nonlocal written
        written += len(data)
        if written > 20_000:
            raise OSError(28, "No space left on device")
        real(fd, data)

    monkeypatch.setattr(files, "write", write)
    before = open_handles()

    with pytest.raises(DiskFullError):
        await make_reader().read(RESULT, staging)

    left = tree(staging.tree)
    assert left
    assert all(MEMBERS[name] == content for name, content in left.items())
    assert open_handles() <= before + 2


async def test_a_link_planted_in_the_tree_is_not_followed(
    site: ArchiveSite, staging: Staging, make_reader: Any, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (staging.tree / "images").symlink_to(tmp_path / "outside")
    site.content = pack(MEMBERS)

    with pytest.raises(StoreError):
        await make_reader().read(RESULT, staging)

    assert tree(tmp_path / "outside") == {}


async def test_a_tree_that_vanishes_is_a_store_error(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = pack(MEMBERS)

    async def remove() -> None:
        staging.tree.rename(staging.tree.with_name("elsewhere"))

    site.turns = {0: remove}

    with pytest.raises(StoreError, match="cannot fill") as raised:
        await make_reader().read(RESULT, staging)

    assert raised.value.task_id == 147


# Cancelling


async def test_a_cancelled_session_leaves_whole_members_only(
    site: ArchiveSite, staging: Staging, make_reader: Any
) -> None:
    site.content = pack(MEMBERS)
    site.cuts = {1: 10_000}
    asked = anyio.Event()

    async def hold() -> web.Response | None:
        asked.set()
        await anyio.sleep_forever()
        return None

    site.turns = {2: hold}
    before = open_handles()

    async with anyio.create_task_group() as group:
        group.start_soon(make_reader().read, RESULT, staging)
        await asked.wait()
        group.cancel_scope.cancel()

    left = tree(staging.tree)
    assert left
    assert all(MEMBERS[name] == content for name, content in left.items())
    assert open_handles() <= before + 2


# Keeping the archive


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("tail", [2000, 2**18])
async def test_a_kept_archive_is_the_servers_own(
    tail: int,
    site: ArchiveSite,
    staging: Staging,
    make_reader: Any,
) -> None:
    site.content = pack(MEMBERS)
    site.cuts = {1: 9999}
    kept = staging.tree.parent / "kept.zip"

    read = await make_reader(RangeOptions(tail=tail, divide_from=1000)).read(
        RESULT, staging, keep_archive=keeping(kept)
    )

    check_read(read, staging, MEMBERS)
    assert kept.read_bytes() == site.content


async def test_a_kept_archive_never_mixes_two_versions(
    site: ArchiveSite, staging: Staging, make_reader: Any, tmp_path: Path
) -> None:
    site.content = pack(MEMBERS)
    site.cuts = {1: 9999}
    # The same members; other bytes between them, as other entry times would be.
    renewed = bytearray(site.content)
    for at in range(len(renewed) - 4):
        if renewed[at : at + 4] == b"PK\x03\x04":
            renewed[at + 10] ^= 1
    site.becomes(2, bytes(renewed), etag='"2"')
    kept = tmp_path / "kept.zip"

    read = await make_reader().read(RESULT, staging, keep_archive=keeping(kept))

    check_read(read, staging, MEMBERS)
    assert kept.read_bytes() == bytes(renewed)


async def test_a_failed_session_keeps_no_archive(
    site: ArchiveSite, staging: Staging, make_reader: Any, tmp_path: Path
) -> None:
    site.content = pack(MEMBERS)
    site.refuses(1, 400, "The export process is not finished")

    with pytest.raises(ExportNotReadyError):
        await make_reader().read(RESULT, staging, keep_archive=keeping(tmp_path / "kept.zip"))

    assert not (tmp_path / "kept.zip").exists()


async def test_an_archive_that_cannot_be_removed_is_a_note_to_why_it_is_not_kept(
    site: ArchiveSite,
    staging: Staging,
    make_reader: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site.content = pack(MEMBERS)
    site.refuses(1, 400, "The export process is not finished")

    def refuse(name: str, *, dir_fd: int) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name, dir_fd)

    monkeypatch.setattr(files, "unlink", refuse)
    with pytest.raises(ExportNotReadyError) as caught:
        await make_reader().read(RESULT, staging, keep_archive=keeping(tmp_path / "kept.zip"))

    (note,) = caught.value.__notes__
    assert f"cannot remove {str(tmp_path / 'kept.zip')!r}" in note


async def test_an_archive_that_cannot_be_closed_is_removed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        async with archive_copy(keeping(tmp_path / "kept.zip"), 1) as copy:
            close = copy._file.close

            async def closing() -> None:
                await close()
                raise OSError(errno.EIO, os.strerror(errno.EIO))

            monkeypatch.setattr(copy._file, "close", closing)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        await fail()

    (note,) = caught.value.__notes__
    assert f"task 1: cannot close {str(tmp_path / 'kept.zip')!r}" in note
    assert not (tmp_path / "kept.zip").exists()


async def test_a_kept_archive_replaces_nothing(
    site: ArchiveSite, staging: Staging, make_reader: Any, tmp_path: Path
) -> None:
    site.content = pack(MEMBERS)
    (tmp_path / "kept.zip").write_text("somebody's")

    with pytest.raises(StoreError, match=r"kept\.zip"):
        await make_reader().read(RESULT, staging, keep_archive=keeping(tmp_path / "kept.zip"))

    assert (tmp_path / "kept.zip").read_text() == "somebody's"


async def test_all_archives_share_the_bandwidth(
    site: ArchiveSite, store: Any, make_reader: Any, fake_time: FakeTime
) -> None:
    site.content = pack(MEMBERS)
    reader = make_reader(bandwidth=10_000)

    async with anyio.create_task_group() as group:
        for task_id in (1, 2):
            group.start_soon(reader.read, RESULT, await store.stage(task_id))

    # Sleeping moves the clock for both, so that they sleep about half as long each.
    assert sum(fake_time.slept) >= (2 * len(site.content) - 2500) / 10_000
