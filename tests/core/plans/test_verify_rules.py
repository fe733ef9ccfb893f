"""What a close look at a mirror means: kinds of problems, slices of work, the journal, repairs."""

from __future__ import annotations

import errno
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core import problems
from asynccvat.core.models import Task, TaskListing
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.plans import verify as verifying
from asynccvat.core.plans.repair import RepairGroup, after_repair, plan_repairs
from asynccvat.core.plans.verify import VerifyReport
from asynccvat.core.problems import FileState, Obstacle, ProblemKind, VerifyProblem
from asynccvat.core.records.receipts import MemberRecord, ReceiptHead
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.records.verify_journal import (
    COUNTS_FOR,
    JournalHead,
    Verified,
    decode_journal,
    encode_journal,
    encode_line,
)
from asynccvat.core.specs import ExportSpec
from asynccvat.core.targets import TargetKind
from asynccvat.errors import StoreError

pytestmark = pytest.mark.proof("Verify")

MEMBER = MemberRecord("a.txt", 10, 0x1234, 1_000_000_000)


def head(task_id: int, **changes: Any) -> ReceiptHead:
    values: dict[str, Any] = {
        "task_id": task_id,
        "folder": f"task{task_id}",
        "format": "COCO 1.0",
        "images": True,
        "updated_date": "v1",
        "origin": "https://cvat.example.com",
        "digest": "0",
        "files": 1,
        "bytes": 10,
        "requested_at": "",
        "committed_at": "",
    }
    return ReceiptHead(**(values | changes))


def task(task_id: int, updated: str = "v1", size: int | None = 1) -> Task:
    return Task(id=task_id, name=f"name {task_id}", updated_date=updated, size=size)


def problem(kind: ProblemKind, path: str = "task1/a", **rest: Any) -> VerifyProblem:
    return VerifyProblem(kind=kind, path=path, **({"task_id": 1} | rest))


# --- one file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (FileState(10, 0x1234, 1_000_000_000), None),
        (FileState(10, 0x1234, 5), ProblemKind.TOUCHED),
        (FileState(10, 0x9999, 1_000_000_000), ProblemKind.CORRUPTED),
        (FileState(10, 0x9999, 5), ProblemKind.EDITED),
        (FileState(9, None, 1_000_000_000), ProblemKind.CORRUPTED),
        (FileState(9, None, 5), ProblemKind.EDITED),
    ],
)
def test_the_content_decides_and_the_time_tells_whose_doing_it_was(
    found: FileState, kind: ProblemKind | None
) -> None:
    assert problems.judge(MEMBER, found) is kind


def test_errors_of_the_system_tell_of_the_name_or_of_the_process() -> None:
    assert problems.obstacle(errno.ENOENT, "x") == Obstacle(ProblemKind.MISSING)
    for number in (errno.ELOOP, errno.ENOTDIR, errno.EINVAL, errno.ENXIO):
        assert problems.obstacle(number, "x") == Obstacle(ProblemKind.REPLACED)
    for unknown in (errno.EIO, errno.EACCES, None):
        assert problems.obstacle(unknown, "why") == Obstacle(ProblemKind.UNREADABLE, "why")
    for number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        assert problems.obstacle(number, "x") is None


def test_every_problem_says_what_is_wrong_in_words() -> None:
    expected = FileState(10, 0x1234, 0)
    said = {
        kind: problem(kind, expected=expected, found=FileState(10, 0x9999, 10**9)).reason
        for kind in (ProblemKind.CORRUPTED, ProblemKind.EDITED, ProblemKind.TOUCHED)
    }
    assert said[ProblemKind.CORRUPTED].startswith("CRC 00009999 instead of 00001234, although")
    assert said[ProblemKind.EDITED].endswith("instead of 00001234, modified 1970-01-01 00:00:01Z")
    assert said[ProblemKind.TOUCHED] == "same content, but another modification time"
    shorter = FileState(9, None, 2**80)
    reason = problem(ProblemKind.EDITED, expected=expected, found=shorter).reason
    assert reason == f"9 bytes instead of 10, modified at {2**80} ns"
    assert problem(ProblemKind.UNREADABLE, detail="no").reason == "cannot be read: no"
    for kind in (ProblemKind.CORRUPTED, ProblemKind.EDITED):
        assert problem(kind, detail="9 bytes instead of 10").reason == "9 bytes instead of 10"
    assert problem(ProblemKind.MISSING, files=2000).reason == "not found (2,000 files)"
    for kind in ProblemKind:
        assert problem(kind).reason
        assert kind.is_note + kind.is_damage <= 1
    assert problem(ProblemKind.NOT_MIRRORED, path="").place == "task 1"
    assert problem(ProblemKind.MISSING).place == "task1/a"


def test_a_problem_is_json_with_its_states() -> None:
    found = problem(
        ProblemKind.EDITED, expected=FileState(10, 0x1234, 1), found=FileState(9, None, 2)
    ).to_json()
    assert found["expected"] == {"size": 10, "crc": "00001234", "mtime_ns": 1}
    assert found["found"] == {"size": 9, "crc": None, "mtime_ns": 2}
    assert "found" not in problem(ProblemKind.MISSING).to_json()


# --- one task ----------------------------------------------------------------------------------


def test_a_folder_that_several_slices_met_is_one_problem_and_so_are_many_touched_files() -> None:
    touched = [problem(ProblemKind.TOUCHED, f"task1/{name}") for name in "abc"]
    missing = [problem(ProblemKind.MISSING, "task1/d/") for _ in range(4)]
    other = problem(ProblemKind.FOREIGN, "task1/d/")
    found = problems.merge_problems([*missing, *touched, other])
    assert [(one.path, one.kind, one.files) for one in found] == [
        ("task1/", ProblemKind.TOUCHED, 3),
        ("task1/d/", ProblemKind.FOREIGN, 1),
        ("task1/d/", ProblemKind.MISSING, 4),
    ]
    assert problems.merge_problems(touched[:1]) == (touched[0],)
    assert problems.merge_problems([]) == ()


@given(st.lists(st.integers(0, 200 << 20), max_size=30))
def test_slices_hold_each_member_once_and_end_when_they_are_large(sizes: list[int]) -> None:
    members = [
        MemberRecord(f"{number % 3}/{number:02}", size, 0, 0) for number, size in enumerate(sizes)
    ]
    pieces = list(verifying.slices(members))
    assert [one for piece in pieces for one in piece] == sorted(members, key=lambda one: one.path)
    for piece in pieces:
        assert piece
        assert sum(one.size for one in piece[:-1]) < verifying.SLICE_BYTES


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 200 << 20)), max_size=30))
def test_batches_hold_each_task_once_and_large_ones_alone(
    sizes: list[tuple[int, int]],
) -> None:
    heads = [
        head(number, files=files, bytes=size) for number, (files, size) in enumerate(sizes, start=1)
    ]
    batches = list(verifying.batches(heads))
    assert sorted(one.task_id for batch in batches for one in batch) == [
        one.task_id for one in heads
    ]
    for batch in batches:
        assert batch
        assert len(batch) == 1 or not any(verifying.is_large(one) for one in batch)
        assert sum(one.bytes for one in batch[:-1]) < verifying.SLICE_BYTES


def test_a_batch_ends_with_many_files_however_small() -> None:
    heads = [head(number, files=1, bytes=0) for number in range(1, 1201)]
    assert [len(batch) for batch in verifying.batches(heads)] == [512, 512, 176]


def test_tasks_are_selected_by_id_and_by_the_names_of_folders() -> None:
    heads = {number: head(number) for number in (3, 11, 12)}
    assert list(verifying.select_receipts(heads, None, ())) == [3, 11, 12]
    assert list(verifying.select_receipts(heads, {11, 99}, ())) == [11]
    assert list(verifying.select_receipts(heads, None, ("task1*", "x"))) == [11, 12]
    assert list(verifying.select_receipts(heads, {3}, ("task1*",))) == []
    (absent,) = verifying.without_receipt([99, 3], heads.keys())
    assert (absent.kind, absent.task_id) == (ProblemKind.NOT_MIRRORED, 99)


def test_a_pattern_may_name_the_last_part_of_a_folder() -> None:
    heads = {
        1: head(1, folder="Street/Train/task1-left"),
        2: head(2, folder="Street/Train-left/task2"),
    }
    assert list(verifying.select_receipts(heads, None, ("task1-left",))) == [1]
    assert list(verifying.select_receipts(heads, None, ("task*",))) == [1, 2]
    assert list(verifying.select_receipts(heads, None, ("Train",))) == []


def test_a_pattern_may_name_any_folder_that_a_task_s_lies_in() -> None:
    heads = {
        1: head(1, folder="Street/Train/task1-left"),
        2: head(2, folder="Street/task2"),
    }
    assert list(verifying.select_receipts(heads, None, ("Street",))) == [1, 2]
    assert list(verifying.select_receipts(heads, None, ("*/Train",))) == [1]


def test_a_damaged_receipt_may_be_of_any_folder_if_these_do_not_end_with_ids() -> None:
    damaged = [problem(ProblemKind.RECEIPT, "x", task_id=7)]
    assert not verifying.damaged_in_selection(damaged, None, ("Street/left",))
    assert verifying.damaged_in_selection(damaged, None, ("Street/left",), end_with_ids=False)
    assert not verifying.damaged_in_selection(damaged, {8}, ("Street/left",), end_with_ids=False)
    assert verifying.ends_with_id(head(7, folder="a-7"))
    assert not verifying.ends_with_id(head(7, folder="7-a"))


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        *((pattern, True) for pattern in ("*", "task*", "task147", "??7", "*[0-9]", "147", "*1*")),
        *((pattern, False) for pattern in ("7", "task1", "*4", "t?7", "*[!7]", "148", "*7x")),
    ],
)
def test_a_folder_of_an_unknown_prefix_may_fit_a_pattern_that_its_task_s_id_can_end(
    pattern: str, fits: bool
) -> None:
    assert verifying.may_fit(147, pattern) is fits


@given(st.text("at1*?[]!-", max_size=12), st.text("at1[]", max_size=4), st.integers(1, 120))
def test_no_folder_that_fits_is_ever_ruled_out(pattern: str, prefix: str, task_id: int) -> None:
    if fnmatchcase(f"{prefix}{task_id}", pattern):
        assert verifying.may_fit(task_id, pattern)


# --- the server --------------------------------------------------------------------------------


def test_receipts_are_compared_with_what_the_server_lists() -> None:
    heads = {
        1: head(1),
        2: head(2),
        3: head(3, uploaded_at="2026"),
        4: head(4),
        5: head(5),
        6: head(6),
    }
    listing = TaskListing((task(1), task(2, "v2"), task(3), task(7), task(8, size=None)))
    others = TaskListing((task(6, "v2"),), missing=(4, 99))
    found = verifying.compare(heads, listing, others)
    assert [(one.kind, one.task_id) for one in found] == [
        (ProblemKind.STALE, 2),
        (ProblemKind.STALE, 3),
        (ProblemKind.STALE, 6),
        (ProblemKind.GONE, 4),
        (ProblemKind.NOT_MIRRORED, 7),
    ]
    assert "updated v2, mirrored as of v1" in found[0].reason
    assert "uploaded" in found[1].reason
    assert found[4].reason == "has no receipt in this mirror: name 7"


# --- repairs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "whose"),
    [(TargetKind.JOB, "its task changed"), (TargetKind.PROJECT, "one of its tasks changed")],
)
def test_a_change_of_the_tasks_behind_a_target_is_told_without_their_digest(
    target: TargetKind, whose: str
) -> None:
    date = "2026-01-05T08:04:00Z"
    mirrored = head(1, target=target, updated_date=f"{date}+{'a' * 16}")
    listing = TaskListing((task(1, f"{date}+{'b' * 16}"),))
    (stale,) = verifying.compare({1: mirrored}, listing, TaskListing(()), target)
    assert stale.detail == f"{whose} after it was mirrored as of {date}"
    assert stale.target is target


def test_a_mirror_without_receipts_holds_what_it_remembers() -> None:
    assert verifying.target_of([], None) is TargetKind.TASK
    assert verifying.target_of([], Remembered(target="jobs")) is TargetKind.JOB
    assert verifying.target_of([head(1, target=TargetKind.PROJECT)], None) is TargetKind.PROJECT


def test_damaged_tasks_are_fetched_as_they_were() -> None:
    heads = {
        1: head(1),
        2: head(2, folder="t_2"),
        3: head(3),
        4: head(4, format="YOLO 1.1"),
    }
    repairs, unknown = plan_repairs([4, 3, 1, 2, 9], heads)
    coco = ExportSpec("COCO 1.0", images=True)
    assert repairs == (
        RepairGroup(task_ids=(1, 3), spec=coco, prefix="task"),
        RepairGroup(task_ids=(2,), spec=coco, prefix="t_"),
        RepairGroup(task_ids=(4,), spec=ExportSpec("YOLO 1.1", images=True), prefix="task"),
        RepairGroup(task_ids=(9,), spec=coco, prefix="task", adopt=True),
    )
    assert unknown == ()
    assert plan_repairs([9], {}) == ((), (9,))
    assert plan_repairs([9], {}, remembered=Remembered(images=True)) == ((), (9,))
    for prefix, expected in ((None, "task"), ("", "")):
        remembered = Remembered(format="YOLO 1.1", images=True, folder_prefix=prefix)
        (guessed,), _ = plan_repairs([9], heads, remembered=remembered)
        assert guessed == RepairGroup(
            task_ids=(9,), spec=ExportSpec("YOLO 1.1", images=True), prefix=expected, adopt=True
        )
    laid_out = Remembered(format="YOLO 1.1", images=True, layout="{id}-{name}")
    (whole, guessed), _ = plan_repairs([5, 9], {5: head(5, folder="5-a")}, remembered=laid_out)
    assert (whole.task_ids, whole.prefix, whole.layout) == ((5,), "task", None)
    assert (guessed.task_ids, guessed.adopt, guessed.layout) == ((9,), True, "{id}-{name}")
    (kept, other), _ = plan_repairs([1, 3], heads, archived={1, 2})
    assert (kept.task_ids, kept.keep_archive) == ((1,), True)
    assert (other.task_ids, other.keep_archive) == ((3,), False)


def test_after_a_repair_what_is_left_is_told_and_what_is_mended_is_not() -> None:
    found = [
        problem(ProblemKind.MISSING, "task1/a"),
        problem(ProblemKind.EDITED, "task1/b"),
        problem(ProblemKind.FOREIGN, "task1/c"),
        problem(ProblemKind.STALE, "task1/"),
        problem(ProblemKind.MISSING, "task2/a", task_id=2),
        problem(ProblemKind.STALE, "task2/", task_id=2),
        problem(ProblemKind.STALE, "task3/", task_id=3),
    ]
    still = [problem(ProblemKind.EDITED, "task1/b"), problem(ProblemKind.MISSING, "task2/a")]
    outcomes = [
        TaskOutcome(task_id=1, action=Action.FETCHED, reason=""),
        TaskOutcome(task_id=2, action=Action.FAILED, reason=""),
    ]
    left, repaired = after_repair(found, still, outcomes)
    assert left == [found[5], found[6], *still]
    assert repaired == (found[0],)


def test_after_a_repair_that_was_stopped_what_it_did_not_come_to_is_listed_once() -> None:
    found = [problem(ProblemKind.MISSING, "task1/a"), problem(ProblemKind.STALE, "task1/")]
    still = [problem(ProblemKind.MISSING, "task1/a")]
    assert after_repair(found, still, []) == (found, ())


# --- the report --------------------------------------------------------------------------------


def test_notes_are_no_failures() -> None:
    note, failure = problem(ProblemKind.FOREIGN), problem(ProblemKind.MISSING)
    assert VerifyReport(problems=(note,)).ok
    assert VerifyReport(problems=(note,)).notes == (note,)
    report = VerifyReport(problems=(note, failure), stopped_by=StoreError("x"))
    assert not report.ok
    assert report.failures == (failure,)
    assert report.counts == {ProblemKind.MISSING: 1, ProblemKind.FOREIGN: 1}
    assert not VerifyReport(interrupted=True).ok
    assert report.to_json()["counts"] == {"missing": 1, "foreign": 1}
    assert report.to_json()["stopped_by"] == {"type": "StoreError", "message": "x"}
    assert VerifyReport().to_json()["stopped_by"] is None


def test_a_comparison_with_a_list_that_was_incomplete_is_none() -> None:
    report = VerifyReport(listing_complete=False)
    assert (report.ok, report.failures) == (False, ())
    told = report.to_json()
    assert (told["ok"], told["listing_complete"]) == (False, False)
    assert VerifyReport().to_json()["listing_complete"] is True


# --- the journal -------------------------------------------------------------------------------

NOW = 1_800_000_000
ENTRIES = [Verified(number, f"10-{number:08x}", NOW - number) for number in range(1, 9)]


def test_a_journal_is_read_as_it_was_written() -> None:
    content = encode_journal(NOW, ENTRIES)
    assert decode_journal(content, now=NOW) == {one.task_id: one for one in ENTRIES}
    again = encode_line(Verified(1, "11-00000000", NOW))
    assert decode_journal(content + again, now=NOW)[1].receipt == "11-00000000"


@given(
    cut=st.integers(min_value=0), noise=st.sampled_from([b"", bytes(9), b"[1,", b'"', b"\xff\n"])
)
def test_a_torn_journal_costs_what_was_torn_and_nothing_after_it(cut: int, noise: bytes) -> None:
    begins = encode_line(JournalHead(began=NOW))
    lines = [encode_line(one) for one in ENTRIES]
    kept = cut % (sum(map(len, lines)) + 1)
    later = Verified(99, "10-00000000", NOW)
    torn = begins + b"".join(lines)[:kept] + noise + encode_line(later)
    whole = sum(sum(map(len, lines[:number])) <= kept for number in range(1, len(lines) + 1))
    found = decode_journal(torn, now=NOW)
    assert found.pop(99) == later
    # The line break at its end is all that a line may be torn of.
    assert list(found.values()) in (ENTRIES[:whole], ENTRIES[: whole + 1])


def test_what_was_read_long_ago_or_in_the_future_counts_no_longer() -> None:
    old, future = Verified(1, "x", NOW - COUNTS_FOR - 1), Verified(2, "x", NOW + 1)
    fresh = Verified(3, "x", NOW - COUNTS_FOR)
    content = encode_journal(NOW, [old, future, fresh])
    assert decode_journal(content, now=NOW) == {3: fresh}


@pytest.mark.parametrize("content", [b"", b"\n", b"no json\n", b"[1]\n"])
def test_a_file_that_is_no_journal_has_no_entries(content: bytes) -> None:
    assert decode_journal(content + encode_line(ENTRIES[0]) * bool(content), now=NOW) == {}


@pytest.mark.parametrize("head", [b'{"version":2,"began":1}', b'{"version":2,"since":"x"}'])
def test_a_journal_of_a_newer_version_is_refused(head: bytes) -> None:
    with pytest.raises(StoreError, match="of version 2, and this asynccvat reads 1"):
        decode_journal(head + encode_line(ENTRIES[0]), now=NOW)
