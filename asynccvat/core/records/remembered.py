"""What a destination remembers of its first run, and what a later run makes of it.

`settle` compares what a run was given with what the destination remembers. To remember one more
option, give its field in `MirrorOptions` the default None, and add it to `Remembered` and to
`_SETTINGS`. `store.identity` keeps all this in `destination.json`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import msgspec

from asynccvat.core import quantities
from asynccvat.core.folder_layouts import FolderLayout
from asynccvat.core.options.mirror import MirrorOptions, UnsafeNames
from asynccvat.core.options.transfer import DEFAULT_PREFIX
from asynccvat.core.records.folder_naming import have_layout, known_layout, prefix_of
from asynccvat.core.records.lasting_selections import (
    Difference,
    LastingSelection,
    ignored_project,
    joined,
    lasting_conditions,
    narrowed_in_words,
    settle_conditions,
    tasks_in_words,
)
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.selections.fitting import unfitting_condition
from asynccvat.core.selections.selection import Selection
from asynccvat.core.specs import (
    CONVERSIONS,
    CVAT,
    CVAT_IMAGES,
    CVAT_JSON,
    CVAT_VIDEO,
    ExportSpec,
)
from asynccvat.core.targets import TargetKind
from asynccvat.core.texts import first_few
from asynccvat.errors import ChangeRefusedError, ConfigError


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
class _Setting:
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


_SETTINGS = (
    _Setting("format", ExportSpec().format, str, "as ", always=True),
    _Setting(
        "images", False, lambda given: f"{'with' if given else 'without'} images", "", always=True
    ),
    _Setting(
        "frames",
        True,
        lambda given: f"{'with' if given else 'without'} frames",
        "",
    ),
    _Setting(
        "without_exports",
        False,
        lambda given: f"{'without' if given else 'by'} exports",
        "",
        binds=False,
        default_binds=False,
    ),
    _Setting(
        "target",
        TargetKind.TASK.plural,
        lambda given: f"a folder for each {TargetKind.of_plural(given)}",
        default_binds=False,
    ),
    _Setting("stage", None, _jobs_with("stage"), "", narrows=True, absence_binds=True),
    _Setting("state", None, _jobs_with("state"), "", narrows=True, absence_binds=True),
    _Setting("type", None, _jobs_with("type"), "", narrows=True, absence_binds=True),
    _Setting("folder_prefix", DEFAULT_PREFIX, lambda given: f"folders like {given + '147'!r}"),
    _Setting(
        "layout",
        None,
        lambda given: "folders by ids alone" if given is None else f"folders like {given!r}",
        absence_binds=True,
    ),
    _Setting(
        "names",
        UnsafeNames.REFUSE.value,
        lambda given: f"unsafe names {'mapped' if given == UnsafeNames.MAP else 'refused'}",
        binds=False,
        default_binds=False,
    ),
    _Setting(
        "keep_archive",
        False,
        lambda given: f"archives {'kept' if given else 'not kept'}",
        default_binds=False,
    ),
    _Setting(
        "history",
        0.0,
        lambda given: f"history {quantities.duration_text(given)}" if given else "no history",
        default_binds=False,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a run works with.

    Attributes:
        selection: The tasks of this run.
        spec: Format and images.
        options: The options, with every remembered one filled in.
        remembered: What the destination remembers from now on.
        also: Tasks of this run that were perhaps not updated.
        ignored_project: The project of the settings, if the destination remembers another
            selection, which counts for more.
    """

    selection: Selection
    spec: ExportSpec
    options: MirrorOptions
    remembered: Remembered
    also: tuple[int, ...] = ()
    ignored_project: int | None = None

    @property
    def is_recent(self) -> bool:
        """Whether this run looks only at what changed since the last complete one."""
        return self.options.since_last_run and self.selection.updated_since is not None

    @property
    def only(self) -> str:
        """The part of the destination that this run is about, in words; "" for all."""
        if self.options.target_ids is not None:
            return f"{self.spec.target.plural} {first_few(sorted(self.options.target_ids))}"
        # What changed since the last complete run is all that has to be looked at.
        return "" if self.is_recent else narrowed_in_words(self.selection)

    def describe(self) -> str:
        """Say in words what the destination holds, and how this run is narrowed."""
        text = remembered_in_words(self.remembered)
        if narrowed := narrowed_in_words(self.selection):
            text += f"; this run: {narrowed}"
        if self.also:
            text += f", and {len(self.also)} that the last run did not finish"
        elif self.options.since_last_run and not self.is_recent:
            text += "; this run: all, as no complete run with these settings is noted"
        if self.ignored_project is not None:
            text += f"; project {self.ignored_project} of the settings is ignored"
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a run was given.

    Attributes:
        given: The remembered options among it; None is not given.
        selection: The selection.
        options: All options.
    """

    given: Remembered
    selection: Selection
    options: MirrorOptions

    @classmethod
    def of(
        cls,
        selection: Selection | None,
        spec: ExportSpec | str | None,
        images: bool | None,
        options: MirrorOptions,
    ) -> Wanted:
        """Collect what a run was given.

        Args:
            selection: None is not given.
            spec: An `ExportSpec` gives format and images, a text the format alone.
            images: Whether images are fetched, None if that is not given.
            options: The options; None in them is not given.

        Raises:
            ConfigError: The format's name is empty, or the images are given twice.
            TypeError: The selection or the spec has another type.
        """
        if images is not None and not isinstance(images, bool):
            raise ConfigError(f"images must be True, False or None, not {images!r}")
        format_name = None if spec is None else ExportSpec.of(spec).format
        if isinstance(spec, ExportSpec):
            if images is not None:
                raise ConfigError(
                    "images is given twice, also in the ExportSpec. Give the format's name instead."
                )
            images = spec.images
        own = {item.name: getattr(options, item.name) for item in _SETTINGS if item.is_option}
        if isinstance(spec, ExportSpec) and own["frames"] is None:
            # Frames of another format are refused if they are left out, and have no meaning else.
            own["frames"] = spec.frames if spec.is_json or not spec.frames else None
        if isinstance(spec, ExportSpec) and spec.target is not TargetKind.TASK:
            if own["target"] not in (None, spec.target.plural):
                raise ConfigError(
                    f"the ExportSpec asks for {spec.target.plural}, and the options for "
                    f"{own['target']}. Give one of them."
                )
            own["target"] = spec.target.plural
        given = Remembered(format=format_name, images=images, **own)
        return cls(given=given, selection=Selection.of(selection), options=options)

    def with_selection(self, selection: Selection) -> Wanted:
        """Return this with another selection."""
        return replace(self, selection=selection)

    def with_format(self, name: str) -> Wanted:
        """Return this with the exact name of the format that was given."""
        return replace(self, given=msgspec.structs.replace(self.given, format=name))


def remembered_in_words(remembered: Remembered) -> str:
    """Describe what a destination remembers, in one line."""
    lasting, target = remembered.selection, TargetKind.of_plural(remembered.target)
    parts = [tasks_in_words(lasting, target)] if lasting is not None else []
    for setting in _SETTINGS:
        value = getattr(remembered, setting.name)
        if value is not None and (setting.always or value != setting.default):
            parts.append(setting.words(value))
    return ", ".join(parts)


def settle(wanted: Wanted, remembered: Remembered, *, place: str, bound: bool) -> Settled:
    """Fill in what a run was not given, from what the destination remembers or from defaults.

    Args:
        wanted: What the run was given.
        remembered: What the destination remembers.
        place: The destination, for messages.
        bound: Whether another value than the remembered one is refused. It is not in a destination
            that holds no task: a mistyped first run must not spoil it.

    Raises:
        ChangeRefusedError: The run was given another value than the remembered one, and not
            `--change`.
        ConfigError: `--everything` is given together with a selection, or no selection where the
            destination's own was lost.
    """
    differing: list[Difference] = []
    values: dict[str, Any] = {}
    if not bound:
        remembered = _without_mistyped(remembered, wanted.given)
    layout = known_layout(
        remembered.layout, wanted.given.layout, wanted.given.folder_prefix, place=place
    )
    remembered = msgspec.structs.replace(remembered, layout=layout)
    conditions = _conditions_of_jobs(wanted.given)
    if wanted.options.everything and conditions:
        raise ConfigError(f"--everything contradicts --{conditions[0]}. Remove one of them.")
    for item in _SETTINGS:
        new, old = getattr(wanted.given, item.name), getattr(remembered, item.name)
        if item.narrows and old is not None and wanted.options.everything:
            differing.append((item.words(old), item.words(None)))
            values[item.name] = None
            continue
        known_before = old is not None or (item.absence_binds and bound and not remembered.lost)
        if item.binds and new is not None and known_before and new != old:
            differing.append(
                (item.preposition + item.words(old), item.preposition + item.words(new))
            )
        known = [value for value in (new, old) if value is not None]
        values[item.name] = known[0] if known else item.default
    options = wanted.options
    target = TargetKind.of_plural(values["target"])
    if values["layout"] is not None:
        FolderLayout.parse(values["layout"], target)
        values["folder_prefix"] = None
    _check_target(target, wanted, remembered, values, place=place, bound=bound)
    _check_json(target, wanted, values)
    _check_conversion(target, values)
    narrowing: list[Difference] = []
    used, lasting = settle_conditions(
        wanted.selection, options, remembered.selection, narrowing, target
    )
    if narrowing and not bound:
        # Mistyped conditions of a run that found no task must not narrow another selection.
        used, lasting = settle_conditions(wanted.selection, options, None, [])
    differing += narrowing
    says_which = (
        options.everything
        or used.task_ids is not None
        or bool(lasting_conditions(used))
        or bool(conditions)
    )
    if remembered.lost and not says_which:
        raise ConfigError(
            f"cannot mirror to {place!r}: its destination.json was lost or damaged, which says "
            f"which {target.plural} belong to it. Give its selection once more, such as "
            f"--project-id, or --everything for all {target.plural}."
        )
    if differing and bound and not options.change:
        raise ChangeRefusedError(
            f"cannot mirror to {place!r}: it was made {joined(old for old, _ in differing)}, and "
            f"this run would make it {joined(new for _, new in differing)}. Leave these options "
            "out to go on as before, or add --change to change the destination."
        )
    own = {item.name: values[item.name] for item in _SETTINGS if item.is_option}
    return Settled(
        selection=used,
        spec=ExportSpec(
            values["format"],
            images=values["images"],
            target=target,
            frames=values["frames"] is not False,
        ),
        options=replace(options, **own),
        remembered=Remembered(
            **_worth_remembering(values),
            selection=lasting,
            lost=remembered.lost and lasting is None,
        ),
        ignored_project=ignored_project(options, wanted.selection, used, remembered.selection),
    )


def _conditions_of_jobs(given: Remembered) -> list[str]:
    """Return the names of the conditions of jobs that a run was given."""
    return [item.name for item in _SETTINGS if item.narrows and getattr(given, item.name)]


def _without_mistyped(remembered: Remembered, given: Remembered) -> Remembered:
    """Drop the conditions of jobs of a run that found nothing, if this run has others.

    They may be mistyped, and must not narrow another run, nor stop one that mirrors tasks.
    """
    if given.folder_prefix is not None:
        remembered = msgspec.structs.replace(remembered, layout=None)
    target = TargetKind.of_plural(given.target or remembered.target)
    if target is TargetKind.JOB and not _conditions_of_jobs(given):
        return remembered
    return msgspec.structs.replace(remembered, stage=None, state=None, type=None)


def _worth_remembering(values: dict[str, Any]) -> dict[str, Any]:
    return {
        item.name: values[item.name]
        for item in _SETTINGS
        if item.default_binds or values[item.name] != item.default
    }


def _check_target(
    target: TargetKind,
    wanted: Wanted,
    remembered: Remembered,
    values: dict[str, Any],
    *,
    place: str,
    bound: bool,
) -> None:
    """Check that a destination holds what a run mirrors, and that the conditions fit that.

    Raises:
        ChangeRefusedError: It holds folders of another kind.
        ConfigError: A condition or an option has no meaning for what is mirrored.
    """
    held = TargetKind.of_plural(remembered.target)
    # Until a format is known, a run was killed before it stored anything.
    if bound and remembered.format is not None and held is not target:
        raise ChangeRefusedError(
            f"cannot mirror {target.plural} to {place!r}: it holds {held.plural}, and a folder "
            "holds one kind. Choose another folder."
        )
    wrong = unfitting_condition(
        target,
        wanted.selection,
        stage=values["stage"],
        state=values["state"],
        type=values["type"],
    )
    if wrong is None and wanted.given.folder_prefix is not None and target is not TargetKind.TASK:
        wrong = "--folder-prefix"
    if wrong is not None:
        raise ConfigError(
            f"cannot mirror {target.plural} with {wrong}: it has no meaning for {target.plural}. "
            "Leave it out."
        )


def _check_json(target: TargetKind, wanted: Wanted, values: dict[str, Any]) -> None:
    """Check the settings of a mirror as JSON, which has no archives.

    Raises:
        ConfigError: One of them has no meaning with the format.
    """
    if values["format"] != CVAT_JSON:
        if wanted.given.frames is None:
            values["frames"] = None
            return
        given = "--frames" if wanted.given.frames else "--no-frames"
        raise ConfigError(
            f"cannot mirror as {values['format']!r} with {given}: only '--format json' has "
            "frames.json. Leave it out."
        )
    wrong = None
    if target is not TargetKind.TASK:
        wrong = f"--as {target.plural}"
    elif values["keep_archive"]:
        wrong = "--keep-archive"
    if wrong is not None:
        raise ConfigError(
            f"cannot mirror as {CVAT_JSON!r} with {wrong}: it takes what the server says of tasks, "
            "without archives. Leave it out, or choose another format."
        )
    if values["images"] and values["frames"] is False:
        raise ConfigError(
            f"cannot mirror as {CVAT_JSON!r} with --images and without frames: images are named "
            "and checked by frames.json. Leave one of --images and --no-frames out."
        )


def _check_conversion(target: TargetKind, values: dict[str, Any]) -> None:
    """Check that the server's JSON can become what a run asks for.

    Raises:
        ConfigError: Only an export has it.
    """
    if not values["without_exports"]:
        return
    wrong = None
    if target is not TargetKind.TASK:
        wrong = f"--as {target.plural}"
    elif values["images"]:
        wrong = "--images"
    elif values["keep_archive"]:
        wrong = "--keep-archive"
    elif values["format"] not in CONVERSIONS:
        wrong = f"--format {values['format']!r}"
    if wrong is not None:
        raise ConfigError(
            f"cannot mirror with {wrong} and --without-exports: only the annotations of tasks as "
            f"{', '.join(CONVERSIONS)} are made without exports. Add --with-exports."
        )


def expected_selection(
    given: Selection | None, remembered: Remembered | None, default_project_id: int | None
) -> Selection:
    """Return which tasks a destination should hold, for a comparison with the server.

    Args:
        given: What the user said, None if nothing.
        remembered: What the destination remembers.
        default_project_id: The project of the settings.
    """
    if given is not None:
        return given
    if remembered is not None and remembered.selection is not None:
        return Selection(**remembered.selection.conditions())
    return Selection(project_ids=(default_project_id,) if default_project_id else None)


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
