"""Decide the pieces of a TUS upload, and read and write its headers.

TUS (https://tus.io, version 1.0.0) sends a file in pieces to an address that the server gives out.
The server says how much it has, so a break loses only the piece under way. `client.tus` sends.
"""

from __future__ import annotations

import base64

from asynccvat.errors import ProtocolError

ONE_REQUEST = 1 << 20
"""Bytes up to which a file is sent in one request. TUS would need three more requests."""

SMALLEST = 1 << 16
"""Bytes of the smallest piece. A gateway that refuses even this is not worth more calls."""

LARGEST = 32 << 20
"""Bytes of the largest piece."""

# A break costs at most the piece under way. With pieces of a 64th of the file, rounded up, five
# breaks cost less than a tenth of a file from 64 MiB on. Smaller files have pieces of
# `ONE_REQUEST`.
_SHARE = 64
_ROUND = 1 << 16


def chunk_length(size: int, offset: int, *, most: int = LARGEST) -> int:
    """Return the bytes of the next piece of a file of `size` bytes, at an offset.

    Pieces are long enough that calls cost little, and short enough that a break loses little.
    A gateway may allow no more than `most` bytes.
    """
    wanted = -(-size // (_SHARE * _ROUND)) * _ROUND
    return min(max(wanted, ONE_REQUEST), most, size - offset)


def shorter(refused: int) -> int | None:
    """Return the bytes of the piece to try after a gateway refused one (413): half of it.

    Returns:
        None if the refused piece was one of the smallest.
    """
    return max(refused // 2, SMALLEST) if refused > SMALLEST else None


def metadata(filename: str) -> str:
    """Return the value of an `Upload-Metadata` header with the file's name."""
    return f"filename {base64.b64encode(filename.encode()).decode('ascii')}"


def read_offset(header: str | None, *, size: int) -> int:
    """Return how many bytes the server has, by its `Upload-Offset` header.

    Raises:
        ProtocolError: It is missing, or not an offset in a file of `size` bytes.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= size:
        return int(text)
    raise ProtocolError(
        f"cannot continue the upload of a file of {size} bytes: the server sent Upload-Offset "
        f"{header!r}. Check whether a proxy changes headers, then upload again.",
        step="upload",
    )
