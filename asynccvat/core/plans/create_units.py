"""Decide what becomes one task: group the files of a folder, and find what cannot be used.

Each folder with images makes a task, and each video and each zip of images. `core.plans.create`
compares these with what was created before, `commands.create.sources` lists the files and reads
their ends.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from asynccvat.core.media.kinds import (
    MediaKind,
    collisions,
    is_context,
    media_type,
    natural_key,
    shown,
    unusable_name,
)
from asynccvat.core.options.create import CreateOptions
from asynccvat.core.plans.create_annotations import CVAT, AnnotationsBeside, annotations_in
from asynccvat.core.plans.create_order import FrameOrder
from asynccvat.core.zip.stored import StoredMember, StoredZip
from asynccvat.errors import ConfigError

_LONGEST_NAME = 256
"""Characters of a task's name, as CVAT stores it."""


class ListedFile(msgspec.Struct, frozen=True, gc=False):
    """A file below the source.

    Attributes:
        path: Its path below the source, with `/`.
        size: Bytes.
        mtime_ns: When it was changed last, nanoseconds.
        problem: Why it cannot be used, as the end of a sentence; None if it can.
    """

    path: str
    size: int
    mtime_ns: int
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class MediaUnit:
    """What one task is made of.

    Attributes:
        key: What the journal knows it by: the folder or file below the source, and the part.
        name: The task's name.
        kind: Images, a video or a zip.
        folder: What stands before the names of its files: "" or a folder with a slash.
        files: Its files. A video and a zip are one.
        available: Frames of the media, None for what only the server can count.
        annotations: The annotation file next to the media, None if there is none.
        problems: Why it cannot be used. Empty if it can.
        ordered: Whether the user named the order of its files.
    """

    key: str
    name: str
    kind: MediaKind
    folder: str
    files: tuple[ListedFile, ...] = field(repr=False)
    available: int | None
    annotations: AnnotationsBeside | None = None
    problems: tuple[str, ...] = ()
    ordered: bool = False

    @property
    def shown(self) -> str:
        """What messages call it: its key, or its name if it is the source itself."""
        return self.name if self.key == "." or self.key.startswith(".#") else self.key

    @property
    def path(self) -> str:
        """The folder of its images, or its one file, below the source."""
        return self.folder if self.kind is MediaKind.IMAGE else self.files[0].path

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.files)

    @property
    def sent_size(self) -> int:
        """Bytes of the one file that is sent: images are sent as a stored zip."""
        if self.kind is not MediaKind.IMAGE:
            return self.size
        members = [StoredMember(self.member_name(file), file.size) for file in self.files]
        return StoredZip(members).size

    @property
    def fingerprint(self) -> str:
        """What changes with the names, sizes and times of its files."""
        digest = hashlib.sha256()
        for file in self.files:
            line = f"{file.path}\0{file.size}\0{file.mtime_ns}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def frame_names(self, options: CreateOptions) -> list[str]:
        """Return the names of the frames of images, in the order of the files."""
        frames = [file for file in self.files if not is_context(file.path)]
        return [self.member_name(frames[index]) for index in options.frame_range(len(frames))]

    def member_name(self, file: ListedFile) -> str:
        """Return the name of one of its files in the task."""
        return file.path.removeprefix(self.folder)


@dataclass(slots=True)
class _Group:
    """The files of one folder.

    Attributes:
        folder: "" or the folder with a slash.
        others: Files that are no media.
    """

    folder: str
    own_name: str
    images: list[ListedFile] = field(default_factory=list)
    single: list[ListedFile] = field(default_factory=list)
    others: list[ListedFile] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def paths_of_others(self) -> list[str]:
        """The paths of the files that are no media."""
        return [file.path for file in self.others]


def find_units(
    files: Iterable[ListedFile],
    source_name: str,
    options: CreateOptions,
    order: FrameOrder | None = None,
) -> tuple[MediaUnit, ...]:
    """Group the files below a source into what becomes one task each.

    Args:
        files: The files, without hidden ones.
        source_name: The name of the source itself, for images that lie directly in it.
        options: How they are grouped and named.
        order: The order of the images, None for the natural one.

    Returns:
        The units in natural order of their keys, with the problems that names show.

    Raises:
        ConfigError: The order names images that are not there, or annotations belong to all images
            of several tasks.
    """
    groups: dict[str, _Group] = {}
    for file in files:
        top, slash, _ = file.path.partition("/")
        folder = "" if options.single or not slash else f"{top}/"
        own = source_name if not folder else top
        _sort_in(groups.setdefault(folder, _Group(folder, own)), file)
    _check_annotations_of_all(groups, options)
    if order is not None:
        order.check(image.path for group in groups.values() for image in group.images)
    units: list[MediaUnit] = []
    for folder in sorted(groups, key=lambda one: natural_key(one.rstrip("/"))):
        units += _units_of(groups[folder], options, order)
    return _with_name_problems(units)


def _check_annotations_of_all(groups: Mapping[str, _Group], options: CreateOptions) -> None:
    """Check that no annotations belong to the images of several tasks.

    Raises:
        ConfigError: Some do, as in a dataset whose images are in a folder of their own.
    """
    without = [one for one in groups.values() if not (one.images or one.single)]
    has_images = any(one.images for one in groups.values())
    of_source = not (groups[""].images or groups[""].single) if "" in groups else True
    if options.single or not options.annotations or not has_images or not of_source:
        return
    _, used, _ = annotations_in("", [path for one in without for path in one.paths_of_others])
    if used:
        raise ConfigError(
            f"cannot create a task of each folder: {shown(min(used))} holds annotations of all of "
            "them. Give --single for one task of all images, or --no-annotations."
        )


def _whose(annotations: AnnotationsBeside, videos: int) -> str:
    """Return the problem of annotations that belong to no media, or to one of several."""
    if not videos:
        return f"{shown(annotations.path)} annotates nothing here: remove it"
    return (
        f"{shown(annotations.path)} may belong to any of {videos} videos and zips: name it like "
        "its video, with '.xml' at the end, or give --no-annotations"
    )


def _sort_in(group: _Group, file: ListedFile) -> None:
    if file.problem is not None:
        group.problems.append(f"{shown(file.path)} {file.problem}")
        return
    kind = media_type(file.path.rpartition("/")[2])
    if kind is None:
        group.others.append(file)
    elif kind.kind is MediaKind.IMAGE:
        group.images.append(file)
    else:
        group.single.append(file)


def _units_of(group: _Group, options: CreateOptions, order: FrameOrder | None) -> list[MediaUnit]:
    annotations, used, problems = annotations_in(group.folder, group.paths_of_others)
    single_media = not group.images and len(group.single) == 1
    if annotations is not None and not (group.images or single_media or not options.annotations):
        problems.append(_whose(annotations, len(group.single)))
    problems = [*group.problems, *problems]
    units: list[MediaUnit] = []
    for file in sorted(group.single, key=lambda one: natural_key(one.path)):
        unit, sidecar = _unit_of_file(group, file, options, annotations if single_media else None)
        used |= {sidecar} if sidecar is not None else set()
        units.append(unit)
    if not options.skip_others:
        problems += [
            f"{shown(file.path)} is neither media nor annotations: remove it, or give --skip-others"
            for file in group.others
            if file.path not in used
        ]
    if group.images or (problems and not units):
        units[:0] = _units_of_images(group, options, annotations, problems, order)
        problems = []
    if problems:
        # All units of the folder: none can be used before the folder is mended.
        units = [_with_problems(unit, problems) for unit in units]
    return units


def _unit_of_file(
    group: _Group, file: ListedFile, options: CreateOptions, beside: AnnotationsBeside | None
) -> tuple[MediaUnit, str | None]:
    """Return the unit of a video or a zip, and the annotation file of the same name."""
    path = file.path
    stem = path.rpartition(".")[0]
    sidecar = next((one.path for one in group.others if one.path == f"{stem}.xml"), None)
    if sidecar is not None:
        beside = AnnotationsBeside(sidecar, CVAT)
    kind = media_type(path)
    assert kind is not None, "only media are sorted in here"
    why = unusable_name(path)
    unit = MediaUnit(
        key=path,
        name=options.task_name(stem, ""),
        kind=kind.kind,
        folder=path[: -len(path.rpartition("/")[2])],
        files=(file,),
        available=None,
        annotations=beside if options.annotations else None,
        problems=() if why is None else (f"{shown(path)}: {why}",),
    )
    return unit, sidecar


def _units_of_images(
    group: _Group,
    options: CreateOptions,
    annotations: AnnotationsBeside | None,
    problems: Sequence[str],
    order: FrameOrder | None,
) -> list[MediaUnit]:
    images = sorted(group.images, key=lambda one: natural_key(one.path))
    frames = [file for file in images if not is_context(file.path)]
    problems = [*problems, *_name_problems(group, images)]
    if order is not None:
        problems += order.problems([file.path for file in frames])
        images.sort(key=lambda one: (is_context(one.path), order.place(one.path)))
    if not frames:
        problems.append("it holds no images or videos")
    split = options.split
    if split is not None and annotations is not None and options.annotations:
        problems.append(
            f"{shown(annotations.path)} annotates the whole folder, which --split takes apart: "
            "give --no-annotations"
        )
    if split is not None and len(frames) < len(images):
        problems.append("it holds context images (related_images), which --split cannot share")
    key = group.folder.rstrip("/") or "."
    pieces = [images] if split is None else _pieces(images, split)
    width = len(str(len(pieces)))
    units = []
    for number, piece in enumerate(pieces, 1):
        part = "" if split is None else f"{number:0{width}}"
        units.append(
            MediaUnit(
                key=f"{key}#{number}" if part else key,
                name=options.task_name(group.own_name, part),
                kind=MediaKind.IMAGE,
                folder=group.folder,
                files=tuple(piece),
                available=len(frames) if split is None else len(piece),
                annotations=annotations if options.annotations else None,
                problems=tuple(problems),
                ordered=order is not None,
            )
        )
    return units


def _pieces(images: list[ListedFile], split: int) -> list[list[ListedFile]]:
    return [images[start : start + split] for start in range(0, len(images), split)] or [[]]


def _name_problems(group: _Group, images: Sequence[ListedFile]) -> list[str]:
    """Return the problems that the names of a folder's images show."""
    names = [file.path.removeprefix(group.folder) for file in images]
    found = [f"{shown(name)}: {why}" for name in names if (why := unusable_name(name)) is not None]
    found += [
        f"{shown(name)} and {shown(first)} differ only by case or accents, which some systems take "
        "for one: rename one"
        for name, first in collisions(names)
    ]
    return found


def _with_problems(unit: MediaUnit, problems: Sequence[str]) -> MediaUnit:
    return replace(unit, problems=(*unit.problems, *problems))


def _with_name_problems(units: Sequence[MediaUnit]) -> tuple[MediaUnit, ...]:
    """Add what is wrong with the tasks' names: empty, too long, or the same twice."""
    by_name: defaultdict[str, list[MediaUnit]] = defaultdict(list)
    for unit in units:
        by_name[unit.name].append(unit)
    checked = []
    for unit in units:
        found = []
        if not unit.name.strip():
            found.append("its task would have no name: give another --name")
        elif len(unit.name) > _LONGEST_NAME:
            found.append(f"its task's name has more than {_LONGEST_NAME} characters: give --name")
        elif (why := unusable_name(unit.name)) is not None and "backslash" not in why:
            found.append(f"{why}, so no task can have it: rename it")
        first = by_name[unit.name][0]
        if first is not unit:
            found.append(
                f"its task would have the same name as that of {shown(first.key)}, {unit.name!r}: "
                "give a --name with {name} and {part}"
            )
        checked.append(_with_problems(unit, found) if found else unit)
    return tuple(checked)
