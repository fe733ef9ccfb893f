"""One huge archive from a socket to files, beside what a shell has for it.

`python benchmarks/extract.py` is `python -m benchmarks --full --only stored`; further
options, as `--pairs 5` or `--work DIR`, are passed on. See `python -m benchmarks --help`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    chosen = ["--only", "stored"]
    command = [sys.executable, "-m", "benchmarks", "--full", *chosen, *sys.argv[1:]]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    sys.exit(subprocess.run(command, check=False, env=environment).returncode)
