"""Build the steps of a run file from their sections: check files, folders and contradictions.

`loading` reads the sections; `preflight` checks what the servers know.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asynccvat.commands.upload.local_files import find_source
from asynccvat.core.declarations import Switch, declared_options, make_options
from asynccvat.core.options.backup import BackupOptions
from asynccvat.core.options.cloud import RECORD_SUFFIX, CloudOptions
from asynccvat.core.options.copy import CopyOptions
from asynccvat.core.options.create import CreateOptions
from asynccvat.core.options.delete import DeleteOptions
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.options.restore import ImportOptions, RestoreOptions
from asynccvat.core.options.transfer import DEFAULT_PREFIX
from asynccvat.core.options.upload import UploadOptions
from asynccvat.core.paths import OWN_FOLDER, task_folder_name
from asynccvat.core.plans.cloud import folder_of
from asynccvat.core.selections.fitting import unfitting_condition
from asynccvat.core.selections.selection import Selection
from asynccvat.core.specs import BackupSpec, ExportSpec
from asynccvat.core.targets import TargetKind
from asynccvat.errors import AnnotationFileError, ConfigError
from asynccvat.runfiles.declarations import (
    BACKUP,
    COPY,
    CREATE,
    DOWNLOAD,
    EXPORT_TO_CLOUD,
    IMPORT_DATASET,
    MIRROR,
    RESTORE,
    UPLOAD,
)
from asynccvat.runfiles.deletion_steps import deletion
from asynccvat.runfiles.mappings import Section
from asynccvat.runfiles.nodes import FilePosition, NodeReader
from asynccvat.runfiles.steps import (
    AnnotationsStep,
    BackupStep,
    Batch,
    CloudStep,
    CopyStep,
    CreationStep,
    DatasetStep,
    DeletionStep,
    DownloadStep,
    MirrorStep,
    RestoreStep,
    StepHead,
    UploadStep,
)
from asynccvat.runfiles.wording import in_keys

_MIRRORED = Path(OWN_FOLDER, "receipts")


@dataclass(slots=True)
class _NamedPositions:
    """The positions of the tasks, projects and formats that a step names."""

    found: dict[int | str, FilePosition] = field(default_factory=dict)

    def ids(self, section: Section, key: str) -> tuple[int, ...]:
        """Return the ids of a key, and remember their positions."""
        items = section.values.get(key, [])
        self.found.update(items)
        return tuple(value for value, _ in items)


class StepBuilder:
    """Builds the steps of one file, in their order.

    What is wrong is reported to the reader; then a step is None.

    Attributes:
        warnings: What the user should know although the file can be run.
    """

    def __init__(self, reader: NodeReader) -> None:
        self.warnings: list[str] = []
        self._reader = reader
        self._made: list[Path] = []

    def download(self, head: StepHead, section: Section) -> DownloadStep | None:
        """Build a download of tasks, each into its own folder."""
        values, places = section.values, _NamedPositions()
        ids = places.ids(section, "task_ids")
        prefix = self._prefix(section, DOWNLOAD)
        self._remember_position(places, section, "dataset_format")
        if not section.all_of("task_ids"):
            return None
        if "out_paths" in section.entries:
            folders = [_path(text) for text, _ in section.all_of("out_paths")]
            if not folders:
                return None
            if len(folders) != len(ids):
                self._reader.report(
                    section.entries["out_paths"].value,
                    f"'out_paths' has {len(folders)} folders for {len(ids)} tasks: "
                    "name one for each",
                )
                return None
            if "out_dir" in section.entries:
                self._warn(
                    section, "out_dir", "it has no effect, since 'out_paths' names every folder"
                )
        elif "out_dir" in values and prefix is not None:
            folders = [_path(values["out_dir"]) / f"{prefix}{task_id}" for task_id in ids]
        else:
            return None
        self._refuse_shared(zip(ids, folders, strict=True), places)
        self._made.extend(map(_absolute, folders))
        return DownloadStep(
            number=head.number,
            task=DOWNLOAD,
            place=head.place,
            server=head.server,
            places=places.found,
            paths=dict(zip(ids, folders, strict=True)),
            spec=ExportSpec(
                values.get("dataset_format", ExportSpec().format),
                images=values.get("save_images", False),
            ),
            skip_existing=values.get("skip_existing", True),
        )

    def upload(self, head: StepHead, section: Section) -> UploadStep | None:
        """Build an upload of annotation files."""
        values, places = section.values, _NamedPositions()
        self._remember_position(places, section, "dataset_format")
        prefix = self._prefix(section, UPLOAD)
        format_name = values.get("dataset_format")
        if "tasks" in values:
            for key in ("task_ids", "in_dir"):
                if key in section.entries:
                    self._warn(section, key, "it has no effect, since 'tasks' names every file")
            batches = self._pairs(values["tasks"], format_name, places)
        elif "in_dir" in values and "task_ids" in values:
            ids = places.ids(section, "task_ids")
            batches = (Batch(_path(values["in_dir"]), ids, format_name),)
        else:
            return None
        if prefix is None:
            return None
        awaits = self._check_files(batches, prefix, places)
        options = _values(UploadOptions, section)
        if "backup_dir" in options:
            options["backup_dir"] = _path(options["backup_dir"])
            if not options.get("backup", True):
                self._reader.report(
                    section.entries["backup_dir"].value,
                    "'backup_dir' names where replaced annotations are kept, and 'no_backup' keeps "
                    "none: remove one of them",
                )
                return None
        return UploadStep(
            number=head.number,
            task=UPLOAD,
            place=head.place,
            server=head.server,
            places=places.found,
            batches=batches,
            options=make_options(UploadOptions, options),
            awaits=awaits,
        )

    def _pairs(
        self,
        items: list[tuple[Section, FilePosition]],
        format_name: str | None,
        places: _NamedPositions,
    ) -> tuple[Batch, ...]:
        """Return a batch for each format of what `tasks` lists."""
        batches: dict[str | None, dict[int, Path]] = {}
        for item, place in items:
            if not {"task_id", "annotation_path"} <= item.values.keys():
                continue
            task_id = item.values["task_id"]
            if task_id in places.found:
                # The second import into a task would replace the annotations of the first.
                self._reader.report_at(place, f"task {task_id} is named twice: remove one of them")
                continue
            places.found[task_id] = place
            own = item.values.get("dataset_format", format_name)
            if "dataset_format" in item.values:
                places.found[own] = self._reader.place(item.entries["dataset_format"].value)
            batches.setdefault(own, {})[task_id] = _path(item.values["annotation_path"])
        return tuple(Batch(paths, tuple(paths), own) for own, paths in batches.items())

    def mirror(self, head: StepHead, section: Section) -> MirrorStep | None:
        """Build a mirror; its keys are the options of the command."""
        values, places = section.values, _NamedPositions()
        projects = places.ids(section, "project_id")
        places.found = {f"project {one}": place for one, place in places.found.items()}
        tasks = places.ids(section, "task_id")
        self._remember_position(places, section, "format")
        prefix = self._prefix(section, MIRROR)
        selection = self._selection(section, projects, tasks)
        if prefix is None or selection is None or "dest" not in values:
            return None
        dest = _path(values["dest"])
        self._made.append(_absolute(dest))
        return MirrorStep(
            number=head.number,
            task=MIRROR,
            place=head.place,
            server=head.server,
            places=places.found,
            dest=dest,
            selection=selection,
            format=values.get("format"),
            images=values.get("images"),
            options=make_options(MirrorOptions, _values(MirrorOptions, section)),
        )

    def backup(self, head: StepHead, section: Section) -> BackupStep | None:
        """Build a backup; its keys are the options of the command."""
        values, places = section.values, _NamedPositions()
        projects = places.ids(section, "project_id")
        places.found = {f"project {one}": place for one, place in places.found.items()}
        tasks = places.ids(section, "task_id")
        selection = self._selection(section, projects, tasks)
        if selection is None or "dest" not in values:
            return None
        try:
            options = make_options(BackupOptions, _values(BackupOptions, section))
        except ConfigError as error:
            # The types have checked each value alone; what they mean together is checked here.
            self._reader.report_at(head.place, in_keys(error.message, BACKUP))
            return None
        return BackupStep(
            number=head.number,
            task=BACKUP,
            place=head.place,
            server=head.server,
            places=places.found,
            dest=_path(values["dest"]),
            selection=selection,
            options=options,
        )

    def delete(self, head: StepHead, section: Section) -> DeletionStep | None:
        """Build a deletion; its keys are the options of the command."""
        places = _NamedPositions()
        projects = places.ids(section, "project_id")
        places.found = {f"project {one}": place for one, place in places.found.items()}
        tasks = places.ids(section, "task_id")
        selection = self._selection(section, projects, tasks)
        if selection is None or selection == Selection():
            return None
        given = _values(DeleteOptions, section)
        for key in ("require_backup", "log"):
            if key in given:
                given[key] = _path(given[key])
        return deletion(head, section, selection, given, places=places.found, reader=self._reader)

    def create(self, head: StepHead, section: Section) -> CreationStep | None:
        """Build a creation of tasks; its keys are the options of the command."""
        values, places = section.values, _NamedPositions()
        self._remember_position(places, section, "project")
        for key in {"src", "labels", "order"} & values.keys():
            self._check_present(_path(values[key]), self._reader.place(section.entries[key].value))
        if "src" not in values:
            return None
        given = _values(CreateOptions, section)
        if "journal" in given:
            given["journal"] = _path(given["journal"])
        try:
            options = make_options(CreateOptions, given)
        except ConfigError as error:
            # The types have checked each value alone; what they mean together is checked here.
            self._reader.report_at(head.place, in_keys(error.message, CREATE))
            return None
        labels, order = values.get("labels"), values.get("order")
        return CreationStep(
            number=head.number,
            task=CREATE,
            place=head.place,
            server=head.server,
            places=places.found,
            source=_path(values["src"]),
            project=values.get("project"),
            labels=None if labels is None else _path(labels),
            labels_from=values.get("labels_from"),
            order=None if order is None else _path(order),
            options=options,
        )

    def import_dataset(self, head: StepHead, section: Section) -> DatasetStep | None:
        """Build an import of datasets; its keys are the options of the command."""
        values, places = section.values, _NamedPositions()
        self._remember_position(places, section, "project")
        self._remember_position(places, section, "format")
        files = values.get("files", [])
        for text, place in files:
            self._check_present(_path(text), place)
        if not files or not {"project", "format"} <= values.keys():
            return None
        given = _values(ImportOptions, section)
        if "journal" in given:
            given["journal"] = _path(given["journal"])
        return DatasetStep(
            number=head.number,
            task=IMPORT_DATASET,
            place=head.place,
            server=head.server,
            places=places.found,
            project=values["project"],
            files=tuple(_path(text) for text, _ in files),
            format=values["format"],
            options=make_options(ImportOptions, given),
        )

    def _check_present(self, path: Path, place: FilePosition) -> None:
        """Report a file or folder that is missing, and that no earlier step fetches."""
        is_made = any(_absolute(path).is_relative_to(made) for made in self._made)
        if not is_made and not path.exists():
            self._reader.report_at(
                place, f"cannot use {str(path)!r}: there is no such file or folder"
            )

    def copy(self, head: StepHead, section: Section) -> CopyStep | None:
        """Build a copy; its keys are the options of the command."""
        values, places = section.values, _NamedPositions()
        projects = places.ids(section, "project_id")
        places.found = {f"project {one}": place for one, place in places.found.items()}
        tasks = places.ids(section, "task_id")
        selection = self._selection(section, projects, tasks)
        if head.server:
            self._reader.report_at(
                head.place, "a copy names its servers by 'from' and 'to': remove 'server'"
            )
            return None
        if selection is None or not {"from", "to"} <= values.keys():
            return None
        given = _values(CopyOptions, section)
        if "state" in given:
            given["state"] = _path(given["state"])
        try:
            options = make_options(CopyOptions, given)
        except ConfigError as error:
            # The types have checked each value alone; what they mean together is checked here.
            self._reader.report_at(head.place, in_keys(error.message, COPY))
            return None
        return CopyStep(
            number=head.number,
            task=COPY,
            place=head.place,
            server=head.server,
            places=places.found,
            source=values["from"],
            target=values["to"],
            source_organization=values.get("from_org"),
            target_organization=values.get("to_org"),
            selection=selection,
            options=options,
        )

    def export_to_cloud(self, head: StepHead, section: Section) -> CloudStep | None:
        """Build an export to a cloud storage; its keys are the options of the command."""
        values, places = section.values, _NamedPositions()
        projects = places.ids(section, "project_id")
        places.found = {f"project {one}": place for one, place in places.found.items()}
        tasks = places.ids(section, "task_id")
        self._remember_position(places, section, "format")
        selection = self._selection(section, projects, tasks)
        if selection is None or "storage" not in values:
            return None
        backup = values.get("backup", False)
        if backup and ("format" in values or values.get("images")):
            self._reader.report(
                section.entries["backup"].value,
                "a backup has no format, and holds the images: remove 'backup', or 'format' and "
                "'images'",
            )
            return None
        given = _values(CloudOptions, section)
        if "record" in given:
            given["record"] = _path(given["record"])
            if given["record"].suffix != RECORD_SUFFIX:
                self._reader.report(
                    section.entries["record"].value, f"its name has to end with {RECORD_SUFFIX}"
                )
                return None
        options = make_options(CloudOptions, given)
        if not self._is_meant(section, selection, options):
            return None
        exported = ExportSpec(
            values.get("format", ExportSpec().format), images=values.get("images", False)
        )
        return CloudStep(
            number=head.number,
            task=EXPORT_TO_CLOUD,
            place=head.place,
            server=head.server,
            places=places.found,
            storage_id=values["storage"],
            prefix=values.get("prefix", ""),
            selection=selection,
            spec=BackupSpec() if backup else exported,
            options=options,
        )

    def _is_meant(self, section: Section, selection: Selection, options: CloudOptions) -> bool:
        """Report a folder or a condition that an export to a cloud storage cannot use."""
        target = TargetKind.of_plural(options.target)
        wrong = unfitting_condition(
            target, selection, stage=options.stage, state=options.state, type=options.type
        )
        if wrong is not None:
            key = wrong.removeprefix("--").replace("-", "_")
            said = f"it has no meaning for {target.plural}: leave it out"
            self._reader.report(section.entries[key].value, said)
            return False
        try:
            folder_of(section.values.get("prefix", ""))
        except ConfigError as error:
            self._reader.report(
                section.entries["prefix"].value, in_keys(str(error), EXPORT_TO_CLOUD)
            )
            return False
        return True

    def restore(self, head: StepHead, section: Section) -> RestoreStep | AnnotationsStep | None:
        """Build a restore; its keys are the options of the command."""
        values, places = section.values, _NamedPositions()
        if values.get("annotations", False):
            return self._annotations(head, section)
        for key in ("overwrite", "backup_dir"):
            if key in section.entries:
                self._reader.report(
                    section.entries[key].key,
                    f"{key!r} is for annotations that are put back into a task, and a restore "
                    "replaces nothing: remove it, or give 'annotations: true'",
                )
                return None
        tasks = places.ids(section, "task_id")
        of_projects = places.ids(section, "project_id")
        places.found = {}  # ids of another server perhaps, which this one need not have
        self._remember_position(places, section, "project")
        projects = bool(of_projects) or values.get("projects", False)
        for key, others in (("task_id", projects), ("project", projects)):
            if key in section.entries and others:
                self._reader.report(
                    section.entries[key].value,
                    f"{key!r} is for backups of tasks, and 'projects' or 'project_id' takes those "
                    "of projects: remove one of them",
                )
                return None
        if "src" not in values:
            return None
        given = _values(RestoreOptions, section)
        if "journal" in given:
            given["journal"] = _path(given["journal"])
        return RestoreStep(
            number=head.number,
            task=RESTORE,
            place=head.place,
            server=head.server,
            places=places.found,
            source=_path(values["src"]),
            ids=(tasks or of_projects) or None,
            projects=projects,
            at=values.get("at"),
            project=values.get("project"),
            options=make_options(RestoreOptions, given),
        )

    def _annotations(self, head: StepHead, section: Section) -> AnnotationsStep | None:
        """Build a restore of annotations alone."""
        values, places = section.values, _NamedPositions()
        for key in ("projects", "project_id", "project"):
            if key in section.entries:
                self._reader.report(
                    section.entries[key].key,
                    f"'annotations: true' is for the tasks of 'task_id': remove {key!r}",
                )
                return None
        tasks = places.ids(section, "task_id")
        for key, why in (
            ("task_id", "it names the tasks that get their annotations back"),
            ("backup_dir", "it keeps the annotations that are replaced"),
        ):
            if key not in section.entries:
                self._reader.report(
                    section.entries["annotations"].key,
                    f"'annotations: true' needs {key!r}: {why}",
                )
                return None
        if "src" not in values or not tasks:
            return None
        given = _values(RestoreOptions, section)
        for key in ("journal", "backup_dir"):
            if key in given:
                given[key] = _path(given[key])
        return AnnotationsStep(
            number=head.number,
            task=RESTORE,
            place=head.place,
            server=head.server,
            places=places.found,
            source=_path(values["src"]),
            task_ids=tasks,
            at=values.get("at"),
            options=make_options(RestoreOptions, given),
        )

    def _selection(
        self, section: Section, projects: tuple[int, ...], tasks: tuple[int, ...]
    ) -> Selection | None:
        narrowed = _values(Selection, section)
        narrowed |= {"project_ids": projects or None, "task_ids": tasks or None}
        try:
            return Selection(**narrowed)
        except ConfigError as error:
            # The types have checked all other values; only the filter is checked here.
            self._reader.report(section.entries["filter"].value, error.message)
            return None

    def _prefix(self, section: Section, task: str) -> str | None:
        if "folder_prefix" not in section.entries:
            return DEFAULT_PREFIX
        prefix: str | None = section.values.get("folder_prefix")
        if prefix is None:
            return None
        try:
            task_folder_name(prefix, 1)
        except ConfigError as error:
            self._reader.report(
                section.entries["folder_prefix"].value, in_keys(error.message, task)
            )
            return None
        return prefix

    def _remember_position(self, places: _NamedPositions, section: Section, key: str) -> None:
        if key in section.values:
            places.found[section.values[key]] = self._reader.place(section.entries[key].value)

    def _warn(self, section: Section, key: str, message: str) -> None:
        self.warnings.append(f"{self._reader.place(section.entries[key].key)}: {key!r}: {message}")

    def _refuse_shared(self, paths: Iterable[tuple[int, Path]], places: _NamedPositions) -> None:
        owners: dict[Path, int] = {}
        for task_id, path in paths:
            other = owners.setdefault(_absolute(path), task_id)
            if other != task_id:
                self._reader.report_at(
                    places.found[task_id],
                    f"tasks {other} and {task_id} have the same folder: {str(path)!r}",
                )

    def _check_files(
        self, batches: Iterable[Batch], prefix: str, places: _NamedPositions
    ) -> frozenset[int]:
        """Report files that cannot be uploaded; return the tasks that an earlier step fetches."""
        awaits = set()
        for batch in batches:
            in_mirror = isinstance(batch.source, Path) and (batch.source / _MIRRORED).is_dir()
            for task_id in batch.task_ids:
                path = batch.path(task_id, prefix)
                if any(_absolute(path).is_relative_to(made) for made in self._made):
                    awaits.add(task_id)
                elif not in_mirror:
                    try:
                        find_source(path, batch.format or ExportSpec().format).inspected()
                    except AnnotationFileError as error:
                        self._reader.report_at(
                            places.found[task_id], in_keys(error.message, UPLOAD)
                        )
        return frozenset(awaits)


def _values(group: type, section: Section) -> dict[str, Any]:
    """Return the options of a class that a section sets, by their fields."""
    return {
        item.name: item.switched(given=value) if isinstance(item.kind, Switch) else value
        for item in declared_options(group)
        if (value := section.values.get(item.key)) is not None
    }


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _absolute(path: Path) -> Path:
    return Path(os.path.normpath(path.absolute()))
