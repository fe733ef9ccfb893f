"""Which tasks a backup run concerns: what it is given, or what the destination remembers."""

from __future__ import annotations

from typing import Any

import pytest

from asynccvat.core.options.backup import BackupOptions
from asynccvat.core.records.backup_settings import SettledSelection, settle_selection
from asynccvat.core.records.lasting_selections import LastingSelection
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.selections.selection import Selection
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ChangeRefusedError, ConfigError

OF_PROJECT_5 = Remembered(selection=LastingSelection(project_ids=(5,)))


def settled(
    given: Selection, remembered: Remembered | None = None, *, bound: bool = True, **options: Any
) -> SettledSelection:
    return settle_selection(
        given, BackupOptions(**options), remembered, place="backups", bound=bound
    )


def test_the_first_run_is_remembered() -> None:
    found = settled(Selection(project_ids=[5]))

    assert found.lasting == LastingSelection(project_ids=(5,))
    assert found.describe(TargetKind.TASK) == "project 5"
    assert settled(Selection()).describe(TargetKind.TASK) == "all tasks"
    assert settled(Selection(), default_project_id=7).lasting == LastingSelection(project_ids=(7,))


def test_named_tasks_are_for_one_run() -> None:
    found = settled(Selection(task_ids=[1, 2]), OF_PROJECT_5)

    assert found.lasting == OF_PROJECT_5.selection
    assert found.describe(TargetKind.TASK) == "project 5; this run: tasks 1, 2"
    assert settled(Selection(task_ids=[1])).describe(TargetKind.TASK) == "this run: task 1"


def test_later_runs_take_what_is_remembered() -> None:
    found = settled(Selection(), OF_PROJECT_5, default_project_id=7)

    assert found.selection == Selection(project_ids=(5,))
    assert found.describe(TargetKind.TASK) == "project 5; project 7 of the settings is ignored"
    assert settled(Selection(), OF_PROJECT_5, default_project_id=5).ignored_project is None


def test_another_selection_needs_change() -> None:
    other = Selection(project_ids=[6])
    with pytest.raises(ChangeRefusedError, match=r"'backups' for backups: it was made for"):
        settled(other, OF_PROJECT_5)
    assert settled(other, OF_PROJECT_5, change=True).selection == Selection(project_ids=(6,))
    assert settled(other, OF_PROJECT_5, bound=False).selection == Selection(project_ids=(6,))
    everything = settled(Selection(), OF_PROJECT_5, change=True, everything=True)
    assert everything.lasting == LastingSelection()
    with pytest.raises(ConfigError, match="--everything contradicts --project-id"):
        settled(other, OF_PROJECT_5, everything=True)


def test_a_lost_selection_is_asked_for() -> None:
    lost = Remembered(lost=True)
    with pytest.raises(ConfigError, match=r"its destination\.json was lost or damaged"):
        settled(Selection(), lost)
    assert settled(Selection(), lost, everything=True).lasting == LastingSelection()
    assert settled(Selection(task_ids=[1]), lost).lasting is None
