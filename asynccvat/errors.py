"""Every error that a caller of asynccvat can meet.

Each one says what happened, to which task or file, and what to do. `retryable` tells
whether the same call may succeed later; deciding when is left to `core.retry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class AsyncCvatError(Exception):
    """Base of all errors raised by asynccvat.

    Attributes:
        task_id: The task that it happened to, when there is one.
        rq_id: The server's request that it happened to, when there is one.
        step: What was being done: `"list"`, `"export"`, `"wait"`, `"download"`, `"commit"`, ...
        retryable: Whether the same call may succeed when it is tried again.
        retry_after: Seconds that the server asked everyone to wait, when it did.
    """

    retryable: bool = False

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


class ConfigError(AsyncCvatError):
    """An option, a setting or a combination of them cannot be used."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a run file cannot be run: one of perhaps many.

    Attributes:
        place: File, line and column, or wherever else it was said.
        message: What is wrong, and what to do.
        error: What the server or the network answered, None where nobody was asked.
    """

    place: str
    message: str
    error: AsyncCvatError | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class RunFileError(ConfigError):
    """A run file cannot be run: nothing of it was begun.

    Attributes:
        problems: All that was found: of the file, or else of the servers that it names.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class TransportError(AsyncCvatError):
    """The connection to the server failed before an answer was complete."""

    retryable = True


class ConnectError(TransportError):
    """No connection could be made: refused, unknown host, TLS failure, connect timeout."""


class ReadError(TransportError):
    """The connection broke while an answer was being read."""


class StallError(TransportError):
    """The server sent nothing, or next to nothing, for longer than the stall timeout."""


class ResponseError(AsyncCvatError):
    """The server answered with a status that refuses the call.

    Attributes:
        status: The HTTP status.
        detail: What the server said, on one line; "" where it said nothing.
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
    """401, or a login with a wrong user or password: the credentials are not accepted."""


class PermissionDeniedError(ResponseError):
    """403: the user may not do this."""


class NotFoundError(ResponseError):
    """404: there is nothing of that id or name, or the user may not know of it."""


class RateLimitError(ResponseError):
    """429: the server asks for a pause."""

    retryable = True


class ServerError(ResponseError):
    """5xx: the server or a proxy before it is in trouble."""

    retryable = True


class ProtocolError(AsyncCvatError):
    """The server sent what cannot be read: not the JSON, header or body that was due."""


class ExportError(AsyncCvatError):
    """An export did not lead to an archive."""


class ExportFailedError(ExportError):
    """The server tried and failed; the message is the server's own."""


class ExportTimeoutError(ExportError):
    """The export ran longer than the export timeout."""


class ExportNotReadyError(ExportError):
    """The result was asked for before the export ended: another one may have been started."""

    retryable = True


class ExportExpiredError(ExportError):
    """The result vanished or expired before it was read, more often than is asked again."""


class UploadError(AsyncCvatError):
    """Annotations did not get into a task."""


class AnnotationFileError(UploadError):
    """A file cannot be what it claims to be, or is not there; nothing of it was sent."""


class TaskChangedError(UploadError):
    """The task is not as it was mirrored, and the upload was for that state only."""


class ImportFailedError(UploadError):
    """The server tried and failed; the message is the server's own."""


class ImportUncertainError(UploadError):
    """The import may have happened or not: nobody could say. Look at the task before trying again.

    Sent again blindly, a file could replace what somebody did since.
    """


class ArchiveError(AsyncCvatError):
    """An archive is broken, unsafe or beyond the limits.

    Attributes:
        member: The name of the member concerned, when there is one.
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
    """The archive ends before its end."""

    retryable = True


class IntegrityError(ArchiveError):
    """Checksums, sizes or records contradict each other."""

    retryable = True


class UnsafePathError(ArchiveError):
    """A member's name would lead outside the folder, or cannot be a file here."""


class UnsupportedArchiveError(ArchiveError):
    """Encryption, an unknown compression method, a link: nothing a CVAT export holds."""


class ArchiveLimitError(ArchiveError):
    """The archive is larger, deeper or denser than the limits allow."""


class StoreError(AsyncCvatError):
    """The destination on disk cannot be used as it should."""


class StoreLockedError(StoreError):
    """Another process or mirror is writing to this destination."""


class ForeignFolderError(StoreError):
    """A folder of the task's name is there, and no receipt says that it is ours."""


class DiskFullError(StoreError):
    """The file system or the quota has no room left; trying again would not help."""


class DriveError(StoreError):
    """Nothing can be stored any more, and a run ends for it.

    The drive failed, is gone or is mounted read-only; or the system refused one task after the
    other, whatever for.
    """
