"""Commands on a terminal that answers their questions."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path


def on_a_terminal(
    directory: Path, arguments: tuple[str, ...], answers: tuple[tuple[str, str], ...]
) -> str:
    """Run a command on a terminal, answer its questions, and return what it showed."""
    outer, inner = pty.openpty()
    command = subprocess.Popen(
        [sys.executable, "-m", "asynccvat", *arguments],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        cwd=directory,
        start_new_session=True,
    )
    os.close(inner)
    shown, seen = "", 0
    for question, answer in answers:
        while question not in shown[seen:]:
            shown += os.read(outer, 1 << 16).decode()
        seen = len(shown)
        os.write(outer, f"{answer}\n".encode())
    while True:
        try:
            piece = os.read(outer, 1 << 16)
        except OSError:  # the last writer has closed it
            break
        shown += piece.decode()
    os.close(outer)
    assert command.wait(timeout=60) == 0, shown
    return shown
