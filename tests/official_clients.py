"""CVAT's own SDK and command line.

They run in processes of their own: their warnings and their log are theirs.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from asynccvat.simulator import SimulatedServer

COMMAND: Final = """
import sys, time
from cvat_cli.__main__ import main
from cvat_sdk.core import client

# It looks every five seconds whether an import has ended; it may do so sooner.
client.sleep = lambda seconds: time.sleep(min(seconds, 0.05))
sys.exit(main())
"""

needs_sdk = pytest.mark.skipif(
    importlib.util.find_spec("cvat_sdk") is None, reason="cvat-sdk is not installed"
)
needs_cli = pytest.mark.skipif(
    importlib.util.find_spec("cvat_cli") is None, reason="cvat-cli is not installed"
)


def run(command: list[str], home: Path) -> str:
    """Return the output of a command that must succeed; its profile and cache are in `home`."""
    environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    environment.pop("CVAT_ACCESS_TOKEN", None)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def run_script(script: str, given: str, home: Path) -> str:
    """Return the output of a Python script, which gets `given` as its argument."""
    return run([sys.executable, "-c", script, given], home)


def run_cli(server: SimulatedServer, home: Path, *arguments: str) -> str:
    """Return the output of `cvat-cli` at a server."""
    host, _, port = server.url.rpartition(":")
    credentials = f"{server.username}:{server.password}"
    where = ["--server-host", host, "--server-port", port, "--auth", credentials]
    return run([sys.executable, "-c", COMMAND, *where, *arguments], home)
