"""Decide about states of annotations that were replaced: names, digests, and which of them stay.

A state is the server's own JSON. Its digest ignores ids and the order of annotations, as the server
gives new ids to annotations that are put back. `store.replaced` reads and writes the files.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from asynccvat.core.annotations.entries import entries_of, fields_of, is_object
from asynccvat.core.decoding import UNREADABLE
from asynccvat.errors import StoreError

REPLACED_VERSION = 1

NEWEST = 10
"""How many of the newest states of a task stay, no matter who made them."""

_NAME = re.compile(r"([1-9]\d{0,17})-(\d{8}T\d{6}\.\d{6})Z(\.own)?\.json", re.ASCII)
_TIME = "%Y%m%dT%H%M%S.%f"
_TICK = timedelta(microseconds=1)
_KINDS = ("tags", "shapes", "tracks")
# Bytes of a document without annotations, and some more.
_FRAME = 64
_NULL = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class ReplacedState:
    """One state of a task's annotations that was kept before it was replaced.

    Attributes:
        task_id: The task.
        at: When it was kept, in UTC.
        own: Whether an upload by asynccvat had left it. Otherwise it may be a person's work.
    """

    task_id: int
    at: datetime
    own: bool

    @property
    def name(self) -> str:
        """The name of its file."""
        own = ".own" if self.own else ""
        return f"{self.task_id}-{self.at.strftime(_TIME)}Z{own}.json"


def replaced_states(names: Iterable[str], task_id: int) -> tuple[ReplacedState, ...]:
    """Return the states of a task among the names in a folder, the newest first."""
    found = (state_of_name(name) for name in names if name.startswith(f"{task_id}-"))
    states = [state for state in found if state is not None]
    return tuple(sorted(states, key=lambda state: state.at, reverse=True))


def state_of_name(name: str) -> ReplacedState | None:
    """Return the state whose file has this name; None if it is another file."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        at = datetime.strptime(match[2], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None  # a file of the user's with a similar name
    return ReplacedState(int(match[1]), at, own=match[3] is not None)


def next_state(
    states: Sequence[ReplacedState], task_id: int, *, now: datetime, own: bool
) -> ReplacedState:
    """Return the state to keep next. It is newer than all others, even if the clock went back."""
    at = max(now, states[0].at + _TICK) if states else now
    return ReplacedState(task_id, at, own)


def superfluous(states: Sequence[ReplacedState]) -> tuple[ReplacedState, ...]:
    """Return the states that may be removed: older than the newest ten, and left by an upload."""
    return tuple(state for state in states[NEWEST:] if state.own)


def to_put_back(raw: bytes) -> bytes:
    """Return annotations as they can be put back: without ids, at every depth.

    CVAT refuses ids in a PUT (400, "must be absent").

    Raises:
        StoreError: It is no JSON.
    """
    content = io.BytesIO()
    _write_without_ids(raw, content.write)
    return content.getvalue()


def in_pieces(content: bytes, most: int) -> tuple[bytes, ...]:
    """Divide annotations into documents of at most `most` bytes, if no single one is longer.

    Raises:
        StoreError: It is no JSON.
    """
    with _explained():
        document = fields_of(content) or {}
    pieces: list[dict[str, list[msgspec.Raw]]] = [{}]
    length = _FRAME
    for kind in _KINDS:
        for item in entries_of(document.get(kind, _NULL)) or ():
            size = len(memoryview(item))
            if length + size > most and length > _FRAME:
                pieces.append({})
                length = _FRAME
            pieces[-1].setdefault(kind, []).append(item)
            length += size + 1
    empty: dict[str, list[msgspec.Raw]] = {kind: [] for kind in _KINDS}
    return tuple(msgspec.json.encode({"version": 0} | empty | piece) for piece in pieces)


def content_digest(raw: bytes) -> str:
    """Return a digest of annotations that ignores ids, and the order of annotations.

    Raises:
        StoreError: It is no JSON.
    """
    digest = hashlib.sha256()
    _write_without_ids(raw, digest.update, canonical=True)
    return digest.hexdigest()


def _write_without_ids(
    raw: bytes, write: Callable[[bytes], object], *, canonical: bool = False
) -> None:
    """Write JSON without ids. `canonical` sorts keys and annotations.

    Raises:
        StoreError: It is no JSON.
    """

    def encoded(value: Any) -> bytes:
        content = _without_ids(value)
        if canonical:
            return msgspec.json.encode(_sorted(content), order="sorted")
        return msgspec.json.encode(content)

    with _explained():
        fields = fields_of(raw)
        if fields is None:
            write(encoded(msgspec.json.decode(raw)))
            return
        fields.pop("id", None)
        before = b"{"
        for key in sorted(fields) if canonical else tuple(fields):
            write(before + msgspec.json.encode(key) + b":")
            value = fields.pop(key)
            entries = entries_of(value)
            if entries and is_object(entries[0]):
                items = (encoded(msgspec.json.decode(entry)) for entry in entries)
                _write_list(sorted(items) if canonical else items, write)
            else:
                write(encoded(msgspec.json.decode(value)))
            before = b","
        write(b"}" if before == b"," else b"{}")


def _write_list(items: Iterable[bytes], write: Callable[[bytes], object]) -> None:
    before = b"["
    for item in items:
        write(before + item)
        before = b","
    write(b"]")


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise StoreError(f"damaged annotations: {error}") from error


def _without_ids(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_ids(item) for key, item in value.items() if key != "id"}
        case list():
            # Points are many, and hold no ids.
            if value and isinstance(value[0], int | float):
                return value
            return [_without_ids(item) for item in value]
        case _:
            return value


def _sorted(value: Any) -> Any:
    match value:
        case dict():
            return {key: _sorted(item) for key, item in value.items()}
        case list() if value and isinstance(value[0], dict):
            items = (msgspec.json.encode(_sorted(item), order="sorted") for item in value)
            return [msgspec.Raw(item) for item in sorted(items)]
        case list():
            return [_sorted(item) for item in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


class LastUpload(msgspec.Struct, frozen=True, kw_only=True):
    """What the last upload to a task left there.

    Attributes:
        version: Version of the format.
        digest: The content digest of the annotations after it.
        at: When it ended, ISO 8601.
    """

    version: int = REPLACED_VERSION
    digest: str
    at: str


_LAST_UPLOAD = msgspec.json.Decoder(LastUpload)


def encode_last_upload(last: LastUpload) -> bytes:
    """Encode what the last upload left, as it stands on disk."""
    return msgspec.json.encode(last) + b"\n"


def decode_last_upload(content: bytes | None) -> LastUpload | None:
    """Read what the last upload left. None if that is unknown.

    Without it every state counts as a person's work, which only keeps more.
    """
    if content is None:
        return None
    try:
        last = _LAST_UPLOAD.decode(content)
    except UNREADABLE:
        return None
    return last if last.version <= REPLACED_VERSION else None
