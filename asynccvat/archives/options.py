"""The options of reading archives, and what the destination can hold."""

from __future__ import annotations

from dataclasses import dataclass, field

from asynccvat.archives.bandwidth import Bandwidth
from asynccvat.core.paths import NameRules
from asynccvat.core.wire.ranges import RangeOptions
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.core.zip import ArchiveLimits
from asynccvat.fs.handles import MOST_FOLDERS
from asynccvat.http import SharedBudget
from asynccvat.http.retry_after import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How archives are read.

    Attributes:
        rules: What names the destination can hold.
        map_names: Whether names that it cannot hold are mapped to safe ones, instead of refused.
        limits: The most that an archive may hold.
        reuse: Whether members that are on disk already are reused instead of fetched.
        ranges: How archives are cut into requests.
        policy: How often broken connections are made again, and after which waits.
        budget: The retries that all callers of the server share.
        bandwidth: The bandwidth that all archives share; None for no limit.
        open_folders: How many folders each writing thread keeps open.
        timing: Clock, sleep and jitter.
    """

    rules: NameRules
    map_names: bool = False
    limits: ArchiveLimits = field(default_factory=ArchiveLimits)
    reuse: bool = True
    ranges: RangeOptions = field(default_factory=RangeOptions)
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    budget: SharedBudget = field(default_factory=SharedBudget)
    bandwidth: Bandwidth | None = None
    open_folders: int = MOST_FOLDERS
    timing: Timing = field(default_factory=Timing)
