"""What the journal of copies says, line by line and together."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.models import Job, Owner, Task
from asynccvat.core.records.copies import (
    Begun,
    Copied,
    CopyLedger,
    Gone,
    JobChange,
    Made,
    ProjectPair,
    SettingJobs,
    SideName,
    Sides,
    SourceState,
    TargetState,
    digest_of,
    read_entries,
    source_state,
    state_name,
    target_state,
)
from asynccvat.errors import StoreError

OLD = SideName("https://old.example.com")
NEW = SideName("https://new.example.com", "acme")


def copied(task: int, copy: int, date: str = "1") -> Copied:
    return Copied(task, copy, SourceState(date), TargetState("9"))


def ledger_of(*entries: Any) -> CopyLedger:
    return read_entries([msgspec.to_builtins(entry) for entry in entries], where="'copies.jsonl'")


def test_a_journal_says_what_was_copied_as_what() -> None:
    ledger = ledger_of(Sides(OLD), ProjectPair(5, 7), Begun(147, "task147.1", SourceState("1")))
    assert ledger.source == OLD
    assert ledger.projects == {5: 7}
    assert ledger.begun[147].key == "task147.1"
    ledger.note(copied(147, 3))
    assert not ledger.begun
    assert ledger.copies[147].copy == 3


def test_a_newer_copy_leaves_the_earlier_one_to_be_removed() -> None:
    ledger = ledger_of(copied(147, 3), copied(147, 4, "2"))
    assert ledger.copies[147].copy == 4
    assert ledger.replaced.keys() == {3}
    ledger.note(Gone(3))
    assert not ledger.replaced
    assert ledger.copies[147].copy == 4


def test_a_replaced_copy_is_forgotten_without_a_search_of_all_copies() -> None:
    class Unsearched(dict[int, Copied]):
        def items(self) -> Any:
            raise AssertionError("all copies are searched")

    ledger = CopyLedger(copies=Unsearched())
    for entry in (copied(147, 3), copied(147, 4, "2"), Gone(3)):
        ledger.note(entry)
    assert not ledger.replaced
    assert ledger.copies[147].copy == 4


def test_the_same_copy_noted_again_replaces_nothing() -> None:
    assert not ledger_of(copied(147, 3), copied(147, 3, "2")).replaced


def test_a_copy_that_is_gone_leaves_its_task_without_one() -> None:
    assert not ledger_of(copied(147, 3), Gone(3)).copies


def test_what_was_made_is_known_until_it_is_equal() -> None:
    task = Task(id=3, name="street", updated_date="9", size=5, assignee=Owner(id=4))
    listed = Made(147, 3, 7, target_state(task))
    ledger = ledger_of(listed)
    assert ledger.made == {147: listed}
    assert listed.target == TargetState("9", name="street", size=5, assignee=4)
    assert not listed.is_whole
    assert Made(147, 3, 7, TargetState("9", jobs="digest")).is_whole
    ledger.note(copied(147, 3))
    assert not ledger.made


@pytest.mark.parametrize(
    ("job", "ours"),
    [
        (Job(id=8, stage="annotation", state="new", assignee=Owner(id=4)), True),
        (Job(id=8, stage="acceptance", state="completed", assignee=Owner(id=4)), True),
        (Job(id=8, stage="acceptance", state="new", assignee=Owner(id=4)), False),
        (Job(id=8, stage="acceptance", state="completed"), False),
        (Job(id=9, stage="annotation", state="new", assignee=Owner(id=4)), False),
    ],
)
def test_jobs_that_a_killed_run_was_setting_are_ours(job: Job, ours: bool) -> None:
    change = JobChange(8, ("annotation", "new"), ("acceptance", "completed"), 4)
    ledger = ledger_of(SettingJobs(3, (change,)))
    assert ledger.jobs_are_ours(3, [job]) is ours
    assert not ledger.jobs_are_ours(2, [job])
    ledger.note(copied(147, 3))
    assert not ledger.setting


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (SourceState("1", 5, 3, "jobs"), True),
        (SourceState("2", 5, 3), False),
        (SourceState("1", 6, 3), False),
        (SourceState("1", 5, 4), False),
    ],
)
def test_states_of_jobs_are_not_in_a_backup(other: SourceState, same: bool) -> None:
    assert SourceState("1", 5, 3).has_content_of(other) is same


def test_each_attempt_has_a_name_of_its_own() -> None:
    ledger = CopyLedger()
    assert ledger.next_key(147) == "task147.1"
    first = Begun(147, "task147.1", SourceState("1"))
    ledger.note(first)
    # The same attempt, whose result is known now.
    ledger.note(msgspec.structs.replace(first, url="/result", etag='"1"', size=5))
    assert ledger.next_key(147) == "task147.2"
    assert ledger.next_key(148) == "task148.1"


@pytest.mark.parametrize("line", [{"entry": "later"}, {}, [], {"entry": "gone", "copy": "x"}])
def test_a_line_of_another_version_is_refused(line: Any) -> None:
    with pytest.raises(StoreError, match=r"cannot use 'copies\.jsonl'"):
        read_entries([line], where="'copies.jsonl'")


def test_a_state_folder_is_named_by_both_sides() -> None:
    name = state_name(OLD, NEW)
    assert name.startswith("old.example.com--new.example.com-acme-")
    assert state_name(NEW, OLD) != name
    assert state_name(OLD, SideName("https://new.example.com")) != name
    assert state_name(OLD, SideName("https://new.example.com", "")) != state_name(
        OLD, SideName("https://new.example.com")
    )


@given(st.text(), st.text())
def test_any_side_gives_a_name_that_disks_can_hold(origin: str, organization: str) -> None:
    name = state_name(SideName(f"https://{origin}", organization), NEW)
    assert len(name) <= 100
    assert name.isascii()
    assert not {"/", "\\", ":"} & set(name)


def test_a_side_is_named_in_words() -> None:
    assert str(OLD) == "https://old.example.com"
    assert str(NEW) == "'acme' at https://new.example.com"
    assert str(SideName("https://x", "")) == "the personal workspace at https://x"


def test_a_digest_depends_on_values_and_not_on_their_order() -> None:
    one, two = {"id": 1, "state": "new"}, {"state": "new", "id": 2}
    assert digest_of([one, two]) == digest_of([two, one])
    assert digest_of([one]) != digest_of([two])


def test_the_state_of_a_source_is_its_date_project_and_frames() -> None:
    task = Task(id=1, updated_date="2", project_id=5, size=3)
    assert source_state(task, "jobs") == SourceState("2", 5, 3, "jobs")
