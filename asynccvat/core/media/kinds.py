"""Tell media from other files by their names, and order and compare the names.

`core.media.checks` looks at the bytes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from enum import StrEnum

from asynccvat.core.paths import in_short


class MediaKind(StrEnum):
    """What CVAT makes a task of."""

    IMAGE = "image"
    VIDEO = "video"
    ZIP = "zip"


class MediaType(StrEnum):
    """A type of file, as its name or its first bytes tell it."""

    JPEG = "JPEG"
    PNG = "PNG"
    GIF = "GIF"
    BMP = "BMP"
    WEBP = "WebP"
    TIFF = "TIFF"
    PNM = "PNM"
    MP4 = "MP4"
    AVI = "AVI"
    MATROSKA = "Matroska"
    MPEG = "MPEG"
    ZIP = "zip"

    @property
    def kind(self) -> MediaKind:
        """What CVAT makes of a file of this type."""
        if self is MediaType.ZIP:
            return MediaKind.ZIP
        return MediaKind.VIDEO if self in _VIDEOS else MediaKind.IMAGE


_VIDEOS = frozenset({MediaType.MP4, MediaType.AVI, MediaType.MATROSKA, MediaType.MPEG})

# Python's `mimetypes`, by which CVAT knows media, has all of these. Pillow and FFmpeg read them.
_SUFFIXES = {
    MediaType.JPEG: (".jpg", ".jpeg", ".jpe"),
    MediaType.PNG: (".png",),
    MediaType.GIF: (".gif",),
    MediaType.BMP: (".bmp",),
    MediaType.WEBP: (".webp",),
    MediaType.TIFF: (".tif", ".tiff"),
    MediaType.PNM: (".pbm", ".pgm", ".ppm"),
    MediaType.MP4: (".mp4", ".m4v", ".mov"),
    MediaType.AVI: (".avi",),
    MediaType.MATROSKA: (".mkv", ".webm"),
    MediaType.MPEG: (".mpg", ".mpeg"),
    MediaType.ZIP: (".zip",),
}
_TYPE_OF = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes}

_CONTEXT = "related_images"
# What systems leave in folders. A Synology NAS keeps small copies of images in `@eaDir`.
_LITTER = frozenset(
    {
        "$recycle.bin",
        "@eadir",
        "__macosx",
        "desktop.ini",
        "ehthumbs.db",
        "lost+found",
        "system volume information",
        "thumbs.db",
    }
)
# CVAT passes over members of zips with one of these in their paths, and over no others.
_IGNORED_IN_ZIPS = ("__MSOSX", "._.DS_Store", "__MACOSX", ".DS_Store")
# Images for CVAT, by Python's `mimetypes`, that it cannot read or that are not known here.
_OTHER_IMAGES = (
    ".avif", ".heic", ".heif", ".ico", ".ief", ".jp2", ".pnm", ".psd", ".ras", ".rgb", ".svg",
    ".xbm", ".xpm", ".xwd",
)  # fmt: skip
_DIGITS = re.compile(r"([0-9]+)")
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]")


def media_type(name: str) -> MediaType | None:
    """Return the type of file that a name promises. None if CVAT makes no task of it."""
    stem, dot, suffix = name.rpartition(".")
    return _TYPE_OF.get(f".{suffix.lower()}") if dot and stem else None


def usual_suffix(kind: MediaType) -> str:
    """Return the suffix that files of a type usually have."""
    return _SUFFIXES[kind][0]


def is_litter(name: str) -> bool:
    """Whether a file or folder is hidden, or one that systems leave behind."""
    return name.startswith(".") or name.lower() in _LITTER


def is_ignored_in_zip(path: str) -> bool:
    """Whether CVAT passes over a member of a zip."""
    return any(word in path for word in _IGNORED_IN_ZIPS)


def is_other_image(name: str) -> bool:
    """Whether CVAT takes a file for an image whose type is not known here."""
    return name.lower().endswith(_OTHER_IMAGES)


def is_context(path: str) -> bool:
    """Whether an image belongs to a frame: it is in one of CVAT's `related_images` folders."""
    return _CONTEXT in path.split("/")[:-1]


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sorting key with numbers in the order of their values, as CVAT's natural order."""
    parts = _DIGITS.split(name)
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), name


def unusable_name(path: str) -> str | None:
    """Return why CVAT cannot have a file under a name, None if it can."""
    found = _UNUSABLE.search(path)
    if found is None:
        return None
    if found[0] == "\\":
        return "its name has a backslash"
    what = "is not UTF-8" if found[0] >= "\ud800" else "has a control character"
    return f"its name {what}"


def collisions(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of paths that differ only by case or by the form of accents.

    Some systems take such paths for one.

    Yields:
        The later path, and the first one that it collides with.
    """
    seen: dict[str, str] = {}
    for path in paths:
        # An ASCII name is its own normal form; a hundred thousand names are quick so.
        plain = path if path.isascii() else unicodedata.normalize("NFC", path)
        first = seen.setdefault(plain.casefold(), path)
        if first != path:
            yield path, first


def shown(path: str) -> str:
    """Return a path quoted for a message."""
    return in_short(path)
