"""Decide what a download does with each task, by what the task's folder holds.

`commands.download.run` carries the plan out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from asynccvat.core.export_layouts import holds_annotations
from asynccvat.core.plans.mirror import Reason


class DownloadChoice(StrEnum):
    """What a download does with a task."""

    FETCH = "fetch"
    SKIP = "skip"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class PlannedDownload:
    """What is planned for one task."""

    choice: DownloadChoice
    task_id: int
    path: PurePath

    @property
    def reason(self) -> Reason:
        """Why the step is taken."""
        reasons = {DownloadChoice.SKIP: Reason.EXISTING, DownloadChoice.REFUSE: Reason.FOREIGN}
        return reasons.get(self.choice, Reason.ASKED_FOR)


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """What a download will do: one step for each task, in the order in which they were named."""

    steps: tuple[PlannedDownload, ...]

    def __repr__(self) -> str:
        counts = ", ".join(f"{kind}={count}" for kind, count in self.counts.items())
        return f"{type(self).__name__}({counts})"

    @property
    def counts(self) -> Mapping[str, int]:
        """How many steps there are of each kind; always in one order."""
        counts = Counter(step.choice for step in self.steps)
        return Counter({str(one): counts[one] for one in DownloadChoice if counts[one]})

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON types, with a schema version."""
        return {
            "version": 1,
            "counts": dict(self.counts),
            "steps": [
                {
                    "step": str(step.choice),
                    "task_id": step.task_id,
                    "path": str(step.path),
                    "reason": str(step.reason),
                }
                for step in self.steps
            ],
        }


def choose_step(
    present: Collection[str], export_format: str, *, skip_existing: bool, replace: bool
) -> DownloadChoice:
    """Choose the step for a folder that holds these files.

    Only a folder that holds an export is replaced. Other files are there for another reason.

    Args:
        present: The files' paths, empty if there is no folder.
        export_format: The format in which the task would be exported.
        skip_existing: Skip the task if the folder holds an export.
        replace: Replace an export in the folder.
    """
    if not present:
        return DownloadChoice.FETCH
    if holds_annotations(present, export_format):
        if skip_existing:
            return DownloadChoice.SKIP
        if replace:
            return DownloadChoice.FETCH
    return DownloadChoice.REFUSE
