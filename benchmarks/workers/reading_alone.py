"""Reading every file of a tree, and nothing else: what no verification can be quicker than.

`python -m benchmarks.workers.reading_alone FOLDER THREADS` lists the folder, reads its files in so
many threads into buffers that are there already, and counts the bytes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_READ_BYTES = 256 * 1024


def read_all(folder: Path, threads: int) -> dict[str, float]:
    """Read it, and tell how long that took and how many bytes there are."""
    began = time.perf_counter()
    paths = list(_files(os.fspath(folder)))
    sizes = [0] * threads

    def read(number: int) -> None:
        buffer = bytearray(_READ_BYTES)
        for path in paths[number::threads]:
            fd = os.open(path, os.O_RDONLY)
            while got := os.readv(fd, [buffer]):
                sizes[number] += got
            os.close(fd)

    workers = [threading.Thread(target=read, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return {"seconds": time.perf_counter() - began, "bytes": sum(sizes)}


def _files(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != ".asynccvat":
                    yield from _files(entry.path)
            else:
                yield entry.path


if __name__ == "__main__":
    print(json.dumps(read_all(Path(sys.argv[1]), int(sys.argv[2]))))
