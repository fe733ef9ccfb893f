"""Issues of annotators as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from asynccvat.simulator.world.users import User


@dataclass(frozen=True, slots=True)
class Issue:
    """A remark on a place of a frame, with its first comment."""

    id: int
    job_id: int
    task_id: int
    frame: int
    message: str
    owner: User
    created_date: datetime
    resolved: bool = False
    position: tuple[float, ...] = (1.0, 1.0, 9.0, 9.0)
