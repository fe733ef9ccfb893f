"""Load a run file into steps, and report everything that is wrong with it at once.

`step_builder` checks the files and folders that the steps name. `preflight` checks what the servers
know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from asynccvat.errors import ConfigError, RunFileError
from asynccvat.runfiles.building import backups, creations, deletions, files, mirrors
from asynccvat.runfiles.building.context import StepContext
from asynccvat.runfiles.declarations import (
    BACKUP,
    COPY,
    CREATE,
    DELETE,
    DOWNLOAD,
    EXPORT_TO_CLOUD,
    IMPORT_DATASET,
    MIRROR,
    NAMES,
    PARAMETERS,
    RESTORE,
    SERVER,
    UPLOAD,
)
from asynccvat.runfiles.mappings import Section
from asynccvat.runfiles.nodes import FilePosition, MappingEntry, NodeReader, described
from asynccvat.runfiles.steps import (
    RunFile,
    RunFileStep,
    StepHead,
)
from asynccvat.runfiles.value_types import TextType
from asynccvat.settings.values import SECRETS, SettingValue
from asynccvat.settings.yaml_file import compose, exposure

_STEP = ("task", "server", "parameters")


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


class _Loader:
    """Reads the steps of one file.

    Attributes:
        reader: Collects the problems.
        warnings: What the user should know although the file can be run.
    """

    def __init__(self, file: Path) -> None:
        self.reader = NodeReader(file)
        self._context = StepContext(self.reader)
        self.warnings = self._context.warnings
        self._file = file
        self._has_secrets = False

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
        head = StepHead(number, task, self.reader.place(node), server)
        return _BUILDERS[task](self._context, head, section)

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
        if SECRETS & settings.keys() and not self._has_secrets:
            self._has_secrets = True
            warning = exposure(self._file, settings)
            self.warnings.extend([] if warning is None else [warning])
        return settings


_BUILDERS: Mapping[str, Callable[[StepContext, StepHead, Section], RunFileStep | None]] = {
    DOWNLOAD: files.download,
    UPLOAD: files.upload,
    MIRROR: mirrors.mirror,
    EXPORT_TO_CLOUD: mirrors.export_to_cloud,
    CREATE: creations.create,
    IMPORT_DATASET: creations.import_dataset,
    BACKUP: backups.backup,
    RESTORE: backups.restore,
    COPY: backups.copy,
    DELETE: deletions.delete,
}
_EXAMPLE = (
    "write `- task: download_cvat_tasks`, and `parameters:` below it with task_ids and out_dir"
)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
