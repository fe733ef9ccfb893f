"""Make a mirror's plan: settle its settings, read the listing and the receipts, compare them.

`core.records.settling` settles, `core.plans.mirror` compares. `commands.mirror.run` carries the
plan out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from asynccvat.aio.list_warnings import lists_may_be_empty
from asynccvat.aio.threads import in_thread, wait_for_end
from asynccvat.client import CvatClient, internals
from asynccvat.commands.mirror.absence import absent_from_lists, presence_of
from asynccvat.commands.mirror.jobs import with_jobs
from asynccvat.commands.mirror.listing import TargetSelection, list_targets
from asynccvat.commands.mirror.renames import folder_context, renamed_on_server
from asynccvat.core.format_names import KNOWN_FORMATS, means_json
from asynccvat.core.models import TaskListing
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.plans.dimensions import needs_formats, without_other_dimensions
from asynccvat.core.plans.flavours import encoded_videos, flattening
from asynccvat.core.plans.folders import folders_of
from asynccvat.core.plans.mirror import Fetch, FolderState, Plan, Reason, plan_mirror
from asynccvat.core.plans.removals import (
    Presence,
    absence_notice,
    gone_candidates,
    left_notice,
)
from asynccvat.core.records.complete_runs import check_since_last_run, since_last_run
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.records.settling import Settled, Wanted, settle
from asynccvat.core.selections.selection import Selection, check_prunable
from asynccvat.core.specs import CVAT_JSON, ExportSpec
from asynccvat.core.targets import TargetKind
from asynccvat.events import DestinationSettled, Event, ListingRead, Planned
from asynccvat.store import MirrorStore


async def settle_with(client: CvatClient, store: MirrorStore, wanted: Wanted) -> Settled:
    """Fill in what a run was not given, from what its destination remembers.

    Raises:
        ChangeRefusedError: The run was given another value than the remembered one.
        ConfigError: The server does not export in the format.
        StoreError: The destination cannot be read.
    """
    check_prunable(wanted.selection, prune=wanted.options.prune)
    check_since_last_run(wanted)
    remembered = await store.settings()
    wanted = wanted.with_selection(await internals(client).resolved(wanted.selection))
    format_name = wanted.given.format
    if format_name is not None and means_json(format_name):
        wanted, format_name = wanted.with_format(CVAT_JSON), None
    if format_name not in (None, remembered.format, *KNOWN_FORMATS):
        await internals(client).check_version()
        wanted = wanted.with_format(await internals(client).exporter(format_name))
    bound = not await store.is_unused()
    settled = settle(wanted, remembered, place=str(store.path), bound=bound)
    return since_last_run(settled, await store.complete_runs.read())


def describe_mirror(store: MirrorStore, settled: Settled) -> str:
    """Return the line that tells users what a destination mirrors."""
    return f"{store.path}/ mirrors {store.server}: {settled.describe()}"


async def prepare(
    client: CvatClient,
    store: MirrorStore,
    settled: Settled,
    *,
    stays: bool = False,
    emit: Callable[[Event], None] = lambda _: None,
) -> Plan:
    """Read the listing and, at the same time, the destination; then compare them.

    Work that takes long with a hundred thousand tasks runs in threads.

    Args:
        client: The server.
        store: The destination.
        settled: What the run works with.
        stays: Whether folders that are there keep their names.
        emit: Gets what is found out.
    """
    selection, spec, options = settled.selection, settled.spec, settled.options
    wanted = TargetSelection(
        target=spec.target,
        selection=selection,
        stage=options.stage,
        state=options.state,
        type=options.type,
        ids=options.target_ids,
        also=settled.also,
    )
    # Mostly nothing changed since the last run, and that needs no explanation.
    with lists_may_be_empty(expected=settled.is_recent):
        listing, heads, states = await _read_both(client, store, wanted, settled)
    if spec.is_json:
        listing = await with_jobs(client, listing, selection)
    description = describe_mirror(store, settled)
    emit(DestinationSettled(description))
    emit(ListingRead(len(listing.tasks), listing.complete))
    seen = await _unlisted(client, listing, heads, settled)
    context = await folder_context(client, listing, settled, stays=stays)
    folders = await in_thread(folders_of, listing, heads, spec.target, options, context)
    new_folders = [
        folder
        for task_id, folder in folders.items()
        if task_id not in heads or heads[task_id].folder != folder
    ]
    held = {
        folder: heads[task_id].folder for task_id, folder in folders.items() if task_id in heads
    }
    plan_ = await in_thread(
        plan_mirror,
        listing,
        heads,
        spec,
        options,
        states=states,
        unclaimed=await store.unclaimed(new_folders, held),
        presence=seen.presence,
        absent=seen.absent,
        folders=folders,
        moved_by=_reason_to_move(options, store.remembered),
        renamed=await renamed_on_server(client, listing, heads, settled, folders),
    )
    if plan_.of(Fetch):
        await internals(client).check_version()
        if not spec.is_json:
            await internals(client).check_format(spec.format)
    if not spec.is_json and needs_formats(plan_):
        plan_ = await in_thread(
            without_other_dimensions,
            plan_,
            spec,
            await client.formats(),
            named=selection.task_ids is not None or options.target_ids is not None,
        )
    said = (
        absence_notice(plan_.absent, spec.target),
        left_notice(spec.target, seen.left),
        flattening(plan_, spec),
        encoded_videos(plan_, spec),
    )
    warnings = tuple([text for text in said if text is not None])
    plan_ = replace(plan_, description=description, warnings=warnings)
    counts = plan_.counts
    emit(
        Planned(
            **{kind: counts.get(kind, 0) for kind in ("fetch", "keep", "skip", "move", "remove")},
            refuse=counts.get("refuse", 0),
        )
    )
    return plan_


async def _read_both(
    client: CvatClient, store: MirrorStore, wanted: TargetSelection, settled: Settled
) -> tuple[TaskListing, Mapping[int, ReceiptHead], Mapping[int, FolderState]]:
    """Read the server's list and the destination's receipts and folders at the same time."""
    options = settled.options
    listing_call = asyncio.ensure_future(list_targets(client, wanted))
    try:
        heads = looked_at = await store.receipts(_only_receipts(settled))
        # The listing will show which folders have to be checked. Until then all folders of this
        # spec are checked, so that the disk works while the server does.
        states: Mapping[int, FolderState] = {}
        if settled.is_recent and not options.prune:
            listed = {task.id for task in (await listing_call).tasks}
            looked_at = {one: head for one, head in heads.items() if one in listed}
        if not options.trust_receipts:
            candidates = await in_thread(
                _folders_to_check, looked_at, settled.selection, settled.spec, options
            )
            states = await store.folder_states(candidates)
        return await listing_call, heads, states
    finally:
        listing_call.cancel()
        cancelled = await wait_for_end(listing_call)
        if not listing_call.cancelled():
            # Retrieve its error, or asyncio logs it if the destination could not be read either.
            listing_call.exception()
        if cancelled is not None:
            raise cancelled


@dataclass(frozen=True, slots=True)
class _Unlisted:
    """What is known of mirrored targets that are not listed.

    Attributes:
        presence: Where each is; None if nothing is removed.
        absent: Those that no list has.
        left: Those that have left the selection.
    """

    presence: dict[int, Presence] | None
    absent: Sequence[int] = ()
    left: Sequence[int] = ()


async def _unlisted(
    client: CvatClient,
    listing: TaskListing,
    heads: Mapping[int, ReceiptHead],
    settled: Settled,
) -> _Unlisted:
    """Ask for the mirrored targets that are not listed, as far as the run needs that."""
    selection, options, target = settled.selection, settled.options, settled.spec.target
    presence: dict[int, Presence] | None = {} if options.prune else None
    if not listing.complete or options.target_ids is not None or selection.limit is not None:
        return _Unlisted(presence)
    if settled.is_recent and not options.prune:
        return _Unlisted(None)  # nearly all are unlisted, and to ask for them would cost most
    gone = await in_thread(gone_candidates, listing, heads)
    not_listed = [head.task_id for head in gone]
    found = (head.task_of_job for head in gone)
    tasks_of_jobs = {task_id for task_id in found if task_id is not None}
    absent: list[int] = []
    left: list[int] = []
    if options.prune:
        presence = await presence_of(
            client,
            not_listed,
            selection,
            folders=len(heads),
            options=options,
            target=target,
            tasks_of_jobs=tasks_of_jobs,
        )
    elif selection.task_ids is None:
        absent = await absent_from_lists(client, not_listed, selection, target, tasks_of_jobs)
    if selection.task_ids is None and selection.updated_since is None:
        # Those that this run alone leaves out have not left.
        known = presence or dict.fromkeys(absent, Presence.ABSENT)
        left = [one for one in not_listed if known.get(one) in (None, Presence.ELSEWHERE)]
    return _Unlisted(presence, absent, left)


def _only_receipts(settled: Settled) -> Collection[int] | None:
    """Return the targets whose receipts a run needs, None for all.

    A run of named targets says nothing of the others, except with `--prune`. With a layout, the
    others say which names are taken.
    """
    options = settled.options
    if options.layout is not None:
        return None
    ids = (
        settled.selection.task_ids if settled.spec.target is TargetKind.TASK else options.target_ids
    )
    return None if ids is None or options.prune else {*ids, *settled.also}


def _folders_to_check(
    heads: Mapping[int, ReceiptHead],
    selection: Selection,
    spec: ExportSpec,
    options: MirrorOptions,
) -> list[ReceiptHead]:
    """Return the receipts of the folders whose files may decide what is to be done."""
    if options.force:
        return []
    ids = selection.task_ids if spec.target is TargetKind.TASK else options.target_ids
    wanted = heads.keys() if ids is None else set(ids)
    return [head for head in heads.values() if head.may_be_made_as(spec) and head.task_id in wanted]


def _reason_to_move(options: MirrorOptions, remembered: Remembered | None) -> Reason:
    """Return why this run gives a folder another name."""
    if options.layout is None:
        return Reason.PREFIX
    known = None if remembered is None else remembered.layout
    return Reason.RENAMED if known == options.layout else Reason.LAYOUT
