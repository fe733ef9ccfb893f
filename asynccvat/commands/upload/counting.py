"""Count the annotations of local files before they are uploaded.

Files are read piece by piece, in worker threads. `core.annotations.file_counts` counts.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from typing import IO

from asynccvat.commands.upload.local_files import AnnotationSource, explained, is_system_error
from asynccvat.core.annotations.counting import CountingPlan, plan_counting
from asynccvat.core.annotations.file_counts import (
    FileCounter,
    FileCounts,
    UncountableError,
    sum_counts,
)
from asynccvat.core.annotations.files import FileKind, is_media

# Short pieces: the event loop gets its turn between them.
_PIECE = 1 << 16
# Bytes that a zip's members may unpack to. Annotations of a task are far smaller.
_MOST = 4 << 30

Opener = Callable[[str], IO[bytes]]


def count_annotations(source: AnnotationSource, kind: FileKind, importer: str) -> FileCounts | None:
    """Count what a file holds, as its importer will read it.

    Args:
        source: The file, or the files to pack.
        kind: The kind of file that is sent.
        importer: The importer's name.

    Returns:
        The counts. None if it cannot be counted: the server may still read it.

    Raises:
        AnnotationFileError: A file cannot be read.
    """
    with explained(source.shown):
        try:
            return _counts(source, kind, importer)
        except UncountableError:
            return None
        # `zipfile` passes on any error of its decoders about damaged bytes.
        except Exception as error:
            if is_system_error(error):
                raise
            return None


def _counts(source: AnnotationSource, kind: FileKind, importer: str) -> FileCounts | None:
    if source.chosen.packed:
        plan = plan_counting(source.chosen.paths, importer)
        return _counted(plan, lambda path: (source.folder / path).open("rb"))
    if kind is not FileKind.ZIP:
        # The name may lack the ending that tells what the file is.
        plan = plan_counting([f"file.{kind.value.lower()}"], importer)
        return _counted(plan, lambda _: source.shown.open("rb"))
    with zipfile.ZipFile(source.shown) as archive:
        members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        plan = plan_counting([path for path in members if not is_media(path)], importer)
        if sum(members[path].file_size for path in plan.counters) > _MOST:
            return None
        return _counted(plan, lambda path: archive.open(members[path]))


def _counted(plan: CountingPlan, open_file: Opener) -> FileCounts | None:
    counts = sum_counts(_parts(plan, open_file))
    return None if counts.is_empty and plan.leftover else counts


def _parts(plan: CountingPlan, open_file: Opener) -> Iterator[FileCounts]:
    for path, make in plan.counters.items():
        with open_file(path) as file:
            yield _count(file, make())


def _count(file: IO[bytes], counter: FileCounter) -> FileCounts:
    while piece := file.read(_PIECE):
        counter.feed(piece)
    return counter.result()
