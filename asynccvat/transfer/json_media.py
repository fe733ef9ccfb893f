"""Fetch the media of a task as JSON, and start over if they change during that.

`archives.media` fetches the chunks, `core.media.chunks` plans them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from asynccvat.archives import MediaChangedError, StagedArchive
from asynccvat.archives.media import MediaReading
from asynccvat.core.media.chunks import TaskMedia, left_out
from asynccvat.core.records.receipts import MemberRecord, Receipt
from asynccvat.core.zip import stored_digest
from asynccvat.errors import ProtocolError

# How often the media of one task may change while they are fetched.
_CHANGES = 10


@dataclass(frozen=True, slots=True)
class FetchedMedia:
    """The media of a task, in staging.

    Attributes:
        files: The files.
        fingerprint: That of the media; None if they may change unnoticed.
        transferred: Bytes that came over the network.
        reused: Bytes that were on disk already.
        warnings: What users should know of the files.
    """

    files: tuple[MemberRecord, ...] = ()
    fingerprint: str | None = None
    transferred: int = 0
    reused: int = 0
    warnings: tuple[str, ...] = ()


def with_media(read: StagedArchive, media: FetchedMedia) -> StagedArchive:
    """Return the files of a task together with its media."""
    members = tuple(sorted((*read.members, *media.files), key=lambda one: one.path))
    return replace(
        read,
        members=members,
        digest=stored_digest((one.original, one.crc, one.size) for one in members),
        transferred=read.transferred + media.transferred,
        reused=read.reused + media.reused,
        warnings=media.warnings,
    )


async def fetch_media(
    reading: MediaReading,
    *,
    task_id: int,
    is_video: bool,
    meta: Callable[[], bytes],
    meta_again: Callable[[], Awaitable[bytes]],
    start_over: Callable[[], Awaitable[None]],
    previous: Receipt | None,
) -> FetchedMedia:
    """Fetch the media of a task, and start over if they change during that.

    Args:
        reading: What fetches them.
        task_id: The task, for messages.
        is_video: Whether its chunks are pieces of a video.
        meta: Returns what `frames.json` will hold.
        meta_again: Asks the server for the same.
        start_over: Reads the task's JSON again.
        previous: The receipt of the folder with files that may be reused; None if there is none.

    Raises:
        ProtocolError: The media changed each time.
        AsyncCvatError: As `MediaReading.read`.
    """
    for _ in range(_CHANGES):
        media = reading.plan(meta(), is_video=is_video)
        before = reading.transferred
        try:
            files = await reading.read(media, _known(previous, media))
            if before != reading.transferred:
                _check_same(media, reading.plan(await meta_again(), is_video=is_video))
        except MediaChangedError:
            await start_over()
            continue
        return FetchedMedia(
            files, media.fingerprint, reading.transferred, reading.reused, left_out(media)
        )
    raise ProtocolError(
        f"cannot read the media of task {task_id}: they changed {_CHANGES} times while they were "
        "fetched. Run again later.",
        task_id=task_id,
        step="download",
    )


def _check_same(media: TaskMedia, now: TaskMedia) -> None:
    if now.version != media.version:
        raise MediaChangedError


def _known(previous: Receipt | None, media: TaskMedia) -> Mapping[str, MemberRecord]:
    """Return the files of the folder that is being replaced, if they are of the same media."""
    if previous is None or previous.head.media_fingerprint != media.fingerprint:
        return {}
    return {one.path: one for one in previous.members}
