"""Read the annotations of a task as CVAT's own JSON."""

from __future__ import annotations

from asynccvat.aio.threads import in_thread
from asynccvat.core.annotation_counts import TaskAnnotations, read_task_annotations
from asynccvat.core.numbers import whole
from asynccvat.core.responses import is_json
from asynccvat.errors import ProtocolError
from asynccvat.http import Call, HttpSession


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
