"""The peers' own virtual environments, made when they are first needed and kept for the next time.

Pinned, so that the figures can be had again; a new pin is a new environment.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

PEERS = {
    "cvat": ("cvat-sdk==2.80.0", "cvat-cli==2.80.0"),
    "datnvt": ("datnvt-cvat-cli==0.1.0",),
}

DEFAULT_CACHE = Path(tempfile.gettempdir()) / "asynccvat-benchmarks"


def peer_bin(cache: Path, name: str) -> Path:
    """The folder of a peer's commands, `python` among them.

    Raises:
        subprocess.CalledProcessError: It could not be installed; pip said why.
    """
    requirements = PEERS[name]
    digest = hashlib.sha256("\n".join((*requirements, sys.version)).encode()).hexdigest()[:8]
    folder = cache / f"{name}-{digest}"
    done = folder / "installed"
    if not done.exists():
        print(f"  installing {' '.join(requirements)} into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--disable-pip-version-check", *requirements], check=True)
        done.touch()
    return folder / "bin"
