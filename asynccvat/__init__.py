"""asynccvat: a bulk-transfer engine for CVAT servers.

The public names, nothing else: classes, functions, and the module `events` with the classes of
what `on_event` is told. They are loaded when they are first used, so that importing the package,
or asking the command line for help, costs next to nothing. `__init__.pyi` shows them to type
checkers.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from asynccvat.core.version import VERSION

__version__ = VERSION

_HOMES = {
    "asynccvat.client": ("CvatClient",),
    "asynccvat.core.plans.download": ("DownloadPlan",),
    "asynccvat.core.models": (
        "About",
        "Cancellation",
        "RequestAccepted",
        "ServerRequest",
        "ExportSpec",
        "Format",
        "Formats",
        "Job",
        "Operation",
        "Owner",
        "Project",
        "RequestStatus",
        "Task",
        "TaskListing",
        "User",
    ),
    "asynccvat.core.options": ("MirrorOptions", "UploadOptions"),
    "asynccvat.core.outcomes": ("Action", "RunReport", "TaskOutcome"),
    "asynccvat.core.plans.mirror": ("Plan", "Reason"),
    "asynccvat.core.problems": ("FileState", "ProblemKind", "VerifyProblem"),
    "asynccvat.core.retry": ("RetryPolicy",),
    "asynccvat.core.selection": ("JobSelection", "ProjectSelection", "Selection"),
    "asynccvat.core.plans.upload": ("UploadPlan", "UploadReason"),
    "asynccvat.core.plans.verify": ("VerifyReport",),
    "asynccvat.core.archive_limits": ("ArchiveLimits",),
    "asynccvat.api": (
        "download",
        "download_many",
        "mirror",
        "open_mirror",
        "open_upload",
        "plan",
        "plan_downloads",
        "plan_upload",
        "upload",
    ),
    "asynccvat.errors": (
        "AnnotationFileError",
        "ArchiveError",
        "ArchiveLimitError",
        "AsyncCvatError",
        "AuthenticationError",
        "ConfigError",
        "ConnectError",
        "DiskFullError",
        "DriveError",
        "ExportError",
        "ExportExpiredError",
        "ExportFailedError",
        "ExportNotReadyError",
        "ExportTimeoutError",
        "ForeignFolderError",
        "ImportFailedError",
        "ImportUncertainError",
        "IntegrityError",
        "TasksFailedError",
        "NotFoundError",
        "PermissionDeniedError",
        "Problem",
        "ProtocolError",
        "RateLimitError",
        "ReadError",
        "ResponseError",
        "RunFileError",
        "ServerError",
        "StallError",
        "StoreError",
        "StoreLockedError",
        "TaskChangedError",
        "TransportError",
        "TruncatedArchiveError",
        "UnsafePathError",
        "UnsupportedArchiveError",
        "UploadError",
    ),
    "asynccvat.events": ("Event",),
    "asynccvat.runfiles": (
        "RunFile",
        "RunFileReport",
        "StepPlan",
        "StepReport",
        "load_run_file",
        "plan_run_file",
        "run_file",
        "run_file_schema",
    ),
    "asynccvat.transfer.run": ("Run",),
    "asynccvat.commands.verify.run": ("verify",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

_MODULES = ("events",)

__all__ = ["__version__", *sorted((*_HOME_OF, *_MODULES))]  # noqa: PLE0604 - the table's names are strings


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"asynccvat.{name}")
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
