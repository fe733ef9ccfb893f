"""Condense the recorded pairs of JSON and export, so that their tests run without the recordings.

Run it from the root of the repository. The recordings are in `../shared`, or in the folder that the
variable ASYNCCVAT_SHARED names. The condensed copy holds the JSON of each task, and digests of what
the server exported of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from asynccvat.core.convert.comparable import comparable_xml

HERE: Final = Path(__file__).resolve().parent
SHARED: Final = Path(os.environ.get("ASYNCCVAT_SHARED") or HERE.parents[2].parent / "shared")
FIXTURE: Final = HERE / "recorded_264.json"

FORMATS: Final = {
    "cvat-for-images-11": "CVAT for images 1.1",
    "cvat-for-video-11": "CVAT for video 1.1",
    "coco-10": "COCO 1.0",
}
"""The format of each name in the recordings."""


def comparable(path: str, content: bytes) -> bytes:
    """Return a file of an export so that equal content is equal bytes."""
    if path.endswith(".json"):
        return json.dumps(json.loads(content), sort_keys=True).encode()
    return comparable_xml(content)


def recorded_pairs(folder: Path) -> Iterator[tuple[int, dict[str, Any], str, dict[str, bytes]]]:
    """Yield number, JSON, format and exported files of each recorded pair."""
    for path in sorted(folder.glob("task*_raw.json")):
        number = int(path.name.removeprefix("task").removesuffix("_raw.json"))
        raw = json.loads(path.read_bytes())
        for name, format_name in FORMATS.items():
            with zipfile.ZipFile(folder / f"task{number}_{name}_annotations.zip") as archive:
                yield (
                    number,
                    raw,
                    format_name,
                    {one: archive.read(one) for one in archive.namelist()},
                )


def condensed(folder: Path) -> str:
    """Return the condensed copy as text, a line for each task."""
    tasks: dict[int, dict[str, Any]] = {}
    for number, raw, format_name, files in recorded_pairs(folder):
        task = tasks.setdefault(number, {"raw": raw, "exports": {}})
        task["exports"][format_name] = {path: digest(path, one) for path, one in files.items()}
    lines = ",\n".join(f'"{number}":{json.dumps(task)}' for number, task in tasks.items())
    return f"{{\n{lines}\n}}\n"


def digest(path: str, content: bytes) -> str:
    """Return a digest of what a file of an export says."""
    return hashlib.sha256(comparable(path, content)).hexdigest()


if __name__ == "__main__":
    FIXTURE.write_text(condensed(SHARED / "contract" / "exports-2.64"), encoding="utf-8")
