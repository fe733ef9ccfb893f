"""All errors that asynccvat raises.

Each message says what failed, why, and what to do. `retryable` says whether the same call may
succeed later. `core.wire.retry` decides whether and when to retry it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


class AsyncCvatError(Exception):
    """Base of all errors raised by asynccvat.

    Attributes:
        task_id: The task that it concerns, or the target of another kind; None if there is none.
        target: What `task_id` is the id of: `task`, `project` or `job`.
        rq_id: The server's request that it concerns, None if there is none.
        step: The step that failed: `"list"`, `"export"`, `"wait"`, `"download"`, `"commit"`, ...
        retryable: Whether the same call may succeed if it is retried.
        retry_after: Seconds that the server asked all callers to wait, None if it did not.
        unanswered: How often the call may have reached the server without an answer. A call may be
            sent twice, on a connection that had broken and on a new one.
    """

    retryable: bool = False
    target: str = "task"
    unanswered: int = 0

    def __init__(
        self,
        message: str,
        *,
        task_id: int | None = None,
        rq_id: str | None = None,
        step: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.task_id = task_id
        self.rq_id = rq_id
        self.step = step
        self.retry_after = retry_after
        if retryable is not None:
            self.retryable = retryable

    def __str__(self) -> str:
        return self.message

    def concern(self, target: str) -> None:
        """Say that the error is about a project or a job.

        The rooms below a run know ids alone, and call each of them a task.

        Args:
            target: `task`, `project` or `job`.
        """
        self.target = target
        if target != "task" and self.task_id is not None:
            named = re.compile(rf"\btask {self.task_id}\b")
            self.message = named.sub(f"{target} {self.task_id}", self.message)


class ConfigError(AsyncCvatError):
    """An option, a setting or a combination of them cannot be used."""


class NoServerError(ConfigError):
    """No option, variable, file or saved login names a server."""


class ChangeRefusedError(ConfigError):
    """A run was given another value than its destination remembers, and no `--change`."""


class TimeLimitError(AsyncCvatError):
    """A run took as long as it may. What was done by then is kept."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a run file cannot be run.

    Attributes:
        place: File, line and column, or where else the value came from.
        message: What is wrong, and what to do.
        error: The error of a server or the network, None if none was asked.
    """

    place: str
    message: str
    error: AsyncCvatError | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class RunFileError(ConfigError):
    """A run file cannot be run. None of its steps was begun.

    Attributes:
        problems: All problems of the file. If it has none, those that its servers reported.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class EarlierStepError(AsyncCvatError):
    """A step of a run file that deletes was not run, because an earlier step did not succeed."""


class TransportError(AsyncCvatError):
    """The connection to the server failed before the answer was complete."""

    retryable = True


class ConnectError(TransportError):
    """No connection could be made: refused, unknown host, TLS failure, connect timeout."""


class ReadError(TransportError):
    """The connection broke while an answer was being read."""


class StallError(TransportError):
    """The server sent nothing, or almost nothing, for longer than the stall timeout."""


class QueueStuckError(AsyncCvatError):
    """Nothing has left the server's queue for too long."""


class OutageError(TransportError):
    """The server stopped answering every call, and did not come back in time."""

    retryable = False


class ResponseError(AsyncCvatError):
    """The server answered with a status that refuses the call.

    Attributes:
        status: The HTTP status.
        detail: The server's own message on one line, "" if it sent none.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        detail: str = "",
        task_id: int | None = None,
        rq_id: str | None = None,
        step: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(
            message,
            task_id=task_id,
            rq_id=rq_id,
            step=step,
            retryable=retryable,
            retry_after=retry_after,
        )
        self.status = status
        self.detail = detail


class AuthenticationError(ResponseError):
    """Status 401, or a login with a wrong user or password: the credentials are refused."""


class PermissionDeniedError(ResponseError):
    """Status 403: the user may not do this."""


class NotFoundError(ResponseError):
    """Status 404: there is no object of that id or name, or the user may not see it."""


class GatewayError(ResponseError):
    """Something before CVAT refused the call, so that it did not reach CVAT.

    A login page, a check for a browser, or a gateway that wants credentials or a certificate.
    """


class RateLimitError(ResponseError):
    """Status 429: the server asks for a pause."""

    retryable = True


class ServerError(ResponseError):
    """Status 5xx: the server, or a proxy in front of it, failed."""

    retryable = True


class ProtocolError(AsyncCvatError):
    """The server sent something unreadable instead of the expected JSON, header or body."""


class InternalError(AsyncCvatError):
    """A bug of asynccvat that concerns one target. Its `__cause__` is the exception."""

    @classmethod
    def of(
        cls, error: Exception, *, task_id: int, step: str, target: str = "task"
    ) -> InternalError:
        """Return the error for an exception that no code expects."""
        found = cls(
            f"cannot go on with {target} {task_id}: asynccvat has a bug "
            f"({type(error).__name__}: {error}). Run again with -v, and report what it shows.",
            task_id=task_id,
            step=step,
        )
        found.__cause__ = error
        return found


class ExportError(AsyncCvatError):
    """An export gave no archive."""


class ExportFailedError(ExportError):
    """The server tried and failed. The message holds the server's own."""


class ExportTimeoutError(ExportError):
    """The export ran longer than the export timeout."""


class ExportNotReadyError(ExportError):
    """The result was requested before the export ended. Another export may have replaced it."""

    retryable = True


class ExportExpiredError(ExportError):
    """The result vanished or expired before it was read, and all retries were used."""


class UploadError(AsyncCvatError):
    """A file could not be uploaded: annotations, a backup, images or a dataset."""


class UploadTooLargeError(UploadError):
    """The server takes no file so large. Nothing of it was sent.

    Attributes:
        size: Bytes of the file.
        most: Bytes of the largest file that the server takes, None if it does not say.
    """

    size: int = 0
    most: int | None = None


class UploadForgottenError(UploadError):
    """The server does not have a file that was sent to it. Nothing was done with it."""


class RequestUncertainError(UploadError):
    """The server may have done what it was asked for or not, as its answer was lost.

    Look at the server before you run again.
    """


class MediaFileError(UploadError):
    """Images, a video or a zip cannot be what CVAT needs. Nothing of it was sent."""


class CreationFailedError(UploadError):
    """The server could not make a task of what was sent, or made another one than expected."""


class AnnotationFileError(UploadError):
    """A file is missing, or is not what its format needs. Nothing was imported."""


class ForeignAnnotationsError(UploadError):
    """Annotations of one task do not fit another: it lacks a label, an attribute or a frame."""


class TaskChangedError(UploadError):
    """The task changed since it was mirrored, and the upload was only for that state."""


class AnnotationLossError(UploadError):
    """The import would lose annotations that the task has, or has lost all of them.

    Attributes:
        before: How many annotations the task had, None if that is not known.
        in_file: How many the file holds, None if they cannot be counted exactly.
        after: How many the task has after the import, None if it was refused.
    """

    before: int | None = None
    in_file: int | None = None
    after: int | None = None


class ImportFailedError(UploadError):
    """The server tried and failed. The message holds the server's own."""


class ImportUncertainError(UploadError):
    """The import may have happened or not. Look at the task before you upload again.

    A second upload could replace what another user did since the first.
    """


class RestoreError(AsyncCvatError):
    """A backup could not be restored, or a dataset not be imported."""


class BackupFileError(RestoreError):
    """A file is missing, or is no backup that can be restored. Nothing was sent."""


class RestoreFailedError(RestoreError):
    """The server tried and failed. The message holds the server's own."""


class RestoreIncompleteError(RestoreError):
    """What the server made differs from the backup. It stays there."""


class CopyError(AsyncCvatError):
    """A task could not be copied to the other side."""


class CopyChangedError(CopyError):
    """A copy was changed at the target since it was made, and is not replaced or removed."""


class CopyDiffersError(CopyError):
    """A copy stands at the target, and differs from the task at the source.

    Attributes:
        compared: Both sides, None if they are not known.
    """

    compared: object = None


class InexactConversionError(AsyncCvatError):
    """A task's JSON cannot be converted to exactly what the server would export.

    Attributes:
        reason: Why, without the advice to export the task instead.
    """

    def __init__(self, message: str, *, reason: str, task_id: int | None = None) -> None:
        super().__init__(message, task_id=task_id, step="convert")
        self.reason = reason


class ArchiveError(AsyncCvatError):
    """An archive is damaged, unsafe or beyond the limits.

    Attributes:
        member: The name of the member that it concerns, None if there is none.
    """

    def __init__(
        self,
        message: str,
        *,
        member: str | None = None,
        task_id: int | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message, task_id=task_id, step="extract", retryable=retryable)
        self.member = member


class TruncatedArchiveError(ArchiveError):
    """The archive is cut short."""

    retryable = True


class IntegrityError(ArchiveError):
    """Checksums, sizes or records contradict each other."""

    retryable = True


class UnsafePathError(ArchiveError):
    """A member's name leads outside the folder, or cannot be a file name on this system."""


class UnsupportedArchiveError(ArchiveError):
    """The archive has encryption, an unknown compression or links. CVAT's exports have none."""


class ArchiveLimitError(ArchiveError):
    """The archive is larger, nested deeper or compressed more than the limits allow."""


class StoreError(AsyncCvatError):
    """The destination on disk cannot be used."""


class StoreLockedError(StoreError):
    """Another process or run is writing to this destination."""


class ForeignFolderError(StoreError):
    """A folder has the task's name, but is in no receipt, so asynccvat did not make it."""


class ObjectExistsError(AsyncCvatError):
    """An object of that key lies in the cloud storage, and is not to be replaced."""


class DiskFullError(StoreError):
    """The file system or the quota has no room left. A retry would not help."""


class DriveError(StoreError):
    """The destination can store nothing any more, so the run ends.

    The drive failed, is gone or is mounted read-only. Or the system refused one task after another
    for any reason.
    """


OF_ALL_TASKS = (DiskFullError, DriveError)
"""What ends the work on all tasks. Any other error of the disk may concern one task alone."""


def __dir__() -> list[str]:
    """List the public names alone."""
    own = {
        name for name, value in globals().items() if getattr(value, "__module__", "") == __name__
    }
    return sorted(name for name in own if not name.startswith("_"))
