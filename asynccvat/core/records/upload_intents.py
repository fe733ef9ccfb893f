"""Recognize the import of an upload that was interrupted before it noted the end.

Before an import into a task of a mirror is requested, an intent is written. If the task has changed
at the next run, the intent and the server's list of imports tell whether our import changed it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.requests import ServerRequest

INTENT_VERSION = 1

# The call that requests an import follows its intent at once. A later import is another one's.
_SOON = timedelta(minutes=1)
# The most attempts to remember for one task, if it was busy at each of them.
_MOST = 20


class UploadIntent(msgspec.Struct, frozen=True, kw_only=True):
    """The imports that were requested since a task was mirrored.

    Attributes:
        version: Version of the format.
        mirrored_date: The task's date in the receipt. The task had it when they were requested.
        requested: The server's clock right before each request, in the order of the requests.
    """

    version: int = INTENT_VERSION
    mirrored_date: str
    requested: tuple[datetime, ...] = ()


_INTENT = msgspec.json.Decoder(UploadIntent)


def next_intent(
    known: UploadIntent | None, mirrored_date: str, server_date: datetime
) -> UploadIntent:
    """Return the intent to write before an import is requested."""
    before: tuple[datetime, ...] = ()
    if known is not None and known.mirrored_date == mirrored_date:
        before = known.requested[1 - _MOST :]
    return UploadIntent(mirrored_date=mirrored_date, requested=(*before, server_date))


def is_own_change(
    intent: UploadIntent, updated_date: str, imports: Iterable[ServerRequest]
) -> bool:
    """Whether one of our imports left a task in its present state.

    Args:
        intent: What was requested.
        updated_date: The task's date now.
        imports: The user's imports into the task that the server remembers.
    """
    try:
        moment = datetime.fromisoformat(updated_date)
    except ValueError:
        return False
    return any(_is_ours(request, intent) and _has_caused(request, moment) for request in imports)


def _is_ours(request: ServerRequest, intent: UploadIntent) -> bool:
    created = request.created_date
    return created is not None and any(
        since <= created <= since + _SOON for since in intent.requested
    )


def _has_caused(request: ServerRequest, moment: datetime) -> bool:
    begun, ended = request.started_date or request.created_date, request.finished_date
    return begun is not None and ended is not None and begun <= moment <= ended


def encode_intent(intent: UploadIntent) -> bytes:
    """Encode an intent as it stands on disk."""
    return msgspec.json.encode(intent) + b"\n"


def decode_intent(content: bytes | None) -> UploadIntent | None:
    """Read an intent. None if there is none that can be read: then a change counts as another's."""
    if content is None:
        return None
    try:
        intent = _INTENT.decode(content)
    except UNREADABLE:
        return None
    return intent if intent.version <= INTENT_VERSION else None
