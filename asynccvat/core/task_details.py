"""Hold all that a server knows of a task: its fields, project, jobs, labels, media, annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from asynccvat.core.annotations.counts import AnnotationCounts
from asynccvat.core.models import DataMeta, Job, Project


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDetails:
    """A task with what belongs to it.

    Attributes:
        fields: The task as the server sends it, every field of it.
        page: The address of its web page.
        project: Its project. None outside any project, or if the user may not see it.
        jobs: Its jobs.
        labels: Its labels as the server sends them, those of its project included.
        media: What the server says about its media. None without data.
        annotations: How many annotations it has. None without data.
    """

    fields: Mapping[str, Any]
    page: str
    project: Project | None = None
    jobs: Sequence[Job] = ()
    labels: Sequence[Mapping[str, Any]] = ()
    media: DataMeta | None = None
    annotations: AnnotationCounts | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the details as JSON types: the fields, and `details` with the rest."""
        return {
            **self.fields,
            "details": {
                "page": self.page,
                "project": msgspec.to_builtins(self.project),
                "jobs": msgspec.to_builtins(list(self.jobs)),
                "labels": [dict(label) for label in self.labels],
                "media": msgspec.to_builtins(self.media),
                "annotations": None if self.annotations is None else self.annotations.to_json(),
            },
        }
