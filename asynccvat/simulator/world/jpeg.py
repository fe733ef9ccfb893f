"""Small valid JPEG pictures without an imaging library.

The pictures are baseline JPEG (ITU-T T.81): 4:2:0, DC values coded with the tables of Annex K.3,
and no AC coefficients, so a picture is a mosaic of 8 x 8 pixel tiles. Comment segments (COM) hold
the seed, which makes the bytes of every frame unique, and pad the file to a wanted size.
"""

from __future__ import annotations

import functools
import random
import struct
from typing import Final

_VARIANTS: Final = 32
"""Pictures drawn for one frame size; further seeds repeat them with another comment."""

_MAX_COMMENT: Final = 0xFFFF - 2
"""Most bytes that one comment segment holds: its length field counts itself."""

# T.81 table K.3 (luminance) and K.4 (chrominance): codes of each length 1..16, then their symbols.
_LUMA_DC_LENGTHS: Final = bytes([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0])
_CHROMA_DC_LENGTHS: Final = bytes([0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0])
_DC_SYMBOLS: Final = bytes(range(12))
# The only AC symbol is "end of block" (0x00): one code of one bit, which is not all ones.
_AC_LENGTHS: Final = bytes([1] + [0] * 15)
_AC_SYMBOLS: Final = bytes([0x00])
_END_OF_BLOCK: Final = "0"


def draw_jpeg(seed: int, width: int = 640, height: int = 480, size: int | None = None) -> bytes:
    """Draw a JPEG picture: the same arguments always give the same bytes.

    Args:
        seed: Chooses the picture, and is written into its comment, so that no two are equal.
        width: Width in pixels, 1 to 65535.
        height: Height in pixels, 1 to 65535.
        size: Wanted length in bytes, reached exactly by padding; a longer picture stays
            unchanged. None: no padding.

    Raises:
        ValueError: A picture of that width or height cannot be written.
    """
    if not (1 <= width <= 0xFFFF and 1 <= height <= 0xFFFF):
        raise ValueError(
            f"a JPEG is 1 to 65535 pixels wide and high, not {width} x {height}: choose within"
        )
    head, scan = _picture(seed % _VARIANTS, width, height)
    comment = f"seed {seed}".encode()
    shortage = 0 if size is None else size - (len(head) + 4 + len(comment) + len(scan))
    return b"".join([head, *_comments(comment, max(shortage, 0)), scan])


def _comments(text: bytes, padding: int) -> list[bytes]:
    """Return comment segments with `text`, `padding` bytes longer than it and one header."""
    first = min(padding, _MAX_COMMENT - len(text))
    remaining = padding - first
    if 0 < remaining < 4:  # a further segment takes four bytes at least
        first -= 4 - remaining
        remaining = 4
    segments = [_segment(0xFE, text + _noise()[:first])]
    while remaining:
        whole = min(remaining, _MAX_COMMENT + 4)
        if 0 < remaining - whole < 4:
            whole -= 4
        segments.append(_segment(0xFE, _noise()[: whole - 4]))
        remaining -= whole
    return segments


@functools.cache
def _noise() -> bytes:
    return random.Random("padding").randbytes(_MAX_COMMENT)


@functools.lru_cache(maxsize=256)
def _picture(variant: int, width: int, height: int) -> tuple[bytes, bytes]:
    """Return the bytes before the comments and the bytes after them."""
    quantisation = bytes([8] + [1] * 63)  # a DC step of 8 is one step of the tile's grey value
    components = bytes([1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0])
    head = b"".join(
        [
            b"\xff\xd8",
            _segment(0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"),
            _segment(0xDB, b"\x00" + quantisation),
            _segment(0xC0, struct.pack(">BHHB", 8, height, width, 3) + components),
            _segment(0xC4, b"\x00" + _LUMA_DC_LENGTHS + _DC_SYMBOLS),
            _segment(0xC4, b"\x10" + _AC_LENGTHS + _AC_SYMBOLS),
            _segment(0xC4, b"\x01" + _CHROMA_DC_LENGTHS + _DC_SYMBOLS[:11] + b"\x0b"),
        ]
    )
    scan_header = _segment(0xDA, bytes([3, 1, 0x00, 2, 0x10, 3, 0x10, 0, 63, 0]))
    return head, scan_header + _scan(variant, width, height) + b"\xff\xd9"


def _scan(variant: int, width: int, height: int) -> bytes:
    rng = random.Random(f"picture {variant} {width} {height}")
    slope_x, slope_y = rng.uniform(-90, 90), rng.uniform(-90, 90)
    hue = [rng.randrange(-60, 60), rng.randrange(-60, 60)]
    luma = _differences(_LUMA_DC_LENGTHS)
    chroma = _differences(_CHROMA_DC_LENGTHS)
    columns, rows = -(-width // 16), -(-height // 16)
    bits: list[str] = []
    previous = 0
    for row in range(rows):
        for column in range(columns):
            for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
                across = (2 * column + dx) / (2 * columns) - 0.5
                down = (2 * row + dy) / (2 * rows) - 0.5
                value = int(slope_x * across + slope_y * down) + rng.getrandbits(5) - 16
                bits.append(luma[value - previous])
                previous = value
            bits += [chroma[hue[0]], chroma[hue[1]]]
            hue = [0, 0]  # the colour is constant: only the first block differs from the last
    stream = "".join(bits)
    stream += "1" * (-len(stream) % 8)
    return int(stream, 2).to_bytes(len(stream) // 8, "big").replace(b"\xff", b"\xff\x00")


@functools.cache
def _differences(lengths: bytes) -> dict[int, str]:
    """Return the bits of a block, by difference of DC values (T.81 F.1.2)."""
    codes: list[str] = []
    code = 0
    for length, count in enumerate(lengths, start=1):
        for _ in range(count):
            codes.append(f"{code:0{length}b}")
            code += 1
        code <<= 1
    table = {}
    for difference in range(-255, 256):
        category = abs(difference).bit_length()
        extra = difference if difference > 0 else difference + (1 << category) - 1
        magnitude = f"{extra:0{category}b}" if category else ""
        table[difference] = codes[category] + magnitude + _END_OF_BLOCK
    return table


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload
