"""What all tasks of a run of `create` share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from asynccvat.client import CvatClient
from asynccvat.commands.create.journal import CreateJournal
from asynccvat.commands.create.project import CreateTarget
from asynccvat.core.options.create import CreateOptions
from asynccvat.core.plans.create_units import MediaUnit
from asynccvat.core.records.creations import Creation
from asynccvat.events import Event


@dataclass(frozen=True, slots=True)
class CreateContext:
    """What all tasks of a run share.

    Attributes:
        client: The server.
        journal: The journal.
        options: The options.
        root: The folder that the media's paths begin in.
        target: Where the tasks are created.
        user_id: The user, who owns what is made.
        after_id: The highest id of a task before the run.
        emit: Receives the events.
    """

    client: CvatClient
    journal: CreateJournal
    options: CreateOptions
    root: Path
    target: CreateTarget
    user_id: int
    after_id: int
    emit: Callable[[Event], None] = field(repr=False)

    def creation(self, unit: MediaUnit) -> Creation:
        """Return what the journal knows of a unit's task."""
        return self.journal.state.creation(self.target.project_id, unit.key)
