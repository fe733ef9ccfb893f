"""Reuse of members of a committed folder, and of those that a killed run staged."""

from __future__ import annotations

import errno
import os
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from archive_site import RESULT, ArchiveSite, keeping, numbered

from asynccvat.archives import StagedArchive, reuse
from asynccvat.core.records.receipts import Receipt, ReceiptHead
from asynccvat.core.specs import ExportSpec
from asynccvat.core.wire.ranges import RangeOptions
from asynccvat.errors import DiskFullError, StoreError
from asynccvat.fs import files
from asynccvat.store import MirrorStore, Staging

pytestmark = pytest.mark.anyio

TASK = 147
IMAGES = numbered("images/", [70_000, 80_000, 60_000, 5_000])
OLD = {"annotations.xml": b"<old/>" * 1000} | IMAGES
NEW = {"annotations.xml": b"<new/>" * 1000} | IMAGES
ALL = sum(len(content) for content in IMAGES.values())


def pack(members: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def receipt_of(read: StagedArchive) -> Receipt:
    head = ReceiptHead(
        task_id=TASK,
        folder="task147",
        format="CVAT for images 1.1",
        images=True,
        updated_date="2026-11-23",
        origin="https://cvat.example.com",
        digest=read.digest,
        files=len(read.members),
        bytes=sum(member.size for member in read.members),
        requested_at="2026-11-23T11:00:00Z",
        committed_at="2026-11-23T11:00:01Z",
    )
    return Receipt(head, read.members)


@pytest.fixture
async def folder(site: ArchiveSite, store: MirrorStore, make_reader: Any) -> Path:
    """The task's folder as an earlier run committed it."""
    site.content = pack(OLD)
    staging = await store.stage(TASK)
    read: StagedArchive = await make_reader().read(RESULT, staging)
    committed = await store.commit(staging, receipt_of(read))
    site.content = pack(NEW)
    site.requests.clear()
    return committed.path


async def update(
    store: MirrorStore, make_reader: Any, **options: Any
) -> tuple[Staging, StagedArchive]:
    staging = await store.stage(TASK)
    read = await make_reader(RangeOptions(tail=2000, parallel=2), **options).read(RESULT, staging)
    assert tree(staging.tree) == NEW
    return staging, read


def is_linked(folder: Path, staging: Staging, name: str) -> bool:
    return (folder / name).samefile(staging.tree / name)


async def test_an_update_fetches_what_changed(
    folder: Path, store: MirrorStore, make_reader: Any
) -> None:
    staging, read = await update(store, make_reader)

    assert read.reused == ALL
    # The tail reaches into the images.
    assert read.transferred < len(NEW["annotations.xml"]) + 2000 + 50
    for name in IMAGES:
        assert is_linked(folder, staging, name)
    for record in read.members:
        assert record.mtime_ns == (staging.tree / record.path).stat().st_mtime_ns


@pytest.mark.parametrize("batch", [1, 140_000])
async def test_large_members_are_reused_in_batches(
    batch: int,
    folder: Path,
    store: MirrorStore,
    make_reader: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reuse, "_BATCH_BYTES", batch)

    staging, read = await update(store, make_reader)

    assert read.reused == ALL
    assert is_linked(folder, staging, "images/0002.bin")


@pytest.mark.usefixtures("folder")
async def test_the_previous_folder_predicts_the_first_request(
    site: ArchiveSite, store: MirrorStore, make_reader: Any
) -> None:
    staging = await store.stage(TASK)
    expected = staging.expected(ExportSpec("CVAT for images 1.1", images=True))
    reader = make_reader(RangeOptions(tail=100_000))
    read = await reader.read(RESULT, staging, expected=expected)
    assert tree(staging.tree) == NEW
    assert read.reused == ALL
    names = [name.encode() for name in NEW]
    end = sum(46 + len(name) for name in names) + 22
    assert [request.sent for request in site.requests] == [
        end + 64,
        30 + len(names[0]) + len(NEW["annotations.xml"]),
    ]


@pytest.mark.usefixtures("folder")
async def test_a_directory_that_grew_costs_one_more_small_request(
    site: ArchiveSite, store: MirrorStore, make_reader: Any
) -> None:
    grown = NEW | numbered("images/new", [1000] * 20)
    site.content = pack(grown)
    staging = await store.stage(TASK)
    expected = staging.expected(ExportSpec("CVAT for images 1.1", images=True))
    read = await make_reader(RangeOptions()).read(RESULT, staging, expected=expected)
    assert tree(staging.tree) == grown
    assert read.reused == ALL
    first, second, *rest = [request.sent for request in site.requests]
    assert max(first, second) < 2000
    assert len(rest) == 2
    assert read.transferred < len(site.content) - ALL


@pytest.mark.usefixtures("folder")
async def test_an_archive_smaller_than_the_first_request_comes_whole(
    site: ArchiveSite, store: MirrorStore, make_reader: Any
) -> None:
    site.content = pack({"a": b"b"})
    staging = await store.stage(TASK)
    expected = staging.expected(ExportSpec("CVAT for images 1.1", images=True))
    read = await make_reader(RangeOptions()).read(RESULT, staging, expected=expected)
    assert tree(staging.tree) == {"a": b"b"}
    assert [request.sent for request in site.requests] == [len(site.content)] == [read.transferred]


async def test_small_members_between_changed_ones_are_read_with_them(
    folder: Path, site: ArchiveSite, store: MirrorStore, make_reader: Any
) -> None:
    changed = {"annotations.xml", "images/0001.bin", "images/0003.bin"}
    content = {name: data[:-1] + b"!" if name in changed else data for name, data in NEW.items()}
    site.content = pack(content)
    staging = await store.stage(TASK)
    options = RangeOptions(tail=1000, request_bytes=65_000)
    read = await make_reader(options).read(RESULT, staging)
    assert tree(staging.tree) == content
    # What lies between the first two is worth a request, what lies between the others is not.
    assert read.reused == 70_000
    assert [is_linked(folder, staging, name) for name in IMAGES] == [True, False, False, False]
    assert len(site.requests) == 3


async def test_without_reuse_everything_is_fetched(
    folder: Path, site: ArchiveSite, store: MirrorStore, make_reader: Any
) -> None:
    staging, read = await update(store, make_reader, reuse=False)

    assert (read.reused, read.transferred) == (0, len(site.content))
    assert not is_linked(folder, staging, "images/0000.bin")


@pytest.mark.usefixtures("folder")
async def test_a_kept_archive_is_fetched_whole(
    site: ArchiveSite, store: MirrorStore, make_reader: Any, tmp_path: Path
) -> None:
    staging = await store.stage(TASK)

    read = await make_reader().read(RESULT, staging, keep_archive=keeping(tmp_path / "a.zip"))

    assert (read.reused, read.transferred) == (0, len(site.content))
    assert (tmp_path / "a.zip").read_bytes() == site.content


async def test_a_file_of_the_right_size_is_not_trusted_unread(
    folder: Path, store: MirrorStore, make_reader: Any
) -> None:
    image = folder / "images/0000.bin"
    status = image.stat()
    image.write_bytes(bytes(status.st_size))
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))

    _, read = await update(store, make_reader)

    assert read.reused == ALL - 70_000


async def test_files_that_are_gone_or_changed_or_links_are_fetched(
    folder: Path, store: MirrorStore, make_reader: Any, tmp_path: Path
) -> None:
    (folder / "images/0000.bin").unlink()
    (folder / "images/0001.bin").write_bytes(b"short")
    outside = tmp_path / "outside"
    (folder / "images/0002.bin").rename(outside)
    (folder / "images/0002.bin").symlink_to(outside)

    _, read = await update(store, make_reader)

    assert read.reused == 5_000  # the one that nobody touched


async def test_a_file_that_was_touched_is_copied_and_not_shared(
    folder: Path, store: MirrorStore, make_reader: Any
) -> None:
    touched, *others = IMAGES
    os.utime(folder / touched, ns=(0, 0))
    staging, read = await update(store, make_reader)
    assert read.reused == ALL
    assert not is_linked(folder, staging, touched)
    assert all(is_linked(folder, staging, other) for other in others)


async def test_what_cannot_be_linked_is_copied(
    folder: Path, store: MirrorStore, make_reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMLINK, "Too many links")

    monkeypatch.setattr(files, "link", refuse)

    staging, read = await update(store, make_reader)

    assert read.reused == ALL
    assert not is_linked(folder, staging, "images/0000.bin")


@pytest.mark.usefixtures("folder")
async def test_a_copy_that_finds_no_room_ends_the_session(
    store: MirrorStore, make_reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMLINK, "Too many links")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "link", refuse)
    monkeypatch.setattr(files, "write", full)
    staging = await store.stage(TASK)

    with pytest.raises(DiskFullError):
        await make_reader().read(RESULT, staging)

    assert tree(staging.tree) == {}


async def test_a_file_replaced_while_it_is_linked_is_not_reused(
    folder: Path, store: MirrorStore, make_reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.link

    def replace_and_link(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
        if name == "0000.bin":
            files.unlink(name, dir_fd=dir_fd)
            os.close(files.open_for_writing(name, dir_fd=dir_fd))
        real(name, new_name, dir_fd=dir_fd, new_dir_fd=new_dir_fd)

    monkeypatch.setattr(files, "link", replace_and_link)

    staging, _ = await update(store, make_reader)

    assert not is_linked(folder, staging, "images/0000.bin")


def edit_in_place(file: Path) -> bytes:
    """Change a file's first byte under all its names, as an editor that rewrites it does."""
    with file.open("r+b") as stream:
        stream.write(b"!")
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    return file.read_bytes()


async def test_a_file_edited_while_it_is_linked_is_not_reused(
    folder: Path, store: MirrorStore, make_reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.link

    def edit_and_link(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
        if name == "0000.bin":
            edit_in_place(folder / "images/0000.bin")
        real(name, new_name, dir_fd=dir_fd, new_dir_fd=new_dir_fd)

    monkeypatch.setattr(files, "link", edit_and_link)

    staging, read = await update(store, make_reader)

    assert not is_linked(folder, staging, "images/0000.bin")
    assert read.reused == ALL - 70_000


async def test_a_link_that_cannot_be_looked_at_is_removed_and_its_member_fetched(
    folder: Path, store: MirrorStore, make_reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    real = files.lstat

    def fail_once(name: str, *, dir_fd: int) -> os.stat_result | None:
        if name == "0001.bin" and not looked:
            looked.append(name)
            raise OSError(errno.EIO, "Input/output error")
        return real(name, dir_fd=dir_fd)

    monkeypatch.setattr(files, "lstat", fail_once)
    staging, _ = await update(store, make_reader)
    assert looked, "it was linked"
    assert tree(staging.tree) == NEW
    assert not is_linked(folder, staging, "images/0001.bin")
    assert is_linked(folder, staging, "images/0000.bin")


async def test_a_file_edited_after_it_was_linked_is_not_published_and_not_lost(
    folder: Path, store: MirrorStore, make_reader: Any
) -> None:
    staging, read = await update(store, make_reader)
    edited = edit_in_place(folder / "images/0000.bin")
    receipt = receipt_of(read)
    with pytest.raises(StoreError, match=r"images/0000\.bin.*Run again"):
        await store.commit(staging, receipt)
    await store.abandon(staging, keep=True)
    assert tree(folder) == OLD | {"images/0000.bin": edited}

    staging, read = await update(store, make_reader)
    await store.commit(staging, receipt_of(read))

    assert tree(folder) == NEW
    (aside,) = (store.path / ".asynccvat/kept").iterdir()
    assert tree(aside) == {"images/0000.bin": edited}


async def test_a_file_that_changes_while_it_is_copied_is_fetched(
    folder: Path, store: MirrorStore, make_reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change_and_refuse(name: str, *_: object, **__: object) -> None:
        if name == "0000.bin":
            (folder / "images/0000.bin").write_bytes(b"changed" * 10_000)
        raise OSError(errno.EMLINK, "Too many links")

    monkeypatch.setattr(files, "link", change_and_refuse)

    _, read = await update(store, make_reader)

    assert read.reused == ALL - 70_000


async def test_what_a_killed_run_staged_is_reused(
    site: ArchiveSite, store: MirrorStore, make_reader: Any
) -> None:
    site.content = pack(NEW)
    left = store.path / ".asynccvat/staging/147/tree/images"
    left.mkdir(parents=True)
    (left / "0000.bin").write_bytes(IMAGES["images/0000.bin"])
    (left / "0001.bin").write_bytes(bytes(80_000))
    (left / "0002.bin").write_bytes(IMAGES["images/0002.bin"][:-1])

    _, read = await update(store, make_reader)

    assert read.reused == 70_000


@pytest.mark.usefixtures("folder")
async def test_a_link_where_a_folder_should_be_made_is_refused(
    store: MirrorStore, make_reader: Any, tmp_path: Path
) -> None:
    staging = await store.stage(TASK)
    (tmp_path / "outside").mkdir()
    (staging.tree / "images").symlink_to(tmp_path / "outside")

    with pytest.raises(StoreError):
        await make_reader().read(RESULT, staging)

    assert tree(tmp_path / "outside") == {}
