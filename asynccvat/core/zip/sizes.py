"""How large an archive is that holds given members, before it is written.

Exact for what Python's `zipfile` writes, and so CVAT, when members are stored and no folders are
among them. For other archives it is a guess: whoever builds on it must expect that it is wrong.
"""

from __future__ import annotations

from asynccvat.core.zip.records import CENTRAL, END, END64, LOCAL, LOCATOR

# From here on `zipfile` writes the wide forms, though the narrow ones would reach twice as far.
_WIDE_ABOVE = (1 << 31) - 1
_MOST_MEMBERS = 0xFFFF
_EXTRA = 4
_WIDE_FIELD = 8


class ArchiveSize:
    """The size of an archive as members are added to it.

    Attributes:
        members: Bytes of the members so far, local headers included.
    """

    def __init__(self) -> None:
        """Start with an empty archive."""
        self.members = 0
        self._count = 0
        self._directory = 0

    def add(self, name: str, size: int) -> int:
        """Add a stored member.

        Args:
            name: Its path.
            size: Bytes that it holds.

        Returns:
            The bytes that it takes, local header included; its record in the directory apart.
        """
        name_length = len(name.encode())
        wide = size > _WIDE_ABOVE
        fields = 2 * wide + (self.members > _WIDE_ABOVE)
        self._directory += CENTRAL.size + name_length
        if fields:
            self._directory += _EXTRA + _WIDE_FIELD * fields
        self._count += 1
        taken = LOCAL.size + name_length + size
        if wide:
            taken += _EXTRA + _WIDE_FIELD * 2
        self.members += taken
        return taken

    @property
    def end(self) -> int:
        """Bytes of the central directory and the end records."""
        wide = self._count > _MOST_MEMBERS or max(self.members, self._directory) > _WIDE_ABOVE
        return self._directory + END.size + (END64.size + LOCATOR.size if wide else 0)

    @property
    def whole(self) -> int:
        """Bytes of the archive."""
        return self.members + self.end
