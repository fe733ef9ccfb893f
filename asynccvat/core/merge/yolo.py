"""Read "Ultralytics YOLO Detection 1.0" and "YOLO 1.1" of a task; write one data set's files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from posixpath import splitext
from typing import Any, Final

import yaml

from asynccvat.core.merge.categories import Categories
from asynccvat.core.merge.names import ImageFiles
from asynccvat.core.merge.splits import TRAIN
from asynccvat.core.merge.values import (
    MergeImage,
    MergeLabel,
    MergeObject,
    MergeTask,
    ReadFile,
    are_of_a_video,
    not_mergeable,
)

_OLD_NAMES: Final = "obj.names"
_NAMES: Final = "data.yaml"


def read_yolo(
    paths: Sequence[str], read: ReadFile, sizes: Sequence[tuple[int, int]] = ()
) -> MergeTask:
    """Read the rectangles of a task.

    Args:
        paths: All files of the task.
        read: Reads one of them.
        sizes: Width and height of each image, in the order of the list of images. The files do not
            tell them; without, no object has an area.

    Raises:
        InexactConversionError: They are not as CVAT writes them.
    """
    is_old = _OLD_NAMES in paths
    names, lists = _old_head(paths, read) if is_old else _head(read)
    files, known = ImageFiles(paths), set(paths)
    images: list[MergeImage] = []
    for subset, path in lists:
        for line in _text(path, read).splitlines():
            image = line.strip().removeprefix("data/")
            if not image:
                continue
            top = f"obj_{subset}_data" if is_old else f"images/{subset}"
            name = image.removeprefix(f"{top}/")
            labels = f"{splitext(f'{top}/{name}')[0]}.txt"
            if not is_old:
                labels = labels.replace("images/", "labels/", 1)
            file = files.find((top, "images"), name, any_extension=False)
            width, height = sizes[len(images)] if sizes else (0, 0)
            one = MergeImage(name, width, height, subset, file)
            if labels in known:
                one.objects += _objects(labels, read, names, width * height)
            images.append(one)
    return MergeTask([MergeLabel(name) for name in names], images, are_of_a_video(images))


def _head(read: ReadFile) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the names of the labels, and each subset with its list of images."""
    try:
        found: Any = yaml.safe_load(_text(_NAMES, read))
        names = found.pop("names")
        listed = list(names.values()) if isinstance(names, dict) else list(names)
        lists = [(key, value) for key, value in found.items() if str(value).endswith(".txt")]
    except (yaml.YAMLError, AttributeError, TypeError, KeyError) as error:
        raise not_mergeable(f"{_NAMES} is not as CVAT writes it") from error
    return [str(one) for one in listed], lists


def _old_head(paths: Iterable[str], read: ReadFile) -> tuple[list[str], list[tuple[str, str]]]:
    names = _text(_OLD_NAMES, read).splitlines()
    lists = [path for path in paths if "/" not in path and path.endswith(".txt")]
    return names, [(path.removesuffix(".txt"), path) for path in sorted(lists)]


def _text(path: str, read: ReadFile) -> str:
    content = read(path)
    if content is None:
        raise not_mergeable(f"{path} is missing")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise not_mergeable(f"{path} is no text in UTF-8") from error


def _objects(path: str, read: ReadFile, names: Sequence[str], pixels: int) -> Iterator[MergeObject]:
    known = dict(enumerate(names))
    for line in _text(path, read).splitlines():
        first, _, rest = line.partition(" ")
        try:
            _, _, width, height = map(float, rest.split())
            label = known[int(first)]
        except (ValueError, KeyError):
            raise not_mergeable(f"{path} has a line that is no rectangle: {line[:60]!r}") from None
        yield MergeObject(label, width * height * pixels if pixels else None, rest)


def label_path(part: str, image: str) -> str:
    """Return the path of an image's file of labels, where Ultralytics looks for it."""
    return f"labels/{part}/{splitext(image)[0]}.txt"


def label_file(image: MergeImage, categories: Categories) -> bytes:
    """Write the rectangles of an image: class, centre and size, relative to the image."""
    return "".join(f"{categories.index(one.label)} {one.text}\n" for one in image.objects).encode()


def data_yaml(parts: Sequence[str], categories: Categories) -> bytes:
    """Write `data.yaml`. Its paths are relative to its own folder.

    Ultralytics wants `train` and `val`; a missing one is the first part.
    """
    lists = {part: f"images/{part}" for part in parts}
    for needed in (TRAIN, "val"):
        if parts and needed not in lists:
            lists[needed] = f"images/{parts[0]}"
    described = {**lists, "names": dict(enumerate(categories.names))}
    return yaml.safe_dump(described, sort_keys=False, allow_unicode=True).encode()
