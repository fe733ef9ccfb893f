"""The system calls behind the store, their errors in words, and the names that can be held."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from destinations import Disk

from asynccvat.core.paths import NameRules
from asynccvat.core.plans.mirror import FolderState
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.errors import DiskFullError, StoreError
from asynccvat.fs import disk_errors, files, system_calls
from asynccvat.store import name_probe, trees


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = files.open_directory(tmp_path)
    yield fd
    os.close(fd)


def test_writing_goes_on_where_the_system_wrote_a_part(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data[:3])))
    fd = files.open_for_writing("a", dir_fd=folder)
    files.write(fd, memoryview(b"0123456789"))
    os.close(fd)
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_nothing_is_opened_through_a_link(tmp_path: Path, folder: int) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").symlink_to("real/file")
    with pytest.raises(OSError, match=r"directory|symbolic"):
        files.open_folder("link", dir_fd=folder)
    for attempt in (files.open_for_reading, files.open_for_writing, files.open_or_create):
        with pytest.raises(OSError, match=r"symbolic|exists"):
            attempt("file", dir_fd=folder)
    with (
        pytest.raises(OSError, match=r"directory|symbolic"),
        files.folder("real/../link/x", dir_fd=folder),
    ):
        pass
    with files.folder("", dir_fd=folder) as fd:
        assert files.names(fd) == ["file", "link", "real"]


def test_a_pipe_is_not_waited_for(tmp_path: Path, folder: int) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        files.read_file("pipe", dir_fd=folder)


def test_two_names_are_exchanged(tmp_path: Path, folder: int) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").mkdir()
    try:
        files.exchange("a", "b", dir_fd=folder, new_dir_fd=folder)
    except OSError as error:
        assert disk_errors.is_unsupported(error)  # noqa: PT017 - the other way that it may end
        pytest.skip("this file system exchanges nothing")
    assert (tmp_path / "a").is_dir()
    assert (tmp_path / "b").read_bytes() == b"a"
    with pytest.raises(FileNotFoundError):
        files.exchange("a", "none", dir_fd=folder, new_dir_fd=folder)


class Library:
    """A C library that has only what a test says."""

    def __init__(self, **calls: Any) -> None:
        self.called: list[tuple[str, tuple[Any, ...]]] = []
        for name, result in calls.items():
            setattr(self, name, self._call(name, result))

    def _call(self, name: str, result: int) -> Any:
        def call(*args: Any) -> int:
            self.called.append((name, tuple(getattr(arg, "value", arg) for arg in args)))
            return result

        return call


@pytest.mark.parametrize(
    ("system", "library", "machine", "expected"),
    [
        ("linux", Library(renameat2=0), "any", ("renameat2", (3, b"a", 4, b"b", 2))),
        ("linux", Library(syscall=0), "x86_64", ("syscall", (316, 3, b"a", 4, b"b", 2))),
        ("linux", Library(syscall=0), "vax", None),
        ("darwin", Library(renameatx_np=0), "arm64", ("renameatx_np", (3, b"a", 4, b"b", 2))),
        ("darwin", Library(), "arm64", None),
    ],
)
def test_each_system_has_its_own_call_for_an_exchange(
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    library: Library,
    machine: str,
    expected: tuple[str, tuple[Any, ...]] | None,
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(system_calls, "_libc", lambda: library)
    exchange = system_calls._NameExchange()
    if expected is None:
        with pytest.raises(OSError, match="cannot exchange") as unsupported:
            exchange(3, b"a", 4, b"b")
        assert disk_errors.is_unsupported(unsupported.value)
    else:
        exchange(3, b"a", 4, b"b")
        assert library.called == [expected]


def test_a_file_system_is_synced_whole(folder: int) -> None:
    if not system_calls.can_sync_filesystem(folder):
        pytest.skip("syncfs is not to be trusted here")
    files.sync_filesystem(folder)
    with pytest.raises(OSError, match="syncfs"):
        files.sync_filesystem(-1)


@pytest.mark.parametrize(
    ("system", "kernel", "library"),
    [
        ("darwin", "23.1.0", Library(syncfs=0, fstatfs=0)),
        ("linux", "5.7.19-generic", Library(syncfs=0, fstatfs=0)),
        ("linux", "6.1", Library(fstatfs=0)),
        ("linux", "6.1", Library(syncfs=0, fstatfs=-1)),
        ("linux", "6.1", Library(syncfs=0, fstatfs=0)),  # of type 0, which is nothing known
    ],
)
def test_syncfs_is_trusted_only_where_it_reaches_the_disk_and_tells_errors(
    monkeypatch: pytest.MonkeyPatch, system: str, kernel: str, library: Library
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "release", lambda: kernel)
    monkeypatch.setattr(system_calls, "_libc", lambda: library)
    assert not system_calls.can_sync_filesystem(3)


@pytest.mark.parametrize("number", [0, errno.ENOTSUP, errno.EIO])
def test_on_macos_a_sync_reaches_beyond_the_cache_of_the_drive(
    folder: int, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    import fcntl  # noqa: PLC0415 - to be replaced here

    calls: list[tuple[int, object]] = []

    def full_sync(fd: int, command: int) -> None:
        calls.append((fd, command))
        if number:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", full_sync)
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append((fd, "plain")))
    if number == errno.EIO:
        with pytest.raises(OSError, match="Input/output"):
            files.fsync(folder)
    else:
        files.fsync(folder)
    assert calls == [(folder, 51), *([(folder, "plain")] if number == errno.ENOTSUP else [])]


def test_a_real_sync_returns(tmp_path: Path, folder: int) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a").write_bytes(b"a")
    (tmp_path / "link").symlink_to("d")
    trees.sync("d", dir_fd=folder, fsync=files.fsync)
    files.fsync(folder)


def test_errors_say_what_happened_where_and_what_to_do() -> None:
    full = disk_errors.explain(OSError(errno.ENOSPC, "x"), "write", "/d/f", task_id=3)
    assert isinstance(full, DiskFullError)
    assert str(full).startswith("task 3: cannot write '/d/f': No space left on device. Free some")
    assert "inodes" not in str(full)
    plain = disk_errors.explain(OSError("no number"), "write", "/d/f")
    assert type(plain) is StoreError
    assert str(plain) == (
        "cannot write '/d/f': no number. Look for the reason in the system's log, then run again."
    )


@pytest.mark.parametrize("create", [files.open_for_writing, files.mkdir])
@pytest.mark.parametrize(
    ("blocks_free", "files_at_all", "files_free", "told"),
    [(0, 1000, 0, True), (9999, 1000, 3, True), (1, 1000, 3, False), (9999, 0, 0, False)],
)
def test_a_file_system_that_can_hold_no_more_files_is_told_from_one_without_room(
    tmp_path: Path,
    folder: int,
    monkeypatch: pytest.MonkeyPatch,
    *,
    create: Callable[..., object],
    blocks_free: int,
    files_at_all: int,
    files_free: int,
    told: bool,
) -> None:
    figures = list(os.statvfs(tmp_path))
    figures[1:8] = [4096, 9999, blocks_free, blocks_free, files_at_all, files_free, files_free]
    monkeypatch.setattr(os, "statvfs", lambda _folder: os.statvfs_result(figures))

    def full_up(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "open", full_up)
    monkeypatch.setattr(os, "mkdir", full_up)
    with pytest.raises(OSError) as failed:
        create("new", dir_fd=folder)
    monkeypatch.undo()
    explained = disk_errors.explain(failed.value, "write", tmp_path / "new")
    assert isinstance(explained, DiskFullError)
    assert ("no free inodes" in str(explained)) is told
    assert ("Free some space" in str(explained)) is not told


def test_this_file_system_is_probed_and_left_as_it_was(tmp_path: Path, folder: int) -> None:
    rules = name_probe.probe(folder, str(tmp_path))
    assert rules.component_bytes == 255
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "Case").write_bytes(b"")
    assert rules.case_sensitive != (tmp_path / "cASE").exists()


def test_other_file_systems_are_found_out(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that folds case and normal forms, forbids names, and has short ones."""
    disk = Disk(monkeypatch)
    real_lstat = files.lstat

    def lstat(name: str, *, dir_fd: int) -> os.stat_result | None:
        return real_lstat({"cASE": "Case", "e\u0301": "\u00e9"}.get(name, name), dir_fd=dir_fd)

    def refuse(name: str, **_: Any) -> OSError | None:
        if ":" in name:
            return OSError(errno.EINVAL, "")
        return OSError(errno.ENAMETOOLONG, "") if len(name) > 143 else None

    monkeypatch.setattr(files, "lstat", lstat)
    disk.fail["open_for_writing"] = refuse
    assert name_probe.probe(folder, str(tmp_path)) == NameRules(
        case_sensitive=False,
        normalization_sensitive=False,
        windows_names=False,
        component_bytes=127,
        path_bytes=3072,
    )
    disk.fail["open_for_writing"] = lambda *_, **__: OSError(errno.EIO, "")
    with pytest.raises(OSError, match="5"):
        name_probe.probe(folder, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_longest_path_leaves_room_for_the_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    assert name_probe.longest_path("/" + "d" * 2000) == 4096 - 2001 - 400
    monkeypatch.setattr(os, "pathconf", lambda *_: 1024)
    assert name_probe.longest_path("/d") == 1024 - 2 - 400
    assert name_probe.longest_path("/" + "d" * 2000) == 255

    def unknown(*_: Any) -> int:
        raise ValueError

    monkeypatch.setattr(os, "pathconf", unknown)
    assert name_probe.longest_path("/d") == 1024 - 2 - 400


def test_clearing_leaves_what_comes_while_it_goes_on(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.rmdir

    def rmdir(name: str, *, dir_fd: int) -> None:
        (tmp_path / "t/d/late").write_bytes(b"mine")
        real(name, dir_fd=dir_fd)

    (tmp_path / "t/d").mkdir(parents=True)
    monkeypatch.setattr(files, "rmdir", rmdir)
    assert trees.clear("t", (), dir_fd=folder)
    assert (tmp_path / "t/d/late").exists()
    monkeypatch.setattr(files, "rmdir", _raises(errno.EIO))
    (tmp_path / "t/d/late").unlink()
    with pytest.raises(OSError, match="Input/output"):
        trees.clear("t", (), dir_fd=folder)


def _raises(number: int) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_the_c_library_is_loaded_once() -> None:
    assert system_calls._libc() is system_calls._libc()
    assert isinstance(system_calls._libc(), ctypes.CDLL)


def test_a_look_that_fails_is_an_error_not_a_missing_folder(
    folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "open_folder", _raises(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        trees.folder_state("t", (), dir_fd=folder)


def test_a_parent_that_is_replaced_while_it_is_looked_at_is_missing(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t/d").mkdir(parents=True)
    (tmp_path / "t/d/a").write_bytes(b"")
    real = trees.is_folder

    def replaced(name: str, *, dir_fd: int) -> bool:
        result = real(name, dir_fd=dir_fd)
        (tmp_path / "t/d/a").unlink()
        (tmp_path / "t/d").rmdir()
        (tmp_path / "t/d").write_bytes(b"")
        return result

    monkeypatch.setattr(trees, "is_folder", replaced)
    members = [MemberRecord("d/a", 0, 0, 0)]
    assert trees.folder_state("t", members, dir_fd=folder) is FolderState.MISSING


def test_a_parent_that_comes_back_while_it_is_looked_for_is_missing(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t/d").mkdir(parents=True)
    monkeypatch.setattr(trees, "is_folder", lambda *_, **__: False)
    members = [MemberRecord("d/a", 0, 0, 0)]
    assert trees.folder_state("t", members, dir_fd=folder) is FolderState.MISSING


def test_a_tree_with_links_and_pipes_is_walked_past_them(tmp_path: Path, folder: int) -> None:
    (tmp_path / "t/d").mkdir(parents=True)
    (tmp_path / "t/d/a").write_bytes(b"abc")
    os.mkfifo(tmp_path / "t/pipe")
    (tmp_path / "t/link").symlink_to("d")
    trees.sync("t", dir_fd=folder, fsync=files.fsync)
    assert list(trees.regular_files("t", dir_fd=folder)) == [("d/a", 3)]
    assert trees.size("t", dir_fd=folder) == 3
    assert trees.size("t/link", dir_fd=folder) == 0
    trees.remove("t", dir_fd=folder)
    trees.remove("t", dir_fd=folder)
    assert list(tmp_path.iterdir()) == []
