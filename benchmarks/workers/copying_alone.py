"""Reading and writing each file of a tree: `python -m benchmarks.workers.copying_alone FOLDER OUT`.

The time ends when everything is on the disk, as that of a merge does.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def copy_all(folder: Path, out: Path) -> dict[str, float]:
    """Copy it, and tell how long that took and how many bytes there are."""
    began = time.perf_counter()
    size = _copy(folder, out)
    os.sync()
    return {"seconds": time.perf_counter() - began, "bytes": size}


def _copy(folder: Path, out: Path) -> int:
    out.mkdir()
    size = 0
    for path in folder.iterdir():
        if not path.is_dir():
            size += (out / path.name).write_bytes(path.read_bytes())
        elif path.name != ".asynccvat":
            size += _copy(path, out / path.name)
    return size


if __name__ == "__main__":
    print(json.dumps(copy_all(Path(sys.argv[1]), Path(sys.argv[2]))))
