"""Import one dataset into a project: send it, have the server use it once, wait, and look.

A second import makes all tasks again. So the file is always sent by TUS: the import consumes it,
and a call that is repeated finds no file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from asynccvat.client import CvatClient, internals
from asynccvat.client.poller import Poller
from asynccvat.client.restores import dataset_place
from asynccvat.client.tus import BegunUpload, SentFile
from asynccvat.client.upload_file import LocalFile
from asynccvat.commands.restore.records import RestoreJournal
from asynccvat.core.annotations.import_failures import import_failure
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.plans.import_dataset import (
    DatasetReason,
    ImportDataset,
    import_since,
    last_import,
    made_after,
)
from asynccvat.core.records.restores import Accepted, Done, Failed, Requesting, Sending
from asynccvat.core.requests import RequestAccepted, RequestStatus, ServerRequest
from asynccvat.core.selections.selection import Selection
from asynccvat.core.targets import TargetKind
from asynccvat.errors import (
    ExportExpiredError,
    ExportTimeoutError,
    RequestUncertainError,
    RestoreError,
    RestoreFailedError,
    UploadForgottenError,
)
from asynccvat.events import (
    Event,
    ImportFinished,
    ImportRequested,
    TaskStarted,
    UploadProgress,
    UploadStarted,
)


@dataclass(frozen=True, slots=True)
class DatasetOrder:
    """A dataset to import.

    Attributes:
        step: The plan's step.
        file: The file.
        key: What the journal calls it.
        journal: The journal of the file's folder.
    """

    step: ImportDataset
    file: LocalFile
    key: str
    journal: RestoreJournal


class DatasetImporter:
    """Import datasets into one project, one after the other."""

    def __init__(
        self,
        client: CvatClient,
        poller: Poller,
        project_id: int,
        importer: str,
        *,
        retries: int,
        again: bool,
        emit: Callable[[Event], None],
    ) -> None:
        """Prepare imports.

        Args:
            client: The server.
            poller: The poller of the imports, which has to run.
            project_id: The project.
            importer: The importer's exact name.
            retries: How often an import is requested again if another one was in its way.
            again: Whether a dataset is imported again if it may have been imported before.
            emit: Receives the events.
        """
        self._client = client
        self._again = again
        self._calls = internals(client).restores
        self._poller = poller
        self._project_id = project_id
        self._place = dataset_place(project_id, importer)
        self._retries = retries
        self._emit = emit

    async def bring_in(self, order: DatasetOrder) -> TaskOutcome:
        """Import one dataset, or go on with it.

        Raises:
            RestoreFailedError: The server tried and failed, or made nothing.
            RequestUncertainError: It may have happened or not.
            AsyncCvatError: It failed. The next run goes on from there.
        """
        clock = asyncio.get_running_loop().time
        began, journal, key = clock(), order.journal, order.key
        sent = [0]
        self._emit(TaskStarted(self._project_id, order.file.filename))
        if order.step.reason is DatasetReason.AGAIN:
            await journal.note(Failed(key=key, why="again"))
        try:
            made = await self._imported(order, sent)
        except RequestUncertainError:
            if not self._again or order.step.reason is not DatasetReason.INTERRUPTED:
                raise
            await journal.note(Failed(key=key, why="again"))
            made = await self._imported(order, sent)
        await journal.note(
            Done(
                key=key,
                kind=TargetKind.PROJECT,
                project_id=self._project_id,
                at=datetime.now(UTC).isoformat(timespec="seconds"),
            )
        )
        return TaskOutcome(
            task_id=self._project_id,
            target=TargetKind.PROJECT,
            name=order.step.path.name,
            action=Action.IMPORTED,
            reason=order.step.reason,
            location=str(order.step.path),
            files=1,
            bytes=order.file.size,
            transferred=sent[0],
            seconds=clock() - began,
            new_id=made[0] if len(made) == 1 else None,
            made=made,
        )

    async def _imported(self, order: DatasetOrder, sent: list[int]) -> tuple[int, ...]:
        """Import a dataset, or go on with it. Returns the tasks that it made."""
        if order.journal.of(order.key).rq_id is None:
            try:
                await self._request(order, await self._send(order, sent))
            except UploadForgottenError as error:
                await order.journal.note(Failed(key=order.key, why=str(error)))
                await self._request(order, await self._send(order, sent))
        return await self._result(order)

    async def _send(self, order: DatasetOrder, sent: list[int]) -> SentFile:
        state, file = order.journal.of(order.key), order.file
        begun = None
        if state.sending is not None:
            known = state.sending
            if (known.size, known.mtime_ns) == (file.size, file.mtime_ns):
                begun = BegunUpload(known.file_id, known.address)
        if begun is not None and state.requesting is not None:
            # All of it was sent before that call.
            return SentFile(begun.file_id, certain=False)

        async def note(created: BegunUpload) -> None:
            await order.journal.note(
                Sending(
                    key=order.key,
                    size=file.size,
                    mtime_ns=file.mtime_ns,
                    file_id=created.file_id,
                    address=created.address,
                    to=self._project_id,
                )
            )

        def count(length: int) -> None:
            sent[0] += length
            self._emit(UploadProgress(self._project_id, length))

        self._emit(UploadStarted(self._project_id, file.size))
        return await self._calls.send(file, self._place, begun, on_sent=count, on_begun=note)

    # --- the call that counts -------------------------------------------------------------------

    async def _request(self, order: DatasetOrder, file: SentFile) -> None:
        """Have the server use the file, and note its request."""
        lost_before = None
        known = order.journal.of(order.key).requesting
        if known is not None:
            if known.since is None:
                raise _uncertain(order, "the server sent no date, or a proxy dropped it")
            lost_before = known.since
            found = await self._find(known, known.since)
            if found is not None:
                await order.journal.note(Accepted(key=order.key, rq_id=found.id))
                return
            if await self._made(known):
                raise _uncertain(order, "the project has new tasks, but their request is forgotten")
        for attempt in range(self._retries + 1):
            call = order.journal.of(order.key).requesting
            if call is None or attempt:
                # What another program imported meanwhile is not of our call.
                call = await self._announced(order)
            accepted = await self._request_once(order, file, call, lost_before)
            if accepted is not None:
                await order.journal.note(Accepted(key=order.key, rq_id=accepted.rq_id))
                self._emit(ImportRequested(self._project_id, accepted.rq_id))
                return
            if attempt < self._retries:
                await self._calls.back_off(attempt)
        raise RestoreError(
            f"cannot import {str(order.step.path)!r} into project {self._project_id}: another "
            "import of the project runs. Run the same command again when that has ended.",
            step="upload",
        )

    async def _announced(self, order: DatasetOrder) -> Requesting:
        """Note that the call is about to be made, and what the server has before it."""
        tasks = (await self._client.tasks(self._of_project)).tasks
        last = last_import(await self._calls.imports(), self._project_id)
        call = Requesting(
            key=order.key,
            kind=TargetKind.PROJECT,
            name=order.file.filename,
            since=self._client.server_date,
            after=last,
            newest=max((task.id for task in tasks), default=0),
        )
        await order.journal.note(call)
        return call

    async def _request_once(
        self,
        order: DatasetOrder,
        file: SentFile,
        call: Requesting,
        lost_before: datetime | None,
    ) -> RequestAccepted | None:
        """Have the server use the file. Returns None if another import was in its way."""
        lost = lost_before is not None

        async def find_lost(since: datetime | None) -> RequestAccepted | None:
            nonlocal lost
            lost = True
            if since is None:
                raise _uncertain(order, "the server sent no date, or a proxy dropped it")
            found = await self._find(call, since)
            return None if found is None else RequestAccepted(found.id, created=True)

        accepted = await self._calls.finish(
            self._place, file.file_id, find_lost=find_lost, lost_before=lost_before
        )
        if accepted.created or lost:
            return accepted
        await self._wait(order, accepted.rq_id)  # for the import of another program
        return None

    async def _find(self, call: Requesting, since: datetime) -> ServerRequest | None:
        return import_since(await self._calls.imports(), self._project_id, since, call.after)

    async def _made(self, call: Requesting) -> tuple[int, ...]:
        return made_after((await self._client.tasks(self._of_project)).tasks, call.newest)

    @property
    def _of_project(self) -> Selection:
        return Selection(project_ids=[self._project_id])

    # --- its result -----------------------------------------------------------------------------

    async def _result(self, order: DatasetOrder) -> tuple[int, ...]:
        """Wait for the end of the import. Returns the tasks that it made."""
        state = order.journal.of(order.key)
        assert state.rq_id is not None, "the server accepted it"
        assert state.requesting is not None, "it was noted before"
        request = await self._wait(order, state.rq_id)
        if request is None:
            made = await self._made(state.requesting)
            if not made:
                raise _uncertain(order, "the server has forgotten its request")
            return made
        if request.state is RequestStatus.FAILED:
            await order.journal.note(Failed(key=order.key, why=request.cause))
            cause, remedy = import_failure(request.message)
            raise RestoreFailedError(
                f"the server could not import {str(order.step.path)!r} into project "
                f"{self._project_id}: {cause.rstrip('.')}."
                + (f" {remedy}" if remedy else " Look at the file, and at the server's log."),
                rq_id=request.id,
                step="import",
            )
        self._emit(
            ImportFinished(self._project_id, request.worker_seconds, ended_at=request.finished_date)
        )
        made = await self._made(state.requesting)
        if not made:
            await order.journal.note(Failed(key=order.key, why="no task"))
            raise RestoreFailedError(
                f"the import of {str(order.step.path)!r} made no task in project "
                f"{self._project_id}, though the server reports no failure. Check that the file "
                "holds images in the format's folders.",
                rq_id=request.id,
                step="import",
            )
        return made

    async def _wait(self, order: DatasetOrder, rq_id: str) -> ServerRequest | None:
        """Wait for a request. Returns None if the server has forgotten it."""
        clock = asyncio.get_running_loop().time
        watched = self._poller.watch(rq_id, self._project_id, asked_at=clock(), created=True)
        try:
            return await self._poller.wait(watched)
        except ExportExpiredError:
            return None
        except ExportTimeoutError as error:
            raise RestoreError(
                f"the import of {str(order.step.path)!r} takes too long: the server still runs it. "
                "Run the same command again later, or allow more time with --import-timeout.",
                rq_id=rq_id,
                step="wait",
            ) from error


def _uncertain(order: DatasetOrder, why: str) -> RequestUncertainError:
    return RequestUncertainError(
        f"the import of {str(order.step.path)!r} into project {order.step.project_id} may have "
        f"happened or not: the answer of the server was lost, and {why}. Look at the project's "
        "tasks. If they are missing, import the file with --again.",
        step="upload",
    )
