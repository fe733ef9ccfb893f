"""Read and replace the annotations of a task as CVAT's own JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator

from asynccvat.aio.threads import in_thread
from asynccvat.core.annotation_counts import TaskAnnotations, read_task_annotations
from asynccvat.core.numbers import whole
from asynccvat.core.responses import is_json
from asynccvat.errors import ProtocolError
from asynccvat.http import Call, HttpSession, StreamedBody

_PIECE = 1 << 18


async def read_annotations(http: HttpSession, task_id: int) -> TaskAnnotations:
    """Return the annotations of a task. `CvatClient.annotations` documents it."""
    path = f"/api/tasks/{whole('task_id', task_id)}/annotations"
    call = Call(method="GET", path=path, step="annotations", task_id=task_id)
    answer = await http.call(call)
    if not is_json(answer.content_type):
        raise ProtocolError(
            f"cannot read the annotations of task {task_id}: the server sent "
            f"{answer.content_type or 'a body without a type'} instead of JSON. Check whether a "
            "proxy stands before it.",
            task_id=task_id,
            step="annotations",
        )
    # Fifty thousand boxes are 11 MB, whose decoding would hold the event loop up.
    return await in_thread(read_task_annotations, task_id, answer.body)


async def replace_annotations(http: HttpSession, task_id: int, content: bytes) -> None:
    """Replace all annotations of a task, in one call that is not repeated.

    Args:
        http: The server.
        task_id: The task.
        content: An object with `tags`, `shapes` and `tracks`, none of which has an id.

    Raises:
        ResponseError: The server refuses them. Nothing was replaced.
        TransportError: They may have been replaced or not.
    """

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), _PIECE):
            yield content[start : start + _PIECE]

    await http.call(
        Call(
            method="PUT",
            path=f"/api/tasks/{whole('task_id', task_id)}/annotations",
            step="upload",
            task_id=task_id,
            headers={"Content-Type": "application/json"},
            body=StreamedBody(len(content), pieces),
            retry=False,
        )
    )
