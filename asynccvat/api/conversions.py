"""Convert a mirror as JSON without a server: `convert`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from asynccvat.api.arguments import PathText, checked_path
from asynccvat.commands.convert.run import OnTask, convert_mirror
from asynccvat.core.convert.formats import find_format
from asynccvat.core.convert.report import ConversionReport


async def convert(
    dest: PathText,
    out: PathText,
    *,
    to: str,
    task_ids: Collection[int] | None = None,
    folders: Sequence[str] = (),
    overwrite: bool = False,
    on_task: OnTask | None = None,
) -> ConversionReport:
    """Convert a mirror of `CVAT JSON` into the files that the server would export; offline.

    Each task gets a folder in `out`, of the same name as in the mirror. A folder that holds the
    same files stays; one that holds other files stays too, and its task fails.

    Args:
        dest: The mirror.
        out: The folder for the converted tasks.
        to: The format, such as `coco`. `cvat` is CVAT's XML in the flavour for each task's media.
        task_ids: Only these tasks; None for all.
        folders: Only tasks in folders whose names match one of these patterns; none for all.
        overwrite: Replace folders that hold other files.
        on_task: Called for each task with its conversion and the number of all tasks.

    Returns:
        What became of each task. Those that cannot be converted exactly failed.

    Raises:
        ConfigError: The format is not known, `dest` holds no task as JSON, or `out` is a mirror.
        StoreError: Files cannot be written.
    """
    if isinstance(folders, str):
        raise TypeError(f"expected a list of patterns, not {folders!r}")
    return await convert_mirror(
        checked_path(dest),
        checked_path(out),
        to=find_format(to),
        task_ids=task_ids,
        folders=folders,
        overwrite=overwrite,
        on_task=on_task,
    )
