"""Say why nothing is done for some media, and what to do. `core.plans.create` decides it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from asynccvat.core.media.kinds import MediaKind
from asynccvat.core.models import Task
from asynccvat.core.plans.create_overlaps import Overlap
from asynccvat.core.plans.create_units import MediaUnit
from asynccvat.core.plans.restore import too_large
from asynccvat.core.records.creations import Creation
from asynccvat.errors import (
    MediaFileError,
    RequestUncertainError,
    UploadError,
    UploadTooLargeError,
)

# Where a problem with media ends, and what to do about it begins.
_ADVICE = re.compile(r": (?=(?:give|name|put|remove) )")


def several(name: str, found: Sequence[Task]) -> RequestUncertainError:
    """Return the error of a call that may have made one of several tasks."""
    ids = " or ".join(str(task.id) for task in found)
    return RequestUncertainError(
        f"cannot tell whether an earlier call made task {ids}: each is called {name!r}, has no "
        "data and was created since. Delete those that you do not need, and run again.",
        step="create",
    )


def unusable(unit: MediaUnit) -> MediaFileError:
    """Return the error of media whose files cannot be used."""
    first, more = unit.problems[0], len(unit.problems) - 1
    also = f" (and {more:,} more)" if more else ""
    cause, *advice = _ADVICE.split(first, maxsplit=1)
    then = "".join(f"{text[0].upper()}{text[1:]}. " for text in advice)
    return MediaFileError(
        f"cannot create a task of {unit.shown!r}: {cause}{also}. {then}Nothing was sent.",
        step="plan",
    )


def no_frames(unit: MediaUnit) -> MediaFileError:
    """Return the error of media of which no frame is chosen."""
    known = unit.kind is MediaKind.IMAGE and unit.available not in {None, 1}
    what = f"its {unit.available:,} frames" if known else "its frames"
    return MediaFileError(
        f"cannot create a task of {unit.shown!r}: none of {what} is from --start-frame to "
        "--stop-frame. Give other frames.",
        step="plan",
    )


def too_large_for(unit: MediaUnit, limit: int) -> UploadTooLargeError:
    """Return the error of media of more bytes than the server takes in one file."""
    splits = unit.kind is MediaKind.IMAGE
    otherwise = "Give --split, or fewer images" if splits else "Cut it into smaller ones"
    size, doing = unit.sent_size, "create a task of"
    return too_large(unit.shown, size, limit, doing=doing, otherwise=otherwise)


def changed(unit: MediaUnit, creation: Creation) -> UploadError:
    """Return the error of files that changed since a task was made of them."""
    return UploadError(
        f"nothing was done for {unit.shown!r}: its files or their order changed since task "
        f"{creation.task_id} was made of them, and CVAT adds no images to a task. Delete that task "
        "and give --again, or put further images into another folder.",
        step="plan",
    )


def overlapping(unit: MediaUnit, overlap: Overlap) -> UploadError:
    """Return the error of images that another task may have."""
    made = f"which was made of {overlap.key!r}"
    if overlap.changed:
        why = f"{made}, whose files changed since. Put further images into another folder, or "
    else:
        why = f"{made} with another --split or --single. Give these options as before, or "
    return UploadError(
        f"nothing was done for {unit.shown!r}: its images may be in task {overlap.task_id} "
        f"already, {why}delete that task.",
        step="plan",
    )


def perhaps_ours(unit: MediaUnit, task: Task) -> RequestUncertainError:
    """Return the error of files that changed before the id of their task was known."""
    return RequestUncertainError(
        f"nothing was done for {unit.shown!r}: an interrupted run may have made the empty task "
        f"{task.id}, but did not learn its id, and the files changed since. If that task is of no "
        "use, delete it and run again.",
        step="plan",
    )


def gone(unit: MediaUnit, creation: Creation) -> UploadError:
    """Return the error of a task that the server no longer has."""
    return UploadError(
        f"nothing was done for {unit.shown!r}: the server no longer has task {creation.task_id}, "
        "which was made of it. Give --again to create it again.",
        step="plan",
    )


def same_name(unit: MediaUnit, task: Task, project_id: int | None) -> UploadError:
    """Return the error of a name that a task of the project has."""
    where = "" if project_id is None else f" of project {project_id}"
    return UploadError(
        f"cannot create a task of {unit.shown!r}: task {task.id}{where} is called {unit.name!r}, "
        "and no earlier run made it here. Give another --name, or --same-name for a second one.",
        step="plan",
    )
