"""Small valid PNG pictures without an imaging library, as the frames of videos.

A picture is a mosaic of 16 x 16 pixel tiles. A text chunk holds the seed, which makes the bytes of
every frame unique.
"""

from __future__ import annotations

import functools
import random
import struct
import zlib
from typing import Final

_TILE: Final = 16
_VARIANTS: Final = 32
"""Pictures drawn for one frame size; further seeds repeat them with another text."""


def draw_png(seed: int, width: int = 640, height: int = 480) -> bytes:
    """Draw a PNG picture: the same arguments always give the same bytes.

    Args:
        seed: Chooses the picture, and is written into its text, so that no two are equal.
        width: Width in pixels.
        height: Height in pixels.
    """
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, red, green and blue
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", head),
            _chunk(b"tEXt", f"Comment\0seed {seed}".encode("latin-1")),
            _chunk(b"IDAT", _mosaic(seed % _VARIANTS, width, height)),
            _chunk(b"IEND", b""),
        ]
    )


@functools.lru_cache(maxsize=2 * _VARIANTS)
def _mosaic(variant: int, width: int, height: int) -> bytes:
    rng = random.Random(variant)
    rows = bytearray()
    for top in range(0, height, _TILE):
        tiles = b"".join(rng.randbytes(3) * _TILE for _ in range(-(-width // _TILE)))
        rows += (b"\0" + tiles[: 3 * width]) * min(_TILE, height - top)
    return zlib.compress(bytes(rows), 1)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
