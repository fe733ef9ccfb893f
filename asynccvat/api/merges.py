"""Merge the tasks of mirrors into one data set without a server: `merge`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import TypeVar

from asynccvat.api.arguments import PathText, checked_path
from asynccvat.commands.merge.run import MergePlan, OnMerged, merge_mirrors
from asynccvat.core.merge.choices import ImagePlacing, SplitBy
from asynccvat.core.merge.filters import MergeFilter
from asynccvat.core.merge.report import MergeReport
from asynccvat.core.merge.splits import read_split
from asynccvat.core.merge.values import data_set_format
from asynccvat.errors import ConfigError

ChoiceT = TypeVar("ChoiceT", bound=StrEnum)


async def merge(
    sources: Sequence[PathText],
    out: PathText,
    *,
    to: str,
    split: str | None = None,
    split_by: str = "task",
    labels: Sequence[str] = (),
    only_annotated: bool = False,
    min_area: float = 0,
    stages: Collection[str] = (),
    states: Collection[str] = (),
    images: str = "link",
    task_ids: Collection[int] | None = None,
    folders: Sequence[str] = (),
    overwrite: bool = False,
    on_merged: OnMerged | None = None,
) -> MergeReport:
    """Merge the tasks of mirrors into one data set; offline.

    Tasks as `CVAT JSON` are converted. Other tasks must be in the format of the data set. Images
    are in folders of their tasks; labels are united by name. A second merge changes only the files
    that differ, and removes those of an earlier merge that are no longer a part.

    Args:
        sources: The mirrors.
        out: The folder of the data set.
        to: `coco`, `yolo` or `cvat`.
        split: Shares of the parts, such as `train=0.8,val=0.2`; None for one part, `train`.
        split_by: `task` and `image` place each task or image by a hash, so that it stays in its
            part. The frames of a video stay together. `subset` takes CVAT's subsets as parts.
        labels: Only objects with these labels, numbered in this order; none for all.
        only_annotated: Leave out images without objects.
        min_area: Leave out smaller objects, in square pixels. Objects without area stay.
        stages: Only frames whose jobs are in one of these stages; none for all.
        states: Only frames whose jobs are in one of these states; none for all.
        images: `link` gives the mirror's files a second name, `copy` copies them.
        task_ids: Only these tasks; None for all.
        folders: Only tasks in folders whose names match one of these patterns; none for all.
        overwrite: Replace files that are not of a merge, or were edited since.
        on_merged: Called with the number of tasks that are done and of all.

    Returns:
        The counts of each part, and the tasks that could not be merged.

    Raises:
        ConfigError: An option is wrong, a source is no mirror or has no such task, or `out` lies in
            a mirror or holds other files.
        StoreError: Files cannot be read or written, or another file is in the way.
    """
    for name, given in (("sources", sources), ("labels", labels), ("folders", folders)):
        if isinstance(given, str):
            raise TypeError(f"{name} must be a list, not {given!r}")
    if not sources:
        raise ConfigError("there is nothing to merge. Name at least one mirror.")
    plan = MergePlan(
        to=data_set_format(to),
        split=read_split(split, _choice(SplitBy, split_by)),
        filter=MergeFilter(only_annotated, min_area, stages, states),
        labels=labels,
        images=_choice(ImagePlacing, images),
        task_ids=task_ids,
        folders=folders,
        overwrite=overwrite,
    )
    paths = [checked_path(one) for one in sources]
    return await merge_mirrors(paths, checked_path(out), plan, on_merged)


def _choice(kind: type[ChoiceT], given: str) -> ChoiceT:
    try:
        return kind(given)
    except ValueError:
        raise ConfigError(f"{given!r} is none of {', '.join(kind)}.") from None
