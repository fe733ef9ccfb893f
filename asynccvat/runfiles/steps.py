"""What a run file says, as frozen values: its steps, each with what it needs of the engine."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asynccvat.core.models import ExportSpec
from asynccvat.core.options import MirrorOptions, UploadOptions
from asynccvat.core.selection import Selection
from asynccvat.runfiles.nodes import Place
from asynccvat.settings.values import SettingValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One entry of a run file.

    Attributes:
        number: Counted from 1.
        task: What it does: `download_cvat_tasks`, `upload_anno_with_cvat_tasks` or `mirror`.
        place: Where it stands.
        server: What it says of its server; secrets stay out of `repr`.
        places: Where its tasks, projects and formats are named: by id, or by the key's name.
    """

    number: int
    task: str
    place: Place
    server: Mapping[str, SettingValue] = field(default_factory=dict)
    places: Mapping[int | str, Place] = field(default_factory=dict, repr=False)

    def place_of(self, what: int | str) -> Place:
        """Where something is named; the step's own place for what only a default names."""
        return self.places.get(what, self.place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Download(Step):
    """Tasks into folders of their own."""

    paths: Mapping[int, Path]
    spec: ExportSpec
    skip_existing: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Files of one format: those of each task, or a folder with the tasks' folders."""

    source: Mapping[int, Path] | Path
    task_ids: tuple[int, ...]
    format: str | None

    @property
    def among(self) -> tuple[int, ...] | None:
        """The tasks to take of a folder; None where the source names them itself."""
        return self.task_ids if isinstance(self.source, Path) else None

    def without(self, task_ids: Collection[int]) -> Batch:
        """The same without some tasks."""
        ids = tuple(task_id for task_id in self.task_ids if task_id not in task_ids)
        source = self.source
        if not isinstance(source, Path):
            source = {task_id: source[task_id] for task_id in ids}
        return Batch(source, ids, self.format)

    def path(self, task_id: int, prefix: str) -> Path:
        """The file, or the folder, of a task; a mirror's receipts may know another."""
        if isinstance(self.source, Path):
            return self.source / f"{prefix}{task_id}"
        return self.source[task_id]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload(Step):
    """Annotation files into tasks.

    Attributes:
        batches: The files, by their formats.
        options: How.
        awaits: Tasks whose files an earlier step is to make.
    """

    batches: tuple[Batch, ...]
    options: UploadOptions
    awaits: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorStep(Step):
    """A mirror.

    Attributes:
        dest: Its folder.
        selection: Which tasks.
        spec: Format and images.
        options: How.
    """

    dest: Path
    selection: Selection
    spec: ExportSpec
    options: MirrorOptions


@dataclass(frozen=True, slots=True)
class RunFile:
    """A run file that was read and found right, as far as that can be known without a server.

    Attributes:
        path: The file.
        steps: In order.
        warnings: What the user ought to know: secrets that others can read, keys without effect.
    """

    path: Path
    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()
