"""Write the parts of a data set, task by task."""

from __future__ import annotations

import contextlib
from typing import BinaryIO

from asynccvat.commands.merge.reading import TaskFolder
from asynccvat.core.merge.categories import Categories
from asynccvat.core.merge.choices import DataSetFormat
from asynccvat.core.merge.coco import CocoPart
from asynccvat.core.merge.cvat import CvatPart
from asynccvat.core.merge.names import ImageNames
from asynccvat.core.merge.report import MergedPart
from asynccvat.core.merge.values import MergeImage, not_mergeable
from asynccvat.core.merge.yolo import data_yaml, label_file, label_path
from asynccvat.core.paths import NameRules, safe_member_path
from asynccvat.store.data_sets import DataSetFolder


class DataSetWriter:
    """Writes images and annotations to the folder of a data set.

    Attributes:
        parts: The counts of each part, by its name.
    """

    def __init__(
        self, folder: DataSetFolder, to: DataSetFormat, categories: Categories, *, link: bool
    ) -> None:
        """Start without parts. Close it when everything is written."""
        self.parts: dict[str, MergedPart] = {}
        self._folder = folder
        self._to = to
        self._categories = categories
        self._link = link
        self._open: dict[str, tuple[CocoPart | CvatPart, BinaryIO]] = {}
        self._stack = contextlib.ExitStack()

    def close(self) -> None:
        """Close the files that are not finished."""
        self._stack.close()

    def add(self, task: TaskFolder, images: list[tuple[str, MergeImage]]) -> None:
        """Add images of a task, each with the part to which it belongs: all of them or none.

        Raises:
            InexactConversionError: The mirror lacks the file of an image.
            StoreError: The disk refuses it, or a file of others is in the way.
            UnsafePathError: The name of an image leads outside.
        """
        names: dict[str, ImageNames] = {}
        checked = []
        for part, image in images:
            if part not in names:
                names[part] = ImageNames(task.place, for_yolo=self._to is DataSetFormat.YOLO)
            name = names[part].unique(_file_name(image))
            safe_member_path(f"images/{part}/{name}", NameRules())
            _check_file(task, image)
            checked.append((part, image, name))
        for part in names:
            self.parts.setdefault(part, MergedPart(part)).tasks += 1
        for part, image, name in checked:
            self._add(task, part, image, name)

    def finish(self) -> None:
        """Write the files of annotations, and remove what is no longer a part.

        Raises:
            StoreError: The disk refuses it, or a file of others is in the way.
        """
        for part, (writer, body) in self._open.items():
            path = (
                f"annotations/instances_{part}.json"
                if self._to is DataSetFormat.COCO
                else f"{part}/annotations.xml"
            )
            self._folder.add_text(path, writer.head(self._categories), body, writer.tail)
        if self._to is DataSetFormat.YOLO:
            self._folder.add_text("data.yaml", data_yaml(sorted(self.parts), self._categories))
        self._folder.finish()

    def _add(self, task: TaskFolder, part: str, image: MergeImage, name: str) -> None:
        counts = self.parts[part]
        counts.images += 1
        counts.empty += not image.objects
        counts.objects.update(one.label for one in image.objects)
        if image.file is None:
            counts.without_file += 1
        else:
            folder = f"{part}/images" if self._to is DataSetFormat.CVAT else f"images/{part}"
            self._folder.add_image(f"{folder}/{name}", task.path(image.file), link=self._link)
        if self._to is DataSetFormat.YOLO:
            labels = label_file(image, self._categories)
            self._folder.add_text(label_path(part, name), labels)
            return
        writer, body = self._part(part)
        body.write(writer.add(image, name, self._categories))

    def _part(self, part: str) -> tuple[CocoPart | CvatPart, BinaryIO]:
        if part not in self._open:
            writer = CocoPart() if self._to is DataSetFormat.COCO else CvatPart(part)
            self._open[part] = writer, self._stack.enter_context(self._folder.body())
        return self._open[part]


def _check_file(task: TaskFolder, image: MergeImage) -> None:
    if image.file is not None and not task.path(image.file).is_file():
        raise not_mergeable(
            f"its file {image.file!r} is missing. Repair the mirror with `asynccvat verify "
            "--repair`"
        )


def _file_name(image: MergeImage) -> str:
    """Return the name of an image with the extension of its file."""
    if image.file is None or image.file.endswith(f"/{image.name}"):
        return image.name
    folders, slash, _ = image.name.rpartition("/")
    return folders + slash + image.file.rpartition("/")[2]
