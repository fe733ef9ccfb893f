"""Check the entries of a list against what was asked for, and warn of those that are left out.

`client.lists` reads the lists, `core.selections.matching` compares the entries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from asynccvat.aio.list_warnings import warn
from asynccvat.core.decoding import UnreadableEntry
from asynccvat.core.texts import first_few

ItemT = TypeVar("ItemT")


class ListCheck(Generic[ItemT]):
    """Check what a server listed against what it was asked for, and warn of what does not fit.

    CVAT ignores parameters that it does not know, and then lists everything.

    Attributes:
        what: What the entries are, as in the path of the list.
        unfit: How many entries have another name than is wanted, as far as the server cannot tell.
    """

    def __init__(
        self,
        what: str,
        may_hold: Callable[[ItemT], bool],
        fits: Callable[[ItemT], bool] | None = None,
    ) -> None:
        self.what = what
        self.unfit = 0
        self._may_hold = may_hold
        self._fits = fits
        self._unreadable: list[UnreadableEntry] = []
        self._read = 0
        self._others = 0

    def holds(self, entry: ItemT) -> bool:
        """Whether an entry was asked for."""
        self._read += 1
        if not self._may_hold(entry):
            self._others += 1
            return False
        if self._fits is None or self._fits(entry):
            return True
        self.unfit += 1
        return False

    @property
    def unreadable(self) -> int:
        """How many entries cannot be read."""
        return len(self._unreadable)

    def pass_over(self, entries: Sequence[UnreadableEntry]) -> None:
        """Note entries that cannot be read."""
        self._unreadable += entries

    def warn(self) -> None:
        """Warn of the entries that are left out, if there are any."""
        if self._unreadable:
            listed = self._read + len(self._unreadable)
            ids = [str(entry.id) for entry in self._unreadable if entry.id is not None]
            named = f" ({first_few(ids)})"
            warn(
                f"cannot read {len(self._unreadable)} of {listed} {self.what} that the server "
                f"listed{named * bool(ids)}: {self._unreadable[0].why}. They are left out. Look "
                "at them in CVAT."
            )
        if self._others:
            warn(
                f"the server listed {self._others} {self.what} that were not asked for: it may "
                "not know a filter. They are left out."
            )
