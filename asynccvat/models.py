"""Values that calls return, and that plans and reports hold.

They are here by name for annotations and `match`. The classes that programs make themselves are in
`asynccvat`.
"""

from __future__ import annotations

from asynccvat.core.annotations.comparisons import (
    AnnotationComparison,
    AnnotationLog,
    AnnotationLogEntry,
    TaskAnnotationDifference,
)
from asynccvat.core.annotations.counts import AnnotationCounts, TaskAnnotations
from asynccvat.core.annotations.difference import (
    AnnotationDifference,
    DifferenceRow,
    DifferingAnnotation,
)
from asynccvat.core.convert.report import ConversionReport, ConversionState, TaskConversion
from asynccvat.core.inventory.difference import Difference, ReasonGroup
from asynccvat.core.inventory.kept import KeptItem, KeptKind, KeptTotal, RestoredItem
from asynccvat.core.inventory.status import ChangedFile, DestinationStatus, FormatCount
from asynccvat.core.inventory.usage import DiskUsage, ProjectRoom, Room, RoomOwner, TargetRoom, Use
from asynccvat.core.logins import Account, LoginResult, SavedLogin, SavedLogins, TokenStore
from asynccvat.core.merge.choices import DataSetFormat, ImagePlacing, SplitBy
from asynccvat.core.merge.report import FailedMerge, MergedFiles, MergedPart, MergeReport
from asynccvat.core.models import (
    About,
    AccessToken,
    CloudStorage,
    DataMeta,
    Format,
    Formats,
    Job,
    Owner,
    Project,
    Task,
    TaskListing,
    User,
)
from asynccvat.core.outcomes import AnnotationChange, FailedOutcome
from asynccvat.core.plans.backup import BackupPlan, Expire
from asynccvat.core.plans.cloud import CloudPlan, CloudReason
from asynccvat.core.plans.copy_steps import CopyPlan, CopyReason
from asynccvat.core.plans.create import CreatePlan, CreateReason, CreateStep, CreateStepKind
from asynccvat.core.plans.delete import DeletePlan, DeleteReason
from asynccvat.core.plans.download import DownloadPlan
from asynccvat.core.plans.import_dataset import DatasetPlan, DatasetReason
from asynccvat.core.plans.mirror import FolderState, Plan, Reason
from asynccvat.core.plans.restore import RestorePlan, RestoreReason
from asynccvat.core.plans.upload import UploadPlan, UploadReason
from asynccvat.core.problems import FileState, ProblemKind, VerifyProblem
from asynccvat.core.records.backups import (
    BackupCondition,
    BackupReceipt,
    StoredBackup,
    TargetState,
)
from asynccvat.core.records.last_run import LastRun, RunEnd
from asynccvat.core.requests import (
    Cancellation,
    Operation,
    RequestAccepted,
    RequestStatus,
    ServerRequest,
)
from asynccvat.core.scheduling.stalls import QueueStall
from asynccvat.core.settings_text import SettingsChoices
from asynccvat.core.specs import BackupSpec
from asynccvat.core.statistics.values import (
    ContentCounts,
    LabelCount,
    MirrorStatistics,
    SizeCounts,
    TaskStatistics,
)
from asynccvat.core.targets import TargetKind
from asynccvat.core.task_details import TaskDetails
from asynccvat.core.watching.rounds import FullReason, TaskFailure
from asynccvat.core.watching.status import WatchState, WatchStatus
from asynccvat.core.webhooks import Webhook, WebhookDelivery

__all__ = [
    "About",
    "AccessToken",
    "Account",
    "AnnotationChange",
    "AnnotationComparison",
    "AnnotationCounts",
    "AnnotationDifference",
    "AnnotationLog",
    "AnnotationLogEntry",
    "BackupCondition",
    "BackupPlan",
    "BackupReceipt",
    "BackupSpec",
    "Cancellation",
    "ChangedFile",
    "CloudPlan",
    "CloudReason",
    "CloudStorage",
    "ContentCounts",
    "ConversionReport",
    "ConversionState",
    "CopyPlan",
    "CopyReason",
    "CreatePlan",
    "CreateReason",
    "CreateStep",
    "CreateStepKind",
    "DataMeta",
    "DataSetFormat",
    "DatasetPlan",
    "DatasetReason",
    "DeletePlan",
    "DeleteReason",
    "DestinationStatus",
    "Difference",
    "DifferenceRow",
    "DifferingAnnotation",
    "DiskUsage",
    "DownloadPlan",
    "Expire",
    "FailedMerge",
    "FailedOutcome",
    "FileState",
    "FolderState",
    "Format",
    "FormatCount",
    "Formats",
    "FullReason",
    "ImagePlacing",
    "Job",
    "KeptItem",
    "KeptKind",
    "KeptTotal",
    "LabelCount",
    "LastRun",
    "LoginResult",
    "MergeReport",
    "MergedFiles",
    "MergedPart",
    "MirrorStatistics",
    "Operation",
    "Owner",
    "Plan",
    "ProblemKind",
    "Project",
    "ProjectRoom",
    "QueueStall",
    "Reason",
    "ReasonGroup",
    "RequestAccepted",
    "RequestStatus",
    "RestorePlan",
    "RestoreReason",
    "RestoredItem",
    "Room",
    "RoomOwner",
    "RunEnd",
    "SavedLogin",
    "SavedLogins",
    "ServerRequest",
    "SettingsChoices",
    "SizeCounts",
    "SplitBy",
    "StoredBackup",
    "TargetKind",
    "TargetRoom",
    "TargetState",
    "Task",
    "TaskAnnotationDifference",
    "TaskAnnotations",
    "TaskConversion",
    "TaskDetails",
    "TaskFailure",
    "TaskListing",
    "TaskStatistics",
    "TokenStore",
    "UploadPlan",
    "UploadReason",
    "Use",
    "User",
    "VerifyProblem",
    "WatchState",
    "WatchStatus",
    "Webhook",
    "WebhookDelivery",
]


def __dir__() -> list[str]:
    """List the public names alone."""
    return __all__
