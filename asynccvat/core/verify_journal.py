"""The journal of a verification: which tasks were read and found right, and when.

One JSON value a line: first a head, then a task each. A line that cannot be read, as a kill leaves
one, costs its task another reading and nothing else. Where it lies is left to
`commands.verify.journal`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from asynccvat.core.decoding import UNREADABLE

JOURNAL_VERSION = 1
COUNTS_FOR = 7 * 24 * 3600
"""Seconds that a reading counts for: a verification that was given up must not hide, for ever,
what happened since."""


class JournalHead(msgspec.Struct, frozen=True, kw_only=True):
    """Line 1: the form, and when the verification began (seconds since 1970)."""

    version: int = JOURNAL_VERSION
    began: int


class Verified(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A task whose files were read and are right.

    Attributes:
        task_id: The task.
        receipt: Which receipt they were compared with: size and CRC of the receipt itself.
        at: When, seconds since 1970.
    """

    task_id: int
    receipt: str
    at: int


_encoder = msgspec.json.Encoder()
_head_decoder = msgspec.json.Decoder(JournalHead)
_decoder = msgspec.json.Decoder(Verified)


def encode_journal(began: int, entries: Iterable[Verified]) -> bytes:
    """A whole journal as it stands on disk."""
    return encode_line(JournalHead(began=began)) + b"".join(map(encode_line, entries))


def encode_line(value: JournalHead | Verified) -> bytes:
    """A line of a journal. It begins with a line break, too: the one before it may be torn."""
    return b"\n" + _encoder.encode(value) + b"\n"


def decode_journal(content: bytes, *, now: int) -> dict[int, Verified]:
    """What a journal says that still counts, by task; nothing of another version's.

    Args:
        content: As it stands on disk.
        now: Seconds since 1970.
    """
    lines = [line for line in content.split(b"\n") if line]
    try:
        if not lines or _head_decoder.decode(lines[0]).version != JOURNAL_VERSION:
            return {}
    except UNREADABLE:
        return {}
    found: dict[int, Verified] = {}
    for line in lines[1:]:
        try:
            entry = _decoder.decode(line)
        except UNREADABLE:
            continue
        if now - COUNTS_FOR <= entry.at <= now:
            found[entry.task_id] = entry
    return found
