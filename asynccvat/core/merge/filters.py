"""Leave out what a data set is not to hold: objects by label and area, images by state or empty."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from asynccvat.core.convert.task_json import Job
from asynccvat.core.merge.categories import Categories
from asynccvat.core.merge.values import MergeImage
from asynccvat.errors import ConfigError


@dataclass(frozen=True, slots=True)
class MergeFilter:
    """What of the tasks is merged.

    Attributes:
        only_annotated: Leave out images without objects.
        min_area: Leave out smaller objects: square pixels of a rectangle, polygon, mask or ellipse.
        stages: Only frames whose jobs are in one of these stages. None for all.
        states: Only frames whose jobs are in one of these states. None for all.

    Raises:
        ConfigError: The area is negative, or a stage or state is unknown.
    """

    only_annotated: bool = False
    min_area: float = 0
    stages: Collection[str] = ()
    states: Collection[str] = ()

    def __post_init__(self) -> None:
        """Check the values."""
        if not self.min_area >= 0:
            raise ConfigError(
                f"the smallest area cannot be {self.min_area}. Give 0 or more square pixels."
            )
        _check("stage", self.stages, ("annotation", "validation", "acceptance"))
        _check("state", self.states, ("new", "in progress", "rejected", "completed"))

    @property
    def needs_jobs(self) -> bool:
        """Whether the jobs of a task decide."""
        return bool(self.stages or self.states)

    def frames(self, jobs: Iterable[Job], size: int) -> list[bool]:
        """Tell for each frame of a task whether its jobs are in a wanted stage and state.

        All jobs that cover a frame must be.
        """
        covered, refused = [False] * size, [False] * size
        for job in jobs:
            if job.type != "annotation":
                continue
            is_wanted = (not self.stages or job.stage in self.stages) and (
                not self.states or job.state in self.states
            )
            for frame in range(job.start_frame, min(job.stop_frame + 1, size)):
                covered[frame] = True
                refused[frame] |= not is_wanted
        return [one and not no for one, no in zip(covered, refused, strict=True)]

    def images(self, images: Sequence[MergeImage], categories: Categories) -> Iterator[MergeImage]:
        """Yield the images that stay, with the objects that stay."""
        for image in images:
            image.objects[:] = [
                one
                for one in image.objects
                if categories.is_wanted(one.label)
                and (one.area is None or one.area >= self.min_area)
            ]
            if image.objects or not self.only_annotated:
                yield image


def _check(what: str, given: Collection[str], known: Sequence[str]) -> None:
    for one in given:
        if one not in known:
            raise ConfigError(f"{one!r} is no {what} of a job. Give one of {', '.join(known)}.")
