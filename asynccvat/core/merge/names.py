"""Give the images of many tasks names that are unique in the data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath
from posixpath import splitext
from typing import Final

_IMAGES: Final = "images"


def source_prefixes(sources: Sequence[PurePath]) -> list[str]:
    """Return what goes before the folders of each mirror's tasks, so that no two meet.

    One mirror needs nothing. Of several, the name of the folder tells them apart.
    """
    if len(sources) == 1:
        return [""]
    taken: set[str] = set()
    prefixes = []
    for number, source in enumerate(sources, start=1):
        name = source.name or f"mirror{number}"
        while name in taken:
            name = f"{name}-{number}"
        taken.add(name)
        prefixes.append(f"{name}/")
    return prefixes


class ImageNames:
    """Names for the images of one task.

    Ultralytics finds the labels of an image by its path: the last folder `images` is replaced by
    `labels`, and the extension by `.txt`. So two images cannot differ by their extensions alone,
    and no other folder can be called `images`. Source: `img2label_paths` in
    `ultralytics/data/utils.py`.
    """

    def __init__(self, prefix: str, *, for_yolo: bool) -> None:
        """Start with no names.

        Args:
            prefix: The folder for the images, relative to those of the part.
            for_yolo: Keep the rules of Ultralytics.
        """
        self._prefix = prefix
        self._for_yolo = for_yolo
        self._taken: set[str] = set()

    def unique(self, name: str) -> str:
        """Return the path for an image that has this name in its task."""
        path = f"{self._prefix}/{name}"
        if self._for_yolo:
            path = "/".join(_renamed(path.split("/")))
        stem, extension = splitext(path)
        number = 1
        while self._key(path) in self._taken:
            number += 1
            path = f"{stem}-{number}{extension}"
        self._taken.add(self._key(path))
        return path

    def _key(self, path: str) -> str:
        return splitext(path)[0] if self._for_yolo else path


def _renamed(components: Iterable[str]) -> Iterable[str]:
    return (f"{one}_" if one == _IMAGES else one for one in components)


class ImageFiles:
    """Find the file of an image among the files of a task's folder."""

    def __init__(self, paths: Iterable[str]) -> None:
        """Look at the paths of all files, relative to the task's folder."""
        self._paths = set(paths)
        # The frames of a video are files whose extension the annotations do not tell.
        self._by_stem = {splitext(path)[0]: path for path in sorted(self._paths, reverse=True)}

    def find(self, folders: Iterable[str], name: str, *, any_extension: bool) -> str | None:
        """Return the path of an image.

        Args:
            folders: Where it may be.
            name: Its name there.
            any_extension: Take a file that has another extension, too.
        """
        for folder in folders:
            path = f"{folder}/{name}"
            if path in self._paths:
                return path
            stem = splitext(path)[0]
            if any_extension and (path in self._by_stem or stem in self._by_stem):
                return self._by_stem.get(path) or self._by_stem[stem]
        return None
