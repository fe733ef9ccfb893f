"""Tell what changed on a server from the newest entries of its list of tasks.

A list sorted by the date of change begins with all that changed. Its length tells of tasks that
were deleted. Dates are compared for inequality: a task is unchanged if its date is exactly the
known one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from asynccvat.core.decoding import ListPage
from asynccvat.core.models import Task, TaskListing
from asynccvat.core.selections.matching import task_check, wildcard_check
from asynccvat.core.selections.selection import Selection
from asynccvat.core.watching.rounds import FullReason
from asynccvat.core.watching.schedule import rounds_until_retry


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the newest entries of a list show.

    Attributes:
        changed: The tasks that are new or changed.
        full_because: Why all tasks must be listed, None if `changed` is all.
    """

    changed: tuple[int, ...] = ()
    full_because: FullReason | None = None


@dataclass(frozen=True, slots=True)
class _Failed:
    """A task that failed so often in a row, and the round that tries it again."""

    times: int
    again_in: int


class KnownTasks:
    """The tasks of a selection as the last rounds saw them."""

    def __init__(self, selection: Selection) -> None:
        """Know no task yet.

        Args:
            selection: Which tasks belong to the mirror.
        """
        self._belongs, self._fits = task_check(selection), wildcard_check(selection)
        self._dates: dict[int, str] = {}
        self._failed: dict[int, _Failed] = {}
        # Entries of the list that are no known tasks, None until a page shows how many.
        self._others: int | None = None
        self._difference = 0

    def __len__(self) -> int:
        return len(self._dates)

    @property
    def failing(self) -> Collection[int]:
        """The tasks whose last attempt failed."""
        return self._failed.keys()

    def learn_all(self, listing: TaskListing, done: Collection[int], number: int) -> None:
        """Take over the list of all tasks.

        Args:
            listing: The list.
            done: The tasks that are up to date in the mirror.
            number: The round.
        """
        self._dates = {task.id: task.updated_date for task in listing.tasks}
        self._failed = {one: self._failed[one] for one in self._failed if one in self._dates}
        uncertain = self._fits is not None or not listing.complete
        self._others = None if uncertain else listing.unreadable
        self._note(self._dates, done, number)

    def learn(self, tasks: Iterable[Task], done: Collection[int], number: int) -> None:
        """Take over some tasks.

        Args:
            tasks: The tasks, as they were listed.
            done: Those that are up to date in the mirror.
            number: The round.
        """
        listed = {task.id: task.updated_date for task in tasks}
        self._dates.update(listed)
        self._note(listed, done, number)

    def _note(self, tried: Iterable[int], done: Collection[int], number: int) -> None:
        for task_id in tried:
            if task_id in done:
                self._failed.pop(task_id, None)
            else:
                before = self._failed.get(task_id)
                times = 1 if before is None else before.times + 1
                self._failed[task_id] = _Failed(times, number + rounds_until_retry(times))

    def due(self, number: int) -> tuple[int, ...]:
        """Return the failed tasks that this round tries again."""
        return tuple(one for one, failed in self._failed.items() if failed.again_in <= number)

    def compare(self, pages: Sequence[ListPage[Task]]) -> Comparison:
        """Compare what is known with the first page of each list, newest first."""
        changed: dict[int, Task] = {}
        for page in pages:
            if not _is_sorted(page.results):
                return Comparison(full_because=FullReason.UNSORTED)
            own = [task for task in page.results if self._is_ours(task)]
            found = [task for task in own if self._dates.get(task.id) != task.updated_date]
            changed.update((task.id, task) for task in found)
            if page.count > page.length and (not own or own[-1].id in changed):
                return Comparison(full_because=FullReason.MANY)
        if self._count_changed(sum(page.count for page in pages), changed):
            return Comparison(tuple(changed), FullReason.COUNT)
        return Comparison(tuple(changed))

    def _is_ours(self, task: Task) -> bool:
        return self._belongs(task) and (self._fits is None or self._fits(task))

    def _count_changed(self, count: int, changed: Collection[int]) -> bool:
        """Whether the number of tasks differs from what the known and the new ones explain."""
        new = len([task_id for task_id in changed if task_id not in self._dates])
        explained = len(self._dates) + new
        if self._others is None:
            self._others = max(count - explained, 0)
        difference = count - explained - self._others
        if difference and difference == self._difference:
            # A full list has not explained it: the server counts in another way than it lists.
            self._others += difference
            difference = 0
        self._difference = difference
        return difference != 0


def _is_sorted(tasks: Sequence[Task]) -> bool:
    """Whether tasks are in descending order of their dates."""
    try:
        dates = [datetime.fromisoformat(task.updated_date) for task in tasks]
        return all(first >= second for first, second in pairwise(dates))
    except (ValueError, TypeError):
        return False
