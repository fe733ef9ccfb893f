"""Load a run file into steps, and report everything that is wrong with it at once.

This checks what needs no server: keys, types, files, contradictions. `preflight` checks what the
servers know.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from asynccvat.commands.upload.local_files import find
from asynccvat.core.declarations import Switch, declared_options
from asynccvat.core.models import ExportSpec
from asynccvat.core.options import MirrorOptions, UploadOptions
from asynccvat.core.paths import OWN_FOLDER, task_folder_name
from asynccvat.core.selection import Selection
from asynccvat.errors import AnnotationFileError, ConfigError, RunFileError
from asynccvat.runfiles.declarations import DOWNLOAD, MIRROR, NAMES, PARAMETERS, SERVER, UPLOAD
from asynccvat.runfiles.mappings import Section
from asynccvat.runfiles.nodes import FilePosition, MappingEntry, NodeReader, described
from asynccvat.runfiles.steps import (
    Batch,
    DownloadStep,
    MirrorStep,
    RunFile,
    RunFileStep,
    UploadStep,
)
from asynccvat.runfiles.value_types import TextType
from asynccvat.settings.values import SECRETS, SettingValue
from asynccvat.settings.yaml_file import compose, exposure

_STEP = ("task", "server", "parameters")
_MIRRORED = Path(OWN_FOLDER, "receipts")


def load_run_file(path: str | PathLike[str]) -> RunFile:
    """Read a run file and check the files that it names. This blocks, and asks no server.

    Paths in the file are relative to the working directory, as in `datnvt-cvat-cli`.

    Raises:
        RunFileError: The file cannot be run. `.problems` lists everything that is wrong, with
            lines and columns; it repeats no secret.
        ConfigError: The file cannot be read, or is no YAML.
    """
    file = Path(path)
    try:
        root = compose(file)
    except OSError as error:
        raise ConfigError(
            f"the run file {str(file)!r} cannot be read: {error.strerror}. Name another file."
        ) from error
    loading = _Loader(file)
    steps = loading.steps(root)
    problems = loading.reader.in_order()
    if problems:
        raise RunFileError(problems)
    return RunFile(file, tuple(steps), tuple(loading.warnings))


@dataclass(frozen=True, slots=True)
class _Head:
    """What every step has: number, position, settings of its server."""

    number: int
    place: FilePosition
    server: Mapping[str, SettingValue]


@dataclass(slots=True)
class _NamedPositions:
    """The positions of the tasks, projects and formats that a step names."""

    found: dict[int | str, FilePosition] = field(default_factory=dict)

    def ids(self, section: Section, key: str) -> tuple[int, ...]:
        """Return the ids of a key, and remember their positions."""
        items = section.values.get(key, [])
        self.found.update(items)
        return tuple(value for value, _ in items)


class _Loader:
    """Reads the steps of one file.

    Attributes:
        reader: Collects the problems.
        warnings: What the user should know although the file can be run.
    """

    def __init__(self, file: Path) -> None:
        self.reader = NodeReader(file)
        self.warnings: list[str] = []
        self._file = file
        self._made: list[Path] = []

    def steps(self, root: yaml.Node | None) -> list[RunFileStep]:
        """Return the steps that can be read."""
        if root is None:
            self.reader.report_at(FilePosition(self._file, 1, 1), f"it holds no steps: {_EXAMPLE}")
            return []
        if not isinstance(root, yaml.SequenceNode) or not root.value:
            self.reader.report(
                root, f"it must be a list of steps, not {described(root)}: {_EXAMPLE}"
            )
            return []
        steps = []
        for number, node in enumerate(root.value, 1):
            step = self._step(number, node)
            if step is not None:
                steps.append(step)
        return steps

    def _step(self, number: int, node: yaml.Node) -> RunFileStep | None:
        if not isinstance(node, yaml.MappingNode):
            self.reader.report(node, f"a step must hold 'task' and 'parameters': {_EXAMPLE}")
            return None
        entries = self.reader.entries(node, _STEP)
        server = self._server(entries.get("server"))
        task = self._task(node, entries.get("task"))
        if task is None:
            return None
        if "parameters" not in entries:
            keys = ", ".join(PARAMETERS[task].keys)
            self.reader.report(node, f"'parameters' is missing: {task} takes {keys}")
            return None
        section = PARAMETERS[task].read(entries["parameters"].value, self.reader, "parameters")
        if section is None:
            return None
        head = _Head(number, self.reader.place(node), server)
        make = {DOWNLOAD: self._download, UPLOAD: self._upload, MIRROR: self._mirror}
        return make[task](head, section)

    def _task(self, node: yaml.MappingNode, entry: MappingEntry | None) -> str | None:
        if entry is None:
            self.reader.report(node, f"'task' is missing: write one of {', '.join(PARAMETERS)}")
            return None
        name = TextType(tuple(NAMES)).read(entry.value, self.reader, "task")
        return None if name is None else NAMES[name]

    def _server(self, entry: MappingEntry | None) -> dict[str, SettingValue]:
        if entry is None:
            return {}
        section = SERVER.read(entry.value, self.reader, "server")
        if section is None:
            return {}
        settings = {
            name: SettingValue(_text(value), str(self.reader.place(section.entries[name].value)))
            for name, value in section.values.items()
            # An empty text and the project 0 count as absent.
            if value not in ("", 0) or value is False
        }
        if SECRETS & settings.keys() and not any("others can read" in one for one in self.warnings):
            warning = exposure(self._file, settings)
            self.warnings.extend([] if warning is None else [warning])
        return settings

    # --- the three kinds of step --------------------------------------------------------------

    def _download(self, head: _Head, section: Section) -> DownloadStep | None:
        values, places = section.values, _NamedPositions()
        ids = places.ids(section, "task_ids")
        prefix = self._prefix(section)
        self._note_place(places, section, "dataset_format")
        if not section.all_of("task_ids"):
            return None
        if "out_paths" in section.entries:
            folders = [_path(text) for text, _ in section.all_of("out_paths")]
            if not folders:
                return None
            if len(folders) != len(ids):
                self.reader.report(
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

    def _upload(self, head: _Head, section: Section) -> UploadStep | None:
        values, places = section.values, _NamedPositions()
        self._note_place(places, section, "dataset_format")
        prefix = self._prefix(section)
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
        awaits = self._look_at_files(batches, prefix, places)
        return UploadStep(
            number=head.number,
            task=UPLOAD,
            place=head.place,
            server=head.server,
            places=places.found,
            batches=batches,
            options=UploadOptions(
                folder_prefix=prefix,
                mode=values.get("mode", UploadOptions().mode),
                only_if_unchanged=values.get("only_if_unchanged", False),
            ),
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
                self.reader.report_at(place, f"task {task_id} is named twice: remove one of them")
                continue
            places.found[task_id] = place
            own = item.values.get("dataset_format", format_name)
            if "dataset_format" in item.values:
                places.found[own] = self.reader.place(item.entries["dataset_format"].value)
            batches.setdefault(own, {})[task_id] = _path(item.values["annotation_path"])
        return tuple(Batch(paths, tuple(paths), own) for own, paths in batches.items())

    def _mirror(self, head: _Head, section: Section) -> MirrorStep | None:
        values, places = section.values, _NamedPositions()
        projects = places.ids(section, "project_id")
        places.found = {f"project {one}": place for one, place in places.found.items()}
        tasks = places.ids(section, "task_id")
        self._note_place(places, section, "format")
        prefix = self._prefix(section)
        selection = self._selection(section, projects, tasks)
        if prefix is None or selection is None or "dest" not in values:
            return None
        dest = _path(values["dest"])
        self._made.append(_absolute(dest))
        options = _values(MirrorOptions, section)
        options["folder_prefix"] = prefix
        return MirrorStep(
            number=head.number,
            task=MIRROR,
            place=head.place,
            server=head.server,
            places=places.found,
            dest=dest,
            selection=selection,
            spec=ExportSpec(
                values.get("format", ExportSpec().format), images=values.get("images", False)
            ),
            options=MirrorOptions(**options),
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
            self.reader.report(section.entries["filter"].value, error.message)
            return None

    # --- what several of them need ------------------------------------------------------------

    def _prefix(self, section: Section) -> str | None:
        if "folder_prefix" not in section.entries:
            return "task"
        prefix: str | None = section.values.get("folder_prefix")
        if prefix is None:
            return None
        try:
            task_folder_name(prefix, 1)
        except ConfigError as error:
            self.reader.report(section.entries["folder_prefix"].value, error.message)
            return None
        return prefix

    def _note_place(self, places: _NamedPositions, section: Section, key: str) -> None:
        if key in section.values:
            places.found[section.values[key]] = self.reader.place(section.entries[key].value)

    def _warn(self, section: Section, key: str, message: str) -> None:
        self.warnings.append(f"{self.reader.place(section.entries[key].key)}: {key!r}: {message}")

    def _refuse_shared(self, paths: Iterable[tuple[int, Path]], places: _NamedPositions) -> None:
        owners: dict[Path, int] = {}
        for task_id, path in paths:
            other = owners.setdefault(_absolute(path), task_id)
            if other != task_id:
                self.reader.report_at(
                    places.found[task_id],
                    f"tasks {other} and {task_id} have the same folder: {path}",
                )

    def _look_at_files(
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
                        find(path, batch.format or ExportSpec().format).looked_at()
                    except AnnotationFileError as error:
                        self.reader.report_at(places.found[task_id], error.message)
        return frozenset(awaits)


_EXAMPLE = (
    "write `- task: download_cvat_tasks`, and `parameters:` below it with task_ids and out_dir"
)


def _values(group: type, section: Section) -> dict[str, Any]:
    """Return the options of a class that a section sets, by their fields."""
    return {
        item.name: item.switched(given=value) if isinstance(item.kind, Switch) else value
        for item in declared_options(group)
        if (value := section.values.get(item.key)) is not None
    }


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _absolute(path: Path) -> Path:
    return Path(os.path.normpath(path.absolute()))
