"""MirrorView: what stands in the destination of a mirror, as coroutines.

It changes nothing and needs no lock. `mirror_store` adds the changes; `survey` has the blocking
work.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from asynccvat.core.inventory.usage import UsedRoom
from asynccvat.core.paths import NameRules
from asynccvat.core.plans.mirror import FolderState
from asynccvat.core.records.receipts import MemberRecord, ReceiptHead
from asynccvat.core.records.remembered import Remembered, from_receipts
from asynccvat.store import survey
from asynccvat.store.chunks import in_chunks
from asynccvat.store.disk_threads import DiskThreads
from asynccvat.store.identity import is_unused
from asynccvat.store.layout import Layout
from asynccvat.store.trees import ChangedMember
from asynccvat.store.usage import measure_mirror

T = TypeVar("T")
Item = TypeVar("Item")

_THREADS = 4


class MirrorView:
    """A destination to read from.

    Attributes:
        path: The destination.
        rules: What names it can hold.
        remembered: The settings of the destination's first run, None if it remembers none.
        warnings: What the user should know about the destination: damaged receipts, for example.
    """

    def __init__(
        self, layout: Layout, rules: NameRules, remembered: Remembered | None = None
    ) -> None:
        self.remembered = remembered
        self.path = layout.path
        self.rules = rules
        self.warnings: list[str] = []
        self._reported = 0
        self._layout = layout
        self._threads = DiskThreads(layout.path, _THREADS)

    def new_warnings(self) -> list[str]:
        """Return the warnings that were added since the last call."""
        # Threads add to the list at any time, so nothing is removed from it.
        new = self.warnings[self._reported :]
        self._reported += len(new)
        return new

    async def settings(self, heads: Mapping[int, ReceiptHead] | None = None) -> Remembered:
        """Return what the destination remembers. If that is nothing, its receipts tell.

        Args:
            heads: All receipts, by id, if they have been read.

        Raises:
            StoreError: The receipts cannot be listed.
        """
        if self.remembered is not None and not self.remembered.lost:
            return self.remembered
        if heads is None:
            ids = await self._threads.run("read", self._layout.receipt_ids)
            found = await self._in_chunks(survey.read_heads, ids)
            heads = {task_id: head for part, _ in found for task_id, head in part.items()}
        settings = from_receipts(list(heads.values()))
        if self.remembered is None:
            # Nothing was lost, so no layout was: it was made before there were any.
            return replace(settings, layout=None)
        return replace(settings, lost=True)

    async def is_unused(self) -> bool:
        """Whether no task was mirrored into the destination, and none is on its way.

        Raises:
            StoreError: It cannot be read.
        """
        return await self._threads.run("read", is_unused, self._layout)

    async def receipts(self, among: Collection[int] | None = None) -> dict[int, ReceiptHead]:
        """Read line 1 of every receipt, or of those of some tasks.

        A damaged receipt becomes a warning and counts as absent: its folder is then not ours.

        Args:
            among: The tasks, None for all. The others' receipts are read only if something stands
                where a folder of these is to be.

        Raises:
            StoreError: They cannot be read.
        """
        ids = await self._threads.run("read", self._layout.receipt_ids, among)
        heads: dict[int, ReceiptHead] = {}
        for found, problems in await self._in_chunks(survey.read_heads, ids):
            heads |= found
            self.warnings += problems
        if among is None:
            await self._threads.run("read", self._layout.set_claims, heads)
        return heads

    async def compared(
        self,
    ) -> tuple[dict[int, ReceiptHead], dict[int, tuple[ChangedMember, ...]]]:
        """Read every receipt, and compare its folder with it by name, size and time.

        A damaged receipt becomes a warning, and so does a folder that cannot be read, which counts
        as edited.

        Returns:
            Line 1 of the receipts, and the members that are edited or missing; both by task.

        Raises:
            StoreError: This process can read none of them.
        """
        ids = await self._threads.run("read", self._layout.receipt_ids)
        heads: dict[int, ReceiptHead] = {}
        changed: dict[int, tuple[ChangedMember, ...]] = {}
        for found, differing, problems in await self._in_chunks(survey.compare, ids):
            heads |= found
            changed |= differing
            self.warnings += problems
        return heads, changed

    async def folder_states(self, heads: Iterable[ReceiptHead]) -> dict[int, FolderState]:
        """Check the folders of receipts by the name, size and time of each member.

        A folder that cannot be read becomes a warning and counts as edited.

        Raises:
            StoreError: This process can read none of them.
        """
        states: dict[int, FolderState] = {}
        for found, problems in await self._in_chunks(survey.folder_states, list(heads)):
            states |= found
            self.warnings += problems
        return states

    async def measure(self, heads: Mapping[int, ReceiptHead]) -> list[UsedRoom]:
        """Measure all files of the destination, by use and target.

        Raises:
            StoreError: It cannot be read.
        """
        return await self._threads.run("measure", measure_mirror, self._layout, heads)

    async def members(self, task_id: int) -> tuple[MemberRecord, ...]:
        """Read the members of a task's folder as they were committed.

        Raises:
            StoreError: There is no receipt, or it is damaged.
        """
        receipt = await self._threads.run("read", self._layout.receipt, task_id)
        return receipt.members

    async def unclaimed(
        self, folder_names: Iterable[str], held: Mapping[str, str] | None = None
    ) -> set[str]:
        """Return those of these names that exist in the destination and are in no receipt.

        Args:
            folder_names: The names.
            held: The folders that their tasks have now, by these names. A name that means the same
                folder, on a disk that ignores case, is in a receipt.

        Raises:
            StoreError: They cannot be checked.
        """
        folders = [(name, (held or {}).get(name)) for name in folder_names]
        found: set[str] = set()
        for names_found in await self._in_chunks(survey.unclaimed, folders):
            found |= names_found
        return found

    async def _in_chunks(
        self, call: Callable[[Layout, Sequence[Item]], T], items: Sequence[Item]
    ) -> list[T]:
        return await in_chunks(
            partial(self._threads.run, "read"),
            partial(call, self._layout),
            items,
            threads=_THREADS,
        )
