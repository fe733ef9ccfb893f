"""Read and replace the annotations of a task as CVAT's own JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator

from asynccvat.aio.threads import in_thread
from asynccvat.client.body_limit import TOO_LARGE, BodyLimit
from asynccvat.client.json_calls import JsonCalls
from asynccvat.core.annotations.counts import TaskAnnotations, read_task_annotations
from asynccvat.core.numbers import whole
from asynccvat.core.records.replaced import in_pieces
from asynccvat.core.wire.tus import LARGEST
from asynccvat.errors import (
    AsyncCvatError,
    ImportUncertainError,
    RateLimitError,
    ResponseError,
    TransportError,
)
from asynccvat.http import Call, HttpSession, StreamedBody

_PIECE = 1 << 18
# CVAT refuses bodies of more than 100 MiB that are no forms (400).
_AT_ONCE = 64 << 20


async def read_annotations(http: HttpSession, task_id: int) -> TaskAnnotations:
    """Return the annotations of a task. `CvatClient.annotations` documents it."""
    body = await JsonCalls(http).annotations(task_id)
    # Fifty thousand boxes are 11 MB, whose decoding would hold the event loop up.
    return await in_thread(read_task_annotations, task_id, body)


async def replace_annotations(
    http: HttpSession, task_id: int, content: bytes, limit: BodyLimit, *, append: bool = False
) -> None:
    """Replace all annotations of a task. No call is repeated that may have been carried out.

    One call does it, at once, unless a gateway or CVAT refuses so large a request. Then the first
    piece replaces what the task has, and the others are added.

    Args:
        http: The server.
        task_id: The task.
        content: An object with `tags`, `shapes` and `tracks`, none of which has an id.
        limit: What a gateway allows in one request. It is updated.
        append: Add them to those that the task has.

    Raises:
        ResponseError: The server refuses them. Nothing was replaced.
        TransportError: They may have been replaced or not.
        ImportUncertainError: They were replaced in part.
        HeldBackError: The first call had to wait. Nothing was replaced.
    """
    queue, done, attempt = [content], 0, 0
    while queue:
        piece = queue.pop(0)
        most = _AT_ONCE if limit.most == LARGEST else limit.most
        parts = await in_thread(in_pieces, piece, most) if len(piece) > most else (piece,)
        if len(parts) > 1:
            queue[:0] = parts
            continue
        try:
            await http.call(_replacing(task_id, piece, done=done, append=append))
        except ResponseError as error:
            if error.status == TOO_LARGE and limit.note_refused(len(piece)):
                queue.insert(0, piece)
                continue
            if done and isinstance(error, RateLimitError) and not error.unanswered:
                # CVAT limits calls before it reads them: the piece has not come.
                await _wait_or_refuse(http, error, attempt, task_id, done)
                queue.insert(0, piece)
                attempt += 1
                continue
            _refuse_half(error, task_id, done)
            raise
        except TransportError as error:
            _refuse_half(error, task_id, done)
            raise
        done, attempt = done + 1, 0


def _replacing(task_id: int, piece: bytes, *, done: int, append: bool) -> Call:
    """Return the call that replaces annotations by the first piece, or adds one."""
    adds = append or done > 0

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(piece), _PIECE):
            yield piece[start : start + _PIECE]

    return Call(
        method="PATCH" if adds else "PUT",
        path=f"/api/tasks/{whole('task_id', task_id)}/annotations",
        step="upload",
        task_id=task_id,
        params={"action": "create"} if adds else {},
        headers={"Content-Type": "application/json"},
        body=StreamedBody(len(piece), pieces),
        retry=False,
        at_once=not done,
    )


async def _wait_or_refuse(
    http: HttpSession, error: RateLimitError, attempt: int, task_id: int, done: int
) -> None:
    """Wait as long as the server asks for, or raise the error if there were too many attempts."""
    try:
        await http.retry_or_raise(error, attempt)
    except AsyncCvatError as last:
        _refuse_half(last, task_id, done)


def _refuse_half(error: AsyncCvatError, task_id: int, done: int) -> None:
    """Raise another error if pieces were sent before."""
    if done:
        raise ImportUncertainError(
            f"the annotations of task {task_id} were replaced in part: {error}",
            task_id=task_id,
            step="upload",
        ) from error
