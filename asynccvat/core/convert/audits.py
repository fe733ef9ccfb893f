"""Choose which conversions of a run are audited: exported, too, and compared with the export.

`differences` compares. A conversion of a kind of annotation is either right or wrong, whatever the
task. So the first tasks with each kind are audited, and some others that are drawn by lot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

from asynccvat.core.convert.task_json import TaskJson
from asynccvat.core.version import VERSION

_ONE_IN: Final = 40
"""How many tasks there are for each audited one."""
_DRAWN_OF: Final = 3
"""How many audited tasks there are for each drawn one. The others have kinds new to the run."""


def conversion_rule(server_version: str | None) -> str:
    """Return the rule by which tasks are converted now, as receipts note it."""
    return f"asynccvat {VERSION} for CVAT {server_version or 'of unknown version'}"


class AuditSample:
    """Chooses the tasks of one run that are audited: at least one, if any can be converted."""

    def __init__(self, tasks: Iterable[tuple[int, str]]) -> None:
        """Draw lots.

        Args:
            tasks: Id and date of each task. A task draws a new lot with each change.
        """
        ids = [task_id for task_id, _ in sorted(tasks, key=_lot)]
        audits = -(-len(ids) // _ONE_IN)
        drawn = -(-audits // _DRAWN_OF)
        self._chosen = set(ids[:drawn])
        self._left = audits - drawn
        self._seen: set[str] = set()

    def takes(self, task_id: int, kinds: frozenset[str]) -> bool:
        """Whether a task is audited, which has these kinds of content.

        A task that was chosen stays so: its export may fail, and the task is then tried again.
        """
        if task_id not in self._chosen:
            if not self._left or kinds <= self._seen:
                return False
            self._left -= 1
            self._chosen.add(task_id)
        self._seen |= kinds
        return True

    def pass_over(self, task_id: int) -> None:
        """Note that a task cannot be converted. Another one is audited instead."""
        if task_id in self._chosen:
            self._chosen.remove(task_id)
            self._left += 1


def _lot(task: tuple[int, str]) -> bytes:
    return hashlib.sha256(f"{task[0]} {task[1]}".encode()).digest()


def kinds_in(source: TaskJson) -> frozenset[str]:
    """Return what a task holds of which the conversion might be wrong."""
    return frozenset(_kinds(source))


def _kinds(source: TaskJson) -> Iterator[str]:
    media, annotations = source.media, source.annotations
    yield "video" if source.is_video else "images"
    if media.deleted_frames:
        yield "deleted frames"
    if media.start_frame or media.frame_filter:
        yield "some frames"
    if annotations.tags:
        yield "tag"
    for shape in annotations.shapes:
        yield shape.type
        if shape.rotation:
            yield "rotation"
        if shape.attributes:
            yield "attributes"
        if shape.group:
            yield "group"
    for track in annotations.tracks:
        yield from (f"track of {keyframe.type}" for keyframe in track.shapes)
