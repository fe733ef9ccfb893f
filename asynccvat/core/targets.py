"""What requests of the server concern. Apart from `core.models`, so that options load quickly."""

from __future__ import annotations

from enum import StrEnum


class TargetKind(StrEnum):
    """What is asked of the server concerns one of these."""

    TASK = "task"
    PROJECT = "project"
    JOB = "job"

    @property
    def endpoint(self) -> str:
        """The path of the server's list of them."""
        return f"/api/{self.value}s"
