"""Check what one page of the newest tasks tells of the changes since the last list."""

from __future__ import annotations

from collections.abc import Sequence

from asynccvat.core.decoding import ListPage, UnreadableEntry
from asynccvat.core.models import Task, TaskListing
from asynccvat.core.selections.selection import Selection
from asynccvat.core.watching.known import Comparison, KnownTasks
from asynccvat.core.watching.rounds import FullReason


def task(number: int, minute: int, name: str = "") -> Task:
    return Task(id=number, name=name, updated_date=f"2026-01-01T10:{minute:02}:00.5Z")


def page(*tasks: Task, count: int | None = None) -> list[ListPage[Task]]:
    return [ListPage(len(tasks) if count is None else count, tasks)]


def known(
    *tasks: Task, selection: Selection | None = None, unreadable: int = 0, complete: bool = True
) -> KnownTasks:
    found = KnownTasks(selection or Selection())
    listing = TaskListing(tasks=tasks, read_at=None, complete=complete, unreadable=unreadable)
    found.learn_all(listing, {one.id for one in tasks}, 1)
    return found


ONE, TWO, THREE = task(1, 10), task(2, 20), task(3, 30)


def test_the_same_page_tells_of_no_change() -> None:
    assert known(ONE, TWO).compare(page(TWO, ONE)) == Comparison()


def test_a_task_with_another_date_is_changed_whatever_the_order() -> None:
    assert known(ONE, TWO).compare(page(task(1, 25), TWO)) == Comparison((1,))
    assert known(ONE, TWO).compare(page(TWO, task(1, 5))) == Comparison((1,))


def test_a_new_task_explains_a_longer_list() -> None:
    assert known(ONE, TWO).compare(page(THREE, TWO, ONE)) == Comparison((3,))


def test_a_shorter_list_needs_all_tasks() -> None:
    assert known(ONE, TWO).compare(page(TWO)) == Comparison((), FullReason.COUNT)


def test_a_deleted_and_a_new_task_need_all_tasks() -> None:
    compared = known(ONE, TWO).compare(page(THREE, TWO))
    assert compared == Comparison((3,), FullReason.COUNT)


def test_a_page_of_changes_alone_needs_all_tasks() -> None:
    compared = known(ONE, TWO, THREE).compare(page(task(3, 50), task(2, 40), count=3))
    assert compared == Comparison(full_because=FullReason.MANY)


def test_a_page_that_ends_with_a_known_task_is_enough() -> None:
    assert known(ONE, TWO, THREE).compare(page(task(3, 50), TWO, count=3)) == Comparison((3,))


def test_an_unsorted_page_needs_all_tasks() -> None:
    compared = known(ONE, TWO).compare(page(ONE, TWO))
    assert compared == Comparison(full_because=FullReason.UNSORTED)


def test_dates_that_cannot_be_read_need_all_tasks() -> None:
    odd = Task(id=1, updated_date="yesterday")
    compared = known(odd).compare(page(odd))
    assert compared == Comparison(full_because=FullReason.UNSORTED)


def test_whole_seconds_are_sorted_among_fractions() -> None:
    early = Task(id=1, updated_date="2026-01-01T10:00:00Z")
    later = Task(id=2, updated_date="2026-01-01T10:00:00.264409Z")
    assert known(early, later).compare(page(later, early)) == Comparison()


def test_a_difference_that_a_full_list_does_not_explain_is_accepted() -> None:
    found = known(ONE, TWO)
    assert found.compare(page(TWO, ONE, count=2 + 3)).full_because is FullReason.COUNT
    found.learn_all(TaskListing(tasks=(ONE, TWO), read_at=None, complete=True), {1, 2}, 2)
    assert found.compare(page(TWO, ONE, count=2 + 3)) == Comparison()
    assert found.compare(page(TWO, ONE, count=2 + 3)) == Comparison()
    assert found.compare(page(TWO, ONE, count=2 + 2)).full_because is FullReason.COUNT


def test_unreadable_entries_are_part_of_the_length() -> None:
    found = known(ONE, unreadable=0)
    found.learn_all(TaskListing(tasks=(ONE,), read_at=None, complete=True, unreadable=1), {1}, 2)
    unread = UnreadableEntry(9, "no date")
    assert found.compare([ListPage(2, (ONE,), (unread,))]) == Comparison()


def test_an_incomplete_list_learns_the_length_of_the_next_page() -> None:
    found = known(ONE, TWO, complete=False)
    assert found.compare(page(TWO, ONE, count=7)) == Comparison()
    assert found.compare(page(TWO, ONE, count=6)).full_because is FullReason.COUNT


def test_names_that_do_not_fit_the_wildcards_are_ignored() -> None:
    street, park = task(1, 10, "street-1"), task(2, 20, "my street")
    found = known(street, selection=Selection(name="street-*"))
    assert found.compare(page(park, street)) == Comparison()
    other = task(3, 30, "street-3")
    assert found.compare(page(other, park, street)) == Comparison((3,))


def test_tasks_that_were_not_asked_for_are_ignored() -> None:
    mine = Task(id=1, project_id=5, updated_date=ONE.updated_date)
    other = Task(id=2, project_id=6, updated_date=TWO.updated_date)
    found = known(mine, selection=Selection(project_ids=[5]))
    assert found.compare(page(other, mine)).full_because is FullReason.COUNT
    assert found.compare(page(other, mine)) == Comparison()


def test_several_lists_are_compared_together() -> None:
    found = known(ONE, TWO)
    pages: Sequence[ListPage[Task]] = [*page(task(1, 50)), *page(TWO)]
    assert found.compare(pages) == Comparison((1,))


def test_a_failed_task_is_due_again_and_not_changed() -> None:
    found = known(ONE, TWO)
    found.learn([task(2, 40)], set(), 2)
    assert list(found.failing) == [2]
    assert found.compare(page(task(2, 40), ONE)) == Comparison()
    assert found.due(2) == ()
    assert found.due(3) == (2,)
    found.learn([task(2, 40)], set(), 3)
    assert found.due(4) == ()
    assert found.due(5) == (2,)
    found.learn([task(2, 40)], {2}, 5)
    assert found.due(9) == ()
    assert len(found) == 2


def test_a_failed_task_that_is_gone_is_forgotten() -> None:
    found = known(ONE, TWO)
    found.learn([TWO], set(), 2)
    found.learn_all(TaskListing(tasks=(ONE,), read_at=None, complete=True), {1}, 3)
    assert list(found.failing) == []
