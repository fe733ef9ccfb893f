"""Find images that a task has already, because an earlier run grouped them in another way.

`create --split 500` after `create` alone would make tasks of the same images again. The journal
knows a task by its folder and part, so these are compared, and how folders were grouped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from asynccvat.core.media.kinds import MediaKind
from asynccvat.core.options.create import CreateOptions
from asynccvat.core.plans.create_units import MediaUnit
from asynccvat.core.records.creations import Creation, CreationJournal


@dataclass(frozen=True, slots=True)
class Overlap:
    """A task that may have images of a new unit.

    Attributes:
        key: What the task was made of.
        task_id: The task.
        changed: Whether it was grouped in the same way, and its files changed since.
    """

    key: str
    task_id: int
    changed: bool


class Overlaps:
    """The tasks of earlier runs that may have images of new units."""

    def __init__(
        self,
        units: Iterable[MediaUnit],
        journal: CreationJournal,
        project_id: int | None,
        task_ids: Collection[int],
        options: CreateOptions,
    ) -> None:
        """Compare units with the tasks that earlier runs made.

        Args:
            units: The media.
            journal: What earlier runs noted.
            project_id: The project, None for none.
            task_ids: The tasks that the server has.
            options: How the images are grouped now.
        """
        self._of_all: Overlap | None = None
        self._by_folder: dict[str, Overlap] = {}
        now = {unit.key: unit for unit in units}
        for (of_project, key), creation in journal.tasks.items():
            task_id = creation.task_id
            if of_project != project_id or task_id is None or task_id not in task_ids:
                continue
            self._note(key, task_id, creation, now.get(key), options)

    def _note(
        self,
        key: str,
        task_id: int,
        creation: Creation,
        unit: MediaUnit | None,
        options: CreateOptions,
    ) -> None:
        if creation.single is None:
            return  # a video or a zip
        if creation.single != options.single:
            self._of_all = self._of_all or Overlap(key, task_id, changed=False)
            return
        folder = key if creation.split is None else key.rpartition("#")[0]
        is_same = creation.split == options.split
        if is_same and unit is not None and unit.fingerprint == creation.fingerprint:
            return
        self._by_folder.setdefault(folder, Overlap(key, task_id, changed=is_same))

    def of(self, unit: MediaUnit) -> Overlap | None:
        """Return a task that may have images of a unit which no run has created yet."""
        if unit.kind is not MediaKind.IMAGE:
            return None
        return self._of_all or self._by_folder.get(unit.folder.rstrip("/") or ".")
