"""List the files below a source, and check those that are media by their first and last bytes.

These functions block, so they run in worker threads. `core.plans.create_units` groups the files,
`core.media.checks` has the checks.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from asynccvat.core.media.checks import file_problem
from asynccvat.core.media.kinds import (
    MediaKind,
    collisions,
    is_context,
    is_ignored_in_zip,
    is_litter,
    is_other_image,
    media_type,
    shown,
    unusable_name,
)
from asynccvat.core.options.create import CreateOptions, Sorting
from asynccvat.core.plans.create_order import FrameOrder
from asynccvat.core.plans.create_units import ListedFile, MediaUnit, find_units
from asynccvat.errors import ConfigError

# Reading the ends of files waits for the disk: more at once are faster on most of them.
_READERS = 8
# A task of the pool for each file of a hundred thousand takes 100 MB.
_CHECKED_AT_ONCE = 256
_ENCRYPTED = 1


class _OpenFile:
    """A file whose ends are read. `core.media.checks.ReadableFile` describes it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes from an offset on."""
        return os.pread(self._file.fileno(), length, offset)


def media_units(
    source: Path, options: CreateOptions, order: Path | Sequence[str] | None = None
) -> tuple[MediaUnit, ...]:
    """Return what becomes one task each, with everything that is wrong with it.

    Args:
        source: The folder or file.
        options: How the media are grouped and named.
        order: The order of the images: their paths below the source, or a file with a path on each
            line. None for the natural one.

    Raises:
        ConfigError: The source is not there, cannot be read, or holds no media; or the order
            cannot be read, or does not fit.
    """
    frame_order = None if order is None else _frame_order(order, options)
    try:
        status = source.stat()
    except OSError as error:
        raise _unreadable(source, error) from error
    if stat.S_ISDIR(status.st_mode):
        listed = _listed(source, follow=options.follow_links)
        files = sorted(listed, key=lambda one: one.path)
        root = source
    else:
        files = [ListedFile(source.name, status.st_size, status.st_mtime_ns)]
        root = source.parent
    name = Path(os.path.normpath(source.absolute())).name or "images"
    units = find_units(files, name, options, frame_order)
    if not units:
        raise ConfigError(
            f"cannot create tasks of {str(source)!r}: it holds no images, videos or zips. Name the "
            "folder that holds them, or holds their folders."
        )
    with ThreadPoolExecutor(_READERS, "media checks") as readers:
        return tuple(_checked(root, unit, readers) for unit in units)


def _frame_order(order: Path | Sequence[str], options: CreateOptions) -> FrameOrder:
    if options.sorting != Sorting.NATURAL:
        raise ConfigError("the order of the images is given twice. Remove --order or --sorting.")
    if not isinstance(order, Path):
        return FrameOrder(order, "the order")
    said = f"--order {str(order)!r}"
    try:
        lines = order.read_text("utf-8-sig").split("\n")  # Python reads all ends of lines as this
    except OSError as error:
        raise ConfigError(f"cannot read {said}: {error.strerror}. Name another file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read {said}: it is not UTF-8. Correct the file.") from error
    return FrameOrder([line for line in lines if line.strip()], said)


def _listed(folder: Path, *, follow: bool) -> Iterator[ListedFile]:
    """Yield the files below a folder, without hidden ones.

    Args:
        folder: The folder.
        follow: Whether links to folders are followed.

    Raises:
        ConfigError: A folder cannot be read: what it holds must not be left out in silence.
    """
    # Each folder, with the identities of those that it is in, by which a circle of links is found.
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while waiting:
        below, outer = waiting.pop()
        try:
            status = (folder / below).stat()
            here = (status.st_dev, status.st_ino)
            if here in outer:
                yield ListedFile(below.rstrip("/"), 0, 0, "is a link to a folder that it is in")
                continue
            with os.scandir(folder / below) as entries:
                for entry in entries:
                    if is_litter(entry.name):
                        continue
                    path = f"{below}{entry.name}"
                    if entry.is_dir(follow_symlinks=follow):
                        waiting.append((f"{path}/", outer | {here}))
                    else:
                        yield _listed_file(path, entry)
        except OSError as error:
            raise _unreadable(folder / below, error) from error


def _listed_file(path: str, entry: os.DirEntry[str]) -> ListedFile:
    try:
        status = entry.stat()
    except OSError as error:
        return ListedFile(path, 0, 0, f"cannot be read: {error.strerror}")
    problem = None
    if stat.S_ISDIR(status.st_mode):
        problem = "is a link to a folder: give --follow-links, or put the folder itself there"
    elif not stat.S_ISREG(status.st_mode):
        problem = "is no file"
    return ListedFile(path, status.st_size, status.st_mtime_ns, problem)


def _checked(root: Path, unit: MediaUnit, readers: ThreadPoolExecutor) -> MediaUnit:
    """Return a unit with the problems that its files' bytes show."""

    def check(start: int) -> list[str]:
        files = unit.files[start : start + _CHECKED_AT_ONCE]
        found = ((file, _problem(root / file.path, unit.member_name(file))) for file in files)
        return [f"{shown(file.path)} {why}" for file, why in found if why is not None]

    starts = range(0, len(unit.files), _CHECKED_AT_ONCE)
    problems = [problem for found in readers.map(check, starts) for problem in found]
    if unit.kind is MediaKind.ZIP and not problems:
        frames, problems = _look_into_zip(root / unit.files[0].path)
        unit = replace(unit, available=frames)
    return replace(unit, problems=(*unit.problems, *problems))


def _problem(path: Path, name: str) -> str | None:
    try:
        with path.open("rb", buffering=0) as file:
            return file_problem(name, _OpenFile(file))
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _look_into_zip(path: Path) -> tuple[int | None, list[str]]:
    """Return how many frames a zip of images has, and what is wrong with it."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        return None, [f"{shown(path.name)} cannot be read as a zip: {error}"]
    names = [one.filename for one in members if not is_ignored_in_zip(one.filename)]
    images = [name for name in names if _is_image(name)]
    frames = sum(not is_context(name) for name in images)
    return frames or None, list(_zip_problems(path.name, members, names, images, frames))


def _zip_problems(
    zip_name: str,
    members: Iterable[zipfile.ZipInfo],
    names: list[str],
    images: list[str],
    frames: int,
) -> Iterator[str]:
    within = f"in {shown(zip_name)}"
    if any(one.flag_bits & _ENCRYPTED for one in members):
        yield f"{shown(zip_name)} is encrypted"
    if not frames:
        yield f"{shown(zip_name)} holds no images"
    for name in names:
        if (why := unusable_name(name)) is not None:
            yield f"{shown(name)} {within}: {why}"
        elif _is_image(name) and _is_litter_path(name):
            yield f"{shown(name)} {within} is hidden, and CVAT makes a frame of it: remove it"
        elif is_other_image(name):
            yield f"{shown(name)} {within} is an image of a type that CVAT may not read: remove it"
        elif name.startswith("/") or ".." in name.split("/"):
            yield f"{shown(name)} {within} leads outside the zip"
        elif (kind := media_type(name)) is not None and kind.kind is not MediaKind.IMAGE:
            yield f"{shown(name)} {within} is no image: CVAT makes a task of one kind of media"
    for name, first in collisions(images):
        yield f"{shown(name)} and {shown(first)} {within} differ only by case or accents"


def _is_image(name: str) -> bool:
    kind = media_type(name.rpartition("/")[2])
    return kind is not None and kind.kind is MediaKind.IMAGE


def _is_litter_path(path: str) -> bool:
    return any(is_litter(part) for part in path.split("/") if part != "..")


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot read {str(path)!r}: {error.strerror}. Name a folder, a video or a zip."
    )
