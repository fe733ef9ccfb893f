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
        return f"/api/{self.plural}"

    @property
    def plural(self) -> str:
        """The word for many: what `--as` says."""
        return f"{self.value}s"

    @classmethod
    def of_plural(cls, word: str | None) -> TargetKind:
        """Return the kind that `--as` names; tasks for None."""
        return cls.TASK if word is None else cls(word.removesuffix("s"))
