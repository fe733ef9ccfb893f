"""Find the importer that reads what an exporter wrote.

CVAT's exporters and importers have different names: `CVAT 1.1` reads what `CVAT for images 1.1` and
`CVAT for video 1.1` wrote. Names are exact, case included, as at the server.
"""

from __future__ import annotations

import difflib
import re

from asynccvat.core.models import Format, Formats
from asynccvat.core.specs import CVAT
from asynccvat.errors import ConfigError

_CVAT_IMPORTER = "CVAT 1.1"
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
        name: An importer's name, or an exporter's.
        formats: The server's formats.
        origin: The server, for the message.

    Raises:
        ConfigError: There is none, or it is disabled. The nearest names are given, or all.
    """
    importers = {item.name: item for item in formats.importers if item.enabled}
    found = importers.get(name) or importers.get(importer_name(name))
    if found is not None:
        return found
    is_written = any(item.name == name for item in formats.exporters)
    why = "only exports that format" if is_written else "has no such importer"
    raise ConfigError(
        f"cannot import {name!r}: {origin} {why}. {_nearest(name, importers)}", step="upload"
    )


def _nearest(name: str, known: dict[str, Format]) -> str:
    """Say what to do about an unknown name: take one of the nearest, or one of all."""
    folded = {item.lower(): item for item in known}
    near = difflib.get_close_matches(importer_name(name).lower(), folded, n=3, cutoff=0.4)
    if not near:
        return f"Give one of those that `asynccvat formats` lists: {', '.join(map(repr, known))}."
    return "Did you mean " + " or ".join(repr(folded[item]) for item in near) + "?"
