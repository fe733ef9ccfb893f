"""Delete one target: read it again, note the call, make it, and find out what came of it.

`core.plans.delete` decides whether it may go. A lost answer is looked up: what is gone after our
call was deleted by it.
"""

from __future__ import annotations

from asynccvat.client import CvatClient, internals
from asynccvat.commands.delete.log import DeletionLog
from asynccvat.commands.delete.reading import RequiredBackups, is_gone, read_again
from asynccvat.core.options.delete import DeleteOptions
from asynccvat.core.outcomes import Action, FailedOutcome, TaskOutcome
from asynccvat.core.plans.delete import DeleteReason, DeleteStep, may_still_go
from asynccvat.errors import (
    AsyncCvatError,
    ConnectError,
    ProtocolError,
    RateLimitError,
    ResponseError,
    ServerError,
    TransportError,
)
from asynccvat.http import HeldBackError
from asynccvat.transfer.report import ReportBuilder

GONE = "it was gone already"


class TargetDeleter:
    """Deletes the targets of one run, one after the other."""

    def __init__(
        self,
        client: CvatClient,
        options: DeleteOptions,
        log: DeletionLog,
        backups: RequiredBackups | None,
        report: ReportBuilder,
    ) -> None:
        """Delete with a client.

        Args:
            client: The server.
            options: The guards and limits.
            log: Notes each call before it is made.
            backups: What each target has to be in, None for nothing.
            report: Gets the outcomes.
        """
        self._client = client
        self._options = options
        self._log = log
        self._backups = backups
        self._report = report

    async def delete(self, step: DeleteStep) -> AsyncCvatError | None:
        """Delete what a step saw, if it is still that.

        Returns:
            The error of the target, None if it has none. It is in the report already.

        Raises:
            StoreError: The log cannot be written, or a backup not be read.
        """
        attempt = _Attempt()
        try:
            await self._until_known(step, attempt)
        except (ResponseError, TransportError, ProtocolError) as error:
            try:
                if attempt.noted:
                    what = "unknown" if attempt.may_have_arrived else "refused"
                    await self._log.note(what, step, error=str(error))
            finally:
                self._report.done(self._failed(step, error))
            return error
        return None

    async def _until_known(self, step: DeleteStep, attempt: _Attempt) -> None:
        calls = internals(self._client).deletions
        while True:
            now = await read_again(self._client, step.id, self._options, self._backups)
            if now is None:
                return await self._absent(step, deleted=attempt.may_have_arrived)
            why = may_still_go(step, now, lose_issues=self._options.lose_issues)
            if why is not None:
                return await self._pass_over(step, *why)
            await self._log.note("delete", step, updated_date=now.state.updated_date)
            attempt.noted = True
            try:
                was_there = await calls.delete(self._options.target, step.id)
            except HeldBackError:
                continue  # the target may have changed meanwhile
            except (TransportError, ServerError, RateLimitError) as error:
                attempt.note_failure(error)
                # Nothing is sent again before the target was looked for.
                if attempt.may_have_arrived and await is_gone(
                    self._client, self._options.target, step.id
                ):
                    return await self._absent(step, deleted=True)
                if attempt.number >= self._options.retries:
                    raise
                await calls.retry_or_raise(error, attempt.number)
                attempt.number += 1
            else:
                deleted = was_there or attempt.may_have_arrived
                return await self._absent(step, deleted=deleted)

    async def _absent(self, step: DeleteStep, *, deleted: bool) -> None:
        """Note that a target is not there any more. The report has it, even if the log fails."""
        try:
            await self._log.note("deleted" if deleted else "gone", step)
        finally:
            self._report.done(
                self._deleted(step)
                if deleted
                else left(step, DeleteReason.GONE, GONE, self._options)
            )

    async def _pass_over(self, step: DeleteStep, reason: DeleteReason, detail: str) -> None:
        try:
            await self._log.note("passed over", step, reason=str(reason), detail=detail)
        finally:
            self._report.done(left(step, reason, detail, self._options))

    def _deleted(self, step: DeleteStep) -> TaskOutcome:
        return TaskOutcome(
            task_id=step.id,
            target=self._options.target,
            name=step.name,
            action=Action.DELETED,
            reason=DeleteReason.SELECTED,
        )

    def _failed(self, step: DeleteStep, error: AsyncCvatError) -> TaskOutcome:
        return FailedOutcome(
            task_id=step.id,
            target=self._options.target,
            name=step.name,
            action=Action.FAILED,
            reason=step.reason,
            error=error,
        )


class _Attempt:
    """What is known of the calls for one target.

    Attributes:
        number: How many were retried.
        noted: Whether the log says that one is about to be made.
        may_have_arrived: Whether one may have reached the server without a clear answer.
    """

    def __init__(self) -> None:
        self.number = 0
        self.noted = False
        self.may_have_arrived = False

    def note_failure(self, error: AsyncCvatError) -> None:
        """Note how a call failed."""
        not_sent = isinstance(error, ConnectError | RateLimitError)
        if error.unanswered or not not_sent:
            self.may_have_arrived = True


def left(
    step: DeleteStep, reason: DeleteReason, detail: str, options: DeleteOptions
) -> TaskOutcome:
    """Return the outcome of a target that is not deleted, or is gone already."""
    passed_over = reason.is_refusal
    return TaskOutcome(
        task_id=step.id,
        target=options.target,
        name=step.name,
        action=Action.PASSED_OVER if passed_over else Action.SKIPPED,
        reason=reason,
        warnings=(f"{detail}." if reason is DeleteReason.GONE else f"not deleted: {detail}.",),
    )
