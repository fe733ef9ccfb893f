"""Steps of a run file as frozen values, each with the arguments of its verb."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from asynccvat.core.options.backup import BackupOptions
from asynccvat.core.options.cloud import CloudOptions
from asynccvat.core.options.copy import CopyOptions
from asynccvat.core.options.create import CreateOptions
from asynccvat.core.options.delete import DeleteOptions
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.options.restore import ImportOptions, RestoreOptions
from asynccvat.core.options.upload import UploadOptions
from asynccvat.core.plans.delete import DeletePlan
from asynccvat.core.selections.id_lists import of_some, required
from asynccvat.core.selections.selection import Selection
from asynccvat.core.specs import BackupSpec, ExportSpec
from asynccvat.runfiles.nodes import FilePosition
from asynccvat.settings import SettingValue


@dataclass(frozen=True, slots=True)
class StepHead:
    """What every step has: number, verb, position, settings of its server."""

    number: int
    task: str
    place: FilePosition
    server: Mapping[str, SettingValue]

    def fields(self, places: Mapping[int | str | range, FilePosition]) -> dict[str, Any]:
        """Return the fields that a step takes over, and the positions of what it names."""
        return {**{item.name: getattr(self, item.name) for item in fields(self)}, "places": places}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFileStep:
    """One step of a run file.

    Attributes:
        number: Its number, counted from 1.
        task: What it does, like `download_cvat_tasks`, `mirror` or `create`.
        place: Its position in the file.
        server: The settings that the step has itself. Their `repr` shows no secrets.
        places: The positions of its tasks, projects and formats, by id or by name.
    """

    number: int
    task: str
    place: FilePosition
    server: Mapping[str, SettingValue] = field(default_factory=dict)
    places: Mapping[int | str | range, FilePosition] = field(default_factory=dict, repr=False)

    def place_of(self, what: int | str) -> FilePosition:
        """Return the position of a name; the step's own if the file does not name it."""
        return self.places.get(what, self.place)


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadStep(RunFileStep):
    """A download of tasks, each into its own folder.

    Attributes:
        paths: The folder of each task.
        spec: What is downloaded.
        skip_existing: Whether tasks are left out whose annotation file exists.
        of_ranges: Those of the tasks that need not exist, as they come from ranges.
    """

    paths: Mapping[int, Path]
    spec: ExportSpec
    skip_existing: bool
    of_ranges: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Batch:
    """Annotation files of one format: a file for each task, or a folder with their folders."""

    source: Mapping[int, Path] | Path
    task_ids: tuple[int, ...]
    format: str | None

    @property
    def among(self) -> tuple[int, ...] | None:
        """The tasks to take from a folder; None if the source names them."""
        return self.task_ids if isinstance(self.source, Path) else None

    def without(self, task_ids: Collection[int]) -> Batch:
        """Return the batch without some tasks."""
        left = [task_id for task_id in self.task_ids if task_id not in task_ids]
        ids = of_some(left, required(self.task_ids))
        source = self.source
        if not isinstance(source, Path):
            source = {task_id: source[task_id] for task_id in ids}
        return Batch(source, ids, self.format)

    def path(self, task_id: int, prefix: str) -> Path:
        """Return the file or folder of a task; a mirror's receipts may name another."""
        if isinstance(self.source, Path):
            return self.source / f"{prefix}{task_id}"
        return self.source[task_id]


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadStep(RunFileStep):
    """An upload of annotation files into tasks.

    Attributes:
        batches: The files, a batch for each format.
        options: The options of the upload.
        awaits: Tasks whose files an earlier step will make.
        gaps: Numbers of ranges for which there is no file, and no earlier step makes one.
    """

    batches: tuple[Batch, ...]
    options: UploadOptions
    awaits: frozenset[int] = frozenset()
    gaps: frozenset[int] = frozenset()

    @property
    def present(self) -> tuple[Batch, ...]:
        """The batches of the files that are there before the run."""
        batches = [batch.without(self.awaits | self.gaps) for batch in self.batches]
        return tuple(batch for batch in batches if batch.task_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorStep(RunFileStep):
    """A mirror.

    Attributes:
        dest: The folder of the mirror.
        selection: Which tasks to mirror.
        format: The exporter's name, None for what the folder remembers.
        images: Whether to fetch images, too, None for what the folder remembers.
        options: The options of the mirror.
    """

    dest: Path
    selection: Selection
    format: str | None
    images: bool | None
    options: MirrorOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudStep(RunFileStep):
    """An export to a cloud storage.

    Attributes:
        storage_id: The cloud storage.
        prefix: The folder in it.
        selection: Which tasks, projects or jobs.
        spec: What the server makes of each.
        options: The options of the export.
    """

    storage_id: int
    prefix: str
    selection: Selection
    spec: ExportSpec | BackupSpec
    options: CloudOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreStep(RunFileStep):
    """A restore.

    Attributes:
        source: The folder of backups, or one zip.
        ids: The ids that the tasks or projects had. None takes all.
        projects: Whether projects are restored instead of tasks.
        at: The newest backups from before this moment, None for the newest of all.
        project: The project that tasks are moved into, by its id or name. None for none.
        options: The options of the restore.
    """

    source: Path
    ids: tuple[int, ...] | None
    projects: bool
    at: str | None
    project: str | None
    options: RestoreOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationsStep(RunFileStep):
    """A restore of annotations alone, into tasks that live.

    Attributes:
        source: The folder of backups.
        task_ids: The tasks.
        at: The newest backups from before this moment, None for the newest of all.
        options: The options of the restore.
    """

    source: Path
    task_ids: tuple[int, ...]
    at: str | None
    options: RestoreOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class CreationStep(RunFileStep):
    """A creation of tasks.

    Attributes:
        source: The folder, video or zip.
        project: The project, by its id or name. None for no project.
        labels: The file with labels, None for none.
        labels_from: The project whose labels are taken, None for none.
        order: The file with the order of the images, None for that of the options.
        options: The options of the creation.
    """

    source: Path
    project: str | None
    labels: Path | None
    labels_from: str | None
    order: Path | None
    options: CreateOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetStep(RunFileStep):
    """An import of datasets.

    Attributes:
        project: The project, by its id or name.
        files: The datasets.
        format: The importer's name, or that of the exporter that wrote them.
        options: The options of the import.
    """

    project: str
    files: tuple[Path, ...]
    format: str
    options: ImportOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyStep(RunFileStep):
    """A copy from one server or organization to another.

    Attributes:
        source: The side that has the tasks: a settings file, or a saved profile's name.
        target: The side that gets them.
        source_organization: Its organization, None for what its file says.
        target_organization: Its organization, None for what its file says.
        selection: Which tasks to copy.
        options: The options of the copy.
    """

    source: str
    target: str
    source_organization: str | None
    target_organization: str | None
    selection: Selection
    options: CopyOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupStep(RunFileStep):
    """A backup of tasks or projects.

    Attributes:
        dest: The folder of the backups.
        selection: Which tasks to back up.
        options: The options of the backup.
    """

    dest: Path
    selection: Selection
    options: BackupOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionStep(RunFileStep):
    """A deletion of tasks or projects.

    Attributes:
        selection: Which tasks or projects to delete.
        options: The options of the deletion.
        expect: How many a dry run showed, None if the file does not say it.
        confirmed: Whether the file says `yes: true`.
        plan: What a dry run saw, None to compare with what the step reads at its start.
    """

    selection: Selection
    options: DeleteOptions
    expect: int | None
    confirmed: bool
    plan: DeletePlan | None


@dataclass(frozen=True, slots=True)
class RunFile:
    """A run file that was read and checked, as far as that is possible without a server.

    Attributes:
        path: The file.
        steps: The steps in their order.
        warnings: Secrets that other users can read, and keys without effect.
    """

    path: Path
    steps: tuple[RunFileStep, ...]
    warnings: tuple[str, ...] = ()
