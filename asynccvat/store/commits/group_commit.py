"""Group commit: collect changes of the same moment, so that one sync serves them all.

`changes` has the changes; `group_run` runs a group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio

from asynccvat.aio.threads import in_limited_thread, shielded
from asynccvat.store.commits.changes import FolderChange

GROUP_SECONDS = 0.05
GROUP_SIZE = 64


@dataclass(eq=False)
class _Ticket:
    change: FolderChange
    done: anyio.Event = field(default_factory=anyio.Event)


@dataclass(eq=False)
class _Group:
    tickets: list[_Ticket] = field(default_factory=list)
    full: anyio.Event = field(default_factory=anyio.Event)
    closed: bool = False
    failure: BaseException | None = None


class GroupCommit:
    """Forms groups of changes, and runs them in threads, one group at a time.

    The caller that opens a group leads it: it waits until the group is full or its time is up,
    runs it, and wakes the others.
    """

    def __init__(
        self,
        run: Callable[[Sequence[FolderChange]], None],
        limiter: anyio.CapacityLimiter,
        *,
        grouped: bool,
        under_way: Callable[[], int],
    ) -> None:
        """Form groups.

        Args:
            run: Makes the changes of a group, in a thread.
            limiter: Limits the threads.
            grouped: Whether to form groups at all.
            under_way: Returns how many changes have joined or may join soon. A group that holds
                all of them waits for no others.
        """
        self._under_way = under_way
        self._run = run
        self._limiter = limiter
        self._grouped = grouped
        self._open: _Group | None = None
        self._turn = anyio.Lock()

    async def join(self, change: FolderChange) -> None:
        """Make a change, together with others of the same moment.

        If it is cancelled, the change was either made whole or not begun.

        Raises:
            AsyncCvatError: The change's own error, or that of its group.
        """
        if not self._grouped:
            await in_limited_thread(self._limiter, self._run, [change])
        else:
            ticket = _Ticket(change)
            group = self._open
            if group is None:
                group = self._open = _Group()
                await self._lead(group, ticket)
            else:
                await self._follow(group, ticket)
            if group.failure is not None:
                raise group.failure
        if change.error is not None:
            raise change.error

    async def _lead(self, group: _Group, ticket: _Ticket) -> None:
        group.tickets.append(ticket)
        try:
            if not self._is_full(group):
                with anyio.move_on_after(GROUP_SECONDS):
                    await group.full.wait()
            # Others may join until the group before this one has ended.
            await self._turn.acquire()
        except BaseException:
            # The others are not cancelled, so their changes are made first.
            group.tickets.remove(ticket)
            if group.tickets:
                await shielded(self._run_for_others(group))
            else:
                self._close(group)
            raise
        await self._finish(group)

    def _is_full(self, group: _Group) -> bool:
        return len(group.tickets) >= min(GROUP_SIZE, self._under_way())

    async def _run_for_others(self, group: _Group) -> None:
        await self._turn.acquire()
        await self._finish(group)

    async def _finish(self, group: _Group) -> None:
        self._close(group)
        try:
            await in_limited_thread(self._limiter, self._run_in_thread, group)
        finally:
            self._turn.release()
            for ticket in group.tickets:
                ticket.done.set()

    def _run_in_thread(self, group: _Group) -> None:
        try:
            self._run([ticket.change for ticket in group.tickets])
        except BaseException as error:  # noqa: BLE001 - each caller raises it in its own task
            group.failure = error

    def _close(self, group: _Group) -> None:
        group.closed = True
        if self._open is group:
            self._open = None

    async def _follow(self, group: _Group, ticket: _Ticket) -> None:
        group.tickets.append(ticket)
        if self._is_full(group):
            self._open = None
            group.full.set()
        try:
            await ticket.done.wait()
        except BaseException:
            if group.closed:
                await shielded(ticket.done.wait())
            else:
                group.tickets.remove(ticket)
            raise
