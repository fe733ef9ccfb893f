"""The folder of a data set that was merged: its files, and a record of which ones are its own.

Each file gets its place by one rename or link. The record is written last. What the run is about to
write is noted before in a journal, so that after a crash the next run knows its files. A file that
was not merged, or that was edited since, is never replaced or removed unasked.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.merge.report import MergedFiles
from asynccvat.core.paths import NameRules, safe_member_path
from asynccvat.errors import ConfigError, StoreError
from asynccvat.fs import disk_errors, files
from asynccvat.store.outputs import check_output
from asynccvat.store.scratch_folders import locked_folder, open_scratch_folder

RECORD: Final = ".asynccvat-merge.jsonl"
"""Lists the files of the data set, with size and time."""
_JOURNAL: Final = ".asynccvat-merge.journal"
_STAGING: Final = ".merging-"
_HEAD: Final = b'{"version":1}'
_BLOCK: Final = 1 << 20

_decoder: Final = msgspec.json.Decoder(tuple[str, int, int])
_json: Final = msgspec.json.Encoder().encode

Stamp = tuple[int, int]
"""Size and time of a file, in bytes and nanoseconds."""


class DataSetFolder:
    """The files of a data set. All calls are synchronous, for worker threads.

    Attributes:
        kept: Files of an earlier merge that are no longer a part, and that were edited.
    """

    def __init__(
        self,
        out: Path,
        staging: Path,
        owned: Mapping[str, set[Stamp]],
        *,
        overwrite: bool,
        index: str | None = None,
    ) -> None:
        """Use `open_data_set` instead."""
        self.kept: list[str] = []
        self._out = out
        self._staging = staging
        self._owned = owned
        self._overwrite = overwrite
        self._index = index
        self._withdrawn: Path | None = None
        self._now: dict[str, Stamp] = {}
        self._folders: set[Path] = set()
        self._staged = 0
        self._journal: BinaryIO | None = None
        self._counts = dict.fromkeys(("written", "linked", "copied", "unchanged", "removed"), 0)

    @property
    def counts(self) -> MergedFiles:
        """What happened to the files."""
        return MergedFiles(**self._counts)

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            with disk_errors.explained("write", self._out / _JOURNAL):
                self._journal.close()

    def add_image(self, path: str, source: Path, *, link: bool) -> None:
        """Give an image its place: another name for the mirror's file, or a copy of it.

        Where the file system cannot link, it is copied.

        Raises:
            StoreError: The disk refuses it, or another file is in its place.
            UnsafePathError: The path leads outside.
        """
        with disk_errors.explained("write", self._out / path):
            found = source.lstat()
            if not stat.S_ISREG(found.st_mode):
                raise StoreError(
                    f"{str(source)!r} is no regular file. Repair the mirror with `asynccvat verify "
                    "--repair`."
                )
            place = self._place(path)
            before = _status(place)
            stamp = _stamp(found)
            if before is not None:
                if _is_image(before, found, link=link):
                    self._counts["unchanged"] += 1
                    self._now[path] = stamp
                    return
                self._check_owned(path, before)
            staged = self._new_path()
            is_linked = link and _linked(source, staged)
            if not is_linked:
                shutil.copyfile(source, staged, follow_symlinks=False)
                os.utime(staged, ns=(found.st_atime_ns, found.st_mtime_ns))
            self._counts["linked" if is_linked else "copied"] += 1
            self._publish(staged, path, stamp)

    @contextlib.contextmanager
    def body(self) -> Iterator[BinaryIO]:
        """Open a file for what is gathered before it has its place.

        Raises:
            StoreError: The disk refuses it.
        """
        with disk_errors.explained("write", self._staging), self._new_path().open("w+b") as file:
            yield file

    def add_text(self, path: str, *parts: bytes | BinaryIO) -> None:
        """Give a file of annotations its place; it stays untouched if it holds the same.

        Args:
            path: Its path in the data set.
            parts: What it holds, one after the other.

        Raises:
            StoreError: The disk refuses it, or another file is in its place.
            UnsafePathError: The path leads outside.
        """
        with disk_errors.explained("write", self._out / path):
            staged = self._new_path()
            with staged.open("xb") as file:
                for part in parts:
                    if isinstance(part, bytes):
                        file.write(part)
                    else:
                        part.seek(0)
                        shutil.copyfileobj(part, file, _BLOCK)
            place = self._place(path)
            if path == self._index and self._withdrawn is not None:
                self._withdrawn.rename(place)
            before = _status(place)
            if before and _is_file(before) and filecmp.cmp(staged, place, shallow=False):
                staged.unlink()
                self._counts["unchanged"] += 1
                self._now[path] = _stamp(before)
                return
            if before is not None:
                self._check_owned(path, before)
            self._publish(staged, path, _stamp(staged.lstat()))
            self._counts["written"] += 1

    def finish(self) -> None:
        """Remove what is no longer a part, and write the record.

        Raises:
            StoreError: The disk refuses it.
        """
        with disk_errors.explained("write", self._out):
            for path in sorted(self._owned.keys() - self._now.keys()):
                self._remove(path)
            staged = self._new_path()
            with staged.open("xb") as file:
                file.write(_HEAD + b"\n")
                for path, stamp in sorted(self._now.items()):
                    file.write(_json((path, *stamp)) + b"\n")
            self._sync()
            staged.rename(self._out / RECORD)
            (self._out / _JOURNAL).unlink(missing_ok=True)

    def _sync(self) -> None:
        fd = files.open_directory(self._out)
        try:
            files.sync_filesystem(fd)
        finally:
            os.close(fd)

    def _remove(self, path: str) -> None:
        place = self._out / path
        found = _status(place)
        if found is None:
            return
        if not self._is_own(path, found):
            self.kept.append(path)
            return
        place.unlink()
        self._counts["removed"] += 1
        for folder in place.parents:
            if folder == self._out:
                break
            try:
                folder.rmdir()
            except OSError:  # it holds other files
                break

    def _publish(self, staged: Path, path: str, stamp: Stamp) -> None:
        """Note that a file is ours, then give it its place."""
        if self._journal is None:
            self._journal = self._opened_journal()
            self._withdraw_index()
        self._journal.write(_json((path, *stamp)) + b"\n")
        self._journal.flush()
        staged.rename(self._out / path)
        self._now[path] = stamp

    def _opened_journal(self) -> BinaryIO:
        """Open the journal. A line that an earlier run did not end would spoil the next one."""
        journal = (self._out / _JOURNAL).open("a+b")
        journal.seek(0)
        journal.truncate(journal.read().rfind(b"\n") + 1)
        return journal

    def _withdraw_index(self) -> None:
        """Take away the file that says what the others mean, before the first of them changes."""
        if self._index is None or (found := _status(self._out / self._index)) is None:
            return
        self._check_owned(self._index, found)
        self._withdrawn = (self._out / self._index).rename(self._new_path())

    def _place(self, path: str) -> Path:
        place = self._out / safe_member_path(path, NameRules())
        if place.parent not in self._folders:
            place.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(place.parent)
        return place

    def _check_owned(self, path: str, found: os.stat_result) -> None:
        """Refuse to replace what is not this data set's, or was edited."""
        if self._is_own(path, found) or (self._overwrite and _is_file(found)):
            return
        what = "was edited since the last merge" if path in self._owned else "is not of a merge"
        raise StoreError(
            f"cannot replace {str(self._out / path)!r}: it {what}. Move it away, or replace it "
            "with --overwrite."
        )

    def _is_own(self, path: str, found: os.stat_result) -> bool:
        return _is_file(found) and _stamp(found) in self._owned.get(path, ())

    def _new_path(self) -> Path:
        self._staged += 1
        return self._staging / str(self._staged)


@contextlib.contextmanager
def open_data_set(
    out: Path, *, overwrite: bool, index: str | None = None
) -> Iterator[DataSetFolder]:
    """Open the folder of a data set; it is made if it is missing.

    Args:
        out: The folder.
        overwrite: Replace files that are not of a merge, or were edited.
        index: The file that says what the others mean. It is missing while they change, so that
            nothing reads them after an interruption.

    Raises:
        ConfigError: It lies in a mirror, holds backups or other files, or another merge uses it.
        StoreError: It cannot be made or written, or its record is damaged.
    """
    check_output(out, doing="merge")
    with disk_errors.explained("write", out):
        out.mkdir(parents=True, exist_ok=True)
    with locked_folder(out) as is_locked:
        if not is_locked:
            raise ConfigError(
                f"cannot merge into {str(out)!r}: another merge writes to it. Wait for its end."
            )
        with _opened(out, overwrite=overwrite, index=index) as folder:
            yield folder


@contextlib.contextmanager
def _opened(out: Path, *, overwrite: bool, index: str | None) -> Iterator[DataSetFolder]:
    with disk_errors.explained("read", out):
        names = {path.name for path in out.iterdir() if not path.name.startswith(_STAGING)}
    if names and not names & {RECORD, _JOURNAL} and not overwrite:
        raise ConfigError(
            f"cannot merge into {str(out)!r}: it holds files that are not of a merge. Name a new "
            "folder with --out, or add --overwrite."
        )
    owned: defaultdict[str, set[Stamp]] = defaultdict(set)
    for path, stamp in (*_read(out / RECORD), *_read(out / _JOURNAL)):
        owned[path].add(stamp)
    with open_scratch_folder(out, _STAGING) as scratch:
        folder = DataSetFolder(out, scratch.path, owned, overwrite=overwrite, index=index)
        try:
            yield folder
        finally:
            folder.close()


def _read(path: Path) -> list[tuple[str, Stamp]]:
    """Read a record or a journal. The last line of a journal may be cut."""
    with disk_errors.explained("read", path):
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
    is_record = path.name == RECORD
    if is_record and lines[0] != _HEAD:
        raise StoreError(
            f"{str(path)!r} is damaged, or of a newer asynccvat. Merge into a new folder."
        )
    found = []
    for line in lines[is_record:-1]:
        try:
            name, size, time = _decoder.decode(line)
        except UNREADABLE as error:
            raise StoreError(f"{str(path)!r} is damaged. Merge into a new folder.") from error
        found.append((safe_member_path(name, NameRules()), (size, time)))
    return found


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _is_file(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode)


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_size, found.st_mtime_ns


def _is_image(found: os.stat_result, source: os.stat_result, *, link: bool) -> bool:
    """Whether an image is there already. A link is none where a copy is wanted."""
    if os.path.samestat(found, source):
        return link
    return _is_file(found) and _stamp(found) == _stamp(source)


def _linked(source: Path, place: Path) -> bool:
    """Give a file a second name; return False if the file system cannot."""
    try:
        os.link(source, place, follow_symlinks=False)
    except OSError as error:
        if not disk_errors.is_link_refused(error):
            raise
        return False
    return True
