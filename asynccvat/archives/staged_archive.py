"""What the reading of an archive gives: its members, checked and staged."""

from __future__ import annotations

from dataclasses import dataclass

from asynccvat.core.records.receipts import MemberRecord


@dataclass(frozen=True, slots=True)
class StagedArchive:
    """A whole archive, now in staging.

    Attributes:
        members: Its files, by their offsets in the archive.
        digest: Its directory's digest.
        transferred: Bytes that came over the network, including those that came twice.
        reused: Bytes of members that were on disk already, and were not fetched.
        size: Bytes of the archive, if it stays one file; 0 otherwise.
        annotations: How many annotations it holds, None if they were not counted.
        warnings: What users should know of its files.
    """

    members: tuple[MemberRecord, ...]
    digest: str
    transferred: int
    reused: int
    size: int = 0
    annotations: int | None = None
    warnings: tuple[str, ...] = ()
