"""The benchmarks by name, in the order in which they run."""

from collections.abc import Callable

from benchmarks.cases.as_json import as_json
from benchmarks.cases.backing_up import many_backups
from benchmarks.cases.copying import many_copies
from benchmarks.cases.creating import many_creations
from benchmarks.cases.curves import curves
from benchmarks.cases.data_plane import four_at_once, stored_archive, text_archive
from benchmarks.cases.images import images
from benchmarks.cases.large_backups import large_backup
from benchmarks.cases.looking import looking
from benchmarks.cases.merging import merging
from benchmarks.cases.official import documented
from benchmarks.cases.planning import changed, durability, unchanged
from benchmarks.cases.refreshing import refreshing
from benchmarks.cases.report_pages import report_pages
from benchmarks.cases.restoring import many_restores
from benchmarks.cases.resuming import resuming
from benchmarks.cases.scheduling import fresh, shared
from benchmarks.cases.soaking import soak
from benchmarks.cases.starting import starting
from benchmarks.cases.uploading import cut_upload, many_uploads
from benchmarks.cases.verifying import verifying
from benchmarks.cases.watching import watching
from benchmarks.results import Result
from benchmarks.setting import Setting

CASES: dict[str, Callable[[Setting], Result]] = {
    "fresh": fresh,
    "shared": shared,
    "json": as_json,
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
    "restores": many_restores,
    "creations": many_creations,
    "copies": many_copies,
    "large": large_backup,
    "verifying": verifying,
    "merging": merging,
    "report-pages": report_pages,
    "looking": looking,
    "curves": curves,
    "soak": soak,
    "watching": watching,
}
