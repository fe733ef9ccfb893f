"""Find the format that a user means among those of a server: `coco` is `COCO 1.0`.

CVAT takes exact names alone, case and version included. Here case, blanks, hyphens and the version
may be left out, and some formats have short names. `core.annotations.importers` uses this for
imports.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from asynccvat.core.models import Formats
from asynccvat.core.specs import CVAT, CVAT_JSON, ExportSpec
from asynccvat.errors import ConfigError

KNOWN_FORMATS = (
    CVAT,
    "CVAT for images 1.1",
    "CVAT for video 1.1",
    "COCO 1.0",
    "COCO Keypoints 1.0",
    "Datumaro 1.0",
    "Datumaro 3D 1.0",
    "PASCAL VOC 1.1",
    "Segmentation mask 1.1",
    "YOLO 1.1",
    "Ultralytics YOLO Detection 1.0",
    "Ultralytics YOLO Detection Track 1.0",
    "Ultralytics YOLO Oriented Bounding Boxes 1.0",
    "Ultralytics YOLO Segmentation 1.0",
    "Ultralytics YOLO Pose 1.0",
    "Ultralytics YOLO Classification 1.0",
    "CamVid 1.0",
    "Cityscapes 1.0",
    "ICDAR Localization 1.0",
    "ICDAR Recognition 1.0",
    "ICDAR Segmentation 1.0",
    "ImageNet 1.0",
    "KITTI 1.0",
    "Kitti Raw Format 1.0",
    "LFW 1.0",
    "LabelMe 3.0",
    "MOT 1.1",
    "MOTS PNG 1.0",
    "Market-1501 1.0",
    "Open Images V6 1.0",
    "Sly Point Cloud Format 1.0",
    "VGGFace2 1.0",
    "WiderFace 1.0",
)
"""The names that CVAT 2.54 exports in, for places where no server is asked."""

_VERSION = re.compile(r"[\s_-]v?(\d+\.[\d.]*\d)$")
_SEPARATORS = re.compile(r"[\s_-]+")
_MOST_SUGGESTIONS = 6
_SHORT = {
    "cvatimages": "cvatforimages",
    "cvatvideo": "cvatforvideo",
    "keypoints": "cocokeypoints",
    "mask": "segmentationmask",
    "masks": "segmentationmask",
    "pascal": "pascalvoc",
    "voc": "pascalvoc",
}
# CVAT called these formats "YOLOv8 Detection 1.0" and so on before version 2.25. Each of the
# newer YOLOs reads them.
_ULTRALYTICS = re.compile(r"(?:ultralytics(?:yolo)?|yolo)(?:v?\d+)?([a-z]*)")
_OF_ULTRALYTICS = ("ultralyticsyolo", "yolov8")
_KINDS = {
    "cls": "classification",
    "classify": "classification",
    "det": "detection",
    "detect": "detection",
    "obb": "orientedboundingboxes",
    "seg": "segmentation",
    "segment": "segmentation",
    "track": "detectiontrack",
}


class _Name:
    """A format's name in parts, so that ways of writing it can be compared.

    Attributes:
        words: The words in lower case, without the version.
        base: The words without blanks between.
        version: The version, "" if the name has none.
    """

    def __init__(self, text: str) -> None:
        folded = text.strip().casefold()
        found = _VERSION.search(folded)
        self.version = found[1] if found else ""
        self.words = _SEPARATORS.split(folded[: found.start()] if found else folded)
        self.base = "".join(self.words)

    def begins_with(self, base: str) -> bool:
        """Whether some of the first words are these."""
        return any("".join(self.words[:count]) == base for count in range(1, len(self.words)))

    @property
    def order(self) -> tuple[int, ...]:
        """The version as numbers, to find the latest."""
        return tuple(int(part) for part in self.version.split(".") if part)


def meant_formats(given: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the formats that a text may mean: one if it is clear, none if none is meant.

    Args:
        given: What the user wrote.
        names: The exact names that there are.
    """
    if given in names:
        return (given,)
    wanted = _Name(given)
    if not wanted.base:
        return ()
    known = {name: _Name(name) for name in names}
    if wanted.version:
        known = {name: one for name, one in known.items() if one.version == wanted.version}
    for bases in ((wanted.base,), *_other_bases(wanted.base)):
        found = [name for name, one in known.items() if one.base in bases]
        if found:
            return _latest(found, known)
    found = [name for name, one in known.items() if one.begins_with(wanted.base)]
    newer = _ULTRALYTICS.fullmatch(wanted.base)
    if not found and newer is not None and not newer[1]:
        found = _of_ultralytics(known)
    return _latest(found, known)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return a way to write each format in one word: `coco` for `COCO 1.0`.

    A format that no such word means alone is left out.

    Args:
        names: The exact names that there are.

    Returns:
        The exact names by these words.
    """
    found = {}
    for name in names:
        one = _Name(name)
        short = "-".join(one.words)
        for word in (short, f"{short}-{one.version}"):
            if meant_formats(word, names) == (name,):
                found[word] = name
                break
    return found


def _other_bases(base: str) -> list[tuple[str, ...]]:
    """Return other bases that a base may stand for, the likely ones first."""
    found: list[tuple[str, ...]] = [(_SHORT[base],)] if base in _SHORT else []
    newer = _ULTRALYTICS.fullmatch(base)
    if newer is not None and newer[1]:
        kind = _KINDS.get(newer[1], newer[1])
        found += [(f"{family}{kind}",) for family in _OF_ULTRALYTICS]
    return found


def _of_ultralytics(known: dict[str, _Name]) -> list[str]:
    """Return the formats of the newer YOLOs."""
    return [name for name, one in known.items() if one.base.startswith(_OF_ULTRALYTICS)]


def _latest(found: Sequence[str], known: dict[str, _Name]) -> tuple[str, ...]:
    """Return names without the older versions of the same formats."""
    latest: dict[str, str] = {}
    for name in found:
        base = known[name].base
        if base not in latest or known[name].order > known[latest[base]].order:
            latest[base] = name
    return tuple(latest.values())


def format_without_server(given: str) -> str:
    """Return the name of the known format that a text means, or else the text itself."""
    if means_json(given):
        return CVAT_JSON
    found = meant_formats(given, KNOWN_FORMATS)
    return found[0] if len(found) == 1 else given


def with_json(short: Mapping[str, str]) -> dict[str, str]:
    """Return short names together with that of CVAT's JSON, which no server lists as a format."""
    return {**short, "json": CVAT_JSON}


def means_json(given: str) -> bool:
    """Whether a text means what the server's API says, without an export: `json`, `cvat-json`."""
    return _Name(given).base in ("json", "cvatjson")


def exporter_for(given: str, formats: Formats, *, origin: str) -> str:
    """Return the exact name of the format that a text means for exports.

    Args:
        given: What the user wrote. `CVAT` stands for both flavours of CVAT's XML.
        formats: The server's formats.
        origin: The server, for the message.

    Raises:
        ConfigError: The server has no such format, or has several, or it is disabled.
    """
    if means_json(given):
        raise ConfigError(
            f"cannot export as {given!r}: {CVAT_JSON!r} is made without an export, by "
            "`asynccvat mirror` alone. Mirror the tasks, or choose a format of the server.",
            step="export",
        )
    exporters = [item.name for item in formats.exporters if item.enabled]
    names = (CVAT, *exporters)
    # The importer's name means both flavours, too.
    found = (CVAT,) if is_importer_of_cvat(given) else meant_formats(given, names)
    if len(found) != 1:
        raise format_problem(given, formats, origin=origin, several=bool(found))
    for name in ExportSpec(found[0]).exporters:
        if name not in exporters:
            raise format_problem(name, formats, origin=origin)
    return found[0]


def format_problem(
    given: str, formats: Formats, *, origin: str, several: bool = False
) -> ConfigError:
    """Return the error for a text that names no format of exports, or several."""
    names = (CVAT, *(item.name for item in formats.exporters if item.enabled))
    why = "has several such formats" if several else "has no such format"
    return ConfigError(
        f"cannot export as {given!r}: {origin} {why}. {suggestion(given, names)}", step="export"
    )


def is_importer_of_cvat(given: str) -> bool:
    """Whether a text is the name under which CVAT imports its XML: `CVAT 1.1`."""
    wanted, importer = _Name(given), _Name("CVAT 1.1")
    return (wanted.base, wanted.version) == (importer.base, importer.version)


def suggestion(given: str, names: Sequence[str]) -> str:
    """Say which names to give instead of one that is not clear."""
    near = meant_formats(given, names) or _nearest(given, names)
    if not near:
        return "List its formats with `asynccvat formats`."
    *first, last = map(repr, near[:_MOST_SUGGESTIONS])
    return f"Did you mean {', '.join(first)}{' or ' * bool(first)}{last}?"


def _nearest(given: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names that look most like a text, as formats or letter by letter."""
    wanted = _Name(given)
    known = {name: _Name(name) for name in names}
    # The version may be what is wrong.
    same = [name for name, one in known.items() if one.base == wanted.base]
    folded = {one.base: name for name, one in known.items()}
    near = difflib.get_close_matches(wanted.base, folded, n=3, cutoff=0.5)
    part = [name for name, one in known.items() if len(wanted.base) > 2 and wanted.base in one.base]
    newer = _of_ultralytics(known) if _ULTRALYTICS.match(wanted.base) else []
    return tuple(dict.fromkeys([*same, *part, *newer, *(folded[base] for base in near)]))
