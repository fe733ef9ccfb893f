"""Check what a destination remembers of a layout, and what a later run makes of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from destinations import receipt_of

from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.records.remembered import Remembered, from_receipts, remembered_in_words
from asynccvat.core.records.settling import Settled, Wanted, settle
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ChangeRefusedError, ConfigError

NAMES = "{name}-{id}"
PLAIN = Remembered(format="COCO 1.0", images=False, folder_prefix="t_")
LAID_OUT = Remembered(format="COCO 1.0", images=False, layout=NAMES)


def settled(remembered: Remembered, *, bound: bool = True, **options: Any) -> Settled:
    wanted = Wanted.of(None, None, None, MirrorOptions(**options))
    return settle(wanted, remembered, place="data", bound=bound)


def test_the_first_layout_replaces_the_prefix_and_later_runs_repeat_it() -> None:
    first = settled(Remembered(), bound=False, layout=NAMES)
    assert (first.remembered.layout, first.remembered.folder_prefix) == (NAMES, None)
    assert first.options.layout == NAMES
    later = settled(first.remembered)
    assert (later.options.layout, later.options.folder_prefix) == (NAMES, None)
    assert f"folders like {NAMES!r}" in remembered_in_words(later.remembered)


@pytest.mark.parametrize("remembered", [PLAIN, LAID_OUT])
def test_another_layout_needs_change(remembered: Remembered) -> None:
    with pytest.raises(ChangeRefusedError, match=r"would make it with folders like 'x{id}'"):
        settled(remembered, layout="x{id}")
    changed = settled(remembered, layout="x{id}", change=True).remembered
    assert (changed.layout, changed.folder_prefix) == ("x{id}", None)
    assert settled(remembered, bound=False, layout="x{id}").remembered.layout == "x{id}"


def test_a_prefix_beside_a_layout_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"its folders have the layout '{name}-{id}'"):
        settled(LAID_OUT, folder_prefix="t_", change=True)
    with pytest.raises(ConfigError, match="--folder-prefix contradicts --layout"):
        MirrorOptions(folder_prefix="t_", layout=NAMES)
    mistyped = settled(LAID_OUT, bound=False, folder_prefix="t_")
    assert (mistyped.remembered.layout, mistyped.remembered.folder_prefix) == (None, "t_")


def test_a_layout_that_does_not_fit_the_targets_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"there is no field {subset}"):
        settled(Remembered(target="projects"), bound=False, layout="{subset}{id}")


def test_a_layout_of_jobs_is_accepted_where_jobs_are_remembered() -> None:
    jobs = Remembered(format="COCO 1.0", images=False, target="jobs")
    changed = settled(jobs, layout="{task_id}/{id}", change=True)
    assert changed.remembered.layout == "{task_id}/{id}"
    with pytest.raises(ConfigError, match=r"there is no field {task_id}"):
        settled(PLAIN, layout="{task_id}/{id}", change=True)
    with pytest.raises(ConfigError, match=r"there is no field {nme} \(did you mean {name}\?\)"):
        MirrorOptions(layout="{nme}{id}")
    with pytest.raises(ConfigError, match=r"there is no field {task_id}"):
        MirrorOptions(layout="{task_id}/{id}", target="tasks")


def heads(*folders: str) -> list[ReceiptHead]:
    return [receipt_of(one, (), folder=folder).head for one, folder in enumerate(folders, 1)]


@pytest.mark.parametrize(
    ("folders", "layout", "prefix"),
    [
        (("t_1", "t_2"), None, "t_"),
        (("t_1", "task2"), None, "t_"),
        (("Street/task1", "Street/task2"), "", None),
        (("1-left", "2-right"), "", None),
        (("a1", "b2", "c3"), "", "a"),
    ],
)
def test_receipts_tell_that_a_layout_was_lost(
    folders: tuple[str, ...], layout: str | None, prefix: str | None
) -> None:
    found = from_receipts(heads(*folders))
    assert (found.layout, found.folder_prefix) == (layout, prefix)
    if layout is not None:
        found = msgspec.structs.replace(found, lost=True)
        with pytest.raises(ConfigError, match="Give its --layout once more"):
            settled(found, everything=True)
        again = settled(found, everything=True, layout=NAMES).remembered
        assert (again.layout, again.folder_prefix) == (NAMES, None)


@pytest.mark.parametrize(("folder", "layout"), [("task1/job5", None), ("task1/left-job5", "")])
def test_receipts_of_jobs_tell_that_one_was_lost(folder: str, layout: str | None) -> None:
    job = receipt_of(5, (), folder=folder, target=TargetKind.JOB, of_task=1).head
    assert from_receipts([job]) == Remembered(
        format="COCO 1.0", images=True, target="jobs", layout=layout
    )
