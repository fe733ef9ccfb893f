"""Members are extracted whole, and nothing else, whatever the size of the chunks."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynccvat.archives.extractor import Extractor, Folders, StagedFiles
from asynccvat.core.paths import NameRules
from asynccvat.core.zip import ArchiveLimits, Directory, ZipReader, read_directory
from asynccvat.errors import DiskFullError, StoreError
from asynccvat.fs import files

NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    fd = files.open_directory(folder)
    try:
        yield fd
    finally:
        os.close(fd)


def pack(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def directory_of(content: bytes) -> Directory:
    directory = read_directory(content, len(content), limits=ArchiveLimits(), rules=NameRules())
    assert isinstance(directory, Directory)
    return directory


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def reader_of(content: bytes) -> ZipReader:
    directory = directory_of(content)
    return ZipReader(directory, directory.entries, ArchiveLimits())


def members_of(content: bytes) -> bytes:
    return content[: directory_of(content).start]


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(NAMES, st.binary(max_size=300), max_size=6),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    st.sampled_from([1, 7, 100, 65_536]),
)
def test_any_chunks_give_the_same_tree(members: dict[str, bytes], method: int, step: int) -> None:
    # A name that is also a folder cannot be in an archive that is accepted.
    members = {
        name: content
        for name, content in members.items()
        if not any(other.startswith(f"{name}/") for other in members)
    }
    content = pack(members, method)
    directory = directory_of(content)
    end = directory.start
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as root:
        staged = StagedFiles(1, root)
        extractor = Extractor(reader_of(content), staged)
        extractor.feed(content[at : min(at + step, end)] for at in range(0, end, step))
        extractor.finish()
        assert tree(Path(folder)) == members
        assert [record.path for record in staged.in_order(directory)] == list(members)


def test_an_abandoned_member_leaves_nothing(tmp_path: Path) -> None:
    content = pack({"whole": b"w" * 100, "deep/part": b"p" * 100})
    with opened(tmp_path) as root:
        staged = StagedFiles(1, root)
        extractor = Extractor(reader_of(content), staged)
        extractor.feed([content[:230]])
        assert (tmp_path / "deep/part").exists()

        extractor.abandon()
        extractor.abandon()

    assert tree(tmp_path) == {"whole": b"w" * 100}
    assert list(staged.records) == ["whole"]


def test_no_folder_stays_of_a_member_that_was_abandoned(tmp_path: Path) -> None:
    first, second = pack({"a/b/c": b"c" * 1000}), pack({"a": b"a file", "d/e": b"e"})
    with opened(tmp_path) as root:
        staged = StagedFiles(1, root)
        extractor = Extractor(reader_of(first), staged)
        extractor.feed([first[:500]])
        extractor.abandon()
        directory = directory_of(second)
        staged.reconcile(directory)
        assert list(tmp_path.iterdir()) == []

        extractor = Extractor(reader_of(second), staged)
        extractor.feed([members_of(second)])
        extractor.finish()
        staged.reconcile(directory)
    assert tree(tmp_path) == {"a": b"a file", "d/e": b"e"}


def test_a_member_that_fails_as_it_is_closed_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = pack({"member": b"m" * 100})
    real = os.close
    with opened(tmp_path) as root:
        staged = StagedFiles(1, root)
        extractor = Extractor(reader_of(content), staged)
        extractor.feed([content[:100]])

        def full(fd: int) -> None:
            real(fd)
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "close", full)
            with pytest.raises(DiskFullError):
                extractor.feed([members_of(content)[100:]])
        extractor.abandon()

    assert tree(tmp_path) == {}
    assert staged.records == {}


def test_a_staged_member_is_checked_and_not_written(tmp_path: Path) -> None:
    content = pack({"a": b"a" * 10, "b": b"b" * 10})
    with opened(tmp_path) as root:
        staged = StagedFiles(1, root)
        first = Extractor(reader_of(content), staged)
        first.feed([content[:50]])
        first.abandon()
        inode = (tmp_path / "a").stat().st_ino

        second = Extractor(reader_of(content), staged)
        second.feed([members_of(content)])
        second.finish()

    assert (tmp_path / "a").stat().st_ino == inode
    assert tree(tmp_path) == {"a": b"a" * 10, "b": b"b" * 10}


def test_a_staged_member_of_other_content_is_replaced(tmp_path: Path) -> None:
    with opened(tmp_path) as root:
        staged = StagedFiles(1, root)
        for content in (b"old", b"newer"):
            archive = pack({"a": content})
            extractor = Extractor(reader_of(archive), staged)
            extractor.feed([members_of(archive)])
            extractor.finish()

    assert tree(tmp_path) == {"a": b"newer"}


def test_a_file_that_is_not_ours_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("somebody's")
    with opened(tmp_path) as root:
        archive = pack({"a": b"ours"})
        extractor = Extractor(reader_of(archive), StagedFiles(1, root))
        with pytest.raises(StoreError, match="a"):
            extractor.feed([members_of(archive)])
        extractor.abandon()

    assert (tmp_path / "a").read_text() == "somebody's"


def test_a_bounded_number_of_folders_is_open(tmp_path: Path) -> None:
    with opened(tmp_path) as root:
        folders = Folders(root)
        for number in range(100):
            folders.get(f"{number % 30}/deep/{number}")
        assert len(folders._open) <= 16
        assert folders.get("") == root
        folders.close()
    assert sum(path.is_dir() for path in tmp_path.rglob("*")) == 30 + 30 + 100
