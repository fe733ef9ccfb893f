"""Make small media files whose containers are right: what checks without a decoder look at."""

from __future__ import annotations

import struct
import zlib

THUMBNAIL = b"\xff\xd8\xff\xdb\x00\x04\x00\x00\xff\xd9"


def jpeg(data: bytes = b"pixels", *, thumbnail: bytes = b"") -> bytes:
    """Return a file with the markers of a JPEG."""
    exif = b"Exif\x00\x00" + thumbnail
    header = b"\xff\xd8\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    return header + scan + data.replace(b"\xff", b"\xff\x00") + b"\xff\xd9"


def png(width: int = 2, height: int = 2, data: bytes = b"pixels") -> bytes:
    """Return a file with the chunks of a PNG."""

    def chunk(name: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)

    header = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def large_png(size: int) -> bytes:
    """Return a PNG with so many bytes of text in it, which no decoder looks at."""
    small = png(3, 3)
    body = b"tEXt" + bytes(size)
    crc = struct.pack(">I", zlib.crc32(body))
    return small[:33] + struct.pack(">I", size) + body + crc + small[33:]


def gif() -> bytes:
    return b"GIF89a" + struct.pack("<HH", 2, 2) + b"\x00\x00\x00,pixels\x00;"


def bmp() -> bytes:
    return b"BM" + struct.pack("<III", 60, 0, 54) + bytes(46)


def webp() -> bytes:
    return b"RIFF" + struct.pack("<I", 24) + b"WEBPVP8 " + struct.pack("<I", 12) + bytes(12)


def tiff(order: str = "<") -> bytes:
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(order + "HI", 42, 8)
    return head + struct.pack(order + "H", 1) + bytes(12) + bytes(4)


def big_tiff() -> bytes:
    head = b"II" + struct.pack("<HHHQ", 43, 8, 0, 16)
    return head + struct.pack("<Q", 1) + bytes(20) + bytes(8)


def mp4(media: bytes = b"frames") -> bytes:
    """Return a file with the boxes of an MP4."""

    def box(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body) + 8) + name + body

    return box(b"ftyp", b"isom\x00\x00\x00\x00") + box(b"moov", bytes(8)) + box(b"mdat", media)


def avi() -> bytes:
    return b"RIFF" + struct.pack("<I", 20) + b"AVI LIST" + bytes(12)


def matroska(*, known_size: bool = True) -> bytes:
    size = b"\x84" if known_size else b"\x01\xff\xff\xff\xff\xff\xff\xff"
    return b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67" + size + b"frms"


def mpeg() -> bytes:
    return b"\x00\x00\x01\xba" + bytes(20)
