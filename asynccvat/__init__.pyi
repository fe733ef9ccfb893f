# What the type checker sees of the package; `__init__.py` loads the same names on first use.

from asynccvat import (
    events as events,
)
from asynccvat.api import (
    download as download,
)
from asynccvat.api import (
    download_many as download_many,
)
from asynccvat.api import (
    mirror as mirror,
)
from asynccvat.api import (
    open_mirror as open_mirror,
)
from asynccvat.api import (
    open_upload as open_upload,
)
from asynccvat.api import (
    plan as plan,
)
from asynccvat.api import (
    plan_downloads as plan_downloads,
)
from asynccvat.api import (
    plan_upload as plan_upload,
)
from asynccvat.api import (
    upload as upload,
)
from asynccvat.client import (
    CvatClient as CvatClient,
)
from asynccvat.commands.verify.run import verify as verify
from asynccvat.core.archive_limits import (
    ArchiveLimits as ArchiveLimits,
)
from asynccvat.core.models import (
    About as About,
)
from asynccvat.core.models import (
    Cancellation as Cancellation,
)
from asynccvat.core.models import (
    ExportSpec as ExportSpec,
)
from asynccvat.core.models import (
    Format as Format,
)
from asynccvat.core.models import (
    Formats as Formats,
)
from asynccvat.core.models import (
    Job as Job,
)
from asynccvat.core.models import (
    Operation as Operation,
)
from asynccvat.core.models import (
    Owner as Owner,
)
from asynccvat.core.models import (
    Project as Project,
)
from asynccvat.core.models import (
    RequestAccepted as RequestAccepted,
)
from asynccvat.core.models import (
    RequestStatus as RequestStatus,
)
from asynccvat.core.models import (
    ServerRequest as ServerRequest,
)
from asynccvat.core.models import (
    Task as Task,
)
from asynccvat.core.models import (
    TaskListing as TaskListing,
)
from asynccvat.core.models import (
    User as User,
)
from asynccvat.core.options import (
    MirrorOptions as MirrorOptions,
)
from asynccvat.core.options import (
    UploadOptions as UploadOptions,
)
from asynccvat.core.outcomes import (
    Action as Action,
)
from asynccvat.core.outcomes import (
    RunReport as RunReport,
)
from asynccvat.core.outcomes import (
    TaskOutcome as TaskOutcome,
)
from asynccvat.core.plans.download import DownloadPlan as DownloadPlan
from asynccvat.core.plans.mirror import Plan as Plan
from asynccvat.core.plans.mirror import Reason as Reason
from asynccvat.core.plans.upload import UploadPlan as UploadPlan
from asynccvat.core.plans.upload import UploadReason as UploadReason
from asynccvat.core.plans.verify import VerifyReport as VerifyReport
from asynccvat.core.problems import (
    FileState as FileState,
)
from asynccvat.core.problems import (
    ProblemKind as ProblemKind,
)
from asynccvat.core.problems import (
    VerifyProblem as VerifyProblem,
)
from asynccvat.core.retry import (
    RetryPolicy as RetryPolicy,
)
from asynccvat.core.selection import (
    JobSelection as JobSelection,
)
from asynccvat.core.selection import (
    ProjectSelection as ProjectSelection,
)
from asynccvat.core.selection import (
    Selection as Selection,
)
from asynccvat.errors import (
    AnnotationFileError as AnnotationFileError,
)
from asynccvat.errors import (
    ArchiveError as ArchiveError,
)
from asynccvat.errors import (
    ArchiveLimitError as ArchiveLimitError,
)
from asynccvat.errors import (
    AsyncCvatError as AsyncCvatError,
)
from asynccvat.errors import (
    AuthenticationError as AuthenticationError,
)
from asynccvat.errors import (
    ConfigError as ConfigError,
)
from asynccvat.errors import (
    ConnectError as ConnectError,
)
from asynccvat.errors import (
    DiskFullError as DiskFullError,
)
from asynccvat.errors import (
    DriveError as DriveError,
)
from asynccvat.errors import (
    ExportError as ExportError,
)
from asynccvat.errors import (
    ExportExpiredError as ExportExpiredError,
)
from asynccvat.errors import (
    ExportFailedError as ExportFailedError,
)
from asynccvat.errors import (
    ExportNotReadyError as ExportNotReadyError,
)
from asynccvat.errors import (
    ExportTimeoutError as ExportTimeoutError,
)
from asynccvat.errors import (
    ForeignFolderError as ForeignFolderError,
)
from asynccvat.errors import (
    ImportFailedError as ImportFailedError,
)
from asynccvat.errors import (
    ImportUncertainError as ImportUncertainError,
)
from asynccvat.errors import (
    IntegrityError as IntegrityError,
)
from asynccvat.errors import (
    NotFoundError as NotFoundError,
)
from asynccvat.errors import (
    PermissionDeniedError as PermissionDeniedError,
)
from asynccvat.errors import (
    Problem as Problem,
)
from asynccvat.errors import (
    ProtocolError as ProtocolError,
)
from asynccvat.errors import (
    RateLimitError as RateLimitError,
)
from asynccvat.errors import (
    ReadError as ReadError,
)
from asynccvat.errors import (
    ResponseError as ResponseError,
)
from asynccvat.errors import (
    RunFileError as RunFileError,
)
from asynccvat.errors import (
    ServerError as ServerError,
)
from asynccvat.errors import (
    StallError as StallError,
)
from asynccvat.errors import (
    StoreError as StoreError,
)
from asynccvat.errors import (
    StoreLockedError as StoreLockedError,
)
from asynccvat.errors import (
    TaskChangedError as TaskChangedError,
)
from asynccvat.errors import (
    TasksFailedError as TasksFailedError,
)
from asynccvat.errors import (
    TransportError as TransportError,
)
from asynccvat.errors import (
    TruncatedArchiveError as TruncatedArchiveError,
)
from asynccvat.errors import (
    UnsafePathError as UnsafePathError,
)
from asynccvat.errors import (
    UnsupportedArchiveError as UnsupportedArchiveError,
)
from asynccvat.errors import (
    UploadError as UploadError,
)
from asynccvat.events import (
    Event as Event,
)
from asynccvat.runfiles import (
    RunFile as RunFile,
)
from asynccvat.runfiles import (
    RunFileReport as RunFileReport,
)
from asynccvat.runfiles import (
    StepPlan as StepPlan,
)
from asynccvat.runfiles import (
    StepReport as StepReport,
)
from asynccvat.runfiles import (
    load_run_file as load_run_file,
)
from asynccvat.runfiles import (
    plan_run_file as plan_run_file,
)
from asynccvat.runfiles import (
    run_file as run_file,
)
from asynccvat.runfiles import (
    run_file_schema as run_file_schema,
)
from asynccvat.transfer.run import Run as Run

__version__: str
