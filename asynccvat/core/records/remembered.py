"""What a destination remembers of its first run.

`settling` says what a later run makes of it. To remember one more option, give its field in
`MirrorOptions` the default None, and add it to `Remembered` and to `SETTINGS`. `store.identity`
keeps all this in `destination.json`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

import msgspec

from asynccvat.core import quantities
from asynccvat.core.options.mirror import MirrorOptions, UnsafeNames
from asynccvat.core.options.transfer import DEFAULT_PREFIX
from asynccvat.core.records.folder_naming import have_layout, prefix_of
from asynccvat.core.records.lasting_selections import (
    LastingSelection,
    tasks_in_words,
)
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.specs import (
    CVAT,
    CVAT_IMAGES,
    CVAT_JSON,
    CVAT_VIDEO,
    ExportSpec,
)
from asynccvat.core.targets import TargetKind


class Remembered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The settings of a destination. None stands for what is not known, or was not given.

    Attributes:
        format: The exporter's name.
        images: Whether the images are fetched, too.
        frames: Whether a mirror as JSON has the names and sizes of frames.
        without_exports: Whether tasks are converted from the server's JSON.
        target: What has a folder each: tasks, projects or jobs.
        stage: Of jobs, only those in this stage.
        state: Of jobs, only those in this state.
        type: Of jobs, only those of this type.
        folder_prefix: The start of each folder's name; None with a layout.
        layout: The layout of the folders' names; "" if one was used, and was lost.
        names: What becomes of names that the destination cannot hold.
        keep_archive: Whether the archives are kept, too.
        history: Seconds for which replaced annotation files are kept.
        selection: Which tasks belong to it.
        lost: Whether all this was lost, so that only a user can say which tasks belong to it.
    """

    format: str | None = None
    images: bool | None = None
    frames: bool | None = None
    without_exports: bool | None = None
    target: str | None = None
    stage: str | None = None
    state: str | None = None
    type: str | None = None
    folder_prefix: str | None = None
    layout: str | None = None
    names: str | None = None
    keep_archive: bool | None = None
    history: float | None = None
    selection: LastingSelection | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """One remembered option, apart from the selection.

    Attributes:
        name: The field of `Remembered`, and of `MirrorOptions` if it is there.
        default: The value of a destination's first run that does not give it.
        words: Describes a value.
        preposition: What joins these words to "it was made", with a blank; "" if they have one.
        always: Whether the line that each run prints also has the default.
        binds: Whether another value needs `--change`, as it changes what is there.
        default_binds: Whether that holds for the default, too. If not, it is not remembered.
        narrows: Whether it is a condition, so that a destination without it holds more.
        absence_binds: Whether to give it first to a destination without it needs `--change`, too.
    """

    name: str
    default: Any
    words: Callable[[Any], str]
    preposition: str = "with "
    always: bool = False
    binds: bool = True
    default_binds: bool = True
    narrows: bool = False
    absence_binds: bool = False

    @property
    def is_option(self) -> bool:
        """Whether `MirrorOptions` has it."""
        return any(item.name == self.name for item in fields(MirrorOptions))


def _jobs_with(name: str) -> Callable[[str | None], str]:
    """Return what describes a condition of jobs."""
    return lambda given: (
        f"for jobs of {'any ' if given is None else ''}{name} {given or ''}".strip()
    )


SETTINGS = (
    Setting("format", ExportSpec().format, str, "as ", always=True),
    Setting(
        "images", False, lambda given: f"{'with' if given else 'without'} images", "", always=True
    ),
    Setting(
        "frames",
        True,
        lambda given: f"{'with' if given else 'without'} frames",
        "",
    ),
    Setting(
        "without_exports",
        False,
        lambda given: f"{'without' if given else 'by'} exports",
        "",
        binds=False,
        default_binds=False,
    ),
    Setting(
        "target",
        TargetKind.TASK.plural,
        lambda given: f"a folder for each {TargetKind.of_plural(given)}",
        default_binds=False,
    ),
    Setting("stage", None, _jobs_with("stage"), "", narrows=True, absence_binds=True),
    Setting("state", None, _jobs_with("state"), "", narrows=True, absence_binds=True),
    Setting("type", None, _jobs_with("type"), "", narrows=True, absence_binds=True),
    Setting("folder_prefix", DEFAULT_PREFIX, lambda given: f"folders like {given + '147'!r}"),
    Setting(
        "layout",
        None,
        lambda given: "folders by ids alone" if given is None else f"folders like {given!r}",
        absence_binds=True,
    ),
    Setting(
        "names",
        UnsafeNames.REFUSE.value,
        lambda given: f"unsafe names {'mapped' if given == UnsafeNames.MAP else 'refused'}",
        binds=False,
        default_binds=False,
    ),
    Setting(
        "keep_archive",
        False,
        lambda given: f"archives {'kept' if given else 'not kept'}",
        default_binds=False,
    ),
    Setting(
        "history",
        0.0,
        lambda given: f"history {quantities.duration_text(given)}" if given else "no history",
        default_binds=False,
    ),
)


def remembered_in_words(remembered: Remembered) -> str:
    """Describe what a destination remembers, in one line."""
    lasting, target = remembered.selection, TargetKind.of_plural(remembered.target)
    parts = [tasks_in_words(lasting, target)] if lasting is not None else []
    for setting in SETTINGS:
        value = getattr(remembered, setting.name)
        if value is not None and (setting.always or value != setting.default):
            parts.append(setting.words(value))
    return ", ".join(parts)


def from_receipts(heads: Iterable[ReceiptHead]) -> Remembered:
    """Return the settings of a destination that remembers none: those of most of its tasks.

    Both flavours of CVAT's XML together are what `CVAT` chooses.
    """
    made = Counter(
        (head.format, head.images, head.frames, head.target, prefix_of(head)) for head in heads
    )
    formats = {format_name for format_name, *_ in made}
    for (format_name, images, frames, target, prefix), _ in made.most_common(1):
        of_tasks = target is TargetKind.TASK
        return Remembered(
            format=CVAT if formats == {CVAT_IMAGES, CVAT_VIDEO} else format_name,
            images=images,
            frames=frames if format_name == CVAT_JSON else None,
            target=None if of_tasks else target.plural,
            folder_prefix=prefix if of_tasks else None,
            layout="" if have_layout({name for *_, name in made}) else None,
        )
    return Remembered()
