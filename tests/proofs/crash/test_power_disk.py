"""The disk of the power cuts loses what it may lose, and nothing else."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

from power_disk import (
    EVERYTHING,
    ROOT,
    Cut,
    Named,
    Place,
    State,
    Step,
    Synced,
    Trace,
    Written,
    concrete,
    lay_out,
    look,
)

FOLDER, OTHER, FILE, NEW = 1, 2, 3, 4
OLD_NAME, NEW_NAME = (FOLDER, "old"), (OTHER, "new")
WHOLE = b"all of it"


def name(place: Place, inode: int | None) -> Named:
    return Named("name", ((place, inode),))


def rename(old: Place, new: Place, inode: int) -> Named:
    return Named("rename", ((old, None), (new, inode)))


def written(inode: int, content: bytes = WHOLE) -> Written:
    return Written(inode, content, 1)


def left(*steps: Step) -> list[State]:
    """All that a cut after these steps was found to leave."""
    trace = Trace(
        {ROOT, FOLDER, OTHER},
        {(ROOT, "folder"): FOLDER, (ROOT, "other"): OTHER, OLD_NAME: FILE},
        {FILE: (b"old", 0)},
        list(steps),
    )
    cut, chance = Cut(trace, len(steps)), random.Random(0)
    by_chance = (cut.random(chance) for _ in range(30))
    return list(itertools.chain(cut.systematic(), by_chance))


def contents(states: list[State], path: str) -> set[bytes | None]:
    return {state.read(path) for state in states}


def test_a_file_that_was_not_synced_is_anything_when_its_name_is_there() -> None:
    part = (FOLDER, "part")
    steps: list[Step] = [name(part, NEW), written(NEW), rename(part, OLD_NAME, NEW), Synced(FOLDER)]
    damaged = {b"", bytes(len(WHOLE)), WHOLE[:4], WHOLE[:4].ljust(len(WHOLE), b"\0"), WHOLE}
    assert contents(left(*steps), "folder/old") == damaged


def test_a_replacement_synced_before_its_rename_is_the_old_file_or_the_new_one() -> None:
    part = (FOLDER, "part")
    steps: list[Step] = [name(part, NEW), written(NEW), Synced(NEW), rename(part, OLD_NAME, NEW)]
    assert contents(left(*steps), "folder/old") == {b"old", WHOLE}
    assert contents(left(*steps, Synced(FOLDER)), "folder/old") == {WHOLE}


def test_a_sync_of_a_file_does_not_keep_its_name() -> None:
    steps: list[Step] = [name((FOLDER, "name"), NEW), written(NEW), Synced(NEW)]
    assert contents(left(*steps), "folder/name") == {None, WHOLE}
    assert contents(left(*steps, Synced(FOLDER)), "folder/name") == {WHOLE}


def test_a_rename_is_there_as_a_whole_or_not_at_all_until_both_folders_were_synced() -> None:
    def places(*steps: Step) -> set[tuple[bytes | None, bytes | None]]:
        states = left(rename(OLD_NAME, NEW_NAME, FILE), *steps)
        return {(state.read("folder/old"), state.read("other/new")) for state in states}

    either = {(b"old", None), (None, b"old")}
    assert places() == places(Synced(FOLDER)) == places(Synced(OTHER)) == either
    assert places(Synced(FOLDER), Synced(OTHER)) == places(Synced(EVERYTHING)) == {(None, b"old")}


def test_changes_of_one_name_keep_their_order_and_others_need_not() -> None:
    one, other = (FOLDER, "one"), (FOLDER, "other")
    states = left(name(one, NEW), written(NEW), name(other, FILE), name(one, None))
    found = {(state.find("folder/one"), state.find("folder/other")) for state in states}
    assert found == {(None, None), (NEW, None), (None, FILE), (NEW, FILE)}
    # The second without the first, which is in the same folder.
    disorderly = [state for state in states if not state.orderly]
    assert disorderly
    assert {state.find("folder/other") for state in states if state.orderly} == {None, FILE}


def test_what_is_synced_again_after_a_change_is_what_it_became() -> None:
    steps: list[Step] = [
        written(FILE, b"new"),
        Synced(FILE),
        written(FILE, b"newer"),
        Synced(EVERYTHING),
    ]
    assert contents(left(*steps[:2]), "folder/old") == {b"new"}
    assert b"newer" in contents(left(*steps[:3]), "folder/old")
    assert contents(left(*steps), "folder/old") == {b"newer"}


def test_only_what_was_appended_since_a_sync_is_damaged() -> None:
    steps: list[Step] = [written(FILE, b"old and new")]
    appended = {b"", bytes(8), b" and", b" and\0\0\0\0", b" and new"}
    assert contents(left(*steps), "folder/old") == {b"old" + tail for tail in appended}
    rewritten = contents(left(written(FILE, b"new")), "folder/old")
    assert rewritten == {b"old", bytes(3), b"n", b"n\0\0", b"new"}


def test_a_file_that_was_cut_short_is_long_or_short() -> None:
    assert contents(left(written(FILE, b"ol")), "folder/old") == {b"old", b"ol"}


def test_a_state_is_laid_out_as_it_is_with_links_and_the_numbers_of_its_own_inodes(
    tmp_path: Path,
) -> None:
    intent = b'{"version":1,"device":<>,"inode":<1>}'
    trace = Trace(
        {ROOT, FOLDER},
        {(ROOT, "folder"): FOLDER, (FOLDER, "one"): FILE, (ROOT, "two"): FILE, (ROOT, "i"): NEW},
        {FILE: (WHOLE, 1_000_000_000), NEW: (intent, 2)},
    )
    lay_out(Cut(trace, 0).state(), tmp_path / "disk")
    folder = (tmp_path / "disk/folder").stat()
    assert (tmp_path / "disk/folder/one").samefile(tmp_path / "disk/two")
    assert (tmp_path / "disk/two").stat().st_mtime_ns == 1_000_000_000
    real = {FOLDER: (folder.st_dev, folder.st_ino)}
    assert (tmp_path / "disk/i").read_bytes() == concrete(intent, real)
    assert b"<" not in concrete(intent, real)
    found, _ = look(tmp_path / "disk")
    again = Cut(found, 0).state()
    assert again.files("folder") == {"one": WHOLE}
    inode = again.find("folder")
    assert again.read("i") == b'{"version":1,"device":<>,"inode":<%d>}' % (inode or -1)
