"""Make the frames of a task of the files that a client sent, as CVAT's worker does.

`data_options` has the options, `image_headers` and `video_headers` read the files. What a worker
would fail with is raised with CVAT's own words.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from asynccvat.simulator.formats.data_options import DataOptions
from asynccvat.simulator.formats.image_headers import (
    InvalidImageError,
    TruncatedImageError,
    image_size,
    is_image_name,
)
from asynccvat.simulator.formats.video_headers import (
    InvalidVideoError,
    is_video_name,
    video_facts,
)
from asynccvat.simulator.formats.zip_members import MemberFiles
from asynccvat.simulator.world.content import Frame
from asynccvat.simulator.world.media import StoredFile, TaskMedia

NO_MEDIA: Final = "ValueError: No media data found\n"
TRUNCATED: Final = "OSError: Truncated File Read\n"
MAPPING_WITH_SORTING: Final = (
    "rest_framework.exceptions.ValidationError: [ErrorDetail(string='job_file_mapping cannot be "
    "used with sorting_method', code='invalid')]\n"
)
_IGNORED: Final = ("__MSOSX", "._.DS_Store", "__MACOSX", ".DS_Store")
_LARGEST_CHUNK: Final = 72
_CHUNK_PIXELS: Final = 36 * 1920 * 1080
_VIDEO_CHUNK: Final = 36

NamedFiles = Sequence[tuple[str, StoredFile | None]]
"""Files by name, in the order in which they were sent; None for one whose bytes were lost."""


class TaskDataError(Exception):
    """Data of which CVAT makes no task; the text is the message of the failed request."""


def read_task_data(files: NamedFiles, options: DataOptions) -> TaskMedia:
    """Return the media of a task.

    Args:
        files: What was sent.
        options: What to make of it.

    Raises:
        TaskDataError: CVAT makes no task of it.
    """
    if options.job_file_mapping is not None and options.sorting_method is not None:
        raise TaskDataError(MAPPING_WITH_SORTING)
    images = [one for one in files if is_image_name(one[0])]
    videos = [one for one in files if is_video_name(one[0])]
    archives = [one for one in files if PurePosixPath(one[0]).suffix.lower() == ".zip"]
    _check_counts(len(images), len(videos), len(archives))
    media = _read(images, videos, archives, options)
    if options.cloud_storage_id is None:
        return media
    return dataclasses.replace(
        media, storage="cloud_storage", cloud_storage_id=options.cloud_storage_id
    )


def _read(
    images: NamedFiles, videos: NamedFiles, archives: NamedFiles, options: DataOptions
) -> TaskMedia:
    if videos:
        return _video(*videos[0], options)
    if archives:
        images = list(_unpacked(_present(*archives[0])))
        if not images:
            raise TaskDataError("Exception: No image found\n")
    frames = [(name, file) for name, file in images if "related_images" not in name.split("/")]
    return _images(_ordered(frames, options), images, options)


def chunk_size_of(media: TaskMedia) -> int:
    """Return how many frames CVAT puts into a chunk by default."""
    if media.video:
        return _VIDEO_CHUNK
    first = media.frames[0]
    return max(2, min(_LARGEST_CHUNK, _CHUNK_PIXELS // max(1, first.width * first.height)))


def job_frames(options: DataOptions) -> tuple[tuple[int, int], ...] | None:
    """Return first and last frame of each job that `job_file_mapping` asks for, or None."""
    if options.job_file_mapping is None:
        return None
    ends = list(itertools.accumulate(len(names) for names in options.job_file_mapping))
    return tuple(zip([0, *ends[:-1]], [end - 1 for end in ends], strict=True))


def _check_counts(images: int, videos: int, archives: int) -> None:
    unique = videos + archives
    if not unique and not images:
        raise TaskDataError(NO_MEDIA)
    if unique > 1 or (unique and images):
        counts = {"image": images, "video": videos, "zip": archives}
        found = ", ".join(f"{count} {name}(s)" for name, count in counts.items())
        raise TaskDataError(
            "ValueError: Only one archive, zip, video, pdf or many image, directory can be used "
            f"simultaneously, but {found} found.\n"
        )


def _present(name: str, file: StoredFile | None) -> StoredFile:
    if file is None:
        raise TaskDataError(_unreadable(name))
    return file


def _unreadable(name: str) -> str:
    words = f"failed to parse image file {name!r}"
    return f"utils.dataset_manifest.errors.InvalidImageError: {words}\n"


# --- Images -------------------------------------------------------------------------------------


def _ordered(files: NamedFiles, options: DataOptions) -> NamedFiles:
    if options.job_file_mapping is not None:
        names = itertools.chain.from_iterable(options.job_file_mapping)
        return _by_names(files, list(names))
    match options.sorting_method:
        case "natural":
            return sorted(files, key=lambda one: _natural(one[0]))
        case "predefined":
            return (
                _by_names(files, options.upload_file_order) if options.upload_file_order else files
            )
        case "random":
            shuffled = sorted(files, key=lambda one: one[0])
            random.Random(repr([name for name, _ in shuffled])).shuffle(shuffled)
            return shuffled
        case _:
            return sorted(files, key=lambda one: one[0])


def _by_names(files: NamedFiles, names: Sequence[str]) -> NamedFiles:
    known = dict(files)
    missing = [name for name in names if name not in known]
    if missing:
        raise TaskDataError(
            f"FileNotFoundError: [Errno 2] No such file or directory: {missing[0]!r}\n"
        )
    return [(name, known[name]) for name in names]


def _natural(name: str) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", name)
    return [
        (bool(place % 2), int(part), "") if place % 2 else (False, 0, part)
        for place, part in enumerate(parts)
    ]


def _images(files: NamedFiles, sent: NamedFiles, options: DataOptions) -> TaskMedia:
    stop = _stop(options, len(files))
    chosen = files[options.start_frame : stop + 1 : options.step]
    if not chosen:
        raise TaskDataError(NO_MEDIA)
    # CVAT reads all images, also those that the task leaves out.
    sizes = {name: _image_size(name, _present(name, file)) for name, file in files}
    return TaskMedia(
        frames=tuple(
            Frame(index, name, *sizes[name], seed=0, size=None, source=file)
            for index, (name, file) in enumerate(chosen)
        ),
        originals=tuple((name, _present(name, file)) for name, file in sent),
        start_frame=options.start_frame,
        stop_frame=stop,
        frame_filter=options.frame_filter,
    )


def _image_size(name: str, file: StoredFile) -> tuple[int, int]:
    try:
        return image_size(file)
    except TruncatedImageError:
        raise TaskDataError(TRUNCATED) from None
    except InvalidImageError:
        raise TaskDataError(_unreadable(name)) from None


def _stop(options: DataOptions, count: int) -> int:
    return count - 1 if options.stop_frame is None else min(options.stop_frame, count - 1)


# --- Videos -------------------------------------------------------------------------------------


def _video(name: str, file: StoredFile | None, options: DataOptions) -> TaskMedia:
    file = _present(name, file)
    try:
        count, width, height = video_facts(file)
    except InvalidVideoError:
        raise TaskDataError(
            "av.error.InvalidDataError: [Errno 1094995529] Invalid data found when processing "
            f"input: {name!r}\n"
        ) from None
    stop = _stop(options, count)
    numbers = range(options.start_frame, stop + 1, options.step)
    if not numbers:
        raise TaskDataError(NO_MEDIA)
    seed = zlib.crc32(f"{name} {file.size}".encode()) << 32
    return TaskMedia(
        frames=tuple(
            Frame(index, f"frame_{number:06d}.PNG", width, height, seed + number, None)
            for index, number in enumerate(numbers)
        ),
        originals=((name, file),),
        video=name,
        start_frame=options.start_frame,
        stop_frame=stop,
        frame_filter=options.frame_filter,
    )


# --- Archives -----------------------------------------------------------------------------------


def _unpacked(file: StoredFile) -> Iterator[tuple[str, StoredFile]]:
    """Yield the images of a zip in the order of its directory."""
    try:
        with zipfile.ZipFile(file.path) as archive:
            members = MemberFiles(archive, file.path)
            for name in archive.namelist():
                if is_image_name(name) and not any(word in name for word in _IGNORED):
                    yield name, members.find(name)
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError) as error:
        raise TaskDataError(f"zipfile.{type(error).__name__}: {error}\n") from None
    except RuntimeError as error:  # a member is encrypted
        raise TaskDataError(f"RuntimeError: {error}\n") from None


def find_order_mismatch(names: Mapping[str, object], order: Sequence[str]) -> str | None:
    """Return what CVAT says if the order names other files than those that were sent, or None."""
    found = [f"{name} (missing)" for name in order if name not in names]
    found += [f"{name} (extra)" for name in names if name not in order]
    if not found:
        return None
    listed = ", ".join(found[:5]) + (f" (and {len(found) - 5} more)" if len(found) > 5 else "")
    return (
        "Uploaded files do not match the 'upload_file_order' field contents. Please check the "
        f"uploaded data and the list of uploaded files. Mismatching files: {listed}. "
    )
