"""Under which name the server reads what it wrote: importers for the names of either side.

CVAT's exporters and importers have names of their own: `CVAT 1.1` reads what `CVAT for images 1.1`
and `CVAT for video 1.1` wrote. Names are exact, case included, as the server's are.
"""

from __future__ import annotations

import difflib
import re

from asynccvat.core.models import Format, Formats
from asynccvat.errors import ConfigError

_FOR_A_KIND_OF_MEDIA = re.compile(r"^(.+?) for \w+ ([\d.]+)$")


def importer_name(name: str) -> str:
    """The importer's name for a format that an exporter's or an importer's name names.

    Nobody is asked whether the server has it.
    """
    found = _FOR_A_KIND_OF_MEDIA.match(name)
    return f"{found[1]} {found[2]}" if found else name


def importer_for(name: str, formats: Formats, *, origin: str) -> Format:
    """Find the importer that reads a format.

    Args:
        name: An importer's name, or an exporter's.
        formats: What the server knows.
        origin: The server, for the message.

    Raises:
        ConfigError: There is none, or it is disabled; the nearest names are given.
    """
    importers = {item.name: item for item in formats.importers if item.enabled}
    found = importers.get(name) or importers.get(importer_name(name))
    if found is not None:
        return found
    is_written = any(item.name == name for item in formats.exporters)
    what = f"{origin} cannot import {name!r}" + (", it only exports it" if is_written else "")
    raise ConfigError(f"{what}; {_nearest(name, importers)}", step="upload")


def _nearest(name: str, known: dict[str, Format]) -> str:
    """What to do about a name that is not known: the nearest ones, or where all are listed."""
    folded = {item.lower(): item for item in known}
    near = difflib.get_close_matches(importer_name(name).lower(), folded, n=3, cutoff=0.4)
    if not near:
        return "list its formats with client.formats() or `asynccvat formats`"
    return "the nearest of its importers: " + ", ".join(repr(folded[item]) for item in near)
