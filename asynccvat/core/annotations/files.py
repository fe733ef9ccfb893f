"""Choose the annotation files of a task's folder, and check that they are what they should be.

CVAT accepts any file, and an import replaces a task's annotations: a wrong file can empty the task.
So a file's first and last bytes are checked before anything is sent. `commands.upload.local_files`
reads and packs the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from asynccvat.core.annotations.importers import importer_name
from asynccvat.core.annotations.json_files import ANNOTATIONS
from asynccvat.core.models import Format
from asynccvat.core.specs import CVAT_JSON
from asynccvat.errors import AnnotationFileError

HEAD_BYTES = 65_536
TAIL_BYTES = 65_557
"""Most bytes of the record that ends a zip, its comment included."""

_MAKE_AGAIN = "Make it again."
_PSEUDO = "_pseudo"
_MEDIA_FOLDERS = frozenset({"images", "JPEGImages", "img1", "video"})
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
    """What a file is, in the words of the server's list of formats."""

    XML = "XML"
    JSON = "JSON"
    ZIP = "ZIP"


@dataclass(frozen=True, slots=True)
class ChosenFiles:
    """The files of a folder to upload: one as it is, or several in a zip.

    Attributes:
        paths: Their paths relative to the folder, with `/`, in order.
        packed: Whether they are packed into a zip.
    """

    paths: tuple[str, ...]
    packed: bool = False


def choose_files(paths: Iterable[str], format_name: str, *, folder: str) -> ChosenFiles:
    """Choose the files of a task's folder that hold its annotations in a format.

    The file that usually holds a model's predictions comes first (`annotations_pseudo.xml`), then
    the one that an export wrote. The exports of other formats are many files. For these the one
    zip in the folder is chosen. If there is none, the files are packed without the images.

    Args:
        paths: The folder's files, relative to it, with `/`.
        format_name: The importer's or the exporter's name.
        folder: The folder, for the messages.

    Raises:
        AnnotationFileError: There is none, or more than one that could be meant.
    """
    present = sorted(path for path in paths if not is_hidden(path))
    importer = importer_name(format_name)
    zips = [path for path in present if "/" not in path and path.lower().endswith(".zip")]
    wanted, pattern = _single_file(importer)
    for path in wanted:
        if path in present:
            return ChosenFiles((path,))
    if pattern is not None:
        found = [path for path in present if fnmatchcase(path, pattern)]
        predicted = [path for path in found if path.endswith(f"{_PSEUDO}.json")]
        written = [path for path in found if path not in predicted]
        if len(found) == 1 or (len(predicted) == 1 and len(written) == 1):
            return ChosenFiles(tuple(predicted or written))
        if found:
            raise _ambiguous(folder, found)
    if len(zips) > 1:
        raise _ambiguous(folder, zips)
    if zips:
        return ChosenFiles((zips[0],))
    if wanted:
        names = [*wanted, *([pattern] if pattern else [])]
        raise _none_of(names, importer, folder, has_json=ANNOTATIONS in present)
    packable = tuple(path for path in present if not is_media(path))
    if not packable:
        raise _unusable(
            folder,
            f"it holds no annotations to pack for {importer!r}",
            "Name the file itself, or another format.",
        )
    return ChosenFiles(packable, packed=True)


def _none_of(
    names: Sequence[str], importer: str, folder: str, *, has_json: bool
) -> AnnotationFileError:
    if has_json and importer != CVAT_JSON:
        return _unusable(
            folder, f"it holds CVAT's JSON, and nothing for {importer!r}", "Give --format json."
        )
    return _unusable(
        folder,
        f"it holds none of {', '.join(names)}, nor a zip, for {importer!r}",
        "Name the file itself, or another format.",
    )


def _single_file(importer: str) -> tuple[tuple[str, ...], str | None]:
    """Return the names of a format's single file, best first, and a pattern of other names."""
    if importer == CVAT_JSON:
        return (f"annotations{_PSEUDO}.json", ANNOTATIONS), None
    if importer.startswith("CVAT "):
        return (f"annotations{_PSEUDO}.xml", "annotations.xml"), None
    if importer.startswith("COCO "):
        stem = "person_keypoints" if "Keypoints" in importer else "instances"
        default = f"annotations/{stem}_default"
        return (f"{default}{_PSEUDO}.json", f"{default}.json"), f"annotations/{stem}_*.json"
    return (), None


def _ambiguous(folder: str, paths: Sequence[str]) -> AnnotationFileError:
    return _unusable(
        folder,
        f"it holds {', '.join(map(repr, paths[:-1]))} and {paths[-1]!r}, and only one can be "
        "uploaded",
        "Remove the others, or name the file itself.",
    )


def _unusable(
    name: str,
    why: str,
    remedy: str = "Name another file, or the format that it has.",
    *,
    member: str | None = None,
) -> AnnotationFileError:
    what = repr(name) if member is None else f"{member!r} in {name!r}"
    return AnnotationFileError(f"cannot upload {what}: {why}. {remedy}")


def is_hidden(path: str) -> bool:
    """Whether a file is one that importers pass over, such as those that macOS adds to a zip."""
    # Some programs put "./" before the names in a zip.
    parts = path.removeprefix("./").split("/")
    return any(part.startswith((".", "__MACOSX")) for part in parts)


def is_media(path: str) -> bool:
    """Whether a file is an image of the task, which an import of annotations does not need.

    Masks are images, too, and some formats put all information into an image's folder. So only
    files in a folder that holds nothing but the task's images count.
    """
    folder, slash, name = path.rpartition("/")
    if not slash or f".{name.rpartition('.')[2].lower()}" not in _MEDIA:
        return False
    first = folder.partition("/")[0]
    return first in _MEDIA_FOLDERS or _YOLO_MEDIA.fullmatch(first) is not None


def check_file(head: bytes, tail: bytes, importer: Format, *, name: str) -> FileKind:
    """Check that an importer can read a file, as far as its first and last bytes tell.

    Args:
        head: The first `HEAD_BYTES`, or all if there are fewer.
        tail: The last `TAIL_BYTES`, or all if there are fewer.
        importer: The importer that shall read it.
        name: The file, for the messages.

    Raises:
        AnnotationFileError: It cannot.
    """
    kind = kind_of(head, tail, name=name)
    accepted = accepted_kinds(importer)
    if accepted and kind not in accepted:
        raise _unusable(
            name, f"it is {kind}, and {importer.name!r} reads {' or '.join(sorted(accepted))}"
        )
    if kind is FileKind.XML and importer.name.startswith("CVAT "):
        _check_cvat_xml(head, name)
        if not _XML_CLOSED.search(_text(tail)):
            raise _unusable(
                name, "its XML is cut short and does not end with </annotations>", _MAKE_AGAIN
            )
    # A longer file can have the keys further on.
    if kind is FileKind.JSON and len(head) < HEAD_BYTES:
        if importer.name.startswith("COCO "):
            _check_json(head, ("images", "annotations"), name, "COCO's")
        elif importer.name == CVAT_JSON:
            _check_json(head, ("shapes", "tags", "tracks"), name, "CVAT's")
    return kind


def check_members(members: Mapping[str, bytes], importer: Format, *, name: str) -> None:
    """Check that a zip holds what an importer reads, as far as that is known.

    CVAT also accepts a zip without annotations, and leaves the task without any.

    Args:
        members: The first `HEAD_BYTES` of each XML file by its path. Of other files only the path
            counts.
        importer: The importer that shall read it.
        name: The zip, for the messages.

    Raises:
        AnnotationFileError: It does not.
    """
    if importer.name.startswith("CVAT "):
        texts = [path for path in members if path.endswith(".xml") and not is_hidden(path)]
        if not texts:
            raise _unusable(
                name,
                f"it is a zip without an XML file, which {importer.name!r} needs, so importing it "
                "would leave the task without annotations",
            )
        for path in texts:
            _check_cvat_xml(members[path], name, member=path)
    elif importer.name.startswith("COCO ") and not fnmatchcase(
        "\n".join(members), "*annotations/*.json*"
    ):
        raise _unusable(
            name, f"it is a zip without annotations/*.json, which {importer.name!r} needs"
        )


def _check_cvat_xml(head: bytes, name: str, *, member: str | None = None) -> None:
    root = _XML_ROOT.match(_XML_ASIDE.sub("", _text(head)).lstrip())
    if root is None or root[1] != "annotations":
        what = "no element" if root is None else f"<{root[1]}>"
        raise _unusable(
            name,
            f"it begins with {what} and CVAT's XML with <annotations>, so importing it would leave "
            "the task without annotations",
            member=member,
        )


def _check_json(document: bytes, needed: Sequence[str], name: str, whose: str) -> None:
    try:
        keys = msgspec.json.decode(document.removeprefix(b"\xef\xbb\xbf"), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unusable(name, f"it is not JSON ({error})", _MAKE_AGAIN) from None
    missing = [key for key in needed if key not in keys]
    if missing:
        raise _unusable(
            name, f"it has no {' and no '.join(map(repr, missing))}, so it is not {whose} JSON"
        )


def kind_of(head: bytes, tail: bytes, *, name: str) -> FileKind:
    """Tell what a file is.

    Args:
        head: As in `check_file`.
        tail: As in `check_file`.
        name: The file, for the messages.

    Raises:
        AnnotationFileError: It is empty, an HTML page, cut short, or nothing that CVAT imports.
    """
    if not head:
        raise _unusable(name, "it is empty", "Make it again, or name another file.")
    if head.startswith(b"PK\x03\x04"):
        if b"PK\x05\x06" not in tail:
            raise _unusable(name, "it is a zip that is cut short", _MAKE_AGAIN)
        return FileKind.ZIP
    if head.startswith(b"PK\x05\x06"):
        raise _unusable(name, "it is a zip that holds nothing", _MAKE_AGAIN)
    start, end = _text(head).lstrip(), _text(tail).rstrip()
    if not start:
        raise _unusable(name, "it holds only blanks or zeros", _MAKE_AGAIN)
    if _HTML.match(_XML_ASIDE.sub("", start).lstrip()) or _HTML.match(start):
        raise _unusable(
            name,
            "it is an HTML page, perhaps a login or an error page that was saved in its place",
            "Fetch it again.",
        )
    for opening, closing, kind in (("<", ">", FileKind.XML), ("{", "}", FileKind.JSON)):
        if start.startswith(opening):
            if not end.endswith(closing):
                raise _unusable(name, f"it is {kind} that is cut short", _MAKE_AGAIN)
            return kind
    raise _unusable(
        name,
        "it is neither XML nor a JSON object nor a zip, and CVAT imports nothing else",
        "Name another file.",
    )


def accepted_kinds(importer: Format) -> frozenset[FileKind]:
    """Return the kinds of file that an importer reads. Empty if the server names none."""
    named = {part.strip().upper() for part in importer.ext.split(",")}
    return frozenset(kind for kind in FileKind if kind in named)


def _text(data: bytes) -> str:
    """Decode enough to check: XML may be UTF-16, and XML and JSON may begin with a BOM."""
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    return data.decode(encoding, "replace").replace("\0", "")
