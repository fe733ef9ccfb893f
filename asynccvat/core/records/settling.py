"""Settle what a run works with, from its options and what its destination remembers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from asynccvat.core.folder_layouts import FolderLayout
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.records.folder_naming import known_layout
from asynccvat.core.records.lasting_selections import (
    Difference,
    ignored_project,
    joined,
    lasting_conditions,
    narrowed_in_words,
    settle_conditions,
)
from asynccvat.core.records.remembered import SETTINGS, Remembered, remembered_in_words
from asynccvat.core.selections.fitting import unfitting_condition
from asynccvat.core.selections.selection import Selection
from asynccvat.core.specs import (
    CONVERSIONS,
    CVAT_JSON,
    ExportSpec,
)
from asynccvat.core.targets import TargetKind
from asynccvat.core.texts import first_few
from asynccvat.errors import ChangeRefusedError, ConfigError


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
        return "" if self.is_recent else narrowed_in_words(self.selection, self.spec.target)

    def describe(self) -> str:
        """Say in words what the destination holds, and how this run is narrowed."""
        text = remembered_in_words(self.remembered)
        if narrowed := narrowed_in_words(self.selection, self.spec.target):
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
        own = {item.name: getattr(options, item.name) for item in SETTINGS if item.is_option}
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
    for item in SETTINGS:
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
    own = {item.name: values[item.name] for item in SETTINGS if item.is_option}
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
    return [item.name for item in SETTINGS if item.narrows and getattr(given, item.name)]


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
        for item in SETTINGS
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
