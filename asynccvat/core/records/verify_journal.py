"""The journal of a verification: which tasks were read and found right, and when.

One JSON value a line: a head first, then a line for each task. A kill may leave a torn line; its
task is then read once more. `commands.verify.journal` keeps the file.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.errors import StoreError

JOURNAL_VERSION = 1
COUNTS_FOR = 7 * 24 * 3600
"""Seconds for which a reading counts.

Otherwise a verification that was given up would hide for ever what happened to files since."""


class JournalHead(msgspec.Struct, frozen=True, kw_only=True):
    """Line 1.

    Attributes:
        version: Version of the format.
        began: When the verification began, seconds since 1970.
    """

    version: int = JOURNAL_VERSION
    began: int


class _JournalVersion(msgspec.Struct):
    version: int = JOURNAL_VERSION


class Verified(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A task whose files were read, and found right.

    Attributes:
        task_id: The task.
        receipt: The receipt that they were compared with: the size and CRC of the receipt itself.
        at: When they were read, seconds since 1970.
    """

    task_id: int
    receipt: str
    at: int


_encoder = msgspec.json.Encoder()
_version_decoder = msgspec.json.Decoder(_JournalVersion)
_decoder = msgspec.json.Decoder(Verified)


def encode_journal(began: int, entries: Iterable[Verified]) -> bytes:
    """Encode a whole journal as it stands on disk."""
    return encode_line(JournalHead(began=began)) + b"".join(map(encode_line, entries))


def encode_line(value: JournalHead | Verified) -> bytes:
    """Encode a line. It begins with a line break, too, as the line before it may be torn."""
    return b"\n" + _encoder.encode(value) + b"\n"


def decode_journal(content: bytes, *, now: int) -> dict[int, Verified]:
    """Decode the entries of a journal that still count, by task.

    Args:
        content: The journal as it stands on disk.
        now: Seconds since 1970.

    Raises:
        StoreError: It was written by a newer version.
    """
    lines = [line for line in content.split(b"\n") if line]
    try:
        version = _version_decoder.decode(lines[0]).version if lines else 0
    except UNREADABLE:
        return {}
    if version > JOURNAL_VERSION:
        raise StoreError(f"it is of version {version}, and this asynccvat reads {JOURNAL_VERSION}")
    found: dict[int, Verified] = {}
    for line in lines[1:]:
        try:
            entry = _decoder.decode(line)
        except UNREADABLE:
            continue
        if now - COUNTS_FOR <= entry.at <= now:
            found[entry.task_id] = entry
    return found
