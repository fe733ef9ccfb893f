"""The TUS protocol as CVAT speaks it: how large a chunk is, and what the headers say.

TUS (https://tus.io, version 1.0.0) carries a file in pieces to an address that the server gives
out. What a break loses is the piece under way: the server tells how far it came. Sending is left
to `sending`.
"""

from __future__ import annotations

import base64

from asynccvat.errors import ProtocolError

ONE_REQUEST = 1 << 20
"""Bytes up to which a file goes in one request: TUS would cost three more."""

_LARGEST = 32 << 20
# A break costs at most the piece under way. This share of a file, rounded up, keeps five of them
# below a tenth from 64 MiB on; of a smaller file a piece is no smaller than `ONE_REQUEST`.
_SHARE = 64
_ROUND = 1 << 16


def chunk_length(size: int, offset: int) -> int:
    """Bytes of the next piece of a file of `size` bytes of which `offset` are there.

    Long enough for the calls to cost little, short enough for a break to lose little.
    """
    wanted = -(-size // (_SHARE * _ROUND)) * _ROUND
    return min(max(wanted, ONE_REQUEST), _LARGEST, size - offset)


def metadata(filename: str) -> str:
    """The value of an `Upload-Metadata` header that names the file."""
    return f"filename {base64.b64encode(filename.encode()).decode('ascii')}"


def read_offset(header: str | None, *, size: int) -> int:
    """How many bytes the server has, by its `Upload-Offset` header.

    Raises:
        ProtocolError: It is missing, or no offset within a file of `size` bytes.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= size:
        return int(text)
    raise ProtocolError(
        f"the server sent Upload-Offset {header!r} of a file of {size} bytes; it cannot be gone on "
        "from there",
        step="upload",
    )
