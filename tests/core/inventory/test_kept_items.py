"""What was put aside is described by its name, selected, and restored where that has a meaning."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from destinations import receipt_of

from asynccvat.core.inventory.kept import (
    KeptItem,
    KeptKind,
    KeptTotal,
    RestoredItem,
    archive,
    by_kept_name,
    check_restorable,
    kept_stem,
    quarantined,
    replaced,
    select_kept,
    totals,
    version,
)
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError


def heads(*folders: str) -> dict[int, ReceiptHead]:
    return {
        number: receipt_of(number, (), folder=folder).head
        for number, folder in enumerate(folders, start=1)
    }


@pytest.mark.parametrize(
    ("name", "at", "folder"),
    [
        ("task7-20260101T020000Z", "2026-01-01T02:00:00Z", "task7"),
        ("task7-20260101T020000Z-2", "2026-01-01T02:00:00Z", "task7"),
        ("task9-job3-20260101T020000Z", "2026-01-01T02:00:00Z", "task9/job3"),
        ("task8-20260101T020000Z", "2026-01-01T02:00:00Z", None),
        ("task7-20261301T020000Z", None, "task7"),
        ("notes.txt", None, None),
    ],
)
def test_an_entry_of_the_quarantine_names_its_folder_and_time(
    name: str, at: str | None, folder: str | None
) -> None:
    item = quarantined(name, by_kept_name(heads("task7", "task9/job3")))
    assert (item.name, item.at, item.folder) == (f"kept/{name}", at, folder)
    assert item.target_id == {"task7": 1, "task9/job3": 2}.get(folder or "")


def test_a_name_that_two_folders_share_belongs_to_neither() -> None:
    assert by_kept_name(heads("a/b", "a-b", "c")).keys() == {"c", "task1", "task2", "task3"}
    # It may be of task 3, or of task 1 from before its folder had another prefix.
    assert by_kept_name(heads("task3", "b", "c")).keys() == {"b", "c", "task1", "task2"}


def test_an_entry_is_named_after_its_task_whose_folder_may_be_renamed() -> None:
    stems = [kept_stem(head) for head in heads("Street/left-1", "task9").values()]
    assert stems == ["task1", "task2"]
    named = by_kept_name(heads("Street/left-1", "task9"))
    item = quarantined("task1-20260101T020000Z", named)
    assert (item.target_id, item.folder) == (1, "Street/left-1")
    job = receipt_of(5, (), folder="task1/job5", target=TargetKind.JOB)
    assert kept_stem(job.head) == "task1-job5"


def test_other_items_are_described_by_their_names() -> None:
    state = replaced("147-20260101T020000.000000Z.own.json")
    assert state is not None
    assert (state.target_id, state.at) == (147, "2026-01-01T02:00:00Z")
    assert replaced("147.last-upload.json") is None
    assert replaced("147-20261301T020000.000000Z.json") is None
    kept_archive = archive("147.zip")
    assert kept_archive is not None
    assert (kept_archive.name, kept_archive.target_id) == ("archives/147.zip", 147)
    assert archive("147.zip.part") is None
    one = version("1", "2026-01-01T02:00:00Z", heads("task1"))
    assert (one.name, one.folder) == ("history/1/2026-01-01T02:00:00Z", "task1")
    assert version("2", "v", heads("task1")).folder is None
    assert version("mine", "v", heads("task1")).target_id is None


ITEMS = (
    KeptItem(kind=KeptKind.QUARANTINE, name="kept/a", at="2026-01-01T00:00:00Z", files=2, bytes=5),
    KeptItem(kind=KeptKind.QUARANTINE, name="kept/b", files=1, bytes=1),
    KeptItem(kind=KeptKind.ARCHIVE, name="archives/1.zip", at="2026-03-01T00:00:00Z", bytes=7),
)


@pytest.mark.parametrize(
    ("names", "kinds", "before", "chosen"),
    [
        ((), (), None, (0, 1, 2)),
        (("kept/b", "archives/1.zip"), (), None, (1, 2)),
        (("kept/a/",), (), None, (0,)),
        ((), (KeptKind.QUARANTINE,), None, (0, 1)),
        ((), (), "2026-02-01T00:00:00Z", (0,)),
        (("archives/1.zip",), (KeptKind.QUARANTINE,), None, ()),
    ],
)
def test_items_are_selected_by_name_kind_and_age(
    names: Collection[str],
    kinds: Collection[KeptKind],
    before: str | None,
    chosen: tuple[int, ...],
) -> None:
    found = select_kept(ITEMS, names=names, kinds=kinds, before=before, place="data")
    assert found == tuple(ITEMS[number] for number in chosen)


def test_the_path_that_a_warning_shows_names_an_item() -> None:
    name = ITEMS[0].name
    found = select_kept(ITEMS, names=[f"data/.asynccvat/{name}/"], place="data")
    assert found == ITEMS[:1]
    with pytest.raises(ConfigError, match="has put aside no 'other/"):
        select_kept(ITEMS, names=[f"other/.asynccvat/{name}"], place="data")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="has put aside no 'kept/c'"):
        select_kept(ITEMS, names=["kept/c"], place="data")


def test_items_are_added_up_by_kind() -> None:
    assert totals(ITEMS) == {
        KeptKind.QUARANTINE: KeptTotal(2, 3, 6),
        KeptKind.ARCHIVE: KeptTotal(1, 0, 7),
    }


def test_only_files_of_a_mirrored_folder_can_be_restored() -> None:
    item = KeptItem(kind=KeptKind.HISTORY, name="history/1/v", target_id=1, folder="task1")
    assert check_restorable(item, place="data") == "task1"
    assert RestoredItem(item=item, folder="task1", put_aside="kept/x").to_json() == {
        "kind": "history",
        "name": "history/1/v",
        "at": None,
        "target_id": 1,
        "folder": "task1",
        "files": 0,
        "bytes": 0,
        "put_aside": "kept/x",
    }
    with pytest.raises(ConfigError, match="not mirrored any more"):
        check_restorable(ITEMS[0], place="data")
    with pytest.raises(ConfigError, match="archive of what is in its folder"):
        check_restorable(ITEMS[2], place="data")
    state = KeptItem(kind=KeptKind.REPLACED, name="replaced/7-x.json", target_id=7)
    with pytest.raises(ConfigError, match="asynccvat upload --undo -t 7 -i data"):
        check_restorable(state, place="data")
