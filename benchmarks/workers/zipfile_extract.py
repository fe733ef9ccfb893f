"""The standard library unpacks an archive: `zipfile.extractall`.

`python -m benchmarks.workers.zipfile_extract ARCHIVE TREE`
"""

from __future__ import annotations

import sys
import zipfile

if __name__ == "__main__":
    with zipfile.ZipFile(sys.argv[1]) as archive:
        archive.extractall(sys.argv[2])
