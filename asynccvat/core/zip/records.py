"""The records of a zip archive: layouts, and strict parsing.

They follow APPNOTE 6.3.10 (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT). Numbers
in comments are its sections. A deviation is accepted only if every reader understands it alike.
`directory` and `local_headers` check that records agree with each other.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from asynccvat.core.zip.fields import (
    NO_EXTRAS,
    decode_name,
    parse_extras,
    shown,
    shown_plain,
    take_disk,
    widen,
)
from asynccvat.errors import IntegrityError, UnsupportedArchiveError

LOCAL_SIGNATURE = b"PK\x03\x04"
CENTRAL_SIGNATURE = b"PK\x01\x02"
DESCRIPTOR_SIGNATURE = b"PK\x07\x08"
END64_SIGNATURE = b"PK\x06\x06"
LOCATOR_SIGNATURE = b"PK\x06\x07"
END_SIGNATURE = b"PK\x05\x06"

LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
CENTRAL = struct.Struct("<4s6H3L5H2L")  # 4.3.12
END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
END = struct.Struct("<4s4H2LH")  # 4.3.16

LONGEST_COMMENT = 0xFFFF
LONGEST_EXTRA = 0xFFFF
LONGEST_DESCRIPTOR = 24

STORED = 0
DEFLATED = 8

FLAG_DESCRIPTOR = 1 << 3
_FLAG_ENCRYPTED = 1 << 0
_FLAG_PATCHED = 1 << 5
_FLAG_STRONG_ENCRYPTION = 1 << 6
_FLAG_MASKED_HEADERS = 1 << 13

_LATEST_VERSION = 63  # of the format, times ten

_METHODS = {  # 4.4.5
    1: "Shrink",
    2: "Reduce",
    3: "Reduce",
    4: "Reduce",
    5: "Reduce",
    6: "Implode",
    9: "Deflate64",
    10: "PKWARE DCL Implode",
    12: "bzip2",
    14: "LZMA",
    16: "IBM z/OS CMPSC",
    18: "IBM TERSE",
    19: "IBM LZ77",
    20: "Zstandard (deprecated number)",
    93: "Zstandard",
    94: "MP3",
    95: "XZ",
    96: "JPEG variant",
    97: "WavPack",
    98: "PPMd",
    99: "AES encryption",
}


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One member of an archive, by the central directory.

    Attributes:
        name: Its path at the destination: relative, safe, without a trailing slash.
        raw_name: The bytes of its name, as in the headers.
        is_directory: Whether it is a directory, which holds no bytes.
        method: `STORED` (0) or `DEFLATED` (8).
        flags: The general purpose flags.
        crc: CRC-32 of its bytes.
        compressed_size: Bytes that its data takes in the archive.
        size: Bytes that it holds.
        header_offset: Where its local header starts in the archive.
        mapped_from: Its path in the archive if the destination refuses it; None if it is `name`.
    """

    name: str
    raw_name: bytes
    is_directory: bool
    method: int
    flags: int
    crc: int
    compressed_size: int
    size: int
    header_offset: int
    mapped_from: str | None = None

    @property
    def original(self) -> str:
        """Its path in the archive, without a trailing slash."""
        return self.name if self.mapped_from is None else self.mapped_from


Buffer = bytes | bytearray | memoryview


class LocalHeader(NamedTuple):
    """A local file header, its zip64 sizes filled in."""

    text: str
    raw_name: bytes
    method: int
    flags: int
    crc: int
    compressed_size: int
    size: int
    length: int


class CentralHeader(NamedTuple):
    """A central directory header, its zip64 fields filled in."""

    text: str
    raw_name: bytes
    method: int
    flags: int
    crc: int
    compressed_size: int
    size: int
    header_offset: int
    attributes: int
    length: int


class Descriptor(NamedTuple):
    """A data descriptor: values that its header could not have."""

    crc: int
    compressed_size: int
    size: int
    length: int


def local_header_length(data: Buffer) -> int:
    """Return a local header's length, from its first `LOCAL.size` bytes."""
    name_length, extra_length = struct.unpack_from("<2H", data, 26)
    return LOCAL.size + int(name_length) + int(extra_length)


def parse_local_header(data: Buffer) -> LocalHeader:
    """Parse a whole local header that starts with its signature.

    Raises:
        IntegrityError: The header contradicts itself.
        UnsafePathError: The name cannot be decoded.
        UnsupportedArchiveError: The member is encrypted, or uses an unknown method or format.
    """
    (_, version, flags, method, _, _, crc, compressed_size, size, name_length, _) = (
        LOCAL.unpack_from(data)
    )
    raw_name = bytes(data[LOCAL.size : LOCAL.size + name_length])
    extra = bytes(data[LOCAL.size + name_length :])
    check_supported(raw_name, version, flags, method)
    extras = parse_extras(extra, raw_name) if extra else NO_EXTRAS
    size, compressed_size = widen((size, compressed_size), extras.zip64, raw_name)
    return LocalHeader(
        text=decode_name(raw_name, flags, extras.unicode_path),
        raw_name=raw_name,
        method=method,
        flags=flags,
        crc=crc,
        compressed_size=compressed_size,
        size=size,
        length=len(data),
    )


def parse_central_header(data: Buffer, position: int) -> CentralHeader:
    """Parse the central directory header at a position of the directory.

    Raises:
        IntegrityError: There is no whole header there, or it contradicts itself.
        UnsafePathError: The name cannot be decoded.
        UnsupportedArchiveError: The member is encrypted, uses an unknown method or format, or
            lies on another disk.
    """
    if len(data) - position < CENTRAL.size:
        raise IntegrityError(
            "the central directory ends within a header. The archive is damaged: fetch it again.",
        )
    (
        signature,
        _,
        version,
        flags,
        method,
        _,
        _,
        crc,
        compressed_size,
        size,
        name_length,
        extra_length,
        comment_length,
        disk,
        _,
        attributes,
        header_offset,
    ) = CENTRAL.unpack_from(data, position)
    if signature != CENTRAL_SIGNATURE:
        raise IntegrityError(
            f"the central directory holds what is no header ({signature!r}). "
            "The archive is damaged: fetch it again.",
        )
    name_end = position + CENTRAL.size + name_length
    extra_end = name_end + extra_length
    length = CENTRAL.size + name_length + extra_length + comment_length
    if len(data) - position < length:
        raise IntegrityError(
            "the central directory ends within a header. The archive is damaged: fetch it again.",
        )
    raw_name = bytes(data[position + CENTRAL.size : name_end])
    check_supported(raw_name, version, flags, method)
    extras = NO_EXTRAS
    if extra_length:
        extras = parse_extras(bytes(data[name_end:extra_end]), raw_name)
    zip64, disk = take_disk(extras.zip64, disk)
    if disk:
        raise UnsupportedArchiveError(
            f"member {shown(raw_name)} lies on another disk: archives of several parts are "
            "not read",
            member=shown_plain(raw_name),
        )
    size, compressed_size, header_offset = widen(
        (size, compressed_size, header_offset),
        zip64,
        raw_name,
    )
    return CentralHeader(
        text=decode_name(raw_name, flags, extras.unicode_path),
        raw_name=raw_name,
        method=method,
        flags=flags,
        crc=crc,
        compressed_size=compressed_size,
        size=size,
        header_offset=header_offset,
        attributes=attributes,
        length=length,
    )


def parse_descriptor(data: Buffer, length: int) -> Descriptor | None:
    """Parse a data descriptor; return None if it is none.

    The length tells the form (4.3.9): 16 and 24 bytes have a signature, 12 and 20 have none. Of 12
    or 16 bytes, its sizes have 4 each; of 20 or 24, they have 8 each.
    """
    start = 0
    if length in (16, 24):
        if bytes(data[:4]) != DESCRIPTOR_SIGNATURE:
            return None
        start = 4
    layout = "<3L" if length <= 16 else "<L2Q"
    crc, compressed_size, size = struct.unpack_from(layout, data, start)
    return Descriptor(crc, compressed_size, size, length)


def check_supported(raw_name: bytes, version: int, flags: int, method: int) -> None:
    """Raise `UnsupportedArchiveError` for versions, methods and flags that are not read."""
    needed = version & 0xFF  # the upper byte names a system (4.4.3)
    if needed > _LATEST_VERSION:
        raise UnsupportedArchiveError(
            f"member {shown(raw_name)} needs version {needed / 10} of the zip format: versions "
            f"after {_LATEST_VERSION / 10} are not read",
            member=shown_plain(raw_name),
        )
    if method not in (STORED, DEFLATED):
        what = _METHODS.get(method, "an unknown method")
        raise UnsupportedArchiveError(
            f"member {shown(raw_name)} is compressed with {what} (method {method}): "
            "only stored and deflated members are read",
            member=shown_plain(raw_name),
        )
    if flags & (_FLAG_ENCRYPTED | _FLAG_STRONG_ENCRYPTION | _FLAG_MASKED_HEADERS):
        raise UnsupportedArchiveError(
            f"member {shown(raw_name)} is encrypted: encrypted archives are not read",
            member=shown_plain(raw_name),
        )
    if flags & _FLAG_PATCHED:
        raise UnsupportedArchiveError(
            f"member {shown(raw_name)} is a patch of other data: only whole members are read",
            member=shown_plain(raw_name),
        )
