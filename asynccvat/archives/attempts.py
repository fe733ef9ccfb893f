"""Read an archive again if it changes, breaks off or is damaged; give up in the end.

`session` reads an archive into a tree, `file_session` into one file. Both try as often as this
module says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from asynccvat.aio.threads import in_thread
from asynccvat.archives.backoff import Backoff
from asynccvat.archives.options import ReadOptions
from asynccvat.archives.progress import TransferEvents
from asynccvat.archives.remote import ArchiveChangedError, BodyBrokenError, BodySource
from asynccvat.errors import ArchiveError, AsyncCvatError, ProtocolError

T = TypeVar("T")

# How often one archive may turn into another while it is read.
_CHANGES = 10


async def until_whole(
    read_once: Callable[[], Awaitable[T]],
    source: BodySource,
    backoff: Backoff,
    events: TransferEvents,
    *,
    continues: Callable[[ArchiveError], bool],
    start_over: Callable[[], None],
) -> T:
    """Read an archive, as often as that is worth trying.

    Args:
        read_once: Reads it, and resumes where the last attempt ended.
        source: Where it comes from.
        backoff: The waits after a broken connection.
        events: Receives the retries.
        continues: Whether an error may come from bytes that an earlier process left, rather than
            from the archive.
        start_over: Forgets what came of a damaged archive, in a thread.

    Raises:
        ProtocolError: It changed each time.
        ArchiveError: It is damaged, and was so again after it was fetched a second time.
        TransportError: The connection broke too often.
    """
    changes = 0
    damaged = False
    while True:
        before = source.transferred
        try:
            return await read_once()
        except ArchiveChangedError:
            changes += 1
            if changes > _CHANGES:
                raise ProtocolError(
                    f"the archive changed {changes} times while it was read: something exports it "
                    "again and again. Stop that, then run again.",
                    step="download",
                ) from None
        except BodyBrokenError as broken:
            backoff.progress(source.transferred - before)
            await backoff.retry_or_raise(broken.error)
        except ArchiveError as error:
            continued = continues(error)
            # Whatever is wrong with bytes that are on disk, those of the server may be right.
            if not continued and (damaged or not error.retryable):
                raise
            damaged = damaged or not continued
            await in_thread(start_over)
            events.retrying("extract", error, 0.0)


def new_backoff(options: ReadOptions, events: TransferEvents) -> Backoff:
    """Return the waits of one transfer."""

    def retrying(error: AsyncCvatError, delay: float) -> None:
        events.retrying("download", error, delay)

    return Backoff(options.policy, options.budget, retrying, options.timing)
