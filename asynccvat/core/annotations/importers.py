"""Find the importer that reads what an exporter wrote.

CVAT's exporters and importers have different names: `CVAT 1.1` reads what `CVAT for images 1.1` and
`CVAT for video 1.1` wrote. `core.format_names` finds the name that a user means.
"""

from __future__ import annotations

import re

from asynccvat.core.format_names import meant_formats, suggestion
from asynccvat.core.models import Format, Formats
from asynccvat.core.specs import CVAT, CVAT_JSON
from asynccvat.errors import ConfigError

_CVAT_IMPORTER = "CVAT 1.1"
JSON_IMPORTER = Format(name=CVAT_JSON, ext="JSON")
"""Stands for CVAT's own JSON, which a call replaces without an import."""
_FOR_A_KIND_OF_MEDIA = re.compile(r"^(.+?) for \w+ ([\d.]+)$")


def importer_name(name: str) -> str:
    """Return the importer's name for the name of an exporter or an importer.

    It does not check whether the server has that importer.
    """
    if name == CVAT:
        return _CVAT_IMPORTER
    found = _FOR_A_KIND_OF_MEDIA.match(name)
    return f"{found[1]} {found[2]}" if found else name


def importer_for(name: str, formats: Formats, *, origin: str) -> Format:
    """Find the importer that reads a format.

    Args:
        name: An importer's name, or an exporter's, or a short one like `coco`.
        formats: The server's formats.
        origin: The server, for the message.

    Raises:
        ConfigError: There is none, or several, or it is disabled. The nearest names are given.
    """
    importers = {item.name: item for item in formats.importers if item.enabled}
    exporters = [item.name for item in formats.exporters]
    exact = importers.get(name) or importers.get(importer_name(name))
    if exact is not None:
        return exact
    of_importers = meant_formats(name, tuple(importers)) if name not in exporters else ()
    of_exporters = meant_formats(name, exporters)
    found = {*of_importers} or {importer_name(one) for one in of_exporters}
    if len(found) == 1 and (one := found.pop()) in importers:
        return importers[one]
    why = "has no such importer"
    if len(of_importers) > 1:
        why = "has several such importers"
    elif of_exporters:
        why = "only exports that format"
    raise ConfigError(
        f"cannot import {name!r}: {origin} {why}. {suggestion(name, tuple(importers))}",
        step="upload",
    )
