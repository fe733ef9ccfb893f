"""The journal of `create`: its lines, and what they say of each task when they are read again.

A line that says what is about to be asked is on the disk before the call. So a later run knows of
each task that an earlier one may have made. `core.plans.create` decides what is left to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.errors import StoreError

KIND = "creations"
"""What the journal is about, in the journal's first line."""


class ProjectAsked(msgspec.Struct, frozen=True, tag="project asked", tag_field="line"):
    """A project is about to be made. `after_id` is the highest id of a project before."""

    name: str
    after_id: int


class ProjectMade(msgspec.Struct, frozen=True, tag="project made", tag_field="line"):
    """A project was made."""

    name: str
    project_id: int


class TaskAsked(msgspec.Struct, frozen=True, tag="task asked", tag_field="line"):
    """A task is about to be made.

    Attributes:
        project_id: Its project, None for none.
        key: What it is made of.
        name: Its name.
        fingerprint: The names, sizes and times of its files.
        after_id: The highest id of a task before.
        single: Whether it is made of all images below the source. None for a video or a zip.
        split: Images in a part at most, None for a whole folder.
    """

    project_id: int | None
    key: str
    name: str
    fingerprint: str
    after_id: int
    single: bool | None = None
    split: int | None = None


class TaskMade(msgspec.Struct, frozen=True, tag="task made", tag_field="line"):
    """A task was made, without data."""

    project_id: int | None
    key: str
    task_id: int


class SendingBegun(msgspec.Struct, frozen=True, tag="sending", tag_field="line"):
    """The server knows of the upload of a task's data. `address` takes its pieces."""

    project_id: int | None
    key: str
    file_id: str
    address: str


class Finishing(msgspec.Struct, frozen=True, tag="finishing", tag_field="line"):
    """The server has all data of a task, and is to use them by the next call."""

    project_id: int | None
    key: str


class TaskDone(msgspec.Struct, frozen=True, tag="done", tag_field="line"):
    """A task has its frames."""

    project_id: int | None
    key: str
    frames: int


class Discarding(msgspec.Struct, frozen=True, tag="discarding", tag_field="line"):
    """A task without data is about to be deleted, because another one replaces it."""

    project_id: int | None
    key: str


class Annotating(msgspec.Struct, frozen=True, tag="annotating", tag_field="line"):
    """The annotations of a task are about to be imported."""

    project_id: int | None
    key: str


class Annotated(msgspec.Struct, frozen=True, tag="annotated", tag_field="line"):
    """The annotations of a task were imported."""

    project_id: int | None
    key: str


TaskLine = (
    TaskAsked | TaskMade | SendingBegun | Finishing | TaskDone | Discarding | Annotating | Annotated
)
Line = ProjectAsked | ProjectMade | TaskLine


class Stage(IntEnum):
    """How far a task has come."""

    NONE = 0
    """It was never asked for."""
    ASKED = 1
    """The server may have made it."""
    MADE = 2
    """It is there, without data."""
    SENDING = 3
    """Its data are being sent."""
    FINISHING = 4
    """The server may have been told to use its data."""
    DONE = 5
    """It has its frames."""
    DISCARDING = 6
    """It may have been deleted, because it had no data."""


@dataclass(frozen=True, slots=True)
class Creation:
    """What the journal says of one task.

    Attributes:
        stage: How far it has come.
        name: Its name.
        fingerprint: The names, sizes and times of its files when it was begun.
        after_id: The highest id of a task before it was asked for.
        task_id: Its id, None while that is not known.
        upload: The server's name of the upload of its data, and the address; None before.
        annotating: Whether the import of its annotations may have begun.
        annotated: Whether its annotations were imported.
        single: Whether it is of all images below the source. None for a video or a zip, and in
            journals of older versions.
        split: Images in a part at most, None for a whole folder.
    """

    stage: Stage = Stage.NONE
    name: str = ""
    fingerprint: str = ""
    after_id: int = 0
    task_id: int | None = None
    upload: tuple[str, str] | None = None
    annotating: bool = False
    annotated: bool = False
    single: bool | None = None
    split: int | None = None


@dataclass(slots=True)
class CreationJournal:
    """What all lines of a journal say.

    Attributes:
        tasks: By project and key.
        projects: The highest id before, and the id of a project or None, by its name.
    """

    tasks: dict[tuple[int | None, str], Creation] = field(default_factory=dict)
    projects: dict[str, tuple[int, int | None]] = field(default_factory=dict)

    def creation(self, project_id: int | None, key: str) -> Creation:
        """Return what is known of one task."""
        return self.tasks.get((project_id, key), Creation())

    def note(self, line: Line) -> None:
        """Note a line."""
        match line:
            case ProjectAsked():
                self.projects[line.name] = line.after_id, None
            case ProjectMade():
                self.projects[line.name] = 0, line.project_id
            case _:
                before = self.creation(line.project_id, line.key)
                self.tasks[line.project_id, line.key] = _after(before, line)


def _after(before: Creation, line: TaskLine) -> Creation:
    """Return what is known of a task after one more line."""
    match line:
        case TaskAsked():
            return Creation(
                Stage.ASKED,
                line.name,
                line.fingerprint,
                line.after_id,
                single=line.single,
                split=line.split,
            )
        case TaskMade():
            return replace(before, stage=Stage.MADE, task_id=line.task_id)
        case SendingBegun():
            return replace(before, stage=Stage.SENDING, upload=(line.file_id, line.address))
        case Finishing():
            return replace(before, stage=Stage.FINISHING)
        case TaskDone():
            return replace(before, stage=Stage.DONE, upload=None)
        case Discarding():
            return replace(before, stage=Stage.DISCARDING, upload=None)
        case Annotating():
            return replace(before, annotating=True)
        case _:
            return replace(before, annotated=True)


def read_journal(lines: Iterable[Any]) -> CreationJournal:
    """Return what the lines of a journal say.

    Raises:
        StoreError: A line cannot be read.
    """
    journal = CreationJournal()
    for number, line in enumerate(lines, 2):
        try:
            journal.note(msgspec.convert(line, Line))
        except UNREADABLE as error:
            raise StoreError(
                f"cannot use the journal of earlier runs: line {number} cannot be read ({error}). "
                "Look at the server for what was created, then move the journal away.",
                step="store",
            ) from error
    return journal
