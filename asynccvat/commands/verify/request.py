"""What a verification is asked for, as a frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.selections.selection import Selection

if TYPE_CHECKING:
    from asynccvat.client import CvatClient


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """What is verified, and how. The fields are the arguments of `verify`."""

    dest: Path
    threads: int
    task_ids: frozenset[int] | None
    folders: tuple[str, ...]
    restart: bool
    client: CvatClient | None
    against_server: bool
    selection: Selection | None
    default_project_id: int | None
    repair: bool
    limits: ArchiveLimits

    @property
    def everything(self) -> bool:
        """Whether nothing narrows what is verified."""
        return self.task_ids is None and not self.folders
