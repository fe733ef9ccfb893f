"""The open folders of a destination, and the receipts in them.

The folders are opened once and held open. So a program that later replaces `.asynccvat`, or a
folder in it, by a link cannot redirect what is written. `opening` opens them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asynccvat.core.inventory.kept import kept_stem
from asynccvat.core.paths import OWN_FOLDER
from asynccvat.core.records.receipts import (
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
SPOOL = "spool"
PARTS = "parts"

NOT_THERE = -1
"""In place of a handle: the folder does not exist, and the destination is read-only."""

_HEAD_BYTES = 4096
_MOST_DEEP = 16


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
        claims: The task that each folder belongs to, by the receipts; None before they are read.
        exchange_unsupported: Whether exchanging two names has turned out to be unsupported.
        can_sync_filesystem: Whether one call can make everything durable.
        is_new: Whether opening it made its `.asynccvat`.
        parents_lock: Held while folders that hold those of targets are made or removed.
        created: The folders above that, and the destination, as far as opening it made them.
        keeps_history: Whether replaced annotation files are moved to `history`.
        sync_failure: The error of the first sync that failed, None if none has.
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
    is_new: bool = False
    created: tuple[Path, ...] = ()
    keeps_history: bool = False
    sync_failure: OSError | None = None
    claims_lock: threading.Lock = field(default_factory=threading.Lock)
    parents_lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def staging_path(self) -> Path:
        """The path of the staging, for messages."""
        return self.path / OWN_FOLDER / "staging"

    def close(self) -> None:
        """Close the folders."""
        for fd in (self.kept, self.receipts, self.staging, self.own, self.dest):
            if fd != NOT_THERE:
                os.close(fd)

    def sync_folder(self, fd: int) -> None:
        """Sync an open folder's entries, if the destination is durable."""
        if self.durable:
            self.fsync(fd)

    def fsync(self, fd: int) -> None:
        """Sync a file or a folder; see `check_sync` for what a failure means."""
        self._sync(files.fsync, fd)

    def sync_filesystem(self) -> None:
        """Sync everything at once, if `can_sync_filesystem`; see `check_sync`."""
        self._sync(files.sync_filesystem, self.own)

    def _sync(self, sync: Callable[[int], None], fd: int) -> None:
        self.check_sync()
        try:
            sync(fd)
        except OSError as error:
            self.sync_failure = error
            raise

    def check_sync(self) -> None:
        """Check that no sync has failed since the destination was opened.

        A sync reports its error once. Afterwards the kernel may mark the same pages clean, and a
        second sync then succeeds without writing anything. So no later sync can be trusted, until
        another run reads what is on the disk.

        Raises:
            OSError: A sync has failed; the same error as then.
        """
        if self.sync_failure is not None:
            raise OSError(*self.sync_failure.args)

    @contextlib.contextmanager
    def area(self, task_id: int) -> Iterator[int]:
        """Open the task's folder in the staging."""
        with files.folder(str(task_id), dir_fd=self.staging) as fd:
            yield fd

    # --- receipts -------------------------------------------------------------------------

    def receipt_bytes(self, task_id: int) -> bytes | None:
        """Read a task's receipt as bytes; None if there is none."""
        return files.read_file(receipt_name(task_id), dir_fd=self.receipts)

    def receipt_ids(self, among: Collection[int] | None = None) -> list[int]:
        """Return the tasks that have a receipt, damaged or not.

        Args:
            among: The only tasks that are looked for, None for all.
        """
        if self.receipts == NOT_THERE:
            return []
        if among is not None:
            return sorted(filter(self._has_receipt, among))
        names = files.names(self.receipts, ordered=False)
        return sorted(
            int(stem)
            for name in names
            if name.endswith(".json") and (stem := name[:-5]).isascii() and stem.isdecimal()
        )

    def _has_receipt(self, task_id: int) -> bool:
        return files.lstat(receipt_name(task_id), dir_fd=self.receipts) is not None

    def head(self, task_id: int) -> ReceiptHead:
        """Read line 1 of a receipt.

        Raises:
            FileNotFoundError: There is none.
            StoreError: It is damaged, or names another task.
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
            raise StoreError("damaged receipt: its first line is cut off")
        head = decode_head(line)
        check_head(head, task_id)
        return head

    def head_or_none(self, task_id: int) -> ReceiptHead | None:
        """Read line 1 of a receipt; None if there is no receipt or it is damaged."""
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
            raise StoreError(
                f"task {task_id} has no receipt in {str(self.path)!r}", task_id=task_id
            )
        return decode_receipt(content)

    def write_receipt(self, receipt: Receipt) -> None:
        """Replace a task's receipt, whole or not at all."""
        name = receipt_name(receipt.head.task_id)
        write_file(name, encode_receipt(receipt), dir_fd=self.receipts, durable=self.durable)
        self.sync_folder(self.receipts)

    def claimed_by(self, folder: str) -> int | None:
        """Return the task whose receipt names a folder; None if none does."""
        with self.claims_lock:
            if self.claims is None:
                claims = {}
                for task_id in self.receipt_ids():
                    with contextlib.suppress(OSError, StoreError):
                        claims[self.head(task_id).folder] = task_id
                self.claims = claims
            return self.claims.get(folder)

    def claim(self, task_id: int, *, folder: str | None, instead_of: str | None = None) -> None:
        """Note that a task has another folder from now on, or none."""
        with self.claims_lock:
            if self.claims is None:
                return
            if instead_of is not None and self.claims.get(instead_of) == task_id:
                del self.claims[instead_of]
            if folder is not None:
                self.claims[folder] = task_id

    def set_claims(self, heads: Mapping[int, ReceiptHead]) -> None:
        """Note which task each folder belongs to, by all receipts."""
        claims = {head.folder: task_id for task_id, head in heads.items()}
        with self.claims_lock:
            self.claims = claims

    def forget_claims(self) -> None:
        """Forget which task each folder belongs to; the receipts are read again when needed."""
        with self.claims_lock:
            self.claims = None

    # --- quarantine ------------------------------------------------------------------

    def quarantine(
        self, name: str, *, dir_fd: int, head: ReceiptHead | None, task_id: int | None = None
    ) -> Path:
        """Move a file or folder into `kept/`, durably, and return its new path.

        Args:
            name: Its name.
            dir_fd: Handle of the folder that it is in.
            head: The receipt of the target that it belongs to, None if it cannot be read.
            task_id: The id of the target, where there is no receipt.
        """
        kept_name = self.free_kept_name(str(task_id) if head is None else kept_stem(head))
        files.rename(name, kept_name, dir_fd=dir_fd, new_dir_fd=self.kept)
        self.sync_folder(self.kept)
        self.sync_folder(dir_fd)
        return self.path / OWN_FOLDER / "kept" / kept_name

    def free_kept_name(self, stem: str) -> str:
        """Return a name in `kept/` that is free, and begins as given."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        name = f"{stem}-{stamp}"
        numbered = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        return next(one for one in numbered if files.lstat(one, dir_fd=self.kept) is None)


def check_head(head: ReceiptHead, task_id: int) -> None:
    """Check that a receipt is about the task that its file is named after.

    Raises:
        StoreError: It names another task, or a folder that no task may have.
    """
    if head.task_id != task_id or not is_folder_name(head.folder):
        raise StoreError(
            f"damaged receipt: it names {head.target} {head.task_id} and folder {head.folder!r}"
        )


def receipt_name(task_id: int) -> str:
    """Return the name of a task's receipt."""
    return f"{task_id}.json"


def is_folder_name(name: str) -> bool:
    """Whether a target's folder may have this path: below the destination, and not in our own."""
    parts = name.split("/")
    return (
        len(parts) <= _MOST_DEEP
        and "\0" not in name
        and all(
            part not in ("", ".", "..") and not part.casefold().startswith(OWN_FOLDER)
            for part in parts
        )
    )


def checked_folder_name(name: str) -> str:
    """Return a folder's name if it is allowed.

    Raises:
        ConfigError: The name would lead out of the destination, or is that of our own folder.
    """
    if not is_folder_name(name):
        raise ConfigError(f"{name!r} cannot be the folder of a task. Use another --folder-prefix.")
    return name


def decode_or_none(content: bytes | None) -> Receipt | None:
    """Decode a receipt; None if there is none or it is damaged."""
    if content is None:
        return None
    try:
        receipt = decode_receipt(content)
    except StoreError:
        return None
    return receipt if is_folder_name(receipt.head.folder) else None


def decode_leniently(content: bytes) -> tuple[ReceiptHead | None, tuple[MemberRecord, ...]]:
    """Decode what can be read of a receipt: all, or its head without members, or nothing."""
    receipt = decode_or_none(content)
    if receipt is not None:
        return receipt.head, receipt.members
    try:
        head = decode_head(content.partition(b"\n")[0])
    except StoreError:
        return None, ()
    return (head if is_folder_name(head.folder) else None), ()


def is_same(one: os.stat_result, other: os.stat_result | None) -> bool:
    """Whether two statuses are of the same file or folder."""
    return other is not None and (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def write_file(name: str, content: bytes, *, dir_fd: int, durable: bool) -> None:
    """Write a small file whole or not at all: under another name, then renamed.

    Args:
        name: Its name.
        content: What it holds.
        dir_fd: Handle of its folder.
        durable: Sync the content before the rename. The rename itself is not synced.
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
