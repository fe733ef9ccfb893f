"""The benchmarks by name, in the order in which they run."""

from collections.abc import Callable

from benchmarks.cases.backing_up import large_backup, many_backups
from benchmarks.cases.curves import curves
from benchmarks.cases.data_plane import four_at_once, stored_archive, text_archive
from benchmarks.cases.images import images
from benchmarks.cases.official import documented
from benchmarks.cases.planning import changed, durability, unchanged
from benchmarks.cases.refreshing import refreshing
from benchmarks.cases.resuming import resuming
from benchmarks.cases.scheduling import fresh, shared
from benchmarks.cases.soaking import soak
from benchmarks.cases.starting import starting
from benchmarks.cases.uploading import cut_upload, many_uploads
from benchmarks.cases.verifying import verifying
from benchmarks.results import Result
from benchmarks.setting import Setting

CASES: dict[str, Callable[[Setting], Result]] = {
    "fresh": fresh,
    "shared": shared,
    "documented": documented,
    "images": images,
    "stored": stored_archive,
    "text": text_archive,
    "four": four_at_once,
    "unchanged": unchanged,
    "changed": changed,
    "refreshing": refreshing,
    "resuming": resuming,
    "durability": durability,
    "starting": starting,
    "uploads": many_uploads,
    "cut": cut_upload,
    "backups": many_backups,
    "large": large_backup,
    "verifying": verifying,
    "curves": curves,
    "soak": soak,
}
