"""Receipts of backups: what a zip holds, and of which state of the server, as JSON.

A destination of backups has a folder for each task or project, with a file for each backup:

    DEST/task147/2026-11-29T031200Z.zip
    DEST/.asynccvat/backups/task147/2026-11-29T031200Z.json

Line 1 of a receipt is the `BackupReceipt`, which is all that planning needs. Each other line is a
member. `docs/on-disk.md` describes the format; `store.backup_store` reads and writes the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.targets import TargetKind
from asynccvat.errors import StoreError

BACKUP_VERSION = 1

_STAMP = "%Y-%m-%dT%H%M%SZ"
_STAMPED = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z", re.ASCII)
_FOLDER = re.compile(r"(task|project)([1-9]\d*)", re.ASCII)


class TargetState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the server said of a target: if it says the same later, a backup is current.

    Attributes:
        updated_date: The target's own date.
        jobs: Digest of its jobs: their states do not move the task's date. For a project, digest
            of the states of all its tasks.
        media: Digest of what the server said of its media.
        frames: Number of frames, None if the server did not say.
        job_count: Number of jobs.
        task_count: Number of tasks, if it is a project; None otherwise.
    """

    updated_date: str
    jobs: str
    media: str
    frames: int | None = None
    job_count: int = 0
    task_count: int | None = None


class BackupReceipt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The head of a backup's receipt.

    Attributes:
        version: Version of the format.
        target: Task or project.
        id: Its id.
        name: Its name, for people to read.
        file: The zip, relative to the destination, with `/`.
        size: Bytes of the zip.
        digest: The digest of the zip's directory.
        files: Number of members.
        bytes: Sum of the members' sizes.
        lightweight: Whether media that lie in a bucket were left out. Such a backup is never taken
            for a whole one.
        state: What the server said of the target *before* the backup was requested.
        origin: Scheme, host and port of the server.
        organization: Slug, "" for the personal workspace, None for everything visible.
        requested_at: When the backup was requested, ISO 8601.
        committed_at: When the zip got its name, ISO 8601.
        device: Device number of the zip while the receipt is an intent in staging.
        inode: Inode number of the zip while the receipt is an intent in staging.
    """

    version: int = BACKUP_VERSION
    target: TargetKind
    id: int
    name: str = ""
    file: str
    size: int
    digest: str
    files: int
    bytes: int
    lightweight: bool
    state: TargetState
    origin: str
    organization: str | None = None
    requested_at: str
    committed_at: str
    device: int = 0
    inode: int = 0

    @property
    def folder(self) -> str:
        """The name of the folder that holds the zip."""
        return self.file.partition("/")[0]

    @property
    def stamp(self) -> str:
        """The zip's name without its extension: when the backup was requested."""
        return self.file.rpartition("/")[2].removesuffix(".zip")

    def a_second_later(self) -> BackupReceipt:
        """Return the receipt of a zip whose name is a second later."""
        moment = datetime.strptime(self.stamp, _STAMP).replace(tzinfo=UTC) + timedelta(seconds=1)
        file = f"{self.folder}/{moment.strftime(_STAMP)}.zip"
        return msgspec.structs.replace(self, file=file)


class BackupCondition(StrEnum):
    """Whether a backup's zip is there, by name and size."""

    PRESENT = "present"
    """It has the size of its receipt. `verify` reads it."""
    MISSING = "missing"
    """It is gone."""
    CHANGED = "changed"
    """It has another size, or is no file."""


class StoredBackup(msgspec.Struct, frozen=True, gc=False):
    """A backup as it stands in its destination.

    Attributes:
        receipt: Its receipt.
        condition: Whether its zip is there.
        on_server: Whether the server still lists its task or project; None if it was not asked.
    """

    receipt: BackupReceipt
    condition: BackupCondition = BackupCondition.PRESENT
    on_server: bool | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is there, and holds all media."""
        return self.condition is BackupCondition.PRESENT and not self.receipt.lightweight

    def to_json(self) -> dict[str, Any]:
        """Return the backup as JSON types."""
        receipt = self.receipt
        return {
            "target": str(receipt.target),
            "id": receipt.id,
            "name": receipt.name,
            "file": receipt.file,
            "requested_at": receipt.requested_at,
            "size": receipt.size,
            "files": receipt.files,
            "lightweight": receipt.lightweight,
            "condition": str(self.condition),
            "updated_date": receipt.state.updated_date,
            "frames": receipt.state.frames,
            "jobs": receipt.state.job_count,
            "tasks": receipt.state.task_count,
            "on_server": self.on_server,
        }


class PartRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Where the bytes of an unfinished zip came from.

    A later process goes on after these bytes if the server still has the same result.

    Attributes:
        version: Version of the format.
        result_url: The result's URL.
        etag: Its ETag.
        total: Bytes of the whole zip.
        lightweight: Whether it was requested without media that lie in a bucket.
        state: The target's state before it was requested.
        requested_at: When it was requested, ISO 8601.
    """

    version: int = BACKUP_VERSION
    result_url: str
    etag: str
    total: int
    lightweight: bool
    state: TargetState
    requested_at: str


class _Version(msgspec.Struct):
    version: int


def backup_folder(target: TargetKind, target_id: int) -> str:
    """Return the name of the folder that holds a target's backups."""
    return f"{target}{target_id}"


def target_of(folder: str) -> tuple[TargetKind, int] | None:
    """Return the target whose backups a folder holds, None if its name is that of no target."""
    found = _FOLDER.fullmatch(folder)
    return None if found is None else (TargetKind(found[1]), int(found[2]))


def stamp_of(moment: str) -> str:
    """Return the name of a backup that was requested at a moment, ISO 8601."""
    return datetime.fromisoformat(moment).astimezone(UTC).strftime(_STAMP)


def moment_of(stamp: str) -> str:
    """Return the moment in the name of a backup, ISO 8601."""
    moment = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    return moment.isoformat().replace("+00:00", "Z")


def is_stamp(name: str) -> bool:
    """Whether a file's name without its extension is that of a backup."""
    return _STAMPED.fullmatch(name) is not None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(BackupReceipt)
_version_decoder = msgspec.json.Decoder(_Version)
_member_decoder = msgspec.json.Decoder(MemberRecord)
_part_decoder = msgspec.json.Decoder(PartRecord)


def encode_backup(receipt: BackupReceipt, members: Iterable[MemberRecord]) -> bytes:
    """Encode a receipt as it stands on disk, one JSON value a line."""
    lines = [_encoder.encode(receipt), *map(_encoder.encode, members)]
    return b"\n".join(lines) + b"\n"


def decode_backup_head(line: bytes) -> BackupReceipt:
    """Read line 1 of a receipt.

    Raises:
        StoreError: It is damaged, or was written by a newer version.
    """
    try:
        version = _version_decoder.decode(line).version
        if version > BACKUP_VERSION:
            raise StoreError(
                f"receipt of version {version}, and this asynccvat reads up to {BACKUP_VERSION}: "
                "upgrade asynccvat"
            )
        head = _decoder.decode(line)
    except UNREADABLE as error:
        raise StoreError(f"damaged receipt: {error}") from error
    expected = f"{backup_folder(head.target, head.id)}/{head.stamp}.zip"
    if head.file != expected or not is_stamp(head.stamp):
        raise StoreError(
            f"damaged receipt: it names {head.file!r} as the backup of {head.target} {head.id}"
        )
    return head


def decode_backup(content: bytes) -> tuple[BackupReceipt, tuple[MemberRecord, ...]]:
    """Read a whole receipt.

    Raises:
        StoreError: It is damaged or incomplete, or was written by a newer version.
    """
    first, *rest = content.split(b"\n")
    head = decode_backup_head(first)
    if not rest or rest[-1] != b"" or len(rest) - 1 != head.files:
        raise StoreError(f"damaged receipt: it lists {len(rest) - 1} of {head.files} members")
    try:
        return head, tuple(_member_decoder.decode(line) for line in rest[:-1])
    except UNREADABLE as error:
        raise StoreError(f"damaged receipt: {error}") from error


def encode_part(part: PartRecord) -> bytes:
    """Encode where an unfinished zip came from."""
    return _encoder.encode(part) + b"\n"


def decode_part(content: bytes | None) -> PartRecord | None:
    """Read where an unfinished zip came from; None if the record is unreadable."""
    try:
        part = _part_decoder.decode(content or b"")
    except UNREADABLE:
        return None
    return part if part.version == BACKUP_VERSION else None
