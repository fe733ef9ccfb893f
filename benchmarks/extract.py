"""One huge archive from a socket to files, beside what a shell has for it.

`python benchmarks/extract.py` is `python -m benchmarks --full --only stored`;
further options, as `--quick` or `--pairs 5`, are passed on. See `python -m benchmarks --help`.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    sys.argv[1:1] = ["--full", "--only", "stored"]
    runpy.run_module("benchmarks", run_name="__main__", alter_sys=True)
