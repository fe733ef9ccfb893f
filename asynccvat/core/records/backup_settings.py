"""Which tasks a backup run concerns, by what it was given and what its destination remembers.

`remembered` settles the runs of mirrors.
"""

from __future__ import annotations

from dataclasses import dataclass

from asynccvat.core.records.lasting_selections import (
    Difference,
    LastingSelection,
    SelectingOptions,
    ignored_project,
    joined,
    lasting_conditions,
    narrowed_in_words,
    settle_conditions,
    tasks_in_words,
)
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.selections.selection import Selection
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ChangeRefusedError, ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledSelection:
    """Which tasks a backup run concerns.

    Attributes:
        selection: The tasks of this run.
        lasting: What the destination remembers from now on, None for nothing.
        ignored_project: The project of the settings, if the destination remembers another
            selection, which counts for more.
    """

    selection: Selection
    lasting: LastingSelection | None
    ignored_project: int | None = None

    def only(self, target: TargetKind) -> str:
        """Return the part of the destination that this run is about, in words; "" for all."""
        return narrowed_in_words(self.selection, target)

    def describe(self, target: TargetKind) -> str:
        """Say in words which tasks the destination is for, and how this run is narrowed.

        Args:
            target: What the run backs up.
        """
        parts = [] if self.lasting is None else [tasks_in_words(self.lasting, target)]
        if only := self.only(target):
            parts.append(f"this run: {only}")
        if self.ignored_project is not None:
            parts.append(f"project {self.ignored_project} of the settings is ignored")
        return "; ".join(parts)


def settle_selection(
    given: Selection,
    options: SelectingOptions,
    remembered: Remembered | None,
    *,
    place: str,
    bound: bool,
) -> SettledSelection:
    """Fill in which tasks a backup run concerns, from what its destination remembers.

    Args:
        given: What the run was given.
        options: Whether the destination is changed.
        remembered: What the destination remembers.
        place: The destination, for messages.
        bound: As of `settle`.

    Raises:
        ChangeRefusedError: The run was given another selection, and not `--change`.
        ConfigError: `--everything` is given together with a selection, or no selection where the
            destination's own was lost.
    """
    before = None if remembered is None else remembered.selection
    differing: list[Difference] = []
    used, lasting = settle_conditions(given, options, before, differing)
    if differing and not bound:
        used, lasting = settle_conditions(given, options, None, [])
        differing = []
    says_which = options.everything or used.task_ids is not None or bool(lasting_conditions(used))
    if remembered is not None and remembered.lost and not says_which:
        raise ConfigError(
            f"cannot use {place!r} for backups: its destination.json was lost or damaged, which "
            "says which tasks belong to it. Give its selection once more, such as --project-id, or "
            "--everything for all tasks."
        )
    if differing and not options.change:
        raise ChangeRefusedError(
            f"cannot use {place!r} for backups: it was made {joined(old for old, _ in differing)}, "
            f"and this run would make it {joined(new for _, new in differing)}. Leave these "
            "options out to go on as before, or add --change to change the destination."
        )
    return SettledSelection(
        selection=used,
        lasting=lasting,
        ignored_project=ignored_project(options, given, used, before),
    )
