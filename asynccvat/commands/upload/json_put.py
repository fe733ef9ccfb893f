"""Replace the annotations of a task by JSON, and find out what a lost call did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from isal import isal_zlib

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient, internals
from asynccvat.commands.upload.local_files import explained
from asynccvat.core.annotations.counts import TaskAnnotations
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.records.replaced import content_digest, to_put_back
from asynccvat.errors import (
    AnnotationFileError,
    AsyncCvatError,
    ImportUncertainError,
    ResponseError,
    ServerError,
    StoreError,
    TransportError,
    UploadError,
)


async def replace_and_read(
    client: CvatClient,
    task_id: int,
    content: bytes,
    *,
    wanted: bytes,
    before: bytes,
    uncertain: Callable[[AsyncCvatError], ImportUncertainError],
    in_part: Callable[[ImportUncertainError], None] = lambda _: None,
    append: bool = False,
) -> TaskAnnotations:
    """Replace the annotations of a task, and return what it holds then.

    If the answer is lost, what the task holds tells whether it happened.

    Args:
        client: The server.
        task_id: The task.
        content: The annotations as they are sent, without ids.
        wanted: The same annotations; ids in them do not matter.
        before: What the task held before, as the server said it.
        uncertain: Makes the error for a lost answer that cannot be found out about.
        in_part: Receives the error if they were replaced in part.
        append: Whether the annotations are added to those that the task has.

    Raises:
        ResponseError: The server refuses them. Nothing was replaced.
        TransportError: The answer was lost, and the task is as it was before.
        ServerError: The same, with an answer.
        ImportUncertainError: They were replaced in part, or that is not known.
        HeldBackError: The call had to wait. Nothing was replaced; prepare again.
    """
    lost: AsyncCvatError | None = None
    try:
        await internals(client).replace_annotations(task_id, content, append=append)
    except (TransportError, ServerError) as error:
        lost = error
    except ImportUncertainError as error:
        in_part(error)
        raise
    try:
        after = await client.annotations(task_id)
    except AsyncCvatError as error:
        raise uncertain(lost or error) from error
    if lost is not None and (append or not await in_thread(_is_same, after.raw, wanted)):
        if await in_thread(_is_same, after.raw, before):
            raise lost
        raise uncertain(lost) from lost
    return after


def _is_same(one: bytes, other: bytes) -> bool:
    return content_digest(one) == content_digest(other)


def read_to_put(path: Path, record: MemberRecord) -> bytes:
    """Read a file of CVAT's JSON, and return it without ids, as CVAT takes it.

    Args:
        path: The file.
        record: The file as it was read before.

    Raises:
        AnnotationFileError: It cannot be read, is no JSON, or changed since it was read before.
    """
    with explained(path):
        raw = path.read_bytes()
    if (len(raw), isal_zlib.crc32(raw)) != (record.size, record.crc):
        raise AnnotationFileError(
            f"cannot upload {str(path)!r}: it was changed while it was read. Upload it again."
        )
    try:
        return to_put_back(raw)
    except StoreError as error:
        raise AnnotationFileError(
            f"cannot upload {str(path)!r}: {error}. Make it again, or mirror the task."
        ) from error


async def holds_content(client: CvatClient, task_id: int, path: Path) -> bool:
    """Whether a task holds just the annotations of a file of CVAT's JSON.

    Raises:
        AsyncCvatError: The server cannot be asked.
    """

    def digest() -> str | None:
        try:
            with explained(path):
                return content_digest(path.read_bytes())
        except (AnnotationFileError, StoreError):
            return None  # the upload will say why

    wanted = await in_thread(digest)
    held = await client.annotations(task_id)
    return wanted is not None and await in_thread(content_digest, held.raw) == wanted


def put_uncertain(error: AsyncCvatError, task_id: int, shown: Path) -> ImportUncertainError:
    """Return the error of a lost call of which nothing tells whether it happened."""
    return ImportUncertainError(
        f"the annotations of {str(shown)!r} may have come to task {task_id} or not: "
        f"{str(error).rstrip('.')}. Look at the task before you upload again.",
        task_id=task_id,
        step="upload",
    )


def put_refused(error: ResponseError, task_id: int, shown: Path) -> UploadError | None:
    """Return the error for annotations of other labels; None if they were refused otherwise."""
    if error.status == 400 and ("label_id" in error.detail or "spec_id" in error.detail):
        return UploadError(
            f"cannot upload {str(shown)!r} to task {task_id}: the server answered 400, "
            f"{error.detail.rstrip('.')}. A label or attribute in the file is none of the task's: "
            "it was removed since, or the file is another task's. Mirror the task again.",
            task_id=task_id,
            step="upload",
        )
    return None
