"""How near a mirror comes to what the server allows, and one of unchanged tasks to the listing.

`python benchmarks/mirror.py` is `python -m benchmarks --full --only fresh --only unchanged`;
further options, as `--quick` or `--pairs 5`, are passed on. See `python -m benchmarks --help`.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    sys.argv[1:1] = ["--full", "--only", "fresh", "--only", "unchanged"]
    runpy.run_module("benchmarks", run_name="__main__", alter_sys=True)
