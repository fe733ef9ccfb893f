"""What a download will do with the folder of each task: a pure choice by what the folder holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from asynccvat.core.export_layouts import holds_annotations
from asynccvat.core.plans.mirror import Reason


class Choice(StrEnum):
    """What becomes of a task."""

    FETCH = "fetch"
    SKIP = "skip"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Download:
    """One task of a plan."""

    choice: Choice
    task_id: int
    path: PurePath

    @property
    def reason(self) -> Reason:
        """Why."""
        reasons = {Choice.SKIP: Reason.EXISTING, Choice.REFUSE: Reason.FOREIGN}
        return reasons.get(self.choice, Reason.ASKED_FOR)


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """What a download will do: one step for each task, in the order in which they were named."""

    steps: tuple[Download, ...]

    def __repr__(self) -> str:
        counts = ", ".join(f"{kind}={count}" for kind, count in self.counts.items())
        return f"{type(self).__name__}({counts})"

    @property
    def counts(self) -> Mapping[str, int]:
        """How many steps there are of each kind."""
        return Counter(str(step.choice) for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON types, with a schema version."""
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


def choose(
    present: Collection[str], export_format: str, *, skip_existing: bool, replace: bool
) -> Choice:
    """What to do about a folder that holds these files.

    Only what holds an export already is replaced: anything else is there for another reason.

    Args:
        present: Their paths; none where the folder is not there.
        export_format: What the task would be exported as.
        skip_existing: Whether an export that is there already will do.
        replace: Whether one that will not do is to be replaced.
    """
    if not present:
        return Choice.FETCH
    if holds_annotations(present, export_format):
        if skip_existing:
            return Choice.SKIP
        if replace:
            return Choice.FETCH
    return Choice.REFUSE
