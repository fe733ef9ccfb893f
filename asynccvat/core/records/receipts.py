"""Receipts: what a task's folder holds, and of which state of the server, as JSON.

Line 1 of a receipt is its head, which is all that planning needs. Each other line is a member.
`docs/on-disk.md` describes the format; `store.layout` reads and writes the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.models import Task, share
from asynccvat.core.specs import ExportSpec
from asynccvat.core.targets import TargetKind
from asynccvat.errors import StoreError

RECEIPT_VERSION = 4

_OF_FOLDERS_IN_FOLDERS = 4
_OF_OTHER_TARGETS = 3
_OF_MAPPED_NAMES = 2
_OF_OWN_NAMES = 1


class MemberRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A file as it was committed.

    Attributes:
        path: Relative to the task's folder, with `/`.
        size: Bytes.
        crc: CRC-32 of the content, from the archive and checked.
        mtime_ns: Modification time of the file on disk at the commit, nanoseconds.
        mapped_from: Its path in the archive if the destination refuses that; None if it is `path`.
    """

    path: str
    size: int
    crc: int
    mtime_ns: int
    mapped_from: str | None = None

    @property
    def original(self) -> str:
        """Its path in the archive."""
        return self.path if self.mapped_from is None else self.mapped_from


class ReceiptHead(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, rename={"media_fingerprint": "media"}
):
    """The head of a receipt.

    Attributes:
        version: Version of the format, as low as possible. 4: the folder lies in another one; an
            older asynccvat would call the receipt damaged. 3: a project or a job; an older one
            would take it for a task. 2: names are mapped; an older one would not undo that in an
            upload. 1: everything else.
        target: What `task_id` is the id of.
        task_id: The task, or the target of another kind.
        of_task: The task of a job; None in receipts of earlier versions, whose folders tell it.
        task_name: Its name, for people to read.
        project_id: Its project when it was fetched; None outside any project, and in receipts of
            earlier versions.
        folder: The folder's path inside the destination.
        format: The exporter's name.
        images: Whether the images are part of it.
        frames: Whether a folder of JSON has the names and sizes of frames, too.
        jobs: Digest of `jobs.json` in a folder of JSON; None in any other.
        rule: The rule by which the files were converted from the server's JSON; None if the server
            made them. See `core.convert.audits`.
        updated_date: The task's, as listed *before* the export was requested.
        origin: Scheme, host and port of the server.
        organization: Slug, "" for the personal workspace, None for everything visible.
        digest: The archive's directory digest.
        media_fingerprint: Digest of what the server said of the images that are here; None where
            a later run may not reuse them. On disk it is `media`. See `core.plans.refresh`.
        content: Digest of what the server said of all that the export depends on, except names;
            None where a renamed task is fetched again. See `core.plans.renames`.
        annotations: How many annotations the export held; None if that is not known.
        files: Number of members.
        bytes: Sum of the members' sizes.
        requested_at: When the export was requested, ISO 8601.
        committed_at: When the folder was committed, ISO 8601.
        uploaded_at: When edited files of the folder were uploaded, ISO 8601; None if none were.
            The folder then differs from any export, and is fetched again.
        uploaded: Members that are as they were uploaded, not as exported.
        device: Device number of the tree while it is an intent in staging.
        inode: Inode number of the tree while it is an intent in staging.
    """

    version: int = _OF_OWN_NAMES
    target: TargetKind = TargetKind.TASK
    task_id: int
    of_task: int | None = None
    task_name: str = ""
    project_id: int | None = None
    folder: str
    format: str
    images: bool
    frames: bool = True
    jobs: str | None = None
    rule: str | None = None
    updated_date: str
    origin: str
    organization: str | None = None
    digest: str
    media_fingerprint: str | None = None
    content: str | None = None
    annotations: int | None = None
    files: int
    bytes: int
    requested_at: str
    committed_at: str
    uploaded_at: str | None = None
    uploaded: tuple[str, ...] = ()
    device: int = 0
    inode: int = 0

    def __post_init__(self) -> None:
        share(self, self.format, "format")
        share(self, self.origin, "origin")
        share(self, self.organization, "organization")
        share(self, self.rule, "rule")

    @property
    def spec(self) -> ExportSpec:
        """What the folder was made as."""
        return ExportSpec(self.format, self.images, self.target, self.frames)

    @property
    def task_of_job(self) -> int | None:
        """The task of a job, None for anything else. Without a layout, the folder tells it, too."""
        if self.target is not TargetKind.JOB or self.of_task is not None:
            return self.of_task
        task, slash, _ = self.folder.partition("/")
        digits = task.removeprefix("task")
        return int(digits) if slash and digits.isdecimal() else None

    def may_be_made_as(self, spec: ExportSpec) -> bool:
        """Whether it was made with these settings and a format that the spec can mean."""
        return self.format in spec.exporters and self._has_content_of(spec)

    def is_made_as(self, spec: ExportSpec) -> bool:
        """Whether it was made with this format, and with these settings of images and frames."""
        return self.format == spec.format and self._has_content_of(spec)

    def _has_content_of(self, spec: ExportSpec) -> bool:
        return self.images == spec.images and self.frames == spec.frames


class _ReceiptVersion(msgspec.Struct):
    version: int


class Receipt(msgspec.Struct, frozen=True):
    """A head with all members."""

    head: ReceiptHead
    members: tuple[MemberRecord, ...]


def after_upload(
    receipt: Receipt, uploaded: Iterable[MemberRecord], *, at: str, updated_date: str | None
) -> Receipt:
    """Return the receipt of a folder after files of it were uploaded.

    The server has the content of these files now. So they count as known, and the next fetch
    replaces them without moving them to `kept/`. A removal does move them there, as the server has
    then deleted its copy with the task. Files that were no part of the export stay the user's own.

    Args:
        receipt: The receipt before the upload.
        uploaded: The files as they were read. Files that are no members are ignored.
        at: Time of the upload, ISO 8601.
        updated_date: The task's date after the upload, if nothing else has changed the task; None
            keeps the date of the receipt.
    """
    known = {member.path: member for member in uploaded}
    members = tuple(
        msgspec.structs.replace(known[member.path], mapped_from=member.mapped_from)
        if member.path in known
        else member
        for member in receipt.members
    )
    changed = {
        new.path for old, new in zip(receipt.members, members, strict=True) if new.crc != old.crc
    }
    head = msgspec.structs.replace(
        receipt.head,
        uploaded_at=at,
        uploaded=tuple(sorted(changed.union(receipt.head.uploaded))),
        updated_date=receipt.head.updated_date if updated_date is None else updated_date,
        bytes=sum(member.size for member in members),
        # What the upload left there is the server's to say.
        annotations=None,
    )
    return Receipt(head, members)


_encoder = msgspec.json.Encoder()
_head_decoder = msgspec.json.Decoder(ReceiptHead)
_version_decoder = msgspec.json.Decoder(_ReceiptVersion)
_member_decoder = msgspec.json.Decoder(MemberRecord)


def encode_receipt(receipt: Receipt) -> bytes:
    """Encode a receipt as it stands on disk, one JSON value a line."""
    lines: Sequence[bytes] = [
        _encoder.encode(receipt.head),
        *map(_encoded_member, receipt.members),
    ]
    return b"\n".join(lines) + b"\n"


def _encoded_member(member: MemberRecord) -> bytes:
    if member.mapped_from is None:
        return _encoder.encode((member.path, member.size, member.crc, member.mtime_ns))
    return _encoder.encode(member)


def format_version(
    members: Iterable[MemberRecord], target: TargetKind = TargetKind.TASK, folder: str = ""
) -> int:
    """Return the version of a receipt with these members, for a folder of this name."""
    if "/" in folder and target is not TargetKind.JOB:
        return _OF_FOLDERS_IN_FOLDERS
    if target is not TargetKind.TASK:
        return _OF_OTHER_TARGETS
    mapped = any(member.mapped_from is not None for member in members)
    return _OF_MAPPED_NAMES if mapped else _OF_OWN_NAMES


def moved_head(
    receipt: Receipt, folder: str, renamed: Task | None = None, content: str | None = None
) -> ReceiptHead:
    """Return the head of a receipt whose folder has another name now.

    Args:
        receipt: The receipt.
        folder: The new name.
        renamed: The task as listed, if only its name or its project changed on the server. Its
            date counts from now on.
        content: The digest of what it depends on, if the receipt has none.
    """
    head = receipt.head
    moved = msgspec.structs.replace(
        head,
        version=format_version(receipt.members, head.target, folder),
        folder=folder,
        content=head.content or content,
    )
    if renamed is None:
        return moved
    return msgspec.structs.replace(
        moved,
        task_name=renamed.name,
        project_id=renamed.project_id,
        updated_date=renamed.updated_date,
    )


def decode_head(line: bytes) -> ReceiptHead:
    """Read line 1 of a receipt.

    Raises:
        StoreError: It is damaged, or was written by a newer version.
    """
    try:
        head = _head_decoder.decode(line)
    except UNREADABLE as error:
        _refuse_newer(line)
        raise StoreError(f"damaged receipt: {error}") from error
    if head.version > RECEIPT_VERSION:
        _refuse_newer(line)
    return head


def _refuse_newer(line: bytes) -> None:
    """Refuse a line of a newer version, whatever its other keys are."""
    try:
        version = _version_decoder.decode(line).version
    except UNREADABLE:
        return
    if version > RECEIPT_VERSION:
        raise StoreError(
            f"receipt of version {version}, and this asynccvat reads up to {RECEIPT_VERSION}: "
            "upgrade asynccvat"
        )


def decode_receipt(content: bytes) -> Receipt:
    """Read a whole receipt.

    Raises:
        StoreError: It is damaged or incomplete, or was written by a newer version.
    """
    first, _, rest = content.partition(b"\n")
    head = decode_head(first)
    listed = rest.count(b"\n")
    if listed != head.files or not content.endswith(b"\n"):
        raise StoreError(f"damaged receipt: it lists {listed} of {head.files} members")
    try:
        # One call for all lines: a call for each takes twice as long.
        members = tuple(_member_decoder.decode_lines(rest))
    except UNREADABLE as error:
        raise StoreError(f"damaged receipt: {error}") from error
    if len(members) != head.files:  # empty lines are skipped
        raise StoreError(f"damaged receipt: it lists {len(members)} of {head.files} members")
    return Receipt(head, members)
