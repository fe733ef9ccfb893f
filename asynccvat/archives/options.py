"""How archives are read: what the run's options say of it, and what the destination can hold."""

from __future__ import annotations

from dataclasses import dataclass, field

from asynccvat.archives.backoff import Bandwidth
from asynccvat.core.paths import NameRules
from asynccvat.core.ranges import RangeOptions
from asynccvat.core.retry import RetryPolicy
from asynccvat.core.zip import ArchiveLimits
from asynccvat.fs.handles import MOST_FOLDERS
from asynccvat.http import SharedBudget
from asynccvat.http.retry_after import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How archives are read.

    Attributes:
        rules: What names the destination can hold.
        limits: The most that an archive may hold.
        reuse: Take over members that are here already.
        ranges: How archives are cut into requests.
        policy: How patiently broken connections are made again.
        budget: The retries that are left for it, shared by all who ask the server.
        bandwidth: A limit that all archives keep to together, if any.
        open_folders: How many folders each thread that writes an archive keeps open.
        timing: Time and chance.
    """

    rules: NameRules
    limits: ArchiveLimits = field(default_factory=ArchiveLimits)
    reuse: bool = True
    ranges: RangeOptions = field(default_factory=RangeOptions)
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    budget: SharedBudget = field(default_factory=SharedBudget)
    bandwidth: Bandwidth | None = None
    open_folders: int = MOST_FOLDERS
    timing: Timing = field(default_factory=Timing)
