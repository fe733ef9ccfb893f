"""Compare a member's own header with the directory's entry.

Some readers trust the one and some the other, so both must say the same.
"""

from __future__ import annotations

from asynccvat.core.zip.directory import check_stored_sizes
from asynccvat.core.zip.fields import FLAG_UTF8, shown
from asynccvat.core.zip.members import broken
from asynccvat.core.zip.records import FLAG_DESCRIPTOR, LocalHeader, ZipEntry

_DESCRIPTOR_LENGTHS = (16, 24, 12, 20)
"""Bytes that a data descriptor may have, the usual form first."""


def check_local_header(header: LocalHeader, entry: ZipEntry) -> None:
    """Check a local header against the directory's entry.

    With a data descriptor to come, its sizes and CRC may be 0 (4.4.4).

    Raises:
        IntegrityError: They disagree.
    """
    text = f"{entry.original}/" if entry.is_directory else entry.original
    later = bool(header.flags & FLAG_DESCRIPTOR)
    if (header.raw_name, header.text) != (entry.raw_name, text):
        raise broken(entry, f"its own header calls it {shown(header.raw_name)}")
    check_stored_sizes(header, entry.name)
    pairs = (
        ("method", header.method, entry.method, False),
        ("UTF-8 flag", header.flags & FLAG_UTF8, entry.flags & FLAG_UTF8, False),
        ("CRC-32", header.crc, entry.crc, later),
        ("compressed size", header.compressed_size, entry.compressed_size, later),
        ("size", header.size, entry.size, later),
    )
    for what, local, central, may_be_zero in pairs:
        if local != central and not (may_be_zero and local == 0):
            raise broken(
                entry,
                f"its header and the central directory disagree on its {what} ({local} and "
                f"{central})",
            )
    if entry.flags & FLAG_DESCRIPTOR and not later:
        raise broken(entry, "its header and the directory disagree on its data descriptor")


def descriptor_length(header: LocalHeader, entry: ZipEntry, start: int, end: int) -> int:
    """Return the length of a member's data descriptor, 0 for none.

    Args:
        header: The member's own header.
        entry: The directory's entry.
        start: Where the header starts.
        end: Where the next member, or the directory, starts.

    Raises:
        IntegrityError: The member leaves a gap before what follows, or overlaps it.
    """
    trailing = end - start - header.length - entry.compressed_size
    allowed = _DESCRIPTOR_LENGTHS if header.flags & FLAG_DESCRIPTOR else (0,)
    if trailing not in allowed:
        raise broken(
            entry,
            f"it leaves {trailing} bytes before what follows it, and should leave "
            f"{' or '.join(map(str, sorted(allowed)))}",
        )
    return trailing
