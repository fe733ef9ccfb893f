"""Decide what a `create` does: compare media, the journal of earlier runs and the server's tasks.

`core.plans.create_units` groups the media, `commands.create.run` carries the plan out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from asynccvat.core.models import Task
from asynccvat.core.options.create import CreateOptions
from asynccvat.core.plans import create_refusals as refusals
from asynccvat.core.plans.create_overlaps import Overlaps
from asynccvat.core.plans.create_units import MediaUnit
from asynccvat.core.records.creations import Creation, CreationJournal, Stage
from asynccvat.errors import AsyncCvatError

# More bytes than a file's records and name take in a zip: a path has 4,096 at most.
_LARGEST_RECORDS = 10_000


class CreateStepKind(StrEnum):
    """What is done for one unit of media."""

    CREATE = "create"
    """A task is made."""
    FINISH = "finish"
    """The task of an earlier run gets the data that it lacks."""
    REPLACE = "replace"
    """The empty task of an earlier run is deleted, and a task is made."""
    ANNOTATE = "annotate"
    """The task has its frames, and gets its annotations."""
    SKIP = "skip"
    """Nothing is done."""
    REFUSE = "refuse"
    """Nothing is done, and the unit counts as failed."""


class CreateReason(StrEnum):
    """Why something is done for a unit, or not."""

    NEW = "new"
    """No earlier run created it."""
    UNFINISHED = "unfinished"
    """An earlier run was interrupted."""
    NO_FRAMES = "no frames"
    """The server made no frames of what an earlier run sent."""
    GONE = "gone"
    """The server no longer has the task that an earlier run created."""
    ANNOTATIONS = "annotations"
    """Its annotations were not imported yet."""
    UNCHANGED = "unchanged"
    """It was created before."""
    CHANGED = "changed"
    """Its files changed since it was created."""
    GROUPED = "grouped otherwise"
    """A task may have its images already, as they were grouped in another way."""
    FILES = "files"
    """Files cannot be what CVAT needs."""
    TOO_LARGE = "too large"
    """The server takes no file so large."""
    SAME_NAME = "same name"
    """A task of the project has this name already."""
    UNCERTAIN = "uncertain"
    """It is unknown which task an interrupted run made."""


@dataclass(frozen=True, slots=True)
class CreateStep:
    """What is done for one unit.

    Attributes:
        kind: What.
        unit: The media.
        reason: Why.
        task_id: The task that is there already, None if there is none.
        expected: Frames that the task will have, None for what only the server can count.
        problem: Why it is refused.
    """

    kind: CreateStepKind
    unit: MediaUnit
    reason: CreateReason
    task_id: int | None = None
    expected: int | None = None
    problem: AsyncCvatError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the step as JSON types."""
        unit = self.unit
        record: dict[str, Any] = {
            "step": str(self.kind),
            "task_id": self.task_id,
            "name": unit.name,
            "path": unit.key,
            "reason": str(self.reason),
            "media": str(unit.kind),
            "files": len(unit.files),
            "frames": self.expected,
            "bytes": unit.size,
        }
        if unit.annotations is not None:
            record["annotations"] = unit.annotations.path
        if unit.problems:
            record["problems"] = list(unit.problems)
        if self.problem is not None:
            record["error"] = str(self.problem)
        return record


@dataclass(frozen=True, slots=True)
class CreatePlan:
    """What a `create` will do, as one step for each unit.

    Attributes:
        steps: The steps, in natural order of the media's paths.
        project: The project, in words.
        makes_project: Whether the project is made first.
    """

    steps: tuple[CreateStep, ...]
    project: str = ""
    makes_project: bool = False

    def __repr__(self) -> str:
        counts = ", ".join(f"{kind}={count}" for kind, count in self.counts.items())
        return f"{type(self).__name__}({counts})"

    def of(self, *kinds: CreateStepKind) -> tuple[CreateStep, ...]:
        """Return the steps of some kinds, in order."""
        return tuple(step for step in self.steps if step.kind in kinds)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many steps there are of each kind; always in one order."""
        kinds = Counter(step.kind for step in self.steps)
        return Counter({str(kind): kinds[kind] for kind in CreateStepKind if kinds[kind]})

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON types, with a schema version."""
        return {
            "version": 1,
            "project": self.project,
            "makes_project": self.makes_project,
            "counts": dict(self.counts),
            "steps": [step.to_json() for step in self.steps],
        }


@dataclass(frozen=True, slots=True)
class KnownTasks:
    """What the server has, as far as it matters.

    Attributes:
        tasks: The tasks of the project, or the user's own outside projects, and those that the
            journal names.
        project_id: The project, None for none.
        user_id: The user.
    """

    tasks: Mapping[int, Task]
    project_id: int | None
    user_id: int
    _by_name: dict[str, list[Task]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for task in self.tasks.values():
            if task.project_id == self.project_id:
                self._by_name.setdefault(task.name, []).append(task)

    def named(self, name: str) -> Sequence[Task]:
        """Return the tasks of the project with a name."""
        return self._by_name.get(name, ())

    @property
    def highest_id(self) -> int:
        """The highest id of a task, 0 if there is none."""
        return max(self.tasks, default=0)


def plan_creations(
    units: Iterable[MediaUnit],
    journal: CreationJournal,
    known: KnownTasks,
    options: CreateOptions,
) -> tuple[CreateStep, ...]:
    """Return a step for each unit.

    Args:
        units: The media.
        journal: What earlier runs noted.
        known: The server's tasks.
        options: What may be done.
    """
    units = tuple(units)
    ours = {one.task_id for one in journal.tasks.values() if one.task_id is not None}
    overlaps = Overlaps(units, journal, known.project_id, known.tasks, options)
    return tuple(
        _step(
            unit,
            journal.creation(known.project_id, unit.key),
            known,
            _Made(ours, overlaps),
            options,
        )
        for unit in units
    )


@dataclass(frozen=True, slots=True)
class _Made:
    """What earlier runs made.

    Attributes:
        ids: Their tasks.
        overlaps: Those that may have images of new units.
    """

    ids: set[int]
    overlaps: Overlaps


def _step(
    unit: MediaUnit,
    creation: Creation,
    known: KnownTasks,
    made: _Made,
    options: CreateOptions,
) -> CreateStep:
    expected = None if unit.available is None else options.frames_of(unit.available)
    if unit.problems:
        return _refused(unit, CreateReason.FILES, refusals.unusable(unit))
    if expected == 0:
        return _refused(unit, CreateReason.FILES, refusals.no_frames(unit))

    def step(kind: CreateStepKind, reason: CreateReason, task_id: int | None = None) -> CreateStep:
        return CreateStep(kind, unit, reason, task_id, expected)

    task = None if creation.task_id is None else known.tasks.get(creation.task_id)
    if creation.stage is Stage.DONE and (task is not None or not options.again):
        return _step_of_done(unit, creation, task, step)
    if creation.stage is Stage.ASKED:
        found = lost_tasks(known.named(creation.name), creation.after_id, known.user_id, made.ids)
        if len(found) > 1:
            return _refused(unit, CreateReason.UNCERTAIN, refusals.several(creation.name, found))
        task = found[0] if found else None
    if task is not None:
        return _step_of_unfinished(unit, creation, task, step)
    problem = _problem_of_new(unit, known, made, options)
    if problem is not None:
        return _refused(unit, *problem)
    gone = creation.stage is Stage.DONE
    return step(CreateStepKind.CREATE, CreateReason.GONE if gone else CreateReason.NEW)


def _problem_of_new(
    unit: MediaUnit, known: KnownTasks, made: _Made, options: CreateOptions
) -> tuple[CreateReason, AsyncCvatError, int | None] | None:
    """Return why no task may be made of a unit, and the task that is in the way."""
    same = [one for one in known.named(unit.name) if one.id not in made.ids]
    if same and not options.same_name:
        return (
            CreateReason.SAME_NAME,
            refusals.same_name(unit, same[0], known.project_id),
            same[0].id,
        )
    overlap = made.overlaps.of(unit)
    if overlap is not None:
        reason = CreateReason.CHANGED if overlap.changed else CreateReason.GROUPED
        return reason, refusals.overlapping(unit, overlap), overlap.task_id
    limit = options.upload_limit
    if _may_exceed(unit, limit) and unit.sent_size > limit:
        return CreateReason.TOO_LARGE, refusals.too_large_for(unit, limit), None
    return None


class MakeStep(Protocol):
    """Makes a step for a unit."""

    def __call__(
        self, kind: CreateStepKind, reason: CreateReason, task_id: int | None = None
    ) -> CreateStep: ...


def _step_of_done(
    unit: MediaUnit, creation: Creation, task: Task | None, step: MakeStep
) -> CreateStep:
    """Return the step for a task that had its frames."""
    if task is None:
        return _refused(unit, CreateReason.GONE, refusals.gone(unit, creation), creation.task_id)
    if creation.fingerprint != unit.fingerprint:
        return _refused(
            unit, CreateReason.CHANGED, refusals.changed(unit, creation), creation.task_id
        )
    if unit.annotations is not None and not creation.annotated:
        return step(CreateStepKind.ANNOTATE, CreateReason.ANNOTATIONS, creation.task_id)
    return step(CreateStepKind.SKIP, CreateReason.UNCHANGED, creation.task_id)


def _step_of_unfinished(
    unit: MediaUnit, creation: Creation, task: Task, step: MakeStep
) -> CreateStep:
    """Return the step for a task of an interrupted run."""
    is_changed = creation.fingerprint != unit.fingerprint
    if task.size and is_changed:
        return _refused(unit, CreateReason.CHANGED, refusals.changed(unit, creation), task.id)
    if task.size:
        return step(CreateStepKind.FINISH, CreateReason.UNFINISHED, task.id)
    # The call that begins an upload gives a task the size 0, so that this shows no failure.
    if creation.stage is Stage.DISCARDING:
        return step(CreateStepKind.REPLACE, CreateReason.NO_FRAMES, task.id)
    if is_changed and creation.stage is Stage.ASKED:
        # It was found by its name. Only a task that the journal names may be deleted.
        return _refused(unit, CreateReason.UNCERTAIN, refusals.perhaps_ours(unit, task), task.id)
    if is_changed:
        return step(CreateStepKind.REPLACE, CreateReason.CHANGED, task.id)
    return step(CreateStepKind.FINISH, CreateReason.UNFINISHED, task.id)


def lost_tasks(
    named: Iterable[Task], after_id: int, user_id: int, ours: Iterable[int] = ()
) -> list[Task]:
    """Return the tasks that a call whose answer was lost may have made.

    Args:
        named: The tasks of the project with the name.
        after_id: The highest id of a task before the call.
        user_id: The user, who owns what the call made.
        ours: Tasks that other calls are known to have made.
    """
    others = set(ours)
    return [
        task
        for task in named
        if task.id > after_id
        and not task.size
        and task.id not in others
        and (task.owner is None or task.owner.id == user_id)
    ]


def _refused(
    unit: MediaUnit, reason: CreateReason, problem: AsyncCvatError, task_id: int | None = None
) -> CreateStep:
    return CreateStep(CreateStepKind.REFUSE, unit, reason, task_id, None, problem)


def _may_exceed(unit: MediaUnit, limit: int) -> bool:
    """Whether a unit is near a limit. It is quick, and `MediaUnit.sent_size` is exact."""
    return unit.size + _LARGEST_RECORDS * len(unit.files) >= limit - _LARGEST_RECORDS
