"""Many tasks: plan, mirror, download.

The engine reads the listing and the receipts, has `core.planning` compare them, and carries the
plan out. How orders are carried out side by side is left to `dispatch`, how one of them is to
`transfer`, what a caller holds meanwhile to `runs`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path

import anyio

from asynccvat.archives import ArchiveReader
from asynccvat.client import CvatClient
from asynccvat.core.models import ExportSpec, Selection, Task, TaskListing
from asynccvat.core.options import MirrorOptions
from asynccvat.core.outcomes import Action, MirrorReport, TaskOutcome
from asynccvat.core.paths import task_folder_name
from asynccvat.core.planning import (
    EXPLANATIONS,
    Fetch,
    Keep,
    Move,
    Plan,
    Presence,
    Reason,
    Refuse,
    Remove,
    Skip,
    gone_candidates,
    longest_first,
    plan_mirror,
)
from asynccvat.core.receipts import ReceiptHead
from asynccvat.dispatch import Dispatcher
from asynccvat.errors import (
    AsyncCvatError,
    ForeignFolderError,
    NotFoundError,
    PermissionDeniedError,
)
from asynccvat.events import (
    Event,
    ListingRead,
    Planned,
    Retrying,
    RunFinished,
    ServerPaused,
    TaskDone,
    Warned,
)
from asynccvat.runs import EventListener, MirrorRun
from asynccvat.store import LooseFolders, MirrorStore
from asynccvat.transfer import Order

PathText = str | PathLike[str]

_CONFIRMATIONS_AT_ONCE = 4


async def plan(
    client: CvatClient,
    dest: PathText,
    selection: Selection | None = None,
    spec: ExportSpec | None = None,
    *,
    options: MirrorOptions | None = None,
) -> Plan:
    """What `mirror` would do, and why; nothing is changed, here or there.

    Args:
        client: The server.
        dest: The destination.
        selection: Which tasks; all that the user may see by default.
        spec: Format and images; annotations as `CVAT for images 1.1` by default.
        options: How; the guards and the prefix count here.

    Raises:
        ConfigError: The destination belongs to another server, or an option cannot be used.
        StoreError: The destination cannot be read.
        AsyncCvatError: The server cannot be reached or refuses the listing.
    """
    options = options or MirrorOptions()
    async with MirrorStore.peek(
        dest, origin=client.origin, organization=client.organization
    ) as store:
        prepared, _ = await _prepare(
            client, store, selection or Selection(), spec or ExportSpec(), options
        )
    return prepared


def open_mirror(
    client: CvatClient,
    dest: PathText,
    selection: Selection | None = None,
    spec: ExportSpec | None = None,
    *,
    options: MirrorOptions | None = None,
    on_event: EventListener | None = None,
) -> MirrorRun:
    """Mirror tasks, and meet each outcome as it lands: `async with open_mirror(...) as run`.

    Args:
        client: The server.
        dest: The destination; made if it is not there.
        selection: Which tasks; all that the user may see by default.
        spec: Format and images; annotations as `CVAT for images 1.1` by default.
        options: How.
        on_event: Told each event, synchronously, in the loop's thread.

    Returns:
        The run, an async context manager and an async iterator of `TaskOutcome`. Ordinary
        failures of tasks are outcomes; what keeps the run from beginning is raised by
        iterating, by `wait` or by leaving the block.
    """
    mirror_ = _Mirror(
        client,
        Path(dest),
        selection or Selection(),
        spec or ExportSpec(),
        options or MirrorOptions(),
    )
    return MirrorRun(mirror_.work, on_event)


async def mirror(
    client: CvatClient,
    dest: PathText,
    selection: Selection | None = None,
    spec: ExportSpec | None = None,
    *,
    options: MirrorOptions | None = None,
    on_event: EventListener | None = None,
) -> MirrorReport:
    """Mirror tasks into a destination; afterwards it holds what the server has.

    The arguments are those of `open_mirror`.

    Returns:
        The report. Failures of tasks are in it, and never raised; see
        `MirrorReport.raise_for_failures`.

    Raises:
        ConfigError: An option cannot be used, or the destination belongs to another server.
        StoreLockedError: Another mirror is at work on the destination.
        StoreError: The destination cannot be used.
        AsyncCvatError: The server cannot be reached, or refuses the user or the listing.
    """
    async with open_mirror(
        client, dest, selection, spec, options=options, on_event=on_event
    ) as run:
        return await run.wait()


async def download(
    client: CvatClient,
    task_id: int,
    path: PathText,
    spec: ExportSpec | None = None,
    *,
    options: MirrorOptions | None = None,
    skip_existing: bool = False,
    on_event: EventListener | None = None,
) -> TaskOutcome:
    """Export one task into a folder, whole or not at all; no receipt is kept.

    Args:
        client: The server.
        task_id: The task.
        path: The folder, which must not hold anything yet.
        spec: Format and images; annotations as `CVAT for images 1.1` by default.
        options: Limits, retries and durability.
        skip_existing: Leave a folder alone that holds the format's annotation file already.
        on_event: Told each event, synchronously, in the loop's thread.

    Raises:
        AsyncCvatError: It failed; the folder is as it was.
    """
    report = await download_many(
        client,
        {task_id: path},
        spec,
        options=options,
        skip_existing=skip_existing,
        on_event=on_event,
    )
    if report.stopped_by is not None:
        raise report.stopped_by
    (outcome,) = report.outcomes
    if outcome.error is not None:
        raise outcome.error
    return outcome


async def download_many(
    client: CvatClient,
    paths: Mapping[int, PathText],
    spec: ExportSpec | None = None,
    *,
    options: MirrorOptions | None = None,
    skip_existing: bool = False,
    on_event: EventListener | None = None,
) -> MirrorReport:
    """Export tasks into folders of their own, many at a time; the stateless sibling of `mirror`.

    Args:
        client: The server.
        paths: The folder of each task.
        spec: Format and images.
        options: Limits, retries and durability.
        skip_existing: Leave folders alone that hold the format's annotation file already.
        on_event: Told each event, synchronously, in the loop's thread.

    Returns:
        The report; failures of tasks are in it, and never raised.

    Raises:
        ConfigError: Two tasks have the same folder.
    """
    work = _Download(
        client,
        {task_id: Path(path) for task_id, path in paths.items()},
        spec or ExportSpec(),
        options or MirrorOptions(),
        skip_existing=skip_existing,
    )
    async with MirrorRun(work.work, on_event) as run:
        return await run.wait()


class _Log:
    """Collects what a run's report says, while it goes on."""

    def __init__(self, run: MirrorRun, client: CvatClient) -> None:
        self._run = run
        self._client = client
        self._began = asyncio.get_running_loop().time()
        self._requests_before = client.requests_sent
        self._outcomes: list[TaskOutcome] = []
        self._warnings: list[str] = []

    def done(self, outcome: TaskOutcome) -> None:
        self._outcomes.append(outcome)
        self._run.emit(TaskDone(outcome))

    def warn(self, message: str) -> None:
        self._warnings.append(message)
        self._run.emit(Warned(message))

    def close(self, *, interrupted: bool, stopped_by: AsyncCvatError | None = None) -> None:
        """Write the run's report and tell everybody that it has ended."""
        plan_ = self._run.plan
        self._run.report = MirrorReport(
            outcomes=tuple(self._outcomes),
            seconds=asyncio.get_running_loop().time() - self._began,
            requests=self._client.requests_sent - self._requests_before,
            transferred=sum(outcome.transferred for outcome in self._outcomes),
            listing_complete=plan_ is None or plan_.listing.complete,
            interrupted=interrupted,
            stopped_by=stopped_by,
            guard=None if plan_ is None else plan_.guard,
            warnings=tuple(self._warnings),
        )
        self._run.emit(RunFinished(self._run.report))

    def retrying(self, step: str, task_id: int | None, error: AsyncCvatError, delay: float) -> None:
        self._run.emit(Retrying(task_id, step, str(error), delay))

    def paused(self, seconds: float) -> None:
        self._run.emit(ServerPaused(seconds))


class _Mirror:
    """One mirror, from the listing to the last removal."""

    def __init__(
        self,
        client: CvatClient,
        dest: Path,
        selection: Selection,
        spec: ExportSpec,
        options: MirrorOptions,
    ) -> None:
        self._client = client
        self._dest = dest
        self._selection = selection
        self._spec = spec
        self._options = options

    async def work(self, run: MirrorRun) -> None:
        log = _Log(run, self._client)
        stopped_by: AsyncCvatError | None = None
        interrupted = True
        try:
            with self._client.listening(on_retry=log.retrying, on_pause=log.paused):
                async with MirrorStore.open(
                    self._dest,
                    origin=self._client.origin,
                    organization=self._client.organization,
                    durable=self._options.durable,
                    break_lock=self._options.break_lock,
                ) as store:
                    stopped_by = await self._mirror(store, run, log)
            interrupted = stopped_by is not None
        finally:
            log.close(interrupted=interrupted, stopped_by=stopped_by)

    async def _mirror(self, store: MirrorStore, run: MirrorRun, log: _Log) -> AsyncCvatError | None:
        """Carry the plan out; returns what stopped it, if anything did."""
        plan_ = run.plan = await _prepare(
            self._client, store, self._selection, self._spec, self._options, run.emit
        )
        for warning in store.warnings:
            log.warn(warning)
        if plan_.guard is not None:
            log.warn(plan_.guard)
        fetches = longest_first(plan_.of(Fetch))
        await store.sweep({fetch.task_id for fetch in fetches})
        self._settle(plan_, store, log)
        for move in plan_.of(Move):
            await self._move(move, store, log)
        dispatcher = Dispatcher(
            self._client,
            store,
            self._spec,
            self._options,
            reader=ArchiveReader(self._client, self._options, store.rules, run.emit),
            emit=run.emit,
            done=log.done,
            listed_at=plan_.listing.read_at,
        )
        await dispatcher.carry_out(
            [
                order
                for fetch in fetches
                if (order := await self._order(fetch, store, log)) is not None
            ]
        )
        if dispatcher.stopped_by is None and plan_.guard is None:
            for removal in plan_.of(Remove):
                await self._remove(removal, store, log)
        return dispatcher.stopped_by

    def _settle(self, plan_: Plan, store: MirrorStore, log: _Log) -> None:
        """Give the steps their outcomes for which nothing is to be done."""
        for keep in plan_.of(Keep):
            edited = keep.reason is Reason.EDITED
            log.done(
                TaskOutcome(
                    task_id=keep.task_id,
                    name=keep.name,
                    action=Action.KEPT,
                    reason=keep.reason,
                    path=store.path / keep.folder,
                    warnings=(EXPLANATIONS[keep.reason],) if edited else (),
                )
            )
        for skip in plan_.of(Skip):
            log.done(
                TaskOutcome(
                    task_id=skip.task_id,
                    name=skip.name,
                    action=Action.SKIPPED,
                    reason=skip.reason,
                    warnings=(EXPLANATIONS[skip.reason],),
                )
            )
        for refusal in plan_.of(Refuse):
            log.done(_refused(refusal, store.path))

    async def _move(self, move: Move, store: MirrorStore, log: _Log) -> None:
        try:
            moved = await store.move(move.previous, move.folder)
        except AsyncCvatError as error:
            log.done(_step_failed(move, error))
            return
        log.done(
            TaskOutcome(
                task_id=move.task_id,
                name=move.name,
                action=Action.MOVED,
                reason=move.reason,
                path=moved.path,
                warnings=moved.warnings,
            )
        )

    async def _order(self, fetch: Fetch, store: MirrorStore, log: _Log) -> Order | None:
        """What has to be brought for a fetch; a folder under an older prefix moves first."""
        previous = fetch.previous
        if previous is not None and previous.folder != fetch.folder:
            try:
                await store.move(previous, fetch.folder)
            except AsyncCvatError as error:
                log.done(_step_failed(fetch, error))
                return None
        return Order(
            task=fetch.task,
            folder=fetch.folder,
            reason=fetch.reason,
            adopt=self._options.adopt,
        )

    async def _remove(self, removal: Remove, store: MirrorStore, log: _Log) -> None:
        try:
            removed = await store.remove(removal.previous)
        except AsyncCvatError as error:
            log.done(_step_failed(removal, error))
            return
        log.done(
            TaskOutcome(
                task_id=removal.task_id,
                name=removal.name,
                action=Action.REMOVED,
                reason=removal.reason,
                warnings=removed.warnings,
            )
        )


async def _prepare(
    client: CvatClient,
    store: MirrorStore,
    selection: Selection,
    spec: ExportSpec,
    options: MirrorOptions,
    emit: Callable[[Event], None],
) -> Plan:
    """Read the listing and, meanwhile, what is here; then compare."""
    listing_call = asyncio.ensure_future(_listing(client, selection))
    try:
        heads = await store.receipts()
        # Which folders are worth a look follows from the listing; until it is here all those of
        # this spec are looked at, so that the disk works while the server does.
        states = {}
        if not options.trust_receipts:
            candidates = _worth_a_look(heads, selection, spec, options)
            states = await store.folder_states(candidates)
        listing = await listing_call
    finally:
        if not listing_call.done():
            listing_call.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([listing_call])
    emit(ListingRead(len(listing.tasks), listing.complete))
    presence: dict[int, Presence] | None = None
    if options.prune:
        presence = {}
        if listing.complete:
            presence = await _presence(client, gone_candidates(listing, heads))
    plan_ = plan_mirror(
        listing,
        heads,
        spec,
        options,
        states=states,
        unclaimed=await store.unclaimed(_new_folders(listing, heads, options)),
        presence=presence,
    )
    counts = plan_.counts
    emit(
        Planned(
            **{kind: counts.get(kind, 0) for kind in ("fetch", "keep", "skip", "move", "remove")},
            refuse=counts.get("refuse", 0),
        )
    )
    return plan_


async def _listing(client: CvatClient, selection: Selection) -> TaskListing:
    listing = await client.tasks(selection)
    if selection.narrowed_by_attributes:
        # Ids that are asked for and absent may only have another status: that is no failure.
        return replace(listing, missing=())
    return listing


def _worth_a_look(
    heads: Mapping[int, ReceiptHead],
    selection: Selection,
    spec: ExportSpec,
    options: MirrorOptions,
) -> Iterable[ReceiptHead]:
    if options.force:
        return ()
    wanted = None if selection.task_ids is None else set(selection.task_ids)
    return [
        head
        for head in heads.values()
        if head.spec == spec and (wanted is None or head.task_id in wanted)
    ]


def _new_folders(
    listing: TaskListing, heads: Mapping[int, ReceiptHead], options: MirrorOptions
) -> list[str]:
    """The folder names that this plan would begin to use."""
    return [
        folder
        for task in listing.tasks
        for folder in [task_folder_name(options.folder_prefix, task.id)]
        if (head := heads.get(task.id)) is None or head.folder != folder
    ]


async def _presence(client: CvatClient, candidates: Iterable[ReceiptHead]) -> dict[int, Presence]:
    """Ask the server about each task that the listing does not cover."""
    presence: dict[int, Presence] = {}
    limiter = anyio.CapacityLimiter(_CONFIRMATIONS_AT_ONCE)

    async def confirm(task_id: int) -> None:
        async with limiter:
            try:
                await client.task(task_id)
            except NotFoundError:
                presence[task_id] = Presence.GONE
            except PermissionDeniedError:
                presence[task_id] = Presence.FORBIDDEN
            except AsyncCvatError:
                presence[task_id] = Presence.UNKNOWN
            else:
                presence[task_id] = Presence.ELSEWHERE

    async with anyio.create_task_group() as group:
        for head in candidates:
            group.start_soon(confirm, head.task_id)
    return dict(sorted(presence.items()))


def _refused(refusal: Refuse, dest: Path) -> TaskOutcome:
    explanation = EXPLANATIONS[refusal.reason]
    error: AsyncCvatError
    if refusal.reason is Reason.FOREIGN:
        error = ForeignFolderError(
            f"{dest / refusal.folder}: {explanation}", task_id=refusal.task_id, step="plan"
        )
    else:
        error = NotFoundError(
            f"task {refusal.task_id}: {explanation}",
            status=404,
            task_id=refusal.task_id,
            step="list",
        )
    return _step_failed(refusal, error)


def _step_failed(step: Fetch | Move | Remove | Refuse, error: AsyncCvatError) -> TaskOutcome:
    return TaskOutcome(
        task_id=step.task_id,
        name=step.name,
        action=Action.FAILED,
        reason=step.reason,
        error=error,
    )


class _Download:
    """Some tasks into folders that no receipt speaks of."""

    def __init__(
        self,
        client: CvatClient,
        paths: Mapping[int, Path],
        spec: ExportSpec,
        options: MirrorOptions,
        *,
        skip_existing: bool,
    ) -> None:
        self._client = client
        self._paths = paths
        self._spec = spec
        self._options = options
        self._skip_existing = skip_existing

    async def work(self, run: MirrorRun) -> None:
        log = _Log(run, self._client)
        stopped_by: AsyncCvatError | None = None
        interrupted = True
        try:
            with self._client.listening(on_retry=log.retrying, on_pause=log.paused):
                stopped_by = await self._download(run, log)
            interrupted = stopped_by is not None
        finally:
            log.close(interrupted=interrupted, stopped_by=stopped_by)
