"""Verify a mirror or backups: read every file again, and compare it with its receipt.

`mirrors` and `backups` do the work; `core.plans.verify` has the report.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from asynccvat.aio.callbacks import Callback
from asynccvat.aio.threads import entered_in_thread
from asynccvat.commands.verify.backups import (
    looking_at_backups,
    verify_backups,
)
from asynccvat.commands.verify.comparison import Comparison
from asynccvat.commands.verify.findings import Findings
from asynccvat.commands.verify.inspection import inspecting
from asynccvat.commands.verify.mirrors import MirrorVerification
from asynccvat.commands.verify.request import VerifyRequest
from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.numbers import check_whole
from asynccvat.core.plans.verify import (
    VerifyReport,
)
from asynccvat.core.selections.selection import Selection
from asynccvat.errors import ConfigError
from asynccvat.events import (
    Event,
)

if TYPE_CHECKING:
    from asynccvat.client import CvatClient

DEFAULT_THREADS = 4


async def verify(
    dest: str | PathLike[str],
    task_ids: Sequence[int] | None = None,
    *,
    folders: Sequence[str] = (),
    restart: bool = False,
    threads: int = DEFAULT_THREADS,
    client: CvatClient | None = None,
    against_server: bool = False,
    selection: Selection | None = None,
    default_project_id: int | None = None,
    repair: bool = False,
    limits: ArchiveLimits | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> VerifyReport:
    """Read every file of a mirror, and compare its size and CRC-32 with the task's receipt.

    In a destination of backups, it reads every member of every zip instead. Such a verification
    begins anew each time, and needs no client.

    It reads the files of the tasks' folders, but no kept archives. It changes nothing except a
    journal in `.asynccvat/`, by which an interrupted verification resumes: tasks that were found
    right are not read again within a week. A mirror may be running at the same time. Tasks that it
    changes are compared again, so they cause no false alarm.

    Args:
        dest: The mirror.
        task_ids: Only these tasks; None for all tasks of the mirror. In a mirror of jobs, only the
            jobs of these tasks.
        folders: Only tasks whose folder names match one of these patterns, like `task1*`. A
            damaged receipt is reported if its task's folder may match.
        restart: Read everything; do not resume an interrupted verification.
        threads: Number of files that are read at once.
        client: The server, for a comparison or a repair.
        against_server: Compare receipts with the server's list of tasks, too: which tasks have
            changed there, are gone, or are not mirrored. Nothing is exported for it.
        selection: The tasks that should be mirrored, if all are compared with the server; None for
            those that the mirror remembers, or else all that the user may see.
        default_project_id: The project to compare with, where neither the selection nor the mirror
            says which tasks.
        repair: Fetch damaged tasks again, by an ordinary mirror of just these. Whole files are
            reused, and edited ones go to `kept/`.
        limits: Bounds on the archives of a repair. None for the default ones.
        on_event: Called with each event, in the event loop's thread.

    Returns:
        The report. Problems of files are never raised. After a repair, the report reflects the
        state after it.

    Raises:
        ConfigError: There is no mirror, it is that of another server, a newer asynccvat wrote it,
            or the arguments contradict each other.
        StoreLockedError: Another process writes to the mirror, and something is to be repaired.
        StoreError: The destination cannot be read.
        AsyncCvatError: The server cannot be reached, or refuses the user or the listing.
        TypeError: An argument has the wrong type.
    """
    wanted = Selection(task_ids=task_ids)  # which checks the ids
    if client is None and (repair or against_server):
        raise ConfigError("a repair or a comparison with the server needs a client. Pass `client`.")
    if selection is not None:
        Selection.of(selection)  # which checks its type
    if selection is not None and (selection.task_ids is not None or not against_server):
        raise ConfigError(
            "`selection` is for `against_server`. Name single tasks by `task_ids` instead."
        )
    if selection is not None and selection.limit is not None:
        raise ConfigError("a comparison with the server needs the whole list. Remove --limit.")
    check_whole("threads", threads)
    if threads < 1:
        raise ConfigError(f"threads must be at least 1, not {threads}")
    return await _verified(
        VerifyRequest(
            dest=Path(dest),
            threads=threads,
            task_ids=None if wanted.task_ids is None else frozenset(wanted.task_ids),
            folders=tuple(folders),
            restart=restart,
            client=client,
            against_server=against_server,
            selection=selection,
            default_project_id=default_project_id,
            repair=repair,
            limits=limits or ArchiveLimits(),
        ),
        Callback(on_event),
    )


async def _verified(wanted: VerifyRequest, emit: Callback[Event]) -> VerifyReport:
    """Verify, and return the report. The last event has it also after an error."""
    clock = asyncio.get_running_loop().time
    began = clock()
    findings, interrupted = Findings(emit), True
    try:
        async with entered_in_thread(looking_at_backups(wanted.dest)) as layout:
            if layout is not None:
                await verify_backups(layout, wanted, findings)
        if layout is None:
            async with entered_in_thread(inspecting(wanted.dest)) as look:
                comparison = Comparison(look, wanted.threads, findings.count)
                await MirrorVerification(comparison, wanted, findings).run()
        interrupted = findings.report.stopped_by is not None
    finally:
        findings.close(seconds=clock() - began, interrupted=interrupted)
    return findings.report
