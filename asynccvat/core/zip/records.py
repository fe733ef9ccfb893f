"""The records of a zip archive: layouts, and strict parsing of one record at a time.

After APPNOTE 6.3.10 (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT); numbers in
comments are its sections. Where archives in the wild leave it, what is accepted is what every
reader understands alike. How records must agree with each other is left to `directory` and
`reader`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from asynccvat.errors import IntegrityError, UnsafePathError, UnsupportedArchiveError

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

MASK16 = 0xFFFF
MASK32 = 0xFFFFFFFF
LONGEST_COMMENT = 0xFFFF
LONGEST_EXTRA = 0xFFFF
LONGEST_DESCRIPTOR = 24

STORED = 0
DEFLATED = 8

FLAG_DESCRIPTOR = 1 << 3
FLAG_UTF8 = 1 << 11
_FLAG_ENCRYPTED = 1 << 0
_FLAG_PATCHED = 1 << 5
_FLAG_STRONG_ENCRYPTION = 1 << 6
_FLAG_MASKED_HEADERS = 1 << 13

_EXTRA_ZIP64 = 0x0001  # 4.5.3
_EXTRA_UNICODE_PATH = 0x7075  # 4.6.9

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
class Entry:
    """One member of an archive.

    Attributes:
        name: Its path: relative, safe, without a trailing slash.
        raw_name: The bytes of its name, as the headers hold them.
        is_directory: It is a directory; then it holds no bytes.
        method: `STORED` (0) or `DEFLATED` (8).
        flags: The general purpose flags.
        crc: CRC-32 of its bytes.
        compressed_size: Bytes that it takes in the archive, headers apart.
        size: Bytes that it holds.
        header_offset: Where its local header starts in the archive.
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
    """A data descriptor: what a header written before the data could not say."""

    crc: int
    compressed_size: int
    size: int
    length: int


class _Extras(NamedTuple):
    zip64: bytes | None
    unicode_path: bytes | None


_NO_EXTRAS = _Extras(None, None)


def local_header_length(data: Buffer) -> int:
    """Return the length of the local header whose first `LOCAL.size` bytes are given."""
    name_length, extra_length = struct.unpack_from("<2H", data, 26)
    return LOCAL.size + int(name_length) + int(extra_length)


def parse_local_header(data: Buffer) -> LocalHeader:
    """Parse a whole local header that starts with its signature.

    Raises:
        IntegrityError: The header contradicts itself.
        UnsafePathError: The name cannot be decoded.
        UnsupportedArchiveError: The member is encrypted or uses an unknown method.
    """
    _, _, flags, method, _, _, crc, compressed_size, size, name_length, _ = LOCAL.unpack_from(data)
    raw_name = bytes(data[LOCAL.size : LOCAL.size + name_length])
    extra = bytes(data[LOCAL.size + name_length :])
    check_supported(raw_name, flags, method)
    extras = _parse_extras(extra, raw_name) if extra else _NO_EXTRAS
    size, compressed_size = _widen((size, compressed_size), extras.zip64, raw_name)
    return LocalHeader(
        text=_decode_name(raw_name, flags, extras.unicode_path),
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
        UnsupportedArchiveError: The member is encrypted, uses an unknown method or lies on
            another disk.
    """
    if len(data) - position < CENTRAL.size:
        raise IntegrityError(
            "the central directory ends within a header: the archive is damaged, fetch it again",
        )
    (
        signature,
        _,
        _,
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
            f"the central directory holds what is no header ({signature!r}): "
            "the archive is damaged, fetch it again",
        )
    name_end = position + CENTRAL.size + name_length
    extra_end = name_end + extra_length
    length = CENTRAL.size + name_length + extra_length + comment_length
    if len(data) - position < length:
        raise IntegrityError(
            "the central directory ends within a header: the archive is damaged, fetch it again",
        )
    raw_name = bytes(data[position + CENTRAL.size : name_end])
    check_supported(raw_name, flags, method)
    extras = _NO_EXTRAS
    if extra_length:
        extras = _parse_extras(bytes(data[name_end:extra_end]), raw_name)
    zip64, disk = _take_disk(extras.zip64, disk)
    if disk:
        raise UnsupportedArchiveError(
            f"member {shown(raw_name)} lies on another disk: archives of several parts are "
            "not read",
            member=shown_plain(raw_name),
        )
    size, compressed_size, header_offset = _widen(
        (size, compressed_size, header_offset),
        zip64,
        raw_name,
    )
    return CentralHeader(
        text=_decode_name(raw_name, flags, extras.unicode_path),
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
    """Parse a data descriptor of a known length, or None if it cannot be one.

    Its length tells its form (4.3.9): 12 or 20 bytes without a signature, 16 or 24 with one;
    sizes of 4 or of 8 bytes each.
    """
    start = 0
    if length in (16, 24):
        if bytes(data[:4]) != DESCRIPTOR_SIGNATURE:
            return None
        start = 4
    layout = "<3L" if length <= 16 else "<L2Q"
    crc, compressed_size, size = struct.unpack_from(layout, data, start)
    return Descriptor(crc, compressed_size, size, length)


def check_supported(raw_name: bytes, flags: int, method: int) -> None:
    """Raise `UnsupportedArchiveError` for what no CVAT export holds and we do not read."""
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


def shown_plain(raw_name: bytes) -> str:
    """Return a raw name as text for people, whatever its bytes."""
    return raw_name.decode("utf-8", "backslashreplace")


def shown(raw_name: bytes) -> str:
    """Return a raw name quoted for a message, whatever its bytes."""
    return repr(shown_plain(raw_name))


def _parse_extras(extra: bytes, raw_name: bytes) -> _Extras:
    """Find the fields that matter among the extra fields (4.5.1); the rest is skipped."""
    found: dict[int, bytes] = {}
    position = 0
    while position < len(extra):
        if len(extra) - position < 4:
            raise _contradiction(raw_name, "its extra field ends within a field's header")
        kind, length = struct.unpack_from("<2H", extra, position)
        position += 4
        if len(extra) - position < length:
            raise _contradiction(raw_name, "its extra field ends within a field")
        if kind in (_EXTRA_ZIP64, _EXTRA_UNICODE_PATH):
            if kind in found:
                # Readers take the first or the last, and would see different archives.
                raise _contradiction(raw_name, f"its extra field {kind:#06x} is there twice")
            found[kind] = extra[position : position + length]
        position += length
    return _Extras(found.get(_EXTRA_ZIP64), found.get(_EXTRA_UNICODE_PATH))


def _take_disk(zip64: bytes | None, disk: int) -> tuple[bytes | None, int]:
    """Split the number of the disk, four bytes at the end, from a zip64 field."""
    if zip64 is None or len(zip64) % 8 != 4:
        return zip64, disk
    wide = int.from_bytes(zip64[-4:], "little")
    return zip64[:-4], wide if disk == MASK16 else disk or wide


def _widen(values: tuple[int, ...], zip64: bytes | None, raw_name: bytes) -> tuple[int, ...]:
    """Fill in from the zip64 field the values that are masked with 0xFFFFFFFF (4.5.3).

    The field holds the masked values only; some writers (Go's) write all of them, and then
    each that is not masked must be the same. Readers that trust the one or the other would
    see different archives otherwise.
    """
    masked = values.count(MASK32)
    if zip64 is None:
        if masked:
            raise _contradiction(raw_name, "its header refers to a zip64 field that is missing")
        return values
    count, odd = divmod(len(zip64), 8)
    if odd:
        raise _contradiction(raw_name, "its zip64 field has an impossible length")
    wide = struct.unpack(f"<{count}Q", zip64)
    if count == masked:
        following = iter(wide)
        return tuple(next(following) if value == MASK32 else value for value in values)
    if count < masked:
        raise _contradiction(raw_name, "its zip64 field is too short")
    if count > len(values):
        raise _contradiction(raw_name, "its zip64 field is too long")
    for narrow, wider in zip(values, wide, strict=False):
        if narrow not in (MASK32, wider):
            raise _contradiction(raw_name, "its zip64 field contradicts its header")
    if MASK32 in values[count:]:
        raise _contradiction(raw_name, "its zip64 field is too short")
    return wide + values[count:]


def _decode_name(raw_name: bytes, flags: int, unicode_path: bytes | None) -> str:
    """Decode a name: UTF-8 by flag, else code page 437 (appendix D), or the Unicode path.

    Info-ZIP's Unicode path (4.6.9) counts where the header's name is not ASCII. Elsewhere it
    must say the same as the header, or readers would see different names.
    """
    text = _decode_utf8(raw_name, raw_name) if flags & FLAG_UTF8 else raw_name.decode("cp437")
    if unicode_path is None:
        return text
    if len(unicode_path) < 5 or unicode_path[0] != 1:
        raise _contradiction(raw_name, "its Unicode path is of an unknown form")
    if int.from_bytes(unicode_path[1:5], "little") != crc32(raw_name):
        raise _contradiction(raw_name, "its Unicode path belongs to another name")
    unicode_text = _decode_utf8(unicode_path[5:], raw_name)
    if unicode_text != text and (flags & FLAG_UTF8 or raw_name.isascii()):
        raise UnsafePathError(
            f"member {shown(raw_name)} is refused: it has a second name, {unicode_text!r}, and "
            "it is not clear which is meant",
            member=shown_plain(raw_name),
        )
    return unicode_text


def _decode_utf8(raw: bytes, raw_name: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnsafePathError(
            f"member {shown(raw_name)} is refused: its name claims to be UTF-8 and is not",
            member=shown_plain(raw_name),
        ) from error


def _contradiction(raw_name: bytes, what: str) -> IntegrityError:
    return IntegrityError(
        f"member {shown(raw_name)}: {what}: the archive is damaged or made to mislead, "
        "fetch it again",
        member=shown_plain(raw_name),
    )
