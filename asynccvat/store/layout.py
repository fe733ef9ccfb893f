"""Where things lie in a destination, as open folders, and the small files among them.

Nothing here decides anything: receipts are read and written, names are found for what is put
aside. Folders are held open from the start, so that whoever replaces `.asynccvat` or a folder in
it by a link changes nothing for us.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asynccvat.core.paths import OWN_FOLDER
from asynccvat.core.receipts import (
    MemberRecord,
    Receipt,
    ReceiptHead,
    decode_head,
    decode_receipt,
    encode_receipt,
)
from asynccvat.errors import ConfigError, StoreError
from asynccvat.fs import files

TREE = "tree"
INTENT = "receipt.json"
OLD = "old"
OLD_RECEIPT = "old.json"
PREVIOUS = "previous-"

NOT_THERE = -1
"""Stands for the handle of a folder that is not there, where one is only looked for."""

_HEAD_BYTES = 4096


@dataclass
class Layout:
    """The open folders of a destination.

    Attributes:
        path: The destination.
        dest: Handle of the destination.
        own: Handle of its `.asynccvat`.
        staging: Handle of `staging` in it.
        receipts: Handle of `receipts` in it.
        kept: Handle of `kept` in it.
        durable: Whether anything is synced at all.
        claims: Which task each folder belongs to, as far as receipts were read; None before.
        exchange_unsupported: Whether two names turned out not to be exchangeable there.
        can_sync_filesystem: Whether one call can make everything durable.
        sync_failure: The first sync that failed, None while none did.
    """

    path: Path
    dest: int
    own: int
    staging: int
    receipts: int
    kept: int
    durable: bool = True
    claims: dict[str, int] | None = None
    exchange_unsupported: bool = False
    can_sync_filesystem: bool = False
    sync_failure: OSError | None = None
    claims_lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def staging_path(self) -> Path:
        """Where staging is."""
        return self.path / OWN_FOLDER / "staging"

    def close(self) -> None:
        """Close the folders."""
        for fd in (self.kept, self.receipts, self.staging, self.own, self.dest):
            if fd != NOT_THERE:
                os.close(fd)

    def sync_folder(self, fd: int) -> None:
        """Make an open folder's entries durable, where anything is."""
        if self.durable:
            self.fsync(fd)

    def fsync(self, fd: int) -> None:
        """Make a file or a folder durable; see `check_sync` for what a failure means."""
        self._sync(files.fsync, fd)

    def sync_filesystem(self) -> None:
        """Make everything durable, where `can_sync_filesystem`; see `check_sync`."""
        self._sync(files.sync_filesystem, self.own)

    def _sync(self, sync: Callable[[int], None], fd: int) -> None:
        self.check_sync()
        try:
            sync(fd)
        except OSError as error:
            self.sync_failure = error
            raise

    def check_sync(self) -> None:
        """Make sure that no sync has failed since the destination was opened.

        A failed one tells its error once. Afterwards the kernel may call the same pages clean, and
        a second sync succeed without having written anything: so nothing is built on one any more,
        until another run looks at what is there.

        Raises:
            OSError: One has, with that very error.
        """
        if self.sync_failure is not None:
            raise OSError(*self.sync_failure.args)

    @contextlib.contextmanager
    def area(self, task_id: int) -> Iterator[int]:
        """Hold the task's folder in staging open."""
        with files.folder(str(task_id), dir_fd=self.staging) as fd:
            yield fd

    # --- receipts -------------------------------------------------------------------------

    def receipt_bytes(self, task_id: int) -> bytes | None:
        """A task's receipt as it stands on disk, None where there is none."""
        return files.read_file(receipt_name(task_id), dir_fd=self.receipts)

    def receipt_ids(self) -> list[int]:
        """The tasks that have a receipt, damaged or not."""
        there = self.receipts != NOT_THERE
        names = files.names(self.receipts, ordered=False) if there else []
        return sorted(
            int(stem)
            for name in names
            if name.endswith(".json") and (stem := name[:-5]).isascii() and stem.isdecimal()
        )

    def head(self, task_id: int) -> ReceiptHead:
        """Read line 1 of a receipt.

        Raises:
            FileNotFoundError: There is none.
            StoreError: It is damaged, or speaks of another task.
        """
        fd = files.open_for_reading(receipt_name(task_id), dir_fd=self.receipts)
        try:
            start = os.read(fd, _HEAD_BYTES)
            while b"\n" not in start and (more := os.read(fd, _HEAD_BYTES)):
                start += more
        finally:
            os.close(fd)
        line, newline, _ = start.partition(b"\n")
        if not newline:
            raise StoreError("damaged receipt: its first line is cut short")
        head = decode_head(line)
        if head.task_id != task_id or not is_folder_name(head.folder):
            raise StoreError(
                f"damaged receipt: it speaks of task {head.task_id} in {head.folder!r}"
            )
        return head

    def head_or_none(self, task_id: int) -> ReceiptHead | None:
        """Line 1 of a receipt, None where there is none or where it is damaged."""
        try:
            return self.head(task_id)
        except (FileNotFoundError, StoreError):
            return None

    def receipt(self, task_id: int) -> Receipt:
        """Read a whole receipt.

        Raises:
            StoreError: There is none, or it is damaged.
        """
        content = self.receipt_bytes(task_id)
        if content is None:
            raise StoreError(f"task {task_id} has no receipt in {self.path}", task_id=task_id)
        return decode_receipt(content)

    def write_receipt(self, receipt: Receipt) -> None:
        """Replace a task's receipt, whole or not at all, and durably where anything is."""
        name = receipt_name(receipt.head.task_id)
        write_file(name, encode_receipt(receipt), dir_fd=self.receipts, durable=self.durable)
        self.sync_folder(self.receipts)

    def claimed_by(self, folder: str) -> int | None:
        """The task whose receipt claims a folder, None where none does."""
        with self.claims_lock:
            if self.claims is None:
                claims = {}
                for task_id in self.receipt_ids():
                    with contextlib.suppress(OSError, StoreError):
                        claims[self.head(task_id).folder] = task_id
                self.claims = claims
            return self.claims.get(folder)

    def claim(self, task_id: int, *, folder: str | None, instead_of: str | None = None) -> None:
        """Note that a task's folder is another one from now on, or none."""
        with self.claims_lock:
            if self.claims is None:
                return
            if instead_of is not None and self.claims.get(instead_of) == task_id:
                del self.claims[instead_of]
            if folder is not None:
                self.claims[folder] = task_id

    def set_claims(self, heads: Mapping[int, ReceiptHead]) -> None:
        """Note which task each folder belongs to, as all receipts say."""
        claims = {head.folder: task_id for task_id, head in heads.items()}
        with self.claims_lock:
            self.claims = claims

    def forget_claims(self) -> None:
        """Read the claims again when they are needed next."""
        with self.claims_lock:
            self.claims = None

    # --- what is put aside ------------------------------------------------------------------

    def quarantine(self, name: str, *, dir_fd: int, folder: str) -> Path:
        """Move whatever has this name into `kept/`, durably, and tell where it is then."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        number = 1
        while True:
            kept_name = f"{folder}-{stamp}" + (f"-{number}" if number > 1 else "")
            if files.lstat(kept_name, dir_fd=self.kept) is None:
                break
            number += 1
        files.rename(name, kept_name, dir_fd=dir_fd, new_dir_fd=self.kept)
        self.sync_folder(self.kept)
        self.sync_folder(dir_fd)
        return self.path / OWN_FOLDER / "kept" / kept_name


def receipt_name(task_id: int) -> str:
    """The name of a task's receipt."""
    return f"{task_id}.json"


def is_folder_name(name: str) -> bool:
    """Whether a name is that of a folder right inside the destination, and not our own."""
    return (
        name not in ("", ".", "..")
        and "/" not in name
        and "\0" not in name
        and not name.casefold().startswith(OWN_FOLDER)
    )


def checked_folder_name(name: str) -> str:
    """Return a folder's name if it is one.

    Raises:
        ConfigError: It would lead elsewhere, or is our own.
    """
    if not is_folder_name(name):
        raise ConfigError(f"{name!r} cannot be the folder of a task: choose another folder prefix")
    return name


def decode_or_none(content: bytes | None) -> Receipt | None:
    """A receipt, None where there is none or where it is damaged."""
    if content is None:
        return None
    try:
        receipt = decode_receipt(content)
    except StoreError:
        return None
    return receipt if is_folder_name(receipt.head.folder) else None


def decode_leniently(content: bytes) -> tuple[ReceiptHead | None, tuple[MemberRecord, ...]]:
    """What can be read of a receipt: all, or its head without members, or nothing."""
    receipt = decode_or_none(content)
    if receipt is not None:
        return receipt.head, receipt.members
    try:
        head = decode_head(content.partition(b"\n")[0])
    except StoreError:
        return None, ()
    return (head if is_folder_name(head.folder) else None), ()


def is_same(one: os.stat_result, other: os.stat_result | None) -> bool:
    """Whether two looks were at the same file or folder."""
    return other is not None and (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def write_file(name: str, content: bytes, *, dir_fd: int, durable: bool) -> None:
    """Write a small file whole or not at all: beside its place, then renamed onto it.

    With `durable` the content is on disk before the name is; the name itself is not synced.
    """
    part = name + ".part"
    if files.lstat(part, dir_fd=dir_fd) is not None:
        files.unlink(part, dir_fd=dir_fd)
    fd = files.open_for_writing(part, dir_fd=dir_fd)
    try:
        files.write(fd, content)
        if durable:
            files.fsync(fd)
    finally:
        os.close(fd)
    files.rename(part, name, dir_fd=dir_fd, new_dir_fd=dir_fd)
