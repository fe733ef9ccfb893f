"""Read states of annotations from files, compare them, and write the log of a task."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from asynccvat.aio.threads import in_thread
from asynccvat.commands.inventory.opening import mirror_at
from asynccvat.commands.inventory.task_history import TaskHistory, read_history
from asynccvat.core.annotations.comparisons import (
    AnnotationComparison,
    AnnotationLog,
    AnnotationLogEntry,
    TaskAnnotationDifference,
)
from asynccvat.core.annotations.difference import (
    Annotation,
    AnnotationDifference,
    LabelNames,
    compare,
    count_by_label,
    read_annotations,
)
from asynccvat.core.annotations.json_files import ANNOTATIONS, LABELS, TASK
from asynccvat.core.annotations.states import AnnotationState, read_moment
from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.paths import OWN_FOLDER
from asynccvat.errors import AnnotationFileError, ConfigError, StoreError
from asynccvat.fs import disk_errors

_VERSION = re.compile(r"([1-9]\d{0,17})(?:@(.+))?", re.ASCII)
_LOST = "the file was edited in the mirror when it was replaced, so the server's own is lost"
_EDITED = "annotations.json was edited here"


@dataclass(frozen=True, slots=True)
class StateFiles:
    """The files of one state. Without labels, ids stand for their names."""

    annotations: Path
    labels: Path | None
    task: Path | None

    @classmethod
    def beside(cls, annotations: Path) -> StateFiles:
        """Return a file of annotations with the files of its folder that explain it."""
        labels, task = (annotations.with_name(name) for name in (LABELS, TASK))
        return cls(
            annotations, labels if labels.is_file() else None, task if task.is_file() else None
        )

    @classmethod
    def of(cls, history: TaskHistory, state: AnnotationState) -> StateFiles:
        """Return the files of a state that a mirror has kept."""
        annotations = history.file(state, ANNOTATIONS)
        assert annotations is not None, "a state has annotations"
        return cls(annotations, history.file(state, LABELS), history.file(state, TASK))

    def names(self) -> LabelNames | None:
        """Return the names of the labels, None if they are not there. Blocks."""
        return None if self.labels is None else LabelNames.read(_bytes_of(self.labels))

    def origin(self) -> str | None:
        """Return the server that the task is of, None if that is not known. Blocks."""
        if self.task is None:
            return None
        try:
            url = msgspec.json.decode(_bytes_of(self.task), type=_TaskUrl).url
        except UNREADABLE:
            return None
        return url.partition("/api/")[0]


class _TaskUrl(msgspec.Struct):
    url: str


def _bytes_of(path: Path) -> bytes:
    with disk_errors.explained("read", path):
        return path.read_bytes()


# --- the log of a task ----------------------------------------------------------------------------


async def read_log(dest: Path, task_id: int) -> AnnotationLog:
    """Return the log of a task, as `asynccvat.annotation_log` describes it."""
    async with mirror_at(dest, doing="look into") as store:
        history = await read_history(store, task_id)
    entries: list[AnnotationLogEntry] = []
    before: _State | None = None
    for state in history.states:
        entry, before = await in_thread(_entry, history, state, before)
        entries.append(entry)
    return AnnotationLog(str(dest), task_id, history.head.task_name, entries)


_State = tuple[list[Annotation], LabelNames]


def _entry(
    history: TaskHistory, state: AnnotationState, before: _State | None
) -> tuple[AnnotationLogEntry, _State | None]:
    """Return the entry of a state, and what the next one is compared with."""
    if not state.is_known:
        return AnnotationLogEntry(state.since, state.version, why=_LOST), None
    files = StateFiles.of(history, state)
    try:
        names = files.names() or LabelNames()
        found = read_annotations(_bytes_of(files.annotations), names)
    except (AnnotationFileError, StoreError) as error:
        return AnnotationLogEntry(state.since, state.version, why=str(error)), None
    difference = None
    if before is not None:
        difference = compare(before[0], found, (before[1], names))
    entry = AnnotationLogEntry(
        state.since,
        state.version,
        count_by_label(found),
        difference,
        _EDITED if state.version is None and history.is_edited else None,
    )
    return entry, (found, names)


# --- two places -----------------------------------------------------------------------------------


async def compare_places(
    first: str | Path, second: str | Path, dest: Path | None
) -> AnnotationComparison:
    """Compare annotations in two places, as `asynccvat.diff_annotations` describes it."""
    here = await _find(first, dest)
    there = await _find(second, dest)
    if ("" in here) != ("" in there):
        single, many = (first, second) if "" in here else (second, first)
        raise ConfigError(
            f"cannot compare {str(single)!r} with {str(many)!r}: one is a task, the other is a "
            "folder of tasks. Name two tasks, or two folders of tasks."
        )
    tasks: list[TaskAnnotationDifference] = []
    for folder in sorted(here.keys() & there.keys()):
        try:
            found = await in_thread(_compare, here[folder], there[folder])
        except (AnnotationFileError, StoreError) as error:
            if not folder:
                raise
            tasks.append(TaskAnnotationDifference(folder, None, str(error)))
        else:
            tasks.append(TaskAnnotationDifference(folder, found))
    return AnnotationComparison(
        str(first),
        str(second),
        tasks,
        sorted(here.keys() - there.keys()),
        sorted(there.keys() - here.keys()),
    )


async def _find(place: str | Path, dest: Path | None) -> Mapping[str, StateFiles]:
    """Return the files of each task in a place, by folder; a single task has no folder.

    Raises:
        ConfigError: There are none.
    """
    version = _VERSION.fullmatch(place) if isinstance(place, str) else None
    if version is not None and dest is not None:
        return {"": await _version_files(dest, int(version[1]), version[2])}
    return await in_thread(_files_at, Path(place))


async def _version_files(dest: Path, task_id: int, date: str | None) -> StateFiles:
    async with mirror_at(dest, doing="look into") as store:
        history = await read_history(store, task_id)
    if date is not None:
        return StateFiles.of(history, history.at(read_moment(date)))
    return await in_thread(StateFiles.beside, dest / history.head.folder / ANNOTATIONS)


def _files_at(place: Path) -> Mapping[str, StateFiles]:
    if place.is_file():
        return {"": StateFiles.beside(place)}
    if (place / ANNOTATIONS).is_file():
        return {"": StateFiles.beside(place / ANNOTATIONS)}
    found = {}
    with disk_errors.explained("read", place):
        for root, folders, names in os.walk(place):
            folders[:] = [one for one in folders if one != OWN_FOLDER]
            if ANNOTATIONS in names:
                folder = Path(root).relative_to(place).as_posix()
                found[folder] = StateFiles.beside(Path(root, ANNOTATIONS))
    if not found:
        raise ConfigError(
            f"{str(place)!r} holds no {ANNOTATIONS}. Name such a file, the folder of a task in a "
            "mirror that has --format json, or a folder of such folders. 147@2026-11-01 needs the "
            "mirror, as --in-dir."
        )
    return found


def _compare(first: StateFiles, second: StateFiles) -> AnnotationDifference:
    names = [one.names() for one in (first, second)]
    # A file without `labels.json` is read with the labels of the other one.
    known: Sequence[LabelNames] = [
        own or other or LabelNames() for own, other in (names, names[::-1])
    ]
    origins = {first.origin(), second.origin()} - {None}
    before, after = (
        read_annotations(_bytes_of(one.annotations), labels)
        for one, labels in zip((first, second), known, strict=True)
    )
    return compare(before, after, (known[0], known[1]), by_id=len(origins) < 2)
