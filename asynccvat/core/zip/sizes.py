"""Predict the size of an archive from its members.

The prediction is exact for archives that Python's `zipfile`, and so CVAT, writes with stored
members and without folders. For other archives it is a guess, so callers must expect it to be
wrong.
"""

from __future__ import annotations

from asynccvat.core.zip.records import CENTRAL, END, END64, LOCAL, LOCATOR

# Above this, `zipfile` writes the wide forms, although the narrow ones would reach twice as far.
_WIDE_ABOVE = (1 << 31) - 1
_MOST_MEMBERS = 0xFFFF
_EXTRA = 4
_WIDE_FIELD = 8


class ArchiveSize:
    """The size of an archive to which members are added.

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
            The bytes of its local header and its data.
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
