"""Tell which tasks of a mirror's plan a named format flattens.

A video is annotated with tracks, and a format of shapes writes each as a shape on every frame.
`core.annotations.loss` refuses to upload such a file over the tracks.
"""

from __future__ import annotations

from asynccvat.core.annotations.capacity import export_keeps_tracks
from asynccvat.core.annotations.counts import enumeration
from asynccvat.core.plans.mirror import Fetch, Plan
from asynccvat.core.plans.targets import MIXED
from asynccvat.core.specs import CVAT, CVAT_IMAGES, CVAT_VIDEO, ExportSpec
from asynccvat.core.texts import first_few

_NAMED = 5


def flattening(plan: Plan, spec: ExportSpec) -> str | None:
    """Return a warning about the videos that are fetched without their tracks; None if none is.

    Args:
        plan: The plan. The tasks' modes are those of the listing.
        spec: What they are fetched as.
    """
    if spec.format == CVAT:
        return _mixed(plan)
    if spec.is_json or export_keeps_tracks(spec.format):
        return None
    videos = [step.task.id for step in plan.of(Fetch) if step.task.mode == "interpolation"]
    if not videos:
        return None
    named = [str(task_id) for task_id in videos[:_NAMED]]
    if len(videos) > _NAMED:
        named.append(f"{len(videos) - _NAMED:,} more")
    which = (
        f"task {named[0]} is a video"
        if len(videos) == 1
        else (f"{len(videos):,} tasks are videos (tasks {enumeration(named)})")
    )
    return (
        f"{which}, and {spec.format!r} has no tracks: it holds a shape for each frame instead. "
        f"Uploads of such a file over tracks are refused. Use --format {CVAT} to keep the tracks."
    )


def encoded_videos(plan: Plan, spec: ExportSpec) -> str | None:
    """Return a warning about videos of which CVAT sends pieces that it encoded; None if none is.

    Args:
        plan: The plan. The tasks' modes are those of the listing.
        spec: What they are fetched as.
    """
    if not (spec.is_json and spec.images):
        return None
    videos = [step.task.id for step in plan.of(Fetch) if step.task.mode == "interpolation"]
    if not videos:
        return None
    which = "task is a video" if len(videos) == 1 else "tasks are videos"
    return (
        f"{len(videos):,} {which} ({first_few(videos)}), of which CVAT sends pieces that it "
        "encoded itself. For the original files, use `asynccvat backup`."
    )


def _mixed(plan: Plan) -> str | None:
    """Return a warning about projects of images and videos, for which one flavour has to do."""
    mixed = [step.task.id for step in plan.of(Fetch) if step.task.mode == MIXED]
    if not mixed:
        return None
    which = f"project {mixed[0]} holds" if len(mixed) == 1 else f"{len(mixed):,} projects hold"
    return (
        f"{which} images and videos ({first_few(mixed)}): {CVAT_IMAGES!r} is taken, which has a "
        f"shape for each frame instead of tracks. Mirror the tasks to keep the tracks, or use "
        f"--format {CVAT_VIDEO!r}."
    )
