"""Build zip archives record by record, good ones and bad ones.

`build` writes what a plain writer would, and every field can be overridden: that is how each
class of bad archive comes about. Nothing of asynccvat is used, so that the reader and its tests
cannot agree on a mistake.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

UTF8 = 0x800
DESCRIPTOR = 0x008
REGULAR = 0o100644 << 16
FOLDER = (0o040755 << 16) | 0x10
LINK = 0o120777 << 16
FIFO = 0o010644 << 16


def deflate(data: bytes) -> bytes:
    """Compress as in a zip member."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()


def extra_field(kind: int, data: bytes) -> bytes:
    """One extra field."""
    return struct.pack("<HH", kind, len(data)) + data


def zip64_extra(*values: int) -> bytes:
    """The zip64 extra field."""
    return extra_field(0x0001, struct.pack(f"<{len(values)}Q", *values))


def unicode_path(raw_name: bytes, name: str, *, version: int = 1, crc: int | None = None) -> bytes:
    """Info-ZIP's Unicode path extra field."""
    crc = zlib.crc32(raw_name) if crc is None else crc
    return extra_field(0x7075, struct.pack("<BL", version, crc) + name.encode())


@dataclass
class Member:
    """One member, and what is wrong with it.

    `both`, `local`, `central` and `descriptor_fields` override fields of the records. `descriptor`
    is one of "signed32", "bare32", "signed64", "bare64". `gap` are bytes before its header.
    """

    name: str | bytes
    data: bytes = b""
    method: int = 0
    packed: bytes | None = None
    descriptor: str | None = None
    both: dict[str, Any] = field(default_factory=dict)
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)
    descriptor_fields: dict[str, int] = field(default_factory=dict)
    gap: bytes = b""

    def fields(self) -> dict[str, Any]:
        raw = self.name if isinstance(self.name, bytes) else self.name.encode()
        packed = self.packed
        if packed is None:
            packed = deflate(self.data) if self.method == 8 else self.data
        plain = isinstance(self.name, bytes) or self.name.isascii()
        return {
            "name": raw,
            "version": 20,
            "flags": (0 if plain else UTF8) | (DESCRIPTOR if self.descriptor else 0),
            "method": self.method,
            "crc": zlib.crc32(self.data),
            "compressed_size": len(packed),
            "size": len(self.data),
            "extra": b"",
            "comment": b"",
            "disk": 0,
            "attributes": FOLDER if raw.endswith(b"/") else REGULAR,
            "packed": packed,
        } | self.both


def build(
    *members: Member,
    prefix: bytes = b"",
    before_directory: bytes = b"",
    after_directory: bytes = b"",
    comment: bytes = b"",
    trailing: bytes = b"",
    zip64: bool = False,
    listed: list[int] | None = None,
    end: dict[str, int] | None = None,
    end64: dict[str, int] | None = None,
    locator: dict[str, int] | None = None,
    extensible: bytes = b"",
    signature: bytes = b"PK\x03\x04",
) -> bytes:
    """Build an archive.

    Args:
        members: In the order of their local headers.
        prefix: Bytes before all, which no offset knows of.
        before_directory: Bytes between the last member and the central directory.
        after_directory: Bytes between the central directory and its end record.
        comment: The archive's comment.
        trailing: Bytes after the end.
        zip64: Write zip64 end records, with everything masked in the plain one.
        listed: Which members the central directory lists, in which order; all if None.
        end: Fields of the end record to override.
        end64: Fields of the zip64 end record to override.
        locator: Fields of the zip64 locator to override.
        extensible: Extensible data of the zip64 end record.
        signature: The signature of local headers.
    """
    out = bytearray()
    headers = []
    for member in members:
        out += member.gap
        fields = member.fields()
        headers.append(_central({**fields, "offset": len(out)} | member.central))
        out += _local(member, fields, signature)
    out += before_directory
    start = len(out)
    chosen = [headers[index] for index in (range(len(headers)) if listed is None else listed)]
    out += b"".join(chosen)
    size = len(out) - start
    out += after_directory
    counts = {"disk": 0, "start_disk": 0, "here": len(chosen), "count": len(chosen)}
    where = {**counts, "size": size, "offset": start}
    if zip64:
        out += _end64(len(out), where | (end64 or {}), locator or {}, extensible)
        where = {"disk": 0, "start_disk": 0, "here": 0xFFFF, "count": 0xFFFF}
        where |= {"size": 0xFFFFFFFF, "offset": 0xFFFFFFFF}
    where |= end or {}
    length = where.pop("comment_length", len(comment))
    out += struct.pack("<4s4H2LH", b"PK\x05\x06", *where.values(), length)
    return prefix + bytes(out) + comment + trailing


def _local(member: Member, fields: dict[str, Any], signature: bytes) -> bytes:
    later = {"crc": 0, "compressed_size": 0, "size": 0} if member.descriptor else {}
    local = fields | later | member.local
    out = struct.pack(
        "<4s5H3L2H",
        signature,
        local["version"],
        local["flags"],
        local["method"],
        0,
        0x21,
        local["crc"],
        local["compressed_size"],
        local["size"],
        local.get("name_length", len(local["name"])),
        local.get("extra_length", len(local["extra"])),
    )
    out += bytes(local["name"] + local["extra"] + local["packed"])
    if member.descriptor:
        told = fields | member.descriptor_fields
        if member.descriptor.startswith("signed"):
            out += b"PK\x07\x08"
        layout = "<LQQ" if member.descriptor.endswith("64") else "<LLL"
        out += struct.pack(layout, told["crc"], told["compressed_size"], told["size"])
    return out


def _central(fields: dict[str, Any]) -> bytes:
    return bytes(
        struct.pack(
            "<4s6H3L5H2L",
            fields.get("signature", b"PK\x01\x02"),
            (3 << 8) | 20,
            fields["version"],
            fields["flags"],
            fields["method"],
            0,
            0x21,
            fields["crc"],
            fields["compressed_size"],
            fields["size"],
            len(fields["name"]),
            len(fields["extra"]),
            fields.get("comment_length", len(fields["comment"])),
            fields["disk"],
            0,
            fields["attributes"],
            fields["offset"],
        )
        + fields["name"]
        + fields["extra"]
        + fields["comment"]
    )


def _end64(position: int, where: dict[str, int], locator: dict[str, int], data: bytes) -> bytes:
    told = {"length": 44 + len(data), **where}
    length = told.pop("length")
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", length, 45, 45, *told.values()) + data
    pointer = {"disk": 0, "position": position, "disks": 1} | locator
    return record + struct.pack("<4sLQL", b"PK\x06\x07", *pointer.values())
