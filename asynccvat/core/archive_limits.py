"""How large, deep and dense an archive may be.

`core.zip` counts what an archive holds and compares it with these limits. `archives` checks the
free space of the destination.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from asynccvat.core.declarations import LIMITS, SIZE, Number, option
from asynccvat.core.numbers import check_whole
from asynccvat.core.paths import in_short
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

    members: int = option(
        1_000_000,
        "--max-members",
        "The most files and folders that an archive may hold.",
        Number(0, example=1_000_000),
        group=LIMITS,
    )
    member_size: int = option(
        256 * _GIB,
        "--max-member-size",
        "The largest file that an archive may hold, like 256G.",
        SIZE,
        group=LIMITS,
    )
    total_size: int = option(
        1024 * _GIB,
        "--max-size",
        "The most bytes that all files of an archive may have together, like 1T.",
        SIZE,
        group=LIMITS,
    )
    ratio: int = option(
        250,
        "--max-ratio",
        "The most bytes that each byte of an archive may make.",
        Number(0, example=250),
        group=LIMITS,
    )
    ratio_floor: int = 64 * _MIB
    path_length: int = option(
        1024,
        "--max-path-length",
        "The longest path in an archive, in characters.",
        Number(0, example=1024),
        group=LIMITS,
    )
    depth: int = option(
        64,
        "--max-depth",
        "The most folders above each other in an archive, the file included.",
        Number(0, example=64),
        group=LIMITS,
    )
    directory_size: int = option(
        256 * _MIB,
        "--max-directory-size",
        "The most bytes of an archive's list of members, which is held in memory.",
        SIZE,
        group=LIMITS,
    )

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
                "at most. Raise --max-size if you trust it.",
            )

    def check_members(self, count: int) -> None:
        """Raise `ArchiveLimitError` when `count` members are more than the limit."""
        if count > self.members:
            raise ArchiveLimitError(
                f"the archive holds {count} or more members, the limit is {self.members}. "
                "Raise --max-members if you trust it.",
            )

    def check_path(self, path: str) -> None:
        """Raise `ArchiveLimitError` when a member's path is too long or too deep."""
        if len(path) > self.path_length:
            raise ArchiveLimitError(
                f"member {in_short(path)}: its path has {len(path)} characters, "
                f"the limit is {self.path_length}. Raise --max-path-length if you trust it.",
                member=path,
            )
        depth = path.count("/") + 1
        if depth > self.depth:
            raise ArchiveLimitError(
                f"member {in_short(path)}: its path has {depth} components, the limit is "
                f"{self.depth}. Raise --max-depth if you trust it.",
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
                f"member {in_short(name)} holds {size} bytes or more, the limit is "
                f"{self.member_size}. Raise --max-member-size if you trust it.",
                member=name,
            )
        if size > self.ratio_floor and size > self.ratio * compressed_size:
            raise ArchiveLimitError(
                f"member {in_short(name)} makes {size} bytes or more of {compressed_size}: "
                f"denser than the limit of {self.ratio} to 1, like an archive made to fill the "
                "disk. Raise --max-ratio if you trust it.",
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
                "Raise --max-size if you trust it.",
            )
        if total > self.ratio_floor and total > self.ratio * archive_bytes:
            raise ArchiveLimitError(
                f"the archive makes {total} bytes or more of {archive_bytes}: denser than the "
                f"limit of {self.ratio} to 1, like an archive made to fill the disk. Raise "
                "--max-ratio if you trust it.",
            )
