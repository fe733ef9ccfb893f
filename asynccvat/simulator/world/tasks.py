"""What the simulated server holds: projects, tasks, frames and annotations, made from a seed.

Everything is a value. A task knows how to make its frames and annotations and makes them when
asked, so a hundred thousand tasks cost little; an edit is the same task with the next revision
number and a new date, which changes the annotations and nothing else. Annotations that a client
gave are kept with the task instead. JSON and HTTP are the routes' business, the layout of an export
is that of `formats`, and folders of ready archives that of `archives`.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

from asynccvat.simulator.world.annotations import (
    Annotations,
    Attribute,
    Label,
    Shape,
    ShapeType,
    Tag,
)
from asynccvat.simulator.world.jpeg import draw_jpeg

_FIRST_DAY: Final = datetime(2026, 1, 5, 8, 0, 0, tzinfo=UTC)

# Names like those of a recorded task: hidden, nested, quoted, with URL and shell characters.
_UNICODE_FRAME_NAMES: Final = (
    ".hidden/x.jpg",
    "a/b/c/d/e/f/plain.jpg",
    "emoji 😀/😀.jpg",
    "quote's/\u200bzero.jpg",  # a zero-width space
    "Ünïcødé/a b & c (1)/im%20g+#1.jpg",
    "вложено/папка один/кадр №1.jpg",
    "вложено/папка один/кадр №2.jpg",
    "日本語/深い/フォルダ/画像.jpg",
)


@dataclass(frozen=True, slots=True)
class User:
    """An account, as owners and assignees are shown."""

    id: int
    username: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""


ADMIN: Final = User(1, "admin", email="admin@example.com")


@dataclass(frozen=True, slots=True)
class Project:
    """A project; its labels are those of its tasks."""

    id: int
    name: str
    labels: tuple[Label, ...]
    created_date: datetime
    updated_date: datetime
    owner: User = ADMIN
    assignee: User | None = None
    status: str = "annotation"
    organization_id: int | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One image of a task: `seed` and `size` (bytes) determine its content."""

    index: int
    name: str
    width: int
    height: int
    seed: int
    size: int | None

    def data(self) -> bytes:
        """The JPEG file, the same at every call."""
        return draw_jpeg(self.seed, self.width, self.height, self.size)


@dataclass(frozen=True, slots=True)
class Job:
    """The part of a task that one person works on; here it is always the whole task."""

    id: int
    task_id: int
    project_id: int | None
    status: str
    stage: str
    state: str
    start_frame: int
    stop_frame: int
    created_date: datetime
    updated_date: datetime
    assignee: User | None = None
    task_name: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """How the frames and annotations of generated tasks are made; one value serves many tasks.

    Attributes:
        seed: Other seeds give other pictures and annotations.
        frame_bytes: Length of each JPEG file, or None for a few kilobytes.
        boxes_per_frame: Rectangles on each frame; with 0 the tasks have no annotations at all.
        unicode_names: Nested folders and names beyond ASCII.
    """

    seed: int = 0
    frame_bytes: int | None = None
    boxes_per_frame: int = 2
    width: int = 640
    height: int = 480
    unicode_names: bool = False


@dataclass(frozen=True, slots=True)
class ReadyArchive:
    """An export that exists already as a file; None for format or images means any."""

    path: Path
    format_name: str | None = None
    save_images: bool | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A task. `size` is its number of frames, None while it has no data.

    `revision` counts the edits of its annotations, `media_revision` those of its images; the latest
    of them was at `chunks_updated_date`, None when it was created. Exports leave `deleted_frames`
    out. `given` are annotations that a client gave it, which the revision stands for where tasks
    are compared. `ready` holds archives that are served as they
    are; a task that has some makes no others.
    """

    id: int
    name: str
    project_id: int | None
    labels: tuple[Label, ...]
    size: int | None
    created_date: datetime
    updated_date: datetime
    content: Content = Content()
    subset: str = ""
    status: str = "annotation"
    mode: str = "annotation"
    owner: User = ADMIN
    assignee: User | None = None
    revision: int = 0
    media_revision: int = 0
    chunks_updated_date: datetime | None = None
    deleted_frames: tuple[int, ...] = ()
    organization_id: int | None = None
    image_quality: int = 70
    data_chunk_size: int = 72
    ready: tuple[ReadyArchive, ...] = ()
    given: Annotations | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def overlap(self) -> int | None:
        """Frames shared by neighbouring jobs; None without data."""
        return None if self.size is None else 0

    @property
    def segment_size(self) -> int:
        """Frames of one job; 0 without data."""
        return self.size or 0

    def frames(self) -> tuple[Frame, ...]:
        """The images, in frame order."""
        return tuple(self._frame(index) for index in range(self.size or 0))

    def exported_frames(self) -> tuple[Frame, ...]:
        """The images that exports hold."""
        deleted = frozenset(self.deleted_frames)
        return tuple(frame for frame in self.frames() if frame.index not in deleted)

    def jobs(self) -> tuple[Job, ...]:
        """The one job of a task with data; its id is the task's."""
        if self.size is None:
            return ()
        stage = {"validation": "validation", "completed": "acceptance"}.get(
            self.status, "annotation"
        )
        return (
            Job(
                id=self.id,
                task_id=self.id,
                project_id=self.project_id,
                status=self.status,
                stage=stage,
                state="completed" if self.status == "completed" else "new",
                start_frame=0,
                stop_frame=self.size - 1,
                created_date=self.created_date,
                updated_date=self.updated_date,
                assignee=self.assignee,
                task_name=self.name,
            ),
        )

    def annotations(self) -> Annotations:
        """The annotations of this revision."""
        if self.given is not None:
            return self.given
        if not self.content.boxes_per_frame or self.ready:
            return Annotations()
        shapes: list[Shape] = []
        tags: list[Tag] = []
        for frame in range(self.size or 0):
            _annotate(self, frame, shapes, tags)
        return Annotations(tuple(shapes), tuple(tags))

    def edited(self, at: datetime) -> Task:
        """The task after an edit at that time, which makes all its annotations anew."""
        return dataclasses.replace(self, revision=self.revision + 1, updated_date=at, given=None)

    def annotated(self, annotations: Annotations, at: datetime) -> Task:
        """The task with these annotations in the place of its own, given at that time."""
        return dataclasses.replace(
            self, revision=self.revision + 1, updated_date=at, given=annotations
        )

    def _frame(self, index: int) -> Frame:
        content = self.content
        name = f"street_{index:04d}.jpg"
        if content.unicode_names:
            name = _UNICODE_FRAME_NAMES[index % len(_UNICODE_FRAME_NAMES)]
            if index >= len(_UNICODE_FRAME_NAMES):
                name = f"{index // len(_UNICODE_FRAME_NAMES)}/{name}"
        seed = (content.seed * 1_000_003 + self.id) * 1_000_003 + index
        seed += self.media_revision * 1_000_000_007
        return Frame(index, name, content.width, content.height, seed, content.frame_bytes)


def _annotate(task: Task, frame: int, shapes: list[Shape], tags: list[Tag]) -> None:
    """Rectangles on each frame; on every task's first frame also a polygon, points and a tag."""
    content = task.content
    rng = random.Random(f"{content.seed} {task.id} {task.revision} {frame}")
    box_label, polygon_label, points_label, tag_label = task.labels

    def quarter(low: float, high: float) -> float:
        # Quarters of a pixel are exact as float32 too, in which CVAT's converters count.
        return rng.randint(int(low * 4), int(high * 4)) / 4

    def add(type_: ShapeType, label: Label, points: tuple[float, ...]) -> None:
        values = tuple((attribute, _value(attribute, rng)) for attribute in label.attributes)
        occluded = rng.random() < 0.25
        shapes.append(
            Shape(len(shapes) + 1, type_, label, frame, points, occluded, rng.randrange(2), values)
        )

    for _ in range(content.boxes_per_frame):
        left = quarter(0, content.width * 0.8)
        top = quarter(0, content.height * 0.8)
        right = left + quarter(1, content.width * 0.2)
        bottom = top + quarter(1, content.height * 0.2)
        add("rectangle", box_label, (left, top, right, bottom))
    if frame == 0:
        x, y = quarter(0, content.width * 0.8), quarter(0, content.height * 0.8)
        wide, high = content.width // 8, content.height // 8
        add("polygon", polygon_label, (x, y, x + wide, y + 5.25, x + 50, y + high, x + 3, y + 50))
        add("points", points_label, (x, y, x + wide, y + high))
        tags.append(Tag(len(tags) + 1, tag_label, frame))


def _value(attribute: Attribute, rng: random.Random) -> str:
    if attribute.input_type == "checkbox":
        return rng.choice(("true", "false"))
    if attribute.input_type == "select":
        return rng.choice(attribute.values)
    return f'n{rng.randrange(100)} <é & "q">'


@dataclass(slots=True)
class Dataset:
    """The projects and tasks of a server, by id; a server changes them as its clients do."""

    projects: dict[int, Project]
    tasks: dict[int, Task]

    def edit(self, task_id: int, at: datetime) -> Task:
        """Edit the annotations of a task at that time (timezone-aware).

        Raises:
            KeyError: There is no such task.
        """
        return self._store(self.tasks[task_id].edited(at))

    def annotate(self, task_id: int, annotations: Annotations, at: datetime) -> Task:
        """Replace the annotations of a task at that time (timezone-aware).

        Raises:
            KeyError: There is no such task.
        """
        return self._store(self.tasks[task_id].annotated(annotations, at))

    def change(self, task_id: int, at: datetime, *, name: str = "", subset: str = "") -> Task:
        """Rename a task or move it to another subset; an empty text leaves it as it is.

        Raises:
            KeyError: There is no such task.
        """
        task = self.tasks[task_id]
        return self._store(
            dataclasses.replace(
                task, name=name or task.name, subset=subset or task.subset, updated_date=at
            )
        )

    def remove(self, task_id: int) -> None:
        """Delete a task.

        Raises:
            KeyError: There is no such task.
        """
        del self.tasks[task_id]

    def project_tasks(self, project_id: int) -> list[Task]:
        """The tasks of a project, by id."""
        return [task for task in self.tasks.values() if task.project_id == project_id]

    def _store(self, task: Task) -> Task:
        self.tasks[task.id] = task
        return task


@lru_cache(maxsize=1024)
def project_labels(project_id: int | None) -> tuple[Label, ...]:
    """The four labels of generated tasks: for rectangles, polygons, points and tags, in that order.

    Label and attribute ids are of their project; tasks without a project share one set.
    """
    base = (project_id or 0) * 4
    specs = (project_id or 0) * 3
    car = (
        Attribute(specs + 1, "parked", True, "checkbox", "false", ("false",)),
        Attribute(specs + 2, "make", False, "select", "other", ("other", "audi", "kia")),
    )
    person = (Attribute(specs + 3, "note", False, "text", "", ("",)),)
    return (
        Label(base + 1, "car", "#2080c0", "any", car, project_id),
        Label(base + 2, "person", "#00ff00", "any", person, project_id),
        Label(base + 3, "dot", "#260b79", "points", (), project_id),
        Label(base + 4, "sky", "#508040", "tag", (), project_id),
    )


def build_dataset(
    tasks: int = 300,
    frames: int = 5,
    projects: int = 1,
    seed: int = 0,
    *,
    frame_bytes: int | None = None,
    boxes_per_frame: int = 2,
    subsets: Sequence[str] = ("",),
    statuses: Sequence[str] = ("annotation", "validation", "completed"),
    unicode_tasks: int = 0,
    tasks_without_data: int = 0,
) -> Dataset:
    """Build the projects and tasks of a server; the same arguments always give the same content.

    Args:
        tasks: Number of tasks; their ids count from 1.
        frames: Images of each task.
        projects: Number of projects, each with its share of the tasks in the order of their ids;
            0 for tasks without a project.
        seed: Other seeds give other pictures, annotations and dates.
        frame_bytes: Length of each image in bytes; None for a few kilobytes.
        boxes_per_frame: Rectangles on each frame; 0 for tasks without annotations.
        subsets: Given to the tasks in turn; "" is none (CVAT exports it as `default`).
        statuses: Given to the tasks in turn.
        unicode_tasks: How many of the tasks, of the last ids, have a name and nested frame names
            beyond ASCII.
        tasks_without_data: How many of the tasks before those have no data.

    Raises:
        ValueError: A count is negative, or more odd tasks are asked for than there are tasks.
    """
    if min(tasks, frames, projects, boxes_per_frame, unicode_tasks, tasks_without_data) < 0:
        raise ValueError("a dataset cannot hold fewer than 0 of anything: give counts from 0")
    if unicode_tasks + tasks_without_data > tasks:
        raise ValueError(
            f"{unicode_tasks} unicode tasks and {tasks_without_data} without data are more than "
            f"the {tasks} tasks asked for: raise `tasks`"
        )
    plain = Content(seed, frame_bytes, boxes_per_frame)
    unicode = dataclasses.replace(plain, unicode_names=True)
    rng = random.Random(f"dates {seed}")
    built: dict[int, Task] = {}
    for index in range(tasks):
        project_id = 1 + index * projects // tasks if projects else None
        created = _FIRST_DAY + timedelta(minutes=index, microseconds=rng.randrange(10**6))
        odd = index >= tasks - unicode_tasks
        without_data = not odd and index >= tasks - unicode_tasks - tasks_without_data
        task_id = index + 1
        built[task_id] = Task(
            id=task_id,
            name=_task_name(task_id, unicode=odd),
            project_id=project_id,
            labels=project_labels(project_id),
            size=None if without_data else frames,
            created_date=created,
            updated_date=created + timedelta(seconds=30, microseconds=rng.randrange(10**6)),
            content=unicode if odd else plain,
            subset=subsets[index % len(subsets)],
            status="annotation" if without_data else statuses[index % len(statuses)],
            mode="" if without_data else "annotation",
        )
    return Dataset({id_: _project(id_, built) for id_ in range(1, projects + 1)}, built)


def _task_name(task_id: int, *, unicode: bool) -> str:
    if unicode:
        return f'Имя задачи «ünïcødé» 日本語 😀 / \\ : * ? " < > | {task_id}'
    return f"street-{task_id:05d}"


def _project(project_id: int, tasks: Mapping[int, Task]) -> Project:
    updated = _FIRST_DAY + timedelta(minutes=len(tasks))
    return Project(
        id=project_id,
        name=f"project-{project_id}",
        labels=project_labels(project_id),
        created_date=_FIRST_DAY - timedelta(days=1),
        updated_date=updated,
    )
