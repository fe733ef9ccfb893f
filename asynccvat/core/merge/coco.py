"""Read "COCO 1.0" of a task, and write one file for many tasks, piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.merge.categories import Categories
from asynccvat.core.merge.names import ImageFiles
from asynccvat.core.merge.values import (
    MergeImage,
    MergeLabel,
    MergeObject,
    MergeTask,
    ReadFile,
    are_of_a_video,
    not_mergeable,
)

_PREFIX: Final = "annotations/instances_"


class _Category(msgspec.Struct, frozen=True):
    id: int
    name: str


class _Image(msgspec.Struct, frozen=True, gc=False):
    id: int
    file_name: str
    width: int
    height: int


class _Annotation(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    id: int
    image_id: int
    category_id: int
    area: float
    segmentation: msgspec.Raw
    bbox: msgspec.Raw
    iscrowd: msgspec.Raw
    attributes: msgspec.Raw = msgspec.Raw(b"{}")


class _Document(msgspec.Struct, frozen=True):
    categories: list[_Category]
    images: list[_Image]
    annotations: list[_Annotation]


_decoder: Final = msgspec.json.Decoder(_Document)
_json: Final = msgspec.json.Encoder().encode


def read_coco(paths: Sequence[str], read: ReadFile) -> MergeTask:
    """Read the annotations of a task.

    Args:
        paths: All files of the task.
        read: Reads one of them.

    Raises:
        InexactConversionError: They are not as CVAT writes them.
    """
    images: list[MergeImage] = []
    labels: dict[str, MergeLabel] = {}
    found = ImageFiles(paths)
    names = [path for path in paths if path.startswith(_PREFIX) and path.endswith(".json")]
    if not names:
        raise not_mergeable(f"it has no file {_PREFIX}*.json")
    for path in sorted(names):
        subset = path[len(_PREFIX) : -len(".json")]
        document = _document(path, read)
        labels |= {one.name: MergeLabel(one.name) for one in document.categories}
        images += _images(document, subset, found)
    return MergeTask(list(labels.values()), images, are_of_a_video(images))


def _document(path: str, read: ReadFile) -> _Document:
    try:
        return _decoder.decode(read(path) or b"")
    except UNREADABLE as error:
        raise not_mergeable(f"{path} is not as CVAT writes it: {error}") from error


def _images(document: _Document, subset: str, files: ImageFiles) -> list[MergeImage]:
    names = {one.id: one.name for one in document.categories}
    folders = (f"images/{subset}", "images")
    by_id = {
        one.id: MergeImage(
            one.file_name,
            one.width,
            one.height,
            subset,
            files.find(folders, one.file_name, any_extension=True),
        )
        for one in document.images
    }
    for one in document.annotations:
        if one.image_id not in by_id or one.category_id not in names:
            raise not_mergeable(f"annotation {one.id} names an image or a category that is missing")
        text = (
            f'"segmentation":{_text(one.segmentation)},"area":{_json(one.area).decode()},'
            f'"bbox":{_text(one.bbox)},"iscrowd":{_text(one.iscrowd)},'
            f'"attributes":{_text(one.attributes)}}}'
        )
        by_id[one.image_id].objects.append(MergeObject(names[one.category_id], one.area, text))
    return list(by_id.values())


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode()


class CocoPart:
    """The file of one part of a data set.

    The annotations are written while tasks are read. The images, of which there are fewer, wait in
    memory as text.
    """

    tail: Final = b"]}"
    """What stands behind the annotations."""

    def __init__(self) -> None:
        """Start with no images."""
        self._images: list[bytes] = []
        self._objects = 0

    def add(self, image: MergeImage, name: str, categories: Categories) -> bytes:
        """Add an image; return its annotations as text."""
        image_id = len(self._images) + 1
        size = f'"width":{image.width},"height":{image.height}'
        self._images.append(
            f'{{"id":{image_id},{size},"file_name":'.encode()
            + _json(name)
            + b',"license":0,"flickr_url":"","coco_url":"","date_captured":0}'
        )
        texts = []
        for one in image.objects:
            self._objects += 1
            before = "," if self._objects > 1 else ""
            texts.append(
                f'{before}{{"id":{self._objects},"image_id":{image_id},'
                f'"category_id":{categories.index(one.label) + 1},{one.text}'
            )
        return "".join(texts).encode()

    def head(self, categories: Categories) -> bytes:
        """Return what stands before the annotations. It is known when all of them are."""
        info = dict.fromkeys(("contributor", "date_created", "description", "url", "version"), "")
        described = {
            "licenses": [{"name": "", "id": 0, "url": ""}],
            "info": {**info, "year": ""},
            "categories": [
                {"id": place, "name": name, "supercategory": ""}
                for place, name in enumerate(categories.names, start=1)
            ],
        }
        images = b",".join(self._images)
        return _json(described)[:-1] + b',"images":[' + images + b'],"annotations":['
