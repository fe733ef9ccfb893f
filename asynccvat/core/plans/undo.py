"""Word why an upload cannot be undone, and judge what came of an undo.

`commands.upload.undo` carries it out.
"""

from __future__ import annotations

from collections.abc import Sequence

from asynccvat.core.annotations.counts import AnnotationCounts
from asynccvat.errors import (
    AnnotationLossError,
    AsyncCvatError,
    ImportUncertainError,
    ResponseError,
    TaskChangedError,
    UploadError,
)


def nothing_kept(task_id: int, place: str) -> UploadError:
    """Return the error of a task of which nothing is kept."""
    return UploadError(
        f"cannot undo an upload to task {task_id}: nothing that it held is kept in {str(place)!r}. "
        "Check "
        "the task and the folder.",
        task_id=task_id,
        step="plan",
    )


def no_such_state(task_id: int, name: str, place: str, names: Sequence[str]) -> UploadError:
    """Return the error of a state that is not kept. `names` has those that are."""
    return UploadError(
        f"cannot undo an upload to task {task_id}: {name!r} is not kept in {place!r}. Name one of "
        f"{', '.join(names[:10])}.",
        task_id=task_id,
        step="plan",
    )


def changed_since_upload(task_id: int, *, known: bool) -> TaskChangedError:
    """Return the error of a task that is not as the last upload left it.

    Args:
        task_id: The task.
        known: Whether it is known how the upload left it.
    """
    why = (
        "the task changed since that upload"
        if known
        else "nothing tells how that upload left the task, so it may have changed since"
    )
    return TaskChangedError(
        f"cannot undo the upload to task {task_id}: {why}. Look at the task. With --overwrite what "
        "it holds now is kept and replaced.",
        task_id=task_id,
        step="plan",
    )


def check_put_back(
    task_id: int, *, wanted: AnnotationCounts, found: AnnotationCounts, file: str
) -> None:
    """Compare what a task holds after an undo with what was put back.

    Raises:
        AnnotationLossError: It holds another number of annotations.
    """
    pairs = {
        "tracks": (found.tracks, wanted.tracks),
        "shapes": (found.shapes, wanted.shapes),
        "tags": (found.tags, wanted.tags),
    }
    other = [f"{has:,} of {due:,} {noun}" for noun, (has, due) in pairs.items() if has != due]
    if other:
        raise AnnotationLossError(
            f"the undo put back {', '.join(other)} of task {task_id}: CVAT drops annotations on "
            "frames that a task does not have, and another user may have changed the task. "
            f"Compare the task with {str(file)!r}.",
            task_id=task_id,
            step="upload",
        )


def put_back_refused(error: ResponseError, task_id: int, file: str, size: int) -> AsyncCvatError:
    """Return the error for annotations that the server does not take back."""
    if error.status == 413:
        return UploadError(
            f"cannot put back the annotations of task {task_id}: a gateway refuses a request of "
            f"{size:,} bytes with status 413. Have its limit raised, in nginx with "
            f"client_max_body_size. {str(file)!r} keeps them.",
            task_id=task_id,
            step="upload",
        )
    if error.status == 400 and ("label_id" in error.detail or "spec_id" in error.detail):
        return UploadError(
            f"cannot put back the annotations of task {task_id}: the server answered 400, "
            f"{error.detail.rstrip('.')}. A label or attribute of theirs was removed since. "
            f"{str(file)!r} "
            "keeps them.",
            task_id=task_id,
            step="upload",
        )
    return error


def undo_uncertain(error: AsyncCvatError, task_id: int) -> ImportUncertainError:
    """Return the error of an undo whose answer was lost, and which cannot be found out about."""
    return ImportUncertainError(
        f"the undo of the upload to task {task_id} may have happened or not: "
        f"{str(error).rstrip('.')}. Look at the task, and run it again with --overwrite if needed.",
        task_id=task_id,
        step="upload",
    )
