"""The FastAPI service of `docs/examples`, in a process of its own on 127.0.0.1."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from pages import text

from asynccvat.simulator import ServerProcess


@contextlib.contextmanager
def service(
    start: Callable[..., subprocess.Popen[str]], server: ServerProcess, folder: Path
) -> Iterator[str]:
    """Start the service in a folder, and yield its address. At the end it has to end by itself."""
    process = start(text("docs/examples/web_service.py"), server, folder, PORT="0")
    said = []
    try:
        assert process.stderr is not None
        address = None
        while address is None:
            said.append(process.stderr.readline())
            assert said[-1], "".join(said)
            address = re.search(r"running on (http://\S+)", said[-1])
        yield address[1]
    finally:
        process.send_signal(signal.SIGINT)
        try:
            _, last = process.communicate(timeout=60)
        finally:
            process.kill()
    said.append(last)
    assert "Application shutdown complete" in last
    assert "Traceback" not in "".join(said), "".join(said)
    assert "ERROR" not in "".join(said), "".join(said)
    assert process.returncode == 0
