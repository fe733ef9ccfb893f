"""Annotation files: which one of a task's folder is meant, and whether it can be what it claims.

CVAT takes whatever it is sent, and an import replaces a task's annotations: a file that is not
what it should be can empty the task. So the first and the last bytes are looked at before any is
sent. Reading and packing are left to `sources`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from asynccvat.core.importers import importer_name
from asynccvat.core.models import Format
from asynccvat.errors import AnnotationFileError

HEAD_BYTES = 65_536
TAIL_BYTES = 65_557
"""As much as may follow the first byte of the record that ends a zip, its comment included."""

_PSEUDO = "_pseudo"
_MEDIA_FOLDERS = frozenset({"images", "JPEGImages", "img1"})
_YOLO_MEDIA = re.compile(r"obj_[^/]*_data", re.IGNORECASE)
# fmt: off
_MEDIA = frozenset({
    ".avi", ".avif", ".bmp", ".gif", ".heic", ".jp2", ".jpe", ".jpeg", ".jpg", ".m4v", ".mkv",
    ".mov", ".mp4", ".mpg", ".png", ".tif", ".tiff", ".webm", ".webp",
})
# fmt: on
_XML_ROOT = re.compile(r"<([A-Za-z_][\w.:-]*)")
_XML_ASIDE = re.compile(r"<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[[^\]]*\])?[^>]*>", re.DOTALL)
_XML_CLOSED = re.compile(
    r"(?:</annotations\s*>|<annotations\b[^<>]*/>)(?:\s|<!--.*?-->)*\Z", re.DOTALL
)
_HTML = re.compile(r"<(?:!doctype\s+html|html)\b", re.IGNORECASE)


class FileKind(StrEnum):
    """What a file is, in the words of the server's own list of formats."""

    XML = "XML"
    JSON = "JSON"
    ZIP = "ZIP"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is to be uploaded of a folder: one file as it is, or several in a zip.

    Attributes:
        paths: Relative to the folder, with `/`; in order.
        packed: Whether they go in a zip.
    """

    paths: tuple[str, ...]
    packed: bool = False


def choose(paths: Iterable[str], format_name: str, *, folder: str) -> Chosen:
    """Choose what a task's folder holds for a format.

    The file that a model's predictions are usually written to comes first
    (`annotations_pseudo.xml`), then the one that an export wrote. Other formats, whose exports are
    many files, go as the one zip that lies there, or else are packed, without the images.

    Args:
        paths: The folder's files, relative to it, with `/`.
        format_name: The importer's or the exporter's name.
        folder: Where it is, for the messages.

    Raises:
        AnnotationFileError: There is none, or more than one that could be meant.
    """
    present = sorted(path for path in paths if not _is_hidden(path))
    importer = importer_name(format_name)
    zips = [path for path in present if "/" not in path and path.lower().endswith(".zip")]
    wanted, pattern = _single_file(importer)
    for path in wanted:
        if path in present:
            return Chosen((path,))
    if pattern is not None:
        found = [path for path in present if fnmatchcase(path, pattern)]
        predicted = [path for path in found if path.endswith(f"{_PSEUDO}.json")]
        written = [path for path in found if path not in predicted]
        if len(found) == 1 or (len(predicted) == 1 and len(written) == 1):
            return Chosen(tuple(predicted or written))
        if found:
            raise _ambiguous(folder, found)
    if len(zips) > 1:
        raise _ambiguous(folder, zips)
    if zips:
        return Chosen((zips[0],))
    if wanted:
        names = ", ".join([*wanted, *([pattern] if pattern else [])])
        raise AnnotationFileError(
            f"{folder} holds none of {names}, nor a zip, for {importer!r}: name the file itself, "
            "or another format"
        )
    packable = tuple(path for path in present if not _is_media(path))
    if not packable:
        raise AnnotationFileError(
            f"{folder} holds no annotations to pack for {importer!r}: name the file itself, or "
            "another format"
        )
    return Chosen(packable, packed=True)


def _single_file(importer: str) -> tuple[tuple[str, ...], str | None]:
    """The names that a format's single file can have, in order, and the pattern of the rest."""
    if importer.startswith("CVAT "):
        return (f"annotations{_PSEUDO}.xml", "annotations.xml"), None
    if importer.startswith("COCO "):
        stem = "person_keypoints" if "Keypoints" in importer else "instances"
        default = f"annotations/{stem}_default"
        return (f"{default}{_PSEUDO}.json", f"{default}.json"), f"annotations/{stem}_*.json"
    return (), None


def _ambiguous(folder: str, paths: Sequence[str]) -> AnnotationFileError:
    return AnnotationFileError(
        f"{folder} holds {', '.join(paths[:-1])} and {paths[-1]}, and only one can be uploaded: "
        "remove the other, or name the file itself"
    )


def _is_hidden(path: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.split("/"))


def _is_media(path: str) -> bool:
    """Whether a file is an image of the task, which an import of annotations does not need.

    Masks are images, too, and some formats say everything by the folder that an image lies in:
    so only what lies where images alone lie is left out.
    """
    folder, slash, name = path.rpartition("/")
    if not slash or f".{name.rpartition('.')[2].lower()}" not in _MEDIA:
        return False
    first = folder.partition("/")[0]
    return first in _MEDIA_FOLDERS or _YOLO_MEDIA.fullmatch(first) is not None


def check(head: bytes, tail: bytes, importer: Format, *, name: str) -> FileKind:
    """Make sure that an importer can take a file, as far as its first and last bytes tell.

    Args:
        head: The first `HEAD_BYTES`, or all where there are fewer.
        tail: The last `TAIL_BYTES`, or all where there are fewer.
        importer: What is to read it.
        name: The file, for the messages.

    Raises:
        AnnotationFileError: It cannot.
    """
    kind = kind_of(head, tail, name=name)
    takes = kinds(importer)
    if takes and kind not in takes:
        raise AnnotationFileError(
            f"{name} is {kind}, and {importer.name!r} takes {' or '.join(sorted(takes))}: name "
            "another file, or the format that it has"
        )
    if kind is FileKind.XML and importer.name.startswith("CVAT "):
        _check_cvat_xml(head, name)
        if not _XML_CLOSED.search(_text(tail)):
            raise AnnotationFileError(
                f"{name} is XML that is cut short, as it does not end with </annotations>: make it "
                "again"
            )
    if kind is FileKind.JSON and importer.name.startswith("COCO ") and len(head) < HEAD_BYTES:
        # A longer file can have it further on.
        _check_coco_json(head, name)
    return kind


def check_members(members: Mapping[str, bytes], importer: Format, *, name: str) -> None:
    """Make sure that a zip holds what an importer reads, as far as that is known here.

    CVAT takes a zip without any annotations, too, and leaves the task without any.

    Args:
        members: The first `HEAD_BYTES` of each XML file by its path; of others the path counts.
        importer: What is to read it.
        name: The zip, for the messages.

    Raises:
        AnnotationFileError: It does not.
    """
    if importer.name.startswith("CVAT "):
        texts = [path for path in members if path.endswith(".xml") and not _is_hidden(path)]
        if not texts:
            raise AnnotationFileError(
                f"{name} is a zip without an XML file, and {importer.name!r} reads one: importing "
                "it would leave the task without annotations; name another file, or its format"
            )
        for path in texts:
            _check_cvat_xml(members[path], f"{path} in {name}")
    elif importer.name.startswith("COCO ") and not fnmatchcase(
        "\n".join(members), "*annotations/*.json*"
    ):
        raise AnnotationFileError(
            f"{name} is a zip without annotations/*.json, and {importer.name!r} reads that: name "
            "another file, or the format that it has"
        )


def _check_cvat_xml(head: bytes, name: str) -> None:
    root = _XML_ROOT.match(_XML_ASIDE.sub("", _text(head)).lstrip())
    if root is None or root[1] != "annotations":
        what = "no element" if root is None else f"<{root[1]}>"
        raise AnnotationFileError(
            f"{name} begins with {what}, and CVAT's XML with <annotations>: importing it would "
            "leave the task without annotations; name another file, or the format that it has"
        )


def _check_coco_json(document: bytes, name: str) -> None:
    try:
        keys = msgspec.json.decode(document.removeprefix(b"\xef\xbb\xbf"), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AnnotationFileError(f"{name} is not JSON ({error}): make it again") from None
    missing = [key for key in ("images", "annotations") if key not in keys]
    if missing:
        raise AnnotationFileError(
            f"{name} has no {' and no '.join(map(repr, missing))}, and so is not COCO's JSON: name "
            "another file, or the format that it has"
        )


def kind_of(head: bytes, tail: bytes, *, name: str) -> FileKind:
    """Tell what a file is; the arguments are those of `check`.

    Raises:
        AnnotationFileError: It is empty, an HTML page, cut short, or nothing that CVAT imports.
    """
    if not head:
        raise AnnotationFileError(f"{name} is empty: make it again, or name another file")
    if head.startswith(b"PK\x03\x04"):
        if b"PK\x05\x06" not in tail:
            raise AnnotationFileError(f"{name} is a zip that is cut short: make it again")
        return FileKind.ZIP
    if head.startswith(b"PK\x05\x06"):
        raise AnnotationFileError(f"{name} is a zip that holds nothing: make it again")
    start, end = _text(head).lstrip(), _text(tail).rstrip()
    if not start:
        raise AnnotationFileError(f"{name} holds nothing but blanks or zeros: make it again")
    if _HTML.match(_XML_ASIDE.sub("", start).lstrip()) or _HTML.match(start):
        raise AnnotationFileError(
            f"{name} is an HTML page, perhaps a login or an error page that was saved in its "
            "place: fetch it again"
        )
    for opening, closing, kind in (("<", ">", FileKind.XML), ("{", "}", FileKind.JSON)):
        if start.startswith(opening):
            if not end.endswith(closing):
                raise AnnotationFileError(f"{name} is {kind} that is cut short: make it again")
            return kind
    raise AnnotationFileError(
        f"{name} is neither XML nor a JSON object nor a zip, which is all that CVAT imports: name "
        "another file"
    )


def kinds(importer: Format) -> frozenset[FileKind]:
    """The kinds of file that an importer takes, as the server says; none where it does not."""
    named = {part.strip().upper() for part in importer.ext.split(",")}
    return frozenset(kind for kind in FileKind if kind in named)


def _text(data: bytes) -> str:
    """Enough of the text for a look: XML may come in UTF-16, both in UTF-8 with a mark."""
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    return data.decode(encoding, "replace").replace("\0", "")
