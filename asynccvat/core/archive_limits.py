"""How large, deep and dense an archive may be.

`core.zip` counts what an archive holds and compares it with these limits. `archives` checks the
free space of the destination.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from asynccvat.core.numbers import check_whole
from asynccvat.errors import ArchiveLimitError

_MIB = 1024 * 1024
_GIB = 1024 * _MIB


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveLimits:
    """The most that an archive may hold.

    The defaults admit any export that was seen of CVAT (100,000 frames, members stored), and
    refuse archives that were made to fill a disk.

    Attributes:
        members: Members, directories included.
        member_size: Bytes of one member.
        total_size: Bytes of all members together.
        ratio: Bytes produced for each byte of the archive. Deflate can reach 1032; CVAT's XML
            reaches about 40.
        ratio_floor: Bytes up to which any ratio is accepted, for small members and archives.
        path_length: Characters of a member's path.
        depth: Components of a member's path.
        directory_size: Bytes of the central directory, which is held in memory.

    Raises:
        ConfigError: A limit is negative.
        TypeError: A limit is no whole number.
    """

    members: int = 1_000_000
    member_size: int = 256 * _GIB
    total_size: int = 1024 * _GIB
    ratio: int = 250
    ratio_floor: int = 64 * _MIB
    path_length: int = 1024
    depth: int = 64
    directory_size: int = 256 * _MIB

    def __post_init__(self) -> None:
        for field in fields(self):
            check_whole(field.name, getattr(self, field.name))

    def check_archive(self, size: int) -> None:
        """Raise `ArchiveLimitError` when an archive, or the part that has come, is too large.

        Members take at most their own bytes, and their headers about as much as the directory.
        Deflate can make data a little longer, which the allowance for headers covers, too.
        """
        most = self.total_size + 2 * self.directory_size
        if size > most:
            raise ArchiveLimitError(
                f"the archive has {size} bytes or more, and within the limits it could have {most} "
                "at most. Raise the limits if you trust it.",
            )

    def check_members(self, count: int) -> None:
        """Raise `ArchiveLimitError` when `count` members are more than the limit."""
        if count > self.members:
            raise ArchiveLimitError(
                f"the archive holds {count} or more members, the limit is {self.members}. "
                "Raise the limit if you trust it.",
            )

    def check_path(self, path: str) -> None:
        """Raise `ArchiveLimitError` when a member's path is too long or too deep."""
        if len(path) > self.path_length:
            raise ArchiveLimitError(
                f"member {path[:80]!r}...: its path has {len(path)} characters, "
                f"the limit is {self.path_length}. Raise the limit if you trust it.",
                member=path,
            )
        depth = path.count("/") + 1
        if depth > self.depth:
            raise ArchiveLimitError(
                f"member {path[:80]!r}: its path has {depth} components, the limit is "
                f"{self.depth}. Raise the limit if you trust it.",
                member=path,
            )

    def check_member(self, name: str, size: int, compressed_size: int) -> None:
        """Raise `ArchiveLimitError` when a member is too large or too dense.

        Args:
            name: The member's name.
            size: The bytes that it holds.
            compressed_size: The bytes of the archive that they come from.
        """
        if size > self.member_size:
            raise ArchiveLimitError(
                f"member {name!r} holds {size} bytes or more, the limit is {self.member_size}. "
                "Raise the limit if you trust it.",
                member=name,
            )
        if size > self.ratio_floor and size > self.ratio * compressed_size:
            raise ArchiveLimitError(
                f"member {name!r} makes {size} bytes or more of {compressed_size}: denser than "
                f"the limit of {self.ratio} to 1, like an archive made to fill the disk. Raise "
                "the limit if you trust it.",
                member=name,
            )

    def check_total(self, total: int, archive_bytes: int) -> None:
        """Raise `ArchiveLimitError` when all members together are too large or too dense.

        Args:
            total: The bytes of all members.
            archive_bytes: The bytes of the archive that they come from.
        """
        if total > self.total_size:
            raise ArchiveLimitError(
                f"the archive holds {total} bytes or more, the limit is {self.total_size}. "
                "Raise the limit if you trust it.",
            )
        if total > self.ratio_floor and total > self.ratio * archive_bytes:
            raise ArchiveLimitError(
                f"the archive makes {total} bytes or more of {archive_bytes}: denser than the "
                f"limit of {self.ratio} to 1, as an archive made to fill the disk is: raise the "
                "limit if you trust it",
            )
