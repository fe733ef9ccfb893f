"""Decode the names and extra fields of headers.

Some readers trust the header and some an extra field. An archive is refused if the two would see
different members. Numbers in comments are sections of APPNOTE 6.3.10.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

from asynccvat.core.paths import in_short
from asynccvat.errors import IntegrityError, UnsafePathError

FLAG_UTF8 = 1 << 11
MASK16 = 0xFFFF
MASK32 = 0xFFFFFFFF

_EXTRA_ZIP64 = 0x0001  # 4.5.3
_EXTRA_UNICODE_PATH = 0x7075  # 4.6.9


class Extras(NamedTuple):
    """The extra fields that are used; None for a missing one."""

    zip64: bytes | None
    unicode_path: bytes | None


NO_EXTRAS = Extras(None, None)


def shown_plain(raw_name: bytes) -> str:
    """Return a raw name as text, with undecodable bytes escaped."""
    return raw_name.decode("utf-8", "backslashreplace")


def shown(raw_name: bytes) -> str:
    """Return a raw name for a message: quoted, escaped, and shortened."""
    return in_short(shown_plain(raw_name))


def parse_extras(extra: bytes, raw_name: bytes) -> Extras:
    """Find the zip64 and Unicode path fields among the extra fields (4.5.1).

    Raises:
        IntegrityError: The bytes are no list of fields, or one of the two comes twice.
    """
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
                # Some readers take the first and some the last: they would see different members.
                raise _contradiction(raw_name, f"its extra field {kind:#06x} is there twice")
            found[kind] = extra[position : position + length]
        position += length
    return Extras(found.get(_EXTRA_ZIP64), found.get(_EXTRA_UNICODE_PATH))


def take_disk(zip64: bytes | None, disk: int) -> tuple[bytes | None, int]:
    """Split the disk number, the last four bytes, off a zip64 field."""
    if zip64 is None or len(zip64) % 8 != 4:
        return zip64, disk
    wide = int.from_bytes(zip64[-4:], "little")
    return zip64[:-4], wide if disk == MASK16 else disk or wide


def widen(values: tuple[int, ...], zip64: bytes | None, raw_name: bytes) -> tuple[int, ...]:
    """Fill in masked values (0xFFFFFFFF) from the zip64 field (4.5.3).

    The field holds the masked values only. Some writers (Go's) write all values: then those that
    are not masked must be equal, since some readers trust the header and some the field.

    Raises:
        IntegrityError: The field is missing, has another length, or contradicts the header.
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


def decode_name(raw_name: bytes, flags: int, unicode_path: bytes | None) -> str:
    """Decode a member's name.

    It is UTF-8 if the flag says so, else code page 437 (appendix D), or the Unicode path.

    Info-ZIP's Unicode path (4.6.9) counts if the header's name is not ASCII. Otherwise it must
    equal the header's name, or readers would see different names.

    Raises:
        IntegrityError: The Unicode path has an unknown form, or belongs to another name.
        UnsafePathError: The name should be UTF-8 and is not, or the member has two names.
    """
    text = _decode_utf8(raw_name, raw_name) if flags & FLAG_UTF8 else raw_name.decode("cp437")
    if unicode_path is None:
        return text
    if len(unicode_path) < 5 or unicode_path[0] != 1:
        raise _contradiction(raw_name, "its Unicode path is of an unknown form")
    if int.from_bytes(unicode_path[1:5], "little") != crc32(raw_name):
        raise _contradiction(raw_name, "its Unicode path belongs to another name")
    unicode_text = _decode_utf8(unicode_path[5:], raw_name)
    may_differ = not flags & FLAG_UTF8 and not raw_name.isascii()
    same_kind = unicode_text.endswith("/") == text.endswith("/")
    if unicode_text != text and not (may_differ and same_kind):
        raise UnsafePathError(
            f"member {shown(raw_name)} is refused: it has a second name, {in_short(unicode_text)}, "
            "and it is not clear which is meant",
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
        f"member {shown(raw_name)}: {what}. The archive is damaged or made to mislead: "
        "fetch it again.",
        member=shown_plain(raw_name),
    )
