"""Options of `create`: what becomes one task, what CVAT makes of its media, and what may happen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from asynccvat.core.declarations import (
    DURATION,
    REPLACING,
    SIZE,
    Folder,
    Number,
    Switch,
    Text,
    option,
)
from asynccvat.core.options.transfer import (
    DEFAULT_EXPORT_TIMEOUT,
    DEFAULT_UPLOAD_LIMIT,
    MOST_CONCURRENCY,
    TransferOptions,
)
from asynccvat.errors import ConfigError

TASKS = "Tasks to create"
FRAMES = "Frames and jobs"

_FIELD = re.compile(r"\{([^{}]*)\}")
_FIELDS = ("name", "part")


class Sorting(StrEnum):
    """The order of a task's images."""

    NATURAL = "natural"
    """By name, numbers by their values: `f9.jpg` before `f10.jpg`."""
    LEXICOGRAPHICAL = "lexicographical"
    """By name, character by character."""
    RANDOM = "random"
    """Shuffled by the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOptions(TransferOptions):
    """Options of `create`, `open_create` and `plan_create`.

    Attributes:
        concurrency: Tasks whose data the server processes at once. None learns how many it can.
        transfers: Tasks whose media are sent at once.
        retries: How often one step of one task is retried, if that is known to be safe.
        wait_for_server: Seconds that a run waits for a server that stopped answering, 0 for not.
        queue_timeout: Seconds that requests may wait while nothing leaves the server's queue.
        max_time: Seconds that the whole run may take, None for no limit. What is done is kept.
        durable: Sync the journal to disk before each call that makes something.
        name: The task's name: a text with `{name}`, the folder's or file's own, and `{part}`, the
            number of a part. None for `{name}`, and `{name}-{part}` with `split`.
        split: Images in a task at most. None makes one task of each folder.
        single: Make one task of all images below the source.
        subset: The subset of the tasks, "" for none.
        skip_others: Leave out files that are no media, instead of refusing the folder.
        follow_links: Also take the folders that links lead to. Links to files are always followed.
        annotations: Import the annotations that lie beside the media.
        same_name: Also create tasks of a name that a task of the project has already.
        again: Also create tasks that were created before and are gone from the server.
        journal: The folder of the journal. None for `.asynccvat` in the source.
        image_quality: Percent, of the images that CVAT shows to annotators.
        chunk_size: Frames in a chunk of data. None for what the server chooses.
        sorting: The order of the images.
        start_frame: The first frame, counted from 0.
        stop_frame: The last frame, inclusive. None for the last one of the media.
        frame_step: Take each frame, each second one, and so on.
        segment_size: Frames in a job. None makes one job of each task.
        overlap: Frames that neighbouring jobs share. None for what the server chooses.
        upload_limit: Bytes of the largest file that the server takes. The images of a task are one
            file, a zip.
        import_timeout: Seconds that the server may process one task, counted from the start.
        break_lock: Take over the journal's lock, although its owner cannot be asked.
    """

    name: str | None = option(
        None,
        "--name",
        "The tasks' names, with {name} for the folder's or file's own and {part} for the number of "
        "a part.",
        Text(metavar="TEXT"),
        group=TASKS,
    )
    split: int | None = option(
        None,
        "--split",
        "Make tasks of at most this many images of a folder.",
        Number(1, example=500),
        group=TASKS,
    )
    single: bool = option(
        False, "--single", "Make one task of all images below SRC.", Switch(), group=TASKS
    )
    subset: str = option(
        "", "--subset", "The subset of the tasks.", Text(may_be_empty=True), group=TASKS
    )
    skip_others: bool = option(
        False,
        "--skip-others",
        "Leave out files that are neither media nor annotations, instead of refusing their folder.",
        Switch(),
        group=TASKS,
    )
    follow_links: bool = option(
        False,
        "--follow-links",
        "Also take the folders that links below SRC lead to; links to files are always followed.",
        Switch(),
        group=TASKS,
    )
    annotations: bool = option(
        True,
        "--no-annotations",
        "Do not import the annotations that lie beside the images.",
        Switch(),
        group=TASKS,
    )
    journal: str | PurePath | None = option(  # noqa: RUF009 - a declared field, as all of these
        None,
        "--journal",
        "The folder of the journal, by which the next run goes on. By default in SRC.",
        Folder(),
        group=TASKS,
    )
    image_quality: int = option(
        70,
        "--image-quality",
        "Percent, of the images that annotators see.",
        Number(0, example=70, most=100),
        group=FRAMES,
    )
    chunk_size: int | None = option(
        None,
        "--chunk-size",
        "Frames in a chunk of data; by default the server chooses.",
        Number(1, example=36),
        group=FRAMES,
    )
    sorting: str = option(
        Sorting.NATURAL.value,
        "--sorting",
        "The order of the images: by name, numbers by their values (natural), by name character by "
        "character (lexicographical), or random. --order FILE gives another one.",
        Text(tuple(Sorting)),
        group=FRAMES,
    )
    start_frame: int = option(
        0,
        "--start-frame",
        "The first frame, counted from 0.",
        Number(0, example=10),
        group=FRAMES,
    )
    stop_frame: int | None = option(
        None,
        "--stop-frame",
        "The last frame, inclusive; by default the last one there is.",
        Number(0, example=999),
        group=FRAMES,
    )
    frame_step: int = option(
        1, "--frame-step", "Take each Nth frame only.", Number(1, example=5), group=FRAMES
    )
    segment_size: int | None = option(
        None,
        "--segment-size",
        "Frames in a job; by default one job for each task.",
        Number(1, example=100),
        group=FRAMES,
    )
    overlap: int | None = option(
        None,
        "--overlap",
        "Frames that neighbouring jobs share.",
        Number(0, example=5),
        group=FRAMES,
    )
    same_name: bool = option(
        False,
        "--same-name",
        "Also create tasks of a name that a task of the project has already.",
        Switch(),
        group=REPLACING,
    )
    again: bool = option(
        False,
        "--again",
        "Also create tasks again that an earlier run created and the server no longer has.",
        Switch(),
        group=REPLACING,
    )
    break_lock: bool = option(
        False,
        "--break-lock",
        "Take over the lock of a process that has surely ended.",
        Switch(),
        group=REPLACING,
    )
    concurrency: int | None = option(
        None,
        "--concurrency",
        "Tasks whose data the server processes at once, at most 128; by default learned during the "
        "run.",
        Number(1, example=4, most=MOST_CONCURRENCY),
    )
    transfers: int = option(
        4, "--transfers", "Tasks whose media are sent at once.", Number(1, example=4)
    )
    upload_limit: int = option(
        DEFAULT_UPLOAD_LIMIT,
        "--upload-limit",
        "The largest file that the server takes, like 25G; larger tasks are refused at once.",
        SIZE,
    )
    import_timeout: float = option(
        DEFAULT_EXPORT_TIMEOUT,
        "--import-timeout",
        "How long the server may process one task, its time in the queue excluded: seconds, or "
        "like 30m or 4h.",
        DURATION,
    )
    durable: bool = option(
        True,
        "--no-fsync",
        "Do not sync the journal to disk: faster, but not safe against a power cut.",
        Switch(),
    )

    def __post_init__(self) -> None:
        TransferOptions.__post_init__(self)
        unknown = [one for one in _FIELD.findall(self.template) if one not in _FIELDS]
        if unknown:
            raise ConfigError(
                f"--name {self.template!r} holds {{{unknown[0]}}}, which stands for nothing. Use "
                "{name} and {part}."
            )
        if self.stop_frame is not None and self.stop_frame < self.start_frame:
            raise ConfigError(
                f"--stop-frame {self.stop_frame} is before --start-frame {self.start_frame}. Swap "
                "them."
            )
        if self.overlap is not None and self.segment_size is None:
            raise ConfigError("--overlap needs --segment-size: a single job has no neighbour.")
        if self.overlap and self.segment_size is not None and self.overlap >= self.segment_size:
            raise ConfigError(
                f"--overlap {self.overlap} is not smaller than --segment-size {self.segment_size}. "
                "Give fewer frames that jobs share."
            )

    @property
    def template(self) -> str:
        """The text that makes the tasks' names."""
        if self.name is not None:
            return self.name
        return "{name}" if self.split is None else "{name}-{part}"

    def task_name(self, own: str, part: str) -> str:
        """Return the name of a task, without spaces around it: CVAT cuts these off.

        Args:
            own: The name of its folder or file.
            part: The number of the part, "" for no part.
        """
        if self.name is None and not part:
            return own.strip()  # a video beside folders that are split
        values = {"name": own, "part": part}
        return _FIELD.sub(lambda found: values[found[1]], self.template).strip()

    def frames_of(self, available: int) -> int:
        """Return how many frames a task has of the media's frames."""
        return len(self.frame_range(available))

    def frame_range(self, available: int) -> range:
        """Return which of the media's frames a task has, counted from 0."""
        stop = available - 1 if self.stop_frame is None else min(self.stop_frame, available - 1)
        return range(self.start_frame, stop + 1, self.frame_step)

    def data_options(self, *, ordered: bool = False) -> dict[str, object]:
        """Return what CVAT is told about the media, as JSON types.

        Args:
            ordered: Whether the images are sent in the order of the frames.
        """
        told: dict[str, object] = {
            "image_quality": self.image_quality,
            "use_zip_chunks": True,
            "use_cache": True,
            # The order of the zip's members; `upload_file_order` is for single images.
            "sorting_method": "predefined" if ordered else self.sorting,
        }
        if self.chunk_size is not None:
            told["chunk_size"] = self.chunk_size
        if self.start_frame:
            told["start_frame"] = self.start_frame
        if self.stop_frame is not None:
            told["stop_frame"] = self.stop_frame
        if self.frame_step > 1:
            told["frame_filter"] = f"step={self.frame_step}"
        return told
